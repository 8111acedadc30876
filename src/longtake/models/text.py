"""The text encoder: UMT5 behind one call, with the embeddings kept on disk if wanted.

The same class serves mini's own two-layer encoder over a closed list of words and the UMT5-XXL of Wan 2.1; both are
transformers folders, `text_encoder/` and `tokenizer/`. As in Wan, every prompt becomes `max_length` rows and the rows
beyond its last token are exactly zero; the generator attends to all of them.

Shapes: B prompts, L token rows, D text channels.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longtake.errors import UserError
from longtake.models.folder import TRANSFORMERS_STEM, save_folder
from longtake.models.network import TextNetwork
from longtake.models.prompt import Prompt, clean, parse
from longtake.models.residence import Offload, Residence, move
from longtake.models.text_cache import EmbeddingCache, computed_on
from longtake.models.text_mix import Mixed, mixed, shares_of
from longtake.models.text_weights import EncoderFiles
from longtake.models.tokenizer import Tokenizer, read_tokenizer, word_tokenizer
from longtake.models.umt5 import UMT5Encoder, transformers_config

__all__ = ["EmbeddingCache", "Offload", "TextEncoder", "Tokens", "clean"]

ENCODER_FOLDER = "text_encoder"
TOKENIZER_FOLDER = "tokenizer"
MAX_LENGTH = 512


class Tokens(NamedTuple):
    """Padded token ids and their mask (1 where a token is), each `[B, L]` int64."""

    input_ids: Tensor
    mask: Tensor


class TextEncoder(nn.Module):
    """Prompts to `[B, L, D]`. Trainable as any module; `encode` is the frozen form that generation uses."""

    def __init__(
        self,
        encoder: UMT5Encoder,
        tokenizer: Tokenizer,
        *,
        max_length: int = MAX_LENGTH,
        cache: EmbeddingCache | None = None,
        files: EncoderFiles | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
        offload: Offload = "never",
    ) -> None:
        """`files`: where the weights can be had again; `dtype`, `device`: what they become and where, when in use."""
        super().__init__()
        if max_length < 1:
            raise UserError(f"text length {max_length} given; use at least 1 token")
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.cache = cache
        self.residence = Residence(
            files=files,
            dtype=dtype,
            device=None if offload == "never" else device or encoder.device,
            offload=offload,
        )
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
        if d_model % heads:
            raise UserError(f"text width {d_model} is not a multiple of its {heads} heads")
        tokenizer = word_tokenizer(words, max_length)
        sizes = TextNetwork(
            vocab_size=len(tokenizer),
            d_model=d_model,
            d_kv=d_model // heads,
            d_ff=d_ff,
            num_layers=layers,
            num_heads=heads,
        )
        return cls(UMT5Encoder(sizes), tokenizer, max_length=max_length)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        max_length: int | None = None,
        cache: EmbeddingCache | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
        offload: Offload = "never",
    ) -> TextEncoder:
        """Read `text_encoder/` and `tokenizer/` of a model's folder; see `from_files`."""
        return cls.from_files(
            folder / ENCODER_FOLDER,
            folder / TOKENIZER_FOLDER,
            max_length=max_length,
            cache=cache,
            dtype=dtype,
            device=device,
            offload=offload,
        )

    @classmethod
    def from_files(
        cls,
        weights: Path,
        tokenizer: Path,
        *,
        config: Mapping[str, Any] | None = None,
        allow_pt: bool = False,
        max_length: int | None = None,
        cache: EmbeddingCache | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
        offload: Offload = "never",
    ) -> TextEncoder:
        """Read a transformers folder or Wan's file (`models_t5_umt5-xxl-enc-bf16.pth`), and a tokenizer's folder.

        config: sizes of a single file, UMT5-XXL's if not given. allow_pt: true only where a person named this very
        path. max_length: what the tokenizer was saved with, at most 512, if not given. dtype: weights stored in it stay
        on disk until they are used; others are converted. device: where it computes, and where embeddings come out.
        offload: with "after_use" the weights are checked now and loaded when the first prompt needs them. Weights are
        frozen. Raises UserError when something is missing, damaged or does not fit.
        """
        files = EncoderFiles.of(weights, config=config, allow_pt=allow_pt)
        words = read_tokenizer(tokenizer)
        encoder = files.blank()
        files.load_into(encoder)
        device = device or torch.device("cpu")
        move(encoder, "meta" if offload == "after_use" else device, dtype)
        length = max_length or min(words.max_length, MAX_LENGTH)
        return cls(
            encoder,
            words,
            max_length=length,
            cache=cache,
            files=files,
            dtype=dtype,
            device=device,
            offload=offload,
        )

    def save(self, folder: Path, *, dtype: torch.dtype | None = None) -> None:
        """Write `text_encoder/` and `tokenizer/` below `folder`, in `dtype` if given."""
        with self.residence.awake(self.encoder):
            config = transformers_config(self.encoder.sizes)
            save_folder(
                folder / ENCODER_FOLDER,
                config,
                self.encoder.state_dict(),
                stem=TRANSFORMERS_STEM,
                dtype=dtype,
            )
        self.tokenizer.save(folder / TOKENIZER_FOLDER)

    @property
    def device(self) -> torch.device:
        """Where it computes, and where embeddings come out."""
        return self.residence.device or self.encoder.device

    @property
    def dim(self) -> int:
        """Channels of an embedding row."""
        return self.encoder.sizes.d_model

    @property
    def known_words(self) -> tuple[str, ...]:
        """The words that an encoder for a closed list of words was trained on, sorted; empty for one of free text."""
        return self.tokenizer.known_words

    def unknown_words(self, prompt: str) -> tuple[str, ...]:
        """Words of the prompt that the tokenizer does not know, in order, each once."""
        return self.tokenizer.unknown_words(parse(prompt).text)

    def tokenize(self, prompts: Sequence[str]) -> Tokens:
        """Token ids padded to `max_length`, without weights; longer prompts are cut, their end mark kept."""
        return self._tokens([parse(prompt).text for prompt in prompts])

    def _tokens(self, texts: list[str]) -> Tokens:
        coded = [self.tokenizer.coded(text, self.max_length).ids for text in texts]
        filled = [ids + [self.tokenizer.pad_id] * (self.max_length - len(ids)) for ids in coded]
        lengths = torch.tensor([len(ids) for ids in coded], device=self.device)
        places = torch.arange(self.max_length, device=self.device)
        return Tokens(torch.tensor(filled, device=self.device), (places < lengths[:, None]).long())

    def forward(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """`[B, L]` ids and mask to `[B, L, D]`, zero where the mask is.

        No token sees what is masked, so the encoder runs on as many rows as the longest prompt has.
        """
        longest = max(1, int(mask.sum(1).max()))
        ids, seen = input_ids[:, :longest], mask[:, :longest]
        hidden: Tensor = self.encoder(ids, seen)
        hidden = hidden.masked_fill(seen[..., None] == 0, 0.0)
        return F.pad(hidden, (0, 0, 0, mask.shape[1] - longest))

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Tensor:
        """`[B, L, D]` of the prompts; each is encoded by itself, so its bytes depend on nothing beside it.

        Prompts may carry weights, see `prompt.py`. Weights are loaded only when the cache lacks a prompt.
        """
        asked = [parse(prompt) for prompt in prompts]
        for prompt in asked:
            self._warn_if_cut(prompt)
        known = [self._remembered(prompt) for prompt in asked]
        with self.residence.awake(self.encoder) if any(rows is None for rows in known) else nullcontext():
            return torch.cat([self._padded(prompt, rows) for prompt, rows in zip(asked, known, strict=True)])

    def encode_mix(self, mix: Mixed, *, keep_norm: bool = False) -> Tensor:
        """One embedding `[1, L, D]` of several prompts, each with its share; shares are brought to a sum of 1.

        keep_norm: see `text_mix.mixed`. Raises UserError for no prompts, negative shares, or none above 0.
        """
        shares = shares_of(mix, self.device)
        return mixed(self.encode([prompt for prompt, _ in mix]), shares, keep_norm=keep_norm)

    def _remembered(self, prompt: Prompt) -> Tensor | None:
        """The rows `[tokens, D]` of a prompt from the cache."""
        return None if self.cache is None else self.cache.read(self._key(prompt))

    def _computed(self, prompt: Prompt) -> Tensor:
        tokens = self._tokens([prompt.text])
        rows: Tensor = self(*tokens)[0, : int(tokens.mask.sum())]
        if self.cache is not None:
            self.cache.write(self._key(prompt), rows.cpu())
        return rows

    def _key(self, prompt: Prompt) -> str:
        parts = self.fingerprint, str(self.max_length), computed_on(self.device), prompt.text
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _padded(self, prompt: Prompt, rows: Tensor | None) -> Tensor:
        """`[1, L, D]`: the rows (computed now, if not known), weighted, and zeros."""
        if rows is None:
            rows = self._computed(prompt)
        if prompt.weights:
            weights = prompt.of_tokens(self.tokenizer.coded(prompt.text, self.max_length).spans)
            rows = rows * rows.new_tensor(weights)[:, None]
        padded = rows.new_zeros(1, self.max_length, rows.shape[1], device=self.device)
        padded[0, : rows.shape[0]] = rows
        return padded

    def _warn_if_cut(self, prompt: Prompt) -> None:
        length = len(self.tokenizer.coded(prompt.text).ids)
        if length > self.max_length:
            warnings.warn(
                f"the prompt has {length} tokens; only the first {self.max_length} are read: shorten it",
                stacklevel=3,
            )

    @property
    def fingerprint(self) -> str:
        """SHA-256 over weights and tokenizer; taken once, so ask for it only of a frozen encoder.

        Of weights from disk it is kept beside the embeddings, under the identity of the files, so that a known prompt
        needs neither the weights nor their hash again.
        """
        if self._fingerprint is None:
            words = self.tokenizer.as_bytes()
            identity = self.residence.identity
            if identity is None or self.cache is None:
                self._fingerprint = self._hashed(words)
            else:
                known_as = hashlib.sha256(words + f"{identity} {self.residence.dtype}".encode()).hexdigest()
                self._fingerprint = self.cache.fingerprint(known_as) or self._hashed(words)
                self.cache.remember(known_as, self._fingerprint)
        return self._fingerprint

    def _hashed(self, words: bytes) -> str:
        digest = hashlib.sha256(words)
        with self.residence.awake(self.encoder):
            for name, value in sorted(self.encoder.state_dict().items()):
                digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
                digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy())
        return digest.hexdigest()
