"""The giants, one record each: what they learn from, what they are good at, and how each size is loaded.

The records stand in `records/*.toml`. A fact that could not be confirmed is None there, and `unknown` when shown.
"""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass, field, fields
from importlib.resources import files
from typing import Any

from vfm_course.errors import UserError

FILES = ("features", "language", "masks", "speak", "speak_more")
JOBS = ("features", "video", "scores", "masks", "concept masks", "boxes", "depth", "text", "none")
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Size:
    """One published checkpoint of a system. Where its record is silent, the system's own value stands.

    Attributes:
        name: short name, such as `base`; with the system's in front, `dinov2-base`, it names the checkpoint.
        hub_id, revision: where it lies; the revision is a commit, None where none could be confirmed.
        parameters: the published count, as exact as it was published; None if it is unknown.
        difference: why the count of `anatomy` differs from the published one by more than a hundredth.
        image_size, patch_size: in pixels; None where any size is taken, or where there is no one patch size.
        example_size: the size at which `anatomy` counts where `image_size` is None.
        tokens: what comes out for one picture (a clip, a tile): patches, or what a language model reads of them.
        extra_tokens: CLS and registers beside the patches in the encoder.
        merge: patches that become one token. queries: tokens that a resampler asks for, however many patches.
        frames, tubelet: of a clip; frames that make one token.
        model_class, processor_class, config_class: names in transformers.
        built_class, built_config_class: what `anatomy` builds, where it is not the class that is loaded.
        config: the real configuration, as the keywords of the config class.
        unloadable: why it cannot be loaded here, or None.
    """

    system: str
    name: str
    hub_id: str | None = None
    revision: str | None = None
    parameters: int | None = None
    difference: str | None = None
    licence: str | None = None
    gated: bool | None = None
    image_size: int | None = None
    example_size: int | None = None
    patch_size: int | None = None
    tokens: int | None = None
    extra_tokens: int | None = None
    merge: int = 1
    queries: int | None = None
    frames: int = 1
    tubelet: int = 1
    preprocessing: str | None = None
    model_class: str | None = None
    processor_class: str | None = None
    config_class: str | None = None
    built_class: str | None = None
    built_config_class: str | None = None
    config: dict[str, Any] = field(default_factory=dict, hash=False)
    unloadable: str | None = None
    note: str = ""

    @property
    def full_name(self) -> str:
        """What `load` and `anatomy` call it."""
        return f"{self.system}-{self.name}"

    @property
    def side(self) -> int | None:
        """The picture's side at which tokens and FLOPs are counted."""
        return self.image_size or self.example_size

    @property
    def patches(self) -> int | None:
        """Patches of one picture or clip, by arithmetic: (side / patch)^2, times the steps in time."""
        if self.side is None or self.patch_size is None:
            return None
        return (self.side // self.patch_size) ** 2 * (self.frames // self.tubelet)

    @property
    def large(self) -> bool:
        """Whether it has a billion parameters or more: then half precision is taken on a GPU."""
        return (self.parameters or 0) >= 10**9


@dataclass(frozen=True)
class System:
    """What is common to the sizes of a system; `sizes[0]` is the one that its plain name stands for."""

    name: str
    title: str
    group: str
    objective: str
    signal: str
    strongest_at: str
    reach_for_when: str
    job: str
    citation: str
    arxiv: str | None
    sizes: tuple[Size, ...]
    note: str = ""

    def size(self, name: str | None = None) -> Size:
        """A size by its short name, the first if none is given.

        Raises:
            UserError: there is none of that name.
        """
        for size in self.sizes:
            if name in (None, size.name):
                return size
        raise UserError(f"{self.title} has no size {name!r}: choose from {', '.join(s.name for s in self.sizes)}.")


def shown(value: object) -> str:
    """A fact as text: `unknown` for None, a number with commas."""
    if value is None or value == "":
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def short(number: int | None) -> str:
    """A count as a person says it: 86.6 M, 6.72 B."""
    if number is None:
        return UNKNOWN
    for unit, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= unit:
            return f"{number / unit:.3g} {letter}"
    return str(number)


def _read(record: dict[str, Any]) -> System:
    """One record; a misspelt field is an error, not a fact that gets lost."""
    sizes = record.pop("size")
    own = {key: record.pop(key) for key in [f.name for f in fields(System)] if key in record}
    made = []
    for size in sizes:
        merged = {**record, **size, "system": own["name"]}
        made.append(Size(**{key: None if value == "" and key != "note" else value for key, value in merged.items()}))
    return System(**own, sizes=tuple(made))


def _all() -> dict[str, System]:
    systems = []
    for name in FILES:
        text = files("vfm_course.families").joinpath("records", f"{name}.toml").read_text(encoding="utf-8")
        systems += [_read(record) for record in tomllib.loads(text)["system"]]
    return {system.name: system for system in systems}


SYSTEMS: dict[str, System] = _all()


def names() -> list[str]:
    """All that `find` takes: systems, and sizes with their system in front."""
    return [*SYSTEMS, *(size.full_name for system in SYSTEMS.values() for size in system.sizes)]


def find(name: str, size: str | None = None) -> tuple[System, Size]:
    """A record by name, in any case: `find("dinov2")`, `find("dinov2", "base")` and `find("dinov2-base")`.

    Raises:
        UserError: nothing is called so; the nearest names are said.
    """
    wanted = name.lower()
    if wanted in SYSTEMS:
        return SYSTEMS[wanted], SYSTEMS[wanted].size(size)
    if size is None:
        for system in SYSTEMS.values():
            for one in system.sizes:
                if one.full_name == wanted:
                    return system, one
    near = difflib.get_close_matches(wanted, names(), n=3, cutoff=0.5)
    advice = f"did you mean {' or '.join(near)}?" if near else "`vfm-course models` lists them all."
    raise UserError(f"There is no checkpoint {name!r}: {advice}")
