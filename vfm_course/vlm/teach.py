"""One call trains one connector between the frozen pocket encoder and the pocket language model."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from vfm_course.connectors.qformer_text import QFormerStageOne
from vfm_course.errors import UserError
from vfm_course.families.load import load, pocket_folder, revision_of
from vfm_course.vlm.align import align
from vfm_course.vlm.corpus import SCENES, corpus
from vfm_course.vlm.drawn import drawn_scenes
from vfm_course.vlm.features import scene_features
from vfm_course.vlm.lessons import Lessons, aligning, instruction
from vfm_course.vlm.model import GatedVLM, PrefixVLM
from vfm_course.vlm.notes import NoteEmbedding, load_notes
from vfm_course.vlm.stage_one import train_stage_one
from vfm_course.vlm.tokenizer import vlm_tokenizer
from vfm_course.vlm.train import Curve, Stage, train_vlm
from vfm_course.vlm.variants import QUERIES, build, qformer
from vfm_course.world.scene import Scene

DOCUMENTS = 60_000
NOTED = 48_000  # pictures whose notes a connector learns; without the language model, so cheap ones
CONTRASTED = 64  # pictures in a batch of BLIP-2's first stage: each text is contrasted with all of them
ALIGNING = 1 / 4  # of a budget, where it is to tell what is where; with BLIP-2's own first stage half of that


class School:
    """What all connectors share, each made when it is first asked for: parts, lessons, features of all scenes.

    Args:
        scenes: of the training split. documents: that the lessons are taken from.
        device: where models are trained, such as "cuda"; the same seed gives another model there.
    """

    def __init__(self, scenes: int = SCENES, documents: int = DOCUMENTS, device: str = "cpu"):
        self.scenes, self.documents, self.device = scenes, documents, device

    @cached_property
    def vision(self) -> nn.Module:
        """The frozen encoder."""
        return load("clip-scenes", "pocket", self.device).model.vision_model

    @cached_property
    def lm(self) -> nn.Module:
        """The language model that never saw anything."""
        return load("language", "pocket", self.device).model

    @cached_property
    def features(self) -> np.ndarray:
        """(scenes, 65, 128), float16."""
        return scene_features(self.vision, revision_of("clip-scenes", "pocket"), "train", self.scenes)

    @cached_property
    def notes(self) -> NoteEmbedding:
        """The notes that the language model reads."""
        return load_notes(pocket_folder("language")).to(self.device)

    @cached_property
    def graphs(self) -> list[Scene]:
        """The scenes of `features`, without pixels."""
        return drawn_scenes("train", self.scenes).graphs

    @cached_property
    def aligning(self) -> Lessons:
        """What is where."""
        return aligning(corpus(self.documents, self.scenes), self.graphs)

    @cached_property
    def instruction(self) -> Lessons:
        """Questions in a row, some captions."""
        return instruction(corpus(self.documents, self.scenes))


@dataclass(frozen=True)
class Plan:
    """How a connector is trained: `samples` pictures with their text in all, whatever the stages.

    `noted`: in the place of telling what is where, the connector's tokens learn to be notes (`vlm.align`), and all
    samples are questions.
    `tune_lm`: from the start, where LLaVA does so from its second stage on; data/connectors says what comes of both.
    `stage_one`: BLIP-2's, only for the Q-Former.
    `alpha`: the gates begin at its tanh, only for Flamingo's; at 0 they are closed.
    """

    connector: str
    samples: int
    tune_lm: bool = False
    stage_one: bool = False
    noted: bool = False
    queries: int = QUERIES
    alpha: float = 0.0
    learning_rate: float = 1e-3


def teach(
    plan: Plan, school: School, seed: int = 0, show: Callable[[int, dict], None] | None = None
) -> tuple[PrefixVLM | GatedVLM, Curve]:
    """Trains by a plan; the same seed gives the same model on the same machine.

    Args:
        show: called about a hundred times with the samples seen and the last point of the curve.

    Raises:
        UserError: a first stage for another connector than the Q-Former, open gates for one that has none, or no such
            connector.
    """
    if plan.stage_one and plan.connector != "qformer":
        raise UserError(f"The first stage is a Q-Former's: a plan for {plan.connector!r} cannot have it.")
    if plan.alpha and plan.connector != "gated":
        raise UserError(f"Only Flamingo's connector has gates: a plan for {plan.connector!r} cannot open them.")
    model = build(plan.connector, school.lm, plan.queries, seed)
    if plan.alpha:
        model.open_gates(plan.alpha)
    curves = []
    told = int(plan.samples * ALIGNING)
    if plan.stage_one:
        told //= 2
        torch.manual_seed(seed)
        whole = QFormerStageOne(qformer(plan.queries, text=True), len(vlm_tokenizer()), embed_dim=64, positions=64)
        whole.to(school.device)
        stage = Stage(school.aligning, told, learning_rate=plan.learning_rate, batch_size=CONTRASTED)
        curves.append(train_stage_one(whole, school.features, stage, seed, show))
        # What belongs to text has done its work.
        model.connector[0].load_state_dict(whole.qformer.state_dict(), strict=False)
    if plan.noted:
        features = school.features[:, getattr(model, "skip", 0) :]
        words, unit = model.lm.get_input_embeddings(), isinstance(model, GatedVLM)
        about = (features, school.graphs, words, school.notes)
        curves.append(align(model.connector, *about, NOTED, unit, plan.learning_rate, seed, show))
    asked = plan.samples - told * (plan.stage_one + (not plan.noted))
    parts = [] if plan.noted else [(school.aligning, told)]  # which takes a while to write, so not in vain
    stages = [Stage(lessons.marked() if isinstance(model, GatedVLM) else lessons, samples, plan.tune_lm,
                    plan.learning_rate) for lessons, samples in [*parts, (school.instruction, asked)]]  # fmt: skip
    curves.append(train_vlm(model, school.features, stages, seed, show))
    return model.eval(), Curve(
        [point for each in curves for point in each.points], sum(each.seconds for each in curves)
    )
