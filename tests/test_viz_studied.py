"""Figures of short runs and stored studies: what stands where, of rows whose numbers are known."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from vfm_course.objectives.mae import patchify
from vfm_course.viz import live, short_runs, studied
from vfm_course.viz.adapting import COLOURS

pytestmark = pytest.mark.usefixtures("figures")


def value(number: float, **more) -> dict:
    return {"value": number, "chance": 0.25} | more


def test_noise_shows_every_seed_and_the_mean_and_leaves_out_what_was_not_asked():
    rows = [
        {"seed": seed, "model": "mae", "amount": amount, "told": {"concept": value(0.5 - amount / 1000 + seed / 10)}
         | ({"texture": value(0.4)} if amount else {})}
        for seed in (0, 1) for amount in (0, 100)
    ]  # fmt: skip
    studied.noise_kept(rows, asked=("concept", "texture"))
    concept, texture = plt.gcf().axes
    mean, dots, chance = concept.lines
    assert mean.get_label() == "MAE" and mean.get_xydata().tolist() == [
        [0, pytest.approx(0.55)],
        [100, pytest.approx(0.45)],
    ]
    assert len(dots.get_xydata()) == 4 and chance.get_ydata()[0] == 0.25
    assert texture.lines[0].get_xdata().tolist() == [100]


def test_scaling_marks_the_largest_as_held_out_and_draws_the_law_beyond_it():
    rows = [{"axis": axis, "parameters": n * 10, "pairs": n, "images": n, "loss": 3 + seed / 10}
            for axis in ("width", "pairs", "images") for n in (1, 2, 4) for seed in (0, 1)]  # fmt: skip
    studied.scaling(rows, dict.fromkeys(("width", "pairs", "images"), lambda x: 3 + 0 * x))
    size = plt.gcf().axes[0]
    lines = {line.get_label(): line for line in size.lines}
    assert sorted(set(lines["fitted"].get_xdata())) == [10, 20] and set(lines["held out"].get_xdata()) == {40}
    assert lines["power law"].get_xdata().max() == pytest.approx(80)


def test_curation_has_a_bar_a_way_and_says_what_was_kept():
    rows = [{"way": way, "zero_shot": value(share + seed / 100), "right": 0.5, "pairs": 1200}
            for way, share in (("raw", 0.1), ("filtered", 0.3)) for seed in (0, 1, 2)]  # fmt: skip
    studied.curation(rows)
    (axis,) = plt.gcf().axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["filtered", "raw"]
    assert [bar.get_width() for bar in axis.patches] == [pytest.approx(0.31), pytest.approx(0.11)]
    assert "1,200 pairs, 50% of captions right" in axis.texts[0].get_text()


def gram_rows() -> list[dict]:
    return [
        {"seed": seed, "objective": "clip", "anchored": anchored, "seen": [
            {"images": images, "concept": value(0.1), "correspondence": value(0.5), "likeness": value(0.9)}
            | ({"gram": np.eye(4).tolist()} if seed == 0 else {})
            for images in (0, 1000)]}
        for seed in (0, 1) for anchored in (False, True, "early")
    ]  # fmt: skip


def test_gram_matrices_have_a_row_a_kind_of_run_and_curves_a_line():
    studied.gram_matrices(gram_rows(), "clip")
    axes = plt.gcf().axes
    assert [axis.get_ylabel() for axis in axes if axis.get_ylabel()] == ["free", "anchored", "anchored early", "cosine"]
    assert axes[1].get_title() == "1,000 images" and len(axes) == 3 * 2 + 1
    studied.gram_curves(gram_rows())
    named = [text.get_text() for text in plt.gcf().axes[0].get_legend().get_texts()]
    assert named == ["CLIP", "CLIP, anchored", "CLIP, anchored early"]


def test_patches_go_back_to_where_they_came_from():
    pixels = torch.randn(2, 3, 48, 48)
    assert torch.equal(short_runs.from_patches(patchify(pixels, 8)), pixels)
    white = short_runs.to_pictures(torch.full((1, 3, 8, 8), 9.0))
    assert white.shape == (1, 8, 8, 3) and (white == 1).all()


def test_what_is_hidden_is_grey_and_asked_blocks_are_framed():
    pixels = torch.full((1, 3, 48, 48), 9.0)
    short_runs.blocks(pixels, [torch.tensor([0, 1])], [torch.tensor([[7, 8, 13, 14]])])
    seen, asked = plt.gcf().axes
    picture = seen.images[0].get_array()
    assert (picture[:8, :16] == 1).all() and np.allclose(picture[8:], short_runs.HIDDEN)
    frame = asked.lines[0].get_xydata()
    assert frame.min(axis=0).tolist() == [7.5, 7.5] and frame.max(axis=0).tolist() == [23.5, 23.5]


def test_matches_are_green_within_one_patch_and_counted():
    picture = Image.new("RGB", (64, 64))
    truth = torch.tensor([[row, column] for row in range(8) for column in range(8)])
    nearest = torch.arange(64)
    nearest[9], nearest[20] = 18, 63  # one to the side and down, which counts; far away, which does not
    short_runs.matches(picture, picture, {"clip": nearest}, truth, [9, 20, 30])
    (axis,) = plt.gcf().axes
    assert axis.get_title() == "clip: 2 of 3 right"
    assert [line.get_color() for line in axis.lines] == [COLOURS[2], COLOURS[1], COLOURS[2]]


def test_a_live_figure_is_shown_once_and_then_renewed(monkeypatch):
    shown = []

    class Handle:
        def update(self, picture):
            shown.append("renewed")

    def display(picture, display_id):
        assert picture.data.startswith(b"\x89PNG")
        shown.append("new")
        return Handle()

    monkeypatch.setattr(live, "display", display)
    monkeypatch.setattr(live, "EVERY", 0.0)
    curves = live.Live(300, {"loss": "loss", "deviation": "deviation"}, "one")
    for images in (100, 200):
        curves.watch(images, {"images": images, "loss": 1.0, "deviation": 0.5})
    curves.begin("two")
    curves.watch(100, {"loss": 3.0, "deviation": 0.1})
    curves.close()
    assert shown == ["new", "renewed", "renewed", "renewed"]
    loss, deviation = curves.figure().axes
    assert [text.get_text() for text in deviation.get_legend().get_texts()] == ["one", "two"]
    assert loss.lines[-1].get_ydata().tolist() == [3.0] and loss.get_xlim() == (0, 300)
