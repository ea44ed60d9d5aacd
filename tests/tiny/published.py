"""Small vision-language models of ours with random weights, and what was made of them by saving and loading."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn

from tiny.same_weights import scatter
from vfm_course.connectors.projector import LinearProjector, MLPProjector
from vfm_course.connectors.qformer import QFormer
from vfm_course.connectors.resampler import PerceiverResampler
from vfm_course.vlm import drive
from vfm_course.vlm.features import encode
from vfm_course.vlm.model import GatedVLM, PrefixVLM
from vfm_course.vlm.published.blip2 import save_blip2
from vfm_course.vlm.published.flamingo import save_flamingo
from vfm_course.vlm.published.llava import save_llava
from vfm_course.vlm.published.paligemma import save_paligemma
from vfm_course.vlm.tokenizer import BEGIN, END, IMAGE_ID, PAD, vlm_tokenizer

EYES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 64,
        "patch_size": 16, "hidden_act": "gelu"}  # fmt: skip
TOKENS = 17
WORDS = len(vlm_tokenizer())
SAVE = {"llava": save_llava, "blip2": save_blip2, "flamingo": save_flamingo, "paligemma": save_paligemma}
CLASSES = {
    "llava": transformers.LlavaForConditionalGeneration,
    "blip2": transformers.Blip2ForConditionalGeneration,
    "flamingo": transformers.IdeficsForVisionText2Text,
    "paligemma": transformers.PaliGemmaForConditionalGeneration,
}


def language_model(tied: bool = True) -> transformers.LlamaForCausalLM:
    config = transformers.LlamaConfig(
        vocab_size=WORDS, hidden_size=48, intermediate_size=40, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=512, tie_word_embeddings=tied, bos_token_id=BEGIN,
        eos_token_id=END, pad_token_id=PAD,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def eyes(name: str) -> nn.Module:
    if name == "blip2":
        return transformers.Blip2VisionModel(transformers.Blip2VisionConfig(**EYES, layer_norm_eps=1e-5)).eval()
    return transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**EYES)).eval()


def pocket(name: str, seed: int = 0, tied: bool = True) -> tuple[nn.Module, nn.Module]:
    """Encoder and model, every weight drawn at random, gates included."""
    lm = language_model(tied)
    if name == "llava":
        model = PrefixVLM(lm, MLPProjector(32, 48), skip=1)
    elif name == "blip2":
        qformer = QFormer(32, hidden=24, layers=3, heads=4, intermediate=40, num_queries=5, text=True)
        model = PrefixVLM(lm, nn.Sequential(qformer, LinearProjector(24, 48)))
    elif name == "paligemma":
        model = PrefixVLM(lm, LinearProjector(32, 48), prefix_lm=True)
    else:
        model = GatedVLM(lm, PerceiverResampler(32, 6, depth=2, heads=3, head_dim=10), 32, heads=4, interval=2)
    vision = eyes(name)
    scatter(vision, seed, scale=0.15)
    scatter(model, seed + 1, scale=0.15)
    with torch.no_grad():  # weak words, or a random model would only say the last one again
        model.lm.get_input_embeddings().weight.mul_(0.5)
    return vision.requires_grad_(False), model.eval().requires_grad_(False)


def pictures(n: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 3, 64, 64), dtype=np.uint8)


@dataclass
class Published:
    """Ours, and what was loaded from the folder that it was saved in."""

    name: str
    vision: nn.Module
    ours: nn.Module
    theirs: Any
    processor: Any
    folder: Path

    def read(self, prompts: list[str], images: np.ndarray, **more) -> Any:
        """Inputs as the processor makes them."""
        texts = [drive._text(self.processor, prompt) for prompt in prompts]
        pixels = list(images.transpose(0, 2, 3, 1))
        written = {"padding": True, "padding_side": "left", "return_tensors": "pt"}
        return self.processor(images=pixels, text=texts, **written, **more)

    def lines(self, inputs: Any) -> list[list[int]]:
        """The token numbers of the text, which our model is given: all that is neither padding nor image."""
        hidden = {PAD} if self.name == "flamingo" else {PAD, IMAGE_ID}
        return [[token for token in row if token not in hidden] for row in inputs["input_ids"].tolist()]

    def logits(self, prompt: str, **more) -> tuple[torch.Tensor, torch.Tensor]:
        """Ours and theirs, (T, words)."""
        inputs = self.read([prompt], pictures(1), **more)
        (line,) = self.lines(inputs)
        kinds = inputs.get("token_type_ids", torch.zeros_like(inputs["input_ids"]))
        features = encode(self.vision, pictures(1))
        with torch.no_grad():
            ours = self.ours(features, torch.tensor([line]), kinds[:, -len(line) :] == 0)[0]
            theirs = self.theirs(**inputs).logits[0, -len(line) :, :WORDS]
        return ours, theirs


def load(name: str, folder: Path, **more) -> tuple[Any, Any]:
    model, told = CLASSES[name].from_pretrained(folder, use_safetensors=True, output_loading_info=True, **more)
    assert not any(told.values()), told
    return model.eval(), transformers.AutoProcessor.from_pretrained(folder)


def same(ours: torch.Tensor, theirs: torch.Tensor, atol: float = 1e-4) -> bool:
    assert ours.std() > 0.1  # zeros would agree with zeros
    return torch.allclose(ours, theirs, atol=atol, rtol=0)
