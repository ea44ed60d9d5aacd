"""Notebook 03, questions without code: 3.q1 to 3.q5 and 3.w1."""

from __future__ import annotations

from vfm_course.exercises.record import Choice, Written

EXERCISES = (
    Choice(
        id="3.q1",
        notebook="03",
        title="A quarter of it is noise",
        level="I",
        minutes=3,
        points=1,
        question="In every picture a quarter of the pixels is fresh noise that nothing can predict. What does a "
        "masked autoencoder with a squared error pay for?",
        options={
            "a": "Nothing: what cannot be predicted has no gradient.",
            "b": "A part of the loss that never goes away, and noise in every gradient.",
            "c": "Nothing, once it has learnt each noise pattern by heart.",
            "d": "Only a longer training: with enough pictures the noise becomes predictable.",
        },
        right="b",
        explains={
            "a": "Each single error has a gradient. They cancel only on the mean over many pictures, and only once "
            "the model answers with the mean of the noise.",
            "b": "The best answer is the mean of the noise, and its variance stays in the loss for good: a floor. "
            "Until then the largest errors are where nothing can be learnt, and every batch pulls the weights in "
            "random directions. How much capacity that really costs is a matter of measurement.",
            "c": "It is fresh noise: no pattern comes twice. A few pictures shown again and again it might learn by "
            "heart, which would serve nobody.",
            "d": "More pictures show the mean more exactly. The noise of the next picture stays as unknown as before.",
        },
    ),
    Choice(
        id="3.q2",
        notebook="03",
        title="A batch over many GPUs",
        level="A",
        minutes=3,
        points=1,
        question="A batch of pairs is spread over many GPUs. Why does the sigmoid loss get by without a softmax over "
        "embeddings gathered from all of them, and what does a larger batch change?",
        options={
            "a": "Each GPU compares its own pairs only, so the size of the whole batch makes no difference.",
            "b": "The sigmoid needs no wrong pairs at all; a larger batch only makes gradients less noisy.",
            "c": "The bias replaces the other GPUs' pairs; with a larger batch it may be left out.",
            "d": "A pair's loss depends on no other pair, so the table is summed block by block; a larger batch "
            "brings more wrong pairs for each right one.",
        },
        right="d",
        explains={
            "a": "All B * B pairs count: texts are passed from GPU to GPU, and each computes block after block. Only "
            "never all of them at once.",
            "b": "It needs them as much as the softmax does: with right pairs alone, one vector for everything would "
            "have no loss.",
            "c": "The bias sets how likely a yes is before anything is compared. It stands for no pair, and a larger "
            "batch, with a smaller share of right pairs, needs it more.",
            "d": "A softmax divides by a sum over the whole row, so it needs the row; a sum of yes-or-no losses can "
            "be cut anywhere. With B pairs there are B - 1 wrong ones for each right one: harder ones among them, "
            "and more of the easy ones. In the paper the gain had faded at a batch of about 32,000.",
        },
    ),
    Choice(
        id="3.q3",
        notebook="03",
        title="Solved in two minutes",
        level="I",
        minutes=2,
        points=1,
        question="Two minutes into a JEPA run the loss has fallen to 0.001. What do you do first?",
        options={
            "a": "Look at how far the target features of different pictures differ, and at a probe.",
            "b": "Stop and save it: the task is solved.",
            "c": "Look at the loss on held-out pictures: if it is as low, all is well.",
            "d": "Lower the learning rate, since the loss is nearly at its minimum.",
        },
        right="a",
        explains={
            "a": "Both sides of this loss are learnt. If every picture gets the same features they are predicted "
            "perfectly and say nothing: collapse. The spread over pictures falls to 0 then, and a probe to chance.",
            "b": "A low loss is no evidence here: a target encoder that says the same of all pictures makes it lowest.",
            "c": "Collapsed features are constant on held-out pictures as well, so that loss is just as low.",
            "d": "First find out whether there is anything left to learn. After a collapse there is not, at any "
            "learning rate.",
        },
    ),
    Choice(
        id="3.q4",
        notebook="03",
        title="Beyond the last point",
        level="A",
        minutes=3,
        points=1,
        question="Five runs on up to 100,000 pictures fit error = floor + a * n^-b closely. You read off what 10 "
        "million pictures would give. What does a single run on 400,000 pictures, held out from the fit, add?",
        options={
            "a": "A sixth point for the fit, which makes a, b and the floor a little more exact; no more.",
            "b": "Proof of the figure for 10 million, if the point lies on the curve.",
            "c": "A test: the fit said beforehand where it would lie, and could have been wrong. Most of the way to "
            "10 million stays untested, the floor above all.",
            "d": "Nothing: five points that fit closely have shown the law already.",
        },
        right="c",
        explains={
            "a": "Put into the fit, it can hardly contradict it any more. Its worth is that it was predicted first.",
            "b": "It covers a factor of four; 25 more are left. On the way the floor takes over, or the data begins "
            "to repeat itself.",
            "c": "Write down the prediction with its interval, then train. A miss shows that the law, or the floor, "
            "was wrong; a hit extends the range a little. Far out the floor is most of the error, and the small "
            "runs, far above it, say least about it.",
            "d": "Three free numbers bend to five points easily, and quite different floors fit nearly as well. They "
            "part company beyond the last point.",
        },
    ),
    Choice(
        id="3.q5",
        notebook="03",
        title="Where, and what it is called",
        level="I",
        minutes=3,
        points=1,
        question="Captions say what is in a picture, but never where. Wanted from frozen features: which patch of "
        "one picture corresponds to which of another; how many things lie in the left half; and names without "
        "labelled examples. What do the objectives lead you to expect?",
        options={
            "a": "CLIP for all three: captions name things, and what has a name has a place.",
            "b": "Features of DINOv2 or a JEPA for the first two, CLIP for the names.",
            "c": "MAE for all three: whoever paints every pixel must know what is where, and what it is called.",
            "d": "DINOv2 or a JEPA for all three: its features are the more general ones.",
        },
        right="b",
        explains={
            "a": "It is paid to tell captions apart. If none says where, two pictures that differ only in that have "
            "the same caption, and dropping the place costs it nothing.",
            "b": "Targets that differ from patch to patch reward knowing what is where; words that belong to "
            "pictures reward names. It is an expectation: some of the place may survive in CLIP's patches all the "
            "same, so measure it.",
            "c": "Place may well be read from it, since it has to paint each thing where it is. But its patches "
            "answer for pixels, not for the thing they belong to, and what never met a word cannot name anything.",
            "d": "Its patches are a good bet for the first two. But there is no text in the objective, so without "
            "examples it has no names.",
        },
    ),
    Written(
        id="3.w1",
        notebook="03",
        title="Pixels, language, representations",
        level="A",
        minutes=20,
        question="Compare three targets of prediction: pixels (MAE), language (CLIP) and representations (JEPA). "
        "What is each penalised for, and what does it therefore keep and discard? What is JEPA's complaint about the "
        "other two, and did this notebook's measurements bear it out? Why does it matter for motion and dynamics?",
        rubric={
            "three targets": "For pixels, language and representations each: what the loss penalises, and one thing "
            "that is kept and one that is discarded as a consequence.",
            "complaint": "JEPA's complaint about both others (capacity for unpredictable detail; spatial structure "
            "that captions leave out), set against a measurement of this notebook, even where that does not show it; "
            "and what JEPA pays in turn: its targets can collapse.",
            "motion": "Why this matters for video: most detail of the future cannot be predicted, what moves and how "
            "can; with actions as a condition it leads towards a world model.",
        },
        model_answer="MAE is penalised for every hidden pixel, so it keeps colour, texture, background and place, "
        "and may discard what a thing is called. CLIP is penalised when a picture fits another caption better than "
        "its own: it keeps what captions name and discards what they leave out, often where things lie. A JEPA is "
        "penalised for wrongly predicted features of hidden blocks: it keeps what the context tells, and its target "
        "encoder may discard the rest. Its complaint: pixels spend capacity on detail that nobody can predict or "
        "notice, and language is too coarse for space. My small runs test that weakly: models of this size on drawn "
        "pictures may not show it, and a probe on noisy pictures that finds no difference is a result to report, not "
        "to explain away. JEPA pays as well: a constant target has no loss, so it needs a slow copy, a stopped "
        "gradient, and an eye on the spread. In video the argument is stronger: nobody can tell each leaf of the "
        "next second, but where a ball goes can be told. V-JEPA predicts hidden regions of space and time as "
        "features, so it must keep motion, without labels; given a robot's actions too, this becomes a world model "
        "in which to plan.",
        hints=(
            "For each target ask: which mistake costs something? What costs nothing need not be kept.",
            "Take one table or figure of this notebook and ask whether it speaks for the complaint, against it, or "
            "cannot tell.",
            "Think of a film of a tree in the wind, and a child running past it: what of the next second can be known?",
        ),
    ),
)
