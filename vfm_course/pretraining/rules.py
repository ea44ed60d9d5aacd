"""How a claim is judged: figures are looked up, compared by a rule, and told in a sentence that is made of them.

The verdict follows from the figures as they are stored, rounded, so that whoever reads them comes to the same.
"""

from __future__ import annotations

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
TITLES = {"clip": "CLIP", "siglip": "SigLIP", "mae": "MAE", "ijepa": "I-JEPA", "dinov2": "DINOv2", "dino": "DINO",
          "random": "random weights"}  # fmt: skip


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
    """A measured figure: `key` names it in the evidence, `called` in a sentence. `by_seed` where runs can be paired."""

    key: str
    called: str
    record: dict
    by_seed: Mapping | None = None

    def __str__(self) -> str:
        return f"{self.called} {quoted(self.record)}"

    @property
    def runs(self) -> str:
        """How many runs of pretraining it rests on, in words."""
        return ONE_RUN if self.by_seed is None else f"{self.record['seeds']} seeds"


@dataclass(frozen=True)
class Check:
    """One comparison: whether it came out as claimed, that in words, the figures in it, and how many runs it is of."""

    holds: bool
    words: str
    figures: tuple[Figure, ...]
    runs: str


# --- looking up -----------------------------------------------------------------------------------------------------


def pocket(key: str, called: str | None = None) -> Figure:
    """The figure MODEL.MEASURE of a pocket checkpoint from data/claims.json; called by the model's name if not given."""
    found = claim(key)
    name = key.partition(".")[0]
    record = {part: found[part] for part in ("value", "low", "high", "of", "seeds")}
    return Figure(key, called or TITLES.get(name, name), record)


def runs(study: str, **case) -> dict[int, dict]:
    """The stored rows of a study that are of this case, by seed.

    Raises:
        UserError: fewer than two, or two of one seed, or rows that are no rows.
    """
    said = ", ".join(f"{name} {value}" for name, value in case.items())
    again = f"measure again with `python -m vfm_course.pretraining.short.studies {study}`"
    try:
        rows = [row for row in stored(study) if all(row.get(name) == value for name, value in case.items())]
        found = {row["seed"]: row for row in sorted(rows, key=lambda row: row["seed"])}
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"The stored study {study} is damaged ({type(error).__name__}): {again}.") from error
    if len(found) < 2 or len(found) < len(rows):
        raise UserError(f"The stored study {study} holds {len(rows)} runs of {said} with {len(found)} seeds: {again}.")
    return found


def value_at(row: dict, path: str) -> float:
    """What a row holds at `told.concept`; of a record the value.

    Raises:
        UserError: nothing is there, or no number.
    """
    found = row
    try:
        for part in path.split("."):
            found = found[part]
        return float(found["value"] if isinstance(found, dict) else found)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"A stored row of seed {row.get('seed')} holds no number {path!r}: restore data/pretraining, "
                        "or measure again with `python -m vfm_course.pretraining.short.studies`.") from error  # fmt: skip


def over_seeds(key: str, called: str, by_seed: Mapping, of: str) -> Figure:
    """The mean of one number a seed, with its t interval over seeds."""
    return Figure(key, called, _record(t_interval(list(by_seed.values())), f"{of}; mean, 95 % t interval over seeds",
                                       len(by_seed)), by_seed)  # fmt: skip


def spanning_seeds(key: str, called: str, by_seed: Mapping, of: str) -> Figure:
    """The same with the lowest and the highest seed in place of an interval: for numbers that are no free means."""
    values = list(by_seed.values())
    ends = (sum(values) / len(values), min(values), max(values))
    return Figure(key, called, _record(ends, f"{of}; mean, lowest and highest seed", len(values)), by_seed)


def measured(study: str, path: str, called: str, of: str, **case) -> Figure:
    """The number at a path of a study's rows of this case, over its seeds."""
    by_seed = {seed: value_at(row, path) for seed, row in runs(study, **case).items()}
    return over_seeds(f"{', '.join(map(str, case.values()))}: {path}", called, by_seed, of)


def minus(first: Figure, second: Figure) -> Figure:
    """The difference of what was measured with the same seeds.

    Raises:
        UserError: the seeds are not the same.
    """
    if set(first.by_seed) != set(second.by_seed):
        raise UserError(f"{first.key} and {second.key} were not run with the same seeds: run the study again.")
    by_seed = {seed: first.by_seed[seed] - second.by_seed[seed] for seed in first.by_seed}
    record = _record(paired_interval(list(first.by_seed.values()), [second.by_seed[seed] for seed in first.by_seed]),
                     "difference of both; mean, 95 % paired t interval over seeds", len(by_seed))  # fmt: skip
    return Figure(f"{first.key} - {second.key}", "difference", record, by_seed)


def _record(ends: Iterable[float], of: str, seeds: int) -> dict:
    value, low, high = (round(float(end), 4) for end in ends)
    return {"value": value, "low": low, "high": high, "of": of, "seeds": seeds}


# --- comparing ------------------------------------------------------------------------------------------------------


def apart(what: str, better: Figure, *others: Figure) -> Check:
    """One run each: the whole interval of `better` lies above that of every other one."""
    holds = all(better.record["low"] > other.record["high"] for other in others)
    return Check(holds, _told(what, better, others), (better, *others), better.runs)


def unbeaten(what: str, first: Figure, *others: Figure) -> Check:
    """One run each: of no other one the whole interval lies above that of `first`."""
    holds = not any(beats(other, first) for other in others)
    return Check(holds, _told(what, first, others), (first, *others), first.runs)


def beats(one: Figure, other: Figure) -> bool:
    """Whether one's whole interval lies above the other's."""
    return one.record["low"] > other.record["high"]


def above(what: str, better: Figure, other: Figure) -> Check:
    """Several seeds: the interval of the paired difference lies above zero."""
    gap = minus(better, other)
    low, high = gap.record["low"], gap.record["high"]
    side = "all above zero" if low > 0 else "all below zero" if high < 0 else "zero within it"
    words = f"{what}: {better} against {other}, {gap}, {side}"
    return Check(low > 0, words, (better, other, gap), better.runs)


def hardly_below(what: str, one: Figure, other: Figure, margin: float) -> Check:
    """Several seeds: the interval of the paired difference lies above -margin, so that `one` is as good for all uses."""
    gap = minus(one, other)
    holds = gap.record["low"] > -margin
    words = f"{what}: {one} against {other}, {gap}, {'above' if holds else 'not all above'} {-margin}"
    return Check(holds, words, (one, other, gap), one.runs)


def _told(what: str, first: Figure, others: Sequence[Figure]) -> str:
    """`what: MAE 0.370 (…) against CLIP 0.955 (…), below, and …`: where the first one lies, seen from each other."""

    def place(other: Figure) -> str:
        return "above" if beats(first, other) else "below" if beats(other, first) else "not told apart"

    return f"{what}: {first} against " + " and ".join(f"{other}, {place(other)}" for other in others)


# --- concluding -----------------------------------------------------------------------------------------------------


def conclude(*checks: Check, told: Sequence[Check] = (), note: str = "") -> Judgement:
    """Reproduced if all checks hold.

    Args:
        told: comparisons that are told as well, and decide nothing.
        note: words for the end of the sentence: what the figures do not say.
    """
    shown = [*checks, *told]
    ends = [*dict.fromkeys(check.runs for check in shown), *([note] if note else [])]
    reason = "; ".join([*(check.words for check in shown), *ends])
    evidence = {figure.key: figure.record for check in shown for figure in check.figures}
    verdict = REPRODUCED if all(check.holds for check in checks) else NOT_REPRODUCED
    return Judgement(verdict, f"{reason[0].upper()}{reason[1:]}.", evidence)


def untestable(why: str) -> Judgement:
    """No figures, and why there are none."""
    return Judgement(NOT_TESTABLE, why)
