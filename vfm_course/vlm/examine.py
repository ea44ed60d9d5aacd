"""What a model that answers is worth: its answers to a set of questions, scored by kind and as VQA does."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from vfm_course.vlm.features import encode
from vfm_course.vlm.metrics import vqa_accuracy
from vfm_course.vlm.model import GatedVLM, answer
from vfm_course.vlm.prompts import question_prompt
from vfm_course.vlm.tokenizer import END, marked, vlm_tokenizer
from vfm_course.world.questions import Question
from vfm_course.world.vqa import scene_of

BATCH = 100


@dataclass(frozen=True)
class Asked:
    """Questions with the frozen encoder's features of their scenes, (N, 65, width), computed once for all models."""

    questions: Sequence[Question]
    features: torch.Tensor


def prepare(vision: nn.Module, questions: Sequence[Question]) -> Asked:
    """Draws the scenes of the questions and encodes them."""
    images = np.stack([scene_of(question, vision.config.image_size).image.transpose(2, 0, 1) for question in questions])
    parts = [encode(vision, images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    return Asked(questions, torch.cat(parts))


def answers_of(model: nn.Module, asked: Asked) -> list[str]:
    """The model's greedy answers."""
    tokenizer = vlm_tokenizer()
    prompts = tokenizer([question_prompt(question.text) for question in asked.questions])["input_ids"]
    if isinstance(model, GatedVLM):
        prompts = [marked(prompt) for prompt in prompts]
    said, device = [], next((weight.device for weight in model.parameters()), "cpu")
    for start in range(0, len(prompts), BATCH):
        rows = slice(start, start + BATCH)
        said += answer(model, asked.features[rows].to(device), prompts[rows], END)
    return tokenizer.batch_decode(said)


def score(answers: Sequence[str], questions: Sequence[Question]) -> dict[str, float]:
    """Share of true answers per kind and for "all", VQA's official accuracy as "vqa"; shares from 0 to 1."""
    right = np.array([said == question.answer for said, question in zip(answers, questions, strict=True)])
    kinds = np.array([question.kind for question in questions])
    found = {kind: float(right[kinds == kind].mean()) for kind in dict.fromkeys(kinds.tolist())}
    people = [question.answers for question in questions]
    return found | {"all": float(right.mean()), "vqa": vqa_accuracy(list(answers), people)}
