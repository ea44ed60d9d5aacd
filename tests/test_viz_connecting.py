"""Figures and tables of notebook 04: what stands where, of rows whose numbers are known."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from vfm_course.connectors.cost import ConnectorCost
from vfm_course.errors import UserError
from vfm_course.families import load
from vfm_course.viz import connecting
from vfm_course.vlm import variants
from vfm_course.vlm.looking import query_looks

pytestmark = pytest.mark.usefixtures("figures")

COST = ConnectorCost(trainable_parameters=1000, visual_tokens=64, kv_cache_bytes=2048, prefill_flops=10)


def row(connector: str = "mlp", seed: int = 0, **more) -> dict:
    return {
        "connector": connector,
        "seed": seed,
        "trained": 5000,
        "accuracy": {"colour": 0.25, "all": 0.5, "vqa": 0.6},
    } | more


def hits(right: int, of: int = 100) -> np.ndarray:
    return np.arange(of) < right


def test_a_run_is_called_by_all_that_sets_it_apart():
    assert connecting.called(row("qformer", queries=4, noted=True, stage_one=True, tune_lm=True)) == (
        "Q-Former (BLIP-2), 4 queries, notes, stage one, LM tuned"
    )
    assert connecting.called(row("qformer", queries=1)) == "Q-Former (BLIP-2), 1 query"
    assert connecting.called(row(tune_lm=False)) == "MLP (LLaVA-1.5)"
    closed, half_open = row("gated", noted=True), row("gated", noted=True, alpha=0.5)
    assert connecting.called(closed) == "resampler + gates (Flamingo), notes"
    assert connecting.called(half_open) == "half-open gates (Flamingo), notes"
    assert set(connecting.CALLED) == set(variants.CONNECTORS) and connecting.QUERIES == variants.QUERIES


def test_the_table_has_a_line_a_case_with_its_costs_and_an_interval_around_the_mean(capsys):
    connecting.table([row(), row(seed=1), row("qformer")], [hits(40), hits(60), hits(30)], [COST] * 3)
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("MLP (LLaVA-1.5) ") and second.startswith("Q-Former")
    name_off = first.removeprefix("MLP (LLaVA-1.5)").split()
    tokens, trained, cache, unit, mean, low, _, high, runs = name_off
    assert (tokens, trained, cache, unit, mean, runs) == ("64", "5,000", "2", "KiB", "50.0", "2")
    assert float(low) < 50 < float(high) and second.split()[-1] == "1"


def test_differences_pair_the_seeds_that_both_have_and_call_only_sure_ones_better(capsys):
    rows = [row(), row("qformer"), row("qformer", seed=1), row("gated")]
    connecting.differences(rows, [hits(40), hits(70), hits(0), hits(41)], baseline="MLP (LLaVA-1.5)")
    qformer, gated = capsys.readouterr().out.splitlines()
    assert "+30.0 points" in qformer and qformer.endswith("better")  # seed 1 has no partner
    assert "+1.0 points" in gated and gated.endswith("not told apart")
    connecting.differences(rows[:2], [hits(70), hits(40)], baseline="MLP (LLaVA-1.5)")
    assert capsys.readouterr().out.strip().endswith("worse")


def test_differences_say_nothing_of_cases_without_a_shared_seed(capsys):
    connecting.differences([row(), row("gated", seed=1)], [hits(1), hits(2)], baseline="MLP (LLaVA-1.5)")
    assert capsys.readouterr().out == ""


def test_against_has_a_panel_a_cost_and_a_line_for_who_never_looks():
    rows = [row(), row(seed=1), row("qformer", stage_one=True)]
    costs = {"tokens": [64, 64, 16], "weights": [10, 10, 1000]}
    connecting.against(rows, [hits(40), hits(60), hits(30)], costs, blind=0.35, logarithmic=["weights"])
    tokens, weights = plt.gcf().axes
    assert (tokens.get_xscale(), weights.get_xscale()) == ("linear", "log")
    handles, names = tokens.get_legend_handles_labels()
    bars = dict(zip(names, handles, strict=True))
    assert list(bars) == ["never looks", "MLP (LLaVA-1.5)", "Q-Former (BLIP-2), stage one"]
    assert bars["MLP (LLaVA-1.5)"].lines[0].get_xydata().tolist() == [[64, pytest.approx(50)]]
    assert bars["never looks"].get_ydata()[0] == pytest.approx(35)
    assert bars["Q-Former (BLIP-2), stage one"].lines[0].get_markerfacecolor() == "white"


def test_by_queries_has_a_mean_and_an_interval_a_number_of_queries():
    rows = [row("qformer", queries=4), row("qformer", seed=1, queries=4), row("qformer"), row("qformer", queries=1)]
    connecting.by_queries(rows, [hits(40), hits(60), hits(70), hits(30)], blind=0.35)
    (axis,) = plt.gcf().axes
    runs, means = axis.lines[0], axis.containers[0]
    assert runs.get_xydata().tolist() == [[4, 40], [4, 60], [16, 70], [1, 30]]
    assert means.lines[0].get_xydata().tolist() == [[1, 30], [4, 50], [16, 70]]
    for (_, mean), ((_, low), (_, high)) in zip(
        means.lines[0].get_xydata(), means.lines[2][0].get_segments(), strict=True
    ):
        assert low < mean < high
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "4", "16"]
    assert axis.lines[-1].get_ydata()[0] == pytest.approx(35) and axis.texts[0].get_text() == "never looks"


def test_by_kind_shows_means_over_seeds_above_the_references():
    rows = [row(), row(seed=1, accuracy={"colour": 0.75, "all": 0.5, "vqa": 0.6})]
    connecting.by_kind(rows, {"never looks": {"colour": 0.125, "all": 0.1}})
    (axis,) = plt.gcf().axes
    assert [text.get_text() for text in axis.get_yticklabels()] == ["MLP (LLaVA-1.5)", "never looks"]
    assert [text.get_text() for text in axis.texts] == ["50", "12"]


def test_learning_draws_the_last_stage_alone_and_names_a_case_once():
    curve = [{"stage": 0, "samples": 8, "right": 0.1}, {"stage": 1, "samples": 16, "right": 0.5}]
    connecting.learning([row(curve=curve, tune_lm=True), row(curve=curve, seed=1, tune_lm=True), row(curve=curve)])
    (axis,) = plt.gcf().axes
    assert axis.lines[0].get_xydata().tolist() == [[16, 50]]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == [
        "MLP (LLaVA-1.5), LM tuned",
        "MLP (LLaVA-1.5)",
    ]
    assert (axis.lines[0].get_linestyle(), axis.lines[2].get_linestyle()) == ("-", "--")
    connecting.learning([row("gated", curve=curve), row("gated", curve=curve, alpha=0.5)])
    closed, half_open = plt.gcf().axes[0].lines
    assert closed.get_color() != half_open.get_color()


def test_looks_has_a_panel_a_query_and_puts_attention_where_it_is():
    attention = np.zeros((10, 4, 4))
    attention[2, 3, 0] = 1
    connecting.looks(np.full((8, 8, 3), 200, dtype=np.uint8), attention, columns=9)
    axes = plt.gcf().axes
    assert [axis.get_title() for axis in axes[:3]] == ["picture", "query 0", "query 1"] and axes[
        10
    ].get_title() == "query 9"
    shown = axes[3].images[1].get_array()
    assert shown[3, 0] == 1 and shown.sum() == 1
    assert not axes[11].axison  # the grid's rest stays empty


def test_masks_are_dark_where_a_look_is_allowed():
    allowed = np.tril(np.ones((3, 3), dtype=bool))
    connecting.masks({"generation": allowed}, queries=1)
    (axis,) = plt.gcf().axes
    assert axis.images[0].get_array().tolist() == allowed.tolist() and axis.get_title() == "generation"
    assert [text.get_text() for text in axis.get_xticklabels()] == ["q1", "w1", "w2"]


@pytest.fixture(scope="module")
def blip2():
    return load("blip2", tier="pocket", device="cpu")


def test_a_query_shares_its_attention_among_patches_and_cls(blip2):
    image = Image.fromarray(np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8))
    first, last = query_looks(blip2, image, layer=0), query_looks(blip2, image)
    assert first.shape == last.shape == (16, 8, 8) and first.min() >= 0
    assert first.sum(dim=(1, 2)).max() <= 1 + 1e-5 and not np.allclose(first, last)
    white = Image.new("RGB", (64, 64), "white")
    assert not np.allclose(first, query_looks(blip2, white, layer=0)), "the picture must matter"


def test_looks_are_asked_of_a_q_former_and_of_a_layer_that_it_has(blip2):
    image = Image.new("RGB", (64, 64))
    with pytest.raises(UserError, match="2 layers"):
        query_looks(blip2, image, layer=2)
    with pytest.raises(UserError, match="no Q-Former"):
        query_looks(load("clip", tier="pocket", device="cpu"), image)
