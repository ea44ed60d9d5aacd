"""A figure that grows while something learns, in JupyterLab, in Colab and in a plain notebook alike."""

from __future__ import annotations

import io
import time

import matplotlib.pyplot as plt
from IPython.display import Image, display

from vfm_course.viz.adapting import COLOURS

EVERY = 1.5  # seconds between two drawings
SMOOTH = 20  # steps that a point of the line is the mean of


class Live:
    """Curves of a run: give its `watch` to `pretrain`, and call `close()` at the end.

    Args:
        images: how many the run will see, for the axis.
        keys: the step's numbers to be drawn, a panel each, with what the axis says.
        title: names the run; `begin` starts another one in the same panels.
        smooth: how many numbers a point of the line is the mean of.
    """

    def __init__(self, images: int, keys: dict[str, str], title: str, smooth: int = SMOOTH):
        self.images, self.keys, self.smooth = images, keys, smooth
        self.runs: dict[str, list[dict]] = {}
        self.handle = None
        self.begin(title)

    def begin(self, title: str) -> None:
        """What is watched from now on is another run's."""
        self.title, self.runs[title], self.drawn = title, [], time.perf_counter()

    def watch(self, images: int, numbers: dict) -> None:
        """Takes one step's numbers and draws when it is time."""
        self.runs[self.title].append(numbers | {"images": images})
        if time.perf_counter() - self.drawn > EVERY:
            self.show()

    def show(self) -> None:
        """Draws all that has been watched, in the place of the drawing before."""
        figure = self.figure()
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=80)
        plt.close(figure)
        picture = Image(buffer.getvalue())
        if self.handle is None:
            self.handle = display(picture, display_id=True)
        else:
            self.handle.update(picture)
        self.drawn = time.perf_counter()

    close = show

    def figure(self) -> plt.Figure:
        """The curves as they are now."""
        figure, axes = plt.subplots(
            1, len(self.keys), figsize=(4.6 * len(self.keys), 3.1), layout="constrained", squeeze=False
        )
        for axis, (key, what) in zip(axes[0], self.keys.items(), strict=True):
            for (title, steps), colour in zip(self.runs.items(), COLOURS, strict=False):
                if not steps:
                    continue
                images, values = [step["images"] for step in steps], [step[key] for step in steps]
                axis.plot(images, values, color=colour, alpha=0.25, linewidth=0.8)
                means = [
                    sum(values[max(0, end - self.smooth) : end]) / min(self.smooth, end)
                    for end in range(1, len(values) + 1)
                ]
                axis.plot(images, means, color=colour, label=title)
            axis.set(xlim=(0, self.images), xlabel="images seen", ylabel=what)
            axis.grid(alpha=0.3)
        axes[0, -1].legend(frameon=False, fontsize=8)
        return figure
