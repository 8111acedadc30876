"""Filling shards with clips, one video after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.models.codec import Codec
from longtake.train.data.cutting import Cut, clips_of, encode
from longtake.train.data.ledger import Ledger, Skipped
from longtake.train.data.sources import Source
from longtake.train.shard_file import write_clips
from longtake.train.store import UNGRADED, VALIDATION, ClipRecord, Segment, shard_names

__all__ = ["ShardMaker"]


class ShardMaker:
    """Cuts and encodes the videos of a ledger into shards that are not there yet."""

    def __init__(
        self,
        ledger: Ledger,
        sources: Mapping[str, Source],
        codec: Codec,
        progress: Callable[[int, int], None],
    ) -> None:
        self.ledger, self.sources, self.codec, self.progress = ledger, sources, codec, progress
        self.latents: list[Tensor] = []
        self.records: list[ClipRecord] = []
        self.skipped: list[Skipped] = []

    def set_aside(self) -> None:
        """Make the validation shard; nothing when it is there."""
        ledger = self.ledger
        if (ledger.folder / f"{VALIDATION}.json").exists():
            return
        for key in ledger.validation:
            for cut in self._cuts(key):
                self._add(key, cut, "held_out")
                if len(self.records) == ledger.config.validation_clips:
                    break
            if len(self.records) == ledger.config.validation_clips:
                break
        self._write(VALIDATION, None)

    def train(self) -> None:
        """Make the training shards from where the last one ended."""
        ledger = self.ledger
        video, clip = ledger.place()
        for index in range(video, len(ledger.train)):
            self.progress(index, len(ledger.train))
            key = ledger.train[index]
            for cut in self._cuts(key, clip if index == video else 0):
                self._add(key, cut, "train")
                if len(self.records) == ledger.config.shard_clips:
                    self._write(self._next_name(), (index, cut.number + 1))
        self._write(self._next_name(), (len(ledger.train), 0))
        self.progress(len(ledger.train), len(ledger.train))

    def _cuts(self, key: str, first: int = 0) -> Iterator[Cut]:
        """The clips of a video from number `first` on; what is wrong with it is noted."""
        source, config = self.sources.get(key), self.ledger.config
        if source is None:
            self.skipped.append(Skipped(key=key, reason="is not there any more"))
            return
        with source.opened() as path:
            try:
                for cut in clips_of(path, config, self.codec.temporal_stride):
                    if cut.number >= first:
                        yield cut
            except UserError as reason:
                self.skipped.append(Skipped(key=key, reason=_named(reason, path, key)))

    def _add(self, key: str, cut: Cut, split: str) -> None:
        self.latents.append(encode(cut.frames, self.codec))
        self.records.append(
            ClipRecord(
                level=UNGRADED,
                seed=cut.number,
                start=cut.start,
                jump=False,
                split=split,
                attributes={"video": key, "clip": cut.number},
                segments=(Segment(start=0, captions=self.sources[key].captions or ("",)),),
            )
        )

    def _next_name(self) -> str:
        return f"shard-{len(shard_names(self.ledger.folder)):06d}"

    def _write(self, name: str, following: tuple[int, int] | None) -> None:
        """Write what is held, if anything, with the place after it; skipped videos go with the shard."""
        if not self.records:
            return
        more = {"next": following, "skipped": [{"key": s.key, "reason": s.reason} for s in self.skipped]}
        write_clips(self.ledger.folder, name, torch.cat(self.latents), self.records, more)
        self.latents, self.records, self.skipped = [], [], []


def _named(reason: UserError, path: Path, key: str) -> str:
    """A reason that names the video as the user knows it."""
    return str(reason).replace(str(path), key).replace(f"video {path.name}", f"video {key}")
