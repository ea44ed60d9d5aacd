"""The stored studies as one page of tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

HEAD = """# Short pretraining: what was measured

Written by `python -m vfm_course.pretraining.short.studies`, which runs all of it again. One small encoder (48 x 48
pixels, 212,416 weights where nothing else is said), drawn pictures, half a minute to three minutes of one core a run;
judged on scenes that no run has seen. Each cell is the mean over three seeds (of weights, batches and noise), in
brackets the least and the largest of them.
"""


def page(studies: dict[str, tuple[str, Sequence[str], Sequence[dict]]]) -> str:
    """All studies as Markdown.

    Args:
        studies: name -> (its question, the keys that tell its cases apart, its rows).
    """
    parts = [HEAD]
    for name, (question, keys, rows) in studies.items():
        parts.append(f"## {name}\n\n{question}\n\n{table(keys, rows)}\n")
    return "\n".join(parts)


def table(keys: Sequence[str], rows: Sequence[dict]) -> str:
    """A row a case, a column a figure."""
    grouped: dict[tuple, list[dict[str, float]]] = {}
    for row in rows:
        grouped.setdefault(tuple(row[key] for key in keys), []).append(dict(figures(row, keys)))
    names = list(dict.fromkeys(name for found in grouped.values() for each in found for name in each))
    lines = [[*keys, *names], ["---"] * (len(keys) + len(names))]
    for case, found in grouped.items():
        lines.append(
            [str(value) for value in case] + [_cell([each[name] for each in found if name in each]) for name in names]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figures(row: dict, keys: Sequence[str], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The figures of a run by name; of what was looked at on the way, the last."""
    for key, value in row.items():
        if key in (*keys, "seed", "seconds", "curve", "gram"):
            continue
        if key == "seen":
            yield from figures(value[-1], (*keys, "images"), "at the end: ")
        elif isinstance(value, dict) and "value" in value:
            yield prefix + key.replace("_", " "), value["value"]
        elif isinstance(value, dict):
            yield from figures(
                value, keys, prefix + key.replace("_", " ").replace("told", "").strip() + " " * (key != "told")
            )
        else:
            yield prefix + key.replace("_", " "), value


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    mean = sum(values) / len(values)
    if mean >= 100:
        return f"{mean:,.0f}"
    said = f"{mean:.3f}"
    return said if len(values) == 1 else f"{said} ({min(values):.3f} to {max(values):.3f})"
