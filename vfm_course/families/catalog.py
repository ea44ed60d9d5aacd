"""Which checkpoint each short name stands for: the pocket's names here, every other system in `systems`."""

from dataclasses import dataclass

from vfm_course.families.systems import SYSTEMS, Size, System, find

__all__ = ["CATALOG", "SPEAKING", "SYSTEMS", "Checkpoint", "Size", "System", "checkpoint_of", "find"]


@dataclass(frozen=True)
class Checkpoint:
    """A published checkpoint; the revision is a commit, so that what is loaded cannot change.

    `hub_id` and `revision` are None for a pocket model that stands for nothing on the hub; `revision` is also None
    where no commit could be confirmed. `model_class` and `processor_class` are names in transformers; the pocket
    model of the same name is of the same classes, in `data/checkpoints/NAME`. `unloadable` says why a system cannot
    be loaded here. `large` ones take half precision on a GPU.
    """

    name: str
    hub_id: str | None
    revision: str | None
    model_class: str | None
    processor_class: str | None
    unloadable: str | None = None
    large: bool = False


def _published(name: str, size: Size) -> Checkpoint:
    return Checkpoint(
        name, size.hub_id, size.revision, size.model_class, size.processor_class, size.unloadable, size.large
    )


# The names that have a pocket model; on the hub each stands for the first size of its system.
CATALOG = {name: _published(name, SYSTEMS[name].size()) for name in ("dinov2", "clip", "siglip", "mae", "ijepa", "sam")}
CATALOG["supervised"] = Checkpoint("supervised", None, None, "ViTForImageClassification", "AutoImageProcessor")
# CLIP trained on with truthful signs in the pictures: what a typographic attack works on.
CATALOG["clip-signs"] = Checkpoint("clip-signs", None, None, "CLIPModel", "CLIPProcessor")

# Pocket models that answer, of the classes of the giants, and the two frozen parts that all of them are made of.
SPEAKING = {name: _published(name, SYSTEMS[name].size()) for name in ("blip2", "llava-1.5", "flamingo", "paligemma")}
SPEAKING["clip-scenes"] = Checkpoint("clip-scenes", None, None, "CLIPModel", "CLIPProcessor")
SPEAKING["language"] = Checkpoint("language", None, None, "LlamaForCausalLM", "AutoTokenizer")


def checkpoint_of(name: str) -> Checkpoint:
    """The checkpoint that a name stands for: a pocket name, a system (its first size), or a system's size.

    Raises:
        UserError: nothing is called so.
    """
    pocket = CATALOG.get(name) or SPEAKING.get(name)
    return pocket or _published(name, find(name)[1])
