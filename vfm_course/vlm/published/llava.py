"""LLaVA's class (Liu et al. 2023b, Improved Baselines with Visual Instruction Tuning): every patch goes through an MLP.

Nothing has to be bent: CLIP's tower, the projector and a Llama are what the class is made of. The image stands where
the prompt says `<image>`, and the chat template puts it before `<begin>`, as our models have learnt it.
"""

import os

import transformers

from vfm_course.connectors.projector import MLPProjector
from vfm_course.vlm.model import PrefixVLM
from vfm_course.vlm.published.shared import clip_images, expect_lm, expect_tower, finish, require, save, tokens_of
from vfm_course.vlm.tokenizer import IMAGE_ID, vlm_tokenizer

# Text that ends with a colon ("Caption:", "Picture:") asks by itself; anything else is a question. The prompt comes out
# as `prompts.question_prompt` writes it, with `<image><begin>` in front.
CHAT_TEMPLATE = """
{%- macro text_of(message) -%}
    {%- if message['content'] is string -%}
        {{- message['content'] -}}
    {%- else -%}
        {%- for part in message['content'] if part['type'] == 'text' -%}
            {{- part['text'] -}}{%- if not loop.last %} {% endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
{%- for message in messages if message['content'] is not string -%}
    {%- for part in message['content'] if part['type'] == 'image' -%}
        {{- '<image>' -}}
    {%- endfor -%}
{%- endfor -%}
{{- bos_token -}}
{%- set asks = namespace(itself=false) -%}
{%- for message in messages -%}
    {%- set text = text_of(message) | trim -%}
    {%- if message['role'] == 'user' -%}
        {%- set asks.itself = text.endswith(':') -%}
        {{- text if asks.itself else 'Question: ' + text -}}
    {%- elif message['role'] == 'assistant' -%}
        {{- (' ' if asks.itself else ' Answer: ') + text + eos_token -}}
    {%- else -%}
        {{- raise_exception('Only a user and an assistant speak here.') -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt and not asks.itself -%}
    {{- ' Answer:' -}}
{%- endif -%}
""".strip()


def to_llava(vision: transformers.CLIPVisionModel, model: PrefixVLM) -> transformers.LlavaForConditionalGeneration:
    """Our model with its encoder as LLaVA; logits are equal.

    Args:
        vision: its last hidden states are what `model` was trained on.
        model: a Llama behind an `MLPProjector`, with `skip` 1 (no class token) or 0.

    Raises:
        UserError: parts that LLaVA has not.
    """
    expect_tower(vision, transformers.CLIPVisionModel)
    expect_lm(model.lm)
    require(isinstance(model.connector, MLPProjector), "LLaVA's connector is an MLPProjector.")
    require(not model.prefix_lm and model.skip in (0, 1), "LLaVA reads from left to right and skips at most CLS.")
    config = transformers.LlavaConfig(
        vision_config=vision.config.to_dict(),
        text_config=model.lm.config.to_dict(),
        image_token_index=IMAGE_ID,
        image_seq_length=tokens_of(vision) - model.skip,
        projector_hidden_act="gelu",
        vision_feature_layer=-1,
        vision_feature_select_strategy="default" if model.skip else "full",
        multimodal_projector_bias=True,
        tie_word_embeddings=model.lm.config.tie_word_embeddings,
    )
    theirs = transformers.LlavaForConditionalGeneration(config)
    theirs.model.vision_tower.load_state_dict(vision.state_dict())
    theirs.model.multi_modal_projector.load_state_dict(model.connector.state_dict())
    theirs.model.language_model.load_state_dict(model.lm.model.state_dict())
    theirs.lm_head.load_state_dict(model.lm.lm_head.state_dict())
    return finish(theirs)


def llava_processor(vision: transformers.CLIPVisionModel, skip: int = 1) -> transformers.LlavaProcessor:
    """CLIP's image processor, the pocket's tokenizer, and the chat template.

    The tokenizer puts no `<begin>` in front of the text: the template does, behind the image.
    """
    return transformers.LlavaProcessor(
        clip_images(vision.config.image_size),
        vlm_tokenizer(begin=False),
        patch_size=vision.config.patch_size,
        vision_feature_select_strategy="default" if skip else "full",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


def save_llava(
    vision: transformers.CLIPVisionModel, model: PrefixVLM, folder: str | os.PathLike, half: bool = False
) -> None:
    """Writes a folder that `LlavaForConditionalGeneration` and `AutoProcessor` load; `half` rounds to float16."""
    save(to_llava(vision, model), llava_processor(vision, model.skip), folder, half)
