"""Encoders of images and videos."""

from pathlib import Path

import transformers

TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def dinov2(folder: Path) -> None:
    """Published: made for 518 px, used at 224, so its position embeddings are interpolated."""
    config = transformers.Dinov2Config(image_size=518, patch_size=14, hidden_size=32, num_hidden_layers=2,
                                       num_attention_heads=2)  # fmt: skip
    transformers.Dinov2Model(config).save_pretrained(folder)
    transformers.BitImageProcessor(size={"shortest_edge": 256}, crop_size=224).save_pretrained(folder)


def dinov3(folder: Path) -> None:
    config = transformers.DINOv3ViTConfig(**TOWER, patch_size=16, num_register_tokens=4)
    transformers.DINOv3ViTModel(config).save_pretrained(folder)
    transformers.DINOv3ViTImageProcessor().save_pretrained(folder)


def mae(folder: Path) -> None:
    decoder = {"decoder_hidden_size": 16, "decoder_intermediate_size": 32, "decoder_num_hidden_layers": 1}
    config = transformers.ViTMAEConfig(**TOWER, **decoder, decoder_num_attention_heads=2, image_size=224, patch_size=16)
    transformers.ViTMAEForPreTraining(config).save_pretrained(folder)
    transformers.ViTImageProcessor().save_pretrained(folder)


def ijepa(folder: Path) -> None:
    transformers.IJepaModel(transformers.IJepaConfig(**TOWER, image_size=224, patch_size=14)).save_pretrained(folder)
    transformers.ViTImageProcessor().save_pretrained(folder)


def vjepa2(folder: Path) -> None:
    config = transformers.VJEPA2Config(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, crop_size=32, patch_size=16, frames_per_clip=4,
        pred_hidden_size=24, pred_num_attention_heads=2, pred_num_hidden_layers=1, pred_num_mask_tokens=2, mlp_ratio=2,
    )  # fmt: skip
    transformers.VJEPA2Model(config).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    transformers.VJEPA2VideoProcessor(size={"shortest_edge": 36}, crop_size=size).save_pretrained(folder)
