"""Notebook 01, questions without code: 1.q1 to 1.q5 and 1.w1."""

from __future__ import annotations

from vfm_course.exercises.record import Choice, Written

EXERCISES = (
    Choice(
        id="1.q1",
        notebook="01",
        title="Ten million photos, no labels",
        level="B",
        minutes=2,
        points=1,
        question="A shop wants to cluster ten million unlabelled product photos, so that what looks alike lies "
        "together. Which family, from its objective alone?",
        options={
            "a": "CLIP or SigLIP",
            "b": "A masked autoencoder (MAE)",
            "c": "DINOv2",
            "d": "SAM",
        },
        right="c",
        explains={
            "a": "Trained to match images with captions, it groups by what a caption would name. It would do, but two "
            "shirts that differ in pattern and cut are both a shirt to many captions, and no words are asked for here.",
            "b": "Reconstructing pixels asks for no vector that sums up the image: frozen, its features cluster "
            "poorly, and there are no labels to fine-tune it on.",
            "c": "Self-distillation on images alone asks that views of one image get the same output, and that outputs "
            "do not all become the same: distances between frozen features mean likeness, without a label.",
            "d": "It was trained to cut out what a prompt points at; nothing in that asks for two photos of one "
            "product to be near each other.",
        },
    ),
    Choice(
        id="1.q2",
        notebook="01",
        title="A child flying a kite",
        level="B",
        minutes=2,
        points=1,
        question='A photo archive without captions should answer searches such as "a child flying a kite". Which '
        "family, from its objective alone?",
        options={
            "a": "DINOv2",
            "b": "CLIP or SigLIP",
            "c": "SAM",
            "d": "A masked autoencoder (MAE)",
        },
        right="b",
        explains={
            "a": "It never saw a word: given one photo of a kite it finds others, but a sentence has no place in its "
            "space.",
            "b": "The contrastive objective puts an image near its own caption and far from others: both lie in one "
            "space, so a sentence can be compared with every photo.",
            "c": "It would cut out the child or the kite from a click, but it neither reads a sentence nor names what "
            "it has cut out.",
            "d": "Painting hidden pixels takes no text: it has no encoder for the question, and frozen features that "
            "search poorly.",
        },
    ),
    Choice(
        id="1.q3",
        notebook="01",
        title="Fifty kinds of defect",
        level="B",
        minutes=2,
        points=1,
        question="A factory has ten thousand labelled images of fifty defect types and means to fine-tune the whole "
        "network on them. Which family's objective was meant for that?",
        options={
            "a": "A masked autoencoder (MAE)",
            "b": "SAM",
            "c": "CLIP or SigLIP",
            "d": "DINOv2",
        },
        right="a",
        explains={
            "a": "Reconstruction teaches every layer something about images and leaves it to the labels to say what "
            "counts: a good start for fine-tuning. Measure a linear head or LoRA on frozen DINOv2 too: with two "
            "hundred images of each type it costs far less, and may be as good or better.",
            "b": "Its objective is where an object ends, whatever it is; what kind of defect it is was never asked.",
            "c": "Captions from the web seldom name a scratch or a burr; the objective adds words, which fifty fixed "
            "labels do not need. It can be fine-tuned, but that is not what it was made for.",
            "d": "Its objective makes features that work as they are. To fine-tune it is possible, and to measure it "
            "frozen with a linear head or LoRA is advisable; here every weight is to be trained on labels.",
        },
    ),
    Choice(
        id="1.q4",
        notebook="01",
        title="What a user clicks",
        level="B",
        minutes=2,
        points=1,
        question="In an image editor the user clicks on anything at all, and it should be cut out. Which family, from "
        "its objective alone?",
        options={
            "a": "A masked autoencoder (MAE)",
            "b": "CLIP or SigLIP",
            "c": "DINOv2",
            "d": "SAM",
        },
        right="d",
        explains={
            "a": "It masks patches to paint them again: these masks are its input, drawn at random, and no objects.",
            "b": "One vector for an image and one for its caption: where in the image something lies was hardly asked.",
            "c": "Its patches group into parts and objects, but a patch is 14 pixels wide and takes no click: the "
            "outline stays rough.",
            "d": "It was trained on just this: a point or a box in, the mask of what lies there out, on over a "
            "billion masks of all kinds of things. It does not say what it is.",
        },
    ),
    Choice(
        id="1.q5",
        notebook="01",
        title="An unfamiliar model",
        level="I",
        minutes=3,
        points=1,
        question="A new model sees a video clip in which regions of space and time are hidden. From the visible part "
        "it predicts the features of the hidden regions, as a slowly following copy of itself computes them. There is "
        "no text, and no pixel is painted. Where will it shine?",
        options={
            "a": "Finding clips from a sentence.",
            "b": "Telling actions and motions apart, with a small head on frozen features.",
            "c": "Masks of moving objects, sharp to the pixel.",
            "d": "Filling in missing frames of a film.",
        },
        right="b",
        explains={
            "a": "Without text in the objective no sentence has a place in its space. Words would have to be aligned "
            "with its features afterwards.",
            "b": "To predict what is hidden in time it must keep what moves and how, and may drop what cannot be "
            "predicted. The target is features, so features are what it is good at, frozen: this is V-JEPA.",
            "c": "Its target is a feature for each block of pixels and frames; nothing rewards an exact outline.",
            "d": "It never learns to make pixels: what they look like in detail is just what it may throw away. A "
            "decoder would have to be trained for that.",
        },
    ),
    Written(
        id="1.w1",
        notebook="01",
        title="Two families are plausible",
        level="I",
        minutes=10,
        question="Describe one task for which two families are plausible. What does each buy, what does each cost, "
        "and what would you measure to decide?",
        rubric={
            "task": "One concrete task: what goes in, what comes out, and what labels there are.",
            "trade-off": "For each of the two a strength and a weakness that follow from its objective.",
            "decision": "A measurement or a fact about the task that decides, and which family it would speak for.",
        },
        model_answer="Visual search in a shop: a customer takes a photo of a lamp and wants the most similar ones of a "
        "hundred thousand products. DINOv2 was trained on images alone to agree between views of one image, so it "
        "keeps shape, pattern and material, which is what similar means here; but it cannot take the words "
        '"the same in brass", and it may find what shares a background. SigLIP was trained to match images with '
        "captions, so it serves words and photos from one index and cares little for the background; but it keeps "
        "what a caption names, and two brass lamps of different shape lie close together. I would have a few hundred "
        "queries judged by people and count how many of the first ten results are right for each model, on "
        "photos and on words. If nearly all searches are photos, I expect DINOv2 to win; if a third of them hold "
        "words, SigLIP's single index is worth some loss. Embedding the catalogue with both is cheap: rank by DINOv2 "
        "what SigLIP has found.",
        hints=(
            "Walk down the decision procedure and look for a question that your task answers with both yes and no.",
            "For each family: what was it penalised for in training, what did it therefore keep, and what drop?",
            "A trade-off needs a measurement: what would you count, on which images, and what would change your mind?",
        ),
    ),
)
