"""Pocket SigLIP: pictures and captions, each pair judged on its own (Zhai et al. 2023)."""

from pathlib import Path

import torch
from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

from vfm_course.objectives.siglip import siglip_loss
from vfm_course.pretraining import encoder
from vfm_course.pretraining.pairs import PairLearner
from vfm_course.pretraining.tokenizer import world_tokenizer
from vfm_course.pretraining.trainer import Recipe


class SiglipLearner(PairLearner):
    """SiglipModel: attention pooling over the patches, no CLS token; the text is padded to its full length."""

    statistics = encoder.HALF

    def build_model(self) -> SiglipModel:
        # No projection on the image side: the two towers must meet in the image encoder's width.
        vision, text = encoder.VIT, {**self.text_config(), "projection_size": encoder.WIDTH}
        model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
        torch.nn.init.constant_(model.logit_scale, 2.3026)  # a factor of 10, and
        torch.nn.init.constant_(model.logit_bias, -10.0)  # nearly every pair is a wrong one: the paper's start
        return model

    def pair_loss(self, image_embeds: torch.Tensor, text_embeds: torch.Tensor) -> torch.Tensor:
        return siglip_loss(image_embeds, text_embeds, self.model.logit_scale.exp(), self.model.logit_bias)

    def embed_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """SigLIP was trained without an attention mask: padding is part of what it reads."""
        return self.model.get_text_features(input_ids=tokens).pooler_output

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        size = {"height": encoder.SIZE, "width": encoder.SIZE}
        tokenizer = world_tokenizer()
        tokenizer.model_input_names = ["input_ids"]
        SiglipProcessor(SiglipImageProcessor(size=size, **self.statistics), tokenizer).save_pretrained(folder)


RECIPE = Recipe("siglip", SiglipLearner, images=400_000, quick_images=100_000)
