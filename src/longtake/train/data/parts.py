"""What preparing takes of a model: its codec, and its text encoder with the embeddings kept in the set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from longtake.errors import UserError
from longtake.models.codec import Codec
from longtake.models.codecs import open_codec
from longtake.models.device import compute_dtype
from longtake.models.hub import Checkpoint
from longtake.models.text import EmbeddingCache, TextEncoder

__all__ = ["TEXT", "codec_of", "store_embeddings", "text_encoder_of"]

TEXT = "text"
"""Folder of a set with the embeddings of its captions; an `EmbeddingCache`."""


def codec_of(checkpoint: Checkpoint, device: torch.device) -> Codec:
    """The codec of a model on disk."""
    path = checkpoint.part("codec").path
    return open_codec(path, dtype=compute_dtype().dtype, allow_pt=True).to(device).eval()


def text_encoder_of(checkpoint: Checkpoint, data: Path, device: torch.device) -> TextEncoder:
    """The text encoder of a model on disk, its embeddings kept in the set `data`."""
    weights = checkpoint.part("text_encoder").path
    return TextEncoder.from_files(
        weights,
        checkpoint.part("tokenizer").path,
        allow_pt=True,
        cache=EmbeddingCache(data / TEXT),
        dtype=torch.float32 if weights.is_dir() else torch.bfloat16,
        device=device,
    )


def store_embeddings(
    text: TextEncoder, captions: Iterable[str], progress: Callable[[int, int], None]
) -> None:
    """Embed every different caption, and the empty one that guidance needs; those that are there are kept.

    Raises UserError when the disk is full.
    """
    different = list(dict.fromkeys(["", *captions]))
    for done, caption in enumerate(different):
        progress(done, len(different))
        try:
            text.encode([caption])
        except OSError as reason:
            raise UserError(
                f"an embedding cannot be written ({reason.strerror}); free some space and start again"
            ) from None
    progress(len(different), len(different))
