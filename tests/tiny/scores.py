"""Two towers, one for images and one for texts."""

import json
from pathlib import Path

import transformers

from tiny.features import TOWER


def _bpe(folder: Path) -> int:
    """CLIP's byte-level BPE files: every byte, every byte at a word's end, then the merges. Returns its size."""
    letters = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324))]
    assert len(letters) == 256
    merges = ["c a", "ca t</w>", "o f</w>", "p h", "ph o", "pho t", "phot o</w>"]
    ends = [letter + "</w>" for letter in letters]
    words = [*letters, *ends, *(merge.replace(" ", "") for merge in merges), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    names = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    about = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "unk_token": "<|endoftext|>", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    return len(words)


def clip(folder: Path) -> None:
    """With byte-level BPE files as the published ones."""
    number = _bpe(folder)
    end = number - 1
    text = {**TOWER, "vocab_size": number, "bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    vision = {**TOWER, "image_size": 224, "patch_size": 32}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
    transformers.CLIPModel(config).save_pretrained(folder)
    transformers.CLIPImageProcessor().save_pretrained(folder)


def _sentencepiece(folder: Path, name: str) -> None:
    import sentencepiece

    sentences = ["a photo of a cat", "a car on the road", "a banana", "this is a photo", "two dogs and one cat"]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_prefix=str(folder / name), vocab_size=40, pad_id=0, eos_id=1,
        unk_id=2, bos_id=-1, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    (folder / f"{name}.vocab").unlink()


def siglip(folder: Path) -> None:
    """With a SentencePiece model, as the published one."""
    _sentencepiece(folder, "spiece")
    names = {"eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
    about = {"tokenizer_class": "SiglipTokenizer", "model_max_length": 64, "model_input_names": ["input_ids"], **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    text = {**TOWER, "vocab_size": 48, "max_position_embeddings": 64}
    vision = {**TOWER, "image_size": 224, "patch_size": 16}
    transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    transformers.SiglipImageProcessor(size={"height": 224, "width": 224}).save_pretrained(folder)


def _gemma_words():
    from tiny.tokens import word_level

    return word_level(model_max_length=64, padding_side="right")


def siglip2(folder: Path) -> None:
    """A fixed resolution: SigLIP's own model class, with a processor of SigLIP 2."""
    text = {**TOWER, "vocab_size": 48, "max_position_embeddings": 64}
    vision = {**TOWER, "image_size": 224, "patch_size": 16}
    transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    image = transformers.SiglipImageProcessor(size={"height": 224, "width": 224})
    transformers.SiglipProcessor(image, _gemma_words()).save_pretrained(folder)


def siglip2_naflex(folder: Path) -> None:
    text = {**TOWER, "vocab_size": 48, "max_position_embeddings": 64}
    vision = {**TOWER, "patch_size": 16, "num_patches": 256}
    config = transformers.Siglip2Config(text_config=text, vision_config=vision)
    transformers.Siglip2Model(config).save_pretrained(folder)
    image = transformers.Siglip2ImageProcessor(patch_size=16, max_num_patches=64)
    transformers.Siglip2Processor(image, _gemma_words()).save_pretrained(folder)
