"""The families of giants: what there is to borrow, and one call to load it."""

from vfm_course.families.load import Loaded, load

__all__ = ["Loaded", "load"]
