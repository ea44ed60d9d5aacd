"""The weights of transformers' own connectors under the course's names. `strict` loading leaves none over."""

import torch
from torch import nn

QFORMER = {
    "layernorm.": "norm.",
    "encoder.layer.": "layers.",
    "crossattention.attention": "cross_attention",
    "crossattention.output.dense": "cross_attention.output",
    "crossattention.output.LayerNorm": "cross_attention.norm",
    ".attention.attention": ".self_attention",
    ".attention.output.dense": ".self_attention.output",
    ".attention.output.LayerNorm": ".self_attention.norm",
    "intermediate_query.dense": "query_feed_forward.up",
    "output_query.dense": "query_feed_forward.down",
    "output_query.LayerNorm": "query_feed_forward.norm",
    "intermediate.dense": "text_feed_forward.up",
    "output.dense": "text_feed_forward.down",
    "output.LayerNorm": "text_feed_forward.norm",
}

RESAMPLER = {
    "context_layer_norm": "patch_norm",
    "latents_layer_norm": "latent_norm",
    "q_layer_norm": "query_norm",
    "k_layer_norm": "key_norm",
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "output_proj": "output",
    ".ln.": ".norm.",
    ".fc.": ".up.",
    ".c_proj.": ".down.",
    "layer_norm.": "norm.",
}

GATED = {
    "cross_attn.": "cross_attention.",
    "q_layer_norm": "query_norm",
    "k_layer_norm": "key_norm",
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "o_proj": "output",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "dense_norm",
    "mlp.gate_proj": "dense.gate",
    "mlp.up_proj": "dense.up",
    "mlp.down_proj": "dense.down",
    "alpha_cross_attn": "alpha_attention",
}

STAGE_ONE = QFORMER | {
    "embeddings.word_embeddings": "text_embeddings.word",
    "embeddings.position_embeddings": "text_embeddings.position",
    "query_tokens": "qformer.query_tokens",
}


def renamed(state: dict[str, torch.Tensor], names: dict[str, str]) -> dict[str, torch.Tensor]:
    """The state dict with each old part of a name replaced by the new one, in the order given."""

    def new(name: str) -> str:
        for old, ours in names.items():
            name = name.replace(old, ours)
        return name

    return {new(name): tensor for name, tensor in state.items()}


@torch.no_grad()
def scatter(module: nn.Module, seed: int = 0, scale: float = 0.3) -> None:
    """Draws every weight at random, ones and zeros of norms, biases and gates included: nothing may match by chance."""
    generator = torch.Generator().manual_seed(seed)
    for weight in module.parameters():
        weight.copy_(scale * torch.randn(weight.shape, generator=generator) + (weight == 1))
