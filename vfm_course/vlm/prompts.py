"""One model, many prompts: what differs between captioning, VQA, dialogue and grounding is the text alone.

The words are BLIP-2's ("Question: … Answer:"). Each answer ends with `<end>`; a dialogue goes on behind it.
"""

from collections.abc import Sequence

CAPTION = "Caption:"  # -> a red cat left of a blue car
WHAT = "What is there?"  # a question: the cat is red at 3 12, … in sixteenths of the frame from the top left corner
PICTURE = "Picture:"  # begins what the language model is told in words, as `placed_text` writes it
END = "<end>"


def question_prompt(text: str, before: Sequence[tuple[str, str]] = ()) -> str:
    """A question, in a dialogue behind the questions and answers before it."""
    said = "".join(f"Question: {asked} Answer: {answer}{END}" for asked, answer in before)
    return f"{said}Question: {text} Answer:"
