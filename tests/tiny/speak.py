"""Encoder, connector and language model."""

from pathlib import Path

import transformers

from tiny.tokens import word_level

TEXT = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2, "vocab_size": 160, "bos_token_id": 2, "eos_token_id": 3,
        "pad_token_id": 0}  # fmt: skip
VISION = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def blip2(folder: Path) -> None:
    tokenizer = word_level("<image>")
    text = {"model_type": "opt", "hidden_size": 32, "num_hidden_layers": 1, "ffn_dim": 32, "num_attention_heads": 2,
            "word_embed_proj_dim": 32, "vocab_size": 160, "pad_token_id": 0, "bos_token_id": 2,
            "eos_token_id": 3}  # fmt: skip
    config = transformers.Blip2Config(
        vision_config={**VISION, "image_size": 28, "patch_size": 14}, text_config=text, num_query_tokens=4,
        qformer_config={**VISION, "encoder_hidden_size": 32, "vocab_size": 48},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    transformers.Blip2ForConditionalGeneration(config).save_pretrained(folder)
    image = transformers.BlipImageProcessor(size={"height": 28, "width": 28})
    transformers.Blip2Processor(image, tokenizer, num_query_tokens=4).save_pretrained(folder)


def llava(folder: Path) -> None:
    tokenizer = word_level("<image>")
    vision = {"model_type": "clip_vision_model", **VISION, "image_size": 28, "patch_size": 14, "projection_dim": 32}
    config = transformers.LlavaConfig(
        vision_config=vision, text_config={"model_type": "llama", **TEXT},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    transformers.LlavaForConditionalGeneration(config).save_pretrained(folder)
    image = transformers.CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    transformers.LlavaProcessor(
        image, tokenizer, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1
    ).save_pretrained(folder)


def flamingo(folder: Path) -> None:
    tokenizer = word_level("<fake_token_around_image>", "<image>", padding_side="left")
    config = transformers.IdeficsConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, vocab_size=len(tokenizer),
        additional_vocab_size=0, cross_layer_interval=1, qk_layer_norms=True, use_resampler=True, pad_token_id=0,
        bos_token_id=2, eos_token_id=3, alpha_initializer="ones",  # open gates: untrained ones are shut
        vision_config={"embed_dim": 32, "image_size": 28, "intermediate_size": 32, "patch_size": 14,
                       "num_hidden_layers": 1, "num_attention_heads": 2},
        perceiver_config={"resampler_depth": 1, "resampler_n_latents": 4, "resampler_n_heads": 2,
                          "resampler_head_dim": 8, "qk_layer_norms_perceiver": True},
    )  # fmt: skip
    transformers.IdeficsForVisionText2Text(config).save_pretrained(folder)
    image = transformers.IdeficsImageProcessor(image_size=28)
    transformers.IdeficsProcessor(image, tokenizer, image_size=28).save_pretrained(folder)


def _qwen_words():
    return word_level("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


def _qwen(folder: Path, kind: str, vision: dict) -> None:
    tokenizer = _qwen_words()
    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(token)
        for name, token in (
            ("image", "<|image_pad|>"),
            ("video", "<|video_pad|>"),
            ("vision_start", "<|vision_start|>"),
            ("vision_end", "<|vision_end|>"),
        )
    }
    text = {**TEXT, "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}}
    config = getattr(transformers, f"{kind}Config")(text_config=text, vision_config=vision, **ids)
    getattr(transformers, f"{kind}ForConditionalGeneration")(config).save_pretrained(folder)
    image = transformers.Qwen2VLImageProcessor(size={"shortest_edge": 28 * 28, "longest_edge": 56 * 56})
    processor = getattr(transformers, f"{kind}Processor")(image, tokenizer, transformers.Qwen2VLVideoProcessor())
    processor.save_pretrained(folder)


def qwen2(folder: Path) -> None:
    _qwen(folder, "Qwen2VL", {"depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2})


def qwen25(folder: Path) -> None:
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32,
              "window_size": 28, "fullatt_block_indexes": [1]}  # fmt: skip
    _qwen(folder, "Qwen2_5_VL", vision)


def internvl(folder: Path) -> None:
    named = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
             "video_token": "<video>"}  # fmt: skip
    tokenizer = word_level(named=named)
    config = transformers.InternVLConfig(
        vision_config={**VISION, "image_size": [56, 56], "patch_size": [14, 14]},
        text_config={"model_type": "qwen2", **TEXT}, image_seq_length=4,
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
    )  # fmt: skip
    transformers.InternVLForConditionalGeneration(config).save_pretrained(folder)
    image = transformers.GotOcr2ImageProcessor(size={"height": 56, "width": 56}, max_patches=2)
    video = transformers.InternVLVideoProcessor(size={"height": 56, "width": 56})
    transformers.InternVLProcessor(image, tokenizer, video, image_seq_length=4).save_pretrained(folder)


def paligemma(folder: Path) -> None:
    tokenizer = word_level("<image>")
    image = transformers.SiglipImageProcessor(size={"height": 28, "width": 28})
    image.image_seq_length = 4
    processor = transformers.PaliGemmaProcessor(image, tokenizer)  # adds words for places
    vision = {"model_type": "siglip_vision_model", **VISION, "image_size": 28, "patch_size": 14,
              "projection_dim": 32, "vision_use_head": False}  # fmt: skip
    text = {"model_type": "gemma", **TEXT, "vocab_size": len(tokenizer), "head_dim": 16}
    config = transformers.PaliGemmaConfig(
        vision_config=vision, text_config=text, projection_dim=32, hidden_size=32,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    transformers.PaliGemmaForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)


def molmo(folder: Path) -> None:
    special = ("<im_patch>", "<im_col>", "<im_start>", "<low_res_im_start>", "<frame_start>", "<im_end>",
               "<frame_end>", "<im_low>", "<|image|>", "<|video|>")  # fmt: skip
    tokenizer = word_level(*special)
    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(token)
        for name, token in (
            ("image_start", "<im_start>"),
            ("low_res_image_start", "<low_res_im_start>"),
            ("image_end", "<im_end>"),
            ("frame_start", "<frame_start>"),
            ("frame_end", "<frame_end>"),
        )
    }
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16, "initializer_range": 0.3}
    config = transformers.Molmo2Config(
        vision_config={**VISION, **heads, "num_hidden_layers": 3, "image_size": [56, 56], "patch_size": 14},
        adapter_config={**heads, "hidden_size": 32, "intermediate_size": 32, "text_hidden_size": 32,
                        "vision_feature_layer": [2, 1]},
        text_config={**TEXT, "head_dim": 16, "additional_vocab_size": 8},
        image_patch_id=tokenizer.convert_tokens_to_ids("<im_patch>"), **ids,
    )  # fmt: skip
    transformers.Molmo2ForConditionalGeneration(config).save_pretrained(folder)
    crops = {"max_crops": 2, "overlap_margins": [1, 1]}
    image = transformers.Molmo2ImageProcessor(size={"height": 56, "width": 56}, **crops)
    video = transformers.Molmo2VideoProcessor(size={"height": 56, "width": 56})
    transformers.Molmo2Processor(image, video, tokenizer).save_pretrained(folder)


def llama_vision(folder: Path) -> None:
    tokenizer = word_level("<|image|>", "<|python_tag|>")
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_global_layers": 1,
              "attention_heads": 2, "image_size": 28, "patch_size": 14, "max_num_tiles": 4,
              "intermediate_layers_indices": [0, 1], "vision_output_dim": 96}  # fmt: skip
    config = transformers.MllamaConfig(
        vision_config=vision, text_config={**TEXT, "cross_attention_layers": [1], "rope_parameters": None},
        image_token_index=tokenizer.convert_tokens_to_ids("<|image|>"),
    )  # fmt: skip
    model = transformers.MllamaForConditionalGeneration(config)
    for name, parameter in model.named_parameters():
        if name.endswith("_gate"):
            parameter.data.fill_(1)  # open: untrained ones are shut
    model.save_pretrained(folder)
    image = transformers.MllamaImageProcessor(size={"height": 28, "width": 28}, max_image_tiles=4)
    transformers.MllamaProcessor(image, tokenizer).save_pretrained(folder)


def smolvlm(folder: Path) -> None:
    places = [f"<row_{row + 1}_col_{column + 1}>" for row in range(6) for column in range(6)]
    special = ("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", *places)
    tokenizer = word_level(*special)
    config = transformers.Idefics3Config(
        vision_config={**VISION, "image_size": 32, "patch_size": 8},
        text_config={"model_type": "llama", **TEXT}, scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    transformers.Idefics3ForConditionalGeneration(config).save_pretrained(folder)
    image = transformers.Idefics3ImageProcessor(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    transformers.Idefics3Processor(image, tokenizer, image_seq_len=4).save_pretrained(folder)
