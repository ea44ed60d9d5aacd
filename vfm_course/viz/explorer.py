"""Widgets for JupyterLab and for Colab's ipywidgets 7; each only calls a function that can be called as it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from PIL import Image

from vfm_course.errors import UserError
from vfm_course.toolkit import TEMPLATE, parse_labels
from vfm_course.viz.charts import label_bars

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
        The box that is shown: picture, labels, template and the bars.
    """
    import ipywidgets as widgets
    from IPython.display import display

    known = known_words or frozenset()
    wide = widgets.Layout(width="34em")
    late = {"continuous_update": False, "layout": wide}  # Enter ends the typing, not every letter
    choices = {
        "name": widgets.Dropdown(options=list(names), description="picture", layout=wide),
        "typed": widgets.Text(labels, description="labels", **late),
        "template": widgets.Text(TEMPLATE, description="template", **late),
    }

    def show(name: str, typed: str, template: str) -> None:
        number = list(names).index(name)
        try:
            if template.count("{}") != 1:
                raise UserError("The template must hold {} once, where the label goes.")
            parsed = parse_labels(typed, "clip")
            unknown = [word for word in re.findall(r"\w+", f"{typed} {template}".lower()) if word not in known]
            if known_words is not None and unknown:
                words = ", ".join(sorted(known))
                raise UserError(f"The pocket model cannot read {', '.join(unknown)}; it knows {words}.")
            label_bars([images[number]], [score(number, parsed, template)], parsed, most=8, title=name)
        except UserError as error:  # half-typed input is no reason for a traceback
            print(error)

    box = widgets.VBox([*choices.values(), widgets.interactive_output(show, choices)])
    display(box)
    return box
