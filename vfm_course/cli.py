"""The command `vfm-course`."""

import importlib
import importlib.util
import io
import sys

import typer

from vfm_course import __version__
from vfm_course.errors import UserError

# One module each in vfm_course.commands, with a function of the same name. A module that is not there yet is left out.
COMMANDS = (
    *("start", "doctor", "draw", "models", "toolkit", "duplicates", "pretrain", "brand", "bundle"),
    *("check", "grade", "autograder"),
)

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Vision foundation models, built and measured.")
for name in COMMANDS:
    module = f"vfm_course.commands.{name}"
    if importlib.util.find_spec(module):
        app.command(name)(getattr(importlib.import_module(module), name))


@app.callback(invoke_without_command=True)
def version(show: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    """Vision foundation models, built and measured."""
    if show:
        typer.echo(__version__)
        raise typer.Exit()


def main() -> None:
    """Runs the command line; a `UserError` becomes one sentence and exit status 2, Ctrl-C one sentence and 130."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a pipe's encoding may lack letters of a file's name
            stream.reconfigure(errors="replace")
    try:
        status = app(standalone_mode=False)
    except (UserError, typer.BadParameter.__mro__[1]) as error:
        # The second is typer's UsageError, which is public in one version and private in the next.
        sentence = str(error) if isinstance(error, UserError) else error.format_message()
        if sentence:  # empty when the command was given without anything: then the help was printed
            print(sentence, file=sys.stderr)
        if sentence and not isinstance(error, UserError):
            print("`vfm-course --help`, or `--help` after a command's name, says what can be given.", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        print("Stopped.", file=sys.stderr)
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
