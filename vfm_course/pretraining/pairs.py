"""What CLIP and SigLIP share: a batch of views and captions, embedded by two towers."""

import numpy as np
import torch

from vfm_course.pretraining import encoder
from vfm_course.pretraining.scenes import CAPTIONS, scenes
from vfm_course.pretraining.tokenizer import CONTEXT, world_tokenizer
from vfm_course.pretraining.trainer import Learner
from vfm_course.pretraining.views import crop, normalise, recolour

SCENES = 60_000


class PairLearner(Learner):
    """Image-text pairs; a subclass says which model and which loss."""

    batch_size = 128
    statistics: dict

    def __init__(self, n_scenes: int = SCENES):
        super().__init__()
        self.tokenizer = world_tokenizer()
        self.data = scenes(n_scenes, encoder.VIEW)
        self.model = self.build_model()

    def build_model(self) -> torch.nn.Module:
        raise NotImplementedError

    def text_config(self) -> dict:
        """A text encoder of two layers of width 64, for the world's vocabulary."""
        ids = {name: getattr(self.tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
        return {
            "vocab_size": len(self.tokenizer),
            "hidden_size": 64,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": CONTEXT,
            **ids,
        }

    def pair_loss(self, image_embeds: torch.Tensor, text_embeds: torch.Tensor) -> torch.Tensor:
        """(B, D), (B, D) -> scalar."""
        raise NotImplementedError

    def size_at(self, progress: float) -> int:
        """Side in pixels of what the model sees at this share of the run."""
        return encoder.LOW_SIZE if progress < encoder.LOW_SHARE else encoder.SIZE

    def decorate(self, views: torch.Tensor, rows: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        """What a recipe adds to its views (B, 3, H, W), 0 to 255, of these rows of the data; here nothing."""
        return views

    def forward(self, generator: torch.Generator, progress: float) -> dict[str, torch.Tensor]:
        rows = torch.randint(len(self.data), (self.batch_size,), generator=generator).numpy()
        views = crop(torch.from_numpy(self.data.images[rows]), self.size_at(progress), (0.6, 1.0), generator)
        views = self.decorate(views, rows, generator)
        # Only a little: captions name the colours.
        pixels = normalise(recolour(views, 0.1, generator), self.statistics["image_mean"], self.statistics["image_std"])
        which = torch.randint(CAPTIONS, (self.batch_size,), generator=generator).numpy()
        tokens = torch.from_numpy(self.data.captions[rows, which].astype(np.int64))
        images = self.model.get_image_features(pixel_values=pixels, interpolate_pos_encoding=True)
        image_embeds = images.pooler_output
        text_embeds = self.embed_text(tokens)
        return {"loss": self.pair_loss(image_embeds, text_embeds)}

    def embed_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """Token numbers (B, 24) -> (B, D)."""
        mask = (tokens != self.tokenizer.pad_token_id).long()
        return self.model.get_text_features(input_ids=tokens, attention_mask=mask).pooler_output
