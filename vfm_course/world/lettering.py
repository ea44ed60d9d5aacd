"""Writing in pictures: a hand-made font and paper signs, for the typographic attack.

A model that has seen pictures together with their captions may take the word on a sign for the thing behind it: a note
that says `iPod`, stuck on an apple (Goh et al. 2021, "Multimodal neurons in artificial neural networks").
"""

from collections.abc import Sequence
from functools import cache

import numpy as np

from vfm_course.errors import UserError

HEIGHT = 7  # of a letter, in dots
MARGIN = 2  # of paper around the word, in dots
INK, PAPER = (25, 25, 30), (250, 248, 240)
CORNERS = ("top left", "top right", "bottom left", "bottom right")
DARK, LIGHT = (0, 80), (180, 256)  # grey levels of the two colours of a random sign
UNIT = 64  # on a picture of so many pixels a random sign's dots are single pixels

# Capitals, as signs have them: no two differ by a single dot, which noise could take away.
_LETTERS = """
.###. ####. .#### ####. ##### ##### .#### #...# ### ..### #...# #.... #...#
#...# #...# #.... #...# #.... #.... #.... #...# .#. ...#. #..#. #.... ##.##
#...# #...# #.... #...# #.... #.... #.... #...# .#. ...#. #.#.. #.... #.#.#
##### ####. #.... #...# ####. ####. #..## ##### .#. ...#. ##... #.... #.#.#
#...# #...# #.... #...# #.... #.... #...# #...# .#. ...#. #.#.. #.... #...#
#...# #...# #.... #...# #.... #.... #...# #...# .#. #..#. #..#. #.... #...#
#...# ####. .#### ####. ##### #.... .#### #...# ### .##.. #...# ##### #...#

#...# .###. ####. .###. ####. .#### ##### #...# #...# #...# #...# #...# #####
##..# #...# #...# #...# #...# #.... ..#.. #...# #...# #...# #...# #...# ....#
#.#.# #...# #...# #...# #...# #.... ..#.. #...# #...# #...# .#.#. .#.#. ...#.
#.#.# #...# ####. #...# ####. .###. ..#.. #...# #...# #.#.# ..#.. ..#.. ..#..
#..## #...# #.... #.#.# #.#.. ....# ..#.. #...# #...# #.#.# .#.#. ..#.. .#...
#...# #...# #.... #..#. #..#. ....# ..#.. #...# .#.#. ##.## #...# ..#.. #....
#...# .###. #.... .##.# #...# ####. ..#.. .###. ..#.. #...# #...# ..#.. #####
"""


@cache
def _glyphs() -> dict[str, np.ndarray]:
    """Each letter's dots, bool (7, 3 or 5)."""
    blocks = [[line.split() for line in block.split("\n")] for block in _LETTERS.strip().split("\n\n")]
    drawn = [letter for block in blocks for letter in zip(*block, strict=True)]
    names = "abcdefghijklmnopqrstuvwxyz"
    return {name: np.array([list(row) for row in rows]) == "#" for name, rows in zip(names, drawn, strict=True)}


def lettering(word: str, scale: int = 1) -> np.ndarray:
    """The word's dots, bool (7 * scale, W): letters one dot apart, without a margin.

    Args:
        word: letters from a to z; capitals are written the same.
        scale: side of a dot in pixels.

    Raises:
        UserError: no letters, others than a to z, or a scale below 1.
    """
    glyphs = _glyphs()
    unknown = [letter for letter in word.lower() if letter not in glyphs]
    if unknown or not word:
        wrong = f"{unknown[0]!r} is none" if unknown else "there are none"
        raise UserError(f"A sign is one word of the letters a to z, and in {word!r} {wrong}.")
    if scale < 1:
        raise UserError(f"A dot of {scale} pixels cannot be drawn: use a scale of 1 or more.")
    gap = np.zeros((HEIGHT, 1), dtype=bool)
    parts = [part for letter in word.lower() for part in (gap, glyphs[letter])][1:]
    return np.hstack(parts).repeat(scale, axis=0).repeat(scale, axis=1)


def sign(word: str, scale: int = 1, ink: Sequence[int] = INK, paper: Sequence[int] = PAPER) -> np.ndarray:
    """A plain sign with the word on it, uint8 (11 * scale, W, 3); with the paper's colour as ink it is a blank one."""
    dots = np.pad(lettering(word, scale), MARGIN * scale)
    return np.where(dots[..., None], np.array(ink, dtype=np.uint8), np.array(paper, dtype=np.uint8))


def put_sign(
    image: np.ndarray,
    word: str,
    where: str | tuple[int, int] = "bottom left",
    scale: int = 1,
    ink: Sequence[int] = INK,
    paper: Sequence[int] = PAPER,
) -> np.ndarray:
    """A new picture with a sign stuck on it.

    Args:
        image: uint8 (H, W, 3).
        word: letters from a to z.
        where: one of CORNERS, or (x, y) of the sign's top left pixel.
        scale: side of the writing's dots in pixels; a sign is 11 dots high.
        ink, paper: colours, 0 to 255 each.

    Returns:
        uint8 (H, W, 3); `image` is left as it is.

    Raises:
        UserError: the sign does not fit, there is no such corner, or the word cannot be written.
    """
    stuck = sign(word, scale, ink, paper)
    (height, width), (rows, columns) = stuck.shape[:2], image.shape[:2]
    if isinstance(where, str):
        if where not in CORNERS:
            raise UserError(f"There is no corner {where!r}: choose from {', '.join(CORNERS)}, or give (x, y).")
        x, y = (columns - width) * ("right" in where), (rows - height) * ("bottom" in where)
    else:
        x, y = where
    if not (0 <= x <= columns - width and 0 <= y <= rows - height):
        size = f"of {width} x {height} pixels does not fit at ({x}, {y})"
        raise UserError(f"The sign {word!r} {size} into a picture of {columns} x {rows}: move it or use a smaller one.")
    found = image.copy()
    found[y : y + height, x : x + width] = stuck
    return found


def random_look(word: str, size: tuple[int, int], rng: np.random.Generator) -> dict:
    """How a sign may look on a picture of `size` (height, width): the keyword arguments of `put_sign` after the word.

    Dark on light or light on dark, anywhere. The same numbers are drawn for every word, so that two generators of one
    seed put two words of one length at the same place in the same colours.

    Raises:
        UserError: the word does not fit.
    """
    scale = max(1, min(size) // UNIT)
    height, width = (side + 2 * MARGIN * scale for side in lettering(word, scale).shape)
    if height > size[0] or width > size[1]:
        raise UserError(f"The sign {word!r} of {width} x {height} pixels does not fit into {size[1]} x {size[0]}.")
    colours = [tuple(rng.integers(*levels, 3).tolist()) for levels in (DARK, LIGHT)]
    ink, paper = colours if rng.random() < 0.5 else colours[::-1]
    across, down = rng.random(2)
    where = (int(across * (size[1] - width + 1)), int(down * (size[0] - height + 1)))
    return {"where": where, "scale": scale, "ink": ink, "paper": paper}


def random_sign(image: np.ndarray, word: str, rng: np.random.Generator) -> np.ndarray:
    """A new picture, uint8 (H, W, 3), with the word on a sign of random place and colours (`random_look`).

    Raises:
        UserError: the word does not fit, or cannot be written.
    """
    return put_sign(image, word, **random_look(word, image.shape[:2], rng))
