"""Notebook 05, image and question into one classifier: 5.5 and 5.6."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from vfm_course.exercises.ch03_pixels import expect_gradient
from vfm_course.exercises.judge import expect_close
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch05_vqa:"
_ANSWERS = ["apple", "black", "cat", "dog", "green", "left", "no", "red", "two", "white", "yellow", "yes"]


# 5.5 ---------------------------------------------------------------------------------------------------------------
def check_classifier(answer, draw):
    widths, hidden, answers = (draw.integer(4, 7), draw.integer(7, 10)), 5, draw.integer(3, 5)
    state = {}
    for name, wide_out, wide_in in (
        ("image", hidden, widths[0]),
        ("question", hidden, widths[1]),
        ("answer", answers, hidden),
    ):
        state |= {f"{name}.weight": draw.normal(wide_out, wide_in), f"{name}.bias": draw.normal(wide_out)}
    images, questions = draw.normal(3, widths[0]), draw.normal(3, widths[1])
    got = answer.build(*widths, hidden, answers, state=state)(images, questions)
    sides = [
        F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"]).tanh()
        for name, x in (("image", images), ("question", questions))
    ]
    want = F.linear(sides[0] * sides[1], state["answer.weight"], state["answer.bias"])
    expect_close(got, want, "The logits (questions, answers)")


class _Classifier(nn.Module):
    def __init__(self, image_width, question_width, hidden, answers):
        super().__init__()
        self.image = nn.Linear(image_width, hidden)
        self.question = nn.Linear(question_width, hidden)
        self.answer = nn.Linear(hidden, answers)


class ClassifierSum(_Classifier):
    def forward(self, images, questions):
        return self.answer(self.image(images).tanh() + self.question(questions).tanh())


class ClassifierNoTanh(_Classifier):
    def forward(self, images, questions):
        return self.answer(self.image(images) * self.question(questions))


class ClassifierTanhLate(_Classifier):
    def forward(self, images, questions):
        return self.answer((self.image(images) * self.question(questions)).tanh())


class ClassifierRelu(_Classifier):
    def forward(self, images, questions):
        return self.answer(self.image(images).relu() * self.question(questions).relu())


class ClassifierTanhOfImage(_Classifier):
    def forward(self, images, questions):
        return self.answer(self.image(images).tanh() * self.question(questions))


class ClassifierTanhOfQuestion(_Classifier):
    def forward(self, images, questions):
        return self.answer(self.image(images) * self.question(questions).tanh())


class ClassifierSoftmax(_Classifier):
    def forward(self, images, questions):
        return self.answer(self.image(images).tanh() * self.question(questions).tanh()).softmax(dim=-1)


class ClassifierSigmoid(_Classifier):
    def forward(self, images, questions):
        return self.answer(self.image(images).tanh() * self.question(questions).tanh()).sigmoid()


class ClassifierBlind(_Classifier):
    def forward(self, images, questions):
        return self.answer(self.question(questions).tanh())


class ClassifierConcatenates(nn.Module):
    def __init__(self, image_width, question_width, hidden, answers):
        super().__init__()
        self.image = nn.Linear(image_width, hidden)
        self.question = nn.Linear(question_width, hidden)
        self.answer = nn.Linear(2 * hidden, answers)

    def forward(self, images, questions):
        return self.answer(torch.cat([self.image(images).tanh(), self.question(questions).tanh()], dim=-1))


# 5.6 ---------------------------------------------------------------------------------------------------------------
def check_soft_targets(answer, draw):
    size = draw.integer(5, 7)
    vocabulary, logits = draw.pick(_ANSWERS, size), 2 * draw.normal(3, size)
    humans, targets = [], torch.zeros(3, size)
    for row in range(3):
        places = draw.permutation(size)[:3].tolist()
        counts = (draw.integer(4, 6), 2, 1)
        people = [vocabulary[place] for place, count in zip(places, counts, strict=True) for _ in range(count)]
        humans.append(draw.pick([*people, *["something else"] * (10 - len(people))], 10))
        targets[row, places] = torch.tensor([1, 2 / 3, 1 / 3])
    terms = targets * F.softplus(-logits) + (1 - targets) * F.softplus(logits)
    got = answer(logits, humans, vocabulary)
    expect_close(got, terms.sum() / 3, "The loss of 3 questions")
    (grad,) = answer.grad((logits, humans, vocabulary))
    expect_gradient(grad, "the logits")
    expect_close(grad, (logits.sigmoid() - targets) / 3, "The gradient of the logits")


def _targets(humans, vocabulary, score):
    return torch.tensor([[float(score(people.count(word))) for word in vocabulary] for people in humans])


def _soft(count):
    return min(count / 3, 1)


def _bce(logits, targets, reduction="sum"):
    return F.binary_cross_entropy_with_logits(logits, targets, reduction=reduction)


def soft_share(logits, humans, vocabulary):
    return _bce(logits, _targets(humans, vocabulary, lambda count: count / 10)) / len(logits)


def soft_not_capped(logits, humans, vocabulary):
    return _bce(logits, _targets(humans, vocabulary, lambda count: count / 3)) / len(logits)


def soft_anybody(logits, humans, vocabulary):
    return _bce(logits, _targets(humans, vocabulary, lambda count: count > 0)) / len(logits)


def soft_hard(logits, humans, vocabulary):
    return _bce(logits, _targets(humans, vocabulary, lambda count: count >= 3)) / len(logits)


def soft_mean_of_all(logits, humans, vocabulary):
    return _bce(logits, _targets(humans, vocabulary, _soft), "mean")


def soft_sum_of_all(logits, humans, vocabulary):
    return _bce(logits, _targets(humans, vocabulary, _soft))


def soft_over_answers(logits, humans, vocabulary):
    return _bce(logits, _targets(humans, vocabulary, _soft)) / len(vocabulary)


def soft_sigmoid_twice(logits, humans, vocabulary):
    return _bce(logits.sigmoid(), _targets(humans, vocabulary, _soft)) / len(logits)


def soft_cross_entropy(logits, humans, vocabulary):
    return F.cross_entropy(logits, _targets(humans, vocabulary, _soft))


def soft_cross_entropy_of_shares(logits, humans, vocabulary):
    targets = _targets(humans, vocabulary, _soft)
    return F.cross_entropy(logits, targets / targets.sum(dim=1, keepdim=True))


def soft_right_ones_only(logits, humans, vocabulary):
    return (_targets(humans, vocabulary, _soft) * F.softplus(-logits)).sum() / len(logits)


def soft_number(logits, humans, vocabulary):
    return (_bce(logits, _targets(humans, vocabulary, _soft)) / len(logits)).item()


EXERCISES = (
    Exercise(
        id="5.5",
        notebook="05",
        title="Image times question",
        level="I",
        minutes=8,
        points=2,
        hints=(
            "Three layers: `self.image` and `self.question` end at `hidden`, `self.answer` goes on to `answers`.",
            "`self.image(images).tanh()` and the same of the question have one shape: `*` multiplies number by number.",
        ),
        reference=_REFERENCE + "AnswerClassifier",
        check=check_classifier,
        mistakes=(
            Mistake(
                ClassifierSum,
                "The two were added; in a sum the question cannot change which part of the image counts.",
            ),
            Mistake(ClassifierNoTanh, "The tanh is missing on both sides: one large number would rule the product."),
            Mistake(ClassifierTanhLate, "The tanh comes after the product; it belongs on each side before it."),
            Mistake(ClassifierRelu, "This is a ReLU; a tanh is wanted, which keeps the sign."),
            Mistake(ClassifierTanhOfImage, "The question has no tanh."),
            Mistake(ClassifierTanhOfQuestion, "The image has no tanh."),
            Mistake(ClassifierSoftmax, "A softmax follows; logits are wanted, the loss does the rest."),
            Mistake(ClassifierSigmoid, "A sigmoid follows; logits are wanted, the loss does the rest."),
            Mistake(ClassifierBlind, "The image is not used: this model answers without looking."),
            Mistake(
                ClassifierConcatenates,
                "The two were put side by side, so that `answer` is twice as wide; multiply them instead.",
            ),
        ),
        kind="class",
    ),
    Exercise(
        id="5.6",
        notebook="05",
        title="Ten people as a target",
        level="I",
        minutes=10,
        points=3,
        hints=(
            "First the targets (B, A): row i, column j is `min(humans[i].count(vocabulary[j]) / 3, 1)`.",
            "`nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction='sum')`, divided by B.",
        ),
        reference=_REFERENCE + "soft_target_loss",
        check=check_soft_targets,
        mistakes=(
            Mistake(soft_share, "The targets are shares of all ten people; three of them make a target of 1."),
            Mistake(soft_not_capped, "Targets go above 1 where more than three people agree: take the `min`."),
            Mistake(soft_anybody, "The target is 1 for whatever anybody said; one person makes a third."),
            Mistake(soft_hard, "The targets are hard: what one or two people said counts for something too."),
            Mistake(
                soft_mean_of_all,
                "This is the mean over the answers as well: with thousands of them hardly any gradient is left.",
            ),
            Mistake(soft_sum_of_all, "This is the sum over the questions; divide by their number."),
            Mistake(soft_over_answers, "The sum was divided by the number of answers; divide by that of questions."),
            Mistake(soft_sigmoid_twice, "The sigmoid is applied twice: `…_with_logits` has its own."),
            Mistake(
                soft_cross_entropy,
                "This is a softmax over the answers, which makes them rivals; each gets a sigmoid of its own.",
            ),
            Mistake(
                soft_cross_entropy_of_shares,
                "The targets were made to sum to 1 for a softmax; each answer gets a sigmoid of its own, and several "
                "may be right.",
            ),
            Mistake(
                soft_right_ones_only,
                "What nobody said costs nothing: the half with `1 - targets` is missing, and every logit may grow.",
            ),
            Mistake(soft_number, "A plain number came back: no gradient can flow from it, so leave `.item()` out."),
        ),
    ),
)
