"""The pocket language model's tokenizer: one token a word of the drawn world, and the marks that stand for an image."""

from transformers import PreTrainedTokenizerFast

from vfm_course.world.placed_text import words

IMAGE, AROUND = "<image>", "<fake_token_around_image>"
# The end token must not be number 2: CLIPTextModel treats that number as a mark of old configurations.
SPECIAL = ["<pad>", "<begin>", "<unknown>", "<end>", IMAGE, AROUND]
PAD, BEGIN, UNKNOWN, END, IMAGE_ID, AROUND_ID = range(len(SPECIAL))
MARKS = (AROUND_ID, IMAGE_ID, AROUND_ID)  # where Flamingo's text says that an image stands


def marked(prompt: list[int]) -> list[int]:
    """A prompt's token numbers as Idefics' processor makes them: the image's three marks behind `<begin>`."""
    return [*prompt[:1], *MARKS, *prompt[1:]]


def vlm_tokenizer(begin: bool = True, padding_side: str = "left") -> PreTrainedTokenizerFast:
    """One token a word, lower case; a word it does not know becomes `<unknown>`.

    Args:
        begin: put `<begin>` in front of every text; without it the prompt says itself where the text begins, as where
            the image comes before it.
        padding_side: left to generate from a batch of prompts.
    """
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

    numbers = {word: number for number, word in enumerate(SPECIAL + words())}
    core = Tokenizer(models.WordLevel(numbers, unk_token="<unknown>"))
    core.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    if begin:
        core.post_processor = processors.TemplateProcessing(single="<begin> $A", special_tokens=[("<begin>", BEGIN)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token="<begin>",
        unk_token="<unknown>",
        eos_token="<end>",
        padding_side=padding_side,
        model_input_names=["input_ids", "attention_mask"],
    )
    marks = [AddedToken(mark, normalized=False, special=True) for mark in (IMAGE, AROUND)]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    return tokenizer
