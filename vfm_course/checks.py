"""What `vfm-course doctor` looks at: each check returns one `Finding`. Nothing here waits longer than a few seconds."""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vfm_course.errors import UserError
from vfm_course.families import hub
from vfm_course.paths import cache_dir, data_dir

GOOD, NOTE, BROKEN = "good", "note", "broken"


@dataclass(frozen=True)
class Finding:
    """One line of the report; `advice` says what to do, and is empty when there is nothing to do."""

    name: str
    state: str
    found: str
    advice: str = ""


def python() -> Finding:
    """The running Python."""
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("Python", GOOD, version)
    return Finding("Python", BROKEN, version, "use Python 3.11, 3.12 or 3.13")


def torch_here() -> Finding:
    """PyTorch and what it can compute on. torchvision is imported too: the two break each other when mismatched."""
    try:
        import torch
        import torchvision
    except Exception as error:  # a mismatched pair fails with RuntimeError, a broken library with OSError
        return Finding("PyTorch", BROKEN, f"does not load: {str(error).splitlines()[0]}", "`python3 course.py start`")
    device = "CPU only"
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        device = f"{card.name}, {card.total_memory / 2**30:.0f} GiB"
    elif torch.backends.mps.is_available():
        device = "Apple GPU (MPS)"
    advice = "enough for the pocket tier; the hub tier's large models want a GPU" if device == "CPU only" else ""
    found = f"{torch.__version__}, torchvision {torchvision.__version__}, {device}"
    return Finding("PyTorch", NOTE if advice else GOOD, found, advice)


def package(name: str, module: str, needed: bool, advice: str) -> Finding:
    """One installed package, found without importing it."""
    if importlib.util.find_spec(module) is None:
        return Finding(name, BROKEN if needed else NOTE, "not installed", advice)
    try:
        return Finding(name, GOOD, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, NOTE, "there, but not installed by pip: version unknown")


def memory() -> Finding:
    """The machine's memory: all of it, since what is free changes by the second."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError, OSError):
        return Finding("Memory", NOTE, "not known on this system")
    if total < 3.5:
        return Finding("Memory", NOTE, f"{total:.1f} GiB", "little: close other programs before you start")
    return Finding("Memory", GOOD, f"{total:.1f} GiB")


def disk() -> Finding:
    """Free space where embeddings and hub models are stored."""
    try:
        free = shutil.disk_usage(cache_dir()).free / 2**30
    except OSError as error:
        return Finding("Disk", BROKEN, f"the cache cannot be written: {error}", "set VFM_CACHE to a folder of yours")
    if free < 2:
        return Finding("Disk", NOTE, f"{free:.1f} GiB free", "free some space: the cache and hub models want 2 GiB")
    return Finding("Disk", GOOD, f"{free:.0f} GiB free")


def network() -> Finding:
    """Whether the model hub answers."""
    if hub.switched_off():
        return Finding("Model hub", NOTE, "switched off (HF_HUB_OFFLINE)", "unset HF_HUB_OFFLINE for the hub tier")
    try:
        name, there = hub.host(), hub.reachable()
    except ImportError:
        return Finding("Model hub", BROKEN, "huggingface_hub is not installed", "`python3 course.py start`")
    if there:
        return Finding("Model hub", GOOD, f"{name} can be reached")
    advice = "nothing to do for the pocket tier; the hub tier needs the network"
    return Finding("Model hub", NOTE, f"{name} cannot be reached", advice)


def tensors_fault(path: Path) -> str:
    """Why a safetensors file cannot be whole, or an empty string: header readable, length as the header says."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= size - 8:
                return "is cut short or is no safetensors file"
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "has an unreadable header"
    return "" if size == 8 + length + max(ends, default=0) else "has the wrong length"


def checkpoint_faults(folder: Path) -> list[str]:
    """What is wrong below `folder` (data/checkpoints): files missing, cut short, or other than SHA256SUMS says."""
    faults = []
    for model in sorted(path for path in folder.iterdir() if path.is_dir()):
        for name in ("config.json", "model.safetensors"):
            if not (model / name).is_file():
                faults.append(f"{model.name}/{name} is missing")
        if (model / "model.safetensors").is_file() and (fault := tensors_fault(model / "model.safetensors")):
            faults.append(f"{model.name}/model.safetensors {fault}")
    sums = folder / "SHA256SUMS"
    for line in sums.read_text(encoding="utf-8").splitlines() if sums.is_file() else []:
        digest, _, name = line.partition(" ")
        path = folder / name.strip().lstrip("*")
        if not name.strip():
            continue
        if not path.is_file():
            faults.append(f"{name.strip()} is missing")
        else:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest.lower():
                    faults.append(f"{name.strip()} is not the file it should be")
    return list(dict.fromkeys(faults))


def checkpoints() -> Finding:
    """The pocket checkpoints: present and intact."""
    try:
        folder = data_dir() / "checkpoints"
    except UserError as error:
        return Finding("Checkpoints", BROKEN, str(error), "install the course again")
    models = [path.name for path in folder.iterdir() if path.is_dir()]
    if not models:
        return Finding("Checkpoints", NOTE, "none in this version", "use the hub tier where a model is needed")
    if faults := checkpoint_faults(folder):
        return Finding("Checkpoints", BROKEN, "; ".join(faults), "`git checkout -- data`, or install the course again")
    return Finding("Checkpoints", GOOD, f"{len(models)} present and intact")


def all_checks() -> list[Callable[[], Finding]]:
    """The checks in the order of the report."""
    return [
        python,
        torch_here,
        lambda: package("transformers", "transformers", True, "`python3 course.py start`"),
        lambda: package("jupyterlab", "jupyterlab", False, "not needed on Colab or in VS Code"),
        lambda: package("ipywidgets", "ipywidgets", True, "`python3 course.py start`"),
        memory,
        disk,
        network,
        checkpoints,
    ]
