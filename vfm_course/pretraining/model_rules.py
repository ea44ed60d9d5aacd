"""Rules for claims that rest on the pocket checkpoints, one pretraining run each, and on heads on them."""

from __future__ import annotations

from collections.abc import Callable

from vfm_course.errors import UserError
from vfm_course.intervals import t_interval
from vfm_course.pretraining import rules
from vfm_course.pretraining.rules import Check, Figure, Judgement, apart, beats, conclude, listed, record, side

TITLES = {"clip": "CLIP", "siglip": "SigLIP", "mae": "MAE", "ijepa": "I-JEPA", "dinov2": "DINOv2", "dino": "DINO",
          "random": "random weights"}  # fmt: skip
GENERAL = ("clip", "siglip", "mae", "ijepa", "dinov2")  # pretrained without the concepts' labels
MEASURES = {  # of data/claims.json, and how they are called in a sentence
    "linear": "concept by a linear probe",
    "correspondence": "correspondence of patches",
    "background": "background",
    "position": "R² of the place",
    "foreground": "foreground IoU",
    "finetune_many_start": "concept by a linear probe on as many labels",
    "finetune_many": "fine-tuned",
}
COMPARED = ("linear", "correspondence", "background", "position", "foreground")
CAPTIONED = "the captions name the concepts that are asked for"


def of_model(name: str, measure: str) -> Figure:
    """A pocket checkpoint's figure, called by the model's name."""
    return rules.pocket(f"{name}.{measure}", TITLES.get(name, name))


def compared(measure: str, better: str, *others: str, rule: Callable[..., Check] = apart) -> Check:
    """One measure, one model against others."""
    return rule(MEASURES[measure], *(of_model(name, measure) for name in (better, *others)))


def ranked(measure: str, better: str, *others: str, note: str = "") -> Judgement:
    """One model is better at a measure than each of the others."""
    return conclude(compared(measure, better, *others), note=note)


def last(measure: str, worse: str, *others: str) -> Judgement:
    """One model is worse at a measure than each of the others."""
    return conclude(compared(measure, worse, *others, rule=rules.behind))


def language_names_best() -> Judgement:
    """Each of the two models that learnt from captions tells the concept better than each that did not."""
    others = [name for name in GENERAL if name not in ("clip", "siglip")]
    return conclude(*(compared("linear", name, *others) for name in ("clip", "siglip")), note=CAPTIONED)


def gains_more_than_clip() -> Judgement:
    """Fine-tuning adds more to MAE than to CLIP; told as well is where they, and random weights, begin and end."""
    ends = [compared(measure, "clip", "mae", "random") for measure in ("finetune_many_start", "finetune_many")]
    note = "CLIP begins near the top and has little left to gain, and random weights have everything to gain"
    return conclude(apart("gain", _gain("mae"), _gain("clip")), told=ends, note=note)


def _gain(model: str) -> Figure:
    """The interval is as wide as both ends allow, for they are not paired."""
    before, after = (of_model(model, measure).record for measure in ("finetune_many_start", "finetune_many"))
    ends = (after["value"] - before["value"], after["low"] - before["high"], after["high"] - before["low"])
    of = "accuracy after fine-tuning minus that of a linear probe before, on the same labels"
    return Figure(f"{model}.gain", TITLES[model], record(ends, of, after["seeds"]))


def fine_tuned_is_not_behind() -> Judgement:
    """No other pretrained encoder is clearly better than MAE once all are fine-tuned."""
    others = [name for name in GENERAL if name != "mae"]
    return conclude(compared("finetune_many", "mae", *others, rule=rules.unbeaten))


def every_model_is_beaten() -> Judgement:
    """No model is at the top of every measure: each is clearly beaten by another one in at least one."""
    found = {measure: {name: of_model(name, measure) for name in GENERAL} for measure in COMPARED}
    beaten = {
        name for name in GENERAL for each in found.values() if any(beats(other, each[name]) for other in each.values())
    }
    best = (f"{MEASURES[measure]} {max(each.values(), key=_value)}" for measure, each in found.items())
    left = [TITLES[name] for name in GENERAL if name not in beaten]
    end = f"clearly beaten in none of these: {listed(left)}" if left else "each model is clearly beaten at least once"
    words = f"best in {', in '.join(best)}; {end}"
    figures = tuple(figure for each in found.values() for figure in each.values())
    return conclude(Check(not left, words, figures, rules.ONE_RUN))


def _value(figure: Figure) -> float:
    return figure.record["value"]


def obeys_signs() -> Judgement:
    """A wrong name on a sign makes the model say that name more often than the same sign without it."""

    def sign(measure: str, called: str) -> Figure:
        return rules.pocket(f"clip-signs.{measure}", called)

    wrong, empty = "signs with a wrong name", "empty signs"
    taken = apart("taken for that name", sign("attack_success", wrong), sign("attack_blank", empty))
    named = apart("named rightly", sign("zero_shot_wrong_sign", wrong), sign("zero_shot_blank_sign", empty))
    return conclude(taken, told=[named])


# --- heads under a shift --------------------------------------------------------------------------------------------


def adapted(name: str) -> list:
    """The stored rows of a study of adaptation."""
    from vfm_course.adapt import studies  # imports torch

    return studies.stored(name)


def heads_are_brittle() -> Judgement:
    """Heads on DINOv2 with all labels are less accurate on shifted parcels, over the tasks, for each kind of shift.

    Raises:
        UserError: the study is missing, or there are too few tasks.
    """
    rows: dict = {}
    for row in adapted("parcels"):
        if (row.model, row.method) == ("dinov2", "linear") and row.labels > getattr(rows.get(row.task), "labels", 0):
            rows[row.task] = row
    kinds = sorted({kind for row in rows.values() for kind in row.shifted})
    by_kind = {kind: [row for row in rows.values() if kind in row.shifted] for kind in kinds}
    if not kinds or min(map(len, by_kind.values())) < 2:
        raise UserError(
            "The stored study parcels holds too few heads on DINOv2 that were shown shifted pictures: restore it with "
            "`git checkout -- data`, or measure again with `python -m vfm_course.adapt.studies parcels`."
        )
    note = "the intervals are over tasks, on one pretrained model"
    return conclude(*(_shift(kind, some) for kind, some in by_kind.items()), note=note)


def _shift(kind: str, rows: list) -> Check:
    numbers = {
        "as in training": [row.accuracy[0] for row in rows],
        "shifted": [row.shifted[kind][0] for row in rows],
        "difference": [row.accuracy[0] - row.shifted[kind][0] for row in rows],
    }
    seeds, of = len(rows[0].by_seed), f"accuracy of a head on DINOv2; mean, 95 % t interval over {len(rows)} tasks"
    before, after, gap = (
        Figure(f"{kind}: {called}", called, record(t_interval(values), of, seeds)) for called, values in numbers.items()
    )
    words = f"{kind}: {before} against {after}, {gap}, {side(gap)}"
    return Check(gap.record["low"] > 0, words, (before, after, gap), f"{seeds} seeds a task")
