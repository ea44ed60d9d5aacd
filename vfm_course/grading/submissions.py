"""Finds who handed in what, in a folder or a zip as the learning platforms write them. Nothing is executed."""

from __future__ import annotations

import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from zoneinfo import ZoneInfo

from vfm_course.errors import UserError
from vfm_course.grading import archive
from vfm_course.grading.archive import LeftOut, UnusableArchive, hidden, listing, plain_file, plain_folder

_CANVAS = re.compile(r"(?P<name>[^_]+)(?P<late>_LATE)?_(?P<id>\d+)_(?P<upload>\d+)_.")
_MOODLE = re.compile(r"(?P<name>.+)_(?P<id>\d+)_assignsubmission_(?P<kind>[a-z]+)(_|$)")
_GRADESCOPE = re.compile(r"submission_\d+$")
_METADATA, _TIMESTAMP = "submission_metadata.yml", "timestamp.txt"  # of Gradescope, of nbgrader


@dataclass(frozen=True)
class Submission:
    """What one student handed in. `submitted` is None where the platform does not say when: a file's own time is no
    evidence, since copying changes it. `late` is what the platform says, `problem` why nothing can be graded, else "".
    Where there is no notebook, `path` is what was found instead."""

    student: str
    path: Path
    submitted: datetime | None
    notes: tuple[str, ...]
    late: bool
    problem: str


@dataclass(frozen=True)
class _Owner:
    """Whose a file is. `mark` tells people of the same name apart; `order` sorts one student's uploads."""

    name: str
    mark: str
    late: bool = False
    order: tuple[int, int] = (0, 0)
    submitted: datetime | None = None


@dataclass
class _Handed:
    """All that was found of one student: notebooks with what sorts them by age, and names of other files."""

    place: Path
    notebooks: list[tuple[tuple, Path, _Owner]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def find_submissions(source: Path, unpack_to: Path) -> list[Submission]:
    """One submission for each student, sorted by name.

    Args:
        source: a folder or a zip: one notebook, zip or folder for each student, or a download from Canvas, Moodle,
            Gradescope or nbgrader.
        unpack_to: a folder, made if need be, where zips are unpacked; it has to last as long as the submissions.

    Raises:
        UserError: there is nothing to grade, or no room to unpack it; the sentence says what to do.
    """
    unpack_to = unpack_to.absolute()
    try:
        root, left_out = _opened(source.absolute(), unpack_to)
        collector = _Collector(_inner_root(root, source.stem), unpack_to)
        collector.collect()
    except OSError as error:
        raise UserError(f"{str(source)!r} cannot be read: {error.strerror or error}; check its permissions.") from None
    for one in left_out:
        collector.leave_out(one, root)
    if not collector.handed:
        raise UserError(f"{str(source)!r} holds no submissions: put one .ipynb, zip or folder there for each student.")
    return collector.submissions()


def _opened(source: Path, unpack_to: Path) -> tuple[Path, tuple[LeftOut, ...]]:
    """The folder to look into, and what of a zip could not be unpacked."""
    if not source.exists():
        raise UserError(f"{str(source)!r} does not exist: name the folder or the zip with the submissions.")
    if _notebook(source.name) and source.is_file():
        raise UserError(f"{source.name!r} is one notebook: name the folder that it lies in, or use `vfm-course check`.")
    if source.is_dir():
        within = [path for path in listing(source) if path != unpack_to]
        if len(within) != 1 or not _zip(within[0].name) or not plain_file(within[0]):
            return source, ()
        source = within[0]  # a platform's download, put into a folder
    try:
        to = archive.new_folder(unpack_to)
        return to, archive.unpack(source, to, archive.CLASS, _of_interest).left_out
    except UnusableArchive as error:
        raise UserError(f"{str(error)[:-1]}; name a folder or a zip with the submissions.") from None


def _notebook(name: str) -> bool:
    return name.lower().endswith(".ipynb")


def _zip(name: str) -> bool:
    return name.lower().endswith(".zip")


def _of_interest(name: str) -> bool:
    return not hidden(name) and (_notebook(name) or _zip(name) or name in (_METADATA, _TIMESTAMP))


def _inner_root(root: Path, stem: str) -> Path:
    """The folder that holds the students: many zips have all of it in one more folder, nbgrader in `submitted`."""
    for _ in range(5):
        if plain_folder(root / "submitted"):
            return root / "submitted"
        folders = [path for path in listing(root) if plain_folder(path)]
        files = [path for path in listing(root) if not plain_folder(path) and _of_interest(path.name)]
        if root.name == "submitted" or files or len(folders) != 1 or not _holds_class(folders[0], stem):
            return root
        root = folders[0]
    return root


def _holds_class(folder: Path, stem: str) -> bool:
    """Whether the only folder is the class's and not one student's; in doubt the class's, so that nobody is lost."""
    if _MOODLE.match(folder.name) or _GRADESCOPE.match(folder.name):
        return False
    inside = listing(folder)
    files = [path for path in inside if _notebook(path.name) or _zip(path.name) or _CANVAS.match(path.name)]
    folders = [path for path in inside if plain_folder(path) and (not files or any(path.rglob("*.ipynb")))]
    many = len(files) + len(folders) > 1 or _METADATA in [path.name for path in inside]
    return many or (folder.name == stem and bool(files or folders))


class _Collector:
    """Walks through the class's folder and sorts what is there by student."""

    def __init__(self, root: Path, unpack_to: Path):
        self.root, self.unpack_to = root, unpack_to
        self.handed: dict[tuple[str, str], _Handed] = {}
        self.metadata = _gradescope_metadata(root / _METADATA)

    def collect(self) -> None:
        for path in self._walk():
            place = PurePosixPath(path.relative_to(self.root).as_posix())
            owner = self._owner(place)
            if owner is not None:
                handed = self.handed.setdefault((owner.name, owner.mark), _Handed(self.root / place.parts[0]))
                self._add(handed, owner, path, place.parts[0])

    def _walk(self) -> Iterator[Path]:
        """Files, links and folders, parents first; never into a link, nor into what is unpacked."""
        waiting = [self.root]
        while waiting:
            folder = waiting.pop()
            try:
                inside = [path for path in listing(folder) if path != self.unpack_to]
            except OSError:
                if folder == self.root:
                    raise
                continue  # a student's: listed without a notebook
            yield from inside
            waiting += reversed([path for path in inside if plain_folder(path)])

    def _owner(self, place: PurePosixPath) -> _Owner | None:
        """Whose a path within the class's folder is; None if nobody's, such as a README beside the students."""
        top = place.parts[0]
        folder = len(place.parts) > 1 or (self.root / top).is_dir()
        if moodle := _MOODLE.match(top):
            return _Owner(moodle["name"], moodle["id"])
        if _GRADESCOPE.match(top) and folder:
            name, sid, created = self.metadata.get(top, ("", "", None))
            return _Owner(name or top, sid or top, submitted=created)
        if folder:
            return _Owner(top, "folder", submitted=_nbgrader_time((self.root / place).parent / _TIMESTAMP))
        if canvas := _CANVAS.match(top):  # the longer name is the later one: Canvas appends -1, -2 …
            order = int(canvas["upload"]), len(top)
            return _Owner(canvas["name"], canvas["id"], bool(canvas["late"]), order)
        return _Owner(place.stem, place.suffix[1:].lower()) if _notebook(top) or _zip(top) else None

    def _add(self, handed: _Handed, owner: _Owner, path: Path, top: str) -> None:
        if (moodle := _MOODLE.match(top)) and moodle["kind"] != "file":
            return  # text typed into a form: it says only that the student exists
        if path.is_symlink():
            handed.place = self.root  # not the link, which whoever opens it would follow
            handed.problems.append(f"{_shown(path.name)!r} is a link, which is not followed")
        elif _notebook(path.name) and not path.is_dir():
            self._add_notebook(handed, owner, path)
        elif _zip(path.name) and path.is_file():
            self._add_zip(handed, owner, path)
        elif path.is_file() and path.name != _TIMESTAMP:
            handed.others.append(path.name)

    def _add_notebook(self, handed: _Handed, owner: _Owner, path: Path) -> None:
        if not path.is_file():
            handed.place = self.root  # opening a pipe would wait for ever
            handed.problems.append(f"{_shown(path.name)!r} is no ordinary file")
            return
        seconds = owner.submitted.timestamp() if owner.submitted else 0.0
        age = seconds, owner.order, path.stat().st_mtime, path.name, len(handed.notebooks)
        handed.notebooks.append((age, path, owner))

    def _add_zip(self, handed: _Handed, owner: _Owner, path: Path) -> None:
        try:
            to = archive.new_folder(self.unpack_to)
            unpacked = archive.unpack(path, to, wanted=_of_interest)
        except UnusableArchive as error:
            handed.problems.append(str(error)[:-1])
            return
        handed.problems += [each.sentence[:-1] for each in unpacked.left_out]
        for inner in sorted(path for path in unpacked.files if not any(map(hidden, path.relative_to(to).parts))):
            if _notebook(inner.name):
                self._add_notebook(handed, owner, inner)
                handed.notes += [unpacked.renamed[inner]] if inner in unpacked.renamed else []
            elif _zip(inner.name):
                handed.problems.append(f"{inner.name!r} is a zip within a zip, which is not unpacked")

    def leave_out(self, one: LeftOut, unpacked: Path) -> None:
        """An entry of the class's zip that was not unpacked: the student is listed all the same, and told."""
        if any(map(hidden, one.place.parts)):
            return
        around = self.root.relative_to(unpacked)
        place = one.place.relative_to(around) if one.place.is_relative_to(around) else one.place
        whose = self._owner(place) if place.parts else _Owner("(the whole zip)", "")
        owner = whose or _Owner(str(place), "")
        self.handed.setdefault((owner.name, owner.mark), _Handed(self.root)).problems.append(one.sentence[:-1])

    def submissions(self) -> list[Submission]:
        """One for each student, under names that are all different."""
        often = Counter(_shown(name) for name, _ in self.handed)
        found: dict[str, Submission] = {}
        for (name, mark), handed in sorted(self.handed.items(), key=lambda item: item[0]):
            shown = _shown(name)
            student = f"{shown} ({_shown(mark)})" if often[shown] > 1 else shown
            free, number = student, 2
            while free in found or (free != shown and free in often):
                free, number = f"{student} ({number})", number + 1
            found[free] = _submission(free, handed)
        return [found[student] for student in sorted(found)]


def _shown(name: str) -> str:
    """A name for tables: composed letters (macOS writes an accent as a letter of its own), nothing invisible."""
    composed = unicodedata.normalize("NFC", name)
    return "".join(char if char.isprintable() else "_" for char in composed).strip()[:120] or "student"


def _submission(student: str, handed: _Handed) -> Submission:
    problems = list(dict.fromkeys(handed.problems))
    if not handed.notebooks:
        others = f"; found: {', '.join(map(_shown, handed.others[:5]))}" if handed.others else ""
        text = "; ".join([*problems[:5], f"no notebook (.ipynb) was handed in{others}."])
        return Submission(student, handed.place, None, tuple(handed.notes), False, text[0].upper() + text[1:])
    *older, (_, newest, owner) = sorted(handed.notebooks, key=lambda each: each[0])
    notes = [*dict.fromkeys(handed.notes), *(f"{problem}." for problem in problems)]
    if older:
        rest = ", ".join(_shown(path.name) for _, path, _ in older[:-6:-1]) + (", …" if len(older) > 5 else "")
        notes.append(f"{len(older) + 1} notebooks: {_shown(newest.name)}, the newest, is graded, and not {rest}.")
    return Submission(student, newest, owner.submitted, tuple(notes), owner.late, "")


def _nbgrader_time(path: Path) -> datetime | None:
    """`2026-11-26 19:11:03.123456 Europe/Berlin`, as nbgrader writes it beside the notebook."""
    try:
        with path.open("rb") if plain_file(path) else io.BytesIO() as file:
            day, clock, *zone = file.read(200).decode().split()  # a learner may have put gigabytes there
        when = datetime.fromisoformat(f"{day} {clock}")
        return when if when.tzinfo else when.replace(tzinfo=ZoneInfo(zone[0]) if zone else UTC)
    except (OSError, ValueError, KeyError):  # a zone that is not known is a KeyError
        return None


def _gradescope_metadata(path: Path) -> dict[str, tuple[str, str, datetime | None]]:
    """Folder -> name (of a group: names), student number, time; of YAML only what Gradescope writes is understood."""
    text, found = path.read_text(encoding="utf-8", errors="replace") if plain_file(path) else "", {}
    for head, block in re.findall(r"^(submission_\d+):[ ]*\n((?:[ ].*\n?|\n)*)", text, re.MULTILINE):
        people = re.search(r"^  :?submitters:[ ]*\n((?:  -.*\n?|   .*\n?)*)", block, re.MULTILINE)
        names, sids = (" & ".join(_scalars(key, people[1] if people else "")) for key in ("name", "sid"))
        found[head] = names, sids, _gradescope_time(block)
    return found


def _scalars(key: str, block: str) -> list[str]:
    texts = [text.strip() for text in re.findall(rf"^[ -]*:?{key}:(.*)$", block, re.MULTILINE)]
    quoted = [text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text for text in texts]
    return [text.replace("''", "'") for text in quoted if text]


def _gradescope_time(block: str) -> datetime | None:
    """Of `:created_at: 2026-11-26 19:11:03.123456000 Z`."""
    pattern = r"^  :?created_at: *['\"]?([\d-]+)[ T]([\d:]+)[.\d]* *([+-]\d\d:\d\d)?"
    try:
        day, clock, offset = re.search(pattern, block, re.MULTILINE).groups()
        return datetime.fromisoformat(f"{day}T{clock}{offset or '+00:00'}")
    except (AttributeError, ValueError):  # there is no such line, or it is no time
        return None
