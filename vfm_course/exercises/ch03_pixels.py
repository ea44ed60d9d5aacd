"""Notebook 03, patches, and which of them are hidden: 3.1 and 3.2."""

from __future__ import annotations

import torch

from vfm_course.exercises.judge import expect_close, expect_equal, expect_several, expect_tensor, expect_true
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch03_objectives:"


def expect_gradient(grad, what):
    """Fails unless a gradient reached this argument of a loss."""
    expect_true(grad is not None, f"No gradient reaches {what}: nothing can be learnt there from this loss.")


# 3.1 ---------------------------------------------------------------------------------------------------------------
def check_patchify(answer, draw):
    patch, sizes = draw.pick([2, 4, 5], 1)[0], draw.pick([2, 3, 4], 2)
    for rows, columns in (sizes, sizes[::-1]):
        pixels = draw.normal(2, 3, rows * patch, columns * patch)
        what = f"The patches of {rows * patch} x {columns * patch} pixels, {patch} a side"
        expect_close(answer(pixels, patch), cut(pixels, patch), what)


def cut(pixels, patch):
    """The patches (B, N, patch * patch * C), cut out one by one."""
    corners = [(top, left) for top in range(0, pixels.shape[2], patch) for left in range(0, pixels.shape[3], patch)]
    squares = [pixels[:, :, top : top + patch, left : left + patch] for top, left in corners]
    return torch.stack([square.permute(0, 2, 3, 1).flatten(1) for square in squares], dim=1)


def _grid(pixels, patch):
    batch, channels, height, width = pixels.shape
    return pixels.reshape(batch, channels, height // patch, patch, width // patch, patch)


def patchify_channels_first(pixels, patch):
    return _grid(pixels, patch).permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def patchify_by_columns(pixels, patch):
    return _grid(pixels, patch).permute(0, 4, 2, 3, 5, 1).flatten(3).flatten(1, 2)


def patchify_turned(pixels, patch):
    return _grid(pixels, patch).permute(0, 2, 4, 5, 3, 1).flatten(3).flatten(1, 2)


def patchify_reshaped(pixels, patch):
    return pixels.reshape(len(pixels), -1, patch * patch * pixels.shape[1])


def patchify_far_apart(pixels, patch):
    batch, channels, height, width = pixels.shape
    grid = pixels.reshape(batch, channels, patch, height // patch, patch, width // patch)
    return grid.permute(0, 3, 5, 2, 4, 1).flatten(3).flatten(1, 2)


def patchify_square(pixels, patch):
    batch, channels, height, _ = pixels.shape
    side = height // patch
    grid = pixels.reshape(batch, channels, side, patch, side, patch)
    return grid.permute(0, 2, 4, 3, 5, 1).reshape(batch, side * side, -1)


def patchify_grid_kept(pixels, patch):
    return _grid(pixels, patch).permute(0, 2, 4, 3, 5, 1).flatten(3)


def patchify_not_flat(pixels, patch):
    return _grid(pixels, patch).permute(0, 2, 4, 3, 5, 1).flatten(1, 2)


def patchify_transposed(pixels, patch):
    return _grid(pixels, patch).permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2).transpose(1, 2)


# 3.2 ---------------------------------------------------------------------------------------------------------------
def check_masking(answer, draw):
    count = 4 * draw.integer(5, 8) + draw.integer(1, 4)  # a quarter is no whole number
    for ratio in (0.75, 0.375):
        noise = draw.uniform(3, count)
        order, keep = noise.argsort(dim=1), int(count * (1 - ratio))
        place = torch.zeros_like(order).scatter(1, order, torch.arange(count).expand(3, -1))
        what = f"for {count} patches and mask_ratio {ratio}"
        got = expect_several(answer(noise, ratio), 3, "The answer (ids_keep, mask, ids_restore)")
        expect_equal(got[0], order[:, :keep], f"ids_keep {what}")
        expect_close(expect_tensor(got[1], "mask").float(), (place >= keep).float(), f"mask {what}")
        expect_equal(got[2], place, f"ids_restore {what}")


def _masking(noise, keep, descending=False):
    order = noise.argsort(dim=1, descending=descending)
    restore = order.argsort(dim=1)
    return order[:, :keep], (restore >= keep).float(), restore


def masking_inverted(noise, mask_ratio):
    ids_keep, mask, restore = _masking(noise, int(noise.shape[1] * (1 - mask_ratio)))
    return ids_keep, 1 - mask, restore


def masking_most_noise(noise, mask_ratio):
    return _masking(noise, int(noise.shape[1] * (1 - mask_ratio)), descending=True)


def masking_shuffle_again(noise, mask_ratio):
    ids_keep, mask, _ = _masking(noise, int(noise.shape[1] * (1 - mask_ratio)))
    return ids_keep, mask, noise.argsort(dim=1)


def masking_all_alike(noise, mask_ratio):
    return _masking(noise[:1].expand_as(noise), int(noise.shape[1] * (1 - mask_ratio)))


def masking_ratio_kept(noise, mask_ratio):
    return _masking(noise, int(noise.shape[1] * mask_ratio))


def masking_in_order_of_noise(noise, mask_ratio):
    ids_keep, _, restore = _masking(noise, int(noise.shape[1] * (1 - mask_ratio)))
    mask = torch.ones_like(noise)
    mask[:, : ids_keep.shape[1]] = 0
    return ids_keep, mask, restore


def masking_gathered_by_shuffle(noise, mask_ratio):
    ids_keep, mask, restore = masking_in_order_of_noise(noise, mask_ratio)
    return ids_keep, mask.gather(1, noise.argsort(dim=1)), restore


def masking_sorted(noise, mask_ratio):
    ids_keep, mask, restore = _masking(noise, int(noise.shape[1] * (1 - mask_ratio)))
    return ids_keep.sort(dim=1).values, mask, restore


def masking_hidden_ids(noise, mask_ratio):
    ids_keep, mask, restore = _masking(noise, int(noise.shape[1] * (1 - mask_ratio)))
    return noise.argsort(dim=1)[:, ids_keep.shape[1] :], mask, restore


def masking_rounded_up(noise, mask_ratio):
    return _masking(noise, noise.shape[1] - int(noise.shape[1] * mask_ratio))


def masking_always_a_quarter(noise, mask_ratio):
    return _masking(noise, noise.shape[1] // 4)


EXERCISES = (
    Exercise(
        id="3.1",
        notebook="03",
        title="A picture as a row of patches",
        level="B",
        minutes=8,
        points=2,
        hints=(
            "Split both sides in two: `reshape(B, C, H // patch, patch, W // patch, patch)` has a number for the "
            "patch's row, the row in the patch, the patch's column, and the column in the patch.",
            "`permute` puts the six in the order that is asked for: picture, patch's row, patch's column, row in the "
            "patch, column in the patch, channel.",
            "A last `reshape(B, -1, patch * patch * C)` joins rows and columns of patches, and what is in a patch.",
        ),
        reference="vfm_course.objectives.mae:patchify",
        check=check_patchify,
        mistakes=(
            Mistake(
                patchify_channels_first,
                "A patch holds all its red numbers, then all green ones: the channels of one pixel belong side by "
                "side, so the channel comes last in `permute`.",
            ),
            Mistake(patchify_by_columns, "The patches run column by column; they go row by row from the top left."),
            Mistake(patchify_turned, "Inside each patch the pixels run column by column; they go row by row too."),
            Mistake(
                patchify_reshaped,
                "A single `reshape` cuts up what lies side by side in memory, rows of pixels, not squares of them.",
            ),
            Mistake(
                patchify_far_apart,
                "Each patch holds pixels from all over the picture: the height splits into (H // patch, patch), in "
                "this order.",
            ),
            Mistake(patchify_square, "The rows of patches were counted for both sides; a picture need not be square."),
            Mistake(patchify_grid_kept, "Rows and columns of patches are still apart: join them to N patches."),
            Mistake(patchify_not_flat, "Each patch is still a square of pixels: make one row of numbers of it."),
            Mistake(patchify_transposed, "The numbers of a patch come last: (B, N, P), not (B, P, N)."),
        ),
    ),
    Exercise(
        id="3.2",
        notebook="03",
        title="Hide three quarters",
        level="I",
        minutes=12,
        points=3,
        hints=(
            "`ids_shuffle = noise.argsort(dim=1)` is a random order of each picture's patches; its first K are kept.",
            "`ids_shuffle.argsort(dim=1)` is the inverse permutation: for each patch, its place in that order.",
            "So a patch is hidden when its place is K or later: the mask follows from `ids_restore` alone.",
        ),
        reference=_REFERENCE + "random_masking",
        check=check_masking,
        mistakes=(
            Mistake(masking_inverted, "The mask is inverted: 1 is for hidden patches, which the loss will judge."),
            Mistake(masking_most_noise, "The patches with the most noise were kept; those with the least stay."),
            Mistake(
                masking_shuffle_again,
                "ids_restore is the shuffle itself: it would shuffle a second time. Take the inverse, `argsort` again.",
            ),
            Mistake(masking_all_alike, "Every picture hides the same patches; each has noise of its own."),
            Mistake(masking_ratio_kept, "`mask_ratio` is the share that is hidden; here it was kept."),
            Mistake(
                masking_in_order_of_noise,
                "The mask is in the order of the noise, visible first: put it back in the picture's order.",
            ),
            Mistake(
                masking_gathered_by_shuffle,
                "The mask was put in the picture's order with ids_shuffle, which goes the other way: use ids_restore.",
            ),
            Mistake(
                masking_sorted,
                "ids_keep is sorted by place; in the order of the noise it goes together with ids_restore.",
            ),
            Mistake(masking_hidden_ids, "These are the hidden patches' numbers; ids_keep has those of the visible."),
            Mistake(masking_rounded_up, "The number of visible patches is rounded down: int(N * (1 - mask_ratio))."),
            Mistake(masking_always_a_quarter, "Always a quarter stays visible here; mask_ratio says how much."),
        ),
    ),
)
