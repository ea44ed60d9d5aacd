"""The one exception whose text is meant for a person."""


class UserError(ValueError):
    """What is wrong and what to do about it, in one sentence.

    The command line prints the sentence and exits with status 2; a notebook shows the sentence alone.
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of the traceback."""
        return [str(self)]
