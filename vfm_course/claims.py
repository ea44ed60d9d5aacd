"""`claim("clip.linear")`: what was measured, looked up in `data/claims.json`, so that no figure is quoted from memory.

`python -m vfm_course.pretraining.claims` measures and writes the file.
"""

import json

from vfm_course.errors import UserError
from vfm_course.paths import data_dir

BOOKKEEPING = ("sha256", "measured")  # of an entry; everything else in it is a measure's record


def read_claims() -> dict:
    """All of `data/claims.json`; empty tables where nothing has been measured."""
    path = data_dir() / "claims.json"
    if not path.is_file():
        return {"models": {}, "references": {}}
    return json.loads(path.read_text(encoding="utf-8"))


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
