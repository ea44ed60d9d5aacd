"""Notebook 03, what a JEPA sees and what it is asked for: 3.8, 3.9 and 3.15."""

from __future__ import annotations

import torch

from vfm_course.exercises.judge import expect_equal
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch03_objectives:"


# 3.8 ---------------------------------------------------------------------------------------------------------------
def check_block(answer, draw):
    side, top, left = draw.integer(10, 14), draw.integer(1, 3), draw.integer(3, 5)
    height, width = draw.integer(3, 5), draw.integer(5, 7)
    for h, w in ((height, width), (width, height)):
        want = torch.tensor([row * side + column for row in range(top, top + h) for column in range(left, left + w)])
        what = f"The patch numbers of a {h} x {w} block at row {top}, column {left} of {side} x {side} patches"
        expect_equal(answer(top, left, h, w, side), want, what)


def _table(rows, columns, side):
    return torch.arange(*rows)[:, None] * side + torch.arange(*columns)


def block_by_columns(top, left, height, width, side):
    return _table((top, top + height), (left, left + width), side).T.flatten()


def block_axes_swapped(top, left, height, width, side):
    return (torch.arange(top, top + height)[:, None] + torch.arange(left, left + width) * side).flatten()


def block_sides_swapped(top, left, height, width, side):
    return _table((top, top + width), (left, left + height), side).flatten()


def block_corner_swapped(top, left, height, width, side):
    return _table((left, left + height), (top, top + width), side).flatten()


def block_own_width(top, left, height, width, side):
    return _table((top, top + height), (left, left + width), width).flatten()


def block_one_more(top, left, height, width, side):
    return _table((top, top + height + 1), (left, left + width + 1), side).flatten()


def block_far_corner(top, left, height, width, side):
    return _table((top, height), (left, width), side).flatten()


def block_from_one(top, left, height, width, side):
    return _table((top, top + height), (left, left + width), side).flatten() + 1


def block_at_origin(top, left, height, width, side):
    return _table((0, height), (0, width), side).flatten()


def block_table(top, left, height, width, side):
    return _table((top, top + height), (left, left + width), side)


# 3.9 ---------------------------------------------------------------------------------------------------------------
def check_context(answer, draw):
    number = draw.permutation(49).tolist()
    context, outside = number[:20], number[20:]
    shared, single = context[:2], context[2:8]  # hidden by all three targets, and by one of them
    rows = [shared + single[2 * k : 2 * k + 2] + outside[3 * k : 3 * k + 3] for k in range(3)]
    targets = torch.tensor([draw.pick(row, len(row)) for row in rows])
    order = torch.tensor(draw.pick(context, len(context)))
    expect_equal(answer(order, targets), torch.tensor(sorted(context[8:])), "The context's patches")


def _free(context, targets):
    return ~torch.isin(context, targets)


def context_first_target(context, targets):
    return context[_free(context, targets[0])].sort().values


def context_in_all_targets(context, targets):
    in_all = (context[:, None, None] == targets).any(dim=2).all(dim=1)
    return context[~in_all].sort().values


def context_hidden(context, targets):
    return context[~_free(context, targets)].sort().values


def context_either(context, targets):
    return torch.cat([context[_free(context, targets)], targets[_free(targets, context)]]).unique()


def context_all(context, targets):
    return context.sort().values


def context_unsorted(context, targets):
    return context[_free(context, targets)]


def context_places(context, targets):
    return _free(context, targets).nonzero().flatten()


def context_mask(context, targets):
    return _free(context, targets)


def context_no_context(context, targets):
    count = int(max(context.max(), targets.max())) + 1
    return torch.arange(count)[_free(torch.arange(count), targets)]


# 3.15 --------------------------------------------------------------------------------------------------------------
def check_tubes(answer, draw):
    side, steps, tubelet = draw.integer(6, 9), draw.integer(3, 5), draw.integer(2, 4)
    count = draw.integer(5, 8)
    block = draw.permutation(side * side)[:count]
    while (block.diff() > 0).all():
        block = block[draw.permutation(count)]
    want = torch.tensor([step * side * side + n for step in range(steps) for n in sorted(block.tolist())])
    for frames in (steps * tubelet, steps * tubelet + tubelet - 1):
        what = f"The tokens of a block in {frames} frames, tubelet_size {tubelet}, {side} x {side} patches"
        expect_equal(answer(block, side, frames, tubelet), want, what)


def tubes_every_frame(block, side, frames, tubelet_size):
    return (torch.arange(frames)[:, None] * side * side + block.sort().values).flatten()


def tubes_side(block, side, frames, tubelet_size):
    return (torch.arange(frames // tubelet_size)[:, None] * side + block.sort().values).flatten()


def tubes_first_step(block, side, frames, tubelet_size):
    return block.sort().values


def tubes_unsorted(block, side, frames, tubelet_size):
    return (torch.arange(frames // tubelet_size)[:, None] * side * side + block).flatten()


def tubes_place_by_place(block, side, frames, tubelet_size):
    return (block.sort().values[:, None] + torch.arange(frames // tubelet_size) * side * side).flatten()


def tubes_time_fastest(block, side, frames, tubelet_size):
    steps = frames // tubelet_size
    return (block.sort().values[:, None] * steps + torch.arange(steps)).flatten()


def tubes_step_over(block, side, frames, tubelet_size):
    return (torch.arange(0, frames, tubelet_size)[:, None] * side * side + block.sort().values).flatten()


def tubes_from_one(block, side, frames, tubelet_size):
    return (torch.arange(1, frames // tubelet_size + 1)[:, None] * side * side + block.sort().values).flatten()


def tubes_rounded_up(block, side, frames, tubelet_size):
    return (torch.arange(-(-frames // tubelet_size))[:, None] * side * side + block.sort().values).flatten()


def tubes_table(block, side, frames, tubelet_size):
    return torch.arange(frames // tubelet_size)[:, None] * side * side + block.sort().values


EXERCISES = (
    Exercise(
        id="3.8",
        notebook="03",
        title="A block of patches",
        level="B",
        minutes=6,
        points=2,
        hints=(
            "The patch in row r and column c is number r * side + c.",
            "`torch.arange(top, top + height)[:, None]` is a column of rows; broadcast it against the block's columns.",
            "`.flatten()` reads a table row by row.",
        ),
        reference=_REFERENCE + "block_patches",
        check=check_block,
        mistakes=(
            Mistake(block_by_columns, "The numbers run column by column; they go row by row."),
            Mistake(block_axes_swapped, "The column was multiplied by `side`: patches are numbered along the rows."),
            Mistake(block_sides_swapped, "Height and width are swapped: the block has `height` rows."),
            Mistake(block_corner_swapped, "`top` and `left` are swapped: `top` is the first row."),
            Mistake(block_own_width, "Multiplied by the block's width; a row of the grid has `side` patches."),
            Mistake(block_one_more, "The block is one row and one column too large: `arange` ends before its end."),
            Mistake(block_far_corner, "Height and width were taken for the end; the block ends at top + height."),
            Mistake(block_from_one, "The first patch of the grid is number 0, not 1."),
            Mistake(block_at_origin, "The block lies at the top left; it begins at row `top` and column `left`."),
            Mistake(block_table, "This is a table (height, width); one row of numbers is wanted: `.flatten()`."),
        ),
    ),
    Exercise(
        id="3.9",
        notebook="03",
        title="No peeping",
        level="I",
        minutes=6,
        points=2,
        hints=(
            "`torch.isin(context, targets)` says for each patch of the context whether any target holds it.",
            "`~` turns this round, and a boolean tensor picks: `context[~…]`.",
            "`.sort().values` at the end: the numbers may come in any order.",
        ),
        reference=_REFERENCE + "context_patches",
        check=check_context,
        mistakes=(
            Mistake(context_first_target, "Only the first target block was taken out; each row of `targets` is one."),
            Mistake(
                context_in_all_targets,
                "Only what all targets share was taken out; a patch that one target holds is to be predicted too.",
            ),
            Mistake(context_hidden, "These are the patches to be predicted: the context is what is left."),
            Mistake(context_either, "Patches of the targets that were never in the context block came in."),
            Mistake(context_all, "Nothing was taken out: the encoder would see the answers."),
            Mistake(context_unsorted, "The patches are the right ones; put them in ascending order."),
            Mistake(context_places, "These are places in `context`; the patches' numbers are wanted."),
            Mistake(context_mask, "This says which patches stay; their numbers are wanted."),
            Mistake(
                context_no_context, "All patches outside the targets came in; only those of the context block may."
            ),
        ),
    ),
    Exercise(
        id="3.15",
        notebook="03",
        title="A block through time",
        level="I",
        minutes=6,
        points=2,
        hints=(
            "A time step has side * side tokens, and the clip has frames // tubelet_size time steps.",
            "The patch n of time step t is token t * side * side + n: broadcast (steps, 1) against (K,).",
            "Row by row this is ascending, if the block's numbers are sorted.",
        ),
        reference=_REFERENCE + "tube_tokens",
        check=check_tubes,
        mistakes=(
            Mistake(tubes_every_frame, "Each frame was taken for a time step; `tubelet_size` frames make one."),
            Mistake(tubes_side, "A time step has side * side tokens, not side."),
            Mistake(tubes_first_step, "This is the first time step; the block is hidden in all of them."),
            Mistake(tubes_unsorted, "The tokens are the right ones; put them in ascending order."),
            Mistake(tubes_place_by_place, "All times of one patch come together; the sequence runs step by step."),
            Mistake(tubes_time_fastest, "Numbered as if time ran fastest; all patches of a step come first."),
            Mistake(tubes_step_over, "Time steps are counted 0, 1, 2 …, not in frames."),
            Mistake(tubes_from_one, "The first time step is number 0, not 1."),
            Mistake(tubes_rounded_up, "Frames that do not fill a tubelet are left out: round down."),
            Mistake(tubes_table, "This is a table (steps, K); one row of numbers is wanted: `.flatten()`."),
        ),
    ),
)
