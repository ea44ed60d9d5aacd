"""What is done with the learner's object: call it, differentiate it, build it.

The same code runs in the notebook and in the learner's own process. A request and its answer are plain JSON (see
`protocol.py`), so the learner's code always works on copies, and the checker always on its own.
"""

from __future__ import annotations

import inspect
import linecache
import re
from collections.abc import Callable
from typing import Any

import torch

from vfm_course.exercises.protocol import ProtocolError, decode, encode

Ask = Callable[[int, tuple, dict], Any]


class Bench:
    """Holds one object of the learner's and the modules built from it."""

    def __init__(self, thing: Any):
        self._thing = thing
        self._modules: list[torch.nn.Module] = []

    def serve(self, request: dict, ask: Ask | None = None) -> dict:
        """Does what the request says: {"ok": value, "changed": [argument numbers]}, {"error": …} or {"todo": true}."""
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)  # a learner's own random numbers are the same in every run
                value, changed = getattr(self, "_" + request["op"])(request, ask)
            return {"ok": encode(value), "changed": changed}
        except NotImplementedError as error:
            if _raised_inside(error, self._thing):
                return {"todo": True}
            return {"error": describe_error(error, self._thing)}
        except (Exception, SystemExit) as error:
            return {"error": describe_error(error, self._thing)}

    def _target(self, request: dict) -> Callable:
        number, method = request.get("module"), request.get("method")
        target = self._thing if number is None else self._modules[number]
        return target if method is None else getattr(target, method)

    def _call(self, request: dict, ask: Ask | None):
        args, kwargs = decode(request["args"], ask), decode(request["kwargs"], ask)
        output = self._target(request)(*args, **kwargs)
        return output, _changed(request, args)

    def _grad(self, request: dict, ask: Ask | None):
        args, kwargs = decode(request["args"], ask), decode(request["kwargs"], ask)
        inputs = [args[i].requires_grad_() for i in request["wrt"]]
        output = self._target(request)(*args, **kwargs)
        return tuple(_gradients(output, inputs, decode(request["cotangent"]))), _changed(request, args)

    def _parameter_grads(self, request: dict, ask: Ask | None):
        args, kwargs = decode(request["args"], ask), decode(request["kwargs"], ask)
        named = dict(self._modules[request["module"]].named_parameters())
        wanted = {name: p for name, p in named.items() if p.requires_grad}
        output = self._target(request)(*args, **kwargs)
        grads = _gradients(output, list(wanted.values()), decode(request["cotangent"]))
        found = dict(zip(wanted, grads, strict=True))
        return {name: found.get(name) for name in named}, _changed(request, args)

    def _build(self, request: dict, ask: Ask | None):
        module = self._thing(*decode(request["args"], ask), **decode(request["kwargs"], ask))
        if not issubclass(type(module), torch.nn.Module):
            raise TypeError("the class must be an nn.Module")
        state = decode(request["state"])
        if state is not None:
            _load(module, state)
        self._modules.append(module)
        return len(self._modules) - 1, []

    def _parameters(self, request: dict, ask: Ask | None):
        named = self._modules[request["module"]].named_parameters()
        return {name: {"shape": tuple(p.shape), "requires_grad": p.requires_grad} for name, p in named}, []

    def _flags(self, request: dict, ask: Ask | None):
        return {name: m.training for name, m in self._modules[request["module"]].named_modules()}, []

    def _mode(self, request: dict, ask: Ask | None):
        self._modules[request["module"]].train(bool(request["training"]))
        return None, []


def _load(module: torch.nn.Module, state: dict) -> None:
    own = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in state.items()}
    if own != given:
        wanted = ", ".join(f"{name} {shape}" for name, shape in given.items()) or "none"
        found = ", ".join(f"{name} {shape}" for name, shape in own.items()) or "none"
        raise ValueError(f"the parameters and buffers must be {wanted}; yours are {found}")
    module.load_state_dict(state)


def _leaves(output: Any) -> list[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        return [output] if output.is_floating_point() else []
    if isinstance(output, dict):
        output = list(output.values())
    return [leaf for item in output for leaf in _leaves(item)] if isinstance(output, list | tuple) else []


def _gradients(output: Any, inputs: list[torch.Tensor], cotangent: Any) -> list[torch.Tensor | None]:
    leaves = _leaves(output)
    if not leaves:
        raise TypeError(f"the output must be a float tensor to have a gradient, not {type(output).__name__}")
    weights = [torch.ones_like(leaf) for leaf in leaves] if cotangent is None else cotangent
    weights = weights if isinstance(weights, list | tuple) else [weights]
    shapes, given = [tuple(leaf.shape) for leaf in leaves], [tuple(w.shape) for w in weights]
    if shapes != given:
        raise ValueError(f"the output must have shape {given[0] if given else ()}, not {shapes[0]}")
    if not any(leaf.requires_grad for leaf in leaves) or not inputs:
        return [None] * len(inputs)
    total = sum((leaf * weight).sum() for leaf, weight in zip(leaves, weights, strict=True))
    return list(torch.autograd.grad(total, inputs, allow_unused=True))


def _changed(request: dict, args: tuple) -> list[int]:
    """Numbers of the arguments that the learner's code changed in place."""
    before = request["args"]["v"]
    try:
        after = [encode(arg) for arg in args]
    except ProtocolError:
        return list(range(len(before)))
    return [i for i, (b, a) in enumerate(zip(before, after, strict=True)) if a != b]


def _files_of(thing: Any) -> set[str]:
    members = [thing, *vars(thing).values()] if inspect.isclass(thing) else [thing]
    codes = [getattr(inspect.unwrap(m) if callable(m) else m, "__code__", None) for m in members]
    return {code.co_filename for code in codes if code is not None}


def _own_frames(error: BaseException, thing: Any) -> list[tuple[str, int]]:
    files, frames, step = _files_of(thing), [], error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename in files:
            frames.append((step.tb_frame.f_code.co_filename, step.tb_lineno))
        step = step.tb_next
    return frames


def _raised_inside(error: BaseException, thing: Any) -> bool:
    """Whether the innermost frame is the learner's: a NotImplementedError out of torch is an error like any other."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return step is not None and step.tb_frame.f_code.co_filename in _files_of(thing)


def describe_error(error: BaseException, thing: Any) -> dict:
    """{"type", "message", "line", "source"}: what a learner needs of an exception, the same in every run."""
    frames = _own_frames(error, thing)
    file, line = frames[-1] if frames else ("", None)
    source = linecache.getline(file, line).strip()[:80] if frames else ""
    try:
        text = str(error)
    except Exception:
        text = ""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", " ".join(text.split()))[:300]
    return {"type": type(error).__name__[:80], "message": text, "line": line, "source": source}
