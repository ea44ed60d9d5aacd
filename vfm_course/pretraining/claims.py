"""Measures every pocket checkpoint and the references, and writes what was found into `data/claims.json`.

    python -m vfm_course.pretraining.claims [NAMES] [--render]

Without names: all that lies in data/checkpoints, and `random` and `pixels`. What was measured before is kept as long as
neither the checkpoint, nor the scenes, nor the measure's VERSION has changed. The file is written after each group of
measures, so that the command can be stopped at any time. The tables in data/checkpoints are written at the end.
"""

import argparse
import json
import os
import sys
import time

from vfm_course.claims import read_claims
from vfm_course.errors import UserError
from vfm_course.families.catalog import CATALOG
from vfm_course.families.load import revision_of
from vfm_course.paths import data_dir
from vfm_course.pretraining.measures import held_out
from vfm_course.pretraining.measures.groups import GROUPS, REFERENCES, Subject, groups_of
from vfm_course.pretraining.tables import write_pages

VERSION = 1  # of the file's form


def present() -> list[str]:
    """The checkpoints that are here, in the catalog's order."""
    return [name for name in CATALOG if (data_dir() / "checkpoints" / name / "model.safetensors").is_file()]


def digest(name: str) -> str | None:
    """What stands for the weights; None for a reference, which has no file."""
    return None if name in REFERENCES else revision_of(name, "pocket")


def kept(claims: dict, name: str) -> dict:
    """The entry of an unchanged model with only those groups that are still of today's version."""
    entry = claims["references" if name in REFERENCES else "models"].get(name, {})
    if entry.get("sha256") != digest(name) or claims.get("world") != held_out.about():
        entry = {}
    fresh = {"sha256": digest(name), "measured": {}}
    for group in groups_of(name):
        note = entry.get("measured", {}).get(group, {"version": None})
        if note["version"] == GROUPS[group].version:
            fresh = with_group(fresh, group, {key: entry[key] for key in note["keys"]})
    return fresh


def with_group(entry: dict, group: str, found: dict) -> dict:
    """The entry with one group's records in it, all groups in their own order, whichever was measured first."""
    measured = entry["measured"] | {group: {"version": GROUPS[group].version, "keys": list(found)}}
    measured = {each: measured[each] for each in GROUPS if each in measured}
    records = {key: (entry | found)[key] for note in measured.values() for key in note["keys"]}
    return {"sha256": entry["sha256"], "measured": measured} | records


def save(name: str, entry: dict) -> None:
    """Puts one entry into the file, which is read again for it: two runs side by side lose nothing but time."""
    claims = read_claims()
    table = "references" if name in REFERENCES else "models"
    if claims.get("world") != held_out.about():
        claims = {"models": {}, "references": {}}  # other scenes: nothing of it can be compared
    claims = {"version": VERSION, "world": held_out.about()} | claims
    here = present()
    claims[table][name] = entry
    claims["models"] = {each: claims["models"][each] for each in here if each in claims["models"]}
    path = data_dir() / "claims.json"
    partial = path.with_suffix(f".partial{os.getpid()}")
    partial.write_text(json.dumps(claims, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)


def run(names: list[str] | None = None) -> None:
    """Measures what has to be measured of these models and references (all, if not given) and writes the pages.

    Raises:
        UserError: a name is not known, or its checkpoint is not here.
    """
    here = [*present(), *REFERENCES]
    unknown = [name for name in names or () if name not in here]
    if unknown:
        raise UserError(f"There is no {unknown[0]!r} to be measured: choose from {', '.join(here)}.")
    entries = {name: kept(read_claims(), name) for name in names or here}
    wanted = [(name, group) for name in entries for group in groups_of(name) if group not in entries[name]["measured"]]
    missing = [name for name in CATALOG if name not in here]
    if missing:
        print(f"Not in {data_dir() / 'checkpoints'}, so not measured: {', '.join(missing)}", flush=True)
    if any(group != "masks" for _, group in wanted):
        held_out.splits()
    _measure(entries, wanted)
    write_pages(read_claims(), data_dir() / "checkpoints")
    print(f"{len(wanted)} groups of measures taken; {data_dir() / 'claims.json'} and the tables are up to date")


def _measure(entries: dict[str, dict], wanted: list[tuple[str, str]]) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    subject = Subject("")
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("Measuring", total=len(wanted))
        for name, group in wanted:
            bar.update(task, description=f"Measuring {name}: {group}")
            if subject.name != name:
                subject = Subject(name)
            begun = time.process_time()
            found = GROUPS[group].measure(subject)
            entries[name] = with_group(entries[name], group, found)
            save(name, entries[name])
            bar.advance(task)
            print(f"{name}: {group}, {time.process_time() - begun:.0f} s of processor time", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="models or references; all if not given")
    parser.add_argument("--render", action="store_true", help="write the tables again, measure nothing")
    arguments = parser.parse_args()
    try:
        if arguments.render:
            write_pages(read_claims(), data_dir() / "checkpoints")
        else:
            run(arguments.names)
    except UserError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
