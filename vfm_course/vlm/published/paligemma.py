"""PaliGemma's class (Beyer et al. 2024, arXiv:2407.07726): a linear layer, and an image and a prompt that look at each
other both ways.

Its language model is a Gemma. That is a Llama but for two things, and both are only a matter of how weights are
written: its norms multiply by 1 + weight, and its word embeddings are multiplied by √width as they are read (image
tokens are not). So the words are divided by √width here; since the output head shares them, the last norm makes up for
it.
"""

import math
import os

import torch
import transformers
from transformers.models.paligemma.processing_paligemma import EXTRA_TOKENS

from vfm_course.connectors.projector import LinearProjector
from vfm_course.vlm.model import PrefixVLM
from vfm_course.vlm.published.shared import (
    clip_images,
    decoder_sizes,
    expect_lm,
    expect_plain_llama,
    expect_tower,
    finish,
    require,
    save,
    tokens_of,
)
from vfm_course.vlm.tokenizer import IMAGE_ID, UNKNOWN, vlm_tokenizer


def gemma_state(lm: transformers.LlamaForCausalLM) -> dict[str, torch.Tensor]:
    """A Llama's weights (without output head) for a `GemmaModel` that computes the same.

    The processor adds 1,152 words for places and shapes, which nothing was trained for: they read as `<unknown>` does.
    """
    root = math.sqrt(lm.config.hidden_size)
    state = {}
    for name, tensor in lm.model.state_dict().items():
        if name == "embed_tokens.weight":
            tensor = torch.cat([tensor, tensor[UNKNOWN].expand(len(EXTRA_TOKENS), -1)]) / root
        elif name == "norm.weight":
            tensor = tensor * (root if lm.config.tie_word_embeddings else 1) - 1
        elif name.endswith("norm.weight"):
            tensor = tensor - 1
        state[name] = tensor
    return state


def to_paligemma(
    vision: transformers.CLIPVisionModel, model: PrefixVLM
) -> transformers.PaliGemmaForConditionalGeneration:
    """Our model with its encoder as PaliGemma; logits of our words are equal, and `generate` says no other words.

    Args:
        vision: its last hidden states, the class token included, are what `model` was trained on.
        model: a Llama behind a `LinearProjector`, with `prefix_lm`.

    Raises:
        UserError: parts that PaliGemma has not.
    """
    expect_tower(vision, transformers.CLIPVisionModel)
    expect_lm(model.lm)
    expect_plain_llama(model.lm)
    require(isinstance(model.connector, LinearProjector), "PaliGemma's connector is a LinearProjector.")
    require(model.prefix_lm and model.skip == 0, "PaliGemma has a prefix language model and skips no image token.")
    lm = model.lm.config
    words = lm.vocab_size + len(EXTRA_TOKENS)
    text = decoder_sizes(model.lm) | {
        "model_type": "gemma",
        "vocab_size": words,
        "num_key_value_heads": lm.num_key_value_heads,
        "head_dim": lm.head_dim,
        "hidden_act": lm.hidden_act,  # "silu": Gemma's own is a GELU
    }
    config = transformers.PaliGemmaConfig(
        vision_config=vision.config.to_dict(),
        text_config=text,
        image_token_index=IMAGE_ID,
        vocab_size=words,
        projection_dim=lm.hidden_size,
        hidden_size=lm.hidden_size,
        tie_word_embeddings=lm.tie_word_embeddings,
        **{name: text[name] for name in ("pad_token_id", "bos_token_id", "eos_token_id")},
    )
    theirs = transformers.PaliGemmaForConditionalGeneration(config)
    theirs.model.vision_tower.load_state_dict(vision.state_dict())
    theirs.model.multi_modal_projector.load_state_dict(model.connector.state_dict())
    theirs.model.language_model.load_state_dict(gemma_state(model.lm))
    if not lm.tie_word_embeddings:
        head = model.lm.lm_head.weight
        head = torch.cat([head, head[UNKNOWN].expand(len(EXTRA_TOKENS), -1)])
        theirs.lm_head.load_state_dict({"weight": head})
    return finish(theirs, suppress_tokens=list(range(lm.vocab_size, words)))


def paligemma_processor(vision: transformers.CLIPVisionModel) -> transformers.PaliGemmaProcessor:
    """CLIP's image processor and the pocket's tokenizer.

    The processor writes `<image>` 65 times, `<begin>`, the prompt and a new line. Our tokenizer drops the new line with
    all white space, so that the text is what our model reads.
    """
    images = clip_images(vision.config.image_size)
    images.image_seq_length = tokens_of(vision)
    return transformers.PaliGemmaProcessor(images, vlm_tokenizer(begin=False))


def save_paligemma(
    vision: transformers.CLIPVisionModel, model: PrefixVLM, folder: str | os.PathLike, half: bool = False
) -> None:
    """Writes a folder that `PaliGemmaForConditionalGeneration` and `AutoProcessor` load; `half` rounds to float16."""
    save(to_paligemma(vision, model), paligemma_processor(vision), folder, half)
    vlm_tokenizer(begin=False).save_pretrained(folder)  # the processor adds its 1,152 words each time it is loaded
