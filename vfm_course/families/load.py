"""`load("clip")`: a model and its processor, from the pocket or from the hub by one and the same path."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vfm_course.errors import UserError
from vfm_course.families.catalog import CATALOG, SPEAKING, Checkpoint, checkpoint_of
from vfm_course.families.hub import reachable
from vfm_course.paths import data_dir

if TYPE_CHECKING:
    import torch

TIERS = ("pocket", "hub")


@dataclass(frozen=True)
class Loaded:
    """A checkpoint ready to use: `model` in evaluation mode on `device`, `processor` for its inputs.

    `revision` names the weights: the hub's commit, or the SHA-256 of the pocket's file. `known_words` are all words
    that the tokenizer of a pocket model has, and None where any text can be read.
    """

    name: str
    tier: str
    model: Any
    processor: Any
    revision: str
    device: str
    known_words: frozenset[str] | None = None


def chosen_tier(tier: str | None = None) -> str:
    """The tier asked for, else the environment's `VFM_TIER`, else `pocket`.

    Raises:
        UserError: there is no such tier.
    """
    tier = tier or os.environ.get("VFM_TIER") or "pocket"
    if tier not in TIERS:
        raise UserError(f"There is no tier {tier!r}: choose pocket (offline, small) or hub (published checkpoints).")
    return tier


def load(name: str, tier: str | None = None, device: str | None = None, dtype: torch.dtype | None = None) -> Loaded:
    """Loads a checkpoint by its short name. Code from the hub is never run.

    Args:
        name: one of `CATALOG` (dinov2, clip, siglip, mae, ijepa, sam, supervised, clip-signs) or of `SPEAKING` (blip2,
            llava-1.5, flamingo, paligemma, and their parts clip-scenes and language), which have a pocket model; on the
            hub also every other system and size that `vfm-course models` lists, such as `dinov2-base` or `smolvlm`.
        tier: `pocket` (this course's small models) or `hub` (the published ones); `VFM_TIER` if not given.
        device: where the model goes; a GPU if there is one.
        dtype: if not given, bfloat16 for a billion parameters or more on a CUDA GPU, else float32 (the pocket's
            files hold half precision).

    Raises:
        UserError: unknown name or tier; checkpoint missing or damaged; no network; licence not accepted; a system
            that transformers has no class for.
    """
    tier = chosen_tier(tier)
    checkpoint = checkpoint_of(name)
    _check_loadable(checkpoint, tier)
    import torch
    import transformers

    device = device or default_device()
    if dtype is None:
        dtype = torch.bfloat16 if checkpoint.large and str(device).startswith("cuda") else torch.float32
    where = pocket_folder(name) if tier == "pocket" else checkpoint.hub_id
    for kind in (checkpoint.model_class, checkpoint.processor_class):
        if not hasattr(transformers, kind):
            raise UserError(f"transformers {transformers.__version__} has no {kind} yet: install a newer one.")
    pinned = {}
    if tier == "hub":  # without network its cache is read at once, or the sentence said at once
        pinned = {"revision": checkpoint.revision or "main", "local_files_only": not reachable()}
    try:
        with _quiet(progress_bar=tier == "hub"):
            processor = getattr(transformers, checkpoint.processor_class).from_pretrained(where, **pinned)
            model, told = getattr(transformers, checkpoint.model_class).from_pretrained(
                where, dtype=dtype, use_safetensors=True, output_loading_info=True, **pinned
            )
    except Exception as error:  # hub, safetensors and tokenizers raise classes of their own beside OSError
        raise UserError(_sentence(error, checkpoint, tier)) from error
    if told["missing_keys"]:
        lacking = ", ".join(sorted(told["missing_keys"])[:3])
        warnings.warn(f"{where} lacks weights ({lacking} …): they are random numbers now.", stacklevel=2)
    try:
        model = model.eval().requires_grad_(False).to(device)
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        advice = "use device='cpu' or a smaller model"
        raise UserError(f"{name} does not go onto {device!r} ({first}): {advice}.") from error
    words = pocket_words(name) if tier == "pocket" else None
    return Loaded(name, tier, model, processor, revision_of(name, tier), device, words)


def _check_loadable(checkpoint: Checkpoint, tier: str) -> None:
    """Refuses what no tier holds, before anything heavy is imported."""
    name = checkpoint.name
    if checkpoint.unloadable:
        raise UserError(f"{name} cannot be loaded here: {checkpoint.unloadable}.")
    if tier == "pocket" and name not in CATALOG and name not in SPEAKING:
        known = ", ".join((*CATALOG, *SPEAKING))
        raise UserError(f"There is no pocket model of {name!r} (only of {known}): load it with tier='hub'.")
    if tier == "hub" and checkpoint.hub_id is None:
        raise UserError(f"{name!r} is this course's own and stands for nothing on the hub: load it with tier='pocket'.")


@contextmanager
def _quiet(progress_bar: bool) -> Iterator[None]:
    """Keeps transformers from warning of its own defaults (SigLIP's token numbers); a download keeps its bar."""
    from transformers.utils import logging

    verbosity, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if not progress_bar:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def default_device() -> str:
    """`cuda`, `mps` or `cpu`, the first that is there."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def pocket_folder(name: str) -> Path:
    """Where the pocket model lies.

    Raises:
        UserError: it is not there.
    """
    folder = data_dir() / "checkpoints" / name
    if not (folder / "model.safetensors").is_file():
        there = ", ".join(sorted(path.parent.name for path in folder.parent.glob("*/model.safetensors"))) or "none"
        raise UserError(f"There is no pocket checkpoint {name!r} in {folder.parent}, only these: {there}.")
    return folder


@cache
def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def revision_of(name: str, tier: str) -> str:
    """What `Loaded.revision` would be, without loading anything: good as part of a cache's key.

    `main` for a published checkpoint whose commit could not be confirmed: it may change.
    """
    if tier == "hub":
        return checkpoint_of(name).revision or "main"
    return _digest(pocket_folder(name) / "model.safetensors")


def hash_weights(digest: Any, model: torch.nn.Module) -> None:
    """Feeds the names and numbers of all weights to one of hashlib's digests."""
    import torch

    for name, weight in model.state_dict().items():
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())


def pocket_words(name: str) -> frozenset[str] | None:
    """All words that a pocket model's tokenizer knows; None for a model that reads no text."""
    path = pocket_folder(name) / "tokenizer.json"
    if not path.is_file():
        return None
    words = json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]
    return frozenset(word for word in words if not word.startswith("<"))


def _sentence(error: Exception, checkpoint: Checkpoint, tier: str) -> str:
    """What a person can do about it. The hub's own errors stand somewhere in the chain of causes."""
    if tier == "pocket":
        return (
            f"The pocket checkpoint {checkpoint.name!r} is damaged ({str(error).splitlines()[0]}): "
            "restore it with `git checkout -- data`, or install the course again."
        )
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    page = f"the page of {checkpoint.hub_id} on the hub"
    status = next((getattr(e.response, "status_code", 0) for e in causes if isinstance(e, HfHubHTTPError)), 0)
    if any(isinstance(e, GatedRepoError) for e in causes) or status in (401, 403):
        return f"{checkpoint.hub_id} is gated: accept its licence on {page}, then log in with `hf auth login`."
    if any(isinstance(e, RepositoryNotFoundError) for e in causes) or status == 404:
        at = f" at revision {checkpoint.revision[:8]}" if checkpoint.revision else ""
        return f"{checkpoint.hub_id}{at} is not on the hub any more."
    if "model.safetensors" in str(error):
        return (
            f"{checkpoint.hub_id} holds no safetensors file, only a pickle, which can run code as it is read: "
            "choose another size of this system."
        )
    return (
        f"{checkpoint.hub_id} could not be fetched from the hub and is not in its cache "
        "(no network, or HF_HUB_OFFLINE is set): connect once, or use the pocket tier."
    )
