"""The few primitives from which every drawn thing is made: polygons in a square of -1 to 1, y pointing down."""

import math

Point = tuple[float, float]
Part = tuple[str, list[Point]]  # (role that gets a colour, corners)

ELLIPSE_CORNERS = 22


def ellipse(x: float, y: float, width: float, height: float, turn: float = 0.0) -> list[Point]:
    """Corners of an ellipse of half-axes `width` and `height` around (x, y), turned by `turn` degrees."""
    return arc(x, y, width, height, 0, 360, turn)[:-1]


def arc(x: float, y: float, width: float, height: float, start: float, stop: float, turn: float = 0.0) -> list[Point]:
    """Corners of a piece of an ellipse, from `start` to `stop` degrees (0 is right, 90 is down)."""
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    points = []
    for step in range(ELLIPSE_CORNERS + 1):
        angle = math.radians(start + (stop - start) * step / ELLIPSE_CORNERS)
        dx, dy = width * math.cos(angle), height * math.sin(angle)
        points.append((x + dx * cos - dy * sin, y + dx * sin + dy * cos))
    return points


def box(left: float, top: float, right: float, bottom: float) -> list[Point]:
    """Corners of an upright rectangle."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]
