"""Tokenizers of a few words."""

import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = ["a", "cat", "car", "photo", "of", "banana", "what", "is", "this", "question", "answer", "user", "assistant"]
SIGNS = [".", "?", ":", ","]


def word_level(*special: str, named: dict[str, str] | None = None, start: bool = False, **keywords):
    """A tokenizer that knows `WORDS`; `named` gives it attributes such as image_token; `start` puts <s> in front."""
    base = ["<pad>", "<unk>", "<s>", "</s>"]
    extra = [*special, *(named or {}).values()]
    vocabulary = {word: number for number, word in enumerate([*base, *WORDS, *SIGNS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    if start:
        inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 2)])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        extra_special_tokens=named or {}, **keywords,
    )  # fmt: skip
    tokenizer.add_tokens([token for token in extra if token not in tokenizer.get_vocab()], special_tokens=True)
    return tokenizer
