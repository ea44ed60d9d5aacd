"""The families of giants: what there is to borrow, and one call to load it."""

from vfm_course.families.anatomy import Anatomy, anatomy
from vfm_course.families.choose import Choice, choose
from vfm_course.families.load import Loaded, load

__all__ = ["Anatomy", "Choice", "Loaded", "anatomy", "choose", "load"]
