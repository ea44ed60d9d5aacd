"""The measured figures as the tables in `data/checkpoints/README.md` and on the cards of the checkpoints."""

import hashlib
import json
from pathlib import Path

from vfm_course.claims import figure, measures
from vfm_course.errors import UserError
from vfm_course.families.catalog import CATALOG
from vfm_course.pretraining.recipes import BEGINS_FROM

BEGIN, END = "<!-- claims: begin, written by `python -m vfm_course.pretraining.claims` -->", "<!-- claims: end -->"

# title -> what the table shows, and its columns: a measure's key and its heading
COMPARED = {
    "Frozen features, and few labels": (
        "Share of held-out scenes whose concept is named, 16 concepts. `random` fine-tuned is training from nothing.",
        {
            "linear": "linear probe, 2,000 labels",
            "knn": "10 nearest of 2,000",
            "ten_shot": "linear probe, 10 labels a concept",
            "finetune_start": "linear probe, 20 labels a concept",
            "finetune": "the same 20 labels, fine-tuned",
            "finetune_many_start": "linear probe, 6,000 labels",
            "finetune_many": "the same 6,000, fine-tuned",
        },
    ),
    "Patches": (
        "Foreground: IoU of a linear probe on single patch tokens. Correspondence: share of patches of a cropped, "
        "flipped, recoloured view that find their place in the whole scene within one patch.",
        {
            "foreground": "foreground IoU",
            "correspondence": "correspondence",
            "correspondence_thing": "the same, patches on the thing",
        },
    ),
    "What else is kept": (
        "Linear probes for what does not decide the concept; R² for the place.",
        {"background": "background", "colour": "colour", "style": "drawing style", "position": "position, R²"},
    ),
}
# The same, turned: few models, many measures.
LISTED = {
    "Pictures and words": (
        "Recall in galleries of 500 pairs with full captions. Calibration: expected calibration error, the less the "
        "better, of SigLIP's sigmoid and CLIP's softmax; one of 16 prompts is right; in training it was one of 128.",
        {
            "zero_shot": "zero-shot, “a photo of {}”",
            "zero_shot_ensemble": "zero-shot, mean of six templates",
            "zero_shot_the_picture_on_the_right_is": "zero-shot, “the picture on the right is {}”",
            "template_effect": "best minus worst template seen in training",
            "template_effect_all": "the same, three unseen ones included",
            "image_to_text_recall_1": "image to text, recall@1",
            "image_to_text_recall_5": "image to text, recall@5",
            "text_to_image_recall_1": "text to image, recall@1",
            "text_to_image_recall_5": "text to image, recall@5",
            "calibration_pairs": "calibration error, all pairs with 16 prompts",
            "calibration_first": "the same, first answer alone",
            "calibration_batch_pairs": "calibration error, all pairs in batches of 128",
            "calibration_batch_first": "the same, first answer alone",
        },
    ),
    "Typographic attack": (
        "Zero-shot accuracy of “a photo of {}” on the same scenes with a paper sign each. `clip` saw no writing in its "
        "training; `clip-signs` is the same model trained on with true names in the pictures.",
        {
            "zero_shot_no_sign": "no sign",
            "zero_shot_blank_sign": "a blank sign",
            "zero_shot_true_sign": "a sign with the true name",
            "zero_shot_wrong_sign": "a sign with a wrong name",
            "attack_success": "taken for the wrong name",
            "attack_blank": "the same, name left off the sign",
        },
    ),
    "Masks": (
        "Mean IoU on scenes with one to four things; the mask is the one that the model ranks first, unless it says "
        "best of three.",
        {
            "click": "one click on the middle",
            "click_best": "the same, best of three",
            "click_anywhere": "one click anywhere on the thing",
            "click_anywhere_best": "the same, best of three",
            "box": "a box",
            "box_best": "the same, best of three",
            "box_rough": "a box off by up to a tenth",
            "iou_correlation": "correlation of expected and true IoU",
        },
    ),
}


def overview(claims: dict) -> str:
    """All models and measures as Markdown."""
    entries = claims["models"] | claims["references"]
    order = [name for name in (*CATALOG, "random", "pixels") if name in entries]
    missing = [name for name in CATALOG if name not in claims["models"]]
    parts = ["Held-out scenes, each value with its 95 % interval; `data/claims.json` says what each is of."]
    if missing:
        parts.append(f"Not here yet, so not measured: {', '.join(missing)}.")
    for title, (said, columns) in (COMPARED | LISTED).items():
        rows = {name: entries[name] for name in order if columns.keys() & entries[name].keys()}
        if not rows:
            continue
        grid = [["", *columns.values()]] + [[name, *(_cell(entry, key) for key in columns)] for name, entry in
                                            rows.items()]  # fmt: skip
        if title in COMPARED:
            some = next(iter(rows.values()))
            grid.append(["chance", *(f"{some[key]['chance']:.3f}" if key in some else "" for key in columns)])
        else:
            grid = [list(row) for row in zip(*grid, strict=True)]
        parts += [f"### {title}", said, _markdown(grid)]
    return "\n\n".join(parts)


def training_table(folder: Path) -> str:
    """What each model in `folder` saw and how long it trained, from the records of the runs, as Markdown."""
    records = {
        name: json.loads((folder / name / "record.json").read_text(encoding="utf-8"))
        for name in CATALOG
        if (folder / name / "record.json").is_file()
    }
    said = (
        "Neither images nor minutes are the same for all: minutes of one CPU core beside other work. Where one model "
        "begins from another's weights, “in all” counts what that one had seen and taken too."
    )
    grid = [["", "begins from", "images seen", "in all", "minutes", "in all"]]
    for name, record in records.items():
        start = BEGINS_FROM.get(name)
        before = records.get(start, {"images_seen": 0, "minutes": 0.0})
        seen, minutes = record["images_seen"], record["minutes"]
        grid.append([name, start or "random weights", f"{seen:,}", f"{seen + before['images_seen']:,}",
                     f"{minutes:.0f}", f"{minutes + before['minutes']:.0f}"])  # fmt: skip
    return f"### Training\n\n{said}\n\n{_markdown(grid)}"


def page_tables(claims: dict, folder: Path) -> str:
    """All that is written into the page of `folder`, which is data/checkpoints."""
    return f"{training_table(folder)}\n\n{overview(claims)}"


def card_table(entry: dict) -> str:
    """All measures of one model as Markdown, what each is of in words."""
    rows = [[f"`{key}`", figure(each), each["of"]] for key, each in measures(entry).items()]
    return _markdown([["claim", "value (95 % interval)", "of"], *rows])


def _cell(entry: dict, key: str) -> str:
    return figure(entry[key]) if key in entry else ""


def _markdown(grid: list[list[str]]) -> str:
    lines = [grid[0], ["---"] * len(grid[0]), *grid[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def between(text: str) -> str:
    """The block with its two comments, as it stands in a page."""
    return f"{BEGIN}\n{text}\n{END}"


def put(page: Path, text: str) -> None:
    """Replaces what stands between the two comments of a page; everything else is left as it is.

    Raises:
        UserError: the page has no such comments.
    """
    whole = page.read_text(encoding="utf-8")
    if whole.count(BEGIN) != 1 or whole.count(END) != 1:
        raise UserError(f"{page} has no place for its table: add the two lines `{BEGIN}` and `{END}`.")
    before, rest = whole.split(BEGIN)
    page.write_text(before + between(text) + rest.split(END)[1], encoding="utf-8")


def write_pages(claims: dict, folder: Path) -> None:
    """The overview, the card of each measured model, and SHA256SUMS, in `folder`, which is data/checkpoints."""
    put(folder / "README.md", page_tables(claims, folder))
    for name, entry in claims["models"].items():
        if (folder / name / "README.md").is_file():
            put(folder / name / "README.md", card_table(entry))
    sums = []
    for path in sorted(folder.glob("*/*")):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        sums.append(f"{digest}  {path.relative_to(folder).as_posix()}")
    (folder / "SHA256SUMS").write_text("\n".join(sums) + "\n", encoding="utf-8")
