"""What a person types for a model to read: prompts' templates, and words that a pocket model cannot read."""

import re

from vfm_course.errors import UserError

TEMPLATE = "a photo of {}"


def check_template(template: str) -> None:
    """Is there one place for the label?

    Raises:
        UserError: there is none, there are several, or there are other braces.
    """
    if template.count("{}") != 1 or re.search("[{}]", template.replace("{}", "")):
        raise UserError(f"The template {template!r} must hold {{}} once, where the label goes, and no other braces.")


def unknown_words(text: str, known: frozenset[str] | None) -> list[str]:
    """The words of a text that are not among the known ones (`Loaded.known_words`; None knows all), each once."""
    if known is None:
        return []
    return list(dict.fromkeys(word for word in re.findall(r"\w+", text.lower()) if word not in known))
