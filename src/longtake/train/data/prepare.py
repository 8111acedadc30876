"""From a folder of videos to a stored set: found, checked, cut, encoded, written shard by shard.

A video that cannot be decoded is listed and skipped; everything else that is wrong is said before the first frame is
read. The command may be stopped at any moment and goes on after the last finished shard.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from longtake.errors import UserError
from longtake.measure.cuts import CutFinder
from longtake.models.codec import Codec
from longtake.models.hub import Checkpoint
from longtake.models.patch_codec import PatchCodec
from longtake.train.data.config import DataConfig
from longtake.train.data.ledger import Ledger, Skipped
from longtake.train.data.making import ShardMaker
from longtake.train.data.parts import codec_of, store_embeddings, text_encoder_of
from longtake.train.data.sources import Source, find_sources
from longtake.train.store import VALIDATION

__all__ = ["Summary", "prepare"]

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, of how much."""
LEAST = 2
"""Clips that a training set has at least."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What a set holds now."""

    videos: int
    """Videos that were found."""
    clips: int
    """Training clips."""
    validation_clips: int
    """Clips that are set aside."""
    shards: int
    """Training shards."""
    skipped: tuple[Skipped, ...]
    """Videos that could not be used, or not as a whole."""


def prepare(
    source: Path,
    out: Path,
    config: DataConfig,
    checkpoint: Checkpoint,
    *,
    device: torch.device,
    with_text: bool = True,
    progress: Progress = lambda what, done, total: None,
) -> Summary:
    """Make the set in `out`, or go on with it.

    Raises UserError, before anything is decoded, for a folder without videos or with a single one, and for videos
    without a caption; later for a full disk, where what is finished stays, and when no set comes of the videos.
    """
    sources = captioned(find_sources(source), config)
    if len(sources) < 2 and config.validation_clips:
        raise UserError(
            f"{source} holds 1 video; training needs at least 2, one of them set aside to measure with: "
            "add videos, or give --validation 0"
        )
    if config.shots:
        CutFinder()  # says what is missing before the first frame is decoded
    ledger = Ledger.open(out, config, [each.key for each in sources])
    if with_text:
        captions = [caption for each in sources for caption in each.captions]
        text = text_encoder_of(checkpoint, out, device)
        store_embeddings(text, captions, lambda done, total: progress("captions", done, total))
    codec = codec_of(checkpoint, device)
    keep_codec(codec, out)
    by_key = {each.key: each for each in sources}
    maker = ShardMaker(ledger, by_key, codec, lambda done, total: progress("videos", done, total))
    maker.set_aside()
    maker.train()
    made = summary(ledger, len(sources), maker.skipped)
    if made.clips < LEAST:
        why = f"; {made.skipped[0].reason}" if made.skipped else ""
        raise UserError(
            f"{source} gives {made.clips} training clips, at least {LEAST} are needed: add videos, or make clips "
            f"shorter with --latent-frames{why}"
        )
    return made


def captioned(sources: Sequence[Source], config: DataConfig) -> list[Source]:
    """The videos to use, as the config wants those without a caption. Raises UserError when it refuses them."""
    silent = [each.key for each in sources if not each.captions]
    if silent and config.uncaptioned == "refuse":
        raise UserError(
            f"{len(silent)} of {len(sources)} videos have no caption, first {silent[0]}; write a text file of the "
            "same name beside each, or one captions.csv, or give --uncaptioned skip or empty"
        )
    if config.uncaptioned == "empty":
        return list(sources)
    spoken = [each for each in sources if each.captions]
    if not spoken:
        raise UserError("no video has a caption; write a text file of the same name beside each")
    return spoken


def keep_codec(codec: Codec, out: Path) -> None:
    """Put mini's codec beside the clips, as sets of toybox have it: sample sheets are decoded with it."""
    if isinstance(codec, PatchCodec) and not (out / "codec").exists():
        unfinished = out / "codec.part"
        shutil.rmtree(unfinished, ignore_errors=True)
        codec.save_pretrained(unfinished)
        unfinished.replace(out / "codec")


def summary(ledger: Ledger, videos: int, more: Sequence[Skipped] = ()) -> Summary:
    """What the set of a ledger holds, and what was left out; `more` are not in a shard yet."""
    sidecars, aside = ledger.sidecars(), ledger.folder / f"{VALIDATION}.json"
    return Summary(
        videos=videos,
        clips=sum(len(sidecar["clips"]) for sidecar in sidecars),
        validation_clips=len(json.loads(aside.read_text())["clips"]) if aside.exists() else 0,
        shards=len(sidecars),
        skipped=(*ledger.skipped(), *more),
    )
