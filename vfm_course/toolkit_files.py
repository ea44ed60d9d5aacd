"""The toolkit's report as JSON, CSV and one self-contained web page; each file is written whole or not at all."""

import base64
import csv
import html
import io
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from PIL import Image

from vfm_course.errors import UserError
from vfm_course.features.images import Unreadable, read_picture
from vfm_course.toolkit import Pair, Report, Row
from vfm_course.whole_file import whole_text

THUMBNAIL = 192  # pixels

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #1c1c1c; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.note { background: #fff4d6; border-left: 4px solid #d99a00; padding: .5rem .8rem; margin: .6rem 0; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1rem; }
.card { border: 1px solid #d8d8d8; border-radius: 8px; padding: .7rem; break-inside: avoid; }
.picture { display: inline-block; width: 100%; aspect-ratio: 1; background: #f4f4f4 center / contain no-repeat; }
.name { font-size: .8rem; color: #555; overflow-wrap: anywhere; }
.score { display: flex; justify-content: space-between; gap: .5rem; font-size: .85rem; margin-top: .2rem; }
.score:first-of-type { font-weight: bold; font-size: 1rem; }
.bar { background: #e6e6e6; border-radius: 3px; height: .4rem; }
.bar div { background: #2a6fb0; height: 100%; border-radius: 3px; }
.alike { font-size: .75rem; color: #555; margin-top: .6rem; }
.row { display: flex; gap: .3rem; }
.row figure { margin: 0; width: 33%; font-size: .75rem; color: #555; overflow-wrap: anywhere; }
.pair figure { width: 50%; } figcaption b { color: #1c1c1c; font-size: .85rem; }
"""


def check_writable(paths: Iterable[Path | None]) -> None:
    """Before anything is computed: can the results be written?

    Raises:
        UserError: a folder is missing or cannot be written, or a name is a folder's.
    """
    for path in paths:
        if path is None:
            continue
        if path.is_dir():
            raise UserError(f"{str(path)!r} is a folder: name a file.")
        if not path.absolute().parent.is_dir():
            raise UserError(f"There is no folder {str(path.absolute().parent)!r} to write {path.name} into.")
        if not os.access(path.absolute().parent, os.W_OK):
            raise UserError(f"{str(path)!r} cannot be written there: no permission.")


def write_json(report: Report, path: Path) -> None:
    """Everything in the report, one object; written row by row, for large folders."""
    head = {
        "folder": str(report.folder),
        "model": report.model,
        "tier": report.tier,
        "template": report.template,
        "notes": report.notes,
    }
    tail = {
        "disagreements": {
            "same_label_low_similarity": [_pair(pair) for pair in report.same_label_far],
            "other_label_high_similarity": [_pair(pair) for pair in report.other_label_near],
        },
        "skipped": [{"file": name, "reason": reason} for name, reason in report.skipped],
    }
    with whole_text(path) as file:
        file.write(_json(head)[:-2] + ',\n "images": [\n')  # -2: the line end and the brace
        for number, row in enumerate(report.rows):
            image = {
                "file": row.name,
                "label": row.label,
                "confidence": row.confidence,
                "scores": row.scores,
                "neighbors": [{"file": name, "cosine": cosine} for name, cosine in row.neighbours],
                "drawn_world": row.drawn,
            }
            file.write((",\n" if number else "") + _json(image))
        file.write("\n ],\n" + _json(tail)[2:] + "\n")


def write_csv(report: Report, path: Path) -> None:
    """One line a picture: file, label, confidence, a column for each label's score, the neighbours."""
    labels = report.rows[0].labels
    most = max(len(row.neighbours) for row in report.rows)
    scores = [f"score {label}" for label in labels]
    with whole_text(path) as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "confidence", *scores, *[f"neighbor {i + 1}" for i in range(most)]])
        for row in report.rows:
            numbers = [f"{value:.4f}" for value in row.values]
            near = [name for name, _ in row.neighbours]
            writer.writerow([row.name, row.label, f"{row.confidence:.4f}", *numbers, *near])


def write_html(report: Report, path: Path, overlay: Callable[[Row], Image.Image | None] | None = None) -> None:
    """One page without any other file: thumbnails, labels, neighbours, disagreements.

    Each thumbnail is in the page once, however often it is shown, and in memory only while it is written.

    Args:
        overlay: gives the picture to show in place of the plain one (the masks), or None.
    """
    numbers = {row.name: number for number, row in enumerate(report.rows)}
    with whole_text(path) as page:
        page.write(_head(report))
        for number, row in enumerate(report.rows):
            thumbnail = _thumbnail(row, overlay(row) if overlay else None)
            page.write(f".i{number} {{ background-image: url({thumbnail}); }}\n")
        page.write("</style>\n" + _top(report))
        page.writelines(_card(row, numbers) for row in report.rows)
        page.write("</div>\n" + _disagreements(report, numbers) + "</body></html>\n")


def _json(value: dict) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


def _pair(pair: Pair) -> dict:
    return {"files": [pair.first, pair.second], "labels": list(pair.labels), "cosine": pair.cosine}


def _thumbnail(row: Row, overlay: Image.Image | None) -> str:
    try:
        image = overlay or read_picture(row.path, THUMBNAIL).image
    except Unreadable:  # gone since it was embedded
        image = Image.new("RGB", (THUMBNAIL, THUMBNAIL), "lightgrey")
    image = image.copy()
    image.thumbnail((2 * THUMBNAIL, 2 * THUMBNAIL) if overlay else (THUMBNAIL, THUMBNAIL))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()


def _head(report: Report) -> str:
    title = html.escape(f"Toolkit: {report.folder.name or report.folder}")
    return f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n<style>{STYLE}'


def _top(report: Report) -> str:
    reader = "SigLIP, each on its own" if report.model == "siglip" else "CLIP, whose scores add up to 1"
    folder = html.escape(report.folder.name or str(report.folder))
    notes = "".join(f'<p class="note">{html.escape(note)}</p>\n' for note in report.notes)
    return (
        f"</head><body><h1>{len(report.rows)} pictures in “{folder}”</h1>\n"
        f"<p>Labels by {reader}; look-alikes by DINOv2, with their cosine. {report.tier.capitalize()} models, prompt "
        f"“{html.escape(report.template)}”; no label was used for training. "
        f'Below all pictures: <a href="#disagreements">where the two models disagree</a>.</p>\n{notes}'
        '<div class="grid">\n'
    )


def _image(name: str, numbers: dict[str, int]) -> str:
    said = html.escape(name)
    return f'<span class="picture i{numbers[name]}" role="img" aria-label="{said}" title="{said}"></span>'


def _figure(name: str, numbers: dict[str, int], caption: str) -> str:
    return f"<figure>{_image(name, numbers)}<figcaption>{caption}</figcaption></figure>"


def _card(row: Row, numbers: dict[str, int]) -> str:
    bars = "".join(
        f'<div class="score"><span>{html.escape(label)}</span><span>{score:.2f}</span></div>'
        f'<div class="bar"><div style="width:{100 * score:.0f}%"></div></div>'
        for label, score in sorted(row.scores.items(), key=lambda pair: -pair[1])[:3]
    )
    near = "".join(_figure(name, numbers, f"{cosine:.2f}") for name, cosine in row.neighbours[:3])
    alike = f'<div class="alike">look-alikes</div><div class="row">{near}</div>' if near else ""
    return (
        f'<div class="card">{_image(row.name, numbers)}<div class="name">{html.escape(row.name)}</div>'
        f"<section>{bars}</section>{alike}</div>\n"
    )


def _disagreements(report: Report, numbers: dict[str, int]) -> str:
    def figure(name: str, label: str) -> str:
        return _figure(name, numbers, f"<b>{html.escape(label)}</b><br>{html.escape(name)}")

    parts = ['<div id="disagreements"></div>']
    for title, pairs in (
        ("Same label, yet unlike to DINOv2", report.same_label_far),
        ("Other label, yet alike to DINOv2", report.other_label_near),
    ):
        shown = "".join(
            f'<div class="card pair"><div class="row">{figure(pair.first, pair.labels[0])}'
            f'{figure(pair.second, pair.labels[1])}</div><div class="alike">cosine {pair.cosine:.2f}</div></div>\n'
            for pair in pairs
        )
        parts.append(f'<h2>{title}</h2>\n<div class="grid">{shown or "<p>None.</p>"}</div>\n')
    return "".join(parts)
