"""Figures show what they are given, and the widget says what is wrong with what was typed."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from vfm_course.intervals import bootstrap_interval
from vfm_course.viz import charts, explorer, inline, pictures

pytestmark = pytest.mark.usefixtures("figures")

NAMES = ["cat_01.jpg", "cat_02.jpg", "old_car_01.png"]
IMAGES = [Image.new("RGB", (8, 6), colour) for colour in ("red", "green", "blue")]


def titles() -> list[str]:
    return [axis.get_title() for axis in plt.gcf().axes if axis.get_title()]


def test_groups_come_from_the_names():
    assert [pictures.group_of(name) for name in NAMES] == ["cat", "cat", "old_car"]


def test_neighbours_are_framed_by_whether_the_names_agree():
    similarity = torch.tensor([[1.0, 0.5, 0.25], [0.5, 1.0, 0.125], [0.25, 0.125, 1.0]])
    pictures.neighbour_rows(IMAGES, NAMES, {"A": torch.tensor([[1, 2], [0, 2], [0, 1]])}, {"A": similarity}, [0])
    assert titles() == ["cat_01.jpg", "A 0.50", "A 0.25"]
    frames = [axis.spines["top"].get_edgecolor() for axis in plt.gcf().axes]
    expected = [pictures.PLAIN, pictures.RIGHT, pictures.WRONG]
    assert frames == [plt.matplotlib.colors.to_rgba(colour) for colour in expected]


def test_pairs_name_what_they_show_and_say_none():
    pictures.pairs(IMAGES, NAMES, {"far": [(0, 1, "because")], "near": []})
    shown = [part.get_suptitle() for part in plt.gcf().subfigs]
    assert shown == ["far", "near: none"]
    assert titles() == ["cat_01.jpg", "cat_02.jpg"]


def test_rows_hold_their_pictures_in_order_under_their_words():
    pictures.rows({"a red boat": IMAGES[:2], "a cat": IMAGES[2:]})
    axes = np.reshape(plt.gcf().axes, (2, 2))
    assert [row[0].get_title(loc="left") for row in axes] == ["a red boat", "a cat"]
    shown = [[len(axis.images) and axis.images[0].get_array()[0, 0].tolist() for axis in row] for row in axes]
    assert shown == [[[255, 0, 0], [0, 128, 0]], [[0, 0, 255], 0]]


def test_maps_share_one_scale_and_leave_out_what_is_not_known():
    one, other = torch.tensor([[[1.0, torch.nan]]]), torch.tensor([[[3.0, 2.0]]])
    pictures.maps(IMAGES[:1], {"true": one, "said": other}, "distance (frames)")
    upper, *lower, scale = plt.gcf().axes
    assert upper.images[0].get_array()[0, 0].tolist() == [255, 0, 0]
    assert [axis.get_ylabel() for axis in lower] == ["true", "said"] and scale.get_ylabel() == "distance (frames)"
    assert [axis.images[0].get_clim() for axis in lower] == [(1.0, 3.0)] * 2
    assert np.ma.getmaskarray(lower[0].images[0].get_array()).tolist() == [[False, True]]


@pytest.mark.filterwarnings("ignore:InlineBackend:DeprecationWarning")  # traitlets' own, of matplotlib-inline
def test_a_kernel_keeps_figures_as_jpeg_unless_told_otherwise(monkeypatch):
    from matplotlib_inline.config import InlineBackend

    backend = InlineBackend(parent=None)
    monkeypatch.setattr(InlineBackend, "instance", lambda parent: backend)
    monkeypatch.setattr("IPython.get_ipython", lambda: None)
    inline.small_figures()
    assert backend.figure_formats == {"png"}  # no kernel
    monkeypatch.setattr("IPython.get_ipython", object)
    inline.small_figures()
    assert backend.figure_formats == {"jpeg"} and backend.print_figure_kwargs["bbox_inches"] == "tight"
    backend.figure_formats = {"svg"}
    inline.small_figures()
    assert backend.figure_formats == {"svg"}


def test_bars_stand_for_the_best_labels_in_order():
    charts.label_bars(IMAGES[:1], [torch.tensor([0.1, 0.7, 0.2])], ["a cat", "a dog", "a car"], most=2)
    bars = plt.gcf().axes[1]
    assert [text.get_text() for text in bars.get_yticklabels()] == ["a dog", "a car"]
    assert [bar.get_width() for bar in bars.patches] == pytest.approx([0.7, 0.2])


def test_shares_draw_their_intervals_and_chance():
    rows = {"model": {"thing": (0.5, 0.4, 0.7)}, "pixels": {"thing": (0.1, 0.1, 0.1)}}
    charts.shares_with_intervals(rows, {"thing": 0.0625}, "share")
    axis = plt.gca()
    low, high = axis.collections[0].get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((0.4, 0.7))
    assert axis.lines[-1].get_ydata()[0] == 0.0625


def test_the_explorer_scores_what_is_typed_and_says_what_it_cannot_read():
    asked = []

    def score(number, labels, template):
        asked.append((number, labels, template))
        return torch.tensor([0.75, 0.25])

    words = frozenset({"a", "cat", "car", "photo", "of"})
    box = explorer.label_explorer(IMAGES, NAMES, score, "a cat, a car", words)
    name, typed, template, message, picture = box.children
    assert asked[-1] == (0, ["a cat", "a car"], "a photo of {}")
    first = picture.value
    assert bytes(first[:4]) == b"\x89PNG" and not plt.get_fignums()  # in the widget, and not below the cell again
    name.value = "cat_02.jpg"
    assert asked[-1][0] == 1 and picture.value != first
    for widget, wrong, sentence in (
        (typed, "a zebra, a cat", "cannot read zebra"),
        (typed, "a cat", "nothing to choose from"),
        (template, "a photo", "must hold {} once"),
    ):
        before, calls = widget.value, len(asked)
        widget.value = wrong
        assert sentence in message.value and len(asked) == calls
        widget.value = before
        assert message.value == ""


def test_intervals_hold_the_mean_and_shrink_with_more_values():
    values = np.random.default_rng(0).normal(5, 1, 400)
    mean, low, high = bootstrap_interval(values)
    assert mean == pytest.approx(values.mean()) and low < mean < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)
    few = bootstrap_interval(values[:25])
    assert few[2] - few[1] > 2 * (high - low)
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_interval([])
