"""Tokenizers: reading one from a folder, and making one for a closed list of words.

Folders are transformers'. What reads text is the `tokenizers` library, without transformers around it: see `umt5.py`.
Calls change nothing, so that several threads may share a tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from longtake.errors import UserError
from longtake.models.files import read_json

if TYPE_CHECKING:
    import tokenizers

__all__ = ["TOKENIZER_FILES", "Coded", "Tokenizer", "read_tokenizer", "word_tokenizer"]

TOKENIZER_FILES = WORDS_FILE, SETTINGS_FILE = ("tokenizer.json", "tokenizer_config.json")
MARKS_FILE = "special_tokens_map.json"
PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
NO_LIMIT = 10**30
"""What transformers writes for a tokenizer that does not say how much its model reads."""


class Coded(NamedTuple):
    """A text's tokens."""

    ids: list[int]
    """Of each token."""
    spans: list[tuple[int, int]]
    """Which characters of the text each token stands for; (0, 0) for a mark."""


class Tokenizer:
    """Text to token ids. `settings` has the words of transformers' `tokenizer_config.json`."""

    def __init__(self, backend: tokenizers.Tokenizer, settings: Mapping[str, Any]) -> None:
        self.backend = backend
        self.settings = dict(settings)
        backend.no_padding()
        backend.no_truncation()

    def __len__(self) -> int:
        return int(self.backend.get_vocab_size())

    @property
    def max_length(self) -> int:
        """How many tokens its model reads, as far as it says so."""
        return int(self.settings.get("model_max_length", NO_LIMIT))

    @property
    def pad_id(self) -> int:
        """What a text is filled up with."""
        return self._id_of("pad_token") or 0

    @property
    def end_id(self) -> int | None:
        """What ends a text, if anything does."""
        return self._id_of("eos_token")

    @property
    def known_words(self) -> tuple[str, ...]:
        """The words of a tokenizer for a closed list of words, sorted; empty for one of free text."""
        from tokenizers import models

        if not isinstance(self.backend.model, models.WordLevel):
            return ()
        marks = {self._mark(role) for role in ("pad_token", "eos_token", "unk_token")}
        return tuple(sorted(set(self.backend.get_vocab()) - marks))

    def coded(self, text: str, max_length: int | None = None) -> Coded:
        """The tokens of a text with its marks; of a longer one than `max_length`, the first ones and the marks."""
        tokens = self.backend.encode(text, add_special_tokens=False)
        if max_length is not None:
            tokens.truncate(max(0, max_length - self.backend.num_special_tokens_to_add(False)))
        tokens = self.backend.post_process(tokens)
        return Coded(list(tokens.ids), list(tokens.offsets))

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """Words of a text that it does not know, in order, each once."""
        tokens = self.backend.encode(text, add_special_tokens=False)
        unknown = self._id_of("unk_token")
        spans = zip(tokens.ids, tokens.offsets, strict=True)
        return tuple(dict.fromkeys(text[a:b] for token, (a, b) in spans if token == unknown))

    def as_bytes(self) -> bytes:
        """All that decides how it reads."""
        return str(self.backend.to_str()).encode()

    def save(self, folder: Path) -> None:
        """Write the two files of a tokenizer's folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.backend.save(str(folder / WORDS_FILE))
        (folder / SETTINGS_FILE).write_text(json.dumps(self.settings, indent=2) + "\n", encoding="utf-8")

    def _mark(self, role: str) -> str | None:
        """The token that has this role; transformers writes its text, or a table with its text."""
        token = self.settings.get(role)
        text = token.get("content") if isinstance(token, dict) else token
        return None if text is None else str(text)

    def _id_of(self, role: str) -> int | None:
        text = self._mark(role)
        return None if text is None else self.backend.token_to_id(text)


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a folder; UserError when it is incomplete or damaged."""
    from tokenizers import Tokenizer as Backend

    for file in TOKENIZER_FILES:
        if not (folder / file).is_file():
            raise UserError(f"{folder / file} is missing; the model's folder is incomplete")
    settings = read_json(folder / SETTINGS_FILE)
    if (folder / MARKS_FILE).is_file():  # older folders name their marks there
        settings = read_json(folder / MARKS_FILE) | settings
    try:
        backend = Backend.from_file(str(folder / WORDS_FILE))
    except Exception as reason:  # noqa: BLE001 (the library raises nothing narrower)
        raise UserError(f"the tokenizer in {folder} cannot be read ({reason}); restore its files") from None
    return Tokenizer(backend, settings)


def word_tokenizer(words: Iterable[str], max_length: int) -> Tokenizer:
    """A tokenizer of whole words: lower case, punctuation apart, an end mark after every prompt."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import models, normalizers, pre_tokenizers, processors

    vocabulary = {token: index for index, token in enumerate((PAD, END, UNKNOWN))}
    for word in sorted({*(word.lower() for word in words), ",", "."}):
        vocabulary.setdefault(word, len(vocabulary))
    backend = Backend(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    backend.add_special_tokens([PAD, END, UNKNOWN])
    backend.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, vocabulary[END])]
    )
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "pad_token": PAD,
        "eos_token": END,
        "unk_token": UNKNOWN,
    }
    return Tokenizer(backend, settings)
