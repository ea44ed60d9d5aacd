"""How a picture file says that it is drawn and not a photograph."""

from pathlib import Path

MARKER = b"vfm_course drawn world"  # the comment of each JPEG that `vfm-course draw` writes


def is_drawn(path: Path) -> bool:
    """Whether a file is a picture that `vfm-course draw` wrote."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.info.get("comment") == MARKER
    except OSError:
        return False
