"""What can be embedded: files on disk, or anything that hands out pictures one by one, under one face."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from vfm_course.errors import UserError
from vfm_course.features.cache import content_key
from vfm_course.features.images import (
    LONGEST,
    MOST_PIXELS,
    Unreadable,
    fault,
    find_images,
    read_picture,
    reduced,
    to_rgb,
)
from vfm_course.world.marker import is_drawn


@dataclass(frozen=True)
class Item:
    """One picture before it is decoded: `key` names its content, `read(side)` gives it in RGB for `side` pixels.

    `label` is what the dataset says of it, or None; `drawn` whether it comes from the drawn world.
    """

    key: bytes
    read: Callable[[int], Image.Image]
    label: Any = None
    drawn: Callable[[], bool] = lambda: False


class Files:
    """Pictures on disk, `paths` called `names`."""

    def __init__(self, paths: Sequence[Path], names: Sequence[str] | None = None):
        self.paths = list(paths)
        self.names = list(names) if names else [readable(str(path)) for path in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    def item(self, at: int) -> Item:
        """Hashes the file.

        Raises:
            OSError: it cannot be read.
        """
        return _file(self.paths[at])


class Items:
    """Whatever has a length and gives a picture, or (picture, label, ...), by its number."""

    paths = None

    def __init__(self, dataset: Any):
        self.dataset = dataset
        self.names = _Numbers(len(dataset))

    def __len__(self) -> int:
        return len(self.names)

    def item(self, at: int) -> Item:
        """Fetches one; whatever the dataset raises comes through.

        Raises:
            Unreadable: what it gave is no picture.
        """
        value, label = self.dataset[at], None
        if isinstance(value, dict) and "image" in value:  # as the hub's datasets give them
            value, label = value["image"], value.get("label")
        elif isinstance(value, tuple | list) and value:
            value, label = value[0], value[1] if len(value) > 1 else None
        if getattr(label, "ndim", 1) == 0:  # a number of numpy's or torch's
            label = label.item()
        if isinstance(value, str | Path):
            return _file(Path(value), label)
        image = upright(as_image(value))
        key = hashlib.sha256(f"pixels {image.size}".encode() + image.tobytes()).digest()
        return Item(key, lambda side: reduced(image, side), label)


class _Numbers(Sequence):
    """`"0"`, `"1"`, … without a list of them."""

    def __init__(self, n: int):
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, at: int) -> str:
        return str(range(self.n)[at])


def source_of(source: Any) -> Files | Items:
    """A folder, a list of paths, or pictures as `embed` takes them.

    Raises:
        UserError: an empty or missing folder, an empty list, or nothing that holds pictures.
    """
    if isinstance(source, str | Path):
        folder = Path(source)
        paths = find_images(folder)
        return Files(paths, [name_in(path, folder) for path in paths])
    if isinstance(source, Image.Image) or not (hasattr(source, "__len__") and hasattr(source, "__getitem__")):
        raise UserError(
            f"A {type(source).__name__} cannot be embedded: give a folder, a list of paths or pictures, or a dataset "
            "with a length and numbered items."
        )
    if getattr(source, "ndim", 4) != 4:
        raise UserError(f"An array of shape {tuple(source.shape)} is no set of pictures: give (N, height, width, 3).")
    if len(source) == 0:
        raise UserError("There is no picture to look at: give at least one.")
    if isinstance(source, list | tuple) and all(isinstance(one, str | Path) for one in source):
        return Files([Path(one) for one in source])
    return Items(source)


def as_image(value: Any) -> Image.Image:
    """A PIL image, a uint8 array (H, W[, 3 or 4]), or a tensor (3, H, W), uint8 or from 0 to 1, as a PIL image.

    Raises:
        Unreadable: it is none of these.
    """
    if isinstance(value, Image.Image):
        return value
    if type(value).__module__.split(".")[0] == "torch" and hasattr(value, "permute"):
        value = (value.permute(1, 2, 0) if value.ndim == 3 else value).detach().cpu().numpy()
    if not isinstance(value, np.ndarray):
        raise Unreadable(f"no picture but a {type(value).__name__}")
    if value.ndim == 3 and value.shape[2] == 1:
        value = value[:, :, 0]
    if value.ndim not in (2, 3) or value.size == 0 or (value.ndim == 3 and value.shape[2] not in (3, 4)):
        raise Unreadable(f"no picture but an array of shape {value.shape}")
    if np.issubdtype(value.dtype, np.floating):
        if not (value.min() >= 0 and value.max() <= 1):
            raise Unreadable("numbers below 0 or above 1: pictures are to be given before they are normalised")
        value = (value * 255).round().astype(np.uint8)
    if value.dtype != np.uint8:
        raise Unreadable(f"no picture but numbers of type {value.dtype}")
    return Image.fromarray(np.ascontiguousarray(value))


def upright(picture: Image.Image) -> Image.Image:
    """RGB, turned as its EXIF says, by the rules of `read_picture`.

    Raises:
        Unreadable: enormous, a strip, or damaged.
    """
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise Unreadable(f"enormous: {width} x {height} pixels")
    if max(width, height) > LONGEST * min(width, height):
        raise Unreadable(f"a strip: {width} x {height} pixels")
    try:
        return ImageOps.exif_transpose(to_rgb(picture))
    except Exception as error:  # a lazily opened file that is damaged raises nearly anything
        raise Unreadable(f"damaged: {_first_line(error)}") from None


def reason(error: Exception) -> str:
    """Why an item was skipped, in a few words."""
    if isinstance(error, Unreadable):
        return str(error)
    return fault(error) if isinstance(error, OSError) else f"{type(error).__name__}: {_first_line(error)}"


def readable(name: str) -> str:
    """A file's name as text: bytes that are none become marks."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def name_in(path: Path, folder: Path) -> str:
    """A file's name below a folder, as text."""
    return readable(path.relative_to(folder).as_posix())


def _file(path: Path, label: Any = None) -> Item:
    return Item(content_key(path), lambda side: read_picture(path, side).image, label, lambda: is_drawn(path))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
