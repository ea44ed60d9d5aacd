"""How a claim is judged: figures are looked up, compared by a rule, and told in a sentence that is made of them.

The verdict follows from the figures as they are stored, rounded, so that whoever reads them comes to the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vfm_course.claims import claim
from vfm_course.claims import figure as quoted
from vfm_course.errors import UserError
from vfm_course.intervals import paired_interval, t_interval
from vfm_course.pretraining.short.studies import stored

REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced at this scale"
NOT_TESTABLE = "not testable here"
VERDICTS = (REPRODUCED, NOT_REPRODUCED, NOT_TESTABLE)
ONE_RUN = "one pretraining run each"


@dataclass(frozen=True)
class Judgement:
    """A verdict, why in one sentence, and the figures it rests on by name: value, low, high, of, seeds."""

    verdict: str
    reason: str
    evidence: dict[str, dict] = field(default_factory=dict)


@dataclass(frozen=True)
class Statement:
    """A claim of the field: whose it is, the experiment that tests it in small, and how that is judged."""

    id: str
    section: str  # of the syllabus
    claim: str
    source: str
    experiment: str
    judge: Callable[[], Judgement]


@dataclass(frozen=True)
class Figure:
    """A measured figure: `key` names it in the evidence, `called` in a sentence; `by_seed` where runs can be paired."""

    key: str
    called: str
    record: dict
    by_seed: Mapping | None = None

    def __str__(self) -> str:
        return f"{self.called} {quoted(self.record)}"

    @property
    def basis(self) -> str:
        """How many runs of pretraining it rests on, in words."""
        return ONE_RUN if self.by_seed is None else f"{self.record['seeds']} seeds"


@dataclass(frozen=True)
class Check:
    """One comparison: whether it came out as claimed, that in words, the figures in it, and what runs it rests on."""

    holds: bool
    words: str
    figures: tuple[Figure, ...]
    basis: str


# --- looking up -----------------------------------------------------------------------------------------------------


def pocket(key: str, called: str) -> Figure:
    """The figure MODEL.MEASURE of a pocket checkpoint from data/claims.json."""
    found = claim(key)
    return Figure(key, called, {part: found[part] for part in ("value", "low", "high", "of", "seeds")})


def rows_of(study: str, **case) -> list[dict]:
    """The stored rows of a study that are of this case.

    Raises:
        UserError: its file is missing, or what it holds are no rows.
    """
    found = stored(study)
    if not isinstance(found, list) or not all(isinstance(row, dict) and "seed" in row for row in found):
        raise UserError(f"The stored study {study} is damaged (its rows are no rows): {again(study)}.")
    return [row for row in found if all(row.get(name) == value for name, value in case.items())]


def runs(study: str, **case) -> dict[int, dict]:
    """The one run of this case that a study holds for each seed.

    Raises:
        UserError: fewer than two seeds, or two runs of one.
    """
    rows = sorted(rows_of(study, **case), key=lambda row: row["seed"])
    found = {row["seed"]: row for row in rows}
    if len(found) < 2 or len(found) < len(rows):
        said = ", ".join(f"{name} {value}" for name, value in case.items())
        raise UserError(
            f"The stored study {study} holds {len(rows)} runs of {said} with {len(found)} seeds, but one run of "
            f"each of two seeds or more is needed: {again(study)}."
        )
    return found


def again(study: str) -> str:
    """What to do about a study whose stored rows are not what they should be."""
    return (
        "restore it with `git checkout -- data`, or measure again with "
        f"`python -m vfm_course.pretraining.short.studies {study}`"
    )


def value_at(row: dict, path: str, study: str) -> float:
    """What a row of a study holds at `told.concept`; of a record the value.

    Raises:
        UserError: nothing is there, or no number.
    """
    found = row
    try:
        for part in path.split("."):
            found = found[part]
        number = float(found["value"] if isinstance(found, dict) else found)
    except (KeyError, TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"A row of the stored study {study} holds no number {path!r}: {again(study)}.")
    return number


def over_seeds(key: str, called: str, by_seed: Mapping, of: str) -> Figure:
    """The mean of one number a seed, with its t interval over seeds."""
    interval = t_interval(list(by_seed.values()))
    return Figure(key, called, record(interval, f"{of}; mean, 95 % t interval over seeds", len(by_seed)), by_seed)


def spanning_seeds(key: str, called: str, by_seed: Mapping, of: str) -> Figure:
    """The same with the lowest and the highest seed in place of an interval: for numbers that are bounded or skewed."""
    values = list(by_seed.values())
    ends = (sum(values) / len(values), min(values), max(values))
    return Figure(key, called, record(ends, f"{of}; mean, lowest and highest seed", len(values)), by_seed)


def measured(study: str, path: str, called: str, of: str, **case) -> Figure:
    """The number at a path of a study's rows of this case, over its seeds."""
    by_seed = {seed: value_at(row, path, study) for seed, row in runs(study, **case).items()}
    return over_seeds(f"{', '.join(map(str, case.values()))}: {path}", called, by_seed, of)


def minus(first: Figure, second: Figure) -> Figure:
    """The difference of what was measured with the same seeds.

    Raises:
        UserError: the seeds are not the same.
    """
    if set(first.by_seed) != set(second.by_seed):
        raise UserError(f"{first.key} and {second.key} were not run with the same seeds: run the study again.")
    by_seed = {seed: first.by_seed[seed] - second.by_seed[seed] for seed in first.by_seed}
    interval = paired_interval(list(first.by_seed.values()), [second.by_seed[seed] for seed in first.by_seed])
    of = "difference of both; mean, 95 % paired t interval over seeds"
    return Figure(f"{first.key} - {second.key}", "difference", record(interval, of, len(by_seed)), by_seed)


def record(ends: Iterable[float], of: str, seeds: int) -> dict:
    """A figure as it is stored: value, low and high rounded, what it is of, and how many seeds."""
    value, low, high = (round(float(end), 4) + 0.0 for end in ends)  # + 0.0: there is no -0.0
    return {"value": value, "low": low, "high": high, "of": of, "seeds": seeds}


# --- comparing ------------------------------------------------------------------------------------------------------


def beats(one: Figure, other: Figure) -> bool:
    """Whether one's whole interval lies above the other's."""
    return one.record["low"] > other.record["high"]


def apart(what: str, better: Figure, *others: Figure) -> Check:
    """One run each: the whole interval of `better` lies above that of every other one."""
    holds = all(beats(better, other) for other in others)
    return Check(holds, _against(what, better, others), (better, *others), better.basis)


def unbeaten(what: str, first: Figure, *others: Figure) -> Check:
    """One run each: of no other one the whole interval lies above that of `first`."""
    holds = not any(beats(other, first) for other in others)
    return Check(holds, _against(what, first, others), (first, *others), first.basis)


def behind(what: str, worse: Figure, *others: Figure) -> Check:
    """One run each: the whole interval of `worse` lies below that of every other one."""
    holds = all(beats(other, worse) for other in others)
    return Check(holds, _against(what, worse, others), (worse, *others), worse.basis)


def above(what: str, better: Figure, other: Figure) -> Check:
    """Several seeds: the interval of the paired difference lies above zero."""
    gap = minus(better, other)
    words = f"{what}: {better} against {other}, {gap}, {side(gap)}"
    return Check(gap.record["low"] > 0, words, (better, other, gap), better.basis)


def hardly_below(what: str, one: Figure, other: Figure, margin: float) -> Check:
    """Several seeds: the interval of the paired difference lies above -margin, so that the one is as good as the other.

    That zero is within the interval would not do: of two that are hardly measured it always is.
    """
    gap = minus(one, other)
    holds = gap.record["low"] > -margin
    words = f"{what}: {one} against {other}, {gap}, {'all' if holds else 'not all'} above {-margin}"
    return Check(holds, words, (one, other, gap), one.basis)


def side(gap: Figure) -> str:
    """Where the interval of a difference lies, in words."""
    if gap.record["low"] > 0:
        return "all above zero"
    return "all below zero" if gap.record["high"] < 0 else "zero within it"


def _against(what: str, first: Figure, others: Sequence[Figure]) -> str:
    """`what: MAE 0.850 (…), below CLIP 0.963 (…) and DINOv2 0.906 (…), not told apart from I-JEPA 0.874 (…)`."""
    places: dict[str, list[str]] = {}
    for other in others:
        place = "above" if beats(first, other) else "below" if beats(other, first) else "not told apart from"
        places.setdefault(place, []).append(str(other))
    return f"{what}: {first}, " + ", ".join(f"{place} {listed(some)}" for place, some in places.items())


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, end = words
    return f"{', '.join(most)} and {end}" if most else end


# --- concluding -----------------------------------------------------------------------------------------------------


def conclude(*checks: Check, told: Sequence[Check] = (), note: str = "") -> Judgement:
    """Reproduced if all checks hold.

    Args:
        told: comparisons that are told as well, and decide nothing.
        note: words for the end of the sentence: what the figures do not say.
    """
    shown = [*checks, *told]
    ends = [*dict.fromkeys(check.basis for check in shown), *([note] if note else [])]
    reason = "; ".join([*(check.words for check in shown), *ends])
    evidence = {figure.key: figure.record for check in shown for figure in check.figures}
    verdict = REPRODUCED if all(check.holds for check in checks) else NOT_REPRODUCED
    return Judgement(verdict, f"{reason[0].upper()}{reason[1:]}.", evidence)


def untestable(why: str) -> Judgement:
    """No figures, and why there are none."""
    return Judgement(NOT_TESTABLE, why)
