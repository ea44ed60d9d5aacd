"""The class at a glance: which exercises were solved, which known mistakes were common, what has to be looked at."""

from __future__ import annotations

import base64
import html
import io
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vfm_course.exercises.verdict import RIGHT, UNATTEMPTED, WRONG
from vfm_course.grading.assignment import Assignment
from vfm_course.grading.feedback import inline, page
from vfm_course.grading.result import MISSING, OUT_OF_TIME, WRITTEN, Graded
from vfm_course.grading.tables import number
from vfm_course.whole_file import whole_text

_SHARES = ((RIGHT, "#2e7d32"), (WRITTEN, "#1565c0"), (WRONG, "#c62828"), (OUT_OF_TIME, "#6d4c41"),
           (UNATTEMPTED, "#f0b95c"), (MISSING, "#bdbdbd"))  # fmt: skip
MOST_MISTAKES = 10


def shares(graded: Sequence[Graded], assignment: Assignment) -> dict[str, Counter[str]]:
    """Exercise id -> how many submissions have each status."""
    found = {entry.id: Counter() for entry in assignment.entries}
    for one in graded:
        for result in one.results:
            found[result.id][result.status] += 1
    return found


def common_mistakes(graded: Sequence[Graded]) -> list[tuple[str, str, int]]:
    """(exercise, known mistake, how many made it), the most common first."""
    counted = Counter((result.id, result.mistake) for one in graded for result in one.results if result.mistake)
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return [(each, says, count) for (each, says), count in ranked[:MOST_MISTAKES]]


def plot(graded: Sequence[Graded], assignment: Assignment) -> bytes:
    """A PNG: a bar an exercise, divided by status; and how the totals are spread."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found = shares(graded, assignment)
    height = 1.6 + 0.32 * len(found)
    figure = Figure(figsize=(9, height + 2.2), layout="constrained")
    bars, spread = figure.subplots(2, 1, height_ratios=[height, 2.2])
    left = [0] * len(found)
    for status, colour in _SHARES:
        counts = [each[status] for each in found.values()]
        if any(counts):
            bars.barh(list(found), counts, left=left, color=colour, label=status)
            left = [before + count for before, count in zip(left, counts, strict=True)]
    bars.invert_yaxis()
    bars.set_xlabel("submissions")
    bars.set_ylabel("exercise")
    bars.legend(loc="upper center", bbox_to_anchor=(0.5, 1.0 + 0.9 / height), ncols=6, frameon=False)
    step = max(1, math.ceil(assignment.total / 40))
    edges = [step * (number - 0.5) for number in range(int(assignment.total // step) + 3)]  # a bar a point
    spread.hist([one.points for one in graded], bins=edges, color="#1565c0", rwidth=0.9)
    spread.set_xlim(edges[0], assignment.total + step / 2)
    spread.xaxis.get_major_locator().set_params(integer=True)
    spread.yaxis.get_major_locator().set_params(integer=True)
    spread.set_xlabel(f"points of {number(assignment.total)}")
    spread.set_ylabel("submissions")
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    return picture.getvalue()


def report(graded: Sequence[Graded], assignment: Assignment, isolation: Sequence[str]) -> str:
    """The page of the class. `isolation` says what was tested to hold on the machine that graded."""
    totals = [one.points for one in graded]
    middle = f"median {number(statistics.median(totals))}, " if totals else ""
    parts = [
        f"<h1>{html.escape(assignment.name)}: the class</h1>",
        f"<p>{len(graded)} submissions, {middle}of {number(assignment.total)} points.</p>",
    ]
    if graded:
        picture = base64.b64encode(plot(graded, assignment)).decode()
        alt = "A bar for each exercise, divided into right, wrong and not attempted, and a histogram of the totals"
        parts.append("<p>What became of each exercise, and how many have how many points:</p>")
        parts.append(f'<img alt="{alt}" style="max-width: 100%" src="data:image/png;base64,{picture}">')
    rows = [f"<tr><td>{count}</td><td>{html.escape(each)}</td><td>{inline(says)}</td></tr>"
            for each, says, count in common_mistakes(graded)]  # fmt: skip
    if rows:
        parts.append("<h2>Common mistakes</h2><table><tr><th>how many</th><th>exercise</th><th>mistake</th></tr>")
        parts.append("".join(rows) + "</table>")
    looks = [(one.student, what) for one in graded
             for what in (*filter(None, [one.problem]), *one.tampering, *one.notes)]  # fmt: skip
    if looks:
        parts.append("<h2>To be looked at</h2><table><tr><th>student</th><th>what</th></tr>")
        parts.append("".join(f"<tr><td>{html.escape(who)}</td><td>{inline(what)}</td></tr>" for who, what in looks))
        parts.append("</table>")
    parts.append("<h2>Isolation</h2>" + "".join(f"<p>{inline(sentence)}</p>" for sentence in isolation))
    return page(f"{assignment.name}: the class", "\n".join(parts))


def write_report(graded: Sequence[Graded], assignment: Assignment, isolation: Sequence[str], path: Path) -> None:
    """Writes `report`."""
    with whole_text(path) as file:
        file.write(report(graded, assignment, isolation))
