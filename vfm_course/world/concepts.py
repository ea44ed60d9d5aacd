"""Sixteen things a person names at a glance, each a handful of polygons with one or two jittered points.

A concept is a function of a random generator that returns its parts from back to front. A part's role decides its
colour: `main` takes the object's colour, `shade` and `tint` a darker and a lighter one of it, the others are fixed.
"""

from collections.abc import Callable

import numpy as np

from vfm_course.world.shapes import Part, arc, box, ellipse

Drawer = Callable[[np.random.Generator], list[Part]]


def _jitter(rng: np.random.Generator, amount: float) -> float:
    return float(rng.uniform(-amount, amount))


def cat(rng: np.random.Generator) -> list[Part]:
    ear = _jitter(rng, 0.08)
    tail = _jitter(rng, 0.15)
    return [
        (
            "main",
            [(0.45, 0.75), (0.95, 0.55 + tail), (0.9, -0.05 + tail), (0.75, 0.0 + tail), (0.78, 0.45), (0.4, 0.6)],
        ),
        ("main", ellipse(0, 0.55, 0.55, 0.42)),
        ("main", [(-0.58, -0.25), (-0.6, -0.98 + ear), (-0.1, -0.55)]),
        ("main", [(0.58, -0.25), (0.6, -0.98 - ear), (0.1, -0.55)]),
        ("pink", [(-0.48, -0.42), (-0.5, -0.8 + ear), (-0.25, -0.55)]),
        ("pink", [(0.48, -0.42), (0.5, -0.8 - ear), (0.25, -0.55)]),
        ("main", ellipse(0, -0.2, 0.62, 0.5)),
        ("white", ellipse(-0.25, -0.27, 0.13, 0.15)),
        ("white", ellipse(0.25, -0.27, 0.13, 0.15)),
        ("black", ellipse(-0.25, -0.26, 0.06, 0.13)),
        ("black", ellipse(0.25, -0.26, 0.06, 0.13)),
        ("pink", [(-0.09, -0.05), (0.09, -0.05), (0, 0.06)]),
    ]


def dog(rng: np.random.Generator) -> list[Part]:
    tail = _jitter(rng, 0.12)
    ear = _jitter(rng, 0.08)
    return [
        ("main", [(-0.6, 0.0), (-1.0, -0.5 + tail), (-0.88, -0.56 + tail), (-0.45, -0.12)]),
        ("shade", box(-0.42, 0.3, -0.24, 0.95)),
        ("shade", box(0.14, 0.3, 0.32, 0.95)),
        ("main", box(-0.66, 0.2, -0.46, 0.95)),
        ("main", box(0.36, 0.2, 0.56, 0.95)),
        ("main", ellipse(-0.05, 0.15, 0.66, 0.32)),
        ("main", [(0.25, 0.3), (0.2, -0.4), (0.6, -0.4), (0.62, 0.25)]),
        ("main", ellipse(0.5, -0.45, 0.33, 0.3)),
        ("tint", ellipse(0.8, -0.34, 0.2, 0.15)),
        ("black", ellipse(0.95, -0.4, 0.07, 0.06)),
        ("shade", ellipse(0.27, -0.33 + ear, 0.13, 0.36, 10)),
        ("black", ellipse(0.62, -0.52, 0.06, 0.06)),
    ]


def fish(rng: np.random.Generator) -> list[Part]:
    fin = _jitter(rng, 0.1)
    return [
        ("shade", [(-0.45, 0), (-0.98, -0.5 + fin), (-0.85, 0), (-0.98, 0.5 + fin)]),
        ("shade", [(-0.25, -0.3), (0.1, -0.78 + fin), (0.4, -0.3)]),
        ("shade", [(-0.1, 0.35), (0.0, 0.7), (0.3, 0.3)]),
        ("main", ellipse(0.18, 0, 0.76, 0.44)),
        ("tint", arc(0.18, 0, 0.76, 0.44, -48, 48)),
        ("tint", box(-0.18, -0.36, -0.06, 0.36)),
        ("white", ellipse(0.6, -0.12, 0.12, 0.12)),
        ("black", ellipse(0.63, -0.12, 0.06, 0.06)),
    ]


def bird(rng: np.random.Generator) -> list[Part]:
    wing = _jitter(rng, 0.12)
    return [
        ("orange", [(-0.12, 0.5), (-0.02, 0.5), (0.0, 0.95), (-0.1, 0.95)]),
        ("orange", [(0.1, 0.5), (0.2, 0.5), (0.22, 0.95), (0.12, 0.95)]),
        ("shade", [(-0.45, 0.05), (-1.0, 0.0), (-0.95, 0.3), (-0.4, 0.4)]),
        ("main", ellipse(0.0, 0.18, 0.58, 0.44, -12)),
        ("main", ellipse(0.45, -0.4, 0.34, 0.34)),
        ("orange", [(0.72, -0.52), (1.0, -0.36), (0.72, -0.26)]),
        ("shade", [(0.28, 0.0), (-0.55, -0.35 + wing), (-0.5, 0.3), (0.05, 0.42)]),
        ("white", ellipse(0.54, -0.48, 0.1, 0.1)),
        ("black", ellipse(0.57, -0.48, 0.05, 0.05)),
    ]


def car(rng: np.random.Generator) -> list[Part]:
    roof = _jitter(rng, 0.1)
    parts: list[Part] = [
        ("main", [(-0.55, -0.05), (-0.35, -0.5), (0.3 + roof, -0.5), (0.6, -0.05)]),
        ("glass", [(-0.43, -0.08), (-0.28, -0.41), (-0.04, -0.41), (-0.04, -0.08)]),
        ("glass", [(0.05, -0.08), (0.05, -0.41), (0.25 + roof, -0.41), (0.46, -0.08)]),
        ("main", [(-0.97, -0.05), (0.9, -0.08), (0.98, 0.1), (0.98, 0.38), (-0.97, 0.38)]),
        ("shade", box(-0.97, 0.25, 0.98, 0.38)),
        ("yellow", ellipse(0.92, 0.08, 0.06, 0.09)),
    ]
    return parts + _wheels((-0.55, 0.55), 0.38, 0.24)


def truck(rng: np.random.Generator) -> list[Part]:
    height = _jitter(rng, 0.08)
    parts: list[Part] = [
        ("main", box(-0.98, -0.68 + height, 0.35, 0.4)),
        ("tint", box(-0.9, -0.58 + height, 0.27, -0.4 + height)),
        ("shade", [(0.4, -0.3), (0.76, -0.3), (0.98, 0.05), (0.98, 0.4), (0.4, 0.4)]),
        ("glass", [(0.5, -0.2), (0.72, -0.2), (0.87, 0.05), (0.5, 0.05)]),
        ("dark", box(-0.98, 0.36, 0.98, 0.48)),
    ]
    return parts + _wheels((-0.66, -0.2, 0.66), 0.52, 0.2)


def _wheels(places: tuple[float, ...], height: float, radius: float) -> list[Part]:
    parts: list[Part] = []
    for x in places:
        parts += [
            ("black", ellipse(x, height, radius, radius)),
            ("white", ellipse(x, height, radius * 0.42, radius * 0.42)),
        ]
    return parts


def boat(rng: np.random.Generator) -> list[Part]:
    sail = _jitter(rng, 0.12)
    return [
        ("brown", box(-0.05, -0.98, 0.04, 0.4)),
        ("white", [(0.1, -0.9), (0.75 + sail, 0.2), (0.1, 0.2)]),
        ("tint", [(-0.12, -0.75), (-0.12, 0.2), (-0.62 + sail, 0.2)]),
        ("main", [(-0.95, 0.32), (0.95, 0.32), (0.6, 0.85), (-0.6, 0.85)]),
        ("shade", [(-0.95, 0.32), (0.95, 0.32), (0.85, 0.48), (-0.85, 0.48)]),
    ]


def plane(rng: np.random.Generator) -> list[Part]:
    wing = _jitter(rng, 0.1)
    return [
        ("shade", [(0.25, -0.05), (-0.2, -0.75 + wing), (-0.42, -0.75 + wing), (-0.12, -0.05)]),
        ("main", [(-0.6, -0.05), (-0.98, -0.65), (-0.78, -0.65), (-0.4, -0.12)]),
        ("main", ellipse(0.0, 0.0, 0.95, 0.22)),
        ("glass", arc(0.0, 0.0, 0.95, 0.22, -52, -18)),
        ("white", ellipse(-0.2, -0.06, 0.06, 0.06)),
        ("white", ellipse(0.0, -0.06, 0.06, 0.06)),
        ("white", ellipse(0.2, -0.06, 0.06, 0.06)),
        ("shade", [(0.3, 0.05), (-0.35, 0.85 + wing), (-0.58, 0.85 + wing), (-0.15, 0.05)]),
    ]


def apple(rng: np.random.Generator) -> list[Part]:
    leaf = _jitter(rng, 0.1)
    return [
        ("main", ellipse(-0.3, 0.15, 0.52, 0.72)),
        ("main", ellipse(0.3, 0.15, 0.52, 0.72)),
        ("tint", ellipse(-0.42, -0.08, 0.12, 0.26, 18)),
        ("brown", [(-0.05, -0.4), (0.02, -0.95), (0.13, -0.92), (0.06, -0.4)]),
        ("green", [(0.08, -0.62), (0.35, -0.95 + leaf), (0.7, -0.85 + leaf), (0.4, -0.6)]),
    ]


def banana(rng: np.random.Generator) -> list[Part]:
    bend = _jitter(rng, 0.08)
    outer = arc(0.0, -0.55, 0.95, 1.25, 5, 150)
    inner = arc(0.02, -0.75 + bend, 0.72, 0.85, 150, 5)
    ridge = arc(0.0, -0.62, 0.86, 1.08, 15, 140) + arc(0.0, -0.62, 0.82, 1.0, 140, 15)
    return [
        ("main", outer + inner),
        ("shade", ridge),
        ("brown", [(0.72, -0.62), (0.95, -0.55), (0.98, -0.85), (0.82, -0.9)]),
        ("brown", [(-0.85, 0.02), (-0.66, -0.12), (-0.72, -0.3), (-0.9, -0.12)]),
    ]


def mushroom(rng: np.random.Generator) -> list[Part]:
    lean = _jitter(rng, 0.1)
    return [
        ("cream", [(-0.25, -0.1), (0.25, -0.1), (0.32 + lean, 0.9), (-0.32 + lean, 0.9)]),
        ("main", arc(0.0, 0.1, 0.92, 0.95, 180, 360)),
        ("shade", ellipse(0.0, 0.1, 0.92, 0.13)),
        ("white", ellipse(-0.45, -0.25, 0.15, 0.14)),
        ("white", ellipse(0.05, -0.5, 0.18, 0.16)),
        ("white", ellipse(0.5, -0.2, 0.13, 0.12)),
    ]


def cupcake(rng: np.random.Generator) -> list[Part]:
    swirl = _jitter(rng, 0.08)
    return [
        ("brown", [(-0.6, 0.2), (0.6, 0.2), (0.42, 0.95), (-0.42, 0.95)]),
        ("cream", [(-0.35, 0.2), (-0.2, 0.2), (-0.14, 0.95), (-0.25, 0.95)]),
        ("cream", [(0.35, 0.2), (0.2, 0.2), (0.14, 0.95), (0.25, 0.95)]),
        ("main", ellipse(0.0, 0.12, 0.82, 0.28)),
        ("tint", ellipse(swirl, -0.22, 0.6, 0.27)),
        ("main", ellipse(0.0, -0.5, 0.36, 0.24)),
        ("red", ellipse(0.0, -0.8, 0.16, 0.16)),
    ]


def house(rng: np.random.Generator) -> list[Part]:
    chimney = _jitter(rng, 0.1)
    return [
        ("dark", box(0.38 + chimney, -0.9, 0.6 + chimney, -0.3)),
        ("main", box(-0.72, -0.15, 0.72, 0.92)),
        ("shade", [(-0.98, -0.1), (0.0, -0.95), (0.98, -0.1)]),
        ("brown", box(-0.18, 0.3, 0.2, 0.92)),
        ("glass", box(-0.58, 0.1, -0.28, 0.42)),
        ("glass", box(0.3, 0.1, 0.6, 0.42)),
    ]


def castle(rng: np.random.Generator) -> list[Part]:
    tower = _jitter(rng, 0.1)
    parts: list[Part] = [("main", box(-0.6, -0.1, 0.6, 0.92))]
    parts += [("main", box(x - 0.1, -0.3, x + 0.1, 0.0)) for x in (-0.28, 0.0, 0.28)]
    for x, top in ((-0.7, -0.45 + tower), (0.7, -0.45 - tower)):
        parts.append(("shade", box(x - 0.25, top, x + 0.25, 0.92)))
        parts.append(("tint", [(x - 0.3, top), (x, top - 0.48), (x + 0.3, top)]))
        parts.append(("black", box(x - 0.06, top + 0.25, x + 0.06, top + 0.55)))
    return [*parts, ("brown", [*arc(0.0, 0.5, 0.22, 0.25, 180, 360), (0.22, 0.92), (-0.22, 0.92)])]


def cup(rng: np.random.Generator) -> list[Part]:
    steam = _jitter(rng, 0.1)
    handle = arc(0.5, 0.15, 0.46, 0.42, -90, 90) + arc(0.5, 0.15, 0.26, 0.22, 90, -90)
    return [
        (
            "white",
            [
                (-0.3, -0.5),
                (-0.2 + steam, -0.75),
                (-0.32, -0.98),
                (-0.18, -0.98),
                (-0.06 + steam, -0.75),
                (-0.16, -0.5),
            ],
        ),
        (
            "white",
            [(0.15, -0.5), (0.25 + steam, -0.75), (0.13, -0.98), (0.27, -0.98), (0.39 + steam, -0.75), (0.29, -0.5)],
        ),
        ("shade", handle),
        ("main", [(-0.72, -0.38), (0.6, -0.38), (0.46, 0.8), (-0.56, 0.8)]),
        ("tint", ellipse(-0.06, -0.38, 0.66, 0.14)),
        ("brown", ellipse(-0.06, -0.37, 0.54, 0.09)),
        ("shade", box(-0.6, 0.74, 0.5, 0.86)),
    ]


DEFECTS = ("intact", "torn", "dented", "wet")


def parcel(rng: np.random.Generator, defect: str = "intact") -> list[Part]:
    """A taped carton with an address label; `defect` is one of `DEFECTS`."""
    skew = _jitter(rng, 0.06)
    parts: list[Part] = [
        ("tint", [(-0.8, -0.35), (-0.45 + skew, -0.82), (0.95, -0.82), (0.62, -0.35)]),
        ("main", box(-0.8, -0.35, 0.62, 0.85)),
        ("shade", [(0.62, -0.35), (0.95, -0.82), (0.95, 0.36), (0.62, 0.85)]),
        ("cream", box(-0.2, -0.35, 0.02, 0.85)),
        ("cream", [(-0.2, -0.35), (0.15 + skew / 2, -0.82), (0.35 + skew / 2, -0.82), (0.02, -0.35)]),
        ("white", box(0.12, 0.2, 0.54, 0.62)),
        ("black", box(0.18, 0.3, 0.48, 0.36)),
        ("black", box(0.18, 0.44, 0.4, 0.5)),
    ]
    x = _jitter(rng, 0.1)
    if defect == "torn":
        parts.append(
            ("black", [(-0.75 + x, 0.85), (-0.62 + x, 0.35), (-0.52 + x, 0.5), (-0.4 + x, 0.15), (-0.3 + x, 0.85)])
        )
    elif defect == "dented":
        parts.append(("dark", ellipse(-0.5 + x, 0.2, 0.24, 0.3)))
        parts.append(("shade", ellipse(-0.46 + x, 0.24, 0.16, 0.22)))
    elif defect == "wet":
        parts.append(
            (
                "glass",
                [(-0.8, 0.4 + x), (-0.5, 0.3 + x), (-0.1, 0.55), (0.3, 0.66), (0.62, 0.5), (0.62, 0.85), (-0.8, 0.85)],
            )
        )
    return parts


DRAWERS: dict[str, Drawer] = {
    "cat": cat, "dog": dog, "fish": fish, "bird": bird,
    "car": car, "truck": truck, "boat": boat, "plane": plane,
    "apple": apple, "banana": banana, "mushroom": mushroom, "cupcake": cupcake,
    "house": house, "castle": castle, "cup": cup, "parcel": parcel,
}  # fmt: skip
CONCEPTS = tuple(DRAWERS)
SUPERCLASSES = {
    "animal": ("cat", "dog", "fish", "bird"),
    "vehicle": ("car", "truck", "boat", "plane"),
    "food": ("apple", "banana", "mushroom", "cupcake"),
    "building": ("house", "castle"),
    "household": ("cup", "parcel"),
}
SUPERCLASS_OF = {concept: name for name, members in SUPERCLASSES.items() for concept in members}
