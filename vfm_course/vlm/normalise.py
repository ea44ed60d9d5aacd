"""Free text made comparable: VQA's normalisation of short answers, and the choice that a reply names."""

import re
from collections.abc import Sequence
from string import ascii_uppercase

from vfm_course.errors import UserError

# What VQA's evaluation takes for punctuation; the apostrophe, the colon and signs like $ and % carry meaning and stay.
PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
ARTICLES = {"a", "an", "the"}
_COUNTED = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = {word: str(number) for number, word in enumerate(_COUNTED)} | {"none": "0"}
# A contraction's end and what stands before it, where the two without apostrophe are no other word, as in its, ill,
# well, were or shed.
_ENDS = {
    "n't": "ai are ca could did does do had has have is might must need should was were would wo",
    "'ve": "could i might must should they we who would you what where",
    "'re": "they you what who why",
    "'ll": "it that they who you what somebody someone something there",
    "'d": "it that they who you how somebody someone something there where",
    "'s": "he she that there here what where who why how when let somebody someone something",
}
_CONTRACTED = [begin + end for end, begins in _ENDS.items() for begin in begins.split()]
CONTRACTIONS = {word.replace("'", ""): word for word in (*_CONTRACTED, "i'm", "o'clock", "ma'am", "y'all", "'twas")}


def normalise(answer: str) -> str:
    """A short answer as VQA's official evaluation compares it.

    Written from the rules that the evaluation page of Antol et al. 2015 (arXiv:1505.00468) publishes, in this order:
    lower case; commas between digits go (100,978 -> 100978); periods go unless a digit follows them (2.5 stays); other
    punctuation becomes a space; number words to ten become digits (and "none" becomes 0); articles go; a contraction
    gets the apostrophe that it lacks (dont -> don't). Each sign is judged where it stands: the evaluation's script
    looks at the whole answer at once, and glues together the words around a slash or a comma without a space if the
    same sign stands beside a space elsewhere in the answer, or if there is a number like 1,000 in it.
    """
    text = answer.lower().replace("’", "'")
    text = re.sub(r"(?<=\d),(?=\d)", "", text)
    text = re.sub(r"\.(?!\d)", "", text)
    text = text.translate({ord(sign): " " for sign in PUNCTUATION})
    words = [NUMBERS.get(word, word) for word in text.split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


_END = r"(?=\s*(?:[.,;:!?)\]]|$))"
# "A" and "I" are words too: alone they count only where a sentence could not go on with a noun or a verb.
_GOES_ON = rf"(?:{_END}|(?=\s+(?:because|since|as|and|or|is\s+(?:correct|right|the))\b))"
_WORDS = rf"[AI](?![\w'’]){_GOES_ON}"
_CAPITAL = rf"(?<![\w'’.])(?:{_WORDS}|[B-HJ-Z](?![\w'’])(?!\.\w))"
_BRACKET = r"(?<!\w)[(\[]\s*([A-Za-z])\s*[)\]]"
_CUE = re.compile(
    r"\b(?:[Aa]nswer|ANSWER|[Oo]ption|[Cc]hoice)(?:\s+(?:is|was|would\s+be|must\s+be|should\s+be))?\s*[:=]?\s*"
    rf"(?:option\s+|choice\s+)?(?:{_BRACKET}|({_CAPITAL})|([a-z])(?![\w'’]){_END})"
)
_ANY = re.compile(rf"{_BRACKET}|^\s*([A-Za-z])\s*[).:](?!\w)|({_CAPITAL})", re.MULTILINE)
_NOT = r"(?:\b(?:not|no|never|neither|nor|cannot)|n['’]t)\b"
_DENIED_LETTER = re.compile(rf"{_NOT}\s+(?:be\s+)?(?:option\s+|choice\s+)?[(\[]?\s*$", re.IGNORECASE)
_MASK = "\u25a1"
_DENIED_TEXT = re.compile(rf"{_NOT}(?:\s+\w+){{0,3}}\s*{_MASK}", re.IGNORECASE)


def extract_choice(reply: str, options: Sequence[str]) -> str | None:
    """The letter of the option that a free reply names, as MMBench needs it (Liu et al. 2023, arXiv:2307.06281).

    A letter counts where it stands for an option: alone, in brackets, before a bracket, period or colon at the start
    of a line, after "the answer is", or as a capital that is no other word. The text of an option counts where no
    letter is named. Letter and text must not contradict each other.

    Args:
        reply: what the model said: "The answer is B.", "(b)", "B) cat", "It is a cat".
        options: the texts of options A, B, …; at most 26.

    Returns:
        A capital letter, or None: no option named, two of them, or one that is denied.

    Raises:
        UserError: no options, or more than there are letters.
    """
    if not 1 <= len(options) <= len(ascii_uppercase):
        raise UserError(f"A choice is one of 1 to 26 options, not of {len(options)}.")
    letters = ascii_uppercase[: len(options)]
    text = reply.replace("*", "").replace("`", "").strip()
    alone = re.fullmatch(r"[\s(\[\"']*([A-Za-z])[\s)\]\"'.:,!]*", text)
    if alone:
        letter = alone[1].upper()
        return letter if letter in letters else None
    text, mentioned = _mentions(text, options)
    cued = _named(_CUE, text, letters)
    if len(cued) == 1:
        (letter,) = cued
        return letter if letter in mentioned or len(mentioned) != 1 else None
    said = _named(_ANY, text, letters)
    if said:
        return min(said) if len(said) == 1 and mentioned <= said else None
    return min(mentioned) if len(mentioned) == 1 and not _DENIED_TEXT.search(text) else None


def _mentions(text: str, options: Sequence[str]) -> tuple[str, set[str]]:
    """The letters of the options whose texts occur, the longest first ("black cat" is no "cat"), and the text with a
    mask where they stood."""
    found = set()
    for option in sorted({option.strip().rstrip(".").lower() for option in options}, key=len, reverse=True):
        if not option or re.fullmatch(r"[a-z]", option):  # a letter that is an option's text means the option's letter
            continue
        words = r"\s+".join(re.escape(word) for word in option.split())
        text, count = re.subn(rf"(?<!\w)(?<!\d[.,]){words}(?!\w)(?![.,]\d)", _MASK, text, flags=re.IGNORECASE)
        if count:
            same = (i for i, each in enumerate(options) if each.strip().rstrip(".").lower() == option)
            found |= {ascii_uppercase[i] for i in same}
    return text, found


def _named(pattern: re.Pattern, text: str, letters: str) -> set[str]:
    """The options' letters that a pattern finds and that are not denied."""
    found = set()
    for match in pattern.finditer(text):
        number = next(i for i, group in enumerate(match.groups(), start=1) if group)
        letter = match[number].upper()
        if letter in letters and not _DENIED_LETTER.search(text[: match.start(number)]):
            found.add(letter)
    return found
