"""How values travel between the checker and the learner's process: JSON lines, arrays as raw bytes, never pickle.

`encode` copies a value into plain JSON; whatever a subclass or a lying `__eq__` would say is left behind, since only
raw bytes and plain containers travel. `decode` is strict: an unknown tag, a wrong length or a wrong type is an error.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from vfm_course.exercises.failures import ProtocolError

MAX_MESSAGE = 64 * 2**20  # bytes of one JSON line
MAX_DEPTH = 16
_TENSOR_TYPES = {
    str(t).removeprefix("torch."): t
    for t in (
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
        torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128,
    )
}  # fmt: skip
_ARRAY_KINDS = "biufc"
_IMAGE_MODES = {"L": 1, "RGB": 3, "RGBA": 4, "1": 1}


class Other:
    """Stands for a value that the protocol does not carry; only the name of its type is known."""

    def __init__(self, type_name: str):
        self.type_name = type_name


class Callback:
    """The learner's side of a function that the checker passed in: calling it asks the checker."""

    def __init__(self, number: int, ask: Callable[[int, tuple, dict], Any]):
        self.number, self._ask = number, ask

    def __call__(self, *args, **kwargs):
        return self._ask(self.number, args, kwargs)


def encode(value: Any, callbacks: list[Callable] | None = None, depth: int = 0) -> Any:
    """Copies a value into plain JSON. Functions are appended to `callbacks` where given, else they are `other`.

    Raises:
        ProtocolError: nested deeper than 16 levels (or endless).
    """
    if depth > MAX_DEPTH:
        raise ProtocolError("the value is nested more than 16 levels deep")
    kind = type(value)  # not isinstance: an object may lie about its __class__

    def inner(items) -> list:
        return [encode(item, callbacks, depth + 1) for item in items]

    if value is None or kind in (bool, int, str):
        return value
    if issubclass(kind, float):
        number = float.__float__(value)
        return number if math.isfinite(number) else {"t": "float", "v": repr(number)}
    if issubclass(kind, torch.Tensor):
        return _encode_tensor(value)
    if issubclass(kind, np.ndarray | np.generic):
        return _encode_array(np.asarray(value))
    if issubclass(kind, Callback):
        return {"t": "callback", "v": value.number}
    if issubclass(kind, list):
        return {"t": "list", "v": inner(list.__iter__(value))}
    if issubclass(kind, tuple):
        return {"t": "tuple", "v": inner(tuple.__iter__(value))}
    if issubclass(kind, dict):
        return {"t": "dict", "v": [inner(pair) for pair in dict.items(value)]}
    if issubclass(kind, set | frozenset):
        return {"t": "other", "v": "set"}
    if issubclass(kind, int):
        return int.__int__(value)
    if issubclass(kind, str):
        return str.__str__(str.__add__(value, ""))
    if kind.__module__.startswith("PIL."):
        return _encode_image(value)
    if callbacks is not None and callable(value) and not isinstance(value, type):
        if value not in callbacks:
            callbacks.append(value)
        return {"t": "callback", "v": callbacks.index(value)}
    return {"t": "other", "v": str(kind.__name__)[:80]}


def _encode_tensor(value: torch.Tensor) -> dict:
    if value.layout != torch.strided or value.device.type == "meta":
        return {"t": "other", "v": "sparse or meta tensor"}
    plain = value.detach().as_subclass(torch.Tensor).cpu().resolve_conj().resolve_neg().contiguous()
    name = str(plain.dtype).removeprefix("torch.")
    if name not in _TENSOR_TYPES:
        return {"t": "other", "v": f"tensor of {name}"}
    raw = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
    return {"t": "tensor", "dtype": name, "shape": list(plain.shape), "v": base64.b64encode(raw).decode()}


def _encode_array(value: np.ndarray) -> dict:
    if value.dtype.kind not in _ARRAY_KINDS:
        return {"t": "other", "v": f"array of {value.dtype.name}"}
    plain = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("="), copy=False)
    raw = base64.b64encode(plain.tobytes()).decode()
    return {"t": "array", "dtype": plain.dtype.name, "shape": list(np.shape(value)), "v": raw}


def _encode_image(value: Any) -> dict:
    mode, size = str(value.mode), [int(side) for side in value.size]
    if mode not in _IMAGE_MODES:
        return {"t": "other", "v": f"PIL image of mode {mode[:8]}"}
    return {"t": "image", "mode": mode, "size": size, "v": base64.b64encode(value.tobytes()).decode()}


def decode(data: Any, ask: Callable[[int, tuple, dict], Any] | None = None, depth: int = 0) -> Any:
    """The value that `encode` wrote: a fresh copy each time. `ask` serves callbacks; without it they are refused.

    Raises:
        ProtocolError: anything that `encode` does not write.
    """
    if depth > MAX_DEPTH:
        raise ProtocolError("the message is nested more than 16 levels deep")
    if data is None or type(data) in (bool, int, float, str):
        return data
    if type(data) is not dict or "t" not in data:
        raise ProtocolError("a value without a tag")
    tag, v = data["t"], data.get("v")
    if tag in ("list", "tuple", "dict"):
        if type(v) is not list:
            raise ProtocolError(f"a {tag} without its items")
        if tag == "dict":
            return _decode_dict(v, ask, depth)
        items = [decode(item, ask, depth + 1) for item in v]
        return items if tag == "list" else tuple(items)
    if tag == "float" and v in ("nan", "inf", "-inf"):
        return float(v)
    if tag == "other" and type(v) is str:
        return Other(v[:80])
    if tag == "callback" and ask is not None and type(v) is int:
        return Callback(v, ask)
    if tag in ("tensor", "array", "image"):
        return {"tensor": _decode_tensor, "array": _decode_array, "image": _decode_image}[tag](data)
    raise ProtocolError(f"an unknown tag {str(tag)[:40]!r}")


def _decode_dict(pairs: list, ask, depth: int) -> dict:
    result = {}
    for pair in pairs:
        if type(pair) is not list or len(pair) != 2:
            raise ProtocolError("a dict whose items are not pairs")
        key = decode(pair[0], ask, depth + 1)
        if not isinstance(key, str | int | float | bool | type(None)):
            raise ProtocolError("a dict whose key is not plain")
        result[key] = decode(pair[1], ask, depth + 1)
    return result


def _payload(data: dict, sizes: Any, itemsize: int) -> tuple[bytearray, tuple[int, ...]]:
    if type(sizes) is not list or len(sizes) > 8 or any(type(n) is not int or n < 0 for n in sizes):
        raise ProtocolError("a shape that is none")
    try:
        raw = bytearray(base64.b64decode(data["v"], validate=True))
    except (ValueError, TypeError, KeyError) as error:
        raise ProtocolError("bytes that are not base64") from error
    if len(raw) != math.prod(sizes) * itemsize:
        raise ProtocolError("bytes that do not fit their shape")
    return raw, tuple(sizes)


def _decode_tensor(data: dict) -> torch.Tensor:
    dtype = _TENSOR_TYPES.get(str(data.get("dtype")))
    if dtype is None:
        raise ProtocolError("a tensor of unknown dtype")
    raw, shape = _payload(data, data.get("shape"), dtype.itemsize)
    if not raw:
        return torch.empty(shape, dtype=dtype)
    if dtype is torch.bool:  # a byte other than 0 and 1 would be undefined as a bool
        return torch.frombuffer(raw, dtype=torch.uint8).ne(0).reshape(shape)
    return torch.frombuffer(raw, dtype=dtype).reshape(shape).clone()


def _decode_array(data: dict) -> np.ndarray:
    name = data.get("dtype")
    try:
        dtype = np.dtype(name) if type(name) is str and name.isalnum() else None
    except TypeError:
        dtype = None
    if dtype is None or dtype.kind not in _ARRAY_KINDS:
        raise ProtocolError("an array of unknown dtype")
    raw, shape = _payload(data, data.get("shape"), dtype.itemsize)
    if dtype.kind == "b":
        return (np.frombuffer(raw, dtype=np.uint8) != 0).reshape(shape)
    return np.frombuffer(raw, dtype=dtype).reshape(shape).copy()


def _decode_image(data: dict) -> Any:
    from PIL import Image

    mode, size = data.get("mode"), data.get("size")
    if mode not in _IMAGE_MODES or type(size) is not list or len(size) != 2:
        raise ProtocolError("an image of unknown mode or size")
    if mode == "1":  # packed bits: a row is filled up to a whole byte
        width, height = size if all(type(n) is int and n >= 0 for n in size) else (0, 0)
        raw, _ = _payload(data, [height, (width + 7) // 8], 1)
    else:
        raw, _ = _payload(data, [*size, _IMAGE_MODES[mode]], 1)
    return Image.frombytes(mode, tuple(size), bytes(raw))


def to_line(message: dict) -> bytes:
    """One message as one line.

    Raises:
        ProtocolError: longer than 64 MiB.
    """
    line = json.dumps(message, allow_nan=False, separators=(",", ":")).encode() + b"\n"
    if len(line) > MAX_MESSAGE:
        raise ProtocolError("the message is larger than 64 MiB")
    return line


def from_line(line: bytes) -> dict:
    """The message on a line.

    Raises:
        ProtocolError: not JSON, not an object, or too long.
    """
    if len(line) > MAX_MESSAGE:
        raise ProtocolError("the message is larger than 64 MiB")
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a line that is not JSON") from error
    if type(message) is not dict:
        raise ProtocolError("a message that is not an object")
    return message
