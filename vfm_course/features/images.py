"""Finding and reading the pictures of a real folder: every common kind, upright, in RGB, and no larger than needed."""

import os
import threading
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vfm_course.errors import UserError
from vfm_course.world.marker import MARKER

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"}
MOST_PIXELS = 100_000_000  # of what has to be decoded; a JPEG is decoded at a fraction of its size
MANY_PIXELS = 24_000_000  # more are read by one thread at a time: 16 bits with their copies take 0.5 GB
BIG = threading.Lock()
LONGEST = 100  # times the short side: a processor that enlarges the short side of more would fill the memory
# What is too large is refused below, in the course's own words.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class Unreadable(Exception):
    """A file that is no usable picture; its text says why."""


@dataclass(frozen=True)
class Picture:
    """A decoded file: `image` in RGB, upright; `drawn` when it comes from the drawn world."""

    image: Image.Image
    drawn: bool


def find_images(folder: Path) -> list[Path]:
    """All picture files below `folder`, hidden ones left out, in the order of their names.

    Raises:
        UserError: the folder is missing, is a file, cannot be read or holds no picture.
    """
    if not folder.exists():
        raise UserError(f"There is no folder {str(folder)!r}.")
    if not folder.is_dir():
        raise UserError(f"{str(folder)!r} is a file: name the folder that holds the pictures.")
    problems: list[OSError] = []
    found = []
    for place, inner, names in os.walk(folder, onerror=problems.append):
        inner[:] = [name for name in inner if not name.startswith(".")]
        found += [
            Path(place, name) for name in names if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    if problems and not found:
        raise UserError(f"{str(folder)!r} cannot be read: {problems[0].strerror}.")
    if not found:
        raise UserError(f"{str(folder)!r} holds no pictures: no file that ends in {', '.join(sorted(SUFFIXES))}.")
    return sorted(found, key=lambda path: (str(path.relative_to(folder)).casefold(), str(path)))


def read_picture(path: Path, side: int) -> Picture:
    """Decodes a file for a model that looks at `side` pixels: what is much larger is reduced on the way.

    The first frame of an animation, turned as its EXIF says; transparency over white; 16 bits to 8; CMYK to RGB.

    Raises:
        Unreadable: empty, damaged, enormous, or no picture at all.
    """
    try:
        with Image.open(path) as picture:
            drawn = picture.info.get("comment") == MARKER
            picture.draft("RGB", (2 * side, 2 * side))  # JPEG only: decodes at 1/2, 1/4 or 1/8, never below this
            if picture.width * picture.height > MOST_PIXELS:
                raise Unreadable(f"enormous: {picture.width} x {picture.height} pixels")
            with BIG if picture.width * picture.height > MANY_PIXELS else nullcontext():
                picture.load()
                image = ImageOps.exif_transpose(to_rgb(reduced(picture, side)))
    except Unreadable:
        raise
    except Image.DecompressionBombError:
        raise Unreadable("enormous: more pixels than can be read safely") from None
    except UnidentifiedImageError:
        raise Unreadable("empty" if path.stat().st_size == 0 else "not a picture, whatever its name says") from None
    except (FileNotFoundError, PermissionError) as error:
        raise Unreadable(fault(error)) from None
    except Exception as error:  # a damaged file raises nearly anything: OSError, SyntaxError, struct.error …
        raise Unreadable(f"damaged: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from None
    if max(image.size) > LONGEST * min(image.size):
        raise Unreadable(f"a strip: {image.width} x {image.height} pixels")
    return Picture(reduced(image, side), drawn)


def fault(error: OSError) -> str:
    """Why a file cannot be read, in a few words."""
    if isinstance(error, FileNotFoundError):
        return "gone while the folder was read"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    return f"cannot be read: {error.strerror or error}"


def reduced(picture: Image.Image, side: int) -> Image.Image:
    """Averages pixels where there are many more than needed; before any copy is made, for the sake of memory."""
    factor = min(picture.size) // (2 * side)
    if factor < 2 or picture.mode not in ("L", "RGB", "LA", "RGBA", "CMYK") or "transparency" in picture.info:
        return picture
    exif = picture.getexif()
    small = picture.reduce(factor)
    if 0x0112 in exif:
        small.getexif()[0x0112] = exif[0x0112]
    return small


def to_rgb(picture: Image.Image) -> Image.Image:
    """Any mode to RGB, keeping the EXIF turn. Pillow alone would clip 16 bits to white and show hidden colours."""
    exif = picture.getexif()
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture, dtype=np.float32)
        # 16-bit files use the whole range; 32-bit and float files have none that is agreed on
        top = 65535 if picture.mode.startswith("I;16") or values.max() > 255 else 255 if values.max() > 1 else 1
        top = max(top, float(values.max()))
        picture = Image.fromarray((values.clip(0, top) / top * 255).astype(np.uint8))
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    image = picture.convert("RGB")
    if 0x0112 in exif:  # orientation; convert keeps it for some formats only
        image.getexif()[0x0112] = exif[0x0112]
    return image
