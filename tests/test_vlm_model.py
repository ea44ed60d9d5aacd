"""How our vision-language models put image and text together, and how they answer."""

import pytest
import torch
import transformers
from tiny.same_weights import scatter
from torch import nn

from vfm_course.connectors.projector import LinearProjector
from vfm_course.connectors.resampler import PerceiverResampler
from vfm_course.vlm.model import GatedVLM, PrefixVLM, answer, prefix_mask, seeing_mask, trainable
from vfm_course.vlm.tokenizer import AROUND_ID, BEGIN, IMAGE_ID

WORDS = 30


def language_model() -> transformers.LlamaForCausalLM:
    config = transformers.LlamaConfig(
        vocab_size=WORDS, hidden_size=16, intermediate_size=24, num_hidden_layers=4, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False, pad_token_id=0, bos_token_id=1,
        eos_token_id=3,
    )  # fmt: skip
    lm = transformers.LlamaForCausalLM(config).eval().requires_grad_(False)
    scatter(lm)
    return lm


def features(rows: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, 5, 8, generator=torch.Generator().manual_seed(seed))


def gated(open_gates: bool = True, interval: int = 2) -> GatedVLM:
    torch.manual_seed(0)
    model = GatedVLM(language_model(), PerceiverResampler(8, 3, depth=1, heads=2, head_dim=4), 8, 2, interval)
    for layer in model.gated:
        layer.alpha_attention.data.fill_(float(open_gates))
        layer.alpha_dense.data.fill_(float(open_gates))
    return model.requires_grad_(False)


def prefix(prefix_lm: bool = False, skip: int = 0) -> PrefixVLM:
    torch.manual_seed(0)
    return PrefixVLM(language_model(), LinearProjector(8, 16), prefix_lm, skip).requires_grad_(False)


def ids(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows)


def test_prefix_mask():
    mask = prefix_mask(torch.tensor([[True, True, False, False], [True, False, False, False]]), 2)
    assert mask.shape == (2, 1, 6, 6) and mask.dtype == torch.bool
    assert mask[0, 0].int().tolist() == [[1, 1, 1, 1, 0, 0]] * 4 + [[1, 1, 1, 1, 1, 0], [1] * 6]
    assert mask[1, 0].int().tolist() == [[1, 1, 1, 0, 0, 0]] * 3 + [
        [1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 0],
        [1] * 6,
    ]


def test_an_answer_changes_nothing_before_it_and_a_prompt_does_with_prefix_lm():
    first, second = ids([1, 7, 8, 9, 10]), ids([1, 7, 8, 9, 11])
    for prompt, told in ((torch.tensor([[True] * 4 + [False]]), True), (torch.tensor([[True] * 5]), False)):
        one, other = (prefix(prefix_lm=True)(features(1), line, prompt)[:, :4] for line in (first, second))
        assert torch.allclose(one, other, atol=1e-6) == told
    one, other = (prefix()(features(1), line)[:, :4] for line in (first, second))
    assert torch.allclose(one, other, atol=1e-6)
    with pytest.raises(ValueError, match="needs `prompt`"):
        prefix(prefix_lm=True)(features(1), first)


def test_prefix_sees_the_image_but_what_is_skipped():
    line, seen = ids([1, 7, 8]), features(1)
    other = seen.clone()
    other[:, 0] += 1  # the class token
    for skip, told in ((0, False), (1, True)):
        model = prefix(skip=skip)
        assert model(seen, line).shape == (1, 3, WORDS)
        assert torch.allclose(model(seen, line), model(other, line), atol=1e-6) == told
    with pytest.raises(ValueError, match=r"`features` should have shape \(2, tokens, 8\)"):
        prefix()(seen, ids([1, 7], [1, 8]))


def test_closed_gates_leave_the_language_model_as_it_was():
    line = ids([1, 7, 8, 9], [1, 10, 11, 12])
    model = gated(open_gates=False)
    wanted = model.lm(line).logits
    torch.testing.assert_close(model(features(), line), wanted, atol=0, rtol=0)
    model.gated[1].alpha_attention.data.fill_(0.5)
    assert not torch.allclose(model(features(), line), wanted, atol=1e-3)


@pytest.mark.parametrize(("interval", "count"), [(1, 4), (2, 2), (3, 2), (4, 1)])
def test_a_gated_layer_for_every_interval_of_layers(interval, count):
    model = gated(interval=interval)
    assert len(model.gated) == count
    called = []
    for number, layer in enumerate(model.gated):
        layer.register_forward_hook(lambda *_, number=number: called.append(number))
    model(features(1), ids([1, 7]))
    assert called == list(range(count))


def test_nothing_is_left_hooked_not_even_after_an_exception():
    model, line = gated(), ids([1, 7, 8])
    before = model.lm(line).logits
    model(features(1), line)
    torch.testing.assert_close(model.lm(line).logits, before, atol=0, rtol=0)
    with pytest.raises(RuntimeError, match="stop"), model.looking_at(torch.randn(1, 3, 8)):
        assert not torch.allclose(model.lm(line).logits, before, atol=1e-3)
        raise RuntimeError("stop")
    with pytest.raises(IndexError):
        model(features(1), ids([1, WORDS]))
    assert not any(layer._forward_pre_hooks for layer in model.lm.model.layers)
    torch.testing.assert_close(model.lm(line).logits, before, atol=0, rtol=0)


def test_before_its_mark_an_image_is_not_seen():
    mask = seeing_mask(torch.tensor([[0, 0, 1, 0], [0, 0, 0, 0]]).bool(), 2)
    assert mask[..., 0].int().tolist() == [[0, 0, 1, 1], [1, 1, 1, 1]] and torch.equal(mask[..., 0], mask[..., 1])
    assert seeing_mask(torch.zeros(2, 4, dtype=torch.bool), 2) is None

    model, line = gated(), ids([BEGIN, AROUND_ID, IMAGE_ID, AROUND_ID, 7, 8])
    one, other = model(features(1), line), model(features(1, seed=1), line)
    assert torch.allclose(one[:, :2], other[:, :2], atol=1e-6)
    assert not torch.isclose(one[:, 2:], other[:, 2:], atol=1e-4).all(dim=-1).any()
    plain = ids([BEGIN, 7, 8, 9, 10, 11])
    both = model(features(), torch.cat([line, plain]))  # a row without a mark beside one that has it
    torch.testing.assert_close(both[1:], model(features()[1:], plain), atol=1e-5, rtol=0)
    assert not torch.allclose(model(features(1), plain)[:, 0], model(features(1, seed=1), plain)[:, 0], atol=1e-3)


def test_a_mark_counts_in_the_prompt_alone_and_once():
    model, line = gated(), ids([BEGIN, 7, IMAGE_ID, 8])
    prompt = torch.tensor([[True, True, False, False]])  # the model itself said "<image>"
    torch.testing.assert_close(model(features(1), line, prompt)[:, :2], model(features(1), line[:, :2]))
    with pytest.raises(ValueError, match="marks 2 images, but there are 1"):
        model(features(1), ids([BEGIN, IMAGE_ID, IMAGE_ID]))
    with pytest.raises(ValueError, match=r"`features` should have shape \(1, tokens, 8\)"):
        model(features(2), line)


@pytest.mark.parametrize("with_lm", [True, False])
def test_what_is_trained(with_lm):
    model = trainable(gated(), with_lm)
    for name, weight in model.named_parameters():
        assert weight.requires_grad == (with_lm or not name.startswith("lm."))


# Answers -----------------------------------------------------------------------------------------------------------
class Counting(nn.Module):
    """Says the numbers from the last token's up; notes what it was given."""

    def __init__(self):
        super().__init__()
        self.given = []

    def forward(self, features, input_ids, prompt):
        self.given.append((features, input_ids, prompt))
        return nn.functional.one_hot((input_ids + 1) % WORDS, WORDS).float()


def test_answer_stops_at_the_end_token_and_at_the_most():
    model = Counting()
    said = answer(model, features(3), [[1, 5], [1, 2, 3, 7], [1, 8]], end=9, most=4)
    assert said == [[6, 7, 8], [8], []]
    assert [len(given[0]) for given in model.given] == [3, 2, 1, 1]  # who has ended is asked no more
    assert answer(model, features(1), [[1, 20]], end=9, most=4) == [[21, 22, 23, 24]]
    assert answer(model, features(1), [[1, 20]], end=9, most=0) == [[]]


def test_answer_tells_prompt_from_answer_and_pads_behind():
    model = Counting()
    seen = features(2)
    answer(model, seen, [[1, 5], [1, 2, 3, 7]], end=9, most=2)
    image, line, prompt = model.given[1]
    assert line.tolist() == [[1, 5, 6, 0, 0], [1, 2, 3, 7, 8]]
    assert prompt.int().tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 0]]
    assert torch.equal(image, seen)


@pytest.mark.parametrize("model", [gated(), prefix(), prefix(prefix_lm=True)], ids=["gated", "prefix", "prefix_lm"])
def test_prompts_of_different_lengths_are_answered_as_alone(model):
    prompts, seen = [[1, 7, 8, 9, 10], [1, 11], [1, 12, 13]], features(3)
    alone = [answer(model, seen[row : row + 1], [prompts[row]], end=3, most=5)[0] for row in range(3)]
    assert answer(model, seen, prompts, end=3, most=5) == alone
    assert len({tuple(line) for line in alone}) == 3
