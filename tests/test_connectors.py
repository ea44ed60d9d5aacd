"""With the same weights the connectors give what transformers' own give, and at real size they have as many."""

import pytest
import torch
import transformers
from tiny.same_weights import GATED, QFORMER, RESAMPLER, STAGE_ONE, renamed, scatter
from torch import nn
from transformers.models.blip_2.modeling_blip_2 import Blip2ForImageTextRetrieval, Blip2QFormerModel
from transformers.models.idefics.modeling_idefics import IdeficsGatedCrossAttentionLayer
from transformers.models.idefics.perceiver import IdeficsPerceiverResampler
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

from vfm_course.connectors.gated import GatedCrossAttention, last_image_mask
from vfm_course.connectors.projector import LinearProjector, MLPProjector
from vfm_course.connectors.qformer import QFormer
from vfm_course.connectors.qformer_text import QFormerStageOne
from vfm_course.connectors.resampler import PerceiverResampler

QFORMER_SIZES = {"hidden": 24, "layers": 4, "heads": 4, "intermediate": 40, "num_queries": 5}


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def assert_same(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert theirs.std() > 0.1  # zeros would agree with zeros
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def small_qformer(seed: int = 1, **sizes) -> QFormer:
    model = QFormer(20, **(QFORMER_SIZES | sizes))
    scatter(model, seed)
    return model


def qformer_config(**more) -> transformers.Blip2QFormerConfig:
    return transformers.Blip2QFormerConfig(
        hidden_size=24, num_hidden_layers=4, num_attention_heads=4, intermediate_size=40, encoder_hidden_size=20,
        vocab_size=50, max_position_embeddings=16, **more,
    )  # fmt: skip


def idefics_config(qk_norm: bool) -> transformers.IdeficsConfig:
    return transformers.IdeficsConfig(
        hidden_size=24, intermediate_size=40, num_attention_heads=4, num_hidden_layers=2, qk_layer_norms=qk_norm,
        vision_config={"embed_dim": 20}, perceiver_config={"qk_layer_norms_perceiver": qk_norm},
    )  # fmt: skip


# The same as transformers ------------------------------------------------------------------------------------------
def test_mlp_projector_is_llavas():
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.LlavaConfig(
        vision_config={"model_type": "clip_vision_model", "hidden_size": 20, "intermediate_size": 8, **sizes},
        text_config={"model_type": "llama", "hidden_size": 24, "intermediate_size": 8, "vocab_size": 50, **sizes},
    )
    theirs, ours = LlavaMultiModalProjector(config), MLPProjector(20, 24)
    scatter(theirs)
    ours.load_state_dict(theirs.state_dict())
    assert_same(ours(normal(2, 9, 20)), theirs(normal(2, 9, 20)))


@pytest.mark.parametrize("every", [1, 2, 3])
def test_qformer_is_blip2s(every):
    theirs = Blip2QFormerModel(qformer_config(cross_attention_frequency=every)).eval()
    scatter(theirs)
    ours = small_qformer(cross_every=every)
    ours.load_state_dict(renamed(theirs.state_dict(), QFORMER) | {"query_tokens": ours.query_tokens})
    image, mask = normal(3, 9, 20), torch.arange(9) < torch.tensor([[9], [4], [1]])
    queries = ours.query_tokens.expand(3, -1, -1)
    for hidden in ({}, {"encoder_attention_mask": mask.long()}):
        wanted = theirs(queries, encoder_hidden_states=image, **hidden).last_hidden_state
        assert_same(ours(image, mask if hidden else None), wanted)
    assert not torch.allclose(ours(image, mask), ours(image), atol=1e-3)


def test_qformer_with_text_is_blip2s_under_any_mask():
    theirs, ours = Blip2QFormerModel(qformer_config(use_qformer_text_input=True)).eval(), small_qformer(text=True)
    scatter(theirs)
    ours.load_state_dict(renamed(theirs.state_dict(), QFORMER) | {"query_tokens": ours.query_tokens})
    image, text = normal(2, 9, 20), normal(2, 6, 24, seed=1)
    mask = (normal(2, 11, 11, seed=2) > 0) | torch.eye(11, dtype=torch.bool)
    added = torch.where(mask, 0.0, torch.finfo(torch.float32).min)[:, None]
    both = torch.cat([ours.query_tokens.expand(2, -1, -1), text], dim=1)
    wanted = theirs(both, query_length=5, attention_mask=added, encoder_hidden_states=image).last_hidden_state
    assert_same(ours(image, text_embeds=text, mask=mask), wanted)


def test_stage_one_is_blip2s_retrieval_model():
    config = transformers.Blip2Config(
        qformer_config=qformer_config(use_qformer_text_input=True).to_dict(), num_query_tokens=5,
        image_text_hidden_size=12, image_token_index=None,
        vision_config={"hidden_size": 20, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8},
    )  # fmt: skip
    theirs = Blip2ForImageTextRetrieval(config).eval()
    scatter(theirs)
    ours = QFormerStageOne(small_qformer(text=True), vocabulary=50, embed_dim=12, positions=16)
    state = renamed({k: v for k, v in theirs.state_dict().items() if not k.startswith("vision_model")}, STAGE_ONE)
    state["qformer.query_tokens"] = state["qformer.query_tokens"][0]
    missing, left_over = ours.load_state_dict(state, strict=False)
    assert not left_over and all(name.startswith("lm_") for name in missing)  # transformers has no generation head

    image, words = normal(3, 9, 20), torch.randint(50, (3, 7), generator=torch.Generator().manual_seed(0))
    real = torch.arange(7) < torch.tensor([[7], [4], [2]])
    theirs.vision_model = nn.Identity()
    theirs.vision_model.forward = lambda **_: (image,)
    inputs = {"pixel_values": image, "input_ids": words, "attention_mask": real.long()}
    assert_same(ours.contrastive(image, words, real), theirs(**inputs).logits_per_image)
    wanted = theirs(**inputs, use_image_text_matching_head=True).logits_per_image
    assert_same(ours.matching(image, words, real), wanted)


@pytest.mark.parametrize("qk_norm", [True, False])
def test_resampler_is_idefics(qk_norm):
    theirs = IdeficsPerceiverResampler(
        idefics_config(qk_norm), embed_dim=20, depth=3, n_heads=3, head_dim=8, n_latents=6
    )
    ours = PerceiverResampler(20, num_latents=6, depth=3, heads=3, head_dim=8, qk_norm=qk_norm)
    scatter(theirs)
    ours.load_state_dict(renamed(theirs.state_dict(), RESAMPLER))
    for patches in (1, 9, 30):
        assert_same(ours(normal(2, patches, 20)), theirs(normal(2, patches, 20)))


@pytest.mark.parametrize("qk_norm", [True, False])
def test_gated_cross_attention_is_idefics(qk_norm):
    theirs = IdeficsGatedCrossAttentionLayer(idefics_config(qk_norm), layer_idx=0).eval()
    ours = GatedCrossAttention(24, 20, heads=4, intermediate=40, qk_norm=qk_norm)
    scatter(theirs)
    ours.load_state_dict(renamed(theirs.state_dict(), GATED))
    assert ours.alpha_attention != 0 and ours.alpha_dense != 0
    text, visual = normal(2, 7, 24), normal(2, 8, 20, seed=1)
    mask = last_image_mask(torch.tensor([[0, 0, 1, 0, 1, 0, 0], [1, 0, 0, 0, 0, 0, 0]]).bool(), images=2, latents=4)
    added = torch.where(mask, 0.0, torch.finfo(torch.float32).min)[:, None]
    wanted = theirs(
        text, image_hidden_states=visual, image_attention_mask=added, cross_attention_gate=mask.any(-1).float()
    )
    assert_same(ours(text, visual, mask), wanted)


# Real sizes --------------------------------------------------------------------------------------------------------
def test_published_sizes_without_the_memory_for_them():
    with torch.device("meta"):
        projector, linear = MLPProjector(1024, 4096), LinearProjector(1024, 4096)
        qformer, theirs = QFormer(1408), Blip2QFormerModel(transformers.Blip2QFormerConfig())
        with_text = QFormer(1408, text=True)
        stage_one = QFormerStageOne(with_text, vocabulary=30_523)
        theirs_with_text = Blip2QFormerModel(transformers.Blip2QFormerConfig(use_qformer_text_input=True))
    assert parameters(linear) == 1024 * 4096 + 4096
    assert parameters(projector) == 20_979_712 and projector(torch.empty(1, 576, 1024, device="meta")).shape[1] == 576
    assert projector.visual_tokens((336 // 14) ** 2) == 576
    assert parameters(qformer) - 32 * 768 == parameters(theirs) == 105_137_664
    assert qformer(torch.empty(2, 257, 1408, device="meta")).shape == (2, 32, 768)
    assert qformer.visual_tokens(257) == 32
    assert parameters(with_text) - 32 * 768 == parameters(theirs_with_text) == 161_825_280
    assert parameters(stage_one) == 186_702_653 == pytest.approx(188e6, rel=0.01)


@pytest.mark.parametrize(
    ("vision_width", "text_width", "millions"),
    [(1024, 2560, 104), (1408, 2560, 107), (1408, 4096, 108), (1024, 2048, 103), (1408, 2048, 107), (1408, 4096, 108)],
    ids=[
        "ViT-L OPT-2.7B",
        "ViT-g OPT-2.7B",
        "ViT-g OPT-6.7B",
        "ViT-L FlanT5-XL",
        "ViT-g FlanT5-XL",
        "ViT-g FlanT5-XXL",
    ],
)
def test_stage_two_trains_as_many_as_in_the_papers_table_2(vision_width, text_width, millions):
    with torch.device("meta"):
        connector = nn.Sequential(QFormer(vision_width), LinearProjector(768, text_width))
    assert round(parameters(connector) / 1e6) == millions


def test_idefics_sizes():
    config = transformers.IdeficsConfig(
        qk_layer_norms=True, vision_config={"embed_dim": 1280}, perceiver_config={"qk_layer_norms_perceiver": True}
    )
    with torch.device("meta"):
        resampler, gated = PerceiverResampler(1280), GatedCrossAttention(4096, 1280, heads=32, intermediate=11008)
        theirs = IdeficsPerceiverResampler(config, embed_dim=1280, depth=6, n_heads=16, head_dim=96, n_latents=64)
        their_layer = IdeficsGatedCrossAttentionLayer(config, layer_idx=0)
    assert parameters(resampler) == parameters(theirs) == 125_961_984
    assert parameters(gated) == parameters(their_layer) == 179_314_946
    assert resampler(torch.empty(1, 257, 1280, device="meta")).shape == (1, 64, 1280)
