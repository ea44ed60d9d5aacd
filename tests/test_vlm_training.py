"""How the pocket vision-language models are trained and examined: losses by hand, who is trained and who is not, and
what the studies keep."""

import copy
import json
from collections import Counter
from itertools import pairwise
from math import log
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from tiny.same_weights import scatter
from torch import nn
from torch.nn import functional as F

from vfm_course.connectors.gated import GatedCrossAttention
from vfm_course.connectors.projector import LinearProjector, MLPProjector
from vfm_course.connectors.qformer import QFormer
from vfm_course.connectors.qformer_text import QFormerStageOne
from vfm_course.connectors.resampler import PerceiverResampler
from vfm_course.errors import UserError
from vfm_course.families import load
from vfm_course.pretraining import trainer
from vfm_course.pretraining.captioner import Captioner
from vfm_course.pretraining.publish import publish
from vfm_course.pretraining.recipes import blip2_tower, clip_scenes, find_recipe, language, language_more
from vfm_course.vlm import examine, studies, teach, train
from vfm_course.vlm import features as featuring
from vfm_course.vlm.drawn import drawn_scenes
from vfm_course.vlm.features import encode, scene_features
from vfm_course.vlm.lessons import Lessons
from vfm_course.vlm.model import GatedVLM, PrefixVLM
from vfm_course.vlm.notes import NoteEmbedding, load_notes
from vfm_course.vlm.prompts import question_prompt
from vfm_course.vlm.stage_one import stage_one_losses, train_stage_one
from vfm_course.vlm.teach import Plan, School
from vfm_course.vlm.tokenizer import AROUND, BEGIN, END, IMAGE, PAD, SPECIAL, marked, vlm_tokenizer
from vfm_course.vlm.train import Stage, answer_loss, train_vlm
from vfm_course.vlm.variants import CONNECTORS, build, qformer
from vfm_course.world import CONCEPTS
from vfm_course.world.answers import Annotators
from vfm_course.world.palette import COLOURS
from vfm_course.world.placed_text import placed_text, words
from vfm_course.world.question_stream import QuestionStream
from vfm_course.world.questions import Question
from vfm_course.world.vqa import question, vqa_world

KNOWN = SPECIAL + words()
COLOUR_NUMBERS = {colour: number for number, colour in enumerate(COLOURS)}
SCENES, DOCUMENTS = 40, 64


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache of this file's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VFM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def school() -> School:
    """Few scenes and documents, the pocket's eyes, and a language model that has read nothing."""
    small = School(SCENES, DOCUMENTS)
    torch.manual_seed(0)
    small.lm = transformers.LlamaForCausalLM(language.language_config()).eval().requires_grad_(False)
    small.notes = NoteEmbedding(128).requires_grad_(False)
    return small


def lines(table: np.ndarray) -> list[list[int]]:
    """The rows without their padding."""
    return [[token for token in row if token != PAD] for row in table.tolist()]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.state_dict().items()}


def changed(model: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, weight in model.state_dict().items() if not torch.equal(weight, before[name])}


def cross_entropy(logits: torch.Tensor, wanted: int) -> float:
    """Of one word, by hand."""
    values = logits.double().detach().numpy()
    return float(np.log(np.exp(values - values.max()).sum()) + values.max() - values[wanted])


# The decoder that makes the encoder see -------------------------------------------------------------------------------
PATCHES = normal(3, 9, 16)
TEXTS = torch.tensor([[1, 5, 6, 7, 8, 9, 3], [1, 9, 9, 5, 3, 0, 0], [1, 6, 3, 0, 0, 0, 0]])
EYES_OPEN, BLIND = torch.zeros(3, dtype=torch.bool), torch.ones(3, dtype=torch.bool)


@pytest.fixture
def captioner() -> Captioner:
    torch.manual_seed(0)
    model = Captioner(vocabulary=12, width=16, layers=2, heads=2, length=10, pad=0, hidden=2)
    scatter(model, scale=0.2)
    return model.eval()


def said_by(model: Captioner, patches: torch.Tensor, texts: torch.Tensor, blind: torch.Tensor) -> torch.Tensor:
    """What the decoder gives, (B, T - 1, width), of which the loss makes words."""
    seen = []
    hook = model.decoder.register_forward_hook(lambda module, inputs, output: seen.append(output))
    model(patches, texts, blind)
    hook.remove()
    return seen[0].detach()


def test_a_captioner_loses_the_mean_over_all_words_that_are_no_padding(captioner):
    for blind in (EYES_OPEN, BLIND):
        text = said_by(captioner, PATCHES, TEXTS, blind)
        losses = [
            cross_entropy(captioner.words.weight @ text[row, place], int(TEXTS[row, place + 1]))
            for row in range(3) for place in range(6) if TEXTS[row, place + 1] != 0
        ]  # fmt: skip
        assert len(losses) == 12
        assert captioner(PATCHES, TEXTS, blind).item() == pytest.approx(np.mean(losses), abs=1e-4)


def test_a_blind_captioner_goes_by_the_image_alone_and_never_by_the_next_word(captioner):
    others = TEXTS.clone()
    others[0, 1:5] = torch.tensor([8, 7, 6, 5])  # the words before in another order
    others[0, 5] = 10
    one, other = (said_by(captioner, PATCHES, texts, BLIND) for texts in (TEXTS, others))
    assert torch.equal(one, other)
    one, other = (said_by(captioner, PATCHES, texts, EYES_OPEN) for texts in (TEXTS, others))
    assert torch.equal(one[0, 0], other[0, 0]) and not torch.isclose(one[0, 1:], other[0, 1:], atol=1e-3).all(1).any()
    later = TEXTS.clone()
    later[0, 4:] = torch.tensor([11, 11, 11])
    assert torch.allclose(said_by(captioner, PATCHES, later, EYES_OPEN)[0, :4], one[0, :4], atol=1e-6)
    for blind in (EYES_OPEN, BLIND):  # each row goes by its own patches, at every word
        moved = (said_by(captioner, PATCHES.roll(1, 0), TEXTS, blind) - said_by(captioner, PATCHES, TEXTS, blind)).abs()
        assert moved.amax(dim=2).min() > 1e-3
    half = said_by(captioner, PATCHES, TEXTS, torch.tensor([True, False, False]))
    assert torch.allclose(half[0], said_by(captioner, PATCHES, TEXTS, BLIND)[0], atol=1e-6)
    assert torch.allclose(half[1:], one[1:], atol=1e-6)


def test_padding_costs_a_captioner_nothing(captioner):
    longer = F.pad(TEXTS, (0, 3))
    for blind in (EYES_OPEN, BLIND):
        short = captioner(PATCHES, TEXTS, blind)
        assert captioner(PATCHES, longer, blind).item() == pytest.approx(short.item(), abs=1e-5)
        captioner.pad = 11  # were padding a word, it would have to be guessed
        assert abs(captioner(PATCHES, longer, blind).item() - short.item()) > 1e-2
        captioner.pad = 0


# The eyes -------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def eyes() -> clip_scenes.ClipScenesLearner:
    torch.manual_seed(0)
    learner = clip_scenes.ClipScenesLearner(SCENES)
    learner.batch_size = 6
    return learner


def test_the_eyes_begin_from_the_pocket_clip(eyes):
    pocket = load("clip", "pocket", "cpu").model.vision_model.state_dict()
    ours = eyes.model.vision_model.state_dict()
    places = "embeddings.position_embedding.weight"
    assert set(ours) == set(pocket)
    assert [name for name in pocket if not torch.equal(ours[name], pocket[name])] == [places]
    assert find_recipe("clip-scenes").build is clip_scenes.ClipScenesLearner

    marks = ours[places] - pocket[places]
    assert not marks[0].any()  # CLS has no place
    of_x, of_y = marks[1:].view(8, 8, 128).split(64, dim=2)
    assert torch.allclose(of_x, of_x[:1].expand_as(of_x), atol=1e-6)
    assert torch.allclose(of_y, of_y[:, :1].expand_as(of_y), atol=1e-6)
    assert torch.allclose(of_x[0], of_y[:, 0], atol=1e-6)
    assert torch.pdist(of_x[0]).min() > 12 * pocket[places].std() > 0  # no two columns are alike
    assert marks[1:].std().item() == pytest.approx(4 * pocket[places].std().item(), rel=0.1)


@torch.no_grad()
def test_the_eyes_learn_from_pictures_with_their_own_texts(eyes, monkeypatch):
    """CLIP's own loss of transformers, each box's by hand, and the captioner's, of what the learner drew."""
    monkeypatch.setattr(clip_scenes, "recolour", lambda pixels, strength, generator: pixels)
    monkeypatch.setattr(clip_scenes, "CAPTIONED", 2)
    read, shown, written = [], [], []
    whole = eyes.read
    monkeypatch.setattr(eyes, "read", lambda texts: read.append(texts) or whole(texts))
    hooks = [
        eyes.model.vision_model.register_forward_pre_hook(
            lambda module, inputs, named: shown.append(named["pixel_values"]), with_kwargs=True
        ),
        eyes.captioner.register_forward_pre_hook(lambda module, inputs: written.append(inputs)),
    ]
    losses = {name: loss.item() for name, loss in eyes(seeded(3), 0.5).items()}
    for hook in hooks:
        hook.remove()
    rows = torch.randint(len(eyes.data), (6,), generator=seeded(3)).tolist()
    graphs = [eyes.data.graphs[row] for row in rows]
    images = [np.array(eyes.data.images[row].transpose(1, 2, 0)) for row in rows]
    pixels = load("clip", "pocket", "cpu").processor.image_processor(images, return_tensors="pt")["pixel_values"]
    assert torch.allclose(shown[0], pixels, atol=1e-5) and len(shown) == 1

    captions, told = read[0], [placed_text(graph) for graph in graphs[:3]]
    assert all(graph.main.concept in text for graph, text in zip(graphs, captions, strict=True)) and told in read[1:]
    texts = vlm_tokenizer(padding_side="right")([f"{text}<end>" for text in captions], padding=True,
                                                return_tensors="pt")  # fmt: skip
    theirs = eyes.model(**texts, pixel_values=pixels, return_loss=True)
    assert losses["contrast"] == pytest.approx(theirs.loss.item(), abs=1e-3)

    phrases = [
        f"{'an' if colour == 'orange' else 'a'} {colour} {concept}" for concept in CONCEPTS for colour in COLOURS
    ]
    assert sorted(clip_scenes.PHRASES) == sorted(phrases)
    table = vlm_tokenizer(padding_side="right")([f"{text}<end>" for text in phrases], padding=True, return_tensors="pt")
    known = F.normalize(eyes.model.get_text_features(**table).pooler_output, dim=1)
    vision, hidden, of_boxes = eyes.model.vision_model, theirs.vision_model_output.last_hidden_state, []
    of_middles, off = [], []
    for row, graph in enumerate(graphs):
        big = hidden[row, 1:].view(8, 8, 128).repeat_interleave(8, 0).repeat_interleave(8, 1)  # a token a pixel
        for thing in graph.objects:
            left, top, right, bottom = thing.box
            seen = vision.post_layernorm(big[top:bottom, left:right].mean(dim=(0, 1)))
            cosines = known @ F.normalize(eyes.model.visual_projection(seen), dim=0)
            number = COLOUR_NUMBERS[thing.colour] + len(COLOURS) * CONCEPTS.index(thing.concept)
            of_boxes.append(cross_entropy(eyes.model.logit_scale.exp() * cosines, number))
            middle = int(thing.centre[1]) // 8 * 8 + int(thing.centre[0]) // 8
            seen = vision.post_layernorm(hidden[row, 1 + middle])
            cosines = known @ F.normalize(eyes.model.visual_projection(seen), dim=0)
            of_middles.append(cross_entropy(eyes.model.logit_scale.exp() * cosines, number))
            said = eyes.centre(seen)[1:].split((16, 16, 32))
            right = (int(thing.centre[0] / 4), int(thing.centre[1] / 4), int(thing.extent * 32))
            off += [cross_entropy(one, other) for one, other in zip(said, right, strict=True)]
    assert losses["region"] == pytest.approx(np.mean(of_boxes), abs=1e-3) and np.std(of_boxes) > 0.1
    assert losses["middle"] == pytest.approx(np.mean(of_middles), abs=1e-3) and losses["middle"] != losses["region"]
    assert losses["places"] == pytest.approx(np.mean(off), abs=1e-3) and np.std(off) > 0.1
    wanted = [(row, int(thing.centre[1]) // 8 * 8 + int(thing.centre[0]) // 8)
              for row, graph in enumerate(graphs) for thing in graph.objects]  # fmt: skip
    chances = torch.sigmoid(eyes.centre(vision.post_layernorm(hidden[:, 1:]))[..., 0])  # of a middle, (6, 64)
    surprise = [-np.log(chance if (row, patch) in wanted else 1 - chance)
                for row, line in enumerate(chances.tolist()) for patch, chance in enumerate(line)]  # fmt: skip
    assert losses["middles"] == pytest.approx(sum(surprise) / len(of_boxes), rel=1e-3)

    ((patches, words_, blind),) = written
    assert torch.allclose(patches, hidden[:3], atol=1e-5) and torch.equal(words_, whole(told))
    assert blind.dtype == torch.bool and blind.shape == (3,)
    assert losses["caption"] == pytest.approx(eyes.captioner(patches, words_, blind).item(), abs=1e-5)
    of_phrases, of_places = losses["region"] + losses["middle"], losses["middles"] + losses["places"]
    whole = losses["contrast"] + 2 * of_phrases + of_places + losses["caption"]
    assert losses["loss"] == pytest.approx(whole, abs=1e-4)


def test_what_the_eyes_are_told_is_read_whole(eyes):
    table = eyes.read([placed_text(graph) for graph in eyes.data.graphs])
    assert table.shape[1] <= clip_scenes.CONTEXT and (table[:, 0] == BEGIN).all()
    last = (table != PAD).sum(dim=1) - 1
    assert (table[torch.arange(len(table)), last] == END).all() and (table == END).sum() == len(table)


@torch.no_grad()
def test_a_smaller_residual_scales_hidden_states_and_nothing_else(eyes):
    """CLIP's logits, from the pooled output, stay; what a connector gets is a quarter."""
    model = copy.deepcopy(eyes.model).eval()
    inputs = {"pixel_values": normal(4, 3, 64, 64), "input_ids": eyes.read(["a cat", "a red dog", "a boat"])}
    before = model(**inputs)
    hidden = model.vision_model(inputs["pixel_values"], output_hidden_states=True)
    clip_scenes.scale_residual(model.vision_model, 0.25)
    after = model(**inputs)
    scaled = model.vision_model(inputs["pixel_values"], output_hidden_states=True)
    assert torch.allclose(scaled.pooler_output, hidden.pooler_output, atol=2e-3)
    assert torch.allclose(after.logits_per_image, before.logits_per_image, atol=2e-3)
    assert before.logits_per_image.std() > 0.1
    for one, other in zip(scaled.hidden_states, hidden.hidden_states, strict=True):
        assert torch.allclose(one, 0.25 * other, atol=2e-3 * other.abs().max().item())
    layer = model.vision_model.encoder.layers[2].mlp.fc2  # were one part forgotten, it would be seen
    layer.weight.mul_(4)
    layer.bias.mul_(4)
    assert not torch.allclose(model.vision_model(inputs["pixel_values"]).pooler_output, hidden.pooler_output, atol=2e-2)


def test_trained_eyes_are_saved_with_smaller_hidden_states(eyes, tmp_path):
    def make() -> clip_scenes.ClipScenesLearner:
        learner = copy.deepcopy(eyes)
        made.append(learner)
        return learner

    made = []
    recipe = trainer.Recipe("clip-scenes", make, images=12, quick_images=12)
    record = trainer.train(recipe, tmp_path, 12)
    assert [point["images"] for point in record.curve] == [6, 12]
    assert changed(made[0].model.vision_model, weights_of(eyes.model.vision_model))
    stored = transformers.CLIPModel.from_pretrained(tmp_path)
    processor = transformers.CLIPProcessor.from_pretrained(tmp_path)
    trained = torch.load(tmp_path / "state.pt", weights_only=True)["learner"]
    eyes.model.vision_model.load_state_dict(
        {name.removeprefix("model.vision_model."): weight for name, weight in trained.items()
         if name.startswith("model.vision_model.")}
    )  # fmt: skip
    inputs = processor(images=[np.zeros((64, 64, 3), np.uint8)], text=["a red cat"], return_tensors="pt")
    assert inputs["input_ids"].tolist() == [[BEGIN, *(KNOWN.index(word) for word in ("a", "red", "cat"))]]
    with torch.no_grad():
        ours, theirs = (model.vision_model(inputs["pixel_values"]).last_hidden_state for model in (eyes.model, stored))
    assert torch.allclose(theirs, clip_scenes.RESIDUAL * ours, atol=2e-3 * ours.abs().max().item())


def test_blip2s_tower_learns_to_see_what_the_eyes_see(school):
    torch.manual_seed(0)
    learner = blip2_tower.Blip2TowerLearner(SCENES)
    learner.batch_size = 4
    assert not [name for name in learner.state_dict() if "teacher" in name]
    assert all(weight.requires_grad for weight in learner.parameters())
    with torch.no_grad():
        losses = learner(seeded(1), 0.0)
        rows = torch.randint(len(learner.data), (4,), generator=seeded(1)).tolist()
        processor = load("clip-scenes", "pocket", "cpu").processor.image_processor
        images = [np.array(learner.data.images[row].transpose(1, 2, 0)) for row in rows]
        pixels = processor(images, return_tensors="pt")["pixel_values"]
        wanted = school.vision(pixel_values=pixels).last_hidden_state
        wanted = (wanted - wanted.mean(-1, keepdim=True)) / wanted.std(-1, keepdim=True, unbiased=False)
        seen = learner.model(pixel_values=pixels).last_hidden_state
        assert losses["loss"].item() == pytest.approx((seen - wanted).square().mean().item(), rel=1e-3)
        assert losses["cosine"].item() == pytest.approx(
            F.cosine_similarity(seen, wanted, dim=-1).mean().item(), abs=1e-4
        )
    before = weights_of(learner.teacher[0])
    optimiser = torch.optim.Adam(learner.parameters(), lr=3e-5)
    for _ in range(6):
        optimiser.zero_grad()
        learner(seeded(1), 0.5)["loss"].backward()
        optimiser.step()
    assert learner(seeded(1), 0.5)["loss"] < 0.95 * losses["loss"] and not changed(learner.teacher[0], before)


# The language model ---------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def reader():
    """A learner of few documents."""
    torch.manual_seed(0)
    learner = language.LanguageLearner(DOCUMENTS, SCENES)
    learner.batch_size = 3
    return learner


def text_of(line: list[int]) -> str:
    return " ".join(KNOWN[token] for token in line)


def turns_of(line: list[tuple[int, bool]]) -> list[tuple[str, str]]:
    """Questions in a row with their answers, of which the answers and their ends alone are to be learnt."""
    turns, asked, said = [], [], []
    for token, learnt in line:
        (said if learnt else asked).append(token)
        if learnt and token == END:
            turns.append((text_of(asked), text_of(said)))
            asked, said = [], []
    assert not asked and not said
    return turns


def rows_of(tokens: torch.Tensor, answers: torch.Tensor) -> list[list[tuple[int, bool]]]:
    """Each row's tokens with whether they are learnt, without padding."""
    said = F.pad(answers, (1, 0))
    return [[(token, learnt) for token, learnt in zip(line, marks, strict=True) if token != PAD]
            for line, marks in zip(tokens.tolist(), said.tolist(), strict=True)]  # fmt: skip


def shown(notes: np.ndarray) -> list[str]:
    """What notes say of things and places, in their order."""
    return [f"the {KNOWN[concept]} is {KNOWN[colour]} at {x} {y}" for concept, colour, x, y, _ in notes if concept >= 0]


@pytest.mark.parametrize("told", language.TOLD)
def test_a_list_follows_the_notes_and_a_retelling_any_order(told, reader):
    moved = 0
    for asked in ("list", "retell"):
        for seed in range(20):
            notes, tokens, answers = reader.batch(told, asked, np.random.default_rng(seed))
            assert (notes is None) == (told == "words") and len(tokens) == 3
            for row, line in enumerate(rows_of(tokens, answers)):
                first = []
                if told == "words":
                    end = [token for token, _ in line].index(END) + 1
                    assert not any(learnt for _, learnt in line[:end])
                    said = text_of([token for token, _ in line[:end]]).removeprefix("<begin> picture : ")
                    first = [(concept, colour, x, y) for _, colour, concept, *_, x, y in
                             map(str.split, said.removesuffix(" <end>").split(" , "))]  # fmt: skip
                    line = line[end:]
                wanted = ([f"the {concept} is {colour} at {x} {y}" for concept, colour, x, y in first]
                          if told == "words" else shown(notes[row].tolist()))  # fmt: skip
                ((question, answer),) = turns_of(line)
                assert question.removeprefix("<begin> ") == "question : what is there ? answer :"
                found = answer.removesuffix(" <end>").split(" , ")
                if asked == "list":
                    assert found == wanted
                    continue
                # Of two things on one square a retelling knows both, and the notes one.
                assert set(wanted) <= set(found) and len(set(wanted)) >= len(set(found)) - 1
                moved += found != wanted
    assert moved > 20, "things are told in the order in which they stand"


def test_documents_come_without_their_first_line_and_with_the_notes_of_their_scene(reader):
    for seed in range(10):
        notes, tokens, answers = reader.batch("squared", "document", np.random.default_rng(seed))
        for row, line in enumerate(rows_of(tokens, answers)):
            assert line[0] == (BEGIN, False)
            whole = [
                number
                for number in range(DOCUMENTS)
                if [
                    BEGIN,
                    *reader.data.tokens[number][reader.data.tokens[number].tolist().index(END) + 1 :][: len(line) - 1],
                ]
                == [token for token, _ in line]
            ]
            assert whole, "no document says this"
            graph = reader.graphs[reader.data.scenes[whole[0]]]
            names = {f"the {each.concept} is {each.colour} at {int(each.centre[0] / 4)} {int(each.centre[1] / 4)}"
                     for each in graph.objects}  # fmt: skip
            assert set(shown(notes[row].tolist())) <= names
            turns_of(line)


@torch.no_grad()
@pytest.mark.parametrize("told", ["words", "loose"])
def test_words_of_answers_weigh_fifty_times_as_much_as_others(told, reader, monkeypatch):
    notes, tokens, answers = reader.batch(told, "detail", np.random.default_rng(1))
    given = notes, F.pad(tokens, (0, 100)), F.pad(answers, (0, 100))  # so much padding would be seen
    asked = []
    monkeypatch.setattr(reader, "batch", lambda *what: asked.append(what) or given)
    found = reader(seeded(2), 1.0)
    assert asked[0][0] in language.TOLD and asked[0][1] in language.STAGES[-1][1]
    table = reader.model.get_input_embeddings()
    of_answers, right, words_ = [], [], []
    for row, line in enumerate(rows_of(*given[1:])):
        inputs = table(torch.tensor([[token for token, _ in line]]))
        if notes is not None:
            inputs = torch.cat([reader.notes(table, notes[row : row + 1]), inputs], dim=1)
        logits = reader.model(inputs_embeds=inputs).logits[0, -len(line) :]
        for place, (token, learnt) in enumerate(line[1:]):
            loss = cross_entropy(logits[place], token)
            words_.append((loss, 1.0 if learnt else 0.02))
            if learnt:
                of_answers.append(loss)
                right.append(int(logits[place].argmax()) == token)
    assert found["right"].item() == pytest.approx(np.mean(right), abs=1e-6)
    assert found["answers"].item() == pytest.approx(np.mean(of_answers), abs=1e-3)
    weighed = sum(loss * weight for loss, weight in words_) / sum(weight for _, weight in words_)
    assert found["loss"].item() == pytest.approx(weighed, abs=1e-3) and abs(weighed - np.mean(of_answers)) > 1e-3


def test_reading_begins_with_pairs_and_ends_with_all_sorts(reader, monkeypatch):
    class Stop(Exception):
        pass

    drawn = []

    def catch(told, asked, rng):
        drawn.append((told, asked))
        raise Stop

    monkeypatch.setattr(reader, "batch", catch)
    for begin, shares in (language.STAGES[0], language.STAGES[-1]):
        drawn.clear()
        for seed in range(300):
            with pytest.raises(Stop):
                reader(seeded(seed), begin)
        for of, wanted in ((0, language.TOLD), (1, shares)):
            found = Counter(each[of] for each in drawn)
            assert set(found) == set(wanted)
            assert all(abs(found[name] / 300 - share) < 0.1 for name, share in wanted.items())
    for (_, before), (begin, shares) in pairwise(language.STAGES):
        for progress, wanted in ((begin - 1e-6, before), (begin, shares)):
            drawn.clear()
            for seed in range(150):
                with pytest.raises(Stop):
                    reader(seeded(seed), progress)
            assert {asked for _, asked in drawn} == set(wanted)
            assert all(abs(sum(asked == name for _, asked in drawn) / 150 - share) < 0.13
                       for name, share in wanted.items())  # fmt: skip
    assert language.STAGES[0] == (0.0, {"pairs": 1.0}) and "document" in language.STAGES[-1][1]
    for _, shares in language.STAGES:
        assert sum(shares.values()) == pytest.approx(1)


def test_more_reading_goes_on_from_a_finished_run(reader, tmp_path, monkeypatch):
    monkeypatch.setenv("VFM_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "pretraining" / "language_120000_seed0"  # where the command leaves it
    assert language_more.begun_folder() == folder
    monkeypatch.undo()
    monkeypatch.setattr(language_more, "begun_folder", lambda: folder)
    with pytest.raises(UserError, match=r"nothing to go on from in .*: run `vfm-course pretrain language` first"):
        language_more.LanguageMoreLearner(DOCUMENTS, SCENES)
    folder.mkdir(parents=True)
    reader.save(folder)
    torch.manual_seed(7)
    learner = language_more.LanguageMoreLearner(DOCUMENTS, SCENES)
    assert not changed(learner, weights_of(reader)) and all(weight.requires_grad for weight in learner.parameters())
    drawn = set()
    monkeypatch.setattr(learner, "batch", lambda told, asked, rng: drawn.add(asked) or reader.batch(told, asked, rng))
    for seed in range(60):
        learner.batch_size = 3
        learner(seeded(seed), 0.0)
    assert drawn == {"retell", "detail", "drill", "document"} == set(language.STAGES[-1][1])
    assert find_recipe("language-more").build is language_more.LanguageMoreLearner


def test_the_language_model_is_saved_with_its_tokenizer(reader, tmp_path):
    reader.save(tmp_path)
    model = transformers.LlamaForCausalLM.from_pretrained(tmp_path)
    assert not changed(model, weights_of(reader.model)) and model.config.eos_token_id == END
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert tokenizer("a red cat<end>")["input_ids"] == vlm_tokenizer()("a red cat<end>")["input_ids"]
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer)
    assert model.config.rope_parameters["rope_theta"] == 10_000  # the only one that Idefics knows
    assert not changed(load_notes(tmp_path), weights_of(reader.notes))
    assert find_recipe("language").build is language.LanguageLearner


def test_notes_are_published_beside_the_language_model_and_read_by_a_school(reader, tmp_path, monkeypatch):
    run, folder = tmp_path / "run", tmp_path / "language"
    reader.save(run)
    (run / "state.pt").write_bytes(b"")
    told = {"recipe": "language", "seen": 80, "images": 80, "seconds": 60.0, "seed": 4, "curve": [{"images": 80}]}
    (run / "training.json").write_text(json.dumps(told))
    record = publish(run, folder)
    assert record["parameters"] == sum(weight.numel() for weight in reader.model.parameters())
    assert {path.name for path in folder.iterdir()} >= {"notes.safetensors", "model.safetensors", "tokenizer.json"}
    assert not {"training.json", "state.pt"} & {path.name for path in folder.iterdir()}
    asked = []
    monkeypatch.setattr(teach, "pocket_folder", lambda name: asked.append(name) or folder)
    assert not changed(School(SCENES, DOCUMENTS).notes, weights_of(reader.notes)) and asked == ["language"]


# What the encoder gives -----------------------------------------------------------------------------------------------
def test_features_are_those_of_the_processor_and_the_encoder(school):
    loaded = load("clip-scenes", "pocket", "cpu")
    scenes = drawn_scenes("train", SCENES)
    for row in (0, len(scenes) - 1):
        inputs = loaded.processor(images=[np.array(scenes.images[row].transpose(1, 2, 0))], return_tensors="pt")
        with torch.no_grad():
            wanted = loaded.model.vision_model(**inputs).last_hidden_state[0]
        assert torch.allclose(encode(school.vision, scenes.images[row : row + 1])[0], wanted, atol=1e-4)
        assert np.allclose(school.features[row], wanted.numpy(), atol=1e-2)
    assert school.features.shape == (len(scenes), 65, 128) and school.features.dtype == np.float16


def test_features_are_computed_once_for_each_encoder(monkeypatch):
    config = SimpleNamespace(image_size=64, patch_size=32, hidden_size=3)
    batches = []

    def vision(pixel_values):
        batches.append(len(pixel_values))
        means = pixel_values.mean(dim=(2, 3))
        return SimpleNamespace(last_hidden_state=means[:, None].expand(-1, 5, -1))

    vision.config, vision.device = config, torch.device("cpu")
    monkeypatch.setattr(featuring, "BATCH", 16)
    images = drawn_scenes("train", SCENES).images
    first = scene_features(vision, "abc", "train", SCENES)
    assert first.shape == (len(images), 5, 3) and batches == [16, 16, len(images) - 32]
    mean, std = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
    wanted = (images.mean(axis=(2, 3)) / 255 - mean) / std
    assert np.allclose(first[:, 0], wanted, atol=5e-3) and np.ptp(wanted) > 1
    assert np.array_equal(scene_features(vision, "abc", "train", SCENES), first) and len(batches) == 3
    scene_features(vision, "abd", "train", SCENES)
    assert len(batches) == 6


# Training -------------------------------------------------------------------------------------------------------------
def tiny_lm(width: int = 16, vocabulary: int = 30) -> transformers.LlamaForCausalLM:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=True, pad_token_id=PAD,
        bos_token_id=BEGIN, eos_token_id=END, initializer_range=0.3,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).eval().requires_grad_(False)


def tiny(kind: str) -> nn.Module:
    lm = tiny_lm()
    torch.manual_seed(1)
    if kind == "gated":
        return GatedVLM(lm, PerceiverResampler(8, 3, depth=1, heads=2, head_dim=4), 8, 2)
    return PrefixVLM(lm, LinearProjector(8, 16), prefix_lm=kind == "prefix_lm", skip=int(kind == "prefix"))


LOOKS = normal(8, 5, 8, seed=3).numpy().astype(np.float16)  # of eight scenes


def quiz(copies: int = 4) -> Lessons:
    """Of a scene's number one is asked, in half of the lessons after more words: the image alone tells."""
    scenes = np.arange(8 * copies) % 8
    tokens = np.zeros((len(scenes), 8), dtype=np.uint8)
    answers = np.zeros(tokens.shape, dtype=bool)
    for row, scene in enumerate(scenes):
        asked = [BEGIN, 6, 7] if row < len(scenes) // 2 else [BEGIN, 8, 9, 6, 7]
        line = [*asked, 10 + scene, END]
        tokens[row, : len(line)], answers[row, len(asked) : len(line)] = line, True
    return Lessons(tokens, answers, scenes)


def test_the_loss_of_an_answer_by_hand():
    logits = normal(2, 5, 7)
    tokens = torch.tensor([[1, 4, 5, 6, 3], [1, 2, 3, 0, 0]])
    answers = torch.tensor([[0, 0, 0, 1, 1], [0, 1, 1, 0, 0]]).bool()
    places = [(0, 3), (0, 4), (1, 1), (1, 2)]  # each is told by the logits of the word before
    logits[0, 2, 6] = 9
    loss, right = answer_loss(logits, tokens, answers)
    assert loss.item() == pytest.approx(
        np.mean([cross_entropy(logits[row, place - 1], int(tokens[row, place])) for row, place in places]), abs=1e-5
    )
    assert right.item() == np.mean([int(logits[row, at - 1].argmax()) == int(tokens[row, at]) for row, at in places])
    spoilt = logits.clone()
    spoilt[0, :2] = spoilt[0, 4:] = spoilt[1, 2:] = 50 * normal(7, seed=1)  # what tells no word of an answer
    assert torch.equal(answer_loss(spoilt, tokens, answers)[0], loss)


@pytest.mark.parametrize("kind", ["prefix", "prefix_lm", "gated"])
@pytest.mark.parametrize("tune_lm", [False, True])
def test_the_language_model_is_frozen_unless_it_is_tuned(kind, tune_lm):
    model = tiny(kind)
    before = weights_of(model)
    curve = train_vlm(model, LOOKS, [Stage(quiz(), 64, tune_lm, batch_size=32), Stage(quiz(), 64, batch_size=32)])
    moved = changed(model, before)
    of_lm = {name for name in moved if name.startswith("lm.")}
    assert of_lm == ({name for name in before if name.startswith("lm.")} if tune_lm else set())
    assert moved - of_lm == {name for name in before if not name.startswith("lm.")}
    assert not any(weight.requires_grad for weight in model.parameters())
    assert [(point["stage"], point["samples"]) for point in curve.points] == [(0, 32), (0, 64), (1, 96), (1, 128)]


@pytest.mark.parametrize("kind", ["prefix", "prefix_lm", "gated"])
def test_what_only_the_image_tells_is_learnt(kind):
    model = tiny(kind)
    stages = [Stage(quiz(), 32 * 60, tune_lm=True, learning_rate=2e-2, batch_size=32)]
    curve = train_vlm(model, LOOKS, stages)
    assert curve.points[0]["loss"] > 1.5 and curve.points[-1]["loss"] < 0.1 and curve.points[-1]["right"] > 0.99
    alike = np.broadcast_to(LOOKS[:1], LOOKS.shape)
    blind = train_vlm(tiny(kind), alike, stages)
    assert blind.points[-1]["loss"] > 0.45 * log(8)  # the end is known, the number has to be guessed
    assert blind.points[-1]["right"] < 0.75


def test_the_same_seed_gives_the_same_model_and_another_one_another():
    found = []
    for seed in (0, 0, 1):
        model = tiny("prefix")
        stages = [Stage(quiz(), 64, batch_size=8), Stage(quiz(), 64, batch_size=8)]
        curve = train_vlm(model, LOOKS, stages, seed)
        found.append((weights_of(model), [point["loss"] for point in curve.points]))
    assert found[0][1] == found[1][1] != found[2][1]
    assert all(torch.equal(found[0][0][name], found[1][0][name]) for name in found[0][0])
    assert not torch.equal(found[0][0]["connector.linear.weight"], found[2][0]["connector.linear.weight"])


class Noted(nn.Module):
    """Notes what it is given; its answer is a weight's."""

    def __init__(self):
        super().__init__()
        self.lm, self.bias = nn.Linear(1, 1), nn.Parameter(torch.zeros(30))
        self.given = []

    def forward(self, features, input_ids, prompt):
        self.given.append((features, input_ids, prompt))
        return self.bias.expand(*input_ids.shape, -1)


def test_a_model_gets_the_features_of_its_scenes_and_knows_the_prompt():
    model, lessons = Noted(), quiz()
    train_vlm(model, LOOKS, [Stage(lessons, 8 * 30, batch_size=8)])
    assert len(model.given) == 30
    lengths = set()
    for features, tokens, prompt in model.given:
        lengths.add(tokens.shape[1])
        assert features.dtype == torch.float32
        for look, line, asked in zip(features, tokens.tolist(), prompt, strict=True):
            size = len(line) - line.count(PAD)
            assert np.array_equal(look, LOOKS[line[size - 2] - 10].astype(np.float32))
            assert asked.tolist() == [True] * (size - 2) + [False] * (len(line) - size + 2)
    assert lengths == {5, 7}  # batches of neighbours, as long as the longest of them


def test_each_stage_has_a_learning_rate_that_rises_and_falls(monkeypatch):
    asked, shown = [], []
    monkeypatch.setattr(train, "schedule", lambda progress, warm_up: asked.append((progress, warm_up)) or 0.0)
    model = Noted()
    stages = [Stage(quiz(), 32 * 4, batch_size=32, warm_up=0.1), Stage(quiz(), 32 * 120 + 31, batch_size=32)]
    curve = train_vlm(model, LOOKS, stages, show=lambda seen, point: shown.append((seen, point)))
    assert asked[:4] == [(step / 4, 0.1) for step in range(4)]
    assert asked[4:] == [(pytest.approx(step / 120), 0.05) for step in range(120)]
    assert not model.bias.any()  # it is what the steps are multiplied with
    assert shown == [(point["samples"], point) for point in curve.points]
    assert len(curve.points) == 4 + 60 and curve.points[-1]["samples"] == 32 * 124
    assert all(point["loss"] == pytest.approx(log(30), abs=1e-5) for point in curve.points)


# BLIP-2's first stage -------------------------------------------------------------------------------------------------
def small_stage_one() -> QFormerStageOne:
    torch.manual_seed(0)
    sizes = {"hidden": 24, "layers": 2, "heads": 4, "intermediate": 40, "num_queries": 5, "text": True}
    return QFormerStageOne(QFormer(8, **sizes), vocabulary=30, embed_dim=12, positions=16)


def test_the_three_losses_by_hand():
    model = small_stage_one()
    scatter(model)
    images = normal(4, 5, 8)
    tokens = torch.tensor([[1, 5, 6, 7, 3], [1, 8, 9, 3, 0], [1, 10, 3, 0, 0], [1, 7, 5, 6, 3]])
    mask, sizes = tokens != PAD, [5, 4, 3, 5]
    pairs = []
    whole = model.matching
    model.matching = lambda *given: pairs.append(given) or whole(*given)
    losses = {name: loss.item() for name, loss in stage_one_losses(model, images, tokens, mask, seeded()).items()}
    one = [(tokens[row : row + 1, :size], torch.ones(1, size, dtype=torch.bool)) for row, size in enumerate(sizes)]
    with torch.no_grad():
        cosines = torch.cat([
            torch.cat([model.contrastive(images[row : row + 1], *text) for text in one], dim=1) for row in range(4)
        ])  # fmt: skip
        logits = cosines / 0.07
        both = [cross_entropy(logits[i], i) for i in range(4)] + [cross_entropy(logits[:, i], i) for i in range(4)]
        assert losses["contrastive"] == pytest.approx(np.mean(both), rel=1e-3)

        ((shown, texts, real),) = pairs
        assert torch.equal(shown, torch.cat([images, images])) and torch.equal(texts[:4], tokens)
        matched = []
        for row in range(8):
            text = texts[row : row + 1][:, real[row]]
            fits = whole(images[row % 4 : row % 4 + 1], text, torch.ones_like(text, dtype=torch.bool))[0]
            matched.append(cross_entropy(fits, int(row < 4)))
            assert row < 4 or not torch.equal(texts[row], tokens[row - 4])
        assert losses["matching"] == pytest.approx(np.mean(matched), rel=1e-3)

        said = []
        for row, (text, real) in enumerate(one):
            told = model.generation(images[row : row + 1], text, real)[0]
            said += [cross_entropy(told[place], int(text[0, place + 1])) for place in range(text.shape[1] - 1)]
        assert len(said) == 13 and losses["generation"] == pytest.approx(np.mean(said), rel=1e-3)


class Seeming(nn.Module):
    """Cosines as they are given; notes the texts that are to be matched."""

    def __init__(self, cosines: torch.Tensor):
        super().__init__()
        self.cosines, self.texts = cosines, []

    def contrastive(self, images, tokens, mask):
        return self.cosines

    def matching(self, images, tokens, mask):
        self.texts.append(tokens[len(tokens) // 2 :, 1])
        return torch.zeros(len(tokens), 2)

    def generation(self, images, tokens, mask):
        return torch.zeros(*tokens.shape, 30)


def wrong_texts(cosines: torch.Tensor, n: int) -> torch.Tensor:
    """The wrong text of every image, (n, B), in n draws."""
    model, draw, count = Seeming(cosines), seeded(), len(cosines)
    tokens = torch.stack([torch.ones(count, dtype=torch.long), torch.arange(count)], dim=1)
    for _ in range(n):
        stage_one_losses(model, torch.zeros(count, 2, 8), tokens, torch.ones_like(tokens, dtype=torch.bool), draw)
    return torch.stack(model.texts)


def test_the_wrong_text_is_the_likelier_the_more_it_seems_right_and_never_the_own():
    cosines = 0.1 * normal(5, 5, seed=4)
    drawn = wrong_texts(cosines, 2000)
    wanted = (cosines / 0.07).exp().fill_diagonal_(0)
    wanted = wanted / wanted.sum(dim=1, keepdim=True)
    shares = torch.stack([(drawn == text).float().mean(dim=0) for text in range(5)], dim=1)
    assert (shares - wanted).abs().max() < 0.05 and shares.diagonal().max() == 0
    assert wanted.fill_diagonal_(1).min() < 0.1 < 0.4 < wanted.fill_diagonal_(0).max()
    sure = 2 * torch.eye(5) - 1  # the own text seems right beyond doubt: the others are still drawn
    drawn = wrong_texts(sure, 200)
    assert not (drawn == torch.arange(5)).any()
    assert all(len(set(column.tolist())) == 4 for column in drawn.T)


def test_all_three_losses_fall():
    shown = []
    stage = Stage(quiz(8), 8 * 160, learning_rate=2e-2, batch_size=8)
    curve = train_stage_one(small_stage_one(), LOOKS, stage, show=lambda seen, point: shown.append((seen, point)))
    assert shown == [(point["samples"], point) for point in curve.points]
    assert [point["samples"] for point in curve.points] == [*range(24, 8 * 160, 24), 8 * 160]
    for name in ("contrastive", "matching", "generation"):
        first, last = (np.mean([point[name] for point in some]) for some in (curve.points[:3], curve.points[-5:]))
        assert last < 0.7 * first, (name, first, last)


def test_the_same_seed_gives_the_same_first_stage():
    found = []
    for seed in (0, 0, 1):
        model = small_stage_one()
        found.append((train_stage_one(model, LOOKS, Stage(quiz(8), 48, batch_size=8), seed).points, weights_of(model)))
    assert found[0][0] == found[1][0] != found[2][0]
    assert all(torch.equal(found[0][1][name], found[1][1][name]) for name in found[0][1])


# The connectors -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", CONNECTORS)
def test_the_connectors_are_what_they_are_called(name, school):
    features = normal(2, 65, 128)
    model = build(name, school.lm, queries=5)
    connector, skip = model.connector, 0 if name == "gated" else model.skip
    visual = connector(features[:, skip:])
    assert visual.shape == (2, {"linear": 64, "mlp": 64, "prefix": 65, "qformer": 5, "gated": 5}[name], 128)
    kind = {"linear": LinearProjector, "mlp": MLPProjector, "prefix": LinearProjector, "qformer": nn.Sequential,
            "gated": PerceiverResampler}[name]  # fmt: skip
    assert type(connector) is kind and isinstance(model, GatedVLM if name == "gated" else PrefixVLM)
    if name == "gated":
        assert len(model.gated) == 4 and all(isinstance(each, GatedCrossAttention) for each in model.gated)
    else:
        assert model.prefix_lm == (name == "prefix")
    if name == "qformer":
        assert connector[0].query_tokens.std().item() == pytest.approx(1, abs=0.1)
        looks = [layer.cross_attention is not None for layer in connector[0].layers]
        assert looks == [True, False, True, False] and qformer(text=True).text and not connector[0].text
    again, other = (build(name, school.lm, 5, seed).connector.state_dict() for seed in (0, 1))
    assert not changed(connector, again)
    assert any(not torch.equal(again[key], other[key]) for key in again)


def test_a_built_model_has_a_language_model_of_its_own(school):
    model = build("linear", school.lm)
    assert not changed(model.lm, weights_of(school.lm))
    with torch.no_grad():
        for weight in model.lm.parameters():
            weight.add_(1)
    assert changed(school.lm, weights_of(model.lm)) == set(school.lm.state_dict())


def test_an_unknown_connector_is_one_sentence(school):
    with pytest.raises(UserError, match="There is no connector 'mpl': choose from linear, mlp, prefix, qformer, gated"):
        build("mpl", school.lm)


@pytest.fixture
def spied(monkeypatch):
    """What `teach` hands on: the stages, and the weights with which each part of the training begins and ends."""
    noted = SimpleNamespace(stages=[], begin=None, first=None)
    vlm, one = teach.train_vlm, teach.train_stage_one

    def second(model, features, stages, *rest):
        noted.stages += stages
        noted.begin = weights_of(model)
        return vlm(model, features, stages, *rest)

    def first(model, features, stage, *rest):
        noted.stages.append(stage)
        curve = one(model, features, stage, *rest)
        noted.first = weights_of(model.qformer)
        return curve

    monkeypatch.setattr(teach, "train_vlm", second)
    monkeypatch.setattr(teach, "train_stage_one", first)
    return noted


def batches(*stages: int) -> list[int]:
    """Samples seen after each batch of stages of so many samples; each has one batch at least."""
    size = Stage.__dataclass_fields__["batch_size"].default
    return [size * (step + 1) for step in range(sum(max(1, samples // size) for samples in stages))]


PLANS = [*({"connector": name} for name in CONNECTORS), {"connector": "mlp", "tune_lm": True}]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: " ".join(map(str, plan.values())))
def test_every_connector_is_taught_in_two_stages(plan, school, spied):
    plan = Plan(samples=96, learning_rate=2e-3, queries=4, **plan)
    shown = []
    before = weights_of(build(plan.connector, school.lm, 4, seed=5))
    lm = weights_of(school.lm)
    model, curve = teach.teach(plan, school, 5, lambda seen, point: shown.append(seen))
    assert [(stage.samples, stage.tune_lm, stage.learning_rate) for stage in spied.stages] == [
        (24, plan.tune_lm, 2e-3), (72, plan.tune_lm, 2e-3)]  # fmt: skip
    for stage, lessons in zip(spied.stages, (school.aligning, school.instruction), strict=True):
        marks = lines(stage.lessons.tokens) == [marked(line) for line in lines(lessons.tokens)]
        assert marks == (plan.connector == "gated") and (marks or stage.lessons is lessons)
    assert all(torch.equal(spied.begin[name], before[name]) for name in before)
    moved = changed(model, before)
    assert any(name.startswith("lm.") for name in moved) == plan.tune_lm
    # The gates begin closed: in the first step nothing behind them learns, and here there are a few.
    assert {name for name in before if name.startswith("connector.")} <= moved
    assert not changed(school.lm, lm) and not model.training
    assert [point["samples"] for point in curve.points] == shown == batches(24, 72)
    assert all(np.isfinite(point["loss"]) for point in curve.points) and curve.seconds > 0


def test_with_blip2s_first_stage_the_queries_have_learnt_before(school, spied):
    plan = Plan("qformer", samples=128, stage_one=True, queries=4)
    _, curve = teach.teach(plan, school)
    assert [stage.samples for stage in spied.stages] == [16, 16, 96]  # half of a quarter each, and the rest
    assert spied.stages[0].lessons is spied.stages[1].lessons is school.aligning
    assert spied.stages[0].batch_size == teach.CONTRASTED > spied.stages[1].batch_size
    ours = {name.removeprefix("connector.0."): weight for name, weight in spied.begin.items()
            if name.startswith("connector.0.")}  # fmt: skip
    assert ours and all(torch.equal(weight, spied.first[name]) for name, weight in ours.items())
    assert {name.split(".")[2] for name in set(spied.first) - set(ours)} == {"text_feed_forward"}
    fresh = build("qformer", school.lm, 4).state_dict()
    same = [name for name in ours if torch.equal(ours[name], fresh[f"connector.0.{name}"])]
    assert not same, "the first stage changed nothing"
    assert torch.equal(spied.begin["connector.1.linear.weight"], fresh["connector.1.linear.weight"])
    assert [("contrastive" in point, point["samples"]) for point in curve.points] == [
        (True, teach.CONTRASTED),  # one batch at least, and a large one: its texts are contrasted with each other
        *((False, seen) for seen in batches(16, 96)),
    ]


@pytest.mark.parametrize("plan", [{"connector": "mlp"}, {"connector": "qformer", "stage_one": True},
                                  {"connector": "gated"}], ids=lambda plan: plan["connector"])  # fmt: skip
def test_a_noted_connector_learns_notes_first_and_then_questions_alone(plan, school, spied, monkeypatch):
    given, align = [], teach.align

    def noted(connector, *rest, **named):
        before = weights_of(connector)
        curve = align(connector, *rest, **named)
        given.append((before, weights_of(connector), rest, named))
        return curve

    monkeypatch.setattr(teach, "align", noted)
    monkeypatch.setattr(teach, "NOTED", 64)
    _, curve = teach.teach(Plan(samples=128, noted=True, queries=4, learning_rate=2e-3, **plan), school, seed=5)
    ((before, after, (features, graphs, words_, notes, samples, unit, rate, seed, show), named),) = given
    assert not named and (rate, seed, show) == (2e-3, 5, None)
    assert samples == 64 and unit == (plan["connector"] == "gated") and notes is school.notes
    assert features.shape[1] == (64 if plan["connector"] == "mlp" else 65) and len(graphs) == len(features)
    assert torch.equal(words_.weight, school.lm.get_input_embeddings().weight)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    begin = {name.removeprefix("connector."): weight for name, weight in spied.begin.items()
             if name.startswith("connector.")}  # fmt: skip
    assert all(torch.equal(begin[name], weight) for name, weight in after.items())
    asked = [stage.samples for stage in spied.stages]
    assert asked == ([16, 112] if plan.get("stage_one") else [128])
    assert spied.stages[-1].samples == asked[-1] and "notes" in curve.points[-1 - len(batches(asked[-1]))]


def test_teaching_twice_gives_the_same_model(school):
    one, other = (teach.teach(Plan("linear", 64), school, 3)[0] for _ in range(2))
    assert not changed(one, weights_of(other)) and changed(one, weights_of(build("linear", school.lm, seed=3)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("plan", [*({"connector": name, "noted": True} for name in CONNECTORS),
                                  {"connector": "qformer", "stage_one": True}], ids=str)  # fmt: skip
def test_a_gpu_teaches_what_the_cpu_teaches(plan, school, questions, monkeypatch):
    monkeypatch.setattr(teach, "NOTED", 64)
    there = School(SCENES, DOCUMENTS, "cuda")
    there.lm, there.notes = (copy.deepcopy(part).to("cuda") for part in (school.lm, school.notes))
    assert np.allclose(encode(there.vision, drawn_scenes("train", SCENES).images), school.features, atol=2e-2)
    plan = Plan(samples=128, tune_lm=True, queries=4, **plan)
    (here, wanted), (model, found) = (teach.teach(plan, each, seed=2) for each in (school, there))
    assert {weight.device.type for weight in model.parameters()} == {"cuda"}
    for ours, theirs in zip(wanted.points, found.points, strict=True):
        assert theirs == pytest.approx(ours, rel=0.02, abs=0.05)
    asked = examine.Asked(questions, normal(len(questions), 65, 128))
    same = [
        one == other for one, other in zip(*(examine.answers_of(each, asked) for each in (here, model)), strict=True)
    ]
    assert np.mean(same) > 0.9


# Examining ------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def questions() -> list[Question]:
    """Seven questions about seven scenes of the test split."""
    stream, found = QuestionStream(np.random.default_rng(0)), []
    for scene in vqa_world(4002).sample(7):
        form, truth = stream(scene)
        found.append(question(form, truth, 4002, scene.index, Annotators()))
    return found


def test_questions_are_prepared_with_the_features_of_their_scenes(school, questions, monkeypatch):
    monkeypatch.setattr(examine, "BATCH", 3)
    asked = examine.prepare(school.vision, questions)
    assert asked.questions is questions and asked.features.shape == (7, 65, 128)
    processor = load("clip-scenes", "pocket", "cpu").processor
    for number, features in enumerate(asked.features):
        inputs = processor(images=[vqa_world(4002).scene(number).image], return_tensors="pt")
        with torch.no_grad():
            wanted = school.vision(**inputs).last_hidden_state[0]
        assert torch.allclose(features, wanted, atol=1e-4)
    assert not torch.allclose(asked.features[0], asked.features[1], atol=0.1)


class Knowing(nn.Module):
    """Says the answer whose number it sees, if the prompt is that of its question."""

    def __init__(self, questions: list[Question]):
        super().__init__()
        tokenizer = vlm_tokenizer()
        self.prompts = [tokenizer(question_prompt(each.text))["input_ids"] for each in questions]
        self.said = [[*tokenizer(each.answer, add_special_tokens=False)["input_ids"], END] for each in questions]
        self.batches = []

    def forward(self, features, input_ids, prompt):
        self.batches.append(len(features))
        logits = torch.zeros(*input_ids.shape, len(KNOWN))
        for row, number in enumerate(features[:, 0, 0].int().tolist()):
            size = int(prompt[row].sum())
            if input_ids[row, :size].tolist() == self.prompts[number]:
                for place, token in enumerate(self.said[number]):
                    if size + place - 1 < input_ids.shape[1]:
                        logits[row, size + place - 1, token] = 1
        return logits


def test_who_knows_all_answers_scores_one_and_who_mistakes_the_pictures_does_not(questions, monkeypatch):
    monkeypatch.setattr(examine, "BATCH", 3)
    numbers = torch.arange(7.0)[:, None, None].expand(-1, 65, 128)
    model = Knowing(questions)
    said = examine.answers_of(model, examine.Asked(questions, numbers))
    assert said == [each.answer for each in questions] and max(model.batches) == 3
    found = examine.score(said, questions)
    assert found["all"] == 1 and all(found[each.kind] == 1 for each in questions)
    assert set(found) == {each.kind for each in questions} | {"all", "vqa"}
    mistaken = examine.answers_of(Knowing(questions), examine.Asked(questions, numbers.roll(1, 0)))
    assert examine.score(mistaken, questions)["all"] < 0.5


@pytest.mark.parametrize("name", ["linear", "prefix", "gated"])
def test_greedy_answers_by_hand(name, school, questions):
    lm = copy.deepcopy(school.lm)
    scatter(lm, scale=0.15)
    model = build(name, lm, queries=4).requires_grad_(False)
    asked = examine.prepare(school.vision, questions)
    wanted = []
    for number, each in enumerate(questions):
        line = vlm_tokenizer()(question_prompt(each.text))["input_ids"]
        if name == "gated":  # where the image stands
            line[1:1] = [KNOWN.index(mark) for mark in (AROUND, IMAGE, AROUND)]
        begun = len(line)
        while len(line) < begun + 12:
            prompt = torch.arange(len(line))[None] < begun
            with torch.no_grad():
                best = int(model(asked.features[number : number + 1], torch.tensor([line]), prompt)[0, -1].argmax())
            if best == END:
                break
            line.append(best)
        wanted.append(" ".join(KNOWN[token] for token in line[begun:]))
    assert examine.answers_of(model, asked) == wanted and len(set(wanted)) > 3


def test_who_ends_at_once_says_nothing(questions):
    class Silent(nn.Module):
        def forward(self, features, input_ids, prompt):
            return F.one_hot(torch.full(input_ids.shape, END), len(KNOWN)).float()

    assert examine.answers_of(Silent(), examine.Asked(questions, torch.zeros(7, 65, 128))) == [""] * 7


def test_scores_by_hand():
    def asked(truth: str, kind: str, people: tuple[str, ...]) -> Question:
        return Question("?", truth, kind, (), 4002, 0, True, people)

    some = [
        asked("yes", "existence", ("yes",) * 10),
        asked("no", "existence", ("no",) * 10),
        asked("red", "colour", ("red",) * 2 + ("blue",) * 8),
        asked("2", "count", ("2",) * 10),
    ]
    found = examine.score(["yes", "yes", "red", "2 2"], some)
    # Two of ten said red: left out one of them, 1/3, else 2/3.
    vqa = (1 + 0 + (2 * 1 / 3 + 8 * 2 / 3) / 10 + 0) / 4
    assert found == {"existence": 0.5, "colour": 1.0, "count": 0.0, "all": 0.5, "vqa": pytest.approx(vqa)}


# Studies --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", studies.ABOUT)
def test_the_cases_of_a_study_are_plans_that_differ(name):
    plans = [Plan(samples=1, **case) for case in studies.cases(name)]
    assert len(set(plans)) == len(plans) > 1
    for plan in plans:
        assert plan.connector in CONNECTORS and (plan.connector == "qformer" or not plan.stage_one)
    named = {plan.connector for plan in plans}
    assert {"connectors": named >= {"mlp", "prefix", "qformer", "gated"} and any(plan.stage_one for plan in plans),
            "frozen": not any(plan.tune_lm for plan in plans) and len(named) > 1,
            "queries": len({plan.queries for plan in plans} | {Plan("qformer", 1).queries}) == 5}[name]  # fmt: skip


@pytest.mark.parametrize("name", studies.ABOUT)
def test_what_is_stored_is_whole_and_the_page_shows_it(name):
    rows = studies.stored(name)
    runs = [tuple(row.get(key) for key in ("seed", *studies.PLAN)) for row in rows]
    wanted = [tuple(({"seed": seed} | case).get(key) for key in ("seed", *studies.PLAN))
              for seed in studies.SEEDS for case in studies.cases(name)]  # fmt: skip
    assert sorted(map(str, runs)) == sorted(map(str, wanted))
    for row in rows:
        right = studies.hits_of(row)
        assert len(right) == studies.QUESTIONS and right.mean() == pytest.approx(row["accuracy"]["all"])
        assert row["device"] in ("cpu", "cuda") and row["training_seconds"] > 0
    assert len({row["hits"] for row in rows}) == len(rows), "two runs are one and the same"
    assert studies.page() == (studies.stored_file(name).parent / "README.md").read_text(encoding="utf-8")


def test_an_unknown_study_is_one_sentence():
    for call in (studies.cases, studies.stored):
        with pytest.raises(UserError, match="There is no study 'tune': choose from connectors, frozen, queries"):
            call("tune")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where studies are stored: a data folder that is empty."""
    monkeypatch.setattr(studies, "data_dir", lambda: tmp_path)
    return tmp_path / "connectors"


def test_a_missing_or_damaged_study_is_one_sentence(folder):
    with pytest.raises(UserError, match=r"frozen.json in data/connectors is missing or damaged \(FileNotFoundError\)"):
        studies.stored("frozen")
    folder.mkdir()
    for text in ('{"rows": [', "[]", "{}", "7"):
        (folder / "frozen.json").write_text(text)
        with pytest.raises(UserError, match="python -m vfm_course.vlm.studies frozen"):
            studies.stored("frozen")
        with pytest.raises(UserError, match="damaged"):  # what was measured is not written over
            studies.run("frozen", Counted(), seeds=(0,))
        assert (folder / "frozen.json").read_text() == text
    (folder / "frozen.json").write_text('{"rows": [{"seed": 0}]}')
    assert studies.stored("frozen") == [{"seed": 0}]


class Counted:
    """A bench that counts its runs, and is killed at the fourth."""

    def __init__(self):
        self.runs = []

    def measure(self, seed: int, case: dict) -> dict:
        if len(self.runs) == 3:
            self.runs.append("killed")
            raise KeyboardInterrupt
        self.runs.append((seed, *case.values()))
        return {"accuracy": {"all": 0.25 * len(self.runs)}, "hits": "f0"}


def test_a_stopped_study_goes_on_where_it_was_and_no_run_is_made_twice(folder):
    bench = Counted()
    with pytest.raises(KeyboardInterrupt):
        studies.run("frozen", bench, seeds=(0, 1))
    assert [row["accuracy"]["all"] for row in studies.stored("frozen")] == [
        0.25,
        0.5,
        0.75,
    ]  # each once it is done
    rows = studies.run("frozen", bench, seeds=(0, 1))
    first, later = ([(seed, name) for name in ("mlp", "qformer", "gated", "gated")] for seed in (0, 1))
    assert [run if run == "killed" else run[:2] for run in bench.runs] == [*first[:3], "killed", *first[3:], *later]
    found = [(row["seed"], row["connector"], row["accuracy"]["all"]) for row in rows]
    assert found == [(*run, 0.25 * n) for run, n in zip(first + later, (1, 2, 3, 5, 6, 7, 8, 9), strict=True)]
    assert studies.stored("frozen") == rows == studies.run("frozen", bench, seeds=(0, 1)) and len(bench.runs) == 9
    held = json.loads((folder / "frozen.json").read_text())
    assert (held["form"], held["study"], held["samples"]) == (studies.FORM, "frozen", studies.SAMPLES)
    assert [path.name for path in folder.iterdir()] == ["frozen.json"]


def test_the_page_has_a_row_a_case_with_the_range_over_seeds(folder):
    class Known:
        def measure(self, seed: int, case: dict) -> dict:
            share = {"mlp": 0.5, "qformer": 0.25, "gated": 0.125}[case["connector"]] + seed / 8
            row = {"accuracy": {"count": share, "all": share}, "trained": 1000, "training_seconds": 90.0, "hits": "f0"}
            alone = case["connector"] == "mlp" and seed == 0
            return row | {"device": "cuda" if case["connector"] == "gated" or alone else "cpu"}

    studies.run("frozen", Known(), seeds=(0, 1))
    studies.write_page()
    page = (folder / "README.md").read_text()
    cell = "0.562 (0.500 to 0.625)"
    assert f"| mlp | True |  | {cell} | {cell} | 1,000 | 1.500 |" in page  # of the run on a core
    assert page.count("| 1.500 (1.500 to 1.500) |") == 1
    assert page.split("| gated |")[2].splitlines()[0].endswith("| 1,000 |  |"), "a GPU's minutes are no core's"
    assert page.count("\n## ") == 1 and studies.ABOUT["frozen"] in page and "hits" not in page


def test_runs_that_differ_in_one_keyword_are_not_taken_for_each_other(folder):
    for name in studies.ABOUT:
        bench = Counted()
        bench.runs += ["killed"] * 4
        studies.run(name, bench, seeds=(0, 1))
        wanted = [(seed, *case.values()) for seed in (0, 1) for case in studies.cases(name)]
        assert bench.runs[4:] == wanted and len(studies.stored(name)) == len(wanted)


@pytest.mark.parametrize("tune_lm", [False, True])
def test_a_row_holds_which_questions_were_answered_right(tune_lm, questions, monkeypatch):
    many = questions + questions[:4]  # eleven: no multiple of eight
    right = np.array([1, 0, 1, 1, 0, 0, 0, 1, 0, 1, 1], dtype=bool)
    answers = [each.answer if hit else "zebra" for each, hit in zip(many, right, strict=True)]
    plans = []

    def taught(plan, school, seed):
        plans.append((plan, seed))
        return tiny("prefix"), train.Curve([{"samples": number} for number in range(5)], 1.23)

    monkeypatch.setattr(teach, "teach", taught)
    monkeypatch.setattr(examine, "answers_of", lambda model, asked: answers)
    bench = studies.Bench.__new__(studies.Bench)
    bench.school, bench.asked = SimpleNamespace(device="cuda"), examine.Asked(many, torch.zeros(11, 1, 1))
    row = json.loads(json.dumps(bench.measure(2, {"connector": "mlp"} | ({"tune_lm": True} if tune_lm else {}))))
    assert plans == [(Plan("mlp", studies.SAMPLES, tune_lm), 2)]
    assert studies.hits_of(row).tolist() == right.tolist() and row["questions"] == 11
    assert row["device"] == "cuda"
    assert row["accuracy"]["all"] == pytest.approx(6 / 11)
    kind = many[0].kind
    of_kind = [hit for each, hit in zip(many, right, strict=True) if each.kind == kind]
    assert row["accuracy"][kind] == pytest.approx(np.mean(of_kind))
    connector = 8 * 16 + 16
    assert row["trained"] == connector + (sum(map(torch.numel, tiny_lm().parameters())) if tune_lm else 0)
    assert [point["samples"] for point in row["curve"]] == [0, 2, 4] and row["training_seconds"] == 1.2


def test_rows_made_in_another_way_are_measured_again(tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "data_dir", lambda: tmp_path)
    monkeypatch.setattr(studies, "cases", lambda name: [{"connector": "mlp"}])

    class Counting:
        runs = 0

        def measure(self, seed, case):
            self.runs += 1
            return {"accuracy": {"all": 0.5}}

    bench = Counting()
    studies.run("connectors", bench, seeds=(0,))
    studies.run("connectors", bench, seeds=(0,))
    assert bench.runs == 1
    monkeypatch.setattr(studies, "SAMPLES", studies.SAMPLES + 1)
    studies.run("connectors", bench, seeds=(0,))
    assert bench.runs == 2
    monkeypatch.setattr(studies, "cases", lambda name: [{"connector": "gated"}])
    assert [row["connector"] for row in studies.run("connectors", bench, seeds=(0,))] == ["gated"]


def test_gates_begin_closed_or_as_open_as_the_plan_says(school, spied):
    for alpha in (0.0, 0.5):
        teach.teach(Plan("gated", 8, queries=4, alpha=alpha), school)
        begun = [weight for name, weight in spied.begin.items() if "alpha" in name]
        assert len(begun) == 2 * len(school.lm.model.layers) and all((weight == alpha).all() for weight in begun)
    for name in ("connectors", "frozen"):
        (case,) = (case for case in studies.cases(name) if case.get("alpha"))
        assert case["connector"] == "gated"
        assert {key: value for key, value in case.items() if key != "alpha"} in studies.cases(name)
    with pytest.raises(UserError, match="Only Flamingo's connector has gates.*'mlp'"):
        teach.teach(Plan("mlp", 8, alpha=0.5), school=None)


def test_a_first_stage_is_for_the_qformer_alone():
    with pytest.raises(UserError, match="first stage is a Q-Former's.*'mlp'"):
        teach.teach(teach.Plan("mlp", 8, stage_one=True), school=None)
