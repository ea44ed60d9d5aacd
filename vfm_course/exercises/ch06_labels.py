"""Notebook 06, from embeddings to labels and lines of the report: exercises 6.5, 6.6, 6.8 and 6.13."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from vfm_course.exercises.judge import expect_close, expect_equal, expect_true
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch06_toolkit:"
_LABELS = ["cat", "dog", "bus", "old church", "coffee cup", "apple", "fire truck", "parcel"]


# 6.5 ---------------------------------------------------------------------------------------------------------------
def check_template(answer, draw):
    labels = draw.pick(_LABELS, 3)
    got = answer(labels, "a photo of a {} on a table.")
    expect_equal(got, [f"a photo of a {label} on a table." for label in labels], "The list of prompts")
    expect_equal(answer(["cat", "dog", "cat"], "{}"), ["cat", "dog", "cat"], "The list of prompts for repeated labels")


def template_joined(labels, template):
    return template.format(", ".join(labels))


def template_appended(labels, template):
    return [template.replace("{}", "").rstrip() + " " + label for label in labels]


def template_not_filled(labels, template):
    return [template for _ in labels]


def template_unique(labels, template):
    return [template.format(label) for label in dict.fromkeys(labels)]


# 6.6 ---------------------------------------------------------------------------------------------------------------
def check_zero_shot(answer, draw):
    images = draw.normal(4, 6) * draw.uniform(4, 1, low=0.5, high=3.0)
    texts = draw.normal(3, 6) * draw.uniform(3, 1, low=0.5, high=3.0)
    scale = 2.0
    cosine = normalize(images) @ normalize(texts).T
    expect_close(
        answer(images, texts, scale), (scale * cosine).softmax(dim=1), "The matrix of probabilities (images, labels)"
    )


def zero_shot_over_images(image_embeds, text_embeds, logit_scale):
    return (logit_scale * normalize(image_embeds) @ normalize(text_embeds).T).softmax(dim=0)


def zero_shot_no_scale(image_embeds, text_embeds, logit_scale):
    return (normalize(image_embeds) @ normalize(text_embeds).T).softmax(dim=1)


def zero_shot_not_unit(image_embeds, text_embeds, logit_scale):
    return (logit_scale * image_embeds @ text_embeds.T).softmax(dim=1)


def zero_shot_divided(image_embeds, text_embeds, logit_scale):
    return (normalize(image_embeds) @ normalize(text_embeds).T / logit_scale).softmax(dim=1)


def zero_shot_exponent(image_embeds, text_embeds, logit_scale):
    scale = torch.as_tensor(logit_scale).exp()
    return (scale * normalize(image_embeds) @ normalize(text_embeds).T).softmax(dim=1)


def zero_shot_sigmoid(image_embeds, text_embeds, logit_scale):
    return (logit_scale * normalize(image_embeds) @ normalize(text_embeds).T).sigmoid()


def zero_shot_logits(image_embeds, text_embeds, logit_scale):
    return logit_scale * normalize(image_embeds) @ normalize(text_embeds).T


# 6.8 ---------------------------------------------------------------------------------------------------------------
def check_report(answer, draw):
    numbers = [f"{i:02d}" for i in draw.permutation(20).tolist()]
    name, near = f"cat_{numbers[0]}.jpg", [f"cat_{n}.jpg" for n in numbers[1:4]]
    confidence = draw.integer(511, 989) / 1000 + 0.0002
    want = f'{name} -> "a cat" ({confidence:.2f}); neighbors: {near[0]}, {near[1]}, {near[2]}'
    expect_equal(answer(name, "a cat", confidence, near), want, "The line")
    expect_equal(answer("a.png", "a bus", 0.9, ["b.png"]), 'a.png -> "a bus" (0.90); neighbors: b.png', "The line")


def report_percent(name, label, confidence, neighbour_names):
    return f'{name} -> "{label}" ({confidence:.0%}); neighbors: {", ".join(neighbour_names)}'


def report_no_quotes(name, label, confidence, neighbour_names):
    return f"{name} -> {label} ({confidence:.2f}); neighbors: {', '.join(neighbour_names)}"


def report_list(name, label, confidence, neighbour_names):
    return f'{name} -> "{label}" ({confidence:.2f}); neighbors: {neighbour_names}'


def report_not_rounded(name, label, confidence, neighbour_names):
    return f'{name} -> "{label}" ({confidence}); neighbors: {", ".join(neighbour_names)}'


def report_round(name, label, confidence, neighbour_names):
    return f'{name} -> "{label}" ({round(confidence * 100) / 100}); neighbors: {", ".join(neighbour_names)}'


# 6.13 --------------------------------------------------------------------------------------------------------------
def check_folder(answer, draw):
    names = [f"img_{i}.jpg" for i in draw.permutation(9).tolist()]
    paths, broken = [f"photos/{name}" for name in names], {names[1], names[4], names[5]}
    calls = []

    def opener(path):
        calls.append(path)
        if str(path).rsplit("/", 1)[-1] in broken:
            raise OSError("cannot identify image file")
        return torch.zeros(2, 2, 3, dtype=torch.uint8)

    got = answer(paths, opener)
    opened, failed = [n for n in names if n not in broken], [n for n in names if n in broken]
    expect_equal(got, (opened, failed), "The pair of lists (opened, failed)")
    unopened = "The opener should be called once with each path, in order."
    expect_true(calls[: len(paths)] == paths and len(calls) == len(paths), unopened)


def folder_stops(paths, opener):
    opened, failed = [], []
    for path in paths:
        try:
            opener(path)
        except Exception:
            failed.append(path.split("/")[-1])
            break
        opened.append(path.split("/")[-1])
    return opened, failed


def folder_hides_failures(paths, opener):
    opened = []
    for path in paths:
        try:
            opener(path)
        except Exception:
            continue
        opened.append(path.split("/")[-1])
    return opened, []


def folder_full_paths(paths, opener):
    opened, failed = [], []
    for path in paths:
        try:
            opener(path)
            opened.append(path)
        except Exception:
            failed.append(path)
    return opened, failed


def folder_counts_failures_twice(paths, opener):
    opened, failed = [], []
    for path in paths:
        opened.append(path.split("/")[-1])
        try:
            opener(path)
        except Exception:
            failed.append(path.split("/")[-1])
    return opened, failed


def folder_crashes(paths, opener):
    for path in paths:
        opener(path)
    return [path.split("/")[-1] for path in paths], []


EXERCISES = (
    Exercise(
        id="6.5",
        notebook="06",
        title="Labels into prompts",
        level="B",
        minutes=4,
        points=1,
        hints=(
            'A template such as "a photo of a {}." has a place for the label: `str.format` fills it.',
            "`[template.format(label) for label in labels]` keeps order and repetitions.",
        ),
        reference=_REFERENCE + "fill_template",
        check=check_template,
        mistakes=(
            Mistake(template_joined, "All labels went into one prompt; one prompt per label is wanted."),
            Mistake(template_appended, "The label was put after the template; it belongs where the {} is."),
            Mistake(template_not_filled, "The template was repeated without the label."),
            Mistake(template_unique, "Repeated labels were dropped; prompt i must belong to label i."),
        ),
    ),
    Exercise(
        id="6.6",
        notebook="06",
        title="Zero-shot probabilities",
        level="I",
        minutes=10,
        points=2,
        hints=(
            "Normalise both sides, then the matrix product of images and transposed texts is (N, L).",
            "Cosines lie in [-1, 1]; times `logit_scale` they become sharp enough for a softmax.",
            "Each image distributes its probability over the labels: `softmax(dim=1)`.",
        ),
        reference=_REFERENCE + "zero_shot_probabilities",
        check=check_zero_shot,
        mistakes=(
            Mistake(
                zero_shot_over_images, "The softmax runs over the images; it belongs over the labels of one image."
            ),
            Mistake(zero_shot_no_scale, "The temperature is missing: multiply by `logit_scale` before the softmax."),
            Mistake(zero_shot_not_unit, "The embeddings were not normalised, so long vectors win."),
            Mistake(zero_shot_divided, "Divided by `logit_scale`; it is the inverse temperature and multiplies."),
            Mistake(zero_shot_exponent, "`logit_scale` is the factor itself here; no exponential is to be taken."),
            Mistake(zero_shot_sigmoid, "This is a sigmoid per label (SigLIP); CLIP's labels compete in a softmax."),
            Mistake(zero_shot_logits, "These are logits: the softmax is missing."),
        ),
    ),
    Exercise(
        id="6.8",
        notebook="06",
        title="A line of the report",
        level="B",
        minutes=5,
        points=1,
        hints=(
            "An f-string with single quotes outside can hold the label's double quotes.",
            '`{confidence:.2f}` writes two decimals, 0.90 included; `", ".join(names)` lists the names.',
        ),
        reference=_REFERENCE + "report_line",
        check=check_report,
        mistakes=(
            Mistake(report_percent, "The confidence is a number with two decimals (0.91), not a percentage."),
            Mistake(report_no_quotes, "The label stands in double quotes."),
            Mistake(report_list, "The neighbours were printed as a Python list; join them with a comma and a space."),
            Mistake(report_not_rounded, "The confidence was not rounded to two decimals."),
            Mistake(report_round, "`round` drops a zero at the end (0.9); the format `.2f` keeps it (0.90)."),
        ),
    ),
    Exercise(
        id="6.13",
        notebook="06",
        title="A folder with broken files",
        level="B",
        minutes=8,
        points=2,
        hints=(
            "Call `opener(path)` inside `try`; a file whose opener raises is named in the second list.",
            "`except Exception:` and go on with the next path: one broken file must not end the run.",
            "`PurePath(path).name` is the file's name without its folder.",
        ),
        reference=_REFERENCE + "load_folder",
        check=check_folder,
        mistakes=(
            Mistake(folder_stops, "The run stopped at the first broken file."),
            Mistake(folder_hides_failures, "Broken files were skipped without a word; name them in the second list."),
            Mistake(folder_full_paths, "These are whole paths; the names of the files are wanted."),
            Mistake(folder_counts_failures_twice, "A broken file was counted as opened too: add names after opening."),
            Mistake(folder_crashes, "The opener's exception was not caught, so one broken file ends the whole run."),
        ),
    ),
)
