"""Idefics' class, the open reproduction of Flamingo (Alayrac et al. 2022): gated layers between the language model's.

CLIP's tower and a Llama's layers go over under their own names. What has to be bent is the tokenizer. Idefics takes the
end token for the end of a document and hides the image from all that follows, but our dialogues go on behind it, and
the model has learnt to look there. So the tokenizer has no end token of its own (`<end>` stays a special word of it),
and only the model knows what ends an answer.
"""

import os

import transformers
from torch import nn

from vfm_course.connectors.resampler import PerceiverResampler
from vfm_course.pretraining import encoder
from vfm_course.vlm.model import GatedVLM
from vfm_course.vlm.published.shared import (
    decoder_sizes,
    expect_lm,
    expect_plain_llama,
    expect_tower,
    finish,
    renamed,
    require,
    save,
)
from vfm_course.vlm.tokenizer import vlm_tokenizer

RESAMPLER = [
    (r"^norm\.", "layer_norm."),
    (r"\.norm\.", ".ln."),
    (r"\.up\.", ".fc."),
    (r"\.down\.", ".c_proj."),
    (r"patch_norm", "context_layer_norm"),
    (r"latent_norm", "latents_layer_norm"),
    (r"query_norm", "q_layer_norm"),
    (r"key_norm", "k_layer_norm"),
    (r"\.(q)uery\.|\.(k)ey\.|\.(v)alue\.", r".\1\2\3_proj."),
    (r"\.output\.", ".output_proj."),
]

GATED = [
    (r"^attention_norm", "input_layernorm"),
    (r"^dense_norm", "post_attention_layernorm"),
    (r"^dense\.(\w+)\.", r"mlp.\1_proj."),
    (r"^alpha_attention", "alpha_cross_attn"),
    (r"query_norm", "q_layer_norm"),
    (r"key_norm", "k_layer_norm"),
    (r"\.(q)uery\.|\.(k)ey\.|\.(v)alue\.|\.(o)utput\.", r".\1\2\3\4_proj."),
    (r"^cross_attention", "cross_attn"),
]


def idefics_config(vision: transformers.CLIPVisionModel, model: GatedVLM) -> transformers.IdeficsConfig:
    """Sizes of all parts.

    Raises:
        UserError: parts that Idefics has not.
    """
    expect_tower(vision, transformers.CLIPVisionModel)
    expect_lm(model.lm)
    expect_plain_llama(model.lm)
    lm, tower, resampler, gated = model.lm.config, vision.config, model.connector, model.gated[0]
    require(isinstance(resampler, PerceiverResampler), "Idefics' connector is a PerceiverResampler.")
    heads = {lm.num_attention_heads, lm.num_key_value_heads, gated.cross_attention.heads}
    require(len(heads) == 1, "Idefics has as many heads of keys and values, and in its gated layers, as heads.")
    require(lm.num_hidden_layers % model.interval == 0, "Idefics' layers are divided evenly among its gated layers.")
    require(lm.rms_norm_eps == gated.attention_norm.eps, "Idefics has one epsilon for all norms of the decoder.")
    attention, feed_forward = resampler.blocks[0]
    wide = feed_forward.up.out_features
    require(wide == 4 * resampler.width, f"Idefics' resampler is four times as wide inside; this one is {wide} wide.")
    sides = ("image_size", "patch_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "hidden_act")
    return transformers.IdeficsConfig(
        **decoder_sizes(model.lm),
        vocab_size=lm.vocab_size,
        additional_vocab_size=0,  # the marks are words of the language model's own
        hidden_act=lm.hidden_act,
        cross_layer_interval=model.interval,
        qk_layer_norms=not isinstance(gated.cross_attention.query_norm, nn.Identity),
        alpha_type="float",
        use_resampler=True,
        vision_config={name: getattr(tower, name) for name in sides}
        | {"embed_dim": tower.hidden_size, "layer_norm_eps": tower.layer_norm_eps},
        perceiver_config={
            "use_resampler": True,
            "resampler_n_latents": len(resampler.latents),
            "resampler_depth": len(resampler.blocks),
            "resampler_n_heads": attention.heads,
            "resampler_head_dim": attention.query.out_features // attention.heads,
            "qk_layer_norms_perceiver": not isinstance(attention.query_norm, nn.Identity),
        },
    )


def to_flamingo(vision: transformers.CLIPVisionModel, model: GatedVLM) -> transformers.IdeficsForVisionText2Text:
    """Our model with its encoder as Idefics; logits are equal for the token numbers that its processor makes.

    Those hold the marks `<fake_token_around_image><image><fake_token_around_image>` behind `<begin>` (`marked`), and
    what stands before `<image>` sees nothing, in Idefics and in `GatedVLM` alike. A model that is to be driven so
    should be trained with the marks, too.

    Args:
        vision: its last hidden states are what `model` was trained on.
        model: a Llama, a `PerceiverResampler` and gated layers.

    Raises:
        UserError: parts that Idefics has not.
    """
    theirs = transformers.IdeficsForVisionText2Text(idefics_config(vision, model))
    body = theirs.model
    body.vision_model.load_state_dict(vision.state_dict())
    body.perceiver_resampler.load_state_dict(renamed(model.connector, RESAMPLER))
    for layer, gated in zip(body.gated_cross_attn_layers, model.gated, strict=True):
        layer.load_state_dict(renamed(gated, GATED))
    for name in ("embed_tokens", "layers", "norm"):
        getattr(body, name).load_state_dict(getattr(model.lm.model, name).state_dict())
    theirs.lm_head.load_state_dict(model.lm.lm_head.state_dict())
    return finish(theirs)


def flamingo_processor(vision: transformers.CLIPVisionModel) -> transformers.IdeficsProcessor:
    """Idefics' image processor with CLIP's mean and deviation, which cuts nothing off, and the pocket's tokenizer.

    The processor writes `<begin>` and the marks itself.
    """
    side = vision.config.image_size
    tokenizer = vlm_tokenizer(begin=False)
    tokenizer.eos_token = None
    images = transformers.IdeficsImageProcessor(image_size=side, **encoder.CLIP)
    return transformers.IdeficsProcessor(images, tokenizer, image_size=side)


def save_flamingo(
    vision: transformers.CLIPVisionModel, model: GatedVLM, folder: str | os.PathLike, half: bool = False
) -> None:
    """Writes a folder that `IdeficsForVisionText2Text` and `AutoProcessor` load; `half` rounds to float16."""
    save(to_flamingo(vision, model), flamingo_processor(vision), folder, half)
