"""The handle that a check holds: the learner's answer, wherever it runs.

A check is written once, `def check(answer, draw)`, and asks the handle for outputs, gradients and modules. What it gets
back are its own decoded copies. Every request and its response are kept in `trace`, so that a wrong answer can be set
beside each known mistake afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from vfm_course.exercises.bench import Bench
from vfm_course.exercises.failures import CheckFailed, LearnerError, NotAttempted, WorkerGone
from vfm_course.exercises.protocol import ProtocolError, decode, encode


class Transport(Protocol):
    """Carries one request to the learner's object and brings the response."""

    def send(self, request: dict, callbacks: list[Callable]) -> dict: ...


def serve_callback(callbacks: list[Callable], number: int, args: Any, kwargs: Any) -> dict:
    """Runs the checker's function `number` on encoded arguments: {"ok": …} or {"raise": [type, message]}.

    Raises:
        ProtocolError: no such function, or arguments that are none.
    """
    if type(number) is not int or not 0 <= number < len(callbacks):
        raise ProtocolError("a call of a function that was not passed in")
    values, named = decode(args), decode(kwargs)
    if not isinstance(values, tuple) or not isinstance(named, dict):
        raise ProtocolError("a call without arguments")
    try:
        return {"ok": encode(callbacks[number](*values, **named))}
    except Exception as error:  # part of the exercise: an opener that fails on a broken file
        return {"raise": [type(error).__name__, str(error)]}


def callback_result(reply: dict) -> Any:
    """On the learner's side: the value that the checker's function returned, or its exception raised again."""
    if "raise" in reply:
        import builtins

        name, message = reply["raise"]
        kind = getattr(builtins, name, RuntimeError)
        raise (kind if isinstance(kind, type) and issubclass(kind, Exception) else RuntimeError)(message)
    return decode(reply["ok"])


class LocalTransport:
    """The learner's object in this very process; values are copied through the protocol all the same."""

    def __init__(self, thing: Any):
        self._bench = Bench(thing)

    def send(self, request: dict, callbacks: list[Callable]) -> dict:
        def ask(number: int, args: tuple, kwargs: dict) -> Any:
            return callback_result(serve_callback(callbacks, number, encode(args), encode(kwargs)))

        return self._bench.serve(request, ask)


class Answer:
    """`answer(*args)` calls the learner's function; see the methods for gradients and modules."""

    def __init__(self, transport: Transport):
        self._transport = transport
        self.trace: list[tuple[dict, list[Callable], dict]] = []

    def _ask(self, op: str, args: Sequence = (), kwargs: dict | None = None, **extra) -> Any:
        callbacks: list[Callable] = []
        request = {"op": op, "args": encode(tuple(args), callbacks), "kwargs": encode(kwargs or {}, callbacks), **extra}
        response = self._transport.send(request, callbacks)
        self.trace.append((request, callbacks, response))
        value, changed = read_response(response)
        if changed:
            number = changed[0] + 1
            raise CheckFailed(f"Argument {number} was changed in place: work on a copy, the caller still needs it.")
        return value

    def __call__(self, *args, **kwargs) -> Any:
        """The function's output, decoded. Functions among the arguments are called back in the checker.

        Raises:
            LearnerError: the learner's code raised. NotAttempted: it raised NotImplementedError.
            CheckFailed: it changed an argument in place. WorkerGone: its process ended.
        """
        return self._ask("call", args, kwargs)

    def grad(
        self, args: Sequence, wrt: Sequence[int] = (0,), cotangent: Any = None, kwargs: dict | None = None
    ) -> tuple[torch.Tensor | None, ...]:
        """Gradients of sum(output * cotangent) with respect to the arguments numbered in `wrt`; None: none flows.

        `cotangent` has the output's shape (a list of tensors for several outputs) and is all ones by default.
        """
        return self._ask("grad", args, kwargs, wrt=list(wrt), cotangent=encode(cotangent))

    def error(self, *args, **kwargs) -> LearnerError | None:
        """The exception that the call raises, as a LearnerError, or None when it returns."""
        try:
            self(*args, **kwargs)
        except LearnerError as error:
            return error
        return None

    def build(self, *args, state: dict[str, torch.Tensor] | None = None, **kwargs) -> ModuleAnswer:
        """An instance of the learner's nn.Module, with the weights of `state` where given."""
        number = self._ask("build", args, kwargs, state=encode(state))
        if type(number) is not int:
            raise WorkerGone("Your code's process sent something else than an answer.")
        return ModuleAnswer(self, number)


class ModuleAnswer:
    """One built module of the learner's."""

    def __init__(self, answer: Answer, number: int):
        self._answer, self._number = answer, number

    def _ask(self, op: str, args: Sequence = (), kwargs: dict | None = None, **extra) -> Any:
        return self._answer._ask(op, args, kwargs, module=self._number, **extra)

    def __call__(self, *args, **kwargs) -> Any:
        """The module's output."""
        return self._ask("call", args, kwargs)

    def method(self, name: str, *args, **kwargs) -> Any:
        """The output of a method other than forward."""
        return self._ask("call", args, kwargs, method=name)

    def grad(
        self, args: Sequence, wrt: Sequence[int] = (0,), cotangent: Any = None, kwargs: dict | None = None
    ) -> tuple[torch.Tensor | None, ...]:
        """Gradients with respect to the inputs, as in `Answer.grad`."""
        return self._ask("grad", args, kwargs, wrt=list(wrt), cotangent=encode(cotangent))

    def parameter_grads(self, args: Sequence, cotangent: Any = None, kwargs: dict | None = None) -> dict:
        """Parameter name -> gradient, or None where none flows."""
        return self._ask("parameter_grads", args, kwargs, cotangent=encode(cotangent))

    def parameters(self) -> dict[str, dict]:
        """Parameter name -> {"shape": tuple, "requires_grad": bool}."""
        return self._ask("parameters")

    def training_flags(self) -> dict[str, bool]:
        """Submodule name ("" for the module itself) -> its `training` flag."""
        return self._ask("flags")

    def set_training(self, training: bool) -> None:
        """Calls the module's `train(training)`."""
        self._ask("mode", training=training)


class LocalHandle(Answer):
    """The answer in this process."""

    def __init__(self, thing: Any):
        super().__init__(LocalTransport(thing))


def read_response(response: dict) -> tuple[Any, list[int]]:
    """The decoded output and the numbers of changed arguments.

    Raises:
        NotAttempted, LearnerError: that is what the response says. WorkerGone: it says nothing that makes sense.
    """
    try:
        if response.get("todo") is True:
            raise NotAttempted
        if "error" in response:
            error = response["error"]
            line = error["line"] if type(error["line"]) is int else None
            raise LearnerError(str(error["type"])[:80], str(error["message"])[:300], line, str(error["source"])[:80])
        changed = [n for n in response["changed"] if type(n) is int]
        return decode(response["ok"]), changed
    except (ProtocolError, KeyError, TypeError, AttributeError) as error:
        raise WorkerGone("Your code's process sent something else than an answer.") from error
