"""The pocket language model without eyes: what it answers to what it is told, in words or in vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from vfm_course.vlm.prompts import END, PICTURE, question_prompt

if TYPE_CHECKING:
    from vfm_course.families.load import Loaded


@torch.inference_mode()
def tell(lm: Loaded, question: str, told: str | None = None, most: int = 8) -> str:
    """The language model's answer.

    Args:
        lm: `load("language")`.
        question: "Is there a cat?"
        told: the scene in words, as `world.placed_text` writes it; nothing if not given.
        most: tokens of the answer at most.
    """
    scene = "" if told is None else f"{PICTURE} {told}{END}"
    inputs = lm.processor(scene + question_prompt(question), return_tensors="pt").to(lm.model.device)
    said = lm.model.generate(**inputs, max_new_tokens=most, do_sample=False)
    return lm.processor.decode(said[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()


@torch.inference_mode()
def read(lm: Loaded, question: str, visual: torch.Tensor, most: int = 8) -> str:
    """The language model's answer with vectors in front of the question: notes, or what a connector makes of a picture.

    Args:
        lm: as for `tell`. question: "Is there a cat?"
        visual: (1, V, width).
        most: tokens of the answer at most.
    """
    prompt = lm.processor(question_prompt(question), return_tensors="pt")["input_ids"]
    embeds = torch.cat([visual, lm.model.get_input_embeddings()(prompt)], dim=1)
    said = lm.model.generate(inputs_embeds=embeds, max_new_tokens=most, do_sample=False)
    return lm.processor.decode(said[0], skip_special_tokens=True).strip()
