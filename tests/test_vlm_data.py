"""What the pocket vision-language models are taught from: questions without end, texts with places, scenes, documents
and lessons, each held against the drawn world itself."""

import re
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from vfm_course.errors import UserError
from vfm_course.families.load import pocket_folder
from vfm_course.vlm import corpus as writing
from vfm_course.vlm import drawn
from vfm_course.vlm.corpus import LENGTH, TURNS, Corpus, corpus, document
from vfm_course.vlm.drawn import drawn_scenes
from vfm_course.vlm.lessons import Lessons, aligning, instruction
from vfm_course.vlm.prompts import CAPTION, PICTURE, WHAT, question_prompt
from vfm_course.vlm.tokenizer import (
    AROUND,
    AROUND_ID,
    BEGIN,
    END,
    IMAGE,
    IMAGE_ID,
    PAD,
    SPECIAL,
    UNKNOWN,
    marked,
    vlm_tokenizer,
)
from vfm_course.world import CONCEPTS, Scene, SceneObject
from vfm_course.world import question_forms as forms
from vfm_course.world.captions import LEVELS, caption
from vfm_course.world.concepts import SUPERCLASSES
from vfm_course.world.palette import BACKGROUNDS, COLOURS
from vfm_course.world.placed_text import place_of, placed_text, short_caption, sixteenth, words
from vfm_course.world.question_draw import draw
from vfm_course.world.question_forms import Phrase
from vfm_course.world.question_stream import QuestionStream
from vfm_course.world.questions import AXES, KINDS, MOST, NOT_DRAWN, NOUNS, PLACES, RELATIONS, UNANSWERABLE, answer
from vfm_course.world.scene import STYLES
from vfm_course.world.vqa import vqa_world

SCENES, CHUNK = 140, 60  # three chunks; numbers 7 and 130 hide a thing
DOCUMENTS = 100


@pytest.fixture(scope="module")
def world() -> list[Scene]:
    """The scenes as the world draws them, pixels and all."""
    return vqa_world(4000).sample(SCENES)


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    """Scenes and documents in a cache of their own, with the forms that were asked in each document."""
    asked: list[forms.Form] = []

    class Noted(QuestionStream):
        def __call__(self, scene):
            form, truth = super().__call__(scene)
            asked.append(form)
            return form, truth

    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("cache")
        patch.setenv("VFM_CACHE", str(cache))
        patch.setattr(drawn, "CHUNK", CHUNK)
        patch.setattr(writing, "CHUNK", DOCUMENTS // 2)
        patch.setattr(writing, "QuestionStream", Noted)
        writing._graphs.cache_clear()
        scenes = drawn_scenes("train", SCENES)
        documents = corpus(DOCUMENTS, SCENES)
        patch.undo()
        patch.setenv("VFM_CACHE", str(cache))
        yield scenes, documents, tuple(asked)
    writing._graphs.cache_clear()


@pytest.fixture(scope="module")
def scenes(cached):
    return cached[0]


@pytest.fixture(scope="module")
def documents(cached) -> Corpus:
    return cached[1]


def spelt(text: str) -> list[int]:
    """Token numbers by hand: marks, words, and each point alone."""
    known = SPECIAL + words()
    return [known.index(word) for word in re.findall(r"<\w+>|\w+|[^\w\s]", text.lower())]


def lines(table: np.ndarray) -> list[list[int]]:
    """The rows without their padding."""
    return [[token for token in row if token != PAD] for row in table.tolist()]


# Questions ---------------------------------------------------------------------------------------------------------
def ask(graphs: list[Scene], n: int, seed: int = 0) -> list[tuple[Scene, forms.Form, str]]:
    stream = QuestionStream(np.random.default_rng(seed))
    about = (graphs[number % len(graphs)] for number in range(n))
    return [(scene, *stream(scene)) for scene in about]


@pytest.fixture(scope="module")
def stream(scenes):
    return ask(scenes.graphs, 3000)


def test_the_interpreter_gives_the_answers_of_the_stream(world, scenes, stream):
    drawn_as = {scene.index: scene for scene in world}
    elsewhere = 0
    for scene, form, truth in stream:
        assert answer(drawn_as[scene.index], form.steps) == truth, f"{form.text} of scene {scene.index}"
        other = scenes.graphs[(scenes.graphs.index(scene) + 1) % len(scenes)]
        try:
            elsewhere += answer(other, form.steps) != truth
        except UserError:  # it is ambiguous there
            elsewhere += 1
    assert elsewhere > 0.4 * len(stream), "an answer to another scene would not be noticed"


def test_all_kinds_are_asked_about_equally_often_and_chains_of_all_lengths(stream):
    kinds = Counter("unanswerable" if truth == UNANSWERABLE else form.kind for _, form, truth in stream)
    assert set(kinds) == set(KINDS)
    relation = kinds.pop("relation")  # comes twice as often, since many scenes offer no chain
    assert min(kinds.values()) > 0.8 * 3000 / 9 and max(kinds.values()) < 1.2 * 3000 / 8, kinds
    assert 0.9 * 3000 / 9 < relation < 2 * 3000 / 8
    chains = Counter(form.phrases[0].length for _, form, _ in stream if form.kind == "relation")
    assert set(chains) == {1, 2, 3} and min(chains.values()) > 20, chains


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_turn_of_the_unanswerable_is_unanswerable(kind, scenes):
    stream = QuestionStream(np.random.default_rng(0))
    # In turn with one that every scene offers: of two cats nobody can ask what colour the cat is.
    stream.kinds = cycle(["relation 1" if kind == "relation" else kind, "existence"])
    kinds = Counter()
    for scene in scenes.graphs:
        form, truth = stream(scene)
        kinds["unanswerable" if truth == UNANSWERABLE else form.kind] += 1
    assert set(kinds) == {kind, "existence"} and kinds[kind] > 0.4 * len(scenes), kinds


def plainly(graphs: list[Scene], n: int) -> dict[str, Counter]:
    """Answers by pattern where forms are drawn without a look at the answers before."""
    rng, given = np.random.default_rng(0), defaultdict(Counter)
    for number in range(n):
        kind = KINDS[number % 7]  # all but "unanswerable"
        scene = graphs[number % len(graphs)]
        form = draw("relation 1" if kind == "relation" else kind, scene, rng)
        truth = form and form.look(scene)
        if truth:
            given[form.template][truth] += 1
    return given


def test_all_answers_of_a_pattern_come_about_equally_often(scenes, stream):
    given = defaultdict(Counter)
    for _, form, truth in stream:
        given[form.template][truth] += truth != UNANSWERABLE
    unguided = plainly(scenes.graphs, 4000)

    def most(counts: Counter) -> float:
        return max(counts.values()) / counts.total()

    for pattern, counts in given.items():
        if set(counts) - {UNANSWERABLE} == {"yes", "no"} or pattern.startswith("position"):
            assert most(counts) < 0.62, (pattern, counts)
    for pattern in ("yes/no colour", "yes/no and", "comparison colour"):
        assert most(unguided[pattern]) > 0.75, pattern
    for pattern in ("colour asks colour", "relation asks colour"):
        assert set(given[pattern]) - {UNANSWERABLE} == set(COLOURS)
        assert min(given[pattern][colour] for colour in COLOURS) > 0.7 * max(given[pattern].values()), given[pattern]
        assert min(unguided[pattern][colour] for colour in COLOURS) < 0.6 * max(unguided[pattern].values())
    # Two of three counts that a plain draw meets are ones; here none, one and two are as frequent.
    assert min(given["count"][few] for few in "012") > 0.8 * max(given["count"].values())
    assert unguided["count"]["1"] > 1.8 * max(unguided["count"][few] for few in "02")
    assert given["count"]["3"] > 2 * given["count"].total() * unguided["count"]["3"] / unguided["count"].total()


def test_unanswerable_is_what_is_not_drawn_and_what_was_in_the_picture_before(stream):
    sorts = Counter()
    for (before, *_), (scene, form, truth) in zip(stream, stream[1:], strict=False):
        assert (form.template == "not drawn") <= (truth == UNANSWERABLE)
        if truth != UNANSWERABLE:
            continue
        here, there = ({thing.concept for thing in each.objects} for each in (scene, before))
        asked = {phrase.anchor.noun for phrase in form.phrases}
        missing = asked - here
        sorts["missing" if missing else "not drawn"] += 1
        assert bool(missing) != (form.template == "not drawn")
        assert asked <= (there if missing else here), form.text
    assert min(sorts["missing"], sorts["not drawn"]) > 0.25 * sorts.total() > 75, sorts


def test_the_stream_depends_on_its_generator_alone(scenes):
    texts = [[(form.text, truth) for _, form, truth in ask(scenes.graphs, 60, seed)] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


# Texts with places -------------------------------------------------------------------------------------------------
def thing(concept: str, colour: str, x: float, y: float, depth: int, extent: float) -> SceneObject:
    return SceneObject(concept, colour, "flat", (x, y), extent, 0, False, depth, (0, 0, 1, 1), 1.0, np.zeros((64, 64)))


def test_a_placed_text_by_hand():
    scene = Scene(
        np.zeros((64, 64, 3), np.uint8),
        (thing("cat", "orange", 14.0, 50.0, 0, 0.45), thing("castle", "blue", 63.9, 0.5, 1, 0.3)), "plain", 0.0, 0, 0,
    )  # fmt: skip
    assert placed_text(scene) == "an orange cat of size 7 at 3 12, a blue castle of size 4 at 15 0"
    assert place_of(scene.objects[0], 128) == "an orange cat of size 7 at 1 6"
    assert [sixteenth(share) for share in (-0.1, 0, 0.0624, 0.0625, 0.999, 1, 1.2)] == [0, 0, 0, 1, 15, 15, 15]


def test_numbers_of_placed_texts_are_those_of_the_scene_graph_at_any_size(world, scenes):
    larger = vqa_world(4000, 96).sample(20)
    assert [placed_text(scene) for scene in larger] == [placed_text(scene) for scene in world[:20]]
    shown = {scene.index: scene for scene in world}
    for graph in scenes.graphs:
        scene, told = shown[graph.index], placed_text(graph).split(", ")
        assert len(told) == len(scene.objects)
        extents = [each.extent for each in scene.objects]
        assert extents == sorted(extents, reverse=True)  # told from the nearest on, and the nearest is the largest
        for text, each in zip(told, scene.objects, strict=True):
            article, colour, concept, size, x, y = re.fullmatch(
                r"(an?) (\w+) (\w+) of size (\d+) at (\d+) (\d+)", text
            ).groups()
            assert (colour, concept, article == "an") == (each.colour, each.concept, colour == "orange")
            for number, share in ((size, each.extent), (x, each.centre[0] / 64), (y, each.centre[1] / 64)):
                assert int(number) / 16 <= share < (int(number) + 1) / 16, text


def test_short_captions_are_captions_and_mostly_tell_all(world):
    rng, levels = np.random.default_rng(0), Counter()
    for scene in world:
        known = {caption(scene, level): level for level in LEVELS}
        assert len(known) == 5
        levels.update(known[short_caption(scene, rng)] for _ in range(10))
    assert abs(levels["full"] / levels.total() - 0.76) < 0.04, levels
    assert all(abs(levels[level] / levels.total() - 0.06) < 0.025 for level in LEVELS[:-1]), levels


# Tokenizer ---------------------------------------------------------------------------------------------------------
def test_special_tokens_have_the_numbers_of_the_constants():
    tokenizer = vlm_tokenizer()
    marks = {"<pad>": PAD, "<begin>": BEGIN, "<unknown>": UNKNOWN, "<end>": END, IMAGE: IMAGE_ID, AROUND: AROUND_ID}
    assert {mark: tokenizer.convert_tokens_to_ids(mark) for mark in marks} == marks
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.unk_token_id, tokenizer.eos_token_id) == (
        PAD, BEGIN, UNKNOWN, END)  # fmt: skip
    assert END != 2 and sorted(marks.values()) == list(range(6))
    assert len(tokenizer) == len(SPECIAL) + len(words()) <= 256  # documents are stored as uint8
    assert words() == sorted(set(words())) and not set(words()) & set(SPECIAL)


def test_each_word_is_one_token_and_reads_back():
    tokenizer = vlm_tokenizer(begin=False)
    for word in words():
        (number,) = tokenizer(word)["input_ids"]
        assert number >= len(SPECIAL) and tokenizer.decode([number]) == word
    assert tokenizer("cat zebra cat")["input_ids"][1] == UNKNOWN
    assert tokenizer("cat<image>cat<end>Cat")["input_ids"] == spelt("cat <image> cat <end> cat")


def test_left_padding_begin_and_what_is_looked_at():
    table = vlm_tokenizer()(["a cat", "a red cat"], padding=True)
    assert table["input_ids"] == [[PAD, BEGIN, *spelt("a cat")], [BEGIN, *spelt("a red cat")]]
    assert table["attention_mask"] == [[0, 1, 1, 1], [1, 1, 1, 1]] and set(table) == {"input_ids", "attention_mask"}
    table = vlm_tokenizer(begin=False, padding_side="right")(["a cat", "a red cat"], padding=True)
    assert table["input_ids"] == [[*spelt("a cat"), PAD], spelt("a red cat")]


def everything_that_can_be_said(world: list[Scene]):
    """Every caption of the scenes, and every form of question with every word that it can hold."""
    for scene in world:
        yield from (placed_text(scene), *(caption(scene, level) for level in LEVELS))
    for noun in NOUNS:
        for colour in (None, *COLOURS):
            phrase = Phrase(noun, colour)
            yield from (forms.exists(phrase).text, forms.count(phrase).text, forms.ask_colour(phrase).text)
        for relation in RELATIONS:
            yield forms.ask_name(Phrase(noun, None, relation, Phrase("cat"))).text
        yield from (forms.more(Phrase(noun), Phrase("fish")).text, forms.ask_side(Phrase(noun)).text)
    cat, dog = Phrase("cat"), Phrase("dog")
    yield from (forms.not_drawn(cat, text).text for text in NOT_DRAWN)
    yield from (forms.ask_order(cat, dog, axis).text for axis in AXES)
    yield from (forms.is_placed(cat, relation, dog).text for relation in RELATIONS)
    yield from (forms.is_colour(cat, colour).text for colour in COLOURS)
    yield from (forms.joined(cat, "and", dog).text, forms.joined(cat, "or", dog).text, forms.same_colour(cat, dog).text)
    yield from ("yes", "no", UNANSWERABLE, *PLACES.values(), *map(str, range(max(16, MOST + 1))))
    yield from (*CONCEPTS, *SUPERCLASSES, *COLOURS, *STYLES, *BACKGROUNDS, CAPTION, PICTURE, question_prompt("what is"))


def test_no_word_of_the_world_is_unknown(world, stream):
    tokenizer = vlm_tokenizer(begin=False)
    texts = list(dict.fromkeys(everything_that_can_be_said(world)))
    texts += list({f"{form.text} {truth}" for _, form, truth in stream})
    assert len(texts) > 3000
    for text, numbers in zip(texts, tokenizer(texts)["input_ids"], strict=True):
        assert UNKNOWN not in numbers and numbers == spelt(text), text


@pytest.mark.parametrize("name", ["language", "clip-scenes"])
def test_the_tokenizers_beside_the_pocket_models_are_this_one(name, world):
    stored = PreTrainedTokenizerFast.from_pretrained(pocket_folder(name))
    ours = vlm_tokenizer(padding_side=stored.padding_side)
    texts = [f"{placed_text(scene)}<end>" for scene in world[:20]] + [" ".join([*words(), *SPECIAL])]
    assert stored(texts, padding=True)["input_ids"] == ours(texts, padding=True)["input_ids"]


def test_the_longest_texts_are_shorter_than_what_is_kept_for_them():
    """Five orange things: what CLIP's text encoder and the Q-Former's first stage have 64 places for."""
    frame = np.zeros((64, 64, 3), np.uint8)
    five = Scene(frame, tuple(thing("cat", "orange", 60 - 12 * i, 60, i, 0.5 - i / 20) for i in range(MOST)), "plain",
                 0.0, 0, 0)  # fmt: skip
    flat = Scene(frame, tuple(thing("cat", "orange", 32, 32, i, 0.5) for i in range(MOST)), "plain", 0.0, 0, 0)
    assert caption(flat, "full").count("in front of an orange") == MOST - 1
    told = f"{question_prompt(WHAT)} {what_is_there(five)}"
    for text in (told, placed_text(five), caption(five, "full"), caption(flat, "full")):
        assert len(vlm_tokenizer()(f"{text}<end>")["input_ids"]) <= 64


def test_prompts_of_questions_and_dialogues():
    assert question_prompt("Is there a cat?") == "Question: Is there a cat? Answer:"
    told = question_prompt("What colour is it?", [("Is there a cat?", "yes"), ("Is there a dog?", "no")])
    assert told == ("Question: Is there a cat? Answer: yes<end>Question: Is there a dog? Answer: no<end>"
                    "Question: What colour is it? Answer:")  # fmt: skip


# Scenes ------------------------------------------------------------------------------------------------------------
def test_drawn_scenes_are_those_of_the_world_less_what_hides_too_much(world, scenes):
    left_out = [scene.index for scene in world if min(each.visible for each in scene.objects) < 0.5]
    assert left_out == [7, 130]
    kept = [scene for scene in world if scene.index not in left_out]
    assert [graph.index for graph in scenes.graphs] == [scene.index for scene in kept] and len(scenes) == SCENES - 2
    assert scenes.images.shape == (SCENES - 2, 3, 64, 64) and scenes.images.dtype == np.uint8
    for image, graph, scene in zip(scenes.images, scenes.graphs, kept, strict=True):
        assert image.transpose(1, 2, 0).tobytes() == scene.image.tobytes()
        assert graph.background == scene.background and graph.relations() == scene.relations()
        assert graph.image.shape == scene.image.shape and not graph.image.any()
        for ours, theirs in zip(graph.objects, scene.objects, strict=True):
            for name in ("concept", "colour", "style", "depth", "box", "superclass"):
                assert getattr(ours, name) == getattr(theirs, name), name
            assert (*ours.centre, ours.extent) == pytest.approx((*theirs.centre, theirs.extent), rel=1e-6)


def test_what_is_drawn_once_is_not_drawn_again(scenes, documents, monkeypatch):
    def again(*_):
        raise AssertionError("drawn again")

    for module, name in ((drawn, "_draw"), (writing, "_documents")):
        monkeypatch.setattr(module, name, again)
    found = drawn_scenes("train", SCENES)
    assert np.array_equal(found.images, scenes.images) and found.graphs == scenes.graphs
    assert np.array_equal(corpus(DOCUMENTS, SCENES).tokens, documents.tokens)
    assert isinstance(found.images, np.memmap) and not found.images.flags.writeable
    with pytest.raises(AssertionError, match="drawn again"):
        drawn_scenes("train", SCENES - 1)
    with pytest.raises(AssertionError, match="drawn again"):
        corpus(DOCUMENTS - 1, SCENES)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """An empty cache, and chunks of three."""
    monkeypatch.setenv("VFM_CACHE", str(tmp_path))
    for module in (drawn, writing):
        monkeypatch.setattr(module, "CHUNK", 3)
    writing._graphs.cache_clear()
    yield tmp_path
    writing._graphs.cache_clear()


@pytest.mark.parametrize("what", ["scenes", "documents"])
def test_a_killed_run_leaves_nothing_half_done(what, small, monkeypatch):
    if what == "scenes":
        module, name, folder, call = drawn, "_draw", "vqa_scenes", lambda: drawn_scenes("test", 6).images
    else:
        module, name, folder, call = writing, "_documents", "vlm_corpus", lambda: corpus(6, 6).tokens
        drawn_scenes("train", 6)
    whole, done = getattr(module, name), []

    def killed(task):
        if done:
            raise KeyboardInterrupt
        done.append(task)
        return whole(task)

    monkeypatch.setattr(module, name, killed)
    with pytest.raises(KeyboardInterrupt):
        call()
    assert done and not list((small / folder).iterdir())
    monkeypatch.setattr(module, name, whole)
    assert len(call()) == 6 and [path.name for path in (small / folder).iterdir()] == [
        "test_6" if what == "scenes" else "6_6"
    ]


@pytest.mark.parametrize("what", ["scenes", "documents"])
def test_of_two_runs_the_faster_ones_files_are_taken(what, small, monkeypatch):
    module, name = (drawn, "_draw") if what == "scenes" else (writing, "_documents")
    drawn_scenes("train", 3)
    call = (lambda: drawn_scenes("test", 3)) if what == "scenes" else (lambda: corpus(3, 3))
    folder = small / ("vqa_scenes/test_3" if what == "scenes" else "vlm_corpus/3_3")
    whole = getattr(module, name)

    def slower(task):
        monkeypatch.setattr(module, name, whole)
        call()
        (folder / "mark").touch()
        return whole(task)

    monkeypatch.setattr(module, name, slower)
    assert len(call()) == 3 and (folder / "mark").exists()
    assert [path.name for path in folder.parent.iterdir() if "partial" in path.name] == []


def test_a_chunk_in_which_all_scenes_hide_too_much_is_empty(small, monkeypatch):
    monkeypatch.setattr(drawn, "CHUNK", 7)
    found = drawn_scenes("train", 8)  # the second chunk is number 7 alone
    assert [graph.index for graph in found.graphs] == list(range(7)) and found.images.shape == (7, 3, 64, 64)


def test_splits_have_no_scene_in_common(small, scenes):
    for split in ("validation", "test"):
        others = drawn_scenes(split, 3)
        seed = {"validation": 4001, "test": 4002}[split]
        for image, graph in zip(others.images, others.graphs, strict=True):
            assert np.array_equal(image.transpose(1, 2, 0), vqa_world(seed).scene(graph.index).image)
            assert not (scenes.images == image).all(axis=(1, 2, 3)).any()


# Documents ---------------------------------------------------------------------------------------------------------
def test_a_document_tells_its_scene_and_answers_rightly(world, scenes, documents, cached):
    """Each token is spelt by hand; the answers are those of the interpreter on the scene that the world draws."""
    asked = iter(cached[2])
    shown = {scene.index: scene for scene in world}
    captions = 0
    known = SPECIAL + words()
    for line, says, row in zip(documents.tokens, documents.answers, documents.scenes, strict=True):
        scene = shown[scenes.graphs[row].index]
        size = int((line != PAD).sum())
        told = line[:size].tolist()
        assert not line[size:].any() and not says[size:].any()
        parts = [("<begin> picture: " + placed_text(scene) + "<end>", False)]
        begin = len(spelt(parts[0][0]))
        if known[told[begin]] == "caption":
            end = told.index(END, begin)
            text = " ".join(known[token] for token in told[begin + 2 : end])
            assert text in {caption(scene, level) for level in LEVELS}
            parts += [("caption:", False), (f"{text}<end>", True)]
            captions += 1
        for form in [next(asked) for _ in range(TURNS)]:
            parts += [(f"question: {form.text} answer:", False), (f"{answer(scene, form.steps)}<end>", True)]
        assert told == [token for text, _ in parts for token in spelt(text)][:LENGTH]
        assert says[:size].tolist() == [is_answer for text, is_answer in parts for _ in spelt(text)][:LENGTH]
    assert next(asked, None) is None and 15 < captions < 45
    assert len(set(documents.scenes.tolist())) > 50 and len(documents) == DOCUMENTS


def test_the_answers_would_be_wrong_of_another_scene(scenes, cached):
    told = (answer_or_none(scenes.graphs[0], form.steps) for form in cached[2])
    true = (
        form.look(scenes.graphs[row]) for form, row in zip(cached[2], np.repeat(cached[1].scenes, TURNS), strict=True)
    )
    assert sum(one != other for one, other in zip(told, true, strict=True)) > 0.4 * len(cached[2])


def answer_or_none(scene: Scene, steps) -> str | None:
    try:
        return answer(scene, steps)
    except UserError:
        return None


def test_a_document_that_is_too_long_is_cut(documents, monkeypatch):
    monkeypatch.setattr(writing, "LENGTH", 50)
    half = DOCUMENTS // 2  # what one chunk wrote
    tokens, answers, _ = writing._documents((SCENES, 0, half))
    assert np.array_equal(tokens, documents.tokens[:half, :50])
    assert np.array_equal(answers, documents.answers[:half, :50]) and documents.tokens[:half, 50].any()


def test_the_parts_of_a_document_in_order(scenes):
    rng = np.random.default_rng(0)
    lengths = Counter()
    for graph in scenes.graphs[:40]:
        parts = document(graph, QuestionStream(rng), rng)
        lengths[len(parts)] += 1
        assert parts[0] == (f"{PICTURE} {placed_text(graph)}<end>", False)
        assert [says for _, says in parts[1:]] == [False, True] * (len(parts) // 2)
        assert all(text.endswith("<end>") == says for text, says in parts[1:])
    assert set(lengths) == {2 * TURNS + 1, 2 * TURNS + 3}


# Lessons -----------------------------------------------------------------------------------------------------------
def what_is_there(scene: Scene) -> str:
    """The answer to "What is there?", from the scene graph."""
    told = (f"the {each.concept} is {each.colour} at {int(each.centre[0] / 4)} {int(each.centre[1] / 4)}"
            for each in scene.objects)  # fmt: skip
    return ", ".join(told)


def aligning_by_hand(documents: Corpus, graphs: list[Scene]) -> list:
    """(scene, tokens, what is to be learnt), sorted."""
    asked = spelt("<begin> question: what is there? answer:")
    told = [(row, spelt(what_is_there(graphs[row]) + "<end>")) for row in documents.scenes.tolist()]
    return sorted((row, asked + said, [False] * len(asked) + [True] * len(said)) for row, said in told)


def instruction_by_hand(documents: Corpus) -> list:
    """The same of all that follows the first line."""
    found = []
    for line, says, scene in zip(
        documents.tokens.tolist(), documents.answers.tolist(), documents.scenes.tolist(), strict=True
    ):
        begin, size = line.index(END) + 1, len(line) - line[::-1].index(next(each for each in line[::-1] if each))
        found.append((scene, [BEGIN] + line[begin:size], [False] + says[begin:size]))
    return sorted(found)


def unpadded(lessons: Lessons) -> list:
    return sorted(
        (scene, line, says[: len(line)])
        for scene, line, says in zip(
            lessons.scenes.tolist(), lines(lessons.tokens), lessons.answers.tolist(), strict=True
        )
    )


def test_aligning_says_what_is_where_from_the_nearest_thing_on(scenes, documents):
    assert question_prompt(WHAT) == "Question: What is there? Answer:"
    told = unpadded(aligning(documents, scenes.graphs))
    assert told == aligning_by_hand(documents, scenes.graphs)
    others = replace(documents, scenes=(documents.scenes + 1) % len(scenes.graphs))
    assert unpadded(aligning(others, scenes.graphs)) == aligning_by_hand(others, scenes.graphs) != told


def test_instruction_is_all_that_follows_the_first_line(documents):
    assert unpadded(instruction(documents)) == instruction_by_hand(documents)
    cut = replace(documents, tokens=documents.tokens[:, :60], answers=documents.answers[:, :60])
    assert unpadded(instruction(cut)) == instruction_by_hand(cut) != instruction_by_hand(documents)


@pytest.mark.parametrize("stage", ["aligning", "instruction"])
def test_lessons_come_by_length_and_a_batch_is_as_long_as_its_longest(stage, documents, scenes):
    lessons = aligning(documents, scenes.graphs) if stage == "aligning" else instruction(documents)
    sizes = (lessons.tokens != PAD).sum(axis=1)
    assert len(lessons) == DOCUMENTS and sizes.tolist() == sorted(sizes.tolist()) and sizes[0] < sizes[-1]
    assert sizes[-1] == lessons.tokens.shape[1] and not lessons.answers[lessons.tokens == PAD].any()
    for rows in (range(5), [70, 3, 20], [DOCUMENTS - 1]):
        scenes, tokens, answers = lessons.batch(np.array(rows))
        assert tokens.shape == answers.shape == (len(rows), max(sizes[row] for row in rows))
        assert tokens.dtype == torch.int64 and answers.dtype == torch.bool
        assert lines(tokens.numpy()) == [lines(lessons.tokens)[row] for row in rows]
        for row, line in zip(rows, answers, strict=True):
            assert line.sum() == lessons.answers[row].sum() > 0
        assert scenes.tolist() == [lessons.scenes[row] for row in rows]


@pytest.mark.parametrize("stage", ["aligning", "instruction"])
def test_flamingos_lessons_have_the_marks_of_an_image_behind_the_beginning(stage, documents, scenes):
    lessons = aligning(documents, scenes.graphs) if stage == "aligning" else instruction(documents)
    with_marks, marks = lessons.marked(), spelt("<fake_token_around_image><image><fake_token_around_image>")
    assert lines(with_marks.tokens) == [[BEGIN, *marks, *line[1:]] for line in lines(lessons.tokens)]
    assert lines(with_marks.tokens) == [marked(line) for line in lines(lessons.tokens)]
    assert np.array_equal(with_marks.answers[:, 4:], lessons.answers[:, 1:]) and not with_marks.answers[:, :4].any()
    assert np.array_equal(with_marks.scenes, lessons.scenes) and with_marks.tokens.dtype == np.uint8
    assert not (lessons.tokens == IMAGE_ID).any()


def test_what_is_asked_at_an_examination_is_how_lessons_begin(documents, cached):
    """A prompt of the first question, and of the fourth as a dialogue, token for token."""
    tokenizer, turns = vlm_tokenizer(), np.array(cached[2], dtype=object).reshape(DOCUMENTS, TURNS)
    known, checked = SPECIAL + words(), 0
    lessons = {(scene, tuple(line)) for scene, line, _ in unpadded(instruction(documents))}
    for line, says, scene, asked in zip(documents.tokens, documents.answers, documents.scenes, turns, strict=True):
        rest = line[line.tolist().index(END) + 1 :].tolist()
        if known[rest[0]] == "caption":
            continue
        checked += 1
        answers = tokenizer.decode([token for token, said in zip(line, says, strict=True) if said]).split("<end>")
        before = [(form.text, said.strip()) for form, said in zip(asked[:3], answers, strict=False)]
        whole = next(lesson for scene_, lesson in lessons if scene_ == scene and list(lesson[1:20]) == rest[:19])
        for prompt in (question_prompt(asked[0].text), question_prompt(asked[3].text, before)):
            numbers = tokenizer(prompt)["input_ids"]
            assert list(whole[: len(numbers)]) == numbers[: len(whole)], prompt
    assert checked > 50
