"""Pocket MAE: paint the three quarters of the patches that are hidden (He et al. 2022).

The encoder runs on the visible patches only, 9 of 36 at 48 px and 16 of 64 at 64 px, which is what makes MAE cheap.
"""

from pathlib import Path

import torch
from torch.func import functional_call
from transformers import ViTImageProcessor, ViTMAEConfig, ViTMAEForPreTraining

from vfm_course.objectives.mae import mae_loss, sincos_positions
from vfm_course.pretraining import encoder
from vfm_course.pretraining.scenes import scenes
from vfm_course.pretraining.trainer import Learner, Recipe
from vfm_course.pretraining.views import crop, normalise, recolour

SCENES = 60_000
SIDE = encoder.SIZE // encoder.PATCH
DECODER_WIDTH = 64


class MaeLearner(Learner):
    """ViTMAEForPreTraining with a decoder of two layers, half as wide as the encoder."""

    batch_size = 128

    def __init__(self, n_scenes: int = SCENES):
        super().__init__()
        self.data = scenes(n_scenes, encoder.VIEW)
        config = ViTMAEConfig(
            **encoder.VIT,
            mask_ratio=0.75,
            norm_pix_loss=True,
            decoder_hidden_size=DECODER_WIDTH,
            decoder_intermediate_size=DECODER_WIDTH * encoder.MLP_RATIO,
            decoder_num_hidden_layers=2,
            decoder_num_attention_heads=4,
        )
        self.model = ViTMAEForPreTraining(config)
        # transformers 5 leaves both position tables at zero in a model that is not loaded, and nothing complains: the
        # decoder is then asked to paint a patch without being told which.
        fill(self.model.vit.embeddings.position_embeddings)
        fill(self.model.decoder.decoder_pos_embed)
        torch.nn.init.normal_(self.model.decoder.mask_token, std=0.02)
        torch.nn.init.normal_(self.model.vit.embeddings.cls_token, std=0.02)
        torch.nn.init.xavier_uniform_(self.model.vit.embeddings.patch_embeddings.projection.weight.flatten(1))

    def forward(self, generator: torch.Generator, progress: float) -> dict[str, torch.Tensor]:
        rows = torch.randint(len(self.data), (self.batch_size,), generator=generator).numpy()
        size = encoder.LOW_SIZE if progress < encoder.LOW_SHARE else encoder.SIZE
        views = crop(torch.from_numpy(self.data.images[rows]), size, (0.5, 1.0), generator)
        pixels = normalise(
            recolour(views, 0.2, generator), encoder.IMAGENET["image_mean"], encoder.IMAGENET["image_std"]
        )
        side = size // encoder.PATCH
        noise = torch.rand(len(pixels), side * side, generator=generator)  # the patches with the least stay visible
        seen = self.model.vit(pixel_values=pixels, noise=noise, interpolate_pos_encoding=True)
        predicted = self.paint(seen.last_hidden_state, seen.ids_restore, side)
        return {"loss": mae_loss(predicted, pixels, seen.mask, encoder.PATCH)}

    def paint(self, tokens: torch.Tensor, ids_restore: torch.Tensor, side: int) -> torch.Tensor:
        """CLS and visible tokens (B, 1 + V, width) -> pixels of all patches (B, side * side, 192).

        The decoder gets the positions of this grid from here: its own interpolation takes the table of 8 x 8 patches
        for one long row, and a grid of 6 x 6 would find its patches in the wrong places.
        """
        grid = sincos_positions(side, DECODER_WIDTH, SIDE)
        positions = torch.cat([torch.zeros(1, DECODER_WIDTH), grid])[None]
        return functional_call(self.model.decoder, {"decoder_pos_embed": positions}, (tokens, ids_restore)).logits

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        size = {"height": encoder.SIZE, "width": encoder.SIZE}
        ViTImageProcessor(size=size, **encoder.IMAGENET).save_pretrained(folder)


@torch.no_grad()
def fill(table: torch.nn.Parameter) -> None:
    """Writes the fixed positions into a table (1, 1 + N, width) whose first row, for the CLS token, stays zero."""
    table[0, 1:] = sincos_positions(SIDE, table.shape[-1])


RECIPE = Recipe("mae", MaeLearner, images=800_000, quick_images=250_000, learning_rate=1.5e-3)
