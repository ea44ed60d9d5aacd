"""What a check judges with: each helper compares one thing and fails with a sentence a learner can act on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from vfm_course.exercises.failures import CheckFailed
from vfm_course.exercises.protocol import Callback, Other


def describe(value: Any) -> str:
    """A value in a few words: kind and shape of an array, the value itself when it is small."""
    if isinstance(value, torch.Tensor):
        return f"{_with_article(str(value.dtype).removeprefix('torch.'))} tensor of shape {tuple(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"{_with_article(value.dtype.name)} numpy array of shape {value.shape}"
    if isinstance(value, Other):
        return f"an object of type {value.type_name}"
    if isinstance(value, Callback):
        return "a function"
    if value is None:
        return "nothing (None): is a `return` missing?"
    if type(value).__module__.startswith("PIL."):
        return f"a PIL image {value.size[0]} x {value.size[1]}"
    text = _plain(value)
    if len(text) <= 120:
        return text
    size = f" of {len(value)} items" if isinstance(value, list | tuple | dict) else ""
    return f"a {type(value).__name__}{size} ({text[:80]}…)"


def _with_article(dtype: str) -> str:
    return f"{'an' if dtype.startswith('int') else 'a'} {dtype}"


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        inner = ", ".join(_plain(item) for item in value[:40])
        if isinstance(value, list):
            return f"[{inner}]"
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, torch.Tensor | np.ndarray | Other | Callback):
        return describe(value)
    return repr(value)


def expect_true(condition: bool, sentence: str) -> None:
    """Fails with the sentence unless the condition holds."""
    if not condition:
        raise CheckFailed(sentence)


def expect_several(got: Any, count: int, what: str) -> tuple | list:
    """The parts of an answer that returns `count` values."""
    right = isinstance(got, tuple | list) and len(got) == count
    expect_true(right, f"{what} should hold {count} values; it is {describe(got)}.")
    return got


def expect_tensor(got: Any, what: str) -> torch.Tensor:
    """The value, if it is a torch tensor."""
    expect_true(isinstance(got, torch.Tensor), f"{what} should be a torch tensor; it is {describe(got)}.")
    return got


def expect_shape(got: Any, shape: tuple[int, ...], what: str) -> None:
    """Fails unless `got` is a tensor of exactly this shape."""
    expect_tensor(got, what)
    found = tuple(got.shape)
    expect_true(found == tuple(shape), f"{what} should have shape {tuple(shape)}; it has shape {found}.")


def expect_dtype(got: Any, dtype: torch.dtype, what: str) -> None:
    """Fails unless `got` is a tensor of this dtype."""
    expect_tensor(got, what)
    wanted, found = str(dtype).removeprefix("torch."), str(got.dtype).removeprefix("torch.")
    expect_true(got.dtype == dtype, f"{what} should be of type {wanted}; it is {found}.")


def expect_finite(got: Any, what: str) -> None:
    """Fails when a tensor holds NaN or an infinite number."""
    expect_tensor(got, what)
    if got.isnan().any():
        raise CheckFailed(f"{what} holds NaN at {_position(got.isnan())}: was something divided by zero?")
    if got.isinf().any():
        raise CheckFailed(f"{what} holds an infinite number at {_position(got.isinf())}.")


def expect_close(got: Any, want: Any, what: str, atol: float = 1e-5, rtol: float = 1e-4) -> None:
    """Fails unless `got` equals the float or tensor `want` within the tolerance: type, shape, NaN, then values.

    Args:
        want: a number or a tensor of any shape.
        what: names the value at the start of the sentence ("The similarity matrix").
    """
    if not isinstance(want, torch.Tensor):
        _expect_close_number(got, float(want), what, atol, rtol)
        return
    expect_shape(got, tuple(want.shape), what)
    if want.is_floating_point() and not got.is_floating_point():
        raise CheckFailed(f"{what} should hold floats; it is {describe(got)}.")
    if want.isfinite().all():
        expect_finite(got, what)
    got, want = got.detach().to(torch.float64), want.detach().to(torch.float64)
    wrong = ~torch.isclose(got, want, atol=atol, rtol=rtol, equal_nan=True)
    if wrong.any():
        worst = torch.where(wrong, (got - want).abs().nan_to_num(math.inf), -1.0)
        at = _position(worst == worst.max())
        index = tuple((worst == worst.max()).nonzero()[0].tolist())
        values = f"expected {want[index].item():.4g}, got {got[index].item():.4g}"
        share = f"{int(wrong.sum())} of {wrong.numel()} values differ; " if wrong.numel() > 1 else ""
        raise CheckFailed(f"{what} is not right: {share}{'furthest at ' + at + ': ' if at else ''}{values}.")


def _expect_close_number(got: Any, want: float, what: str, atol: float, rtol: float) -> None:
    if isinstance(got, torch.Tensor | np.ndarray) and got.shape == ():
        got = got.item()
    if isinstance(got, bool) or not isinstance(got, int | float):
        raise CheckFailed(f"{what} should be a number; it is {describe(got)}.")
    if math.isnan(got) and not math.isnan(want):
        raise CheckFailed(f"{what} is NaN; expected {want:.4g}.")
    if not math.isclose(got, want, abs_tol=atol, rel_tol=rtol):
        raise CheckFailed(f"{what} is not right: expected {want:.4g}, got {got:.4g}.")


def _position(mask: torch.Tensor) -> str:
    index = tuple(mask.nonzero()[0].tolist())
    return f"position {index}" if index else ""


def expect_equal(got: Any, want: Any, what: str) -> None:
    """Fails unless `got` is exactly `want`: same type (list, tuple, str, int … or tensor) and same value."""
    if isinstance(want, torch.Tensor):
        expect_shape(got, tuple(want.shape), what)
        if _family(want) != _family(got):
            wanted = str(want.dtype).removeprefix("torch.")
            raise CheckFailed(f"{what} should be a tensor of type {wanted}; it is {describe(got)}.")
        wrong = got != want
        if wrong.any():
            index = tuple(wrong.nonzero()[0].tolist())
            at = f" at {_position(wrong)}" if index else ""
            raise CheckFailed(f"{what} is not right{at}: expected {want[index].item()}, got {got[index].item()}.")
        return
    if type(got) is not type(want):
        raise CheckFailed(f"{what} should be {_kind(want)}, here {describe(want)}; it is {describe(got)}.")
    if isinstance(want, list | tuple) and len(got) != len(want):
        counts = f"should have {_items(len(want))}, here {describe(want)}; it has {len(got)}"
        raise CheckFailed(f"{what} {counts}: {describe(got)}.")
    if not _same(got, want):
        raise CheckFailed(f"{what} is not right: expected {describe(want)}, got {describe(got)}.")


def _family(tensor: torch.Tensor) -> str:
    if tensor.dtype is torch.bool:
        return "bool"
    return "float" if tensor.is_floating_point() else "int"


def _same(got: Any, want: Any) -> bool:
    if type(got) is not type(want):
        return False
    if isinstance(want, list | tuple):
        return len(got) == len(want) and all(map(_same, got, want))
    if isinstance(want, dict):
        return got.keys() == want.keys() and all(_same(got[key], want[key]) for key in want)
    if isinstance(want, torch.Tensor):
        return got.shape == want.shape and got.dtype == want.dtype and bool((got == want).all())
    return bool(got == want)


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count} items"


def _kind(value: Any) -> str:
    name = {"str": "string", "int": "whole number", "float": "float", "NoneType": "None"}.get(type(value).__name__)
    return f"a {name or type(value).__name__}"
