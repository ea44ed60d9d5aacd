"""What a connector costs: weights to train, and what its visual tokens take from the language model on every call.

All of it is arithmetic on shapes, so a seven-billion model costs nothing to ask about; build the connector on torch's
meta device (`with torch.device("meta"): …`) and its weights take no memory either.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from vfm_course.connectors.gated import GatedCrossAttention


@dataclass(frozen=True)
class LMShape:
    """A decoder-only language model, by its sizes.

    Attributes:
        layers: transformer layers.
        width: numbers a token between layers.
        heads: query heads.
        kv_heads: heads of keys and values; fewer than `heads` with grouped queries (Ainslie et al. 2023).
        intermediate: inner width of the MLP.
        mlp_matrices: 3 with a gate (Llama, Qwen), 2 without (OPT, GPT-2).
        head_dim: numbers a head; width / heads if not given.
        bytes_per_number: in the cache; 2 for float16 and bfloat16, 4 for float32.

    Raises:
        ValueError: a size below one, or heads that do not divide what they should.
    """

    layers: int
    width: int
    heads: int
    kv_heads: int
    intermediate: int
    mlp_matrices: int = 3
    head_dim: int | None = None
    bytes_per_number: int = 2

    def __post_init__(self):
        for name, size in vars(self).items():
            if size is not None and size < 1:
                raise ValueError(f"A language model's `{name}` should be at least 1; it is {size}.")
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} query heads cannot share {self.kv_heads} heads of keys and values evenly.")
        if self.head_dim is None:
            if self.width % self.heads:
                raise ValueError(f"`width` = {self.width} cannot be divided evenly among {self.heads} heads.")
            object.__setattr__(self, "head_dim", self.width // self.heads)

    @property
    def weights(self) -> int:
        """Numbers in the matrices of all layers; embeddings, norms, biases and the output head are not in it."""
        queries_and_output = 2 * self.width * self.heads * self.head_dim
        keys_and_values = 2 * self.width * self.kv_heads * self.head_dim
        return self.layers * (queries_and_output + keys_and_values + self.mlp_matrices * self.width * self.intermediate)

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that one token leaves in the cache: a key and a value in each layer."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.bytes_per_number

    def prefill_flops(self, tokens: int) -> int:
        """Operations to read a prompt of `tokens`, a multiplication and the addition after it being two.

        2 for every weight and token; and in each layer 4 * tokens * tokens * (heads * head_dim), since queries meet
        keys (2) and attention weights meet values (2). The half that a causal mask throws away is counted, as a plain
        product computes it; the output head is not, since only the last token needs it.
        """
        return 2 * self.weights * tokens + 4 * self.layers * tokens**2 * self.heads * self.head_dim


@dataclass(frozen=True)
class ConnectorCost:
    """What `connector_cost` finds.

    Attributes:
        trainable_parameters: numbers to train in the connector.
        visual_tokens: places that images take in the language model's prompt.
        kv_cache_bytes: bytes of keys and values kept for the images while the answer is written.
        prefill_flops: operations that the images add to reading the prompt, the encoder's and the connector's own
            forward pass not included.
    """

    trainable_parameters: int
    visual_tokens: int
    kv_cache_bytes: int
    prefill_flops: int


def connector_cost(
    connector: nn.Module,
    patches: int,
    lm: LMShape,
    images: int = 1,
    text_tokens: int = 0,
    gated: Iterable[GatedCrossAttention] = (),
) -> ConnectorCost:
    """The cost of showing images to a language model through a connector.

    Args:
        connector: a projector, a Q-Former, a resampler, or an `nn.Sequential` of them in the order of the data.
        patches: patch features an image that the connector gets.
        lm: the language model.
        images: images in the prompt; a Q-Former or a resampler is run on each alone.
        text_tokens: tokens of text in the prompt, which every visual token makes dearer to read.
        gated: the gated cross-attention layers that read the visual tokens, as in Flamingo. Then none of them stands in
            the prompt: the cost is that of these layers, which keep keys and values of the visual tokens as wide as the
            language model (in `lm.bytes_per_number`), and are run on every text token.

    Returns:
        `ConnectorCost`: parameters that require a gradient (what else is trained, LLaVA's language model in its second
        stage, is not counted), tokens, bytes and operations.

    Raises:
        ValueError: a module that does not say how many visual tokens it gives, or a count that makes no sense.
    """
    for name, count, least in (("patches", patches, 1), ("images", images, 0), ("text_tokens", text_tokens, 0)):
        if count < least:
            raise ValueError(f"`{name}` should be at least {least}; it is {count}.")
    gated = list(gated)
    tokens = images * _visual_tokens(connector, patches)
    trained = sum(p.numel() for module in (connector, *gated) for p in module.parameters() if p.requires_grad)
    if not gated:
        added = lm.prefill_flops(text_tokens + tokens) - lm.prefill_flops(text_tokens)
        return ConnectorCost(trained, tokens, tokens * lm.kv_bytes_per_token, added)

    cache, flops = 0, 0
    for layer in gated:
        if layer.text_width != lm.width:
            raise ValueError(f"A gated layer is {layer.text_width} wide, but the language model {lm.width}.")
        keys_and_values = 2 * layer.vision_width * layer.text_width
        linear = sum(m.weight.numel() for m in layer.modules() if isinstance(m, nn.Linear))
        cache += 2 * tokens * layer.text_width * lm.bytes_per_number
        flops += 2 * keys_and_values * tokens + 2 * (linear - keys_and_values) * text_tokens
        flops += 4 * text_tokens * tokens * layer.text_width
    return ConnectorCost(trained, 0, cache, flops)


def _visual_tokens(connector: nn.Module, patches: int) -> int:
    """Tokens that come out for one image; in a sequence each module gets what the one before it gives."""
    for module in connector if isinstance(connector, nn.Sequential) else [connector]:
        if not hasattr(module, "visual_tokens"):
            raise ValueError(f"{type(module).__name__} does not say how many visual tokens it gives.")
        patches = module.visual_tokens(patches)
    return patches
