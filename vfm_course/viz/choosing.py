"""A walk through the decision tree, question by question; where it ends, the plain call that gives the same."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vfm_course.families.choose import Choice, Leaf, Question, choose, walk
from vfm_course.families.systems import SYSTEMS

if TYPE_CHECKING:
    import ipywidgets as widgets


def asked(answers: Sequence[bool]) -> list[tuple[Question, bool]]:
    """The questions that answers in turn have been given to, from the root.

    Raises:
        UserError: there are more answers than questions.
    """
    walk(answers)
    return [(walk(answers[:number]), answer) for number, answer in enumerate(answers)]


def plain_call(answers: Sequence[bool]) -> str:
    """The call that comes to the same leaf, such as `choose(language=True, masks=True)`: what is not stated is no."""
    return f"choose({', '.join(f'{question.need}=True' for question, answer in asked(answers) if answer)})"


def chosen(answers: Sequence[bool]) -> Choice:
    """What `plain_call` answers. With too few answers, as if all that is still to be asked were no."""
    return choose(**{question.need: True for question, answer in asked(answers) if answer})


@dataclass
class Walk:
    """Answers so far, and the node they lead to."""

    answers: list[bool] = field(default_factory=list)

    @property
    def node(self) -> Question | Leaf:
        return walk(self.answers)

    def answer(self, yes: bool) -> None:
        """Goes one question on.

        Raises:
            UserError: the end was reached already; the answer is not kept.
        """
        walk([*self.answers, yes])
        self.answers.append(yes)

    def back(self) -> None:
        """Takes the last answer back, if there is one."""
        del self.answers[-1:]

    def restart(self) -> None:
        self.answers.clear()


def choice_walker() -> widgets.VBox:
    """Answer questions by Yes and No until a family is named.

    Returns:
        The box, to be the last line of a cell: the answers so far, the question or what is chosen, and the buttons
        Yes, No, Back and Start again.
    """
    import ipywidgets as widgets

    taken = Walk()
    so_far, shown = widgets.HTML(), widgets.HTML()
    yes, no, back, restart = (widgets.Button(description=text) for text in ("Yes", "No", "Back", "Start again"))
    yes.button_style = no.button_style = "primary"

    def show() -> None:
        end = isinstance(taken.node, Leaf)
        so_far.value = _told(taken.answers)
        shown.value = _ended(taken.answers) if end else f"<b>{html.escape(taken.node.text)}</b>"
        yes.disabled = no.disabled = end
        back.disabled = restart.disabled = not taken.answers

    def does(button: widgets.Button, act) -> None:
        def clicked(_: object) -> None:
            act()
            show()

        button.on_click(clicked)

    does(yes, lambda: taken.answer(True))
    does(no, lambda: taken.answer(False))
    does(back, taken.back)
    does(restart, taken.restart)
    show()
    return widgets.VBox([so_far, shown, widgets.HBox([yes, no, back, restart])])


def _told(answers: Sequence[bool]) -> str:
    """The questions answered, as a numbered list; empty before the first answer."""
    lines = [f"<li>{html.escape(question.text)} <b>{'yes' if answer else 'no'}</b></li>"
             for question, answer in asked(answers)]  # fmt: skip
    return f"<ol>{''.join(lines)}</ol>" if lines else ""


def _ended(answers: Sequence[bool]) -> str:
    """What was chosen, why, what else would do, and the call."""
    choice = chosen(answers)
    titles = " with ".join(SYSTEMS[name].title for name in choice.systems)
    rows = (f"<b>Take {html.escape(titles)}</b>", f"Because {html.escape(choice.reason)}.",
            f"What else: {html.escape(choice.instead)}",
            f"The same by a call: <code>{html.escape(plain_call(answers))}</code>")  # fmt: skip
    return "".join(f"<p>{row}</p>" for row in rows)
