"""Masks, boxes and depth."""

import json
from pathlib import Path

import transformers

from tiny.tokens import word_level

PROMPT = {"hidden_size": 32, "image_size": 256, "patch_size": 16, "mask_input_channels": 8}
DECODER = {"hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": 32}


def sam(folder: Path) -> None:
    """256 px in place of 1024, for the tests' time."""
    vision = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 256, "patch_size": 16,
              "output_channels": 32, "global_attn_indexes": [1], "window_size": 7, "num_pos_feats": 16,
              "initializer_range": 0.05}  # fmt: skip
    config = transformers.SamConfig(vision_config=vision, prompt_encoder_config=PROMPT, mask_decoder_config=DECODER)
    model = transformers.SamModel(config)
    model.mask_decoder.iou_prediction_head.proj_out.bias.data.fill_(9)  # sure of itself, so that its masks are kept
    model.save_pretrained(folder)
    size = {"size": {"longest_edge": 256}, "pad_size": {"height": 256, "width": 256}}
    transformers.SamImageProcessor(**size).save_pretrained(folder)
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"processor_class": "SamProcessor"}))


def sam2(folder: Path) -> None:
    """As published: the video model's weights and configuration, of which the image model takes its part."""
    backbone = {"model_type": "sam2_hiera_det_model", "hidden_size": 8, "num_attention_heads": 1,
                "image_size": [128, 128], "blocks_per_stage": [1, 1, 2, 1], "embed_dim_per_stage": [8, 16, 32, 64],
                "num_attention_heads_per_stage": [1, 1, 2, 2], "global_attention_blocks": [3],
                "window_size_per_stage": [8, 4, 8, 4]}  # fmt: skip
    vision = {"backbone_config": backbone, "backbone_channel_list": [64, 32, 16, 8], "fpn_hidden_size": 32,
              "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]]}  # fmt: skip
    prompt = {**PROMPT, "image_size": 128}
    config = transformers.Sam2VideoConfig(
        vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=DECODER, image_size=128,
        memory_attention_hidden_size=32, memory_attention_num_layers=1, memory_attention_num_attention_heads=1,
        memory_attention_feed_forward_hidden_size=32, memory_encoder_hidden_size=32, memory_encoder_output_channels=8,
        mask_downsampler_embed_dim=32, memory_fuser_embed_dim=32, memory_fuser_intermediate_dim=32,
        memory_fuser_num_layers=1, memory_attention_rope_feat_sizes=[8, 8],
    )  # fmt: skip
    transformers.Sam2VideoModel(config).save_pretrained(folder)
    image = transformers.Sam2ImageProcessor(size={"height": 128, "width": 128}, mask_size={"height": 32, "width": 32})
    transformers.Sam2Processor(image, target_size=128).save_pretrained(folder)


def sam3(folder: Path) -> None:
    backbone = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
                "image_size": 112, "pretrain_image_size": 112, "patch_size": 14, "window_size": 4,
                "global_attn_indexes": [1]}  # fmt: skip
    vision = {"backbone_config": {"model_type": "sam3_vit_model", **backbone}, "fpn_hidden_size": 32,
              "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]]}  # fmt: skip
    small = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2}
    text = {**small, "num_hidden_layers": 1, "vocab_size": 64, "projection_dim": 32, "max_position_embeddings": 32,
            "eos_token_id": 3, "bos_token_id": 2, "pad_token_id": 0}  # fmt: skip
    config = transformers.Sam3Config(
        vision_config=vision, text_config=text, geometry_encoder_config={**small, "num_layers": 1},
        detr_encoder_config={**small, "num_layers": 1},
        detr_decoder_config={**small, "num_layers": 1, "num_queries": 6},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2},
    )  # fmt: skip
    transformers.Sam3Model(config).save_pretrained(folder)
    image = transformers.Sam3ImageProcessor(size={"height": 112, "width": 112}, mask_size={"height": 32, "width": 32})
    words = word_level(model_max_length=32)
    transformers.Sam3Processor(image, words, target_size=112).save_pretrained(folder)


def grounding_dino(folder: Path) -> None:
    swin = {"model_type": "swin", "image_size": 64, "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2],
            "window_size": 2, "out_features": ["stage2", "stage3", "stage4"]}  # fmt: skip
    text = {"model_type": "bert", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2, "vocab_size": 64}  # fmt: skip
    config = transformers.GroundingDinoConfig(
        backbone_config=swin, text_config=text, d_model=32, encoder_layers=1, decoder_layers=2, num_queries=8,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_text_len=32,
    )  # fmt: skip
    transformers.GroundingDinoForObjectDetection(config).save_pretrained(folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "car", "photo", "of", ".", "?"]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = transformers.BertTokenizer.from_pretrained(folder)
    image = transformers.GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    transformers.GroundingDinoProcessor(image, tokenizer).save_pretrained(folder)


def depth_anything(folder: Path) -> None:
    backbone = {"model_type": "dinov2", "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2,
                "patch_size": 14, "image_size": 70, "out_indices": [1, 2, 3, 4], "reshape_hidden_states": False,
                "apply_layernorm": True}  # fmt: skip
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=8,
        head_hidden_size=8,
    )  # fmt: skip
    transformers.DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    keep = {"keep_aspect_ratio": True, "ensure_multiple_of": 14}
    transformers.DPTImageProcessor(size={"height": 70, "width": 70}, **keep).save_pretrained(folder)
