"""A vision-language model asked through its processor and `generate`: the pocket's and the giants by the same lines."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from vfm_course.errors import UserError
from vfm_course.vlm.prompts import question_prompt


def describe(model: Any, processor: Any, image: Image.Image | np.ndarray, prompt: str, max_new_tokens: int = 64) -> str:
    """What the model says of one image.

    Args:
        model: a model of transformers with `generate`.
        processor: its processor, as `AutoProcessor` loads it.
        image: PIL, or uint8 of shape (H, W), (H, W, 3) or (3, H, W).
        prompt: what the user says, where the processor has a chat template; else all that is to be read, such as
            `question_prompt("is there a cat?")` or `CAPTION`, which the pocket's LLaVA takes as well.

    Raises:
        UserError: no image, or nothing that can be one; no text.
    """
    return _say(model, processor, [image], [prompt], max_new_tokens)[0]


def answers(
    model: Any,
    processor: Any,
    images: Sequence[Image.Image | np.ndarray],
    questions: Sequence[str],
    batch_size: int = 32,
    max_new_tokens: int = 12,
    form: Callable[[str], str] = question_prompt,
) -> list[str]:
    """The model's answers, one image a question, in batches.

    Args:
        model, processor, images: as for `describe`.
        questions: bare: "is there a cat?"
        form: writes the prompt where there is no chat template; the published PaliGemma wants "answer en …".

    Raises:
        UserError: not as many images as questions; no image, or nothing that can be one; no text.
    """
    if len(images) != len(questions):
        raise UserError(f"There are {len(images)} images for {len(questions)} questions: give one image a question.")
    if batch_size < 1:
        raise UserError(f"A batch holds at least one question, not {batch_size}.")
    prompts = [question if _talks(processor) or not isinstance(question, str) else form(question)
               for question in questions]  # fmt: skip
    said = []
    for start in range(0, len(prompts), batch_size):
        rows = slice(start, start + batch_size)
        said += _say(model, processor, images[rows], prompts[rows], max_new_tokens)
    return said


@torch.inference_mode()
def _say(model: Any, processor: Any, images: Sequence, prompts: Sequence[str], most: int) -> list[str]:
    """Greedy answers, of which only what is new is told."""
    # A list for each text, as Llama's processor wants it. Idefics' would put the image behind the text then.
    nested = type(processor).__name__ != "IdeficsProcessor"
    pictures = [[_picture(image)] if nested else _picture(image) for image in images]
    texts = [_text(processor, prompt) for prompt in prompts]
    written = {"padding": True, "padding_side": "left", "return_tensors": "pt"}
    begin = getattr(processor.tokenizer, "bos_token", None)
    if begin and texts[0].startswith(begin):  # the template wrote it: once is enough
        written["add_special_tokens"] = False
    inputs = processor(images=pictures, text=texts, **written).to(model.device, model.dtype)
    inputs.pop("labels", None)  # PaliGemma's, for training
    said = model.generate(**inputs, max_new_tokens=most, do_sample=False)
    read = inputs["input_ids"]
    # Most classes give the prompt back in front of the answer; BLIP-2 in some versions does not.
    if said.shape[1] >= read.shape[1] and torch.equal(said[:, : read.shape[1]], read):
        said = said[:, read.shape[1] :]
    return [text.strip() for text in processor.tokenizer.batch_decode(said, skip_special_tokens=True)]


def _talks(processor: Any) -> bool:
    return bool(getattr(processor, "chat_template", None))


def _text(processor: Any, prompt: str) -> str:
    """The prompt as the processor is to read it."""
    if not isinstance(prompt, str) or not prompt.strip():
        raise UserError(f"A prompt is a text that says something, not {prompt!r}.")
    if _talks(processor):
        content = [{"type": "image"}, {"type": "text", "text": prompt}]
        return processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    # BLIP-2's and Idefics' processors write the image's marks themselves, and PaliGemma's scolds if it has to.
    unmarked = type(processor).__name__ == "PaliGemmaProcessor" and "<image>" not in prompt
    return f"<image>{prompt}" if unmarked else prompt


def _picture(image: Any) -> Image.Image:
    """The image in RGB."""
    if isinstance(image, Image.Image):
        return image.convert("RGB")
    if image is None:
        raise UserError("There is no image: give one as PIL image or as array.")
    if not isinstance(image, np.ndarray):
        raise UserError(f"An image is a PIL image or a NumPy array, not a {type(image).__name__}.")
    if image.ndim == 3 and image.shape[0] == 3 and image.shape[2] != 3:
        image = image.transpose(1, 2, 0)
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or not image.size:
        raise UserError(
            f"An image array is uint8 of shape (H, W), (H, W, 3) or (3, H, W), not {image.dtype} {image.shape}."
        )
    return Image.fromarray(np.ascontiguousarray(image)).convert("RGB")
