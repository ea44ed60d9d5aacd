"""Polygons onto pixels: drawn at twice the size and reduced, so that the same seed gives the same bytes."""

import math

import numpy as np
from PIL import Image, ImageDraw

from vfm_course.world.palette import COLOURS, role_colour
from vfm_course.world.shapes import Part, Point

OVERSAMPLING = 2
INK = (25, 25, 30)


def place(parts: list[Part], centre: Point, scale: float, angle: int, flipped: bool) -> list[Part]:
    """Moves parts from the unit square to the canvas: mirror, turn by `angle` degrees, scale, shift to `centre`."""
    cos, sin = math.cos(math.radians(angle)) * scale, math.sin(math.radians(angle)) * scale
    mirror = -1 if flipped else 1
    placed = []
    for role, points in parts:
        moved = [
            (round(centre[0] + mirror * x * cos - y * sin, 3), round(centre[1] + mirror * x * sin + y * cos, 3))
            for x, y in points
        ]
        placed.append((role, moved))
    return placed


def draw_object(
    canvas: Image.Image, parts: list[Part], colour: str, style: str, rng: np.random.Generator
) -> Image.Image:
    """Draws placed parts onto `canvas` (RGB, oversampled) and returns the object's mask (mode L, 0 or 255)."""
    main = COLOURS[colour]
    line = max(2, round(canvas.width / 64))
    silhouette = Image.new("L", canvas.size, 0)
    mask_pen = ImageDraw.Draw(silhouette)
    for _, points in parts:
        mask_pen.polygon(points, fill=255)
    if style in ("inked", "outlined"):
        for _, points in parts:
            mask_pen.line([*points, points[0]], fill=255, width=line, joint="curve")
    layer = canvas.copy() if style == "grainy" else canvas
    pen = ImageDraw.Draw(layer)
    if style == "outlined":
        # The inside is paper with a breath of the colour, so that a line drawing still covers what lies behind it.
        pale = tuple((value + 4 * 245) // 5 for value in main)
        dark = tuple(value * 4 // 5 for value in main)
        for _, points in parts:
            pen.polygon(points, fill=pale)
            pen.line([*points, points[0]], fill=dark, width=line, joint="curve")
    else:
        for role, points in parts:
            pen.polygon(points, fill=role_colour(role, main))
            if style == "inked":
                pen.line([*points, points[0]], fill=INK, width=line, joint="curve")
    if style == "grainy":
        cells = rng.integers(-55, 56, (canvas.height // 2, canvas.width // 2)).astype(np.int16)
        grain = np.repeat(np.repeat(cells, 2, axis=0), 2, axis=1)[..., None]
        textured = np.clip(np.asarray(layer, dtype=np.int16) + grain, 0, 255).astype(np.uint8)
        canvas.paste(Image.fromarray(textured), mask=silhouette)
    return silhouette


def draw_distractor(canvas: Image.Image, rng: np.random.Generator) -> None:
    """A small meaningless triangle, square or disc."""
    size = canvas.width
    x, y = rng.integers(0, size, 2).tolist()
    radius = int(rng.integers(size // 40, size // 14))
    colour = tuple(rng.integers(30, 240, 3).tolist())
    pen = ImageDraw.Draw(canvas)
    corners = int(rng.integers(3, 6))
    if corners == 5:
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
        return
    start = int(rng.integers(0, 360))
    points = [
        (
            x + radius * math.cos(math.radians(start + 360 * k / corners)),
            y + radius * math.sin(math.radians(start + 360 * k / corners)),
        )
        for k in range(corners)
    ]
    pen.polygon([(round(px, 3), round(py, 3)) for px, py in points], fill=colour)


def light_and_noise(image: np.ndarray, light: float, noise: int, rng: np.random.Generator) -> np.ndarray:
    """Sideways or downward light (`light` from -1 to 1) and sensor noise of at most `noise` grey levels, uint8 out."""
    size = image.shape[0]
    ramp = np.arange(size, dtype=np.float32) / size - 0.5
    ramp = ramp[None, :, None] if rng.random() < 0.5 else ramp[:, None, None]
    lit = image.astype(np.float32) * (1 + np.float32(light) * 0.6 * ramp)
    if noise:
        lit = lit + rng.integers(-noise, noise + 1, image.shape).astype(np.float32)
    return np.clip(lit, 0, 255).astype(np.uint8)
