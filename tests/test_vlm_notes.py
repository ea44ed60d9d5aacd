"""Notes, what a reader of notes practises, and aligning with them, each held against the scenes themselves."""

import re
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from vfm_course.errors import UserError
from vfm_course.pretraining.regions import middle_patches
from vfm_course.vlm.align import align, of_squares, of_things
from vfm_course.vlm.notes import SLIPS, NoteEmbedding, load_notes, loose, notes_of, save_notes, squared
from vfm_course.vlm.practice import HARD, Speller, detailed, drill, listed, paired
from vfm_course.vlm.tokenizer import SPECIAL, vlm_tokenizer
from vfm_course.world.captions import LEVELS, caption
from vfm_course.world.concepts import SUPERCLASSES
from vfm_course.world.placed_text import placed_text, words
from vfm_course.world.question_stream import QuestionStream
from vfm_course.world.vqa import vqa_world

KNOWN = SPECIAL + words()
WIDTH = 12


@pytest.fixture(scope="module")
def scenes():
    return vqa_world(4000).sample(120)


@pytest.fixture
def embedding():
    torch.manual_seed(0)
    return NoteEmbedding(WIDTH).requires_grad_(False)


@pytest.fixture
def vocabulary():
    torch.manual_seed(1)
    found = nn.Embedding(len(KNOWN), WIDTH).requires_grad_(False)
    found.weight.mul_(0.2)
    return found


def by_hand(scene) -> list[tuple]:
    """(concept, colour, x, y, size) of each thing, from its pixels."""
    return [(KNOWN.index(each.concept), KNOWN.index(each.colour), int(each.centre[0] // 4), int(each.centre[1] // 4),
             int(each.extent * 32)) for each in scene.objects]  # fmt: skip


# Notes ----------------------------------------------------------------------------------------------------------------
def test_a_note_holds_what_a_thing_is_and_where(scenes):
    for scene in scenes:
        assert [tuple(note) for note in notes_of(scene).tolist()] == by_hand(scene)


def test_what_reaches_over_the_frame_is_told_by_the_last_step(scenes):
    first, *others = scenes[0].objects
    far = replace(scenes[0], objects=(replace(first, centre=(64.5, -0.5), extent=1.2), *others))
    assert notes_of(far)[0].tolist()[2:] == [15, 0, 31] and squared([far])[0, 7].tolist() == notes_of(far)[0].tolist()


def test_a_note_is_the_sum_of_its_embeddings_and_an_empty_one_is_nothing(scenes, embedding, vocabulary):
    table = loose(scenes[:3], np.random.default_rng(0))
    found = embedding(vocabulary, torch.from_numpy(table))
    assert found.shape == (3, SLIPS, WIDTH)
    for row, notes in zip(found, table.tolist(), strict=True):
        for vector, (concept, colour, x, y, size) in zip(row, notes, strict=True):
            if concept < 0:
                assert torch.equal(vector, embedding.nothing)
                continue
            parts = [vocabulary.weight[concept], vocabulary.weight[colour], embedding.x.weight[x],
                     embedding.y.weight[y], embedding.size.weight[size]]  # fmt: skip
            assert torch.allclose(vector, torch.stack(parts).sum(0), atol=1e-6)


def test_loose_notes_are_all_there_on_slips_by_chance(scenes):
    table = loose(scenes, np.random.default_rng(0))
    used = Counter()
    for notes, scene in zip(table.tolist(), scenes, strict=True):
        filled = [(slip, tuple(note)) for slip, note in enumerate(notes) if note[0] >= 0]
        assert sorted(note for _, note in filled) == sorted(by_hand(scene))
        used.update(slip for slip, _ in filled)
        assert all(note == [-1] * 5 for note in notes if note[0] < 0)
    assert len(used) == SLIPS and max(used.values()) < 3 * min(used.values())


def test_with_few_slips_the_farthest_things_are_left_out(scenes):
    for notes, scene in zip(loose(scenes, np.random.default_rng(0), slips=2).tolist(), scenes, strict=True):
        assert sorted(map(tuple, notes)) == sorted(by_hand(scene)[:2])


def test_squared_notes_lie_where_the_middles_are_and_of_two_the_nearer_stays(scenes):
    crowded = []
    for scene in scenes[:20]:  # the last thing is put where the first one is
        first, *others, last = scene.objects
        crowded.append(replace(scene, objects=(first, *others, replace(last, centre=first.centre))))
    shared = 0
    for notes, scene in zip(squared([*scenes, *crowded]).tolist(), [*scenes, *crowded], strict=True):
        wanted = {}
        for note, thing in zip(by_hand(scene), scene.objects, strict=True):
            square = int(thing.centre[1] // 8) * 8 + int(thing.centre[0] // 8)
            shared += square in wanted
            wanted.setdefault(square, note)
        assert {square: tuple(note) for square, note in enumerate(notes) if note[0] >= 0} == wanted
        assert len(notes) == 64
    assert shared >= 20


def test_the_middle_patch_is_where_the_squared_note_is(scenes):
    for scene in scenes[:40]:
        centres = torch.tensor([thing.centre for thing in scene.objects])
        filled = {square for square, note in enumerate(squared([scene])[0]) if note[0] >= 0}
        assert set(middle_patches(centres, 8, 64).tolist()) == filled
    assert middle_patches(torch.tensor([[64.0, 0.0], [7.9, 8.0]]), 8, 64).tolist() == [7, 8]


def test_notes_are_stored_beside_the_language_model(embedding, tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path.name} has no notes.safetensors"):
        load_notes(tmp_path)
    save_notes(embedding, tmp_path)
    again = load_notes(tmp_path)
    assert all(torch.equal(weight, embedding.state_dict()[name]) for name, weight in again.state_dict().items())
    assert not any(weight.requires_grad for weight in again.parameters())


# Practice -------------------------------------------------------------------------------------------------------------
def turns(parts) -> list[tuple[str, str]]:
    assert [says for _, says in parts] == [False, True] * (len(parts) // 2)
    return [(asked.removeprefix("Question: ").removesuffix(" Answer:"), said.removesuffix("<end>"))
            for (asked, _), (said, _) in zip(parts[::2], parts[1::2], strict=True)]  # fmt: skip


def test_a_speller_spells_as_the_tokenizer(scenes):
    rng, speller, tokenizer = np.random.default_rng(0), Speller(), vlm_tokenizer(begin=False)
    stream = QuestionStream(rng, HARD)
    for scene in scenes:
        parts = [(f"picture: {placed_text(scene)}<end>", False), ("caption:", False)]
        parts += [(f"{caption(scene, level)}<end>", True) for level in LEVELS]
        parts += [*detailed(scene, rng), *drill(stream, scene), *paired(scene, rng), *listed(scene, np.arange(2))]
        spelt = speller(parts)
        assert [number for number, _ in spelt] == tokenizer("".join(text for text, _ in parts))["input_ids"]
        learnt = [number for number, says in spelt if says]
        assert learnt == tokenizer("".join(text for text, says in parts if says))["input_ids"]


def test_a_list_tells_the_things_in_its_order(scenes):
    scene = next(scene for scene in scenes if len(scene.objects) == 3)
    told = [f"the {each.concept} is {each.colour} at {int(each.centre[0] // 4)} {int(each.centre[1] // 4)}"
            for each in scene.objects]  # fmt: skip
    assert turns(listed(scene, np.array([2, 0, 1]))) == [("What is there?", ", ".join(told[i] for i in (2, 0, 1)))]


def test_pairs_are_true_and_come_in_three_kinds_and_any_order(scenes):
    rng, kinds, moved = np.random.default_rng(0), Counter(), 0
    for scene in scenes:
        ((asked, said),) = turns(paired(scene, rng))
        kinds[asked] += 1
        wanted = [{"What colour?": f"{each.concept} {each.colour}", "Which thing?": f"{each.colour} {each.concept}",
                   "Where?": f"{each.concept} {int(each.centre[0] // 4)} {int(each.centre[1] // 4)}"}[asked]
                  for each in scene.objects]  # fmt: skip
        assert sorted(said.split(", ")) == sorted(wanted)
        moved += said.split(", ") != wanted
    assert len(kinds) == 3 and min(kinds.values()) > 20 and moved > 60


def test_details_are_true(scenes):
    rng, kinds = np.random.default_rng(0), Counter()
    for scene in scenes:
        for asked, said in turns(detailed(scene, rng)):
            places = {f"{int(each.centre[0] // 4)} {int(each.centre[1] // 4)}": each for each in scene.objects}
            kinds[" ".join(asked.split()[:2])] += 1
            if asked.startswith("What is at"):
                where = asked.removeprefix("What is at ").removesuffix("?")
                assert said in [f"{each.colour} {each.concept}" for place, each in places.items() if place == where]
                continue
            name = asked.split(" is the ")[1].removesuffix("?").split()
            meant = [each for each in scene.objects
                     if each.concept == name[-1] and (len(name) == 1 or each.colour == name[0])]  # fmt: skip
            if len(name) == 1:
                assert len(meant) == 1
            if asked.startswith("What colour"):
                assert said in [each.colour for each in meant]
            else:
                assert said in [f"{int(each.centre[0] // 4)} {int(each.centre[1] // 4)}" for each in meant]
    assert set(kinds) == {"What colour", "Where is", "What is"} and min(kinds.values()) > 150


def singular(noun: str) -> str:
    return noun if noun == "fish" else noun.removesuffix("s")


def fitting(scene, phrase: str) -> int:
    """How many things a phrase such as "red cats" or "food items" fits."""
    *colour, noun = phrase.replace(" items", "s").replace(" item", "").split()
    noun = singular(noun)
    return sum(
        (noun in ("thing", each.concept) or each.concept in SUPERCLASSES.get(noun, ()))
        and (not colour or colour[0] == each.colour)
        for each in scene.objects
    )


def only(scene, concept: str):
    """The one thing of this concept."""
    (thing,) = [each for each in scene.objects if each.concept == concept]
    return thing


def clearly(relation: str, one, other) -> bool | None:
    """Whether it holds, None where a person might say either: by an eighth of 64 pixels, or 15 % of size."""
    if relation in ("in front of", "behind"):
        near, far = (one, other) if one.depth < other.depth else (other, one)
        return ((near is one) == (relation == "in front of")) if near.extent >= 1.15 * far.extent else None
    axis, sign = {"left of": (0, 1), "right of": (0, -1), "above": (1, 1), "below": (1, -1)}[relation]
    gap = sign * (other.centre[axis] - one.centre[axis])
    return True if gap >= 8 else None if gap > 0 else False


def by_eye(scene, asked: str) -> tuple[str, str]:
    """The kind of a drilled question, and the answer that the things of the scene give."""
    asked = asked.removesuffix("?")
    if found := re.fullmatch("How many (.+) are there", asked):
        return "count", str(fitting(scene, found[1]))
    if found := re.fullmatch("Are there more (.+) than (.+)", asked):
        return "more", "yes" if fitting(scene, found[1]) > fitting(scene, found[2]) else "no"
    if found := re.fullmatch("Is there an? (.+) (and|or) an? (.+)", asked):
        there = [fitting(scene, found[1]) > 0, fitting(scene, found[3]) > 0]
        return found[2], "yes" if (all if found[2] == "and" else any)(there) else "no"
    if found := re.fullmatch("Is there an? (.+)", asked):
        return "exists", "yes" if fitting(scene, found[1]) else "no"
    if found := re.fullmatch(r"Are the (\w+) and the (\w+) of the same colour", asked):
        return "same colour", "yes" if only(scene, found[1]).colour == only(scene, found[2]).colour else "no"
    if found := re.fullmatch(r"Is the (\w+) in the left or right half of the picture", asked):
        x = only(scene, found[1]).centre[0]
        assert abs(x - 32) >= 4, "too near to the middle to be asked"
        return "side", "left" if x < 32 else "right"
    if found := re.fullmatch(r"Is the (\w+) (\w+)", asked):
        return "colour", "yes" if only(scene, found[1]).colour == found[2] else "no"
    one, between, other = re.fullmatch(r"Is the (\w+) (.+) the (\w+)", asked).groups()
    one, other = only(scene, one), only(scene, other)
    if between in ("left or right of", "above or below", "in front of or behind"):
        for relation in ("left of", "right of", "above", "below", "in front of", "behind"):
            if set(relation.split()) <= set(between.split()) and clearly(relation, one, other):
                return between, relation.removesuffix(" of")
        raise AssertionError("the picture leaves open which")
    return "placed", {True: "yes", False: "no"}[clearly(between, one, other)]


def test_drills_are_true_and_their_answers_spread(scenes):
    stream, given = QuestionStream(np.random.default_rng(0), HARD), defaultdict(Counter)
    for scene in scenes:
        found = turns(drill(stream, scene)) + turns(drill(stream, scene, 16))
        assert len(found) == 24
        for asked, said in found:
            kind, wanted = by_eye(scene, asked)
            assert said == wanted, asked
            given[kind][said] += 1
    even = {"yes": 0.4, "no": 0.4}
    spread = dict.fromkeys(("more", "exists", "colour", "placed", "or"), even)
    spread |= dict.fromkeys(("and", "same colour"), {"yes": 0.25, "no": 0.4})  # few scenes have what is a yes
    spread |= {"count": {"0": 0.15, "1": 0.15, "2": 0.15, "3": 0.1, "4": 0.05}, "side": {"left": 0.4, "right": 0.4},
               "left or right of": {"left": 0.4, "right": 0.4}, "above or below": {"above": 0.4, "below": 0.4},
               "in front of or behind": {"in front": 0.4, "behind": 0.4}}  # fmt: skip
    assert set(given) == set(spread)
    for kind, shares in spread.items():
        total = sum(given[kind].values())
        assert total > 50 and all(given[kind][said] > share * total for said, share in shares.items()), given[kind]


# Aligning -------------------------------------------------------------------------------------------------------------
def test_the_loss_of_squares_by_hand():
    tokens = torch.tensor([[[1.0, 0.0], [0.0, 0.0], [2.0, 2.0]]])
    targets = torch.tensor([[[0.0, 0.0], [0.0, 4.0], [2.0, 0.0]]])
    filled = torch.tensor([[True, False, True]])
    # Things: half of 1 and half of 4; the empty one: half of 16.
    assert of_squares(tokens, targets, filled).item() == pytest.approx((0.5 + 2.0) / 2 + 0.5 * 8.0)
    assert of_squares(tokens, targets, torch.zeros_like(filled)).item() == pytest.approx(
        0.5 * (tokens - targets).pow(2).mean().item()
    )


def test_things_are_dealt_out_to_the_nearest_queries():
    torch.manual_seed(0)
    tokens, nothing = torch.randn(2, 4, 3), torch.randn(3)
    things = [torch.randn(2, 3), torch.randn(3, 3)]
    near, rest = [], []
    for row, notes in enumerate(things):

        def cost(order, row=row, notes=notes):
            own = [(tokens[row, q] - notes[n]).square().mean().item() for n, q in enumerate(order)]
            left = [(tokens[row, q] - nothing).square().mean().item() for q in range(4) if q not in order]
            return sum(own) + 0.5 * sum(left), own, left

        _, own, left = min(cost(order) for order in permutations(range(4), len(notes)))
        near, rest = near + own, rest + left
    wanted = np.mean(near) + 0.5 * np.mean(rest)
    assert of_things(tokens, things, nothing).item() == pytest.approx(wanted, abs=1e-5)
    mixed = tokens[:, torch.tensor([2, 0, 3, 1])]
    assert of_things(mixed, things, nothing).item() == pytest.approx(wanted, abs=1e-5)


def test_with_more_things_than_queries_the_nearest_are_told():
    tokens = torch.zeros(1, 2, 3)
    things = [torch.tensor([[1.0] * 3, [2.0] * 3, [30.0] * 3])]
    assert of_things(tokens, things, torch.ones(3)).item() == pytest.approx((1 + 4) / 2)


@pytest.mark.parametrize("kind", ["patches", "cls", "queries", "unit"])
def test_aligning_teaches_the_connector_and_nothing_else(kind, scenes, embedding, vocabulary):
    """From features in which the notes lie, turned and stretched."""
    torch.manual_seed(2)
    turn = torch.linalg.qr(torch.randn(WIDTH, WIDTH))[0]
    table = torch.from_numpy(squared(scenes))
    features = (embedding(vocabulary, table) @ turn * 0.5).numpy()
    if kind == "cls":  # what it holds is to be told by no token
        features = np.concatenate([features[:, :1] + 9, features], axis=1)
    embedding.requires_grad_(True)
    vocabulary.requires_grad_(True)

    class Queries(nn.Module):
        """Sees the patches where things are, by a weight that is given; what it learns is the way back."""

        def __init__(self):
            super().__init__()
            self.back = nn.Linear(WIDTH, WIDTH)

        def forward(self, patches):
            far = (patches - patches.median(dim=1, keepdim=True).values).norm(dim=-1)
            return self.back(patches.gather(1, far.topk(6).indices[..., None].expand(-1, -1, WIDTH)))

    connector = nn.Linear(WIDTH, WIDTH) if kind in ("patches", "cls") else Queries()
    before = [weight.detach().clone() for weight in (*vocabulary.parameters(), *embedding.parameters())]
    shown = []
    curve = align(connector, features, scenes, vocabulary, embedding, 32 * 400, unit=kind == "unit", learning_rate=1e-2,
                  show=lambda seen, point: shown.append((seen, point)))  # fmt: skip
    first, last = curve.points[0]["notes"], curve.points[-1]["notes"]
    assert last < (0.05 if kind in ("patches", "cls") else 0.3) * first, (first, last)
    after = [*vocabulary.parameters(), *embedding.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert shown == [(point["samples"], point) for point in curve.points] and shown[-1][0] == 32 * 400
    with torch.no_grad():
        told = connector(torch.from_numpy(features[:20]))
    if kind == "unit":  # as large as a layer norm's outputs, of which the notes are a fraction
        wanted = torch.cat([embedding(vocabulary, torch.from_numpy(notes_of(each))[None])[0] for each in scenes])
        scale = wanted.var(dim=0).mean().rsqrt()
        assert told.std() == pytest.approx((scale * wanted).std().item(), rel=0.5) and scale > 2


def test_the_same_seed_aligns_in_the_same_way(scenes, embedding, vocabulary):
    def run(seed: int) -> SimpleNamespace:
        torch.manual_seed(0)
        connector = nn.Linear(WIDTH, WIDTH)
        features = torch.randn(len(scenes), 64, WIDTH, generator=torch.Generator().manual_seed(5)).numpy()
        return align(connector, features, scenes, vocabulary, embedding, 96, seed=seed).points

    assert run(1) == run(1) != run(2)
