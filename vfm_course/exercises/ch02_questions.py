"""Notebook 02, questions without code: 2.q1 to 2.q5 and 2.w1."""

from __future__ import annotations

from vfm_course.exercises.record import Choice, Written

EXERCISES = (
    Choice(
        id="2.q1",
        notebook="02",
        title="No gradient, and yet it changes",
        level="I",
        minutes=2,
        points=1,
        question="All weights of a backbone with BatchNorm have `requires_grad=False`. The training loop calls "
        "`model.train()` and runs for an epoch. What happens to the backbone?",
        options={
            "a": "Nothing: without gradients no number in it can change.",
            "b": "Its weights drift slowly, because of the weight decay.",
            "c": "Its running mean and variance move towards the new images, and each feature depends on its batch.",
            "d": "PyTorch raises an error, since a frozen module cannot be in training mode.",
        },
        right="c",
        explains={
            "a": "Its weights do stay. But BatchNorm's running statistics are buffers, changed by the forward pass "
            "itself, without any gradient.",
            "b": "An optimiser skips a parameter that has no gradient, decay and all.",
            "c": "In training mode BatchNorm normalises with the batch at hand and updates its running statistics on "
            "the way. The head learns on features that nobody will see again in eval mode, and a cache of features "
            "is out of date. So frozen means `eval()` too.",
            "d": "The two have nothing to do with each other, which is why it goes wrong without a word.",
        },
    ),
    Choice(
        id="2.q2",
        notebook="02",
        title="Twelve tasks on a phone",
        level="I",
        minutes=3,
        points=1,
        question="A phone app answers twelve questions about every photo. It has memory for a little more than one "
        "encoder, and time for one pass through it. Measured on each task, linear heads are good enough. What do you "
        "ship?",
        options={
            "a": "One frozen encoder and twelve linear heads.",
            "b": "One encoder and twelve LoRA adapters, one for each task.",
            "c": "Twelve fine-tuned encoders, since they are the most accurate.",
            "d": "Twelve encoders, each with its LoRA adapter merged, since merging costs no time.",
        },
        right="a",
        explains={
            "a": "One pass makes the features, and a head on them costs next to nothing: a thirteenth task adds a few "
            "thousand numbers. A task that heads cannot do may still get an adapter, and a pass, of its own.",
            "b": "Twelve adapters are small to store. But each changes what the encoder computes, so its features "
            "cannot be shared: that is twelve passes for every photo.",
            "c": "Twelve times the memory and twelve times the passes; and heads were measured to be good enough.",
            "d": "Merging saves the adapter's own small work, and gives up what made it small: these are twelve full "
            "encoders in memory, with a pass each.",
        },
    ),
    Choice(
        id="2.q3",
        notebook="02",
        title="Worth a whole network?",
        level="I",
        minutes=3,
        points=1,
        question="Four parcel tasks ask for end-to-end fine-tuning. For which one is the case strongest?",
        options={
            "a": "Forty labelled images of each kind of damage; a linear head just misses the target.",
            "b": "A head is right for 372 of 400 test images, a fine-tuned network for 375.",
            "c": "The categories change every month, and eleven other tasks share the encoder.",
            "d": "Thermal images, unlike any in the pretraining; 200,000 labels; on three seeds heads and LoRA stay "
            "ten points below it.",
        },
        right="d",
        explains={
            "a": "With so few labels the many weights can learn them by heart. More labels, augmentation or a small "
            "adapter come first.",
            "b": "Three images of 400: the interval of each accuracy is about five points wide, so that is not a "
            "measured gain.",
            "c": "What changes each month should be quick to retrain, and what is shared should stay as it is: that "
            "speaks for heads.",
            "d": "The features lack what the task needs, there are labels enough to learn it, and the gain was "
            "measured against both cheap ways. One question is left: what will it cost to serve?",
        },
    ),
    Choice(
        id="2.q4",
        notebook="02",
        title="Ninety-five of a hundred",
        level="B",
        minutes=2,
        points=1,
        question="On the same 100 test images head A is right 92 times and head B 95 times. What do you conclude?",
        options={
            "a": "B is better: 95 is more than 92.",
            "b": "Not much: both intervals are several points wide. Look where the two differ, or test on more images.",
            "c": "They are equally good, since their intervals overlap.",
            "d": "B is 3 % better, give or take 1 %, since one image is 1 %.",
        },
        right="b",
        explains={
            "a": "On these images it is. With another hundred the order may well turn round.",
            "b": "Wilson's intervals are about 85 to 96 and 89 to 98. Since both saw the same images, the few on which "
            "just one of them is right say more than the two totals; and a thousand images say more than a hundred.",
            "c": "An overlap is no proof that they are equal, only that this test cannot tell: a real difference of "
            "three points would look like this as well.",
            "d": "One image is how finely you can read the result, not how far it can be trusted.",
        },
    ),
    Choice(
        id="2.q5",
        notebook="02",
        title="LoRA's first step",
        level="A",
        minutes=3,
        points=1,
        question="LoRA starts with A random and B zero. Which of them gets a gradient other than zero in the very "
        "first step?",
        options={
            "a": "Both of them.",
            "b": "Only A.",
            "c": "Neither, which is why a warm-up is needed.",
            "d": "Only B.",
        },
        right="d",
        explains={
            "a": "What reaches A goes through B, and B is zero.",
            "b": "It is the other way round: the gradient of A is a product with B, which is zero at this moment.",
            "c": "That would be so with A at zero as well, and no warm-up would ever help.",
            "d": "B's gradient is what comes from above times A's output, which is not zero. After one step B is no "
            "longer zero, and from the second step on A learns too.",
        },
    ),
    Written(
        id="2.w1",
        notebook="02",
        title="When is fine-tuning worth it?",
        level="I",
        minutes=15,
        question="The logistics company has a dozen tasks on one frozen encoder: sorting, damage, label reading and so "
        "on. One team asks to fine-tune the whole network end to end for its task. Write the paragraph that decides "
        "when this is worth it. Use what you measured in this notebook.",
        rubric={
            "gain": "What must be measured first: against a head and LoRA on the same splits, at the labels there are, "
            "a gain larger than its interval, also on lighting and packaging that was never trained on.",
            "price": "What it costs beyond the training run: an encoder of its own to store and to run for each image, "
            "no share in the cached features, and a full run again when parcels or categories drift.",
            "decision": "A rule that can come out either way, applied to one of the parcel tasks, with a cheaper step "
            "named that is tried first.",
        },
        model_answer="A head costs minutes and a few thousand numbers, so it is the default, and whoever wants more "
        "has to show a gain. I would train a head, LoRA and the whole network on the same splits with several seeds, "
        "at the number of labels the team really has, and test them on ordinary parcels and on a set with lighting and "
        "packaging that nobody trained on. If fine-tuning does not beat LoRA by more than the interval on both, the "
        "answer is no; with few labels I expect that, since so many weights learn them by heart, and fine-tuning can "
        "lose some of the robustness that the pretraining gave. If it does win, the price is not the training run, "
        "which is paid once, but what comes after: this task leaves the shared encoder, so every parcel needs a second "
        "pass, a second network has to be stored, tested and versioned, and when the carrier changes its packaging it "
        "is a full run again, where a head is trained anew within minutes on cached features. Damage "
        "detection might earn it: a missed leak is expensive, years of labelled claims exist, and dents are a kind of "
        "detail that the encoder may have been taught to ignore. Sorting would not: its categories change and heads "
        "are near their target. Reading labels is a case for a model that was trained on text, not for more "
        "training of this one. Even for damage I would first try more labels where the head is wrong, patches "
        "instead of one vector, and LoRA: it needs a pass of its own too, but only a small file for each task.",
        hints=(
            "Who has to prove what? Begin with the cheapest way that works, and say what a dearer one must show.",
            "Count what happens after the training: memory, passes for each parcel, the next change of packaging.",
            "Take two tasks, one for which your rule says yes and one for which it says no.",
        ),
    ),
)
