"""Tokenizers: reading one from a folder, and making one for a closed list of words."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.errors import UserError

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerFast

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
_ALONE = threading.Lock()


def read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer in a folder; UserError when it is incomplete or damaged."""
    from transformers import PreTrainedTokenizerFast

    for file in TOKENIZER_FILES:
        if not (folder / file).is_file():
            raise UserError(f"{folder / file} is missing; the model's folder is incomplete")
    try:
        return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, RuntimeError) as reason:
        raise UserError(f"the tokenizer in {folder} cannot be read ({reason}); restore its files") from None


def word_tokenizer(words: Iterable[str], max_length: int) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words: lower case, punctuation apart, an end mark after every prompt."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: index for index, token in enumerate((PAD, END, UNKNOWN))}
    for word in sorted({*(word.lower() for word in words), ",", "."}):
        vocabulary.setdefault(word, len(vocabulary))
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, vocabulary[END])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        model_max_length=max_length,
    )


def tokenized(tokenizer: PreTrainedTokenizerFast, text: str | list[str], **how: Any) -> BatchEncoding:
    """Call a tokenizer. It keeps how it was last called, so that calls from several threads wait for each other."""
    with _ALONE:
        return tokenizer(text, **how)


def known_words(tokenizer: PreTrainedTokenizerFast) -> tuple[str, ...]:
    """The words of a tokenizer for a closed list of words, sorted; empty for one of free text."""
    from tokenizers import models

    if not isinstance(tokenizer.backend_tokenizer.model, models.WordLevel):
        return ()
    return tuple(sorted(set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens)))


def unknown_words(tokenizer: PreTrainedTokenizerFast, text: str) -> tuple[str, ...]:
    """Words of a text that the tokenizer does not know, in order, each once."""
    coded = tokenized(tokenizer, text, add_special_tokens=False, return_offsets_mapping=True)
    unknown = tokenizer.unk_token_id
    spans = zip(coded["input_ids"], coded["offset_mapping"], strict=True)
    return tuple(dict.fromkeys(text[a:b] for token, (a, b) in spans if token == unknown))
