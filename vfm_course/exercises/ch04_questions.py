"""Notebook 04, questions without code: 4.q1 to 4.q4 and 4.w1."""

from __future__ import annotations

from vfm_course.exercises.record import Choice, Written

EXERCISES = (
    Choice(
        id="4.q1",
        notebook="04",
        title="Forty pictures in one dialogue",
        level="I",
        minutes=3,
        points=1,
        question="A dialogue goes on over forty pictures. The language model is a Vicuna 7B with room for 4,096 tokens "
        "and keeps half a MiB a token in its cache. One connector gives 32 tokens a picture, the other 576. Which do "
        "you take?",
        options={
            "a": "576: the prompt is read once, and after that the pictures cost nothing.",
            "b": "32: a Q-Former has fewer weights to train, so it is cheaper in every respect.",
            "c": "32: 1,280 tokens leave room for the dialogue; 23,040 do not even fit.",
            "d": "Either: the encoder looks at the same patches, and that is what costs time.",
        },
        right="c",
        explains={
            "a": "Keys and values of every visual token stay in the cache until the dialogue ends, and each new word "
            "attends to all of them.",
            "b": "The right number for a wrong reason: a Q-Former trains 105 million weights, LLaVA-1.5's projector "
            "21 million. Fewer tokens are not fewer weights.",
            "c": "40 * 32 = 1,280 tokens and 640 MiB of cache, against 40 * 576 = 23,040 tokens and 11 GiB. The price "
            "is detail: whatever 32 vectors leave out, no later question can bring back.",
            "d": "The encoder runs once a picture in both cases. What differs is what the language model, many times "
            "larger, has to read and to keep.",
        },
    ),
    Choice(
        id="4.q2",
        notebook="04",
        title="One page, word for word",
        level="I",
        minutes=3,
        points=1,
        question="A single scanned page in small print is to be read out word for word. Which connector do you try "
        "first?",
        options={
            "a": "A Q-Former with 32 queries: they look at all patches, so nothing is lost.",
            "b": "A projector, one token a patch, with the page cut into tiles of 336 px.",
            "c": "A Q-Former with 32 queries and more pixels: more patches in, more detail out.",
            "d": "Either one, with the whole page scaled down to 336 px as the encoder wants it.",
        },
        right="b",
        explains={
            "a": "Looking at everything is not passing everything on: hundreds of words in their order have to go "
            "through 32 vectors, which were trained on what short captions mention.",
            "b": "Every place keeps a token of its own, in order, and tiles make letters large enough to see. Four "
            "tiles and an overview are 5 * 576 = 2,880 tokens: a long prompt, but there is only one page.",
            "c": "More pixels help the encoder, but the outlet stays as narrow: 32 tokens at any resolution. With many "
            "more queries, and pages in the training data, it would be worth a test.",
            "d": "At 336 px a page of fifty lines has fewer than seven pixels for a line. What the encoder never saw, "
            "no connector passes on.",
        },
    ),
    Choice(
        id="4.q3",
        notebook="04",
        title="Closed at first",
        level="I",
        minutes=3,
        points=1,
        question="Flamingo multiplies what a new layer adds by tanh(alpha), and alpha begins at zero. Why, and what "
        "learns in the very first step?",
        options={
            "a": "So that the image counts as much as the text from the start; all new weights learn at once.",
            "b": "So that the cross-attention can learn first, undisturbed; alpha follows when it is ready.",
            "c": "So that the new layers stay small; nothing learns until noise has moved alpha away from zero.",
            "d": "So that the language model begins as exactly what it was; only the alphas learn in that step.",
        },
        right="d",
        explains={
            "a": "It is the reverse: at alpha = 0 the image counts for nothing. And whatever stands behind a factor of "
            "0 gets a gradient of 0.",
            "b": "It is the other way round: the gradient of the cross-attention is multiplied by tanh(0) = 0, so it "
            "has to wait for alpha.",
            "c": "The gradient of alpha at 0 is what the layer saw times the gradient from above, which is not zero. "
            "No noise is needed.",
            "d": "tanh(0) = 0 removes what an untrained layer would add, so no good sentence is spoilt. The slope of "
            "tanh at 0 is 1: the alphas move in the first step, and what is behind them learns from the second.",
        },
    ),
    Choice(
        id="4.q4",
        notebook="04",
        title="Frozen or tuned",
        level="A",
        minutes=3,
        points=1,
        question="BLIP-2 and Flamingo keep the language model frozen; LLaVA tunes it in its second stage. What is the "
        "trade?",
        options={
            "a": "Frozen: nothing it knows is lost, and little has to be trained. Tuned: it can learn to use visual "
            "tokens and a new way of answering, but may forget.",
            "b": "Frozen: no gradient can pass through it, so the connector needs a loss of its own. Tuned: the loss "
            "of the answer is enough.",
            "c": "Frozen: nothing of it is kept for the backward pass, so training needs no more memory than "
            "answering. Tuned: all of it is kept.",
            "d": "Tuned is better wherever memory allows it, since more weights fit the data better.",
        },
        right="a",
        explains={
            "a": "Leave the new parts out, and a frozen model answers text as before. But then the connector alone has "
            "to speak a language the model knows already; tuning lets both move, at the price of memory for billions "
            "of weights and the risk to lose skills that the new data does not ask for.",
            "b": "Frozen weights do not change, but the gradient passes through them to their inputs. That is how "
            "BLIP-2's second stage trains its Q-Former with the loss of the next word.",
            "c": "Gradients and optimizer state of its weights are saved, and that is a lot. But to reach the "
            "connector the backward pass goes through its layers, so their activations are needed all the same.",
            "d": "More weights fit the training data better. A small set of instructions can also teach a narrow way "
            "of answering and cost what it knew before; that has to be measured on other tasks.",
        },
    ),
    Written(
        id="4.w1",
        notebook="04",
        title="32 tokens or 576",
        level="I",
        minutes=15,
        question="Compare BLIP-2's Q-Former with LLaVA-1.5's projector: visual tokens a picture (32 against 576) and "
        "trainable parameters; what inductive bias each has; which you would choose for a long dialogue over many "
        "images, and which for one high-resolution image. Give reasons, with numbers from this notebook.",
        rubric={
            "numbers": "32 tokens whatever the resolution against one a patch, 576 at 336 px; about 105 million "
            "parameters against 21 million, so that fewer tokens are not fewer weights.",
            "bias": "Projector: token i is patch i, place and order are kept, nothing is chosen. Q-Former: a fixed "
            "number of questions without a place, which must be learnt from much data and select what passes.",
            "choice": "A decision for each of the two cases, with its reason in tokens, context or cache on the one "
            "side and in detail and place on the other, and what would change it.",
        },
        model_answer="A Q-Former passes on the answers to 32 learned queries: 32 tokens a picture at any resolution. "
        "LLaVA-1.5's projector makes every patch a token: 24 * 24 = 576 at 336 px. Fewer tokens are not fewer "
        "weights: the Q-Former trains about 105 million, the projector 21 million (its second stage also tunes the "
        "language model). The projector's bias is strong and simple: token i is patch i, so place and order are "
        "kept, nothing is selected, and little has to be learnt. Queries have no place of their own. They must "
        "learn what to ask, from many pairs in a stage of its own, and what captions never mention may not get "
        "through. For a long dialogue over forty pictures I would take the Q-Former: 1,280 tokens instead of "
        "23,040, which would not fit a context of 4,096 and would stay in the cache. For one high-resolution "
        "picture I would take the projector, with tiles: small things keep tokens of their own, and the long "
        "prompt is read once. I would decide otherwise if the dialogue asked for small print, or if more queries "
        "read it as well in a test.",
        hints=(
            "Count twice: what the language model reads, and what is trained. The two do not go together.",
            "Inductive bias: what does the connector know of place and order before it has seen any data?",
            "For each case, ask what is scarce there: room in the context, or detail.",
        ),
    ),
)
