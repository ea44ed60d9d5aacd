"""Widgets for JupyterLab and for Colab's ipywidgets 7; each only calls a function that can be called as it is."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from PIL import Image

from vfm_course.errors import UserError
from vfm_course.families.texts import TEMPLATE, check_template, unknown_words
from vfm_course.toolkit import parse_labels
from vfm_course.viz.charts import draw_label_bars

if TYPE_CHECKING:
    import ipywidgets as widgets


def label_explorer(
    images: Sequence[Image.Image],
    names: Sequence[str],
    score: Callable,
    labels: str = "a cat, a dog, a car",
    known_words: frozenset[str] | None = None,
) -> widgets.VBox:
    """Choose a picture, type labels and a template, and see the scores.

    Args:
        score: `score(number, labels, template)` -> scores (L,) of picture `number`.
        known_words: all words that the model can read; None if it reads any.

    Returns:
        The box, to be the last line of a cell: picture, labels, template, a message if one of them cannot be used, and
        the bars.
    """
    import ipywidgets as widgets

    wide = widgets.Layout(width="34em")
    late = {"continuous_update": False, "layout": wide}  # Enter ends the typing, not every letter
    choices = {
        "name": widgets.Dropdown(options=list(names), description="picture", layout=wide),
        "typed": widgets.Text(labels, description="labels", **late),
        "template": widgets.Text(TEMPLATE, description="template", **late),
    }

    message = widgets.HTML()
    # Not an Output widget: programs that run notebooks have to steer those, and now and then hang over it.
    picture = widgets.Image(format="png", layout=widgets.Layout(max_width="100%"))

    def show(name: str, typed: str, template: str) -> None:
        number = list(names).index(name)
        try:
            check_template(template)
            parsed = parse_labels(typed, "clip")
            unknown = unknown_words(f"{typed} {template}", known_words)
            if unknown:
                words = ", ".join(sorted(known_words))
                raise UserError(f"The pocket model cannot read {', '.join(unknown)}; it knows {words}.")
            figure = draw_label_bars([images[number]], [score(number, parsed, template)], parsed, most=8, title=name)
        except UserError as error:  # half-typed input is no reason for a traceback
            message.value = html.escape(str(error))
            return
        message.value, picture.value = "", _png(figure)

    def changed(_: object) -> None:
        show(**{key: widget.value for key, widget in choices.items()})

    for widget in choices.values():
        widget.observe(changed, "value")
    changed(None)
    return widgets.VBox([*choices.values(), message, picture])


def _png(figure: plt.Figure) -> bytes:
    """The figure as a file's bytes; it is closed, so that it is not shown a second time below the cell."""
    content = io.BytesIO()
    figure.savefig(content, format="png")
    plt.close(figure)
    return content.getvalue()
