"""`claim("clip.linear")`: what was measured, looked up in `data/claims.json`, so that no figure is quoted from memory.

`statement("3.typographic")`: what became of a claim of the field when it was tested in small.

`python -m vfm_course.pretraining.claims` measures and writes the file, `python -m vfm_course.pretraining.verdicts`
judges the field's claims by it and adds the verdicts.
"""

import json
from difflib import get_close_matches

from vfm_course.errors import UserError
from vfm_course.paths import data_dir

BOOKKEEPING = ("sha256", "measured")  # of an entry; everything else in it is a measure's record
FIELDS = ("id", "section", "claim", "source", "experiment", "verdict", "reason", "evidence")  # of a statement
RESTORE = "restore it with `git checkout -- data`"


def read_claims() -> dict:
    """All of `data/claims.json`; empty tables where nothing has been measured.

    Raises:
        UserError: the file is damaged.
    """
    path = data_dir() / "claims.json"
    if not path.is_file():
        return {"models": {}, "references": {}}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if all(isinstance(found[table], dict) for table in ("models", "references")):
            return found
        fault = "no table"
    except (ValueError, KeyError, TypeError) as error:
        fault = type(error).__name__
    raise UserError(f"data/{path.name} is damaged ({fault}): {RESTORE}, or install the course again.")


def measures(entry: dict) -> dict[str, dict]:
    """The records of one model's entry by the measure's name."""
    return {key: value for key, value in entry.items() if key not in BOOKKEEPING}


def claim(key: str) -> dict:
    """The record of MODEL.MEASURE: `value`, `low` and `high` (95 %), `n`, `seeds`, `of` in words, and more.

    MODEL is a pocket checkpoint's name, or one of the references `pixels` and `random`.

    Raises:
        UserError: nothing of that name was measured.
    """
    claims = read_claims()
    entries = claims["models"] | claims["references"]
    name, _, measure = key.partition(".")
    if name not in entries:
        raise UserError(f"There is no claim {key!r}: measured are {', '.join(entries) or 'no models yet'}.")
    known = measures(entries[name])
    if measure not in known:
        raise UserError(f"There is no claim {key!r}: of {name} there are {', '.join(known)}.")
    return known[measure]


def figure(record: dict) -> str:
    """A record as it is quoted: `0.948 (0.940 to 0.956)`, the interval in brackets."""
    return "{value:.3f} ({low:.3f} to {high:.3f})".format(**record)


def statements(section: str | None = None) -> list[dict]:
    """The claims of the field, and what became of each in small.

    Args:
        section: of the syllabus, such as "3"; all if not given.

    Returns:
        A row each: `id`, `section`, `claim`, `source`, `experiment`, `verdict`, `reason` in a sentence, and `evidence`,
        which holds `value`, `low`, `high`, `of` and `seeds` by name.

    Raises:
        UserError: nothing was judged, what was written is damaged, or there is no such section.
    """
    found = read_claims().get("statements")
    whole = isinstance(found, list) and all(isinstance(row, dict) and set(FIELDS) <= set(row) for row in found)
    if not found or not whole:
        fault = "holds no statements" if found is None else "holds damaged statements"
        raise UserError(f"data/claims.json {fault}: {RESTORE}, or run `python -m vfm_course.pretraining.verdicts`.")
    if section is None:
        return found
    sections = sorted({row["section"] for row in found})
    if str(section) not in sections:
        raise UserError(f"There are no statements of section {section!r}: choose from {', '.join(sections)}.")
    return [row for row in found if row["section"] == str(section)]


def statement(key: str) -> dict:
    """One row of `statements()` by its id.

    Raises:
        UserError: there is none of that id, or none at all.
    """
    rows = {row["id"]: row for row in statements()}
    if key not in rows:
        near = get_close_matches(str(key), rows, n=3, cutoff=0.4)
        said = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(rows)}."
        raise UserError(f"There is no statement {key!r}: {said}")
    return rows[key]
