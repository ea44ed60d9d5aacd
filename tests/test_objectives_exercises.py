"""Every check of notebook 03 takes other right answers; the answers agree with the library and with transformers."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import SiglipConfig, SiglipModel, ViTMAEConfig
from transformers.models.clip.modeling_clip import image_text_contrastive_loss
from transformers.models.vit_mae.modeling_vit_mae import ViTMAEForPreTraining

from vfm_course.exercises import registry
from vfm_course.exercises.answer import LocalHandle
from vfm_course.exercises.draw import Draw
from vfm_course.exercises.record import Choice
from vfm_course.exercises.verdict import RIGHT, WRONG, judge
from vfm_course.objectives.clip import clip_loss
from vfm_course.objectives.dino import centred_targets, update_teacher
from vfm_course.objectives.gram import gram_loss
from vfm_course.objectives.ijepa import block_masks, ijepa_loss, random_blocks
from vfm_course.objectives.mae import mae_loss, patchify
from vfm_course.objectives.siglip import siglip_loss
from vfm_course.solutions import ch03_objectives as reference

OBJECTIVES = registry.chapter("03")
SEEDS = range(20)


# Other right answers ---------------------------------------------------------------------------------------------
def patches_unfolded(pixels, patch):
    columns = F.unfold(pixels, patch, stride=patch)  # (B, C * patch * patch, N), channels first
    columns = columns.unflatten(1, (pixels.shape[1], patch * patch))
    return columns.permute(0, 3, 2, 1).flatten(2)


def masking_of_the_paper(noise, mask_ratio):
    """As in MAE's own code; the mask as bools, the numbers as int32."""
    keep = int(noise.shape[1] * (1 - mask_ratio))
    shuffle = torch.argsort(noise, dim=1)
    restore = torch.argsort(shuffle, dim=1)
    mask = torch.ones_like(noise)
    mask[:, :keep] = 0
    return [shuffle[:, :keep].int(), torch.gather(mask, 1, restore).bool(), restore.int()]


def mae_population_variance(predicted, pixels, mask, patch):
    target = patchify(pixels, patch)
    target = F.layer_norm(target, target.shape[-1:], eps=1e-6)
    return (predicted - target)[mask.bool()].square().mean()


def mae_picture_by_picture(predicted, pixels, mask, patch):
    """As many patches are hidden in each picture, so a mean of means is the same."""
    target = patchify(pixels, patch)
    target = (target - target.mean(-1, keepdim=True)) / (target.std(-1, keepdim=True) + 1e-6)
    error = ((predicted - target) ** 2).mean(-1)
    return ((error * mask).sum(1) / mask.sum(1)).mean()


def clip_by_hand(image_embeds, text_embeds, logit_scale):
    images = image_embeds / image_embeds.norm(dim=1, keepdim=True)
    texts = text_embeds / text_embeds.norm(dim=1, keepdim=True)
    logits = logit_scale * (texts @ images.T)
    return (logits.logsumexp(0) + logits.logsumexp(1) - 2 * logits.diag()).mean() / 2


class TemperatureInPlace(nn.Module):
    """The logarithm is held at log(100), as OpenCLIP does, and in a way that keeps the gradient below."""

    def __init__(self):
        super().__init__()
        self.logit_scale = nn.Parameter(torch.ones([]) * np.log(1 / 0.07))

    def forward(self):
        with torch.no_grad():
            self.logit_scale.clamp_(max=math.log(100))
        return torch.exp(self.logit_scale)


class TemperatureMinimum(nn.Module):
    def __init__(self):
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(0.07)))

    def forward(self):
        return torch.minimum(self.logit_scale.exp(), torch.tensor(100.0))


def siglip_binary_cross_entropy(image_embeds, text_embeds, logit_scale, logit_bias):
    logits = logit_scale * F.normalize(text_embeds) @ F.normalize(image_embeds).T + logit_bias
    own = torch.eye(len(logits))
    return F.binary_cross_entropy_with_logits(logits, own, reduction="none").sum(dim=1).mean()


def chunk_in_two_steps(image_embeds, text_embeds, logit_scale, logit_bias, own):
    logits = logit_scale * F.normalize(image_embeds) @ F.normalize(text_embeds).T + logit_bias
    losses = F.softplus(logits).sum()  # all of them wrong ones; then log(1 + e^-z) = log(1 + e^z) - z on the diagonal
    return losses - logits.diagonal().sum() if own else losses


def block_by_loops(top, left, height, width, side):
    return torch.tensor([(top + r) * side + left + c for r in range(height) for c in range(width)], dtype=torch.int32)


def context_by_sets(context, targets):
    return torch.tensor(sorted(set(context.tolist()) - set(targets.flatten().tolist())))


def ema_lerp(target, context, momentum):
    return {name: context[name].lerp(target[name], momentum) for name in sorted(context)}


def jepa_picked_first(predicted, features, blocks):
    where = blocks.flatten(1)[..., None].expand(-1, -1, features.shape[2])
    with torch.no_grad():
        target = nn.LayerNorm(features.shape[2], elementwise_affine=False)(features.gather(1, where))
    return nn.SmoothL1Loss()(predicted, target.view_as(predicted))


def spread_by_n(features):
    unit = features / features.norm(dim=1, keepdim=True)
    return float((unit.std(dim=0, correction=0) * math.sqrt(features.shape[1])).mean())


def targets_detached(logits, center, temperature, momentum=0.9):
    shifted = torch.exp((logits - center).detach() / temperature)
    following = torch.lerp(logits.detach().mean(0), center.detach(), momentum)
    return [shifted / shifted.sum(-1, keepdim=True), following]


def gram_by_bmm(patches, anchor):
    ours, theirs = F.normalize(patches, dim=2), F.normalize(anchor, dim=2)
    with torch.no_grad():
        wanted = torch.bmm(theirs, theirs.mT)
    return F.mse_loss(torch.bmm(ours, ours.mT), wanted)


def tubes_by_mask(block, side, frames, tubelet_size):
    hidden = torch.zeros(frames // tubelet_size, side * side, dtype=torch.bool)
    hidden[:, block] = True
    return hidden.flatten().nonzero().flatten()


def power_law_by_numpy(x, y, floor):
    slope, intercept = np.polyfit(np.log10(x.numpy()), np.log10(y.numpy() - floor), 1)
    return [np.float64(10**intercept), torch.tensor(-slope)]


def curate_by_matrix(embeddings, scores, threshold, share):
    alike = F.cosine_similarity(embeddings[:, None], embeddings[None], dim=2) >= threshold
    kept = torch.zeros(len(scores), dtype=torch.bool)
    for i in range(len(scores)):
        kept[i] = not (alike[i] & kept).any()
    scores = scores.masked_fill(~kept, -math.inf)
    return scores.argsort(descending=True)[: math.ceil(share * int(kept.sum()))].sort().values.int()


OTHERS = [
    ("3.1", patches_unfolded),
    ("3.2", masking_of_the_paper),
    ("3.3", mae_population_variance),
    ("3.3", mae_picture_by_picture),
    ("3.4", clip_by_hand),
    ("3.5", TemperatureInPlace),
    ("3.5", TemperatureMinimum),
    ("3.6", siglip_binary_cross_entropy),
    ("3.7", chunk_in_two_steps),
    ("3.8", block_by_loops),
    ("3.9", context_by_sets),
    ("3.10", ema_lerp),
    ("3.11", jepa_picked_first),
    ("3.12", spread_by_n),
    ("3.13", targets_detached),
    ("3.14", gram_by_bmm),
    ("3.15", tubes_by_mask),
    ("3.16", power_law_by_numpy),
    ("3.17", curate_by_matrix),
    ("3.3", mae_loss),
    ("3.4", clip_loss),
    ("3.6", siglip_loss),
    ("3.13", centred_targets),
    ("3.14", gram_loss),
]


@pytest.mark.parametrize(("exercise_id", "answer"), OTHERS)
def test_another_right_answer_passes(exercise_id, answer):
    for seed in SEEDS:
        verdict = judge(OBJECTIVES[exercise_id], LocalHandle(answer), seed)
        assert verdict.status == RIGHT, (seed, verdict)


# Mistakes that give the same numbers as one that is listed ---------------------------------------------------------
class TemperatureWithoutLimit(nn.Module):
    def __init__(self):
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    def forward(self):
        return self.logit_scale.exp()


def clip_to_text_twice(image_embeds, text_embeds, logit_scale):
    logits = logit_scale * F.normalize(image_embeds) @ F.normalize(text_embeds).T
    own = torch.arange(len(logits))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits, own)) / 2


def siglip_exp_first(image_embeds, text_embeds, logit_scale, logit_bias):
    logits = logit_scale * F.normalize(image_embeds) @ F.normalize(text_embeds).T + logit_bias
    return torch.log(1 + torch.exp((1 - 2 * torch.eye(len(logits))) * logits)).sum() / len(logits)


def ema_into_the_dict(target, context, momentum):
    for name in target:
        target[name] = momentum * target[name] + (1 - momentum) * context[name]
    return target


TWINS = [
    ("3.4", clip_to_text_twice, "twice"),
    ("3.5", TemperatureWithoutLimit, "not held at 100"),
    ("3.6", siglip_exp_first, "`logsigmoid`"),
    ("3.10", ema_into_the_dict, "were changed"),
]


@pytest.mark.parametrize(("exercise_id", "answer", "words"), TWINS)
def test_a_mistake_that_looks_like_a_known_one_gets_a_fitting_sentence(exercise_id, answer, words):
    for seed in SEEDS:
        verdict = judge(OBJECTIVES[exercise_id], LocalHandle(answer), seed)
        assert verdict.status == WRONG and words in verdict.mistake, (seed, verdict)


def test_a_loss_that_is_a_plain_number_is_not_enough():
    for exercise_id in ("3.3", "3.4", "3.6", "3.7", "3.11", "3.14"):
        own = OBJECTIVES[exercise_id].load_reference()
        verdict = judge(OBJECTIVES[exercise_id], LocalHandle(lambda *args, own=own: own(*args).item()))
        assert verdict.status == WRONG and "tensor" in verdict.message, exercise_id


# Agreement with the library and with transformers ------------------------------------------------------------------
def test_masking_and_loss_are_those_of_transformers():
    config = ViTMAEConfig(image_size=24, patch_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                          intermediate_size=8, decoder_hidden_size=8, decoder_num_hidden_layers=1,
                          decoder_num_attention_heads=2, decoder_intermediate_size=8, norm_pix_loss=True)  # fmt: skip
    torch.manual_seed(0)
    model, draw = ViTMAEForPreTraining(config).eval(), Draw(0)
    noise, pixels = draw.uniform(3, 36), draw.normal(3, 3, 24, 24)
    sequence, mask, ids_restore = model.vit.embeddings.random_masking(
        torch.arange(36.0).expand(3, -1)[..., None], noise
    )
    got = reference.random_masking(noise, 0.75)
    assert (
        torch.equal(got[0], sequence[..., 0].long()) and torch.equal(got[1], mask) and torch.equal(got[2], ids_restore)
    )
    with torch.no_grad():
        answer = model(pixel_values=pixels, noise=noise)
    ours = reference.mae_loss(answer.logits, pixels, got[1], 4)
    assert ours.item() == pytest.approx(answer.loss.item(), rel=1e-5)
    assert torch.equal(OBJECTIVES["3.1"].load_reference()(pixels, 4), model.patchify(pixels))


def test_ids_restore_puts_tokens_back():
    noise, tokens = Draw(1).uniform(4, 20), Draw(2).normal(4, 20)
    ids_keep, mask, ids_restore = reference.random_masking(noise, 0.75)
    shown = torch.cat(
        [tokens.gather(1, ids_keep), torch.full((4, 15), 99.0)], dim=1
    )  # a mask token for each hidden one
    assert torch.equal(shown.gather(1, ids_restore), torch.where(mask == 1, 99.0, tokens))


def test_losses_are_those_of_the_library():
    for seed in SEEDS:
        draw = Draw(seed)
        images, texts, scale, bias = draw.normal(6, 8), draw.normal(6, 8), torch.tensor(9.0), torch.tensor(-3.0)
        predicted, pixels, mask = draw.normal(2, 6, 12), draw.normal(2, 3, 4, 6), draw.integers(0, 2, 2, 6).float()
        mask[:, 0] = 1
        patches, anchor, center = draw.normal(2, 5, 4), draw.normal(2, 5, 7), draw.normal(8)
        both = [
            (reference.clip_loss(images, texts, scale), clip_loss(images, texts, scale)),
            (reference.siglip_loss(images, texts, scale, bias), siglip_loss(images, texts, scale, bias)),
            (reference.mae_loss(predicted, pixels, mask, 2), mae_loss(predicted, pixels, mask, 2)),
            (reference.gram_loss(patches, anchor), gram_loss(patches, anchor)),
            *zip(reference.centred_targets(images, center, 0.5), centred_targets(images, center, 0.5), strict=True),
        ]
        for ours, theirs in both:
            assert torch.allclose(ours, theirs, atol=1e-6)


def test_contrastive_losses_are_those_of_transformers():
    draw = Draw(0)
    images, texts, scale = draw.normal(6, 8), draw.normal(6, 8), torch.tensor(9.0)
    logits = scale * F.normalize(texts) @ F.normalize(images).T
    theirs = image_text_contrastive_loss(logits)
    assert reference.clip_loss(images, texts, scale).item() == pytest.approx(theirs.item(), rel=1e-5)
    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    model = SiglipModel(
        SiglipConfig(
            text_config={**small, "vocab_size": 20, "max_position_embeddings": 4, "projection_size": 8},
            vision_config={**small, "image_size": 8, "patch_size": 4},
        )
    ).eval()
    with torch.no_grad():
        answer = model(input_ids=draw.integers(1, 20, 5, 4), pixel_values=draw.normal(5, 3, 8, 8), return_loss=True)
        embeds = answer.image_embeds, answer.text_embeds
        ours = reference.siglip_loss(*embeds, model.logit_scale.exp().squeeze(), model.logit_bias.squeeze())
    assert ours.item() == pytest.approx(answer.loss.item(), rel=1e-5)


def test_blocks_add_up_to_the_loss_of_the_batch():
    """What question 3.q2 says: the table of pairs may be cut anywhere."""
    images, texts, scale, bias = Draw(0).normal(7, 5), Draw(1).normal(7, 5), torch.tensor(9.0), torch.tensor(-3.0)
    total = 0
    for rows in (slice(0, 3), slice(3, 7)):
        for columns in (slice(0, 3), slice(3, 7)):
            total += reference.siglip_chunk(images[rows], texts[columns], scale, bias, rows == columns)
    assert total.item() / 7 == pytest.approx(siglip_loss(images, texts, scale, bias).item(), rel=1e-5)
    assert OBJECTIVES["3.q2"].right == "d" and "block by block" in OBJECTIVES["3.q2"].options["d"]


def test_temperature_begins_as_clip_does_and_learns():
    module = reference.Temperature()
    assert module().item() == pytest.approx(1 / 0.07, rel=1e-6) and list(module.state_dict()) == ["logit_scale"]
    module().backward()
    assert module.logit_scale.grad > 0


def test_blocks_and_context_are_those_of_the_library():
    block = random_blocks(1, 1, 8, (3, 4), torch.Generator().manual_seed(0))[0, 0]
    top, left = divmod(int(block[0]), 8)
    assert torch.equal(reference.block_patches(top, left, 3, 4, 8), block)
    context, blocks = block_masks(4, 8, torch.Generator().manual_seed(0))
    for seen, hidden in zip(context, blocks, strict=True):
        mixed = torch.cat([hidden[0], seen])[torch.randperm(len(hidden[0]) + len(seen))]
        assert torch.equal(reference.context_patches(mixed, hidden), seen)


def test_the_slow_copy_moves_as_the_library_moves_it():
    torch.manual_seed(0)
    teacher, student = nn.Linear(3, 2), nn.Linear(3, 2)
    want = reference.ema_update(dict(teacher.named_parameters()), dict(student.named_parameters()), 0.9)
    update_teacher(teacher, student, 0.9)
    for name, weight in teacher.named_parameters():
        assert torch.allclose(weight, want[name], atol=1e-6)


def test_jepa_loss_is_the_library_s_and_collapse_solves_it():
    """What question 3.q3 says: the same features everywhere are predicted perfectly."""
    draw, (_, blocks) = Draw(0), block_masks(3, 6, torch.Generator().manual_seed(0))
    features, predicted = 2 * draw.normal(3, 36, 16) + 1, draw.normal(*blocks.shape, 16)
    want = ijepa_loss(predicted, features, blocks)["loss"]
    assert reference.jepa_loss(predicted, features, blocks).item() == pytest.approx(want.item(), rel=1e-6)
    collapsed = draw.normal(16).expand(3, 36, 16)
    answer = F.layer_norm(collapsed[0, 0], (16,)).expand_as(predicted)
    assert reference.jepa_loss(answer, collapsed, blocks) < 1e-10
    assert reference.spread(collapsed[:, 0]) < 1e-3 and OBJECTIVES["3.q3"].right == "a"


def test_an_even_spread_is_one():
    assert reference.spread(Draw(0).normal(4000, 64)).item() == pytest.approx(1, abs=0.02)


def test_a_rotation_costs_no_gram_loss():
    patches = Draw(0).normal(2, 9, 6)
    turn = torch.linalg.qr(Draw(1).normal(6, 6)).Q
    assert reference.gram_loss(patches @ turn, patches) < 1e-10


def test_tubes_of_vjepa_2_make_its_8192_tokens():
    assert torch.equal(reference.tube_tokens(torch.arange(256), 16, 64, 2), torch.arange(8192))


def test_a_power_law_without_error_comes_back():
    x = torch.tensor([1e3, 1e4, 1e5, 1e6], dtype=torch.float64)
    assert reference.fit_power_law(x, 0.2 + 7 * x**-0.3, 0.2) == pytest.approx((7, 0.3), rel=1e-6)


def test_five_points_do_not_fix_the_floor():
    """What question 3.q4 says: floors far apart fit five points well, and part company beyond the last."""
    x = torch.logspace(3, 5, 5, dtype=torch.float64)
    y = 0.1 + 5 * x**-0.3
    errors, far = [], []
    for floor in (0.07, 0.1, 0.12):
        a, b = reference.fit_power_law(x, y, floor)
        errors.append(((floor + a * x**-b - y).abs() / y).max().item())
        far.append(floor + a * 1e7**-b)
    assert max(errors) < 0.01 and max(far) / min(far) > 1.2
    assert OBJECTIVES["3.q4"].right == "c"


def test_the_mean_is_the_best_answer_to_noise_and_its_variance_stays():
    """What question 3.q1 says."""
    noise = Draw(0).normal(100_000) + 2
    losses = {answer: (noise - answer).square().mean().item() for answer in (1.5, 2.0, 2.5)}
    assert min(losses, key=losses.get) == 2.0 and losses[2.0] == pytest.approx(1, abs=0.02)
    assert OBJECTIVES["3.q1"].right == "b"


def test_curation_keeps_at_least_one_of_a_crowd_of_copies():
    copies = Draw(0).normal(8) * Draw(1).uniform(6, 1, low=0.5, high=2.0)
    assert reference.curate(copies, torch.arange(6.0), 0.99, 0.1).tolist() == [0]


def test_the_right_option_is_not_always_at_the_same_place():
    assert {entry.right for entry in OBJECTIVES.values() if isinstance(entry, Choice)} == {"a", "b", "c", "d"}


def test_the_written_question_asks_what_the_syllabus_asks():
    asked = OBJECTIVES["3.w1"]
    for word in ("pixels", "language", "representations", "penalised", "keep and discard", "complaint", "motion"):
        assert word in asked.question
    assert 150 < len(asked.model_answer.split()) < 220 and "may not show it" in asked.model_answer
