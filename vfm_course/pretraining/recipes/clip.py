"""Pocket CLIP: pictures and their captions, contrasted within the batch (Radford et al. 2021)."""

from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

from vfm_course.objectives.clip import clip_loss
from vfm_course.pretraining import encoder
from vfm_course.pretraining.pairs import PairLearner
from vfm_course.pretraining.tokenizer import world_tokenizer
from vfm_course.pretraining.trainer import Recipe


class ClipLearner(PairLearner):
    """CLIPModel with a text encoder of two layers of width 64."""

    statistics = encoder.CLIP

    def build_model(self) -> CLIPModel:
        own = {"hidden_act": "gelu", "projection_dim": 64}
        vision, text = {**encoder.VIT, **own}, {**self.text_config(), **own}
        return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=64))

    def pair_loss(self, image_embeds: torch.Tensor, text_embeds: torch.Tensor) -> torch.Tensor:
        return clip_loss(image_embeds, text_embeds, self.model.logit_scale.exp())

    def after_step(self, progress: float) -> None:
        self.model.logit_scale.data.clamp_(max=4.6052)  # a factor of at most 100, as in the paper

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        size = {"height": encoder.SIZE, "width": encoder.SIZE}
        images = CLIPImageProcessor(size={"shortest_edge": encoder.SIZE}, crop_size=size, **self.statistics)
        CLIPProcessor(images, world_tokenizer()).save_pretrained(folder)


RECIPE = Recipe("clip", ClipLearner, images=400_000, quick_images=100_000)
