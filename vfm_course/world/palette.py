"""Colours of objects, fixed roles and the six backgrounds."""

import numpy as np

COLOURS = {
    "red": (214, 48, 49), "orange": (240, 140, 40), "yellow": (245, 205, 60), "green": (60, 165, 80),
    "blue": (55, 110, 215), "purple": (140, 75, 180), "brown": (140, 92, 55), "grey": (140, 145, 150),
}  # fmt: skip
FIXED = {
    "white": (248, 248, 245), "black": (28, 28, 32), "dark": (70, 70, 78), "pink": (240, 160, 170),
    "glass": (165, 215, 235), "cream": (244, 226, 190), "orange": (240, 140, 40), "yellow": (250, 220, 90),
    "brown": (110, 70, 45), "green": (60, 150, 70), "red": (205, 40, 50),
}  # fmt: skip
BACKGROUNDS = ("plain", "striped", "checked", "cloudy", "dotted", "streaked")


def role_colour(role: str, main: tuple[int, int, int]) -> tuple[int, int, int]:
    """Colour of a part: `main`, `shade` (darker) and `tint` (lighter) follow the object, other roles are fixed."""
    if role == "main":
        return main
    if role == "shade":
        return tuple(value * 7 // 10 for value in main)
    if role == "tint":
        return tuple(value + (255 - value) * 2 // 5 for value in main)
    return FIXED[role]


def paint_background(kind: str, size: int, rng: np.random.Generator) -> np.ndarray:
    """Background of (size, size, 3) in 0 to 255, float32. Two pale or dark tones and a pattern of random phase."""
    first = rng.integers(90, 246, 3).astype(np.float32)
    second = np.clip(first + rng.integers(-75, 76, 3), 30, 255).astype(np.float32)
    line = np.arange(size, dtype=np.float32) / size
    x, y = line[None, :], line[:, None]
    period, phase = int(rng.integers(4, 11)), np.float32(rng.random())
    if kind == "plain":
        weight = np.clip(x * np.float32(rng.random()) + y * np.float32(rng.random()), 0, 1)
    elif kind == "striped":
        slope = np.float32(rng.uniform(-1, 1))
        weight = (((x + slope * y) * period + phase) % 1 < 0.5).astype(np.float32)
    elif kind == "checked":
        weight = ((np.floor(x * period + phase) + np.floor(y * period + phase)) % 2).astype(np.float32)
    elif kind == "cloudy":
        weight = _smooth_noise(4, 4, size, rng)
    elif kind == "dotted":
        dx, dy = (x * period + phase) % 1 - 0.5, (y * period + phase) % 1 - 0.5
        weight = (dx * dx + dy * dy < 0.09).astype(np.float32)
    else:
        weight = _smooth_noise(2, 24, size, rng)
    weight = np.broadcast_to(weight, (size, size))[..., None]
    return first * (1 - weight) + second * weight


def _smooth_noise(rows: int, columns: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Random values on a coarse grid, interpolated linearly to (size, size)."""
    grid = rng.random((rows + 1, columns + 1)).astype(np.float32)
    y, x = (np.arange(size, dtype=np.float32) / size * count for count in (rows, columns))
    top, left = y.astype(int), x.astype(int)
    fy, fx = (y - top)[:, None], (x - left)[None, :]
    upper = grid[top][:, left] * (1 - fx) + grid[top][:, left + 1] * fx
    lower = grid[top + 1][:, left] * (1 - fx) + grid[top + 1][:, left + 1] * fx
    return upper * (1 - fy) + lower * fy
