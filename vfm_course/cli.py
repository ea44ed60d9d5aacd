"""The command `vfm-course`."""

import sys

import typer

from vfm_course import __version__
from vfm_course.commands.draw import draw
from vfm_course.commands.start import start
from vfm_course.errors import UserError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Vision foundation models, built and measured.")
for command in (start, draw):
    app.command()(command)


@app.callback(invoke_without_command=True)
def version(show: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    if show:
        typer.echo(__version__)
        raise typer.Exit()


def main() -> None:
    """Runs the command line; a `UserError` becomes one sentence and exit status 2."""
    try:
        app()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
