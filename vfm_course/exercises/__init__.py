"""The exercise engine: `from vfm_course.exercises import exercise, hint, solution, progress, choice, written, assess`.

Importing it loads no torch; the checks of a notebook load at the first exercise of that notebook.
"""

from vfm_course.exercises.questions import assess, choice, written
from vfm_course.exercises.session import exercise, hint, progress, solution

__all__ = ["assess", "choice", "exercise", "hint", "progress", "solution", "written"]
