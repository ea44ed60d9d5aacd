"""A tokenizer that knows the drawn world's words and says so of every other word."""

from transformers import PreTrainedTokenizerFast

from vfm_course.world.captions import vocabulary

CONTEXT = 24  # tokens of a caption at most, begin and end included
# The end token must not be number 2: CLIPTextModel treats that number as a mark of old configurations.
SPECIAL = ["<pad>", "<begin>", "<unknown>", "<end>"]


def world_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, lower case, `<begin>` and `<end>` around; a word it does not know becomes `<unknown>`."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = {word: number for number, word in enumerate(SPECIAL + vocabulary())}
    core = Tokenizer(models.WordLevel(words, unk_token="<unknown>"))
    core.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase(), normalizers.Replace(".", "")])
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="<begin> $A <end>", special_tokens=[("<begin>", words["<begin>"]), ("<end>", words["<end>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token="<begin>",
        unk_token="<unknown>",
        eos_token="<end>",
        model_max_length=CONTEXT,
        padding_side="right",
        model_input_names=["input_ids", "attention_mask"],
    )
