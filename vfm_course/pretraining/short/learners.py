"""MAE, CLIP, SigLIP and I-JEPA on the same encoder. The losses are arguments: a learner's own will do as well."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn

from vfm_course.objectives.clip import clip_loss
from vfm_course.objectives.ijepa import Predictor, block_masks, deviation, ijepa_loss
from vfm_course.objectives.mae import mae_loss
from vfm_course.objectives.siglip import siglip_loss
from vfm_course.pretraining.scenes import CAPTIONS, Scenes
from vfm_course.pretraining.short.views import batch
from vfm_course.pretraining.short.vit import PATCH, SIDE, ShortViT, blocks
from vfm_course.pretraining.tokenizer import CONTEXT, world_tokenizer
from vfm_course.pretraining.trainer import Learner

BATCH = 128


class ShortLearner(Learner):
    """An encoder (`vit` says which) and the scenes it learns from; `amount` is the noise on them in grey levels."""

    batch_size = BATCH
    colour = 0.1  # strength of recolouring

    def __init__(self, data: Scenes, amount: float = 0.0, **vit):
        super().__init__()
        self.data, self.amount = data, amount
        self.encoder = ShortViT(**vit)

    def draw(self, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """The next batch: rows (B,) of the data and a view of each (B, 3, 48, 48)."""
        rows = torch.randint(len(self.data), (self.batch_size,), generator=generator)
        return rows, batch(self.data, rows, generator, self.amount, self.colour)


def shuffled(noise: torch.Tensor, mask_ratio: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """MAE's masking: noise (B, N) -> the visible patches (B, K), the mask (B, N), how to undo the shuffle (B, N)."""
    order = noise.argsort(dim=1)
    restore = order.argsort(dim=1)
    keep = int(noise.shape[1] * (1 - mask_ratio))
    return order[:, :keep], (restore >= keep).float(), restore


class ShortMae(ShortLearner):
    """The encoder sees a quarter of the patches; a decoder of one layer paints the rest."""

    def __init__(
        self, data: Scenes, *, loss: Callable = mae_loss, masking: Callable = shuffled, mask_ratio: float = 0.75, **more
    ):
        super().__init__(data, **more)
        self.loss, self.masking, self.mask_ratio = loss, masking, mask_ratio
        width = self.encoder.width
        self.mask_token = nn.Parameter(0.02 * torch.randn(width))
        self.enter = nn.Linear(width, width)
        self.decoder = blocks(width, 1)
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3 * PATCH * PATCH))

    def forward(self, generator: torch.Generator, progress: float) -> dict[str, torch.Tensor]:
        _, pixels = self.draw(generator)
        predicted, mask = self.paint(pixels, generator)
        return {"loss": self.loss(predicted, pixels, mask, PATCH)}

    def paint(self, pixels: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels (B, 3, 48, 48) -> painted patches (B, 36, 192), normalised each, and the mask (B, 36), 1 = hidden."""
        ids_keep, mask, ids_restore = self.masking(
            torch.rand(len(pixels), SIDE * SIDE, generator=generator), self.mask_ratio
        )
        tokens = self.enter(self.encoder(pixels, ids_keep))
        hidden = self.mask_token.expand(len(tokens), ids_restore.shape[1] - tokens.shape[1], -1)
        tokens = torch.cat([tokens, hidden], dim=1)
        tokens = tokens.gather(1, ids_restore[:, :, None].expand_as(tokens)) + self.encoder.positions
        for block in self.decoder:
            tokens = block(tokens)
        return self.leave(tokens), mask


class Scale(nn.Module):
    """The learned factor on the cosines; its logarithm is the parameter, and 100 its most, as in the paper."""

    def __init__(self, first: float = 10.0):
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(first).log())

    def forward(self) -> torch.Tensor:
        return self.logit_scale.exp().clamp(max=100)


class ShortClip(ShortLearner):
    """Two towers and a learned temperature; `captions` (N, 8, 24) replace the data's own where given."""

    def __init__(
        self, data: Scenes, *, loss: Callable = clip_loss, temperature: nn.Module | None = None,
        captions: torch.Tensor | None = None, **more,
    ):  # fmt: skip
        super().__init__(data, **more)
        self.loss, self.temperature = loss, temperature or Scale()
        self.captions = torch.from_numpy(data.captions.copy()) if captions is None else captions
        self.pad = world_tokenizer().pad_token_id
        width = 64  # of the text tower
        self.words = nn.Embedding(len(world_tokenizer()), width)
        self.places = nn.Parameter(0.02 * torch.randn(CONTEXT, width))
        self.text = blocks(width, 2)
        self.text_projection = nn.Linear(width, 64, bias=False)
        self.image_projection = nn.Linear(self.encoder.width, 64, bias=False)

    def embed_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, 48, 48) -> (B, 64)."""
        return self.image_projection(self.encoder(pixels).mean(dim=1))

    def embed_texts(self, tokens: torch.Tensor) -> torch.Tensor:
        """Token numbers (B, 24) -> (B, 64), the mean over words."""
        padding = tokens == self.pad
        longest = int((~padding).sum(dim=1).max())
        tokens, padding = tokens[:, :longest], padding[:, :longest]
        words = self.words(tokens) + self.places[:longest]
        for block in self.text:
            words = block(words, src_key_padding_mask=padding)
        weight = (~padding)[:, :, None].float()
        return self.text_projection((words * weight).sum(dim=1) / weight.sum(dim=1))

    def forward(self, generator: torch.Generator, progress: float) -> dict[str, torch.Tensor]:
        rows, pixels = self.draw(generator)
        which = torch.randint(CAPTIONS, (len(rows),), generator=generator)
        texts = self.embed_texts(self.captions[rows, which].long())
        return {"loss": self.compare(self.embed_images(pixels), texts)}

    def compare(self, image_embeds: torch.Tensor, text_embeds: torch.Tensor) -> torch.Tensor:
        """The loss of a batch of pairs, (B, 64) and (B, 64)."""
        return self.loss(image_embeds, text_embeds, self.temperature())


class ShortSiglip(ShortClip):
    """The same towers with the sigmoid loss, and a bias that begins at -10."""

    def __init__(self, data: Scenes, *, loss: Callable = siglip_loss, **more):
        super().__init__(data, loss=loss, **more)
        self.logit_bias = nn.Parameter(torch.tensor(-10.0))

    def compare(self, image_embeds: torch.Tensor, text_embeds: torch.Tensor) -> torch.Tensor:
        return self.loss(image_embeds, text_embeds, self.temperature(), self.logit_bias)


def jepa_loss(predicted: torch.Tensor, features: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """I-JEPA's loss alone, a scalar; arguments as `ijepa_loss` has them."""
    return ijepa_loss(predicted, features, numbers)["loss"]


def moved(target: dict, context: dict, momentum: float) -> dict:
    """The target's weights, a step towards the context encoder's."""
    return {name: torch.lerp(context[name], weight, momentum) for name, weight in target.items()}


class ShortJepa(ShortLearner):
    """Context encoder, predictor and target encoder; `deviation` is watched along with the loss.

    Args:
        momentum: of the target at the beginning; it rises to 1. With 0 the target is the context encoder of the moment.
        target_learns: lets the gradient into the target too, which is then the context encoder itself.
    """

    colour = 0.0  # no colour is changed: no second view is made

    def __init__(
        self, data: Scenes, *, loss: Callable = jepa_loss, update: Callable = moved, momentum: float = 0.99,
        target_learns: bool = False, **more,
    ):  # fmt: skip
        super().__init__(data, **more)
        self.loss, self.update, self.momentum, self.target_learns = loss, update, momentum, target_learns
        self.target_encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        self.predictor = Predictor(self.encoder.width, SIDE, width=32, layers=2, heads=2)

    def forward(self, generator: torch.Generator, progress: float) -> dict[str, torch.Tensor]:
        _, pixels = self.draw(generator)
        context, numbers = block_masks(len(pixels), SIDE, generator)
        features = (self.encoder if self.target_learns else self.target_encoder)(pixels)
        predicted = self.predictor(self.encoder(pixels, context), context, numbers, SIDE)
        return {"loss": self.loss(predicted, features, numbers), "deviation": deviation(features)}

    def after_step(self, progress: float) -> None:
        momentum = self.momentum + (1 - self.momentum) * progress if self.momentum else 0.0
        slow = self.update(self.target_encoder.state_dict(), self.encoder.state_dict(), momentum)
        self.target_encoder.load_state_dict(slow)
