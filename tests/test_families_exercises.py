"""Every check of notebook 01 can fail, takes other right answers, and agrees with the course's own counts."""

from itertools import product

import pytest
import torch

from vfm_course.exercises import registry
from vfm_course.exercises.answer import LocalHandle
from vfm_course.exercises.judge import describe
from vfm_course.exercises.record import Choice, Exercise
from vfm_course.exercises.verdict import RIGHT, WRONG, judge
from vfm_course.families.anatomy import anatomy
from vfm_course.families.choose import choose
from vfm_course.solutions import ch01_families as reference

FAMILIES = registry.chapter("01")
CODING = [entry.id for entry in FAMILIES.values() if isinstance(entry, Exercise)]
CHOICES = [entry for entry in FAMILIES.values() if isinstance(entry, Choice)]
SEEDS = range(20)


def components_by_covariance(patches, k):
    centred = patches - patches.mean(dim=0)
    return -centred @ torch.linalg.eigh(centred.T @ centred / len(centred)).eigenvectors.flip(1)[:, :k]


def knn_counted(train, labels, test, k):
    cosine = torch.nn.functional.cosine_similarity(test[:, None], train[None], dim=2)
    nearest = labels[cosine.argsort(dim=1, descending=True)[:, :k]]
    return torch.nn.functional.one_hot(nearest).sum(dim=1).argmax(dim=1)


def knn_rounded(train, labels, test, k):
    return reference.knn_predict(train.bfloat16().float(), labels, test.bfloat16().float(), k)


def rank_rounded(query, gallery):
    return reference.rank_by_cosine(query.bfloat16().float(), gallery.bfloat16().float())


def rank_rows_only(query, gallery):
    return (torch.nn.functional.normalize(gallery) @ query).sort(descending=True).indices


def zero_shot_rounded(image_embeds, text_embeds):
    return reference.zero_shot_labels(image_embeds.bfloat16().float(), text_embeds.bfloat16().float())


def zero_shot_sum(image_embeds, text_embeds):
    labels = torch.nn.functional.normalize(torch.nn.functional.normalize(text_embeds, dim=-1).sum(dim=1), dim=-1)
    return torch.einsum("nd,ld->nl", image_embeds, labels).softmax(dim=1).argmax(dim=1)


def iou_in_numpy(mask, truth):
    mask, truth = mask.numpy(), truth.numpy()
    return float((mask & truth).sum() / (mask | truth).sum()) if (mask | truth).any() else 1.0


def iou_as_tensor(mask, truth):
    union = (mask | truth).sum()
    return torch.tensor(1.0) if union == 0 else (mask & truth).sum() / union


@pytest.mark.parametrize(
    ("exercise_id", "answer"),
    [
        ("1.4", components_by_covariance),
        ("1.5", knn_counted),
        ("1.5", knn_rounded),
        ("1.6", rank_rows_only),
        ("1.6", rank_rounded),
        ("1.7", zero_shot_sum),
        ("1.7", zero_shot_rounded),
        ("1.8", iou_in_numpy),
        ("1.8", iou_as_tensor),
    ],
)
def test_another_right_answer_passes(exercise_id, answer):
    """Also one rounded to eight bits: no draw is decided by a hair."""
    for seed in SEEDS:
        verdict = judge(FAMILIES[exercise_id], LocalHandle(answer), seed)
        assert verdict.status == RIGHT, (seed, verdict)


def test_a_number_that_happens_to_be_right_once_is_not_enough():
    constants = {"1.1": 257, "1.2": 7_089_408, "1.8": 1.0}
    for exercise_id, value in constants.items():
        verdict = judge(FAMILIES[exercise_id], LocalHandle(lambda *args, value=value: value))
        assert verdict.status == WRONG, exercise_id


def test_a_number_that_is_not_one_is_told_as_what_it_is():
    def iou(mask, truth):
        return ((mask & truth).sum() / (mask | truth).sum()).item()

    assert "which is NaN; they agree" in judge(FAMILIES["1.8"], LocalHandle(iou)).mistake


def test_the_kind_of_a_tensor_is_said_in_good_english():
    assert describe(torch.zeros(2, dtype=torch.int64)).startswith("an int64 tensor")
    assert describe(torch.zeros(2, dtype=torch.uint8)).startswith("a uint8 tensor")


def test_components_of_the_wrong_length_are_wrong_whatever_their_sign():
    def doubled(patches, k):
        return -2 * reference.principal_components(patches, k)

    assert judge(FAMILIES["1.4"], LocalHandle(doubled)).status == WRONG


@pytest.mark.parametrize(("name", "width", "depth"), [("base", 768, 12), ("large", 1024, 24)])
def test_counts_are_those_of_dinov2_at_real_size(name, width, depth):
    real = anatomy("dinov2", name)
    size = real.size
    assert depth * reference.count_block_parameters(width, 4, True) == real.parts["blocks"]
    tokens = reference.count_tokens(size.image_size, size.image_size, size.patch_size, size.extra_tokens)
    assert tokens == real.tokens + size.extra_tokens == 257
    patches = 2 * real.tokens * 3 * size.patch_size**2 * width  # the patch convolution in front of the blocks
    assert depth * reference.count_block_flops(tokens, width, 4) + patches == real.total_flops


def test_mae_blocks_have_no_layer_scale():
    assert 12 * reference.count_block_parameters(768, 4, False) == anatomy("mae", "base").parts["blocks"]


@pytest.mark.parametrize("needs", list(product((False, True), repeat=4)))
def test_the_procedure_agrees_with_the_tree_of_the_package(needs):
    language, frozen, labels, masks = needs
    systems = choose(language=language, frozen=frozen, labels=labels, masks=masks).systems
    families = reference.choose_family(*needs)
    if language and masks:
        # Here the tree is more exact: a detector that reads text comes in front of SAM, instead of CLIP.
        assert systems == ("grounding-dino", "sam") and families == ["clip", "sam"]
    else:
        assert list(systems) == families


def test_each_of_the_four_tasks_has_its_family():
    tasks = CHOICES[:4]
    assert [entry.options[entry.right] for entry in tasks] == [
        "DINOv2",
        "CLIP or SigLIP",
        "A masked autoencoder (MAE)",
        "SAM",
    ]
    assert all(set(entry.options.values()) == set(tasks[0].options.values()) for entry in tasks)
    assert len({tuple(entry.options.values()) for entry in tasks}) == 4, "in another order each time"
    assert {entry.right for entry in tasks} == {"a", "b", "c", "d"}
