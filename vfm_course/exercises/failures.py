"""The ways in which a check ends early. Light: the learner's process imports nothing but this and its neighbours."""

from __future__ import annotations


class CheckFailed(Exception):
    """The answer is wrong; the text is the sentence that the learner reads."""


class LearnerError(Exception):
    """The learner's code raised: type, message and line, never a traceback."""

    def __init__(self, type_name: str, message: str, line: int | None = None, source: str = ""):
        self.type_name, self.message, self.line, self.source = type_name, message, line, source
        super().__init__(self.sentence())

    def sentence(self) -> str:
        """`Line 3 of your cell (return x / y) raised ZeroDivisionError: division by zero.`"""
        where = "Your code" if self.line is None else f"Line {self.line} of your cell"
        if self.source:
            where += f" ({self.source})"
        message = f": {self.message}" if self.message else ""
        return f"{where} raised {self.type_name}{message}".rstrip(".") + "."


class NotAttempted(Exception):
    """The learner's code raised NotImplementedError: nothing to judge yet."""


class WorkerGone(Exception):
    """The learner's process died, broke the protocol or was stopped; the text says which."""


class ProtocolError(Exception):
    """A message that the protocol does not allow."""
