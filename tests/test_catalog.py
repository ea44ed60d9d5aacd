"""The records: complete, well-formed, and in agreement with themselves and with transformers."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import transformers
from tiny import needs_transformers

from vfm_course.errors import UserError
from vfm_course.families import systems
from vfm_course.families.catalog import CATALOG, SYSTEMS, checkpoint_of, find
from vfm_course.families.systems import JOBS, UNKNOWN, Size, shown

ROOT = Path(__file__).resolve().parents[1]
TITLES = """DINOv2, DINOv3, CLIP, SigLIP, SigLIP 2, ViT-MAE, I-JEPA, V-JEPA 2, V-JEPA 2-AC, SAM, SAM 2, SAM 3,
Grounding DINO, Depth Anything V2, BLIP-2, LLaVA, LLaVA-1.5, Flamingo (IDEFICS), Qwen2-VL, Qwen2.5-VL, InternVL,
PaliGemma, Molmo, Llama-3.2-Vision, SmolVLM"""
SIZES = [size for system in SYSTEMS.values() for size in system.sizes]
by_name = pytest.mark.parametrize("size", SIZES, ids=lambda size: size.full_name)


def command(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "vfm_course.cli", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=120, env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip


def test_every_system_of_the_syllabus_has_a_record():
    assert {system.title for system in SYSTEMS.values()} == {title.strip() for title in TITLES.split(",")}


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=lambda system: system.name)
def test_what_is_told_of_a_system(system):
    for text in (system.objective, system.signal, system.strongest_at, system.reach_for_when):
        assert len(text) > 10 and not text.endswith(".") and "\n" not in text
    assert system.job in JOBS and system.sizes
    assert (system.job == "none") == all(size.unloadable for size in system.sizes)
    year = re.search(r", (20\d\d)$", system.citation)
    assert re.fullmatch(r"\d{4}\.\d{5}", system.arxiv) and year and system.arxiv[:2] == year[1][2:]


@by_name
def test_where_it_lies(size):
    assert size.hub_id is None or re.fullmatch(r"[\w-]+/[\w.-]+", size.hub_id)
    assert size.revision is None or re.fullmatch(r"[0-9a-f]{40}", size.revision)
    assert size.hub_id or (size.unloadable and not size.revision)
    assert isinstance(size.gated, bool) and (size.licence or not size.gated)
    assert size.unloadable is None or not size.unloadable.endswith(".")
    assert size.difference is None or size.difference.endswith(".")


def test_no_two_checkpoints_are_mistaken_for_each_other():
    ids = [size.hub_id for size in SIZES if size.hub_id]
    revisions = [size.revision for size in SIZES if size.revision]
    assert len(ids) == len(set(ids)) and len(revisions) == len(set(revisions))
    assert len(systems.names()) == len(set(systems.names()))


@by_name
def test_tokens_follow_from_size_and_patch(size):
    if size.tokens is None:
        assert size.image_size is None or size.system in ("vjepa2-ac", "molmo")
    elif size.queries:
        assert size.tokens == size.queries
    else:
        assert size.tokens * size.merge == size.patches
    if size.image_size and size.patch_size:
        rest = size.image_size % size.patch_size
        assert rest == 0 or size.full_name == "siglip-so400m"  # 384 px and patches of 14: the rim is left out


@by_name
def test_classes_are_those_of_transformers(size):
    if size.unloadable:
        return
    needs_transformers(size.system)
    for kind in (size.model_class, size.processor_class, size.config_class, size.built_class, size.built_config_class):
        assert kind is None or hasattr(transformers, kind)
    model, config = getattr(transformers, size.model_class), getattr(transformers, size.config_class)
    assert model.config_class is config and size.processor_class


@by_name
def test_facts_agree_with_the_configuration(size):
    if size.unloadable:
        return
    needs_transformers(size.system)
    config = getattr(transformers, size.built_config_class or size.config_class)(**size.config)
    seen = getattr(config, "vision_config", None) or getattr(config, "backbone_config", None) or config
    seen = getattr(seen, "backbone_config", None) or seen
    patch = getattr(seen, "patch_size", None)
    patch = patch[0] if isinstance(patch, list | tuple) else patch
    if size.patch_size and isinstance(patch, int):
        assert patch == size.patch_size
    side = getattr(seen, "image_size", None) or getattr(seen, "crop_size", None)
    side = side[0] if isinstance(side, list | tuple) else side
    if size.image_size and isinstance(side, int) and size.system not in ("dinov2", "siglip2"):
        assert side == size.image_size  # DINOv2's positions are for 518 px


def test_the_pocket_names_stand_for_the_first_sizes():
    assert list(CATALOG) == ["dinov2", "clip", "siglip", "mae", "ijepa", "sam", "supervised", "clip-signs"]
    for name, checkpoint in CATALOG.items():
        if checkpoint.hub_id is not None:
            size = find(name)[1]
            assert (checkpoint.hub_id, checkpoint.revision) == (size.hub_id, size.revision) and size.revision
            assert checkpoint_of(size.full_name).hub_id == checkpoint.hub_id
    assert CATALOG["dinov2"].hub_id == "facebook/dinov2-small"


def test_find():
    assert find("dinov2")[1] is find("dinov2", "small")[1] is find("DINOv2-Small")[1]
    assert find("llava-1.5-7b")[1].hub_id == "llava-hf/llava-1.5-7b-hf"  # and not a size of `llava`
    with pytest.raises(UserError, match="no checkpoint 'dinov9': did you mean .*dinov2"):
        find("dinov9")
    with pytest.raises(UserError, match="lists them all"):
        find("resnet50")
    with pytest.raises(UserError, match="DINOv2 has no size 'tiny': choose from small, base, large, giant"):
        find("dinov2", "tiny")


def test_a_misspelt_field_is_an_error():
    record = {"name": "x", "size": [{"name": "y", "parameter": 1}]}
    with pytest.raises(TypeError, match="parameter"):
        systems._read(record)


def test_what_is_unknown_is_shown_as_unknown():
    assert shown(None) == shown("") == UNKNOWN and shown(1234) == "1,234" and shown(False) == "no"
    assert Size("x", "y").patches is None and not Size("x", "y").large
    assert find("vjepa2-ac")[1].licence is None


def test_models_lists_all_without_torch():
    code = (
        "import sys; from vfm_course.commands.models import models; models('', 0); print({'torch', 'transformers'} & "
    )
    code += "set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip().endswith("set()"), done.stderr
    for system in SYSTEMS.values():
        assert system.title in done.stdout
        for size in system.sizes:
            assert size.full_name in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_models_takes_one_apart():
    done = command("models", "dinov2-base", "--classes", "10")
    assert done.returncode == 0, done.stderr
    assert all(part in done.stdout for part in ("86,588,170", "7,690", "0.009%", "the count agrees", "GFLOPs"))


def test_models_says_what_cannot_be_loaded():
    done = command("models", "vjepa2-ac")
    assert done.returncode == 0 and "Not loadable here: its action-conditioned predictor" in done.stdout


def test_models_with_an_unknown_name():
    done = command("models", "dinvo3-7b")
    assert done.returncode == 2 and done.stderr.strip().startswith(
        "There is no checkpoint 'dinvo3-7b': did you mean dinov3-7b"
    )
    assert "Traceback" not in done.stderr and done.stderr.count("\n") == 1
