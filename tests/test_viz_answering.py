"""Figures of notebook 05: what stands where, of numbers that are known."""

import matplotlib.pyplot as plt
import pytest

from vfm_course.viz import answering

pytestmark = pytest.mark.usefixtures("figures")


def test_a_table_of_shares_says_them_in_percent_without_the_sums():
    answering.heat({"one": {"colour": 0.25, "count": 1.0, "all": 0.5}, "other": {"count": 0.0, "colour": 0.5}})
    axis = plt.gcf().axes[0]
    assert [text.get_text() for text in axis.texts] == ["25", "100", "50", "0"]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["colour", "count"]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["one", "other"]


def test_a_line_for_each_way_of_writing():
    answering.times((2, 8), {"with": (0.1, 0.2), "without": (0.1, 0.8)})
    lines = plt.gcf().axes[0].lines
    assert [line.get_label() for line in lines] == ["with", "without"]
    assert lines[1].get_xydata().tolist() == [[2, 0.1], [8, 0.8]]


def test_chains_stand_at_their_lengths_with_their_intervals():
    answering.chains({"one": {2: (0.5, 0.25, 0.75), 1: (0.75, 0.5, 1.0)}, "other": {1: (0, 0, 0), 2: (1, 1, 1)}})
    axis = plt.gcf().axes[0]
    one, other = axis.containers
    assert one.lines[0].get_ydata().tolist() == [75, 50] and other.lines[0].get_ydata().tolist() == [0, 100]
    assert one.lines[0].get_xdata() == pytest.approx([1, 2], abs=0.1)
    assert [segment[:, 1].tolist() for segment in one.lines[2][0].get_segments()] == [[50, 100], [25, 75]]


def test_refusals_have_a_bar_a_model_and_kind_of_question():
    answering.refusals(
        {"one": {"none": (0.2, 0.1, 0.4), "some": (0, 0, 0)}, "other": {"none": (1, 1, 1), "some": (0.5, 0.5, 0.5)}}
    )
    none, some = [container for container in plt.gcf().axes[0].containers if hasattr(container, "patches")]
    assert [bar.get_height() for bar in none] == [20, 100] and [bar.get_height() for bar in some] == [0, 50]
    assert none.errorbar.lines[2][0].get_segments()[0][:, 1].tolist() == pytest.approx([10, 40])
