"""More reading for the pocket language model: from a finished run of `language` on, all sorts of questions and drills
whose answers are even.

A part of the pocket `language`, as `blip2-tower` is one of BLIP-2. The learning rate rises and falls once more.
"""

from pathlib import Path

from transformers import LlamaForCausalLM

from vfm_course.errors import UserError
from vfm_course.paths import cache_dir
from vfm_course.pretraining.recipes.language import DOCUMENTS, LanguageLearner
from vfm_course.pretraining.recipes.language import RECIPE as FIRST
from vfm_course.pretraining.trainer import Recipe
from vfm_course.vlm.corpus import SCENES
from vfm_course.vlm.notes import load_notes

STAGES = ((0.0, {"retell": 0.05, "detail": 0.05, "drill": 0.4, "document": 0.5}),)


def begun_folder() -> Path:
    """Where `vfm-course pretrain language` leaves the run that is read on from."""
    return cache_dir() / "pretraining" / f"language_{FIRST.images}_seed0"


class LanguageMoreLearner(LanguageLearner):
    """A `LanguageLearner` that has read already.

    Raises:
        UserError: there is no run of `language` to go on from.
    """

    stages = STAGES

    def __init__(self, documents: int = DOCUMENTS, scenes: int = SCENES):
        super().__init__(documents, scenes)
        folder = begun_folder()
        if not (folder / "model.safetensors").is_file():
            raise UserError(f"There is nothing to go on from in {folder}: run `vfm-course pretrain language` first.")
        self.model.load_state_dict(LlamaForCausalLM.from_pretrained(folder).state_dict())
        self.notes.load_state_dict(load_notes(folder).state_dict())


RECIPE = Recipe("language-more", LanguageMoreLearner, images=60_000, quick_images=20_000, warm_up=0.02)
