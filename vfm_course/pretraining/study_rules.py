"""Rules for claims that rest on the stored studies of short runs, several seeds each."""

from __future__ import annotations

import numpy as np

from vfm_course.errors import UserError
from vfm_course.pretraining.model_rules import TITLES
from vfm_course.pretraining.rules import (
    Check,
    Figure,
    Judgement,
    above,
    again,
    conclude,
    hardly_below,
    measured,
    minus,
    over_seeds,
    rows_of,
    runs,
    spanning_seeds,
    value_at,
)
from vfm_course.pretraining.short import power_law

STRAIGHT = 0.95  # share of variance that the line has to explain
NEAR = 0.05  # share of the measured loss by which a prediction may be off
COLLAPSED = 0.2  # share of the deviation that may be left in a collapse
AS_GOOD = 0.02  # of zero-shot accuracy, which counts for nothing


# --- scaling --------------------------------------------------------------------------------------------------------


def follows_power_law(axis: str, size: str) -> Judgement:
    """Loss = floor + a * size**-b, fitted for each seed to all but the largest run, which is then predicted.

    Args:
        axis: what the study scaling varies. size: the column that is x.
    """
    x, losses = _curves(axis, size)
    fits = {}
    for seed, y in losses.items():
        floor = power_law.best_floor(x[:-1], y[:-1])
        fits[seed] = (floor, *power_law.fit(x[:-1], y[:-1], floor))
    straight = {seed: power_law.explained(x[:-1], y[:-1], fits[seed][0]) for seed, y in losses.items()}
    predicted = {seed: float(power_law.predict(x[-1], a, b, floor)) for seed, (floor, a, b) in fits.items()}

    def figure(make, called: str, by_seed: dict, of: str) -> Figure:
        return make(f"{axis}: {called}", called, by_seed, of)

    line = figure(spanning_seeds, "R²", straight, "of the line through log(loss - floor) over log(size)")
    exponent, floor = (
        figure(spanning_seeds, name, {seed: fit[at] for seed, fit in fits.items()}, "of floor + a * size**-exponent")
        for name, at in (("exponent", 2), ("floor", 0))
    )
    said = figure(over_seeds, "predicted", predicted, "loss of the largest run by the fit to all smaller ones")
    came = figure(over_seeds, "measured", {seed: y[-1] for seed, y in losses.items()}, "loss of the largest run")
    off, same = (
        figure(over_seeds, called, {seed: guess[seed] / y[-1] - 1 for seed, y in losses.items()},
               f"{guessed} minus the measured loss of the largest run, as a share of the measured")
        for called, guessed, guess in (
            ("off", "predicted", predicted),
            ("off without a law", "loss of the largest run but one", {seed: y[-2] for seed, y in losses.items()}),
        )
    )  # fmt: skip
    within, near = off.record["low"] <= 0 <= off.record["high"], abs(off.record["value"]) <= NEAR
    return conclude(
        Check(line.record["value"] >= STRAIGHT, f"a line through the logarithms has {line}, {STRAIGHT} or more asked",
              (line,), line.basis),
        Check(exponent.record["low"] > 0, f"{exponent}, {floor}", (exponent, floor), exponent.basis),
        Check(within or near, f"the largest run's loss: {said}, {came}, {off} as a share of it, "
              f"zero {'within' if within else 'outside'} its interval and {'at most' if near else 'more than'} {NEAR}; "
              f"{same}",
              (said, came, off, same), off.basis),
    )  # fmt: skip


def _curves(axis: str, size: str) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Sizes (N,) ascending, and by seed the losses on unseen pairs (N,)."""
    by_size = [runs("scaling", axis=axis, **{axis: value}) for value in _values("scaling", axis, axis=axis)]
    seeds = sorted(by_size[0])
    if any(sorted(rows) != seeds for rows in by_size):
        raise UserError(f"Not every size on the axis {axis} was run with the same seeds: {again('scaling')}.")
    x = np.array([value_at(rows[seeds[0]], size, "scaling") for rows in by_size])
    return x, {seed: np.array([value_at(rows[seed], "loss", "scaling") for rows in by_size]) for seed in seeds}


def _values(study: str, column: str, **case) -> list:
    """What a column of numbers takes in a study's rows of a case, ascending."""
    rows = rows_of(study, **case)
    found = sorted({row[column] for row in rows if value_at(row, column, study) is not None})
    if len(found) < 2:
        raise UserError(f"The stored study {study} holds {len(found)} values of {column}: {again(study)}.")
    return found


def few_pairs_are_learnt_by_heart() -> Judgement:
    """With fewer pairs and as many images the loss on them is lower, and that on unseen pairs higher."""
    few, *_, many = _values("scaling", "pairs", axis="pairs")

    def loss(which: str, pairs: int) -> Figure:
        called = "the fewest pairs" if pairs == few else "the most pairs"
        of = f"{which} of {called} at the same number of images seen"
        return measured("scaling", which, called, of, axis="pairs", pairs=pairs)

    return conclude(
        above("loss on unseen pairs", loss("loss", few), loss("loss", many)),
        above("training loss", loss("train_loss", many), loss("train_loss", few)),
    )


# --- curation -------------------------------------------------------------------------------------------------------


def curated_beats(better: str, other: str) -> Judgement:
    """One way of curating gives a better zero-shot accuracy than another at the same number of images seen."""
    return conclude(above("zero-shot", _curated(better), _curated(other)))


def own_filter_is_as_good() -> Judgement:
    """A filter trained on the raw web gives as much as a clean one; told as well is how it is with copies left out."""
    alone, after = (
        hardly_below(said, _curated(own), _curated(clean), AS_GOOD)
        for said, own, clean in (
            ("zero-shot", "filtered by its own CLIP", "filtered by a clean CLIP"),
            ("without copies", "deduplicated and filtered by its own CLIP", "deduplicated and filtered"),
        )
    )
    return conclude(alone, told=[after])


def _curated(way: str) -> Figure:
    return measured("curation", "zero_shot", f"“{way}”", "share of unseen scenes named by the nearest prompt", way=way)


# --- noise ----------------------------------------------------------------------------------------------------------


def falls_further() -> Judgement:
    """From no noise to the most MAE loses more concept accuracy than I-JEPA."""
    return conclude(above("fall in concept accuracy", _fall("mae"), _fall("ijepa")))


def _fall(model: str) -> Figure:
    none, *_, most = _values("noise", "amount", model=model)
    ends = (measured("noise", "told.concept", "", "", model=model, amount=amount) for amount in (none, most))
    of = "accuracy of a linear probe for the concept without noise minus that with most noise"
    return over_seeds(f"{model}: fall", TITLES[model], minus(*ends).by_seed, of)


def tells_more(what: str, of: str, better: str, *others: str) -> Judgement:
    """At the largest amount of noise one model's features tell more of something than each of the others'."""

    def told(model: str) -> Figure:
        most = _values("noise", "amount", model=model)[-1]
        return measured("noise", f"told.{what}", TITLES[model], of, model=model, amount=most)

    return conclude(*(above(of, told(better), told(other)) for other in others))


# --- collapse -------------------------------------------------------------------------------------------------------


def collapses(variant: str) -> Judgement:
    """A variant of I-JEPA: hardly any deviation between pictures is left, and the loss is lower than as it is.

    What the probe tells of the concept is told and decides nothing: it standardises the features, so it makes what
    little is left of them large again, and after so short a run there is little to lose.
    """

    def both(path: str, of: str) -> tuple[Figure, Figure]:
        return tuple(measured("collapse", path, f"“{each}”", of, variant=each) for each in ("as it is", variant))

    whole, rest = both("deviation", "deviation of normalised features from picture to picture at the end")
    if not all(whole.by_seed.values()):
        raise UserError(f"The stored study collapse has no deviation in I-JEPA as it is: {again('collapse')}.")
    shares = {seed: rest.by_seed[seed] / each for seed, each in whole.by_seed.items() if seed in rest.by_seed}
    left = over_seeds(f"{variant}: deviation left", "a share of", shares, "deviation as a share of that as it is")
    holds = left.record["high"] < COLLAPSED
    words = f"deviation: {rest} against {whole}, {left}, {'all' if holds else 'not all'} below {COLLAPSED}"
    return conclude(
        Check(holds, words, (whole, rest, left), left.basis),
        above("loss", *both("loss", "training loss at the end")),
        told=[above("concept", *both("told.concept", "accuracy of a linear probe for the concept"))],
    )


# --- patches in a long run ------------------------------------------------------------------------------------------


def patches_decay(objective: str) -> Judgement:
    """From its best on the way to the end correspondence falls, and the concept is told better.

    When it is at its best is decided for each seed by the others: the highest of several looks of a seed's own would
    lie above its last one by chance alone. The look at random weights does not count.
    """
    looks = {seed: row["seen"][1:] for seed, row in _long_runs(objective, anchored=False).items()}
    curves = {seed: [value_at(look, "correspondence", "gram") for look in seen] for seed, seen in looks.items()}
    best = {
        seed: int(np.mean([curve for other, curve in curves.items() if other != seed], axis=0).argmax())
        for seed in looks
    }
    end = dict.fromkeys(looks, -1)

    def at(what: str, when: dict[int, int], called: str) -> Figure:
        by_seed = {seed: value_at(seen[when[seed]], what, "gram") for seed, seen in looks.items()}
        return over_seeds(f"{objective}: {what} {called}", called, by_seed, f"{what} {called} of a run")

    peak, last = "where patches are best by the other seeds", "at the end"
    return conclude(
        above("correspondence", at("correspondence", best, peak), at("correspondence", end, last)),
        above("concept", at("concept", end, last), at("concept", best, peak)),
    )


def anchor_holds(objective: str, held: bool | str = True) -> Judgement:
    """At the end correspondence is better with the Gram anchor than without; what it costs in concept is told.

    `held` is the study's word for when the anchor was taken.
    """

    def at_the_end(what: str, anchored: bool | str) -> Figure:
        found = _long_runs(objective, anchored)
        by_seed = {seed: value_at(row["seen"][-1], what, "gram") for seed, row in found.items()}
        called = {False: "not anchored", True: "anchored"}.get(anchored, f"anchored {anchored}")
        return over_seeds(f"{objective}, {called}: {what}", called, by_seed, f"{what} at the end of the run")

    patches, concept = (
        above(what, at_the_end(what, held), at_the_end(what, False)) for what in ("correspondence", "concept")
    )
    return conclude(patches, told=[concept])


def _long_runs(objective: str, anchored: bool | str) -> dict[int, dict]:
    found = runs("gram", objective=objective, anchored=anchored)
    looks = {len(row["seen"]) if isinstance(row.get("seen"), list) else 0 for row in found.values()}
    if len(looks) > 1 or min(looks) < 3:
        raise UserError(f"The stored study gram is damaged (its runs were not looked at alike): {again('gram')}.")
    return found
