"""The connectors do what their papers say of them, and say in words what is wrong with a shape."""

import ast
from pathlib import Path

import pytest
import torch
import transformers
from tiny.same_weights import scatter
from torch import nn

import vfm_course.connectors
from vfm_course.connectors.attention import attend
from vfm_course.connectors.gated import GatedCrossAttention, last_image_mask
from vfm_course.connectors.projector import LinearProjector, MLPProjector
from vfm_course.connectors.qformer import QFormer
from vfm_course.connectors.qformer_text import QFormerStageOne, stage_one_mask
from vfm_course.connectors.resampler import PerceiverResampler


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small_qformer(**sizes) -> QFormer:
    model = QFormer(20, **{"hidden": 24, "layers": 4, "heads": 4, "intermediate": 40, "num_queries": 5} | sizes)
    scatter(model)
    return model


def hidden_in_front(layers: nn.ModuleList, number: int, run) -> torch.Tensor:
    """What goes into one of the layers while `run()` runs."""
    seen = []
    hook = layers[number].register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    run()
    hook.remove()
    return seen[0]


def test_queries_see_each_other_in_self_attention():
    def others(model: QFormer) -> torch.Tensor:
        return model(normal(1, 9, 20))[0, 1:].detach()

    model = small_qformer()
    before = others(model)
    with torch.no_grad():
        model.query_tokens[0] += normal(24)
    assert not torch.allclose(others(model), before, atol=1e-2)
    with torch.no_grad():  # without self-attention a query is alone with the image
        for layer in model.layers:
            layer.self_attention.output.weight.zero_()
        alone = others(model)
        model.query_tokens[0] += normal(24)
    assert torch.allclose(others(model), alone, atol=1e-6)


def test_queries_that_begin_alike_stay_one_query():
    model, image = QFormer(20, 24, layers=4, heads=4, num_queries=5), normal(1, 9, 20)
    assert model(image)[0].std(dim=0).mean() > 0.1
    with torch.no_grad():
        model.query_tokens[:] = model.query_tokens[0]
    assert model(image)[0].std(dim=0).max() < 1e-5


def test_queries_see_the_image_in_every_second_layer_and_nowhere_else():
    model, one, other = small_qformer(), normal(1, 9, 20), normal(1, 9, 20, seed=1)
    assert [layer.cross_attention is not None for layer in model.layers] == [True, False, True, False]

    def differs(number: int) -> bool:
        first, second = (hidden_in_front(model.layers, number, lambda x=x: model(x)) for x in (one, other))
        return not torch.allclose(first, second, atol=1e-5)

    assert [differs(number) for number in range(4)] == [False, True, True, True]
    with torch.no_grad():
        model.layers[0].cross_attention.output.weight.zero_()
    assert [differs(number) for number in range(4)] == [False, False, False, True]
    with torch.no_grad():
        model.layers[2].cross_attention.output.weight.zero_()
    assert torch.equal(model(one), model(other))


@pytest.mark.parametrize("kind", [QFormer, PerceiverResampler])
def test_gradients_reach_the_queries_but_not_a_frozen_encoder(kind):
    encoder = nn.Linear(8, 20)
    connector = small_qformer() if kind is QFormer else PerceiverResampler(20, 5, depth=2, heads=3, head_dim=8)
    asked = connector.query_tokens if kind is QFormer else connector.latents
    for frozen in (True, False):  # a connector does not cut the gradient itself
        encoder.requires_grad_(not frozen)
        connector(encoder(normal(2, 9, 8))).square().mean().backward()
        assert asked.grad.abs().sum(1).min() > 0
        assert all((weight.grad is None) == frozen for weight in encoder.parameters())
        assert all(weight.grad is not None for weight in connector.parameters())


def test_resampler_takes_any_number_of_patches_and_does_not_see_padding():
    model = PerceiverResampler(20, num_latents=6, depth=2, heads=3, head_dim=8)
    scatter(model)
    long, short = normal(1, 12, 20), normal(1, 5, 20, seed=1)
    padded = torch.cat([long, torch.cat([short, 9 * normal(1, 7, 20, seed=2)], dim=1)])
    mask = torch.arange(12) < torch.tensor([[12], [5]])
    both = model(padded, mask)
    assert both.shape == (2, 6, 20) and not torch.allclose(model(padded)[1], both[1], atol=1e-2)
    assert torch.allclose(both, torch.cat([model(long), model(short)]), atol=1e-5)
    assert torch.allclose(model(long.flip(1)), model(long), atol=1e-5)  # no positions of its own
    nothing = model(padded, torch.zeros_like(mask))
    assert torch.allclose(nothing[0], nothing[1], atol=1e-6)


def test_a_closed_gate_changes_nothing_and_can_open():
    sizes = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4}
    lm = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, vocab_size=50)).eval().requires_grad_(False)
    layers, visual = [GatedCrossAttention(24, 20, heads=4) for _ in range(2)], normal(2, 8, 20)
    words = torch.arange(12).view(2, 6)
    plain = lm(words).logits
    for gated, layer in zip(layers, lm.model.layers, strict=True):
        layer.register_forward_pre_hook(lambda layer, inputs, gated=gated: (gated(inputs[0], visual), *inputs[1:]))
    logits = lm(words).logits
    assert torch.equal(logits, plain)
    weights = [weight for gated in layers for weight in gated.parameters()]
    optimizer = torch.optim.SGD(weights, lr=1.0)
    logits.square().mean().backward()
    for gated in layers:  # only the gates learn in the first step
        learns = {name for name, weight in gated.named_parameters() if weight.grad.abs().sum() > 0}
        assert learns == {"alpha_attention", "alpha_dense"}
    optimizer.step()
    logits = lm(words).logits
    assert not torch.allclose(logits, plain, atol=1e-4)
    logits.square().mean().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in weights)


def test_a_text_token_looks_at_the_last_image_before_it():
    mask = last_image_mask(torch.tensor([[False, True, False, True]]), images=3, latents=2)
    assert mask.int().tolist() == [[[0] * 6, [1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0]]]
    gated = GatedCrossAttention(24, 20, heads=4)
    scatter(gated)
    text, visual = normal(1, 4, 24).requires_grad_(), normal(1, 6, 20, seed=1).requires_grad_()
    gated(text, visual, mask)[0, 2].sum().backward()
    assert (visual.grad[0].abs().sum(1) > 0).tolist() == [True, True, False, False, False, False]
    blind = gated(text, visual, mask)[0, 0]
    assert torch.equal(blind, gated(text, 5 * visual, mask)[0, 0]) and blind.isfinite().all()


def test_who_looks_at_whom_in_stage_one():
    text = torch.tensor([[True, True, False]])
    wanted = {
        "contrastive": [[1, 1, 0, 0, 0]] * 2 + [[0, 0, 1, 1, 0]] * 3,
        "matching": [[1, 1, 1, 1, 0]] * 5,
        "generation": [[1, 1, 0, 0, 0]] * 2 + [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 0]],
    }
    for task, rows in wanted.items():
        assert stage_one_mask(task, 2, text).int().tolist() == [rows], task


def test_generation_reads_the_image_through_the_queries_and_never_the_next_word():
    model = QFormerStageOne(small_qformer(text=True), vocabulary=50, embed_dim=12, positions=16)
    scatter(model)
    image, words, real = normal(2, 9, 20), torch.arange(12).view(2, 6), torch.ones(2, 6, dtype=torch.bool)
    logits, later = model.generation(image, words, real), words.clone()
    later[:, 4:] += 20
    assert logits.shape == (2, 6, 50)
    changed = (model.generation(image, later, real) - logits).abs().amax(dim=(0, 2)) > 1e-5
    assert changed.tolist() == [False] * 4 + [True] * 2
    assert (model.generation(2 * image, words, real) - logits).abs().amax(dim=2).min() > 1e-3
    logits[:, 0, 40].sum().backward()  # the head's words are the embeddings': word 40 is nowhere in the text
    assert model.text_embeddings.word.weight.grad[40].abs().sum() > 0


@pytest.mark.parametrize("kernel", ["torch's", "a plain one"])
def test_who_may_look_nowhere_gets_zeros_and_a_finite_gradient(kernel, monkeypatch):
    def plain(queries, keys, values, attn_mask):  # NaN where a softmax is over nothing, as in some devices' kernels
        logits = queries @ keys.mT / queries.shape[-1] ** 0.5
        return logits.masked_fill(~attn_mask, -torch.inf).softmax(dim=-1) @ values

    queries, keys = normal(1, 2, 3, 4).requires_grad_(), normal(1, 2, 5, 4).requires_grad_()
    mask = torch.tensor([[[True] * 4 + [False], [False] * 5, [False] * 5]])
    wanted = plain(queries, keys, keys, mask).transpose(1, 2).flatten(2)
    if kernel == "a plain one":
        monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", plain)
    answer = attend(queries, keys, keys, mask)
    assert torch.allclose(answer[0, 0], wanted[0, 0], atol=1e-6) and not answer[0, 1:].any()
    answer.sum().backward()
    assert queries.grad.isfinite().all() and keys.grad.isfinite().all()


IMAGE, TEXT, WORDS = torch.zeros(2, 9, 20), torch.zeros(2, 3, 24), torch.zeros(2, 3, dtype=torch.long)
REAL = torch.ones(2, 3, dtype=torch.bool)
GATED = GatedCrossAttention(24, 20, heads=4)
STAGE_ONE = QFormerStageOne(QFormer(20, 24, 1, 4, 40, 5, text=True), vocabulary=50, positions=8)
RESAMPLER = PerceiverResampler(20, 6, depth=1, heads=3, head_dim=8)
WRONG = {
    "`image_embeds` should have shape (batch, tokens, 20); it has shape (2, 9, 21).": [
        lambda: LinearProjector(20, 24)(torch.zeros(2, 9, 21)),
        lambda: MLPProjector(20, 24)(torch.zeros(2, 9, 21)),
        lambda: small_qformer()(torch.zeros(2, 9, 21)),
        lambda: RESAMPLER(torch.zeros(2, 9, 21)),
    ],
    "`image_embeds` should have shape (batch, tokens, 20); it has shape (9, 20).": [lambda: RESAMPLER(IMAGE[0])],
    "`image_embeds` should have shape (batch, tokens, 20); it has shape (2, 0, 20).": [lambda: RESAMPLER(IMAGE[:, :0])],
    "`image_mask` should have shape (2, 9); it has shape (2, 8).": [
        lambda: small_qformer()(IMAGE, torch.ones(2, 8, dtype=torch.bool)),
        lambda: RESAMPLER(IMAGE, torch.ones(2, 8, dtype=torch.bool)),
    ],
    "`image_mask` should be bool, True where a token may be looked at; it is float32.": [
        lambda: small_qformer()(IMAGE, torch.ones(2, 9)),
        lambda: RESAMPLER(IMAGE, torch.ones(2, 9)),
    ],
    "This Q-Former has no feed-forward for text: build it with `text=True`.": [
        lambda: small_qformer()(IMAGE, text_embeds=TEXT)
    ],
    "`text_embeds` should have shape (2, tokens, 24); it has shape (1, 3, 24).": [
        lambda: small_qformer(text=True)(IMAGE, text_embeds=TEXT[:1])
    ],
    "`mask` should have shape (2, 8, 8) or (2, 8); it has shape (2, 3).": [
        lambda: small_qformer(text=True)(IMAGE, text_embeds=TEXT, mask=REAL)
    ],
    "`hidden` = 24 cannot be divided evenly among 5 heads.": [lambda: small_qformer(heads=5)],
    "`text_width` = 24 cannot be divided evenly among 5 heads.": [lambda: GatedCrossAttention(24, 20, heads=5)],
    "`hidden_states` should have shape (batch, tokens, 24); it has shape (2, 9, 20).": [lambda: GATED(IMAGE, IMAGE)],
    "`visual` should have shape (2, tokens, 20); it has shape (1, 9, 20).": [lambda: GATED(TEXT, IMAGE[:1])],
    "`mask` should have shape (2, 3, 9) or (2, 9); it has shape (2, 3).": [lambda: GATED(TEXT, IMAGE, REAL)],
    "`is_image` should be bool of shape (batch, tokens); it is int64 (2, 3).": [lambda: last_image_mask(WORDS, 1, 2)],
    "The text marks 3 images, but there are 2.": [lambda: last_image_mask(REAL, 2, 4)],
    "There is no task 'itc' in stage one: choose one of contrastive, matching, generation.": [
        lambda: stage_one_mask("itc", 2, REAL)
    ],
    "`text_mask` should have shape (batch, tokens); it has shape (3,).": [
        lambda: stage_one_mask("matching", 2, REAL[0])
    ],
    "`text_mask` should have shape (2, 3); it has shape (2, 2).": [
        lambda: STAGE_ONE.matching(IMAGE, WORDS, REAL[:, :2])
    ],
    "`input_ids` should have shape (batch, at most 8 tokens); it has shape (2, 9).": [
        lambda: STAGE_ONE.matching(IMAGE, WORDS.repeat(1, 3), REAL.repeat(1, 3))
    ],
    "Stage one needs a Q-Former with feed-forwards for text: build it with `text=True`.": [
        lambda: QFormerStageOne(small_qformer(), vocabulary=50)
    ],
}


@pytest.mark.parametrize("sentence", WRONG)
def test_what_is_wrong_is_said_in_one_sentence(sentence):
    for call in WRONG[sentence]:
        with pytest.raises(ValueError) as raised:
            call()
        assert str(raised.value) == sentence


def test_connectors_are_built_on_torch_alone():
    for path in Path(vfm_course.connectors.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.startswith(("torch", "vfm_course.connectors")) or name in ("dataclasses", "collections.abc")
