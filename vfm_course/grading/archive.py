"""Unpacks a zip that nobody vouches for: nothing leaves the folder, nothing grows beyond its limit."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from vfm_course.errors import UserError

_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ValueError, RuntimeError, OverflowError)
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)\s*(\.|$)", re.IGNORECASE)
_LONGEST = 150  # bytes of one name; file systems take 255, and a student's name is made of it again
_DEEPEST = 20  # folders
_MOST_DIRECTORY = 64_000_000  # bytes of the table of contents, which zipfile reads at once


class UnusableArchive(Exception):
    """Why nothing can be unpacked, in one sentence."""


@dataclass(frozen=True)
class Limits:
    """`files` counts the entries of a zip; the sizes are of unpacked files, in millions of bytes."""

    files: int = 5_000
    file_mb: float = 100
    total_mb: float = 500


STUDENT = Limits()
CLASS = Limits(files=50_000, total_mb=20_000)


@dataclass(frozen=True)
class LeftOut:
    """An entry that was not unpacked. `place` is its name with all that is dangerous taken away."""

    place: PurePosixPath
    reason: str
    tampering: bool = False

    @property
    def sentence(self) -> str:
        """For the teacher."""
        if not self.place.parts:
            return f"{self.reason}."
        kind = "Tampering attempt: " if self.tampering else ""
        return f"{kind}{str(self.place)!r} in the zip was left out: {self.reason}."


@dataclass(frozen=True)
class Unpacked:
    """What an archive gave: `renamed` holds the files whose names no system would take, with a sentence each."""

    files: tuple[Path, ...]
    left_out: tuple[LeftOut, ...]
    renamed: dict[Path, str]


def unpack(archive: Path, to: Path, limits: Limits = STUDENT, wanted: Callable[[str], bool] = bool) -> Unpacked:
    """Unpacks the files that `wanted` takes by name into the empty folder `to`; their times are kept.

    Sizes are counted while unpacking: what the archive says of itself may be a lie. Of the other files, empty ones of
    the same name are made, and of empty folders too: they show that a student handed in something else, or nothing.

    Raises:
        UnusableArchive: it is no zip, or its table of contents is broken or too long.
        UserError: the disk is full.
    """
    try:
        _check_directory(archive)
        with zipfile.ZipFile(archive) as box:
            return _Unpacking(box, to, limits, wanted).run()
    except UserError:
        raise
    except _BROKEN as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no zip, or a broken one"
        raise UnusableArchive(f"{archive.name!r} cannot be unpacked: {reason}.") from None


def _check_directory(archive: Path) -> None:
    """Refuses a table of contents that would fill the memory, before zipfile reads it."""
    with archive.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 66_000))
        tail = file.read()
    at, large = tail.rfind(b"PK\5\6"), tail.rfind(b"PK\6\6")
    if at < 0 or len(tail) < at + 22:
        raise zipfile.BadZipFile("no table of contents")
    (size,) = struct.unpack_from("<L", tail, at + 12)
    if large >= 0 and len(tail) >= large + 56:
        (size,) = struct.unpack_from("<Q", tail, large + 40)
    if size > _MOST_DIRECTORY:
        raise UnusableArchive(f"{archive.name!r} cannot be unpacked: it lists too many files.")


class _Unpacking:
    """The work on one archive."""

    def __init__(self, box: zipfile.ZipFile, to: Path, limits: Limits, wanted: Callable[[str], bool]):
        self.box, self.to, self.limits, self.wanted = box, to, limits, wanted
        self.files: list[Path] = []
        self.left_out: list[LeftOut] = []
        self.renamed: dict[Path, str] = {}
        self.left = limits.total_mb * 1e6
        self.taken: dict[str, int] = {}  # name -> number in use, in small letters: some file systems know no others

    def run(self) -> Unpacked:
        entries = self.box.infolist()
        for number, entry in enumerate(entries):
            if number >= self.limits.files:
                reason = f"The zip has {len(entries):,} entries; those after the first {number:,} were left out"
                self.left_out.append(LeftOut(PurePosixPath(), reason))
                break
            name = _decoded(entry)
            place = _harmless(name)
            if reason := _tampering(name, entry):
                self.left_out.append(LeftOut(place, reason, tampering=True))
            elif name.endswith(("/", "\\")):
                self._make(self.to / place)
            elif self.wanted(place.name):
                self._take(entry, name, place)
            elif place.parts and self._make((self.to / place).parent):
                with contextlib.suppress(OSError):
                    self._free(self.to / place).touch()
        return Unpacked(tuple(self.files), tuple(self.left_out), self.renamed)

    def _make(self, folder: Path) -> bool:
        try:
            if len(folder.parts) - len(self.to.parts) <= _DEEPEST:
                folder.mkdir(parents=True, exist_ok=True)
                return True
        except OSError:
            pass  # a file has that name already, or the whole path is too long
        return False

    def _take(self, entry: zipfile.ZipInfo, name: str, place: PurePosixPath) -> None:
        path = self._free(self.to / place)
        reason = _unusable(entry)
        if not reason and not self._make(path.parent):
            reason = "its folder cannot be made"
        if not reason:
            reason = self._write(entry, path)
        if reason:
            self.left_out.append(LeftOut(place, reason))
            return
        self.files.append(path)
        if path.name != PurePosixPath(name.replace("\\", "/")).name:
            self.renamed[path] = f"{name[-80:]!r} in the zip was unpacked as {path.name!r}, which any system takes."

    def _free(self, path: Path) -> Path:
        """`path`, or with a number where the archive has that name twice, for a file or a folder."""
        key = str(path).lower()
        free, number = path, self.taken.get(key, 1)
        while str(free).lower() in self.taken or os.path.lexists(free):
            number += 1
            free = path.with_name(f"{path.stem} ({number}){path.suffix}")
        self.taken[str(free).lower()] = 1
        self.taken[key] = number
        return free

    def _write(self, entry: zipfile.ZipInfo, path: Path) -> str:
        """Unpacks one file. Returns why it could not be, else ""."""
        left = self.limits.file_mb * 1e6
        try:
            with self.box.open(entry) as source, path.open("xb") as sink:
                while chunk := source.read(1 << 16):  # at its end, zipfile compares the checksum
                    left, self.left = left - len(chunk), self.left - len(chunk)
                    if left < 0:
                        raise _TooLarge(f"unpacked it has more than {self.limits.file_mb:g} MB")
                    if self.left < 0:
                        raise _TooLarge(f"unpacked the zip has more than {self.limits.total_mb:g} MB")
                    sink.write(chunk)
        except (*_BROKEN, _TooLarge) as error:
            with contextlib.suppress(OSError):  # its name may be too long to be removed, as it was to be made
                path.unlink()
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise UserError("The disk is full: make room for the unpacked submissions, and grade again.") from None
            return str(error) if isinstance(error, _TooLarge) else "it is broken"
        _set_time(path, entry)
        return ""


class _TooLarge(Exception):
    pass


def _decoded(entry: zipfile.ZipInfo) -> str:
    """The name as it was meant: many programs write UTF-8 without the flag that says so."""
    if entry.flag_bits & 0x800:
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.filename


def _tampering(name: str, entry: zipfile.ZipInfo) -> str:
    """What an honest program never writes."""
    path = name.replace("\\", "/")
    if path.startswith("/") or re.match(r"[A-Za-z]:/", path):
        return "its name begins at the root of the disk"
    if ".." in path.split("/"):
        return "its name leads out of the folder"
    return "it is a link" if stat.S_ISLNK(entry.external_attr >> 16) else ""


def _unusable(entry: zipfile.ZipInfo) -> str:
    if entry.flag_bits & 0x1:
        return "it is encrypted"
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        return "it is no ordinary file"
    # The other methods take as much memory to unpack as the archive asks for.
    return "" if entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) else "its compression is not read"


def _harmless(name: str) -> PurePosixPath:
    """A relative path of names that any system takes; `..` and the root are left away."""
    parts = re.sub(r"^[A-Za-z]:/", "", name.replace("\\", "/")).split("/")
    return PurePosixPath(*[_portable(part) for part in parts if part not in ("", ".", "..")])


def _portable(part: str) -> str:
    clean = "".join("_" if char in '<>:"|?*' or not char.isprintable() else char for char in part)
    clean = clean.rstrip(". ") or "_"
    clean = f"_{clean}" if _RESERVED.match(clean) else clean
    raw = clean.encode("utf-8", "replace")
    if len(raw) <= _LONGEST:
        return clean
    suffix = PurePosixPath(clean).suffix
    mark = hashlib.sha256(part.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{raw[: _LONGEST - 20].decode('utf-8', 'ignore')}-{mark}{suffix if len(suffix) <= 10 else ''}"


def _set_time(path: Path, entry: zipfile.ZipInfo) -> None:
    try:
        seconds = datetime(*entry.date_time).timestamp()
        os.utime(path, (seconds, seconds))
    except (ValueError, OSError, OverflowError):
        os.utime(path, (0, 0))  # many programs write no time, or the month 0; now would make it the newest


def new_folder(unpack_to: Path) -> Path:
    """An empty one below `unpack_to`, which is made if need be."""
    unpack_to.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=unpack_to))


def hidden(name: str) -> bool:
    """What systems and programs put beside the files: `.ipynb_checkpoints`, `__MACOSX` and the like."""
    return name.startswith(".") or name == "__MACOSX"


def plain_file(path: Path) -> bool:
    """A file and no link to one."""
    return path.is_file() and not path.is_symlink()


def plain_folder(path: Path) -> bool:
    """A folder and no link to one."""
    return path.is_dir() and not path.is_symlink()


def listing(folder: Path) -> list[Path]:
    """What is in a folder, sorted, without what is hidden."""
    return sorted(path for path in folder.iterdir() if not hidden(path.name))
