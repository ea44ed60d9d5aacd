"""Which checkpoint each short name stands for, on the hub and in the pocket."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Checkpoint:
    """A published checkpoint; the revision is a commit, so that what is loaded cannot change.

    `hub_id` and `revision` are None for a pocket model that stands for nothing on the hub. `model_class` and
    `processor_class` are names in transformers; the pocket model of the same name is of the same classes, in
    `data/checkpoints/NAME`.
    """

    name: str
    hub_id: str | None
    revision: str | None
    model_class: str
    processor_class: str


CATALOG = {
    checkpoint.name: checkpoint
    for checkpoint in (
        Checkpoint(
            "dinov2",
            "facebook/dinov2-small",
            "ed25f3a31f01632728cabb09d1542f84ab7b0056",
            "Dinov2Model",
            "AutoImageProcessor",
        ),
        Checkpoint(
            "clip",
            "openai/clip-vit-base-patch32",
            # Not the main branch, which holds a pickle only: the commit that adds safetensors to it.
            "c237dc49a33fc61debc9276459120b7eac67e7ef",
            "CLIPModel",
            "AutoProcessor",
        ),
        Checkpoint(
            "siglip",
            "google/siglip-base-patch16-224",
            "7fd15f0689c79d79e38b1c2e2e2370a7bf2761ed",
            "SiglipModel",
            "AutoProcessor",
        ),
        Checkpoint(
            "mae",
            "facebook/vit-mae-base",
            "25b184bea5538bf5c4c852c79d221195fdd2778d",
            "ViTMAEForPreTraining",
            "AutoImageProcessor",
        ),
        Checkpoint(
            "ijepa",
            "facebook/ijepa_vith14_1k",
            "f157467ea509bc356ff9f61fd3c0d840eec5e04e",
            "IJepaModel",
            "AutoImageProcessor",
        ),
        Checkpoint(
            "sam",
            "facebook/sam-vit-base",
            "70c1a07f894ebb5b307fd9eaaee97b9dfc16068f",
            "SamModel",
            "AutoProcessor",
        ),
        Checkpoint("supervised", None, None, "ViTForImageClassification", "AutoImageProcessor"),
    )
}
