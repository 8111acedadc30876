"""The text encoder: UMT5 behind one call, with the embeddings kept on disk if wanted.

The same class serves mini's own two-layer encoder over a closed list of words and the UMT5-XXL of Wan 2.1; both are
transformers folders, `text_encoder/` and `tokenizer/`. As in Wan, every prompt becomes `max_length` rows and the rows
beyond its last token are exactly zero; the generator attends to all of them.

Shapes: B prompts, L token rows, D text channels.
"""

from __future__ import annotations

import hashlib
import html
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from longtake.errors import UserError
from longtake.models.home import cache_folder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, UMT5EncoderModel

__all__ = ["EmbeddingCache", "TextEncoder", "Tokens", "clean"]

ENCODER_FOLDER = "text_encoder"
TOKENIZER_FOLDER = "tokenizer"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
MAX_LENGTH = 512


class Tokens(NamedTuple):
    """Padded token ids and their mask (1 where a token is), each `[B, L]` int64."""

    input_ids: Tensor
    mask: Tensor


def clean(prompt: str) -> str:
    """A prompt as Wan's tokenizer wants it: HTML entities resolved, white space collapsed."""
    return " ".join(html.unescape(html.unescape(prompt)).split())


class EmbeddingCache:
    """Embeddings of prompts on disk, one small safetensors file each. A damaged entry is made again."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "text"

    def read(self, key: str) -> Tensor | None:
        """The rows `[tokens, D]` kept under `key`, or None."""
        path = self.folder / f"{key}.safetensors"
        if not path.exists():
            return None
        try:
            return load_file(path)["rows"]
        except (SafetensorError, KeyError):
            path.unlink(missing_ok=True)
            return None

    def write(self, key: str, rows: Tensor) -> None:
        """Keep the rows `[tokens, D]`; the file appears whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / f"{key}.{os.getpid()}.part"
        save_file({"rows": rows.contiguous()}, unfinished)
        unfinished.replace(self.folder / f"{key}.safetensors")


class TextEncoder(nn.Module):
    """Prompts to `[B, L, D]`. Trainable as any module; `encode` is the frozen form that generation uses."""

    def __init__(
        self,
        encoder: UMT5EncoderModel,
        tokenizer: PreTrainedTokenizerFast,
        *,
        max_length: int = MAX_LENGTH,
        cache: EmbeddingCache | None = None,
    ) -> None:
        super().__init__()
        if max_length < 1:
            raise UserError(f"text length {max_length} given; use at least 1 token")
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.cache = cache
        self._fingerprint: str | None = None

    @classmethod
    def small(
        cls,
        words: Iterable[str],
        *,
        d_model: int = 128,
        layers: int = 2,
        heads: int = 4,
        d_ff: int = 256,
        max_length: int = 64,
    ) -> TextEncoder:
        """A new encoder for a closed list of words, with weights drawn from torch's generator."""
        from transformers import UMT5Config, UMT5EncoderModel

        if d_model % heads:
            raise UserError(f"text width {d_model} is not a multiple of its {heads} heads")
        tokenizer = word_tokenizer(words, max_length)
        config = UMT5Config(
            vocab_size=len(tokenizer),
            d_model=d_model,
            d_kv=d_model // heads,
            d_ff=d_ff,
            num_layers=layers,
            num_heads=heads,
            dropout_rate=0.0,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
        return cls(UMT5EncoderModel(config), tokenizer, max_length=max_length)

    @classmethod
    def load(
        cls, folder: Path, *, max_length: int | None = None, cache: EmbeddingCache | None = None
    ) -> TextEncoder:
        """Read `text_encoder/` and `tokenizer/` of a model's folder; weights become float32 and frozen.

        `max_length` defaults to what the tokenizer was saved with, at most 512. Raises UserError when a folder is
        missing or damaged.
        """
        from transformers import PreTrainedTokenizerFast, UMT5EncoderModel

        for part in (
            f"{ENCODER_FOLDER}/config.json",
            *(f"{TOKENIZER_FOLDER}/{file}" for file in TOKENIZER_FILES),
        ):
            if not (folder / part).is_file():
                raise UserError(f"{folder / part} is missing; the model's folder is incomplete")
        try:
            tokenizer = PreTrainedTokenizerFast.from_pretrained(
                folder / TOKENIZER_FOLDER, local_files_only=True
            )
            encoder = UMT5EncoderModel.from_pretrained(
                folder / ENCODER_FOLDER, dtype=torch.float32, local_files_only=True
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as reason:
            raise UserError(
                f"the text encoder in {folder} cannot be read ({reason}); restore its files"
            ) from None
        length = max_length or min(int(tokenizer.model_max_length), MAX_LENGTH)
        return cls(encoder.eval().requires_grad_(False), tokenizer, max_length=length, cache=cache)

    def save(self, folder: Path, *, dtype: torch.dtype | None = None) -> None:
        """Write `text_encoder/` and `tokenizer/` below `folder`, in `dtype` if given."""
        state = {name: value.to(dtype or value.dtype) for name, value in self.encoder.state_dict().items()}
        self.encoder.save_pretrained(folder / ENCODER_FOLDER, state_dict=state)
        self.tokenizer.save_pretrained(folder / TOKENIZER_FOLDER)

    @property
    def dim(self) -> int:
        """Channels of an embedding row."""
        return int(self.encoder.config.d_model)

    @property
    def known_words(self) -> tuple[str, ...]:
        """The vocabulary without special tokens, sorted; for mini these are the words it was trained on."""
        special = set(self.tokenizer.all_special_tokens)
        return tuple(sorted(set(self.tokenizer.get_vocab()) - special))

    def unknown_words(self, prompt: str) -> tuple[str, ...]:
        """Words of the prompt that the tokenizer does not know, in order, each once."""
        text = clean(prompt)
        coded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        unknown = self.tokenizer.unk_token_id
        spans = zip(coded["input_ids"], coded["offset_mapping"], strict=True)
        return tuple(dict.fromkeys(text[a:b] for token, (a, b) in spans if token == unknown))

    def tokenize(self, prompts: Sequence[str]) -> Tokens:
        """Token ids padded to `max_length`; longer prompts are cut, their end mark kept."""
        coded = self.tokenizer(
            [clean(prompt) for prompt in prompts],
            padding="max_length",
            truncation=True,
            max_length=self.max_length,
            return_tensors="pt",
        )
        device = self.encoder.device
        return Tokens(coded["input_ids"].to(device), coded["attention_mask"].to(device))

    def forward(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """`[B, L]` ids and mask to `[B, L, D]`, zero where the mask is."""
        hidden: Tensor = self.encoder(input_ids=input_ids, attention_mask=mask).last_hidden_state
        return hidden * mask[..., None].to(hidden.dtype)

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Tensor:
        """`[B, L, D]` of the prompts; each is encoded by itself, so its bytes depend on nothing beside it."""
        return torch.cat([self._encode_one(prompt) for prompt in prompts])

    def _encode_one(self, prompt: str) -> Tensor:
        self._warn_if_cut(prompt)
        if self.cache is None:
            return self(*self.tokenize([prompt]))
        key = hashlib.sha256(f"{self.fingerprint}\n{self.max_length}\n{clean(prompt)}".encode()).hexdigest()
        rows = self.cache.read(key)
        if rows is None:
            tokens = self.tokenize([prompt])
            rows = self(*tokens)[0, : int(tokens.mask.sum())].cpu()
            self.cache.write(key, rows)
        padded = rows.new_zeros(1, self.max_length, rows.shape[1])
        padded[0, : rows.shape[0]] = rows
        return padded.to(self.encoder.device)

    def _warn_if_cut(self, prompt: str) -> None:
        length = len(self.tokenizer(clean(prompt), verbose=False)["input_ids"])
        if length > self.max_length:
            warnings.warn(
                f"the prompt has {length} tokens; only the first {self.max_length} are read: shorten it",
                stacklevel=2,
            )

    @property
    def fingerprint(self) -> str:
        """SHA-256 over weights and tokenizer; taken once, so ask for it only of a frozen encoder."""
        if self._fingerprint is None:
            digest = hashlib.sha256(self.tokenizer.backend_tokenizer.to_str().encode())
            for name, value in sorted(self.encoder.state_dict().items()):
                digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
                digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint


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
