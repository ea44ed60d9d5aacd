"""Every system through `load`: a tiny random checkpoint of its classes in place of the published one, and its job."""

import dataclasses
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from huggingface_hub.errors import HfHubHTTPError
from PIL import Image
from tiny import MAKERS, needs_readable, needs_transformers

from vfm_course.errors import UserError
from vfm_course.families import load
from vfm_course.families.catalog import CATALOG, SYSTEMS, checkpoint_of, find

LOADABLE = [s.full_name for system in SYSTEMS.values() for s in system.sizes if not s.unloadable]
UNLOADABLE = [s.full_name for system in SYSTEMS.values() for s in system.sizes if s.unloadable]
# What the text models are asked; the sign for the picture is each family's own.
QUESTIONS = {
    "blip2": "question: what is this? answer:",
    "llava-1.5": "user: <image> what is this? assistant:",
    "qwen2-vl": "user: <|vision_start|><|image_pad|><|vision_end|> what is this? assistant:",
    "qwen2.5-vl": "user: <|vision_start|><|image_pad|><|vision_end|> what is this? assistant:",
    "internvl": "user: <IMG_CONTEXT> what is this? assistant:",
    "paligemma": "<image> answer what is this",
    "molmo": "user: <|image|> what is this? assistant:",
    "llama-vision": "<|image|><s> what is this?",
    "smolvlm": "user: <image> what is this? assistant:",
}


def pictures() -> list[Image.Image]:
    """Two, unlike each other, and not square."""
    rng = np.random.default_rng(0)
    dark = np.zeros((48, 64, 3), np.uint8)
    dark[10:30, 20:40] = (255, 120, 0)
    return [Image.fromarray(dark), Image.fromarray(rng.integers(90, 255, (48, 64, 3), dtype=np.uint8))]


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """One for each system, made when it is first asked for."""
    made = {}

    def folder_of(name: str):
        if name not in made:
            torch.manual_seed(0)
            made[name] = tmp_path_factory.mktemp(name.replace(".", "_"))
            MAKERS[name](made[name])
        return made[name]

    return folder_of


@pytest.fixture
def loaded(request, folders, monkeypatch):
    """`load(name)` on the hub's path, which finds the tiny checkpoint; nothing may be missing in it."""
    name = request.param
    needs_transformers(find(name)[0].name)
    needs_readable(find(name)[0].name)
    away = dataclasses.replace(checkpoint_of(name), hub_id=str(folders(name)))
    monkeypatch.setitem(CATALOG, name, away)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        return load(name, tier="hub", device="cpu")


def named(*jobs: str) -> list[str]:
    """The systems with these jobs."""
    return [name for name in MAKERS if find(name)[0].job in jobs]


def differ(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Finite both, and not the same by more than rounding: the picture was looked at."""
    assert torch.isfinite(first).all() and torch.isfinite(second).all() and first.shape == second.shape
    return bool((first - second).abs().max() > 1e-3 * first.abs().max())


def test_every_loadable_class_has_a_maker():
    classes = {name: (find(name)[1].model_class, find(name)[1].processor_class) for name in LOADABLE}
    covered = {classes[name] for name in MAKERS}
    assert set(MAKERS) <= set(LOADABLE) and set(classes.values()) <= covered
    assert {find(name)[0].name for name in MAKERS} == {find(name)[0].name for name in LOADABLE}


@pytest.mark.parametrize("loaded", MAKERS, indirect=True)
def test_classes_and_state(loaded):
    wanted = checkpoint_of(loaded.name)
    kind = getattr(transformers, find(loaded.name)[1].model_class)
    assert type(loaded.model) is kind and not loaded.model.training
    assert next(loaded.model.parameters()).dtype == torch.float32
    assert not any(p.requires_grad for p in loaded.model.parameters())
    assert loaded.revision == (wanted.revision or "main") and loaded.known_words is None
    if not wanted.processor_class.startswith("Auto"):
        assert type(loaded.processor).__name__ == wanted.processor_class


@pytest.mark.parametrize("loaded", named("features"), indirect=True)
def test_features(loaded):
    model = loaded.model.vit if loaded.name.startswith("mae") else loaded.model
    inputs = loaded.processor(images=pictures(), return_tensors="pt")
    with torch.inference_mode():
        found = model(**inputs).last_hidden_state
    assert found.shape[0] == 2 and found.shape[2] == 32 and differ(found[0], found[1])
    size = find(loaded.name)[1]
    masked = 0.75 if loaded.name.startswith("mae") else 0
    assert found.shape[1] == int(size.tokens * (1 - masked)) + size.extra_tokens  # the tiny one is of the same geometry


@pytest.mark.parametrize("loaded", named("video"), indirect=True)
def test_video(loaded):
    clips = [[np.asarray(picture)] * 4 for picture in pictures()]
    inputs = loaded.processor(clips, return_tensors="pt")
    assert inputs["pixel_values_videos"].shape == (2, 4, 3, 32, 32)
    with torch.inference_mode():
        found = loaded.model(**inputs, skip_predictor=True).last_hidden_state
    assert found.shape == (2, 2 * 2 * 2, 24) and differ(found[0], found[1])


@pytest.mark.parametrize("loaded", named("scores"), indirect=True)
def test_scores(loaded):
    padding = True if loaded.name.startswith("clip") else "max_length"
    texts = ["a photo of a cat", "a banana", "a car"]
    inputs = loaded.processor(text=texts, images=pictures(), padding=padding, return_tensors="pt")
    with torch.inference_mode():
        scores = loaded.model(**inputs).logits_per_image
    assert scores.shape == (2, 3) and differ(scores[0], scores[1]) and differ(scores[:, 0], scores[:, 1])


@pytest.mark.parametrize("loaded", named("masks"), indirect=True)
def test_masks_from_a_click(loaded):
    found = []
    for picture in pictures():
        points = [[[30, 20]]] if loaded.name.startswith("sam-") else [[[[30, 20]]]]
        inputs = loaded.processor(images=picture, input_points=points, return_tensors="pt")
        with torch.inference_mode():
            output = loaded.model(**inputs)
        extra = [inputs["reshaped_input_sizes"]] if "reshaped_input_sizes" in inputs else []
        masks = loaded.processor.post_process_masks(output.pred_masks, inputs["original_sizes"], *extra)
        assert (
            masks[0].shape == (1, 3, 48, 64) and masks[0].dtype == torch.bool and output.iou_scores.shape == (1, 1, 3)
        )
        found.append(output.pred_masks)
    assert differ(*found)


@pytest.mark.parametrize("loaded", named("concept masks"), indirect=True)
def test_masks_of_a_named_concept(loaded):
    found = []
    for picture in pictures():
        inputs = loaded.processor(images=picture, text="a cat", return_tensors="pt")
        with torch.inference_mode():
            output = loaded.model(**inputs)
        result = loaded.processor.post_process_instance_segmentation(
            output, threshold=0.0, mask_threshold=0.5, target_sizes=[(48, 64)]
        )[0]
        assert result["masks"].shape[1:] == (48, 64) and len(result["masks"]) == len(result["boxes"]) > 0
        found.append(output.pred_masks)
    assert differ(*found)


@pytest.mark.parametrize("loaded", named("boxes"), indirect=True)
def test_boxes_of_named_things(loaded):
    found = []
    for picture in pictures():
        inputs = loaded.processor(images=picture, text="a cat. a car.", return_tensors="pt")
        with torch.inference_mode():
            output = loaded.model(**inputs)
        result = loaded.processor.post_process_grounded_object_detection(
            output, inputs["input_ids"], threshold=0.0, text_threshold=0.0, target_sizes=[(48, 64)]
        )[0]
        assert result["boxes"].shape == (8, 4) and len(result["scores"]) == 8
        found.append(output.pred_boxes)
    assert differ(*found)


@pytest.mark.parametrize("loaded", named("depth"), indirect=True)
def test_depth(loaded):
    inputs = loaded.processor(images=pictures(), return_tensors="pt")
    with torch.inference_mode():
        output = loaded.model(**inputs)
    maps = loaded.processor.post_process_depth_estimation(output, target_sizes=[(48, 64)] * 2)
    assert maps[0]["predicted_depth"].shape == (48, 64)
    assert differ(maps[0]["predicted_depth"], maps[1]["predicted_depth"])


@pytest.mark.parametrize("loaded", named("text"), indirect=True)
def test_text(loaded):
    system = find(loaded.name)[0].name
    found = []
    for picture in pictures():
        if system == "flamingo":
            inputs = loaded.processor(text=[["user:", picture, "what is this?"]], return_tensors="pt")
        else:
            inputs = loaded.processor(text=QUESTIONS[system], images=picture, return_tensors="pt")
        with torch.inference_mode():
            found.append(loaded.model(**inputs).logits[0, -1])
            words = loaded.model.generate(**inputs, max_new_tokens=3, min_new_tokens=3, do_sample=False)
        new = words[:, inputs["input_ids"].shape[1] :] if words.shape[1] > 3 else words
        told = loaded.processor.batch_decode(new, skip_special_tokens=True)
        assert new.shape == (1, 3) and len(told) == 1 and isinstance(told[0], str)
    assert differ(*found)


@pytest.mark.parametrize("name", UNLOADABLE)
def test_what_cannot_be_loaded_says_why_in_a_sentence(name):
    with pytest.raises(UserError) as caught:
        load(name, tier="hub")
    text = str(caught.value)
    assert text.startswith(f"{name} cannot be loaded here: ") and text.endswith(".") and "\n" not in text


@pytest.mark.parametrize(
    ("name", "status", "sentence"),
    [
        ("dinov3-7b", 404, "facebook/dinov3-vit7b16-pretrain-lvd1689m is not on the hub any more."),
        ("paligemma", 403, "google/paligemma-3b-pt-224 is gated: accept its licence on the page of"),
        ("llama-vision", 401, "meta-llama/Llama-3.2-11B-Vision-Instruct is gated: accept its licence on"),
        ("sam3", None, "facebook/sam3 could not be fetched from the hub and is not in its cache"),
        ("blip2", 404, "Salesforce/blip2-opt-2.7b at revision 59a1ef6c is not on the hub any more."),
    ],
)
def test_what_the_hub_refuses(monkeypatch, tmp_path, name, status, sentence):
    def download(*_, **__):
        if status is None:
            raise ConnectionError("no route to host")
        answer = SimpleNamespace(status_code=status, headers={}, request=None)
        raise HfHubHTTPError("as the hub would say it", response=answer)

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for function in ("hf_hub_download", "snapshot_download"):
        monkeypatch.setattr(f"transformers.utils.hub.{function}", download)
    with pytest.raises(UserError) as caught:
        load(name, tier="hub")
    assert str(caught.value).startswith(sentence) and "\n" not in str(caught.value)


def test_no_pocket_model_is_said():
    with pytest.raises(UserError, match="no pocket model of 'smolvlm'.*tier='hub'"):
        load("smolvlm", tier="pocket")


def test_an_unknown_name_gets_the_near_ones():
    with pytest.raises(UserError, match="no checkpoint 'llava1.5': did you mean llava-1.5"):
        load("llava1.5", tier="hub")


@pytest.mark.parametrize(
    ("device", "large", "wanted"),
    [("cpu", True, torch.float32), ("cuda", True, torch.bfloat16), ("cuda", False, torch.float32)],
)
def test_half_precision_for_large_models_on_a_gpu_only(folders, monkeypatch, device, large, wanted):
    folder = str(folders("dinov2-small"))
    monkeypatch.setitem(CATALOG, "x", dataclasses.replace(checkpoint_of("dinov2"), hub_id=folder, large=large))
    real, asked = transformers.Dinov2Model.from_pretrained, []

    def note(*arguments, **keywords):
        asked.append(keywords["dtype"])
        return real(*arguments, **keywords)

    monkeypatch.setattr(transformers.Dinov2Model, "from_pretrained", note)
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, *_: module)  # there is no GPU here
    load("x", tier="hub", device=device)
    assert asked == [wanted]
    load("x", tier="hub", device=device, dtype=torch.float16)
    assert asked[1] == torch.float16


def test_a_pickle_is_refused(folders, tmp_path, monkeypatch):
    for path in folders("dinov2-small").iterdir():
        if path.suffix == ".json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    monkeypatch.setitem(CATALOG, "x", dataclasses.replace(checkpoint_of("dinov2"), hub_id=str(tmp_path)))
    with pytest.raises(UserError, match="holds no safetensors file, only a pickle"):
        load("x", tier="hub")


def test_a_class_that_transformers_lacks_is_said(monkeypatch):
    monkeypatch.setitem(CATALOG, "x", dataclasses.replace(checkpoint_of("dinov2"), model_class="Dinov9Model"))
    with pytest.raises(UserError, match="has no Dinov9Model yet: install a newer one"):
        load("x", tier="hub")


def test_code_from_the_hub_is_never_run():
    from pathlib import Path

    import vfm_course

    sources = Path(vfm_course.__file__).parent.rglob("*.py")
    assert not [path for path in sources if "trust_remote_code" in path.read_text(encoding="utf-8")]
