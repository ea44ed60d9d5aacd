"""The pictures of what adapting gains and costs: what stands where, of rows whose numbers are known."""

import matplotlib.pyplot as plt
import pytest

from vfm_course.adapt.table import Row
from vfm_course.viz import adapting

pytestmark = pytest.mark.usefixtures("figures")


def row(method: str, accuracy: float, trained: int, model: str = "dinov2", task: str = "parcel: tilt", **more) -> Row:
    given = {"shifted": {}, "chance": 0.5, "by_seed": (accuracy,), "labels": 100, "total": 1000, "seconds": 2.0,
             "reading": 1.0, "memory": 0, "settings": ({},)} | more  # fmt: skip
    return Row(model, task, method, (accuracy, accuracy - 0.1, accuracy + 0.05), trained=trained, **given)


def test_costs_puts_each_way_at_its_share_and_its_seconds():
    adapting.costs([row("knn", 0.6, 0), row("full", 0.8, 1000, seconds=50.0), row("knn", 0.7, 0, model="clip")])
    left, right = plt.gcf().axes
    assert [text.get_text() for text in left.texts] == ["knn", "full", "knn", "chance"]
    assert [text.xy for text in left.texts[:2]] == [(adapting.FEWEST, 0.6), (1.0, 0.8)]
    assert [text.xy for text in right.texts[:2]] == [(2.0, 0.6), (50.0, 0.8)]
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["dinov2", "clip"]
    whole = left.containers[0].lines[2][0].get_segments()
    assert [segment[:, 1].tolist() for segment in whole] == [pytest.approx([0.5, 0.65]), pytest.approx([0.7, 0.85])]


def test_learning_curves_run_over_labels_a_class_whatever_the_rows_order():
    rows = [row("linear", 0.9, 9, labels=80), row("linear", 0.4, 9, labels=20), row("full", 0.2, 9, labels=20)]
    adapting.learning_curves(rows, classes=4, names={("dinov2", "linear"): "a head"})
    (axis,) = plt.gcf().axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in axis.lines}
    assert lines["a head"] == [[5, 0.4], [20, 0.9]] and set(lines) == {"a head", "chance"}
    adapting.learning_curves(rows, classes=4)
    assert [line.get_label() for line in plt.gcf().axes[0].lines[:2]] == ["dinov2, linear", "dinov2, full"]


def test_tasks_stand_in_the_order_of_the_first_way():
    first = [row("bespoke", 0.9, 1, task="parcel: tilt"), row("bespoke", 0.6, 1, task="parcel: belt")]
    second = [row("linear", 0.7, 1, task="parcel: tilt"), row("linear", 0.8, 1, task="parcel: belt")]
    adapting.by_task({"own": first, "head": second})
    (axis,) = plt.gcf().axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["belt", "tilt"]
    own, head = (container.lines[0].get_xydata() for container in axis.containers)
    assert own[:, 0].tolist() == [0.9, 0.6] and own[:, 1].round().tolist() == [1, 0]
    assert head[:, 0].tolist() == [0.7, 0.8] and (head[:, 1] > own[:, 1]).all()


def test_shifts_average_over_the_tasks_that_have_such_pictures():
    lamp = {"shifted": {"failing lamp": (0.6, 0.5, 0.7)}}
    rows = [row("linear", 1.0, 1, **lamp), row("linear", 0.5, 1, task="parcel: camera")]
    assert adapting.above_chance(rows[0], "failing lamp") == pytest.approx(0.2)
    assert adapting.above_chance(rows[0], "as in training") == 1
    adapting.shifts({"head": rows})
    (axis,) = plt.gcf().axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["as in training", "failing lamp"]
    assert [bar.get_height() for bar in axis.patches] == pytest.approx([0.5, 0.2])


def test_pictures_are_written_where_they_are_asked_for(tmp_path):
    adapting.shifts({"head": [row("linear", 0.7, 1)]}, tmp_path / "shifts.jpg")
    assert (tmp_path / "shifts.jpg").stat().st_size > 1000
