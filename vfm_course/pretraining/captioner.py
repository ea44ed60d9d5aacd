"""A small decoder that writes what an image shows, so that its encoder learns to keep it; thrown away afterwards.

CoCa (Yu et al. 2022) adds such a loss to the contrastive one; LocCa (Wan et al. 2024) and SigLIP 2 (Tschannen et al.
2025) let the decoder tell places too. CapPa (Tschannen et al. 2023) hides the words before in half of the texts, so
that the image is all there is to go by.
"""

import torch
from torch import nn
from torch.nn import functional as F


class Captioner(nn.Module):
    """Text that looks at the patches.

    Args:
        vocabulary: words. width: of patches and words. layers, heads: of the decoder. length: tokens at most.
        pad: the number of padding. hidden: the number that stands for a hidden word.
    """

    def __init__(self, vocabulary: int, width: int, layers: int, heads: int, length: int, pad: int, hidden: int):
        super().__init__()
        self.pad, self.hidden = pad, hidden
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(0.02 * torch.randn(length, width))
        nn.init.normal_(self.words.weight, std=0.02)
        layer = nn.TransformerDecoderLayer(width, heads, 4 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.decoder = nn.TransformerDecoder(layer, layers, nn.LayerNorm(width))
        self.image_norm = nn.LayerNorm(width)

    def forward(self, patches: torch.Tensor, tokens: torch.Tensor, blind: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of each word given the image and the words before it.

        Args:
            patches: (B, N, width).
            tokens: (B, T), the first one the mark of the beginning.
            blind: bool (B,), True where the words before are hidden.

        Returns:
            A scalar.
        """
        given = tokens[:, :-1].clone()
        given[:, 1:] = torch.where(blind[:, None], self.hidden, given[:, 1:])
        length = given.shape[1]
        causal = nn.Transformer.generate_square_subsequent_mask(length)
        text = self.decoder(self.words(given) + self.positions[:length], self.image_norm(patches), tgt_mask=causal,
                            tgt_is_causal=True)  # fmt: skip
        logits = F.linear(text, self.words.weight)
        return F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], ignore_index=self.pad)
