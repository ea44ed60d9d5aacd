"""Notebook 06, questions without code: 6.q1, 6.q2 and 6.w1."""

from __future__ import annotations

from vfm_course.exercises.record import Choice, Written

EXERCISES = (
    Choice(
        id="6.q1",
        notebook="06",
        title="Which model for which job",
        level="B",
        minutes=2,
        points=1,
        question="The toolkit names each image and finds its nearest visual neighbours. Whose embeddings serve which?",
        options={
            "a": "CLIP's for both: it was trained on more images.",
            "b": "CLIP's image and text embeddings for the label, DINOv2's image embeddings for the neighbours.",
            "c": "DINOv2's for the label, CLIP's for the neighbours.",
            "d": "The mean of both models' embeddings for both.",
        },
        right="b",
        explains={
            "a": "CLIP can find neighbours, but it groups by what a caption would name and says less about appearance.",
            "b": "A label needs a text encoder in the image's space: only CLIP has one; DINOv2 was trained on "
            "images alone and groups them by appearance and structure.",
            "c": "DINOv2 has no text encoder: without labelled examples its embeddings cannot be compared with words.",
            "d": "The two spaces have different axes (and often different widths): their mean means nothing.",
        },
    ),
    Choice(
        id="6.q2",
        notebook="06",
        title="A folder where no label fits",
        level="B",
        minutes=3,
        points=1,
        question='The labels are "a cat", "a dog" and "a bus"; the folder holds only soup. What will the softmax '
        "over the labels do?",
        options={
            "a": "Give every label a probability near zero.",
            "b": "Fail, since no label fits.",
            "c": "Share out a probability of one all the same, so that a wrong label can look confident.",
            "d": "Always give each label one third.",
        },
        right="c",
        explains={
            "a": "Each row of a softmax sums to one; near zero everywhere is what SigLIP's sigmoids can say.",
            "b": "A softmax has no notion of fitting: it takes any logits.",
            "c": "Only differences between the labels count. Times about 100, a small difference in cosine is "
            "enough for a confident wrong label; a threshold on the cosine, a label for the rest, or a sigmoid helps.",
            "d": "That would need three equal cosines; with a scale of about 100 the smallest difference tips it.",
        },
    ),
    Written(
        id="6.w1",
        notebook="06",
        title="Two models disagree",
        level="I",
        minutes=10,
        question="Your two models disagree on a pair: what does each look at, and whom would you believe for (a) "
        "tagging and (b) finding duplicates?",
        rubric={
            "what each sees": "CLIP: what a caption would name; DINOv2: appearance, parts, texture and layout.",
            "tagging": "CLIP for tags, with a reason and a case in which it is wrong.",
            "duplicates": "DINOv2 for duplicates, with a reason and a case in which it is wrong.",
        },
        model_answer="CLIP was trained to match images with captions, so its embedding keeps what people name, not "
        "the rest; DINOv2 was trained on images alone to agree between crops of one image, so its embedding keeps "
        "appearance: parts, texture, pose, layout. Same label with low DINOv2 similarity is one concept that looks "
        "different (a drawn cat and a photographed one); different labels with high similarity is one appearance "
        "with two names (a wolf and a husky). (a) For tags I believe CLIP, since a tag is a name, but I check fine "
        "distinctions, text in the picture and folders where no label fits. (b) For duplicates I believe DINOv2, since "
        "two copies look alike whatever they are called, but I check series of the same scene, and strong crops.",
        hints=(
            "Think of what each model was trained on: image and caption, or two crops of one image.",
            "Take one pair of each kind from your own folder and describe what is alike in it.",
        ),
    ),
)
