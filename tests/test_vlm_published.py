"""Saved as LLaVA, BLIP-2, Idefics and PaliGemma and driven by the real processors, our models say what they said."""

from pathlib import Path

import pytest
import torch
import transformers
from PIL import Image
from tiny import speak
from tiny.published import SAVE, TOKENS, WORDS, Published, eyes, language_model, load, pictures, pocket, same
from tiny.same_weights import scatter
from torch import nn

from vfm_course.connectors.projector import LinearProjector, MLPProjector
from vfm_course.connectors.resampler import PerceiverResampler
from vfm_course.errors import UserError
from vfm_course.vlm import drive
from vfm_course.vlm.features import encode
from vfm_course.vlm.model import GatedVLM, PrefixVLM, answer
from vfm_course.vlm.prompts import CAPTION, PICTURE, question_prompt
from vfm_course.vlm.published.blip2 import blip2_tower_config, from_clip, to_blip2
from vfm_course.vlm.published.flamingo import to_flamingo
from vfm_course.vlm.published.llava import to_llava
from vfm_course.vlm.published.paligemma import to_paligemma
from vfm_course.vlm.tokenizer import END, IMAGE_ID, PAD, marked, vlm_tokenizer

QUESTIONS = ["is there a red cat?", "what colour is the car left of the dog?", "how many?"]
DIALOGUE = question_prompt("is it red?", [("is there a cat?", "yes"), ("what is left of it?", "a blue car")])


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    made = {}

    def get(name: str) -> Published:
        if name not in made:
            vision, ours = pocket(name)
            folder = tmp_path_factory.mktemp(name)
            SAVE[name](vision, ours, folder)
            made[name] = Published(name, vision, ours, *load(name, folder), folder)
        return made[name]

    return get


@pytest.fixture(params=list(SAVE))
def model(request, published) -> Published:
    return published(request.param)


# Equal to our own --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("prompt", [question_prompt(QUESTIONS[1]), CAPTION, DIALOGUE])
def test_logits_are_ours(model, prompt):
    assert same(*model.logits(prompt))


def test_processor_makes_the_text_that_our_models_read(model):
    inputs = model.read([CAPTION, DIALOGUE], pictures(2))
    ours = vlm_tokenizer()([CAPTION, DIALOGUE])["input_ids"]
    assert model.lines(inputs) == ([marked(line) for line in ours] if model.name == "flamingo" else ours)
    images = {"llava": TOKENS - 1, "blip2": 5, "flamingo": 1, "paligemma": TOKENS}[model.name]
    assert (inputs["input_ids"] == IMAGE_ID).sum(dim=1).tolist() == [images] * 2
    if model.name != "flamingo":  # the image stands in front of all
        assert (inputs["input_ids"][1, :images] == IMAGE_ID).all()


def test_generate_answers_as_ours_does_and_stops_where_ours_stops(model):
    prompts, images = [question_prompt(text) for text in QUESTIONS] + [CAPTION], pictures(4)
    inputs = model.read(prompts, images)
    features, lines = encode(model.vision, images), model.lines(inputs)
    known = model.ours.lm.get_input_embeddings().weight
    before = known[END].clone()
    try:  # the end is said wherever the third word of the first answer would have been
        end = answer(model.ours, features, lines, END, most=6)[0][2]
        known[END] = 1.5 * known[end]
        wanted = answer(model.ours, features, lines, END, most=6)
        assert len(wanted[0]) < 6
        folder = model.folder.parent / f"{model.folder.name}_ends"
        SAVE[model.name](model.vision, model.ours, folder)
        theirs, _ = load(model.name, folder)
    finally:
        known[END] = before
    inputs.pop("labels", None)
    said = theirs.generate(**inputs, max_new_tokens=6)[:, inputs["input_ids"].shape[1] :].tolist()
    for line, ours in zip(said, wanted, strict=True):
        assert line[: len(ours)] == ours
        assert line[len(ours) : len(ours) + 1] == ([END] if len(ours) < 6 else [])
        assert set(line[len(ours) + 1 :]) <= {PAD}


def test_a_batch_with_padding_answers_as_one_by_one(model):
    theirs, processor, images = model.theirs, model.processor, pictures()
    asked = [question_prompt(text) for text in QUESTIONS]
    batch = drive.answers(theirs, processor, images, QUESTIONS, batch_size=2, max_new_tokens=5)
    alone = [drive.describe(theirs, processor, image, text, 5) for image, text in zip(images, asked, strict=True)]
    lines = model.lines(model.read(asked, images))
    ours = answer(model.ours, encode(model.vision, images), lines, END, most=5)
    assert batch == alone == [text.strip() for text in processor.tokenizer.batch_decode(ours, skip_special_tokens=True)]
    assert len(set(batch)) == 3


def test_the_suffix_of_paligemma_is_causal(published):
    model = published("paligemma")
    ours, theirs = model.logits(question_prompt(QUESTIONS[0]), suffix=["yes"])
    assert same(ours, theirs)
    assert not same(ours, model.logits(f"{question_prompt(QUESTIONS[0])} yes<end>")[0])  # nor is all of it a prefix


@pytest.mark.parametrize("name", ["llava", "flamingo", "paligemma"])
def test_an_output_head_of_its_own_goes_over_too(name, tmp_path):
    vision, ours = pocket(name, tied=False)
    SAVE[name](vision, ours, tmp_path)
    assert same(*Published(name, vision, ours, *load(name, tmp_path), tmp_path).logits(DIALOGUE))


def test_half_precision(model, tmp_path):
    SAVE[model.name](model.vision, model.ours, tmp_path, half=True)
    small, large = ((folder / "model.safetensors").stat().st_size for folder in (tmp_path, model.folder))
    assert small < 0.6 * large
    rounded = Published(
        model.name, model.vision, model.ours, *load(model.name, tmp_path, dtype=torch.float32), tmp_path
    )
    ours, theirs = rounded.logits(DIALOGUE)
    assert same(ours, theirs, atol=0.05) and not same(ours, theirs, atol=1e-6)
    assert rounded.theirs.dtype == torch.float32 and next(model.ours.parameters()).dtype == torch.float32
    half, processor = load(model.name, tmp_path, dtype=torch.float16)
    assert isinstance(drive.describe(half, processor, pictures(1)[0], CAPTION, 2), str)


def test_one_changed_weight_is_seen(model):
    layer = model.vision.encoder.layers[0]
    looked_at = [layer.mlp.fc1.weight, *list(model.ours.connector.parameters())[:1], model.ours.lm.model.norm.weight,
                 model.ours.lm.model.layers[0].mlp.up_proj.weight]  # fmt: skip
    if model.name == "flamingo":
        looked_at += [model.ours.gated[1].alpha_attention, model.ours.gated[0].dense.gate.weight]
    for weight in looked_at:
        before = weight.clone()
        weight.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
        try:
            assert not same(*model.logits(CAPTION))
        finally:
            weight.copy_(before)
    assert same(*model.logits(CAPTION))


# Folders, templates, words -----------------------------------------------------------------------------------------
def test_the_folder_holds_no_pickle(model):
    names = {path.name for path in model.folder.iterdir()}
    assert {"model.safetensors", "config.json", "processor_config.json", "tokenizer.json"} <= names
    assert {Path(name).suffix for name in names} <= {".safetensors", ".json", ".jinja"}
    assert ("chat_template.jinja" in names) == (model.name == "llava")


def user(text: str, image: bool = False) -> dict:
    return {"role": "user", "content": [{"type": "image"}] * image + [{"type": "text", "text": text}]}


def assistant(text: str) -> dict:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


@pytest.mark.parametrize(
    ("turns", "asks", "written"),
    [
        ([user("is there a cat?", True)], True, question_prompt("is there a cat?")),
        ([user("is there a cat?", True)], False, "Question: is there a cat?"),
        ([user(CAPTION, True)], True, "Caption:"),
        ([user(question_prompt("why?"), True)], True, question_prompt("why?")),
        ([user(PICTURE, True), assistant("a red cat"), user("why?")], True,
         "Picture: a red cat<end>Question: why? Answer:"),
        ([user("is there a cat?"), assistant("yes"), user("is it red?", True)], True,
         question_prompt("is it red?", [("is there a cat?", "yes")])),
        ([user("a?", True), assistant("b"), user(CAPTION), assistant("c")], False,
         "Question: a? Answer: b<end>Caption: c<end>"),
        ([{"role": "user", "content": [{"type": "text", "text": "is"}, {"type": "image"},
                                       {"type": "text", "text": "it?"}]},
          {"role": "assistant", "content": "yes"}], False, "Question: is it? Answer: yes<end>"),
    ],
)  # fmt: skip
def test_chat_template(published, turns, asks, written):
    processor = published("llava").processor
    assert processor.apply_chat_template(turns, add_generation_prompt=asks) == f"<image><begin>{written}"


def test_chat_template_knows_two_speakers(published):
    with pytest.raises(Exception, match="Only a user and an assistant speak here"):
        published("llava").processor.apply_chat_template([{"role": "system", "content": "be brief"}])


def test_words_for_places_read_as_unknown_and_are_not_said(published):
    model = published("paligemma")
    inputs = model.read(["a <loc0007> b"], pictures(1))
    strange = model.processor.tokenizer.convert_tokens_to_ids("<loc0007>")
    assert strange >= WORDS and strange in inputs["input_ids"]
    plain = model.read(["a <unknown> b"], pictures(1))
    with torch.no_grad():
        first, second = (model.theirs(**each).logits for each in (inputs, plain))
    assert torch.equal(first, second)
    assert set(model.theirs.generation_config.suppress_tokens) == set(range(WORDS, first.shape[-1]))


@torch.no_grad()
def test_blip2s_tower_begins_as_clip_but_for_its_first_norm():
    clip, pixels = eyes("llava"), torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    scatter(clip, scale=0.15)
    plain, folded = from_clip(clip), from_clip(clip, pixels)
    target = nn.functional.layer_norm(clip(pixels).last_hidden_state, (32,))
    errors = [(tower(pixels).last_hidden_state - target).pow(2).mean() for tower in (plain, folded)]
    assert errors[1] < errors[0] / 2
    norm, clip.pre_layrnorm = clip.pre_layrnorm, nn.Identity()
    wanted = nn.functional.layer_norm(clip(pixels).last_hidden_state, (32,))
    assert same(wanted, plain(pixels).last_hidden_state, atol=1e-5)
    torch.testing.assert_close(folded.embeddings(pixels)[:, 0], norm(clip.embeddings(pixels))[:, 0])  # the class token
    tower = transformers.Blip2VisionModel(blip2_tower_config())
    assert tower(pixels).last_hidden_state.shape == (4, 65, 128)


# Wrong inputs ------------------------------------------------------------------------------------------------------
def wrong_parts() -> list[tuple]:
    clip, lm, mlp, linear = eyes("llava"), language_model(), MLPProjector(32, 48), LinearProjector(32, 48)
    narrow = PerceiverResampler(32, 6, depth=1, heads=2, head_dim=8, intermediate=40)
    resampler = PerceiverResampler(32, 6, depth=1, heads=2, head_dim=8)
    return [
        (to_llava, clip, PrefixVLM(lm, linear, skip=1), "MLPProjector"),
        (to_llava, clip, PrefixVLM(lm, mlp, prefix_lm=True), "left to right"),
        (to_llava, eyes("blip2"), PrefixVLM(lm, mlp, skip=1), "should be a CLIPVisionModel; it is a Blip2VisionModel"),
        (to_llava, clip, PrefixVLM(nn.Identity(), mlp, skip=1), "should be a Llama; it is a Identity"),
        (to_blip2, clip, PrefixVLM(lm, mlp), "should be a Blip2VisionModel"),
        (to_blip2, eyes("blip2"), PrefixVLM(lm, mlp), r"nn.Sequential\(QFormer, LinearProjector\)"),
        (to_paligemma, clip, PrefixVLM(lm, linear), "prefix language model"),
        (to_paligemma, clip, PrefixVLM(lm, mlp, prefix_lm=True), "LinearProjector"),
        (to_flamingo, clip, GatedVLM(lm, linear, 32, 4), "PerceiverResampler"),
        (to_flamingo, clip, GatedVLM(lm, resampler, 32, 2), "as many heads"),
        (to_flamingo, clip, GatedVLM(lm, resampler, 32, 4, interval=3), "divided evenly"),
        (to_flamingo, clip, GatedVLM(lm, narrow, 32, 4), "this one is 40 wide"),
    ]


def test_parts_that_a_class_has_not_are_named_in_one_sentence():
    for function, vision, model, words in wrong_parts():
        with pytest.raises(UserError, match=words) as caught:
            function(vision, model)
        assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_what_is_no_image_or_no_text_is_said_in_one_sentence(published):
    model, processor = published("llava").theirs, published("llava").processor
    image = pictures(1)[0]
    for wrong, words in [(None, "no image"), ("cat.png", "not a str"), (image / 255, "uint8"), (image[:2], "uint8"),
                         (image[:, :0], "uint8")]:  # fmt: skip
        with pytest.raises(UserError, match=words):
            drive.describe(model, processor, wrong, CAPTION)
    for wrong in (" ", None):
        with pytest.raises(UserError, match="a text that says something"):
            drive.describe(model, processor, image, wrong)
    with pytest.raises(UserError, match="1 images for 2 questions"):
        drive.answers(model, processor, [image], ["a?", "b?"])
    with pytest.raises(UserError, match="at least one question"):
        drive.answers(model, processor, [image], ["a?"], batch_size=0)


@pytest.mark.parametrize(("make", "prompt"), [(speak.smolvlm, "user: <image> what is this?"),
                                              (speak.llama_vision, "<|image|><s> what is this?")])  # fmt: skip
def test_the_same_lines_drive_the_giants(make, prompt, tmp_path):
    torch.manual_seed(0)
    make(tmp_path)
    model = transformers.AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    processor = transformers.AutoProcessor.from_pretrained(tmp_path)
    images = [image.transpose(1, 2, 0) for image in pictures(2)]
    said = drive.answers(model, processor, images, [prompt] * 2, max_new_tokens=3, form=str)
    assert said == [drive.describe(model, processor, image, prompt, 3) for image in images]


def test_an_image_may_be_an_array_of_either_layout_or_pil(published):
    model, processor = published("blip2").theirs, published("blip2").processor
    image = pictures(1)[0]
    forms = (image, image.transpose(1, 2, 0), Image.fromarray(image.transpose(1, 2, 0)))
    assert len({drive.describe(model, processor, each, CAPTION, 3) for each in forms}) == 1
    grey = [drive.describe(model, processor, each, CAPTION, 3) for each in (image[0], Image.fromarray(image[0]))]
    assert grey[0] == grey[1]
