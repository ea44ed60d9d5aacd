"""Every check of notebook 04 takes other right answers; the answers agree with the library and with transformers."""

import math

import pytest
import torch
import transformers
from tiny.same_weights import scatter
from torch import nn
from torch.nn import functional as F
from transformers.models.blip_2.modeling_blip_2 import Blip2QFormerLayer
from transformers.models.idefics.perceiver import IdeficsPerceiverAttention
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

from vfm_course.connectors import gated, qformer_text
from vfm_course.connectors.attention import attend, split_heads
from vfm_course.connectors.cost import LMShape, connector_cost
from vfm_course.connectors.projector import LinearProjector, MLPProjector
from vfm_course.connectors.qformer import QFormer, QFormerLayer
from vfm_course.connectors.resampler import PerceiverAttention
from vfm_course.exercises import registry
from vfm_course.exercises.answer import LocalHandle
from vfm_course.exercises.draw import Draw
from vfm_course.exercises.record import Choice
from vfm_course.exercises.verdict import RIGHT, WRONG, judge
from vfm_course.solutions import ch04_connectors as reference

CONNECTORS = registry.chapter("04")
SEEDS = range(20)
VICUNA = (32, 4096, 32, 32, 11008, 2)


# Other right answers -----------------------------------------------------------------------------------------------
def numbers_on_meta(image_size, patch, vision_width, text_width):
    side = image_size // patch
    with torch.device("meta"):
        first, second = nn.Linear(vision_width, text_width), nn.Linear(text_width, text_width)
    linear = sum(weight.numel() for weight in first.parameters())
    return [side * side, linear, linear + sum(weight.numel() for weight in second.parameters())]


def project_by_modules(patches, weight_1, bias_1, weight_2, bias_2):
    return nn.functional.linear(nn.GELU()(nn.functional.linear(patches, weight_1, bias_1)), weight_2, bias_2)


def project_by_erf(patches, weight_1, bias_1, weight_2, bias_2):
    inner = torch.einsum("bnv,tv->bnt", patches, weight_1) + bias_1
    return (inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))) @ weight_2.mT + bias_2


def cross_fused(queries, patches, w_q, w_k, w_v, heads, mask):
    def split(tokens):
        return tokens.view(*tokens.shape[:2], heads, -1).permute(0, 2, 1, 3)

    parts = split(queries @ w_q.T), split(patches @ w_k.T), split(patches @ w_v.T)
    out = F.scaled_dot_product_attention(*parts, attn_mask=mask[:, None, None, :])
    return out.permute(0, 2, 1, 3).reshape(*queries.shape[:2], -1)


def cross_large_number(queries, patches, w_q, w_k, w_v, heads, mask):
    """Head by head, and a large negative number where padding is."""
    parts = []
    for q, k, v in zip(*(w.chunk(heads) for w in (w_q, w_k, w_v)), strict=True):
        logits = (queries @ q.T) @ (patches @ k.T).mT / math.sqrt(len(q))
        parts.append((logits + (~mask)[:, None] * -1e9).softmax(-1) @ (patches @ v.T))
    return torch.cat(parts, -1)


def layer_split(queries, text, patches, self_attention, cross_attention, feed_forward, text_feed_forward):
    both = self_attention(torch.cat((queries, text), 1))
    queries, text = both.split([queries.shape[1], text.shape[1]], dim=1)
    asked = cross_attention(queries, patches) if cross_attention else queries
    return [feed_forward(asked), text_feed_forward(text)]


def mask_by_blocks(task, queries, words):
    mask = torch.zeros(queries + words, queries + words, dtype=torch.bool)
    mask[:queries, :queries] = True
    mask[queries:, queries:] = torch.ones(words, words).tril().bool() if task == "generation" else True
    if task != "contrastive":
        mask[queries:, :queries] = True
    if task == "matching":
        mask[:queries, queries:] = True
    return mask


def cosines_by_torch(queries, texts):
    return F.cosine_similarity(queries[:, None], texts[None, :, None], dim=-1).amax(-1)


def cosines_by_einsum(queries, texts):
    products = torch.einsum("iqe,te->itq", queries, texts)
    return (products / queries.norm(dim=-1)[:, None] / texts.norm(dim=-1)[None, :, None]).max(-1)[0]


def resample_latents_in_front(latents, patches, w_q, w_k, w_v, mask):
    both = torch.cat([latents, patches], 1)
    seen = F.pad(mask, (latents.shape[1], 0), value=True)
    return latents + F.scaled_dot_product_attention(latents @ w_q.T, both @ w_k.T, both @ w_v.T, seen[:, None])


class GateByAddcmul(nn.Module):
    def __init__(self):
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor([0.0]))

    def forward(self, hidden_states, seen):
        return torch.addcmul(hidden_states, torch.tanh(self.alpha).expand_as(seen), seen)


def last_by_loops(is_image, images, latents):
    mask = torch.zeros(*is_image.shape, images, latents, dtype=torch.bool)
    for row, marks in enumerate(is_image.tolist()):
        number = -1
        for place, mark in enumerate(marks):
            number += mark
            if number >= 0:
                mask[row, place, number] = True
    return mask.flatten(2)


def last_one_hot(is_image, images, latents):
    return F.one_hot(is_image.cumsum(1), images + 1)[..., 1:].repeat_interleave(latents, dim=-1) > 0


def cost_of_the_library(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number):
    lm = LMShape(layers, width, heads, kv_heads, intermediate, bytes_per_number=bytes_per_number)
    return [tokens * lm.kv_bytes_per_token, lm.prefill_flops(tokens)]


def stage_one_mask_of_the_library(task, queries, words):
    return qformer_text.stage_one_mask(task, queries, torch.ones(1, words, dtype=torch.bool))[0]


OTHERS = [
    ("4.1", numbers_on_meta),
    ("4.2", project_by_modules),
    ("4.2", project_by_erf),
    ("4.3", cross_fused),
    ("4.3", cross_large_number),
    ("4.4", layer_split),
    ("4.5", mask_by_blocks),
    ("4.5", stage_one_mask_of_the_library),
    ("4.6", cosines_by_torch),
    ("4.6", cosines_by_einsum),
    ("4.7", resample_latents_in_front),
    ("4.8", GateByAddcmul),
    ("4.9", last_by_loops),
    ("4.9", last_one_hot),
    ("4.9", gated.last_image_mask),
    ("4.10", cost_of_the_library),
]


@pytest.mark.parametrize(("exercise_id", "answer"), OTHERS)
def test_another_right_answer_passes(exercise_id, answer):
    for seed in SEEDS:
        verdict = judge(CONNECTORS[exercise_id], LocalHandle(answer), seed)
        assert verdict.status == RIGHT, (seed, verdict)


# Mistakes that give the same numbers as one that is listed ---------------------------------------------------------
def cross_multiplied_by_mask(queries, patches, w_q, w_k, w_v, heads, mask):
    q, k, v = split_heads(queries @ w_q.T, heads), split_heads(patches @ w_k.T, heads), patches @ w_v.T
    logits = q @ k.mT / q.shape[-1] ** 0.5 * mask[:, None, None]
    return (logits.softmax(-1) @ split_heads(v, heads)).transpose(1, 2).flatten(2)


class GatePlainTensor(nn.Module):
    """A tensor that is no parameter: it cannot even take the check's weights."""

    def __init__(self):
        super().__init__()
        self.alpha = torch.zeros(1)

    def forward(self, hidden_states, seen):
        return hidden_states + self.alpha.tanh() * seen


def cost_keys_and_values_forgotten(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number):
    cache, operations = reference.visual_cost(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number)
    return layers * kv_heads * (width // heads) * tokens * bytes_per_number, operations


def test_a_mistake_that_looks_like_a_known_one_gets_a_fitting_sentence():
    for exercise_id, answer, words in (
        ("4.3", cross_multiplied_by_mask, "a logit of 0"),
        ("4.10", cost_keys_and_values_forgotten, "keys and values"),
    ):
        for seed in SEEDS:
            verdict = judge(CONNECTORS[exercise_id], LocalHandle(answer), seed)
            assert verdict.status == WRONG and words in verdict.mistake, (seed, verdict)


def test_an_alpha_that_is_no_parameter_is_named():
    verdict = judge(CONNECTORS["4.8"], LocalHandle(GatePlainTensor))
    assert verdict.status == WRONG and "must be alpha (1,); yours are none" in verdict.message


# Agreement with the library and with transformers ------------------------------------------------------------------
def test_numbers_are_those_of_the_projectors():
    with torch.device("meta"):
        modules = LinearProjector(1024, 4096), MLPProjector(1024, 4096)
    counts = [sum(weight.numel() for weight in module.parameters()) for module in modules]
    assert reference.connector_numbers(336, 14, 1024, 4096) == (576, *counts) == (576, 4_198_400, 20_979_712)


def test_the_projector_is_the_library_s_and_llava_s():
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.LlavaConfig(
        vision_config={"model_type": "clip_vision_model", "hidden_size": 20, "intermediate_size": 8, **sizes},
        text_config={"model_type": "llama", "hidden_size": 24, "intermediate_size": 8, "vocab_size": 50, **sizes},
    )
    theirs, ours, patches = LlavaMultiModalProjector(config), MLPProjector(20, 24), Draw(0).normal(2, 9, 20)
    scatter(theirs)
    ours.load_state_dict(theirs.state_dict())
    first, second = theirs.linear_1, theirs.linear_2
    got = reference.project(patches, first.weight, first.bias, second.weight, second.bias)
    torch.testing.assert_close(got, theirs(patches), atol=1e-5, rtol=0)
    torch.testing.assert_close(got, ours(patches), atol=1e-5, rtol=0)


def test_cross_attention_is_the_library_s():
    draw = Draw(0)
    queries, patches, weights = draw.normal(2, 4, 5), draw.normal(2, 7, 8), [draw.normal(6, n) for n in (5, 8, 8)]
    mask = torch.arange(7) < torch.tensor([[7], [3]])
    parts = [split_heads(x @ w.T, 2) for x, w in zip((queries, patches, patches), weights, strict=True)]
    got = reference.cross_attention(queries, patches, *weights, 2, mask)
    torch.testing.assert_close(got, attend(*parts, mask), atol=1e-5, rtol=0)


def qformer_layer_of_transformers(number: int) -> Blip2QFormerLayer:
    """Layer 0 looks at the image, layer 1 does not."""
    config = transformers.Blip2QFormerConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40, encoder_hidden_size=20,
        use_qformer_text_input=True,
    )  # fmt: skip
    config._attn_implementation = "eager"
    layer = Blip2QFormerLayer(config, number).eval()
    scatter(layer)
    return layer


def first(output):
    return output[0] if isinstance(output, tuple) else output


def test_cross_attention_is_blip2s():
    inner, draw = qformer_layer_of_transformers(0).crossattention.attention, Draw(0)
    queries, patches = draw.normal(2, 5, 24), draw.normal(2, 9, 20)
    for part in (inner.query, inner.key, inner.value):
        nn.init.zeros_(part.bias)  # the exercise has none
    mask = torch.arange(9) < torch.tensor([[9], [4]])
    added = torch.where(mask, 0.0, torch.finfo(torch.float32).min)[:, None, None]
    wanted = first(inner(queries, encoder_hidden_states=patches, encoder_attention_mask=added))
    weights = inner.query.weight, inner.key.weight, inner.value.weight
    got = reference.cross_attention(queries, patches, *weights, 4, mask)
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("number", [0, 1])
def test_a_layer_is_blip2s(number):
    layer, draw = qformer_layer_of_transformers(number), Draw(0)
    queries, text, patches = draw.normal(2, 5, 24), draw.normal(2, 6, 24), draw.normal(2, 9, 20)

    def look(tokens, source):
        return first(layer.crossattention(tokens, encoder_hidden_states=source))

    functions = (
        lambda tokens: first(layer.attention(tokens)),
        look if layer.has_cross_attention else None,
        layer.feed_forward_chunk_query,
        layer.feed_forward_chunk,
    )
    got = torch.cat(reference.qformer_layer(queries, text, patches, *functions), dim=1)
    both = torch.cat([queries, text], dim=1)
    wanted = first(layer(both, encoder_hidden_states=patches, query_length=5))
    assert layer.has_cross_attention == (number == 0)
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("vision_width", [20, None])
def test_a_layer_is_the_library_s(vision_width):
    layer, draw = QFormerLayer(24, 4, 40, vision_width, text=True), Draw(0)
    queries, text, patches = draw.normal(2, 5, 24), draw.normal(2, 6, 24), draw.normal(2, 9, 20)
    functions = (
        lambda tokens: layer.self_attention(tokens, tokens),
        layer.cross_attention,
        layer.query_feed_forward,
        layer.text_feed_forward,
    )
    for ours, theirs in zip(
        reference.qformer_layer(queries, text, patches, *functions), layer(queries, text, patches), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_cosines_are_those_of_stage_one():
    model = qformer_text.QFormerStageOne(
        QFormer(20, hidden=24, layers=2, heads=4, intermediate=40, num_queries=5, text=True),
        vocabulary=50, embed_dim=12, positions=16,
    )  # fmt: skip
    scatter(model)
    image, words = Draw(0).normal(3, 9, 20), Draw(1).integers(0, 50, 3, 7)
    real = torch.arange(7) < torch.tensor([[7], [4], [2]])
    queries, text = model.run("contrastive", image, words, real)
    got = reference.image_text_cosines(model.vision_projection(queries), model.text_projection(text[:, 0]))
    torch.testing.assert_close(got, model.contrastive(image, words, real), atol=1e-5, rtol=0)


def test_resampling_is_that_of_the_library_and_of_idefics():
    draw = Draw(0)
    latents, patches, weights = draw.normal(2, 3, 8), draw.normal(2, 6, 8), [draw.normal(8, 8) for _ in range(3)]
    ours = PerceiverAttention(8, heads=1, head_dim=8, qk_norm=False)
    theirs = IdeficsPerceiverAttention(8, n_heads=1, head_dim=8, qk_layer_norms=False)
    ours.patch_norm = ours.latent_norm = ours.output = nn.Identity()
    theirs.context_layer_norm = theirs.latents_layer_norm = theirs.output_proj = nn.Identity()
    with torch.no_grad():
        for name, weight in zip(("query", "key", "value"), weights, strict=True):
            getattr(ours, name).weight.copy_(weight)
            getattr(theirs, f"{name[0]}_proj").weight.copy_(weight)
    every = torch.ones(2, 6, dtype=torch.bool)
    got = reference.resample(latents, patches, *weights, every)
    torch.testing.assert_close(got, latents + ours(latents, patches), atol=1e-5, rtol=0)
    torch.testing.assert_close(got, latents + theirs(patches, latents), atol=1e-5, rtol=0)
    mask = torch.arange(6) < torch.tensor([[6], [2]])
    seen = torch.cat([mask, every[:, :3]], dim=1)
    got = reference.resample(latents, patches, *weights, mask)
    torch.testing.assert_close(got, latents + ours(latents, patches, seen), atol=1e-5, rtol=0)


def test_the_gate_is_that_of_gated_cross_attention():
    layer, gate, draw = gated.GatedCrossAttention(24, 20, heads=4), reference.Gate(), Draw(0)
    text, visual = draw.normal(2, 7, 24), draw.normal(2, 8, 20)
    assert torch.equal(layer(text, visual), text)
    with torch.no_grad():
        layer.alpha_attention.fill_(0.7)
        gate.alpha.fill_(0.7)
    seen = layer.cross_attention(layer.attention_norm(text), visual)
    torch.testing.assert_close(gate(text, seen), layer(text, visual), atol=1e-6, rtol=0)


def test_masks_are_those_of_the_library():
    for task in qformer_text.TASKS:
        assert torch.equal(reference.stage_one_mask(task, 3, 5), stage_one_mask_of_the_library(task, 3, 5))
    is_image = torch.tensor([[0, 1, 0, 1, 0], [0, 0, 0, 0, 0]]).bool()
    assert torch.equal(reference.last_image_mask(is_image, 2, 3), gated.last_image_mask(is_image, 2, 3))


def test_the_cache_is_that_of_a_real_model():
    config = transformers.LlamaConfig(
        hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2,
        vocab_size=16,
    )  # fmt: skip
    model = transformers.LlamaModel(config).eval()
    with torch.no_grad():
        cache = model(inputs_embeds=torch.zeros(1, 7, 24), use_cache=True).past_key_values
    held = sum(part.numel() * part.element_size() for layer in cache.layers for part in (layer.keys, layer.values))
    assert reference.visual_cost(7, 3, 24, 6, 2, 40, 4)[0] == held
    weights = sum(w.numel() for name, w in model.named_parameters() if "layers" in name and w.ndim == 2)
    assert reference.visual_cost(7, 3, 24, 6, 2, 40, 4)[1] == 2 * weights * 7 + 4 * 3 * 7 * 7 * 24


def test_llava_at_real_size():
    with torch.device("meta"):
        cost = connector_cost(MLPProjector(1024, 4096), patches=576, lm=LMShape(*VICUNA[:5]))
    assert reference.visual_cost(576, *VICUNA) == (cost.kv_cache_bytes, cost.prefill_flops)
    assert reference.visual_cost(576, *VICUNA) == (301_989_888, 7_634_304_368_640)
    assert reference.visual_cost(32, *VICUNA)[0] * 18 == 301_989_888


# What the questions say --------------------------------------------------------------------------------------------
def test_forty_pictures_in_tokens_and_bytes():
    """4.q1 and 4.w1."""
    assert (40 * 32, 40 * 576) == (1280, 23_040) and 1280 < 4096 < 23_040
    assert reference.visual_cost(1, *VICUNA)[0] == 2**19  # half a MiB a token
    assert reference.visual_cost(1280, *VICUNA)[0] == 640 * 2**20
    assert reference.visual_cost(23_040, *VICUNA)[0] / 2**30 == 11.25
    with torch.device("meta"):
        qformer, projector = QFormer(1408), MLPProjector(1024, 4096)
    counts = [round(sum(w.numel() for w in module.parameters()) / 1e6) for module in (qformer, projector)]
    assert counts == [105, 21]
    question = CONNECTORS["4.q1"]
    assert question.right == "c" and "1,280" in question.options["c"] and "23,040" in question.options["c"]


def test_only_the_alphas_learn_in_the_first_step():
    """4.q3: the second step reaches what is behind them."""
    layer, draw = gated.GatedCrossAttention(24, 20, heads=4), Draw(0)
    text, visual, weight = draw.normal(2, 7, 24), draw.normal(2, 8, 20), draw.normal(2, 7, 24)

    def learning() -> set[str]:
        layer.zero_grad()
        (layer(text, visual) * weight).sum().backward()
        return {name for name, part in layer.named_parameters() if part.grad.abs().max() > 0}

    assert learning() == {"alpha_attention", "alpha_dense"}
    torch.optim.SGD(layer.parameters(), lr=0.1).step()
    assert learning() == {name for name, _ in layer.named_parameters()}
    assert CONNECTORS["4.q3"].right == "d"


def test_a_gradient_passes_through_a_frozen_language_model():
    """4.q4: what is frozen does not change, and what is in front of it learns all the same."""
    sizes = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4}
    lm = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, vocab_size=50)).requires_grad_(False)
    projector = LinearProjector(20, 24)
    lm(inputs_embeds=projector(Draw(0).normal(1, 6, 20)), labels=torch.arange(6)[None]).loss.backward()
    assert projector.linear.weight.grad.abs().max() > 0
    assert all(weight.grad is None for weight in lm.parameters()) and CONNECTORS["4.q4"].right == "a"


def test_a_page_in_tiles():
    """4.q2."""
    tokens, _, _ = reference.connector_numbers(336, 14, 1024, 4096)
    assert 5 * tokens == 2880 and 336 / 50 < 7
    assert CONNECTORS["4.q2"].right == "b" and "2,880" in CONNECTORS["4.q2"].explains["b"]


def test_the_right_option_is_not_always_at_the_same_place():
    assert {entry.right for entry in CONNECTORS.values() if isinstance(entry, Choice)} == {"a", "b", "c", "d"}


def test_the_written_question_asks_what_the_syllabus_asks():
    asked = CONNECTORS["4.w1"]
    for word in ("32 against 576", "trainable parameters", "inductive bias", "long dialogue", "high-resolution"):
        assert word in asked.question
    assert 150 < len(asked.model_answer.split()) < 220
