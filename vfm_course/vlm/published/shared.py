"""What all published classes need: parts looked at, weights under other names, a folder that holds all of it."""

import json
import os
import re
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from vfm_course.errors import UserError
from vfm_course.vlm.tokenizer import BEGIN, END, PAD, vlm_tokenizer

WEIGHTS = "model.safetensors"


def require(holds: bool, sentence: str) -> None:
    """Raises UserError with the sentence unless it `holds`."""
    if not holds:
        raise UserError(sentence)


def expect_tower(vision: nn.Module, kind: type) -> None:
    """Raises UserError unless the encoder is of the kind."""
    found = type(vision).__name__
    require(isinstance(vision, kind), f"The vision encoder should be a {kind.__name__}; it is a {found}.")


def expect_lm(lm: nn.Module) -> None:
    """Raises UserError unless the language model is a Llama that reads the words of `vlm_tokenizer`."""
    found = type(lm).__name__
    require(isinstance(lm, transformers.LlamaForCausalLM), f"The language model should be a Llama; it is a {found}.")
    words, known = len(vlm_tokenizer()), lm.config.vocab_size
    require(words == known, f"The tokenizer has {words} words, but the language model {known}.")


def expect_plain_llama(lm: nn.Module) -> None:
    """Raises UserError unless the Llama keeps to what Idefics' and Gemma's decoders can say in their configuration: no
    biases, plain rotary positions."""
    config = lm.config
    require(
        not config.attention_bias and not config.mlp_bias, "The language model has biases, the published class not."
    )
    plain = {"rope_theta": 10_000.0, "rope_type": "default"}
    require(dict(config.rope_parameters) == plain, "The language model's rotary positions are not the plain ones.")


def decoder_sizes(lm: nn.Module) -> dict[str, Any]:
    """What the decoders of Idefics and Gemma have in common with a Llama, as keywords of their configurations."""
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "rms_norm_eps",
             "max_position_embeddings", "tie_word_embeddings")  # fmt: skip
    return {name: getattr(lm.config, name) for name in names} | special_tokens()


def special_tokens() -> dict[str, int]:
    """The numbers of `<pad>`, `<begin>` and `<end>`, as keywords of a configuration."""
    return {"pad_token_id": PAD, "bos_token_id": BEGIN, "eos_token_id": END}


def tokens_of(vision: nn.Module) -> int:
    """Tokens that the encoder gives for an image, the class token included."""
    return (vision.config.image_size // vision.config.patch_size) ** 2 + 1


def clip_images(side: int) -> transformers.CLIPImageProcessor:
    """CLIP's: the shorter side to `side` pixels, the middle cut out, its mean and deviation."""
    return transformers.CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})


def renamed(module: nn.Module, names: list[tuple[str, str]]) -> dict[str, torch.Tensor]:
    """The module's state with each pattern in a name replaced, in the order given."""

    def new(name: str) -> str:
        for pattern, theirs in names:
            name = re.sub(pattern, theirs, name)
        return name

    return {new(name): tensor for name, tensor in module.state_dict().items()}


def finish(model: nn.Module, **generation: Any) -> nn.Module:
    """Frozen, in evaluation mode, answering greedily until `<end>`."""
    model.generation_config = transformers.GenerationConfig(do_sample=False, **special_tokens(), **generation)
    return model.eval().requires_grad_(False)


def save(model: nn.Module, processor: Any, folder: str | os.PathLike, half: bool = False) -> None:
    """Writes weights as safetensors, configuration, processor, tokenizer and chat template.

    Args:
        model: rounded to float16 in place with `half`.
        folder: made if it is not there.
    """
    folder = Path(folder)
    if half:
        model.half()
    model.save_pretrained(folder)
    _forget_origins(folder / "config.json")
    os.chmod(folder / WEIGHTS, 0o644)  # safetensors lets nobody else read it
    processor.save_pretrained(folder)


def _forget_origins(config: Path) -> None:
    """Takes out of the parts' configurations where on this machine they were loaded from."""

    def forgetful(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: forgetful(each) for key, each in value.items() if key != "_name_or_path"}
        return value

    known = forgetful(json.loads(config.read_text(encoding="utf-8")))
    config.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
