"""The drawn world keeps its promises: same seed, same bytes; true masks, boxes and relations; honest captions."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from vfm_course.errors import UserError
from vfm_course.world import BACKGROUNDS, COLOURS, CONCEPTS, DEFECTS, STYLES, SUPERCLASSES, World, caption, vocabulary
from vfm_course.world.captions import random_caption
from vfm_course.world.lettering import CORNERS, lettering, put_sign, random_look, random_sign, sign

# Measured on Linux x86-64; a platform that draws other bytes would show other pictures than the course describes.
KNOWN_BYTES = "cea11f3edf548b6f4ffedf73893d10887d15e24c27d023a8e8fd7a7b78b47521"


def digest(world: World, n: int) -> str:
    return hashlib.sha256(b"".join(scene.image.tobytes() for scene in world.sample(n))).hexdigest()


def test_size_of_the_world():
    assert len(CONCEPTS) == 16 and len(SUPERCLASSES) == 5 and len(COLOURS) == 8
    assert len(STYLES) == 4 and len(BACKGROUNDS) == 6
    assert sorted(CONCEPTS) == sorted(name for members in SUPERCLASSES.values() for name in members)


def test_same_seed_same_bytes_and_other_seed_other_bytes():
    assert digest(World(7, 64, objects=(1, 3)), 32) == KNOWN_BYTES
    assert digest(World(8, 64, objects=(1, 3)), 32) != KNOWN_BYTES


def test_a_scene_does_not_depend_on_the_order_of_drawing():
    world = World(5, 48)
    later = world.sample(3, start=4)
    assert [scene.index for scene in later] == [4, 5, 6]
    assert np.array_equal(later[1].image, World(5, 48).scene(5).image)
    stream = World(5, 48).stream(start=5)
    assert np.array_equal(next(stream).image, later[1].image)


def test_every_value_occurs():
    scenes = World(1, 32).sample(400)
    assert {scene.main.concept for scene in scenes} == set(CONCEPTS)
    assert {scene.main.colour for scene in scenes} == set(COLOURS)
    assert {scene.main.style for scene in scenes} == set(STYLES)
    assert {scene.background for scene in scenes} == set(BACKGROUNDS)


def test_masks_are_disjoint_inside_their_boxes_and_ordered_in_depth():
    for scene in World(2, 64, objects=(2, 6)).sample(200):
        assert sum(thing.mask.astype(int) for thing in scene.objects).max() == 1
        assert [thing.depth for thing in scene.objects] == list(range(len(scene.objects)))
        assert scene.objects[0].visible == 1
        for thing in scene.objects:
            assert thing.visible > 0.15, "a scene graph must not speak of what nobody can see"
            left, top, right, bottom = thing.box
            inside = thing.mask[top:bottom, left:right]
            assert inside.sum() == thing.mask.sum()
            if thing.mask.any():
                assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()


def test_the_mask_is_where_the_object_is():
    """The same scene with another concept differs inside the union of both masks and nowhere else."""
    world = World(3, 64, difficulty=0)
    for index in range(20):
        one, other = world.scene(index, concept="cat"), world.scene(index, concept="boat")
        changed = (one.image != other.image).any(axis=2)
        union = one.foreground() | other.foreground()
        grown = union.copy()
        for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):  # half-covered pixels of the edge
            grown |= np.roll(union, step, axis)
        assert changed.sum() > 100
        assert (changed & ~grown).mean() < 0.005


def test_relations_agree_with_the_centres():
    for scene in World(4, 64, objects=3).sample(30):
        relations = scene.relations()
        for one, name, other in relations:
            a, b = scene.objects[one], scene.objects[other]
            if name == "left of":
                assert a.centre[0] < b.centre[0] and (other, "right of", one) in relations
            if name == "above":
                assert a.centre[1] < b.centre[1] and (other, "below", one) in relations
            if name == "in front of":
                assert a.depth < b.depth and (other, "behind", one) in relations


def test_captions_say_what_is_there_in_known_words():
    known, rng = set(vocabulary()), np.random.default_rng(0)
    for scene in World(6, 48, objects=(1, 3)).sample(80):
        assert set(random_caption(scene, rng).split()) <= known
        full = caption(scene, "full")
        assert set(full.split()) <= known
        assert scene.background in full and all(thing.concept in full for thing in scene.objects)
    apple = next(
        scene for scene in World(6, 48).stream() if (scene.main.concept, scene.main.colour) == ("apple", "orange")
    )
    assert caption(apple, "colour", "a photo of {}") == "a photo of an orange apple"


def test_the_readme_shows_what_the_code_prints():
    scene = World(seed=0, size=64, objects=(2, 3)).scene(0)
    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
    assert caption(scene, "full") in readme
    assert (0, "left of", 1) in scene.relations() and "(0, 'left of', 1)" in readme


def test_a_caption_of_three_relates_the_nearest_to_both():
    scene = World(6, 64, objects=3).scene(0)
    nearest, *others = scene.objects
    said = caption(scene, "full")
    assert said.count(" and ") == 1
    for number, other in enumerate(others, start=1):
        relation = next(name for one, name, two in scene.relations() if (one, two) == (0, number))
        assert f"{relation} {'an' if other.colour == 'orange' else 'a'} {other.colour} {other.concept}" in said


def test_defects_show():
    scenes = World(9, 64, concepts=("parcel",), defects=True, difficulty=0).sample(60)
    assert {scene.main.defect for scene in scenes} == set(DEFECTS)
    intact = World(9, 64, concepts=("parcel",), difficulty=0).sample(60)
    for damaged, whole in zip(scenes, intact, strict=True):
        assert np.array_equal(damaged.image, whole.image) == (damaged.main.defect == "intact")


def test_a_fixed_concept_has_the_defect_that_is_drawn():
    world, plain = World(9, 64, defects=True, difficulty=0), World(9, 64, difficulty=0)
    parcels = [world.scene(index, concept="parcel") for index in range(40)]
    assert {scene.main.defect for scene in parcels} == set(DEFECTS)
    for index, scene in enumerate(parcels):
        same = np.array_equal(scene.image, plain.scene(index, concept="parcel").image)
        assert same == (scene.main.defect == "intact")
    assert all(world.scene(index, concept="cat").main.defect is None for index in range(40))


def test_in_perspective_what_is_farther_is_smaller_whole_and_seen():
    for scene in World(10, 64, objects=(2, 6), perspective=True).sample(200):
        extents = [thing.extent for thing in scene.objects]
        assert extents == sorted(extents, reverse=True), "nearest first"
        for thing in scene.objects:
            assert all(thing.extent * 32 - 1e-6 <= each <= 64 - thing.extent * 32 + 1e-6 for each in thing.centre)
            assert thing.visible > 0.25, "a large thing in front must not hide a small one"


def test_perspective_draws_nothing_else_at_random():
    plain, deep = World(11, 64, objects=(2, 4)), World(11, 64, objects=(2, 4), perspective=True)
    same = 0
    for flat, far in zip(plain.sample(60), deep.sample(60), strict=True):
        for name in ("concept", "colour", "style", "angle", "flipped"):
            assert [getattr(thing, name) for thing in flat.objects] == [getattr(thing, name) for thing in far.objects]
        assert (flat.background, flat.light, flat.noise) == (far.background, far.light, far.noise)
        if sorted((thing.extent for thing in flat.objects), reverse=True) == [thing.extent for thing in flat.objects]:
            same += np.array_equal(flat.image, far.image)
    assert same, "where the sizes agree with the depths already, nothing is changed"
    one = World(11, 64).scene(0)
    assert np.array_equal(one.image, World(11, 64, perspective=True).scene(0).image)


def test_distances_are_those_of_the_visible_things():
    for scene in World(12, 64, objects=3, perspective=True).sample(20):
        far = scene.distances()
        assert far.shape == (64, 64) and far.dtype == np.float32
        assert np.array_equal(np.isinf(far), ~scene.foreground())
        seen = [far[thing.mask] for thing in scene.objects]
        assert all(np.allclose(each, 1 / thing.extent) for each, thing in zip(seen, scene.objects, strict=True))
        assert far.min() == seen[0].min() > 1 and seen[0].max() <= seen[1].min() <= seen[1].max() <= seen[2].min()


def test_letters_are_what_they_look_like_and_differ():
    rows = ["".join(" #"[int(dot)] for dot in row) for row in lettering("Tip")]
    assert rows == [
        "##### ### #### ",
        "  #    #  #   #",
        "  #    #  #   #",
        "  #    #  #### ",
        "  #    #  #    ",
        "  #    #  #    ",
        "  #   ### #    ",
    ]
    letters = [np.pad(lettering(letter), ((0, 0), (0, 2)))[:, :5] for letter in "abcdefghijklmnopqrstuvwxyz"]
    assert min((one != other).sum() for i, one in enumerate(letters) for other in letters[:i]) >= 2
    assert np.array_equal(lettering("dog", 3)[1::3, 1::3], lettering("dog")) and lettering("dog", 3).shape[0] == 21


def test_every_concept_fits_on_a_sign_at_64_pixels():
    image = np.zeros((64, 64, 3), np.uint8)
    for concept in CONCEPTS:
        for corner in CORNERS:
            assert (put_sign(image, concept, corner) > 0).any()


def test_a_sign_lies_where_it_was_put_and_nowhere_else():
    image = np.full((40, 60, 3), 7, np.uint8)
    stuck = put_sign(image, "cat", (5, 9), ink=(1, 2, 3), paper=(200, 210, 220))
    (height, width), changed = sign("cat").shape[:2], (stuck != image).any(axis=2)
    assert (image == 7).all() and changed.sum() == height * width and changed[9 : 9 + height, 5 : 5 + width].all()
    assert ((stuck == (1, 2, 3)).all(axis=2)[11:18, 7 : 7 + width - 4] == lettering("cat")).all()
    left, right = put_sign(image, "cat", "top left"), put_sign(image, "cat", "bottom right")
    assert np.array_equal(left[:height, :width], sign("cat")) and np.array_equal(right[-height:, -width:], sign("cat"))
    assert len(np.unique(sign("cat", ink=(9, 9, 9), paper=(9, 9, 9)))) == 1, "a blank sign"


def test_random_signs_differ_and_repeat():
    image = World(1, 64).scene(0).image
    signs = [random_sign(image, "mushroom", np.random.default_rng(seed)) for seed in range(20)]
    assert np.array_equal(signs[0], random_sign(image, "mushroom", np.random.default_rng(0)))
    assert len({each.tobytes() for each in signs}) == 20
    looks = [random_look("cat", (128, 150), np.random.default_rng(seed)) for seed in range(200)]
    assert {look["scale"] for look in looks} == {2}
    assert {sum(look["ink"]) < sum(look["paper"]) for look in looks} == {True, False}
    assert all(abs(sum(look["ink"]) - sum(look["paper"])) >= 300 for look in looks), "legible"
    other = random_look("dog", (128, 150), np.random.default_rng(3))  # as long a word
    assert other == looks[3]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("cat", (50, 9)), "does not fit at \\(50, 9\\) into a picture of 60 x 40"),
        (("cat", (-1, 0)), "does not fit"),
        (("mushroom", "top left", 2), "does not fit"),
        (("cat", "middle"), "no corner 'middle': choose from top left"),
        (("two words", (0, 0)), "letters a to z, and in 'two words' ' ' is none"),
        (("", (0, 0)), "there are none"),
        (("cat", (0, 0), 0), "scale of 1 or more"),
    ],
)
def test_a_sign_that_cannot_be_stuck_is_refused_in_words(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        put_sign(np.zeros((40, 60, 3), np.uint8), *arguments)


def test_a_random_sign_that_does_not_fit_is_refused():
    with pytest.raises(UserError, match="of 51 x 11 pixels does not fit into 40 x 40"):
        random_sign(np.zeros((40, 40, 3), np.uint8), "mushroom", np.random.default_rng(0))


@pytest.mark.parametrize("arguments", [{"size": 8}, {"objects": 0}, {"objects": (3, 2)}, {"concepts": ("unicorn",)}])
def test_impossible_worlds_are_refused_in_words(arguments):
    with pytest.raises(UserError):
        World(0, **arguments)
