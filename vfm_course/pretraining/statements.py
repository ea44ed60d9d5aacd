"""The claims of section 3 of the syllabus (scaling, curation, the predictive frontier), each with its test in small."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from vfm_course.pretraining.model_rules import (
    CAPTIONED,
    TITLES,
    every_model_is_beaten,
    fine_tuned_is_not_behind,
    gains_more_than_clip,
    heads_are_brittle,
    language_names_best,
    last,
    obeys_signs,
    ranked,
)
from vfm_course.pretraining.rules import Judgement, Statement, untestable
from vfm_course.pretraining.study_rules import (
    anchor_holds,
    collapses,
    curated_beats,
    falls_further,
    few_pairs_are_learnt_by_heart,
    follows_power_law,
    own_filter_is_as_good,
    patches_decay,
    tells_more,
)

SCALING = "Kaplan et al. 2020, for language; Cherti et al. 2023, for CLIP"
DINOV2, DINOV3 = "DINOv2 (Oquab et al. 2023)", "DINOv3 (Siméoni et al. 2025)"
DATACOMP, DFN = "DataComp (Gadre et al. 2023)", "DFN (Fang et al. 2023)"
MAE, CLIP, JEPA = "MAE (He et al. 2022)", "CLIP (Radford et al. 2021)", "I-JEPA (Assran et al. 2023)"
VJEPA, VJEPA2 = "V-JEPA (Bardes et al. 2024)", "V-JEPA 2 (Assran et al. 2025)"
REPORT = "Stanford's report on foundation models (Bommasani et al. 2021)"
OPEN = "an open question of the field"

SIZES = "study scaling: short CLIPs, the largest left out of the fit and predicted by it"
WEB = "study curation: short CLIPs on what is left of a drawn web of copies and wrong captions, all see as many images"
NOISE = "study noise: short models pretrained and probed on scenes with noise"
SAFEGUARDS = "study collapse: short I-JEPAs with one of the safeguards left out"
LONG = "study gram: a run of {} that is looked at on the way"
PROBES = "probes on the frozen pocket checkpoints"
FINE = "pocket checkpoints: a linear probe, and fine-tuning of all weights on the same labels"
SIGNS = "pocket CLIP trained on with true names on signs: wrong names on signs, and signs with nothing on them"
PARCELS = "study parcels: heads on the frozen pocket DINOv2, judged on packaging and light never seen in training"


def three(name: str, claim: str, source: str, experiment: str, judge: Callable[[], Judgement]) -> Statement:
    """A statement of section 3."""
    return Statement(f"3.{name}", "3", claim, source, experiment, judge)


POWER_LAWS = [
    three(f"power-law-{said.rpartition(' ')[2]}", f"Loss falls as a power law in {said}.", SCALING, SIZES,
          partial(follows_power_law, axis, size))
    for said, axis, size in (
        ("model size", "width", "parameters"), ("data", "pairs", "pairs"), ("compute", "images", "images"),
    )
]  # fmt: skip

CURATION = [
    three(name, claim, source, WEB, partial(curated_beats, better, other))
    for name, claim, source, better, other in (
        ("curated-beats-raw", "At equal compute deduplicated and filtered pairs beat the raw ones.",
         f"{DINOV2}; {DATACOMP}", "deduplicated and filtered", "raw"),
        ("curated-beats-more", "At equal compute curated pairs beat four times as many raw ones.", DATACOMP,
         "deduplicated and filtered", "raw, four times"),
        ("curated-beats-random", "At equal compute curated pairs beat as few at random.", DATACOMP,
         "deduplicated and filtered", "as few at random"),
        ("dedup-beats-raw", "Deduplication alone beats the raw pairs.",
         f"{DINOV2}; SemDeDup (Abbas et al. 2023)", "deduplicated", "raw"),
        ("filter-beats-raw", "Filtering captions alone beats the raw pairs.", f"{DATACOMP}; {DFN}",
         "filtered by a clean CLIP", "raw"),
        ("clean-filter", "A filter trained on clean pairs curates better than one trained on the raw web.", DFN,
         "filtered by a clean CLIP", "filtered by its own CLIP"),
    )
]  # fmt: skip

PATCHES = [
    statement
    for name, title in (("clip", TITLES["clip"]), ("dino", TITLES["dino"]))
    for statement in (
        three(f"patches-decay-{name}", f"In a long run of {title} patches get worse while the whole picture is told "
              "better.", DINOV3, LONG.format(title), partial(patches_decay, name)),
        three(f"gram-{name}", f"Gram anchoring holds the patches in a long run of {title}.", DINOV3,
              LONG.format(title), partial(anchor_holds, name)),
    )
] + [
    three("gram-clip-early", f"Gram anchoring holds the patches in a long run of {TITLES['clip']} when the anchor is "
          "taken while they are good.", DINOV3, LONG.format(TITLES["clip"]), partial(anchor_holds, "clip", "early")),
]  # fmt: skip

UNTESTABLE = [
    three(name, claim, source, "none", partial(untestable, why))
    for name, claim, source, why in (
        ("video-motion", "V-JEPA learns motion from video without action labels.", VJEPA,
         "The drawn world holds no video: nothing in it moves, so there is no motion to be learnt."),
        ("video-scale", "V-JEPA 2 takes this to 1.2 B parameters and over a million hours of video.", VJEPA2,
         "The drawn world holds no video, and such a size is out of reach of the two cores that this course asks for."),
        ("video-robot", "V-JEPA 2's action-conditioned variant plans the actions of a robot.", VJEPA2,
         "The drawn world holds neither video nor actions, and there is no robot."),
        ("web-bias", "Models pretrained on the web take over its bias.", REPORT,
         "There are no web data here: a program draws scenes and captions by chance, and no people are in them."),
        ("audit", "Foundation models are hard to audit.", REPORT,
         "What makes an audit hard is missing here: every scene and label that a pocket model saw can be drawn again."),
    )
]  # fmt: skip

STATEMENTS: tuple[Statement, ...] = (
    # How far scaling carries, and on what data.
    *POWER_LAWS,
    three(
        "data-binds",
        "Data binds: with few pairs the training loss goes on falling while the loss on unseen pairs rises.",
        "Muennighoff et al. 2023, for language",
        "study scaling: short CLIPs on fewer and fewer pairs at the same number of images seen",
        few_pairs_are_learnt_by_heart,
    ),
    *CURATION,
    three(
        "own-filter",
        "A filter trained on the raw web itself works as well as one trained on clean pairs.",
        f"a question of this course; {DFN} say the opposite",
        WEB,
        own_filter_is_as_good,
    ),
    # What is penalised is kept.
    three(
        "pixels-keep-background",
        "Predicting pixels keeps what captions let go: MAE tells the background better than CLIP.",
        f"{MAE}; {CLIP}",
        PROBES,
        partial(ranked, "background", "mae", "clip"),
    ),
    three(
        "pixels-keep-place",
        "Predicting pixels keeps what captions let go: MAE tells where the thing is better than CLIP.",
        f"{MAE}; {CLIP}",
        PROBES,
        partial(ranked, "position", "mae", "clip"),
    ),
    three(
        "jepa-drops-background",
        "Predicting representations lets details go: I-JEPA tells less of the background than MAE.",
        JEPA,
        PROBES,
        partial(ranked, "background", "mae", "ijepa"),
    ),
    three(
        "language-names-best",
        "Language keeps what captions name: frozen, CLIP and SigLIP tell the concept best.",
        CLIP,
        PROBES,
        language_names_best,
    ),
    *(
        three(
            f"clip-patches-{name}",
            f"Language can miss fine spatial structure: CLIP's patches find their place less well than {title}'s.",
            JEPA,
            PROBES,
            partial(last, "correspondence", "clip", name),
        )
        for name, title in (("dinov2", TITLES["dinov2"]), ("ijepa", TITLES["ijepa"]))
    ),
    three(
        "clip-place",
        "Language can miss spatial structure: CLIP tells less of where the thing is than I-JEPA and DINOv2.",
        JEPA,
        PROBES,
        partial(last, "position", "clip", "ijepa", "dinov2"),
    ),
    # JEPA's complaint.
    three(
        "noise-accuracy",
        "Pixels spend capacity on what nobody can predict: with noise MAE loses more concept accuracy than I-JEPA.",
        JEPA,
        NOISE,
        falls_further,
    ),
    three(
        "noise-kept",
        "MAE's features hold more of the noise itself than I-JEPA's.",
        JEPA,
        NOISE,
        partial(tells_more, "noise", "R² of the noise on single pixels", "mae", "ijepa"),
    ),
    three(
        "noise-texture",
        "CLIP and I-JEPA say less of the kind of noise than MAE.",
        JEPA,
        NOISE,
        partial(tells_more, "texture", "accuracy for the kind of noise", "mae", "clip", "ijepa"),
    ),
    # Pixels, representations and language against each other.
    three(
        "mae-frozen",
        "Frozen, MAE is weak: it tells the concept less well than CLIP, I-JEPA and DINOv2.",
        MAE,
        PROBES,
        partial(last, "linear", "mae", "clip", "ijepa", "dinov2"),
    ),
    three("mae-gain", "Fine-tuned, MAE is strong: it gains more than CLIP.", MAE, FINE, gains_more_than_clip),
    three("mae-finetuned", "Fine-tuned, MAE is behind no other encoder.", MAE, FINE, fine_tuned_is_not_behind),
    three(
        "jepa-beats-pixels",
        "Predicting representations gives better frozen features than predicting pixels.",
        JEPA,
        PROBES,
        partial(ranked, "linear", "ijepa", "mae"),
    ),
    three(
        "jepa-beats-language",
        "Predicting representations gives better frozen features than language.",
        OPEN,
        PROBES,
        partial(ranked, "linear", "ijepa", "clip", note=CAPTIONED),
    ),
    three(
        "fusion",
        "DINOv2 fuses distillation and masked modelling, and the fusion beats either.",
        f"{DINOV2}; iBOT (Zhou et al. 2022)",
        PROBES,
        partial(
            ranked,
            "linear",
            "dinov2",
            "mae",
            "ijepa",
            note="the pocket DINOv2 begins from MAE's weights, so that more images went into it than into either, and "
            "I-JEPA stands in for distillation, of which alone there is no pocket model",
        ),
    ),
    # What keeps the predicted representations from becoming one and the same.
    three(
        "collapse-gradient",
        "Without the stopped gradient I-JEPA collapses.",
        f"SimSiam (Chen and He 2021); {JEPA}",
        SAFEGUARDS,
        partial(collapses, "no stopped gradient"),
    ),
    three(
        "collapse-copy",
        "Without the slow copy I-JEPA collapses.",
        f"BYOL (Grill et al. 2020); {JEPA}",
        SAFEGUARDS,
        partial(collapses, "no slow copy"),
    ),
    *PATCHES,
    # One model or a toolbox, and what the warnings are worth.
    three(
        "toolbox",
        "A toolbox and not one general model: no single model is best at everything.",
        OPEN,
        PROBES,
        every_model_is_beaten,
    ),
    three(
        "typographic",
        "The typographic attack: CLIP takes a thing for what is written on it.",
        "Goh et al. 2021",
        SIGNS,
        obeys_signs,
    ),
    three(
        "brittle",
        "Foundation models are brittle: a head on one is less accurate under a shift that it has not seen.",
        REPORT,
        PARCELS,
        heads_are_brittle,
    ),
    *UNTESTABLE,
)
