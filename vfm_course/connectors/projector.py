"""LLaVA's connectors: every patch becomes one token of the language model, by a linear layer or a small MLP.

Nothing is summed up and nothing is left out: the language model gets all patches, in their order, and looks for itself.
Few weights to train and a strong inductive bias (token i is patch i), paid for with a long prompt: 24 x 24 patches are
576 tokens.
"""

import torch
from torch import nn

from vfm_course.connectors.attention import expect_tokens


class LinearProjector(nn.Module):
    """One linear layer from the encoder's width to the language model's (LLaVA; Liu et al. 2023, Visual Instruction
    Tuning). It can turn and stretch the encoder's features into the space of word embeddings, and nothing more."""

    def __init__(self, vision_width: int, text_width: int):
        super().__init__()
        self.vision_width = vision_width
        self.linear = nn.Linear(vision_width, text_width)

    def visual_tokens(self, patches: int) -> int:
        """Tokens that the language model gets for an image of so many patches: as many."""
        return patches

    def forward(self, image_embeds: torch.Tensor) -> torch.Tensor:
        """Patch features (B, N, vision_width) -> visual tokens (B, N, text_width).

        Raises:
            ValueError: `image_embeds` has another shape.
        """
        expect_tokens("image_embeds", image_embeds, self.vision_width)
        return self.linear(image_embeds)


class MLPProjector(nn.Module):
    """Linear, GELU, Linear (LLaVA-1.5; Liu et al. 2023b, Improved Baselines with Visual Instruction Tuning).

    At its real size, 1024 -> 4096 -> 4096, it has 20,979,712 parameters, four fifths of them in the second layer.
    """

    def __init__(self, vision_width: int, text_width: int):
        super().__init__()
        self.vision_width = vision_width
        self.linear_1 = nn.Linear(vision_width, text_width)
        self.linear_2 = nn.Linear(text_width, text_width)

    def visual_tokens(self, patches: int) -> int:
        """Tokens that the language model gets for an image of so many patches: as many."""
        return patches

    def forward(self, image_embeds: torch.Tensor) -> torch.Tensor:
        """Patch features (B, N, vision_width) -> visual tokens (B, N, text_width).

        Raises:
            ValueError: `image_embeds` has another shape.
        """
        expect_tokens("image_embeds", image_embeds, self.vision_width)
        return self.linear_2(nn.functional.gelu(self.linear_1(image_embeds)))
