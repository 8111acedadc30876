"""Streaming long tuning (LongLive, arXiv 2509.22622): train on what comes late in a long take, where drift shows.

One live rollout goes on from step to step. Each step makes the next frames beside the living cache, and the scores
judge the newest window, of which only the new frames are trained. Once in a sequence the prompt changes: the policy's
recache rebuilds the window under the new prompt, and the teacher is asked under it too. When a sequence is long enough
a new one begins. The cache keeps keys and values of earlier weights, as published.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from longtake.memory import Memory
from longtake.memory.recache import RecachedWindow
from longtake.models.codec import Codec
from longtake.train.config import Stage
from longtake.train.counters import numbers
from longtake.train.crops import Captions
from longtake.train.device import Compute
from longtake.train.distil.clips import Source, first_captions
from longtake.train.distil.config import DistilConfig
from longtake.train.distil.dmd import Generated
from longtake.train.distil.self_forcing import SelfForcing
from longtake.train.distil.specs import LongTuningSpec
from longtake.train.distil.stage import Roles

__all__ = ["LongTuning", "image_latent"]


class Script(NamedTuple):
    """What a sequence is made of, drawn from its number."""

    prompts: tuple[str, str]
    switch: int
    """Latent frame from which the second prompt is in force."""


class LongTuning(SelfForcing):
    """The recipe. See `recipe.Adversarial`; a process has one live rollout."""

    def __init__(
        self, spec: LongTuningSpec, config: DistilConfig, clips: Source, roles: Roles, compute: Compute
    ) -> None:
        super().__init__(spec, config, clips, roles, compute, name="long-tuning")
        self.long, self.number, self.count = spec, 0, 0
        self.memory: Memory = self.rollout.start()
        self.recent = torch.zeros(1, clips.latent_shape[0], 0, *clips.latent_shape[1:])
        """Latents of the newest frames, at most two windows."""
        self._prompt = ""
        self._made: dict[int, Generated] = {}
        """The windows of the current update, by draw."""

    def generate(self, stage: Stage, step: int, *, trained: bool) -> Generated:
        """The newest window. The student's draw makes it with gradients, and the critic learns from the same one."""
        if step in self._made:
            return self._made[step]
        made = self._advance(stage, step, trained)
        update = step // self.parts
        self._made = {draw: kept for draw, kept in self._made.items() if draw // self.parts == update}
        self._made[step] = made._replace(latents=made.latents.detach())
        return made

    def _advance(self, stage: Stage, step: int, trained: bool) -> Generated:
        if self.count and self.count + self.long.advance > self.long.length:
            self.number, self.count, self.memory = self.number + 1, 0, self.rollout.start()
            self.recent = self.recent[:, :, :0]
        new = self.long.advance if self.count else stage.frames
        script = self.script(stage, self.number)
        prompt = script.prompts[self.count >= script.switch]
        fresh = self._roll_on(prompt, new, step, trained)
        seen = torch.cat([self.recent.to(fresh), fresh], dim=2)
        self.count += new
        self.recent = seen.detach().cpu()[:, :, -2 * stage.frames :]
        return self._window(seen, stage.frames, new, prompt)

    def script(self, stage: Stage, number: int) -> Script:
        """The sequence of a number: two prompts, and where the second begins."""
        pair = [
            first_captions(self.clips.draw(stage, 2 * number + i, "sequence").captions).texts[0][0]
            for i in range(2)
        ]
        places = range(stage.frames, self.long.length - self.long.advance + 1, self.long.advance)
        if not self.long.switch or not places:
            return Script((pair[0], pair[0]), self.long.length)
        rng = numbers(self.config.seed, "switch", number)
        return Script((pair[0], pair[1]), places[int(rng.integers(len(places)))])

    def _roll_on(self, prompt: str, new: int, step: int, trained: bool) -> Tensor:
        noise, skipped = self._source("sequence", self.number), self.skipped("sequence", step)
        rows = self.student.read([prompt])
        text = self.rollout.read(rows)
        if prompt == self._prompt and isinstance(self.memory, RecachedWindow):
            self.memory.adopt(text)
        self._prompt, blocks = prompt, []
        for first in range(self.count, self.count + new, self.block):
            block = range(first, first + self.block)
            made = self.rollout.block(self.memory, block, rows, text, noise, skipped=skipped, trained=trained)
            self.rollout.remember(self.memory, block, made, text, noise)
            blocks.append(made)
        return torch.cat(blocks, dim=2)

    def _window(self, seen: Tensor, frames: int, new: int, prompt: str) -> Generated:
        window = seen[:, :, -frames:]
        counts = torch.arange(window.shape[2], device=seen.device) >= window.shape[2] - new
        codec = self.roles.codec
        if self.long.image_latent and not counts[0] and codec is not None:
            first = image_latent(codec, seen.detach(), seen.shape[2] - frames)
            window = torch.cat([first.to(window), window[:, :, 1:]], dim=2)
        captions = Captions(texts=((prompt,),), segment=np.zeros((1, window.shape[2]), dtype=np.int64))
        return Generated(window, captions, counts[None])

    def state(self) -> dict[str, Tensor]:
        """The live rollout."""
        prompt = torch.frombuffer(bytearray(self._prompt.encode() or b"\0"), dtype=torch.uint8)
        named = {
            "place": torch.tensor([self.number, self.count]),
            "prompt": prompt.clone(),
            "recent": self.recent.clone(),
        }
        return named | {f"memory.{name}": value for name, value in self.memory.snapshot().items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up the live rollout."""
        self.number, self.count = state["place"].tolist()
        self._prompt = bytes(state["prompt"].tolist()).decode().rstrip("\0")
        self.recent, self._made = state["recent"].clone(), {}
        self.memory = self.rollout.start()
        memory = "memory."
        self.memory.restore(
            {name.removeprefix(memory): value for name, value in state.items() if name.startswith(memory)}
        )


def image_latent(codec: Codec, latents: Tensor, index: int) -> Tensor:
    """The last pixel frame of latent frame `index`, encoded by itself: `[1, C, 1, h, w]`.

    A codec's first latent frame holds one pixel frame; a window that begins in mid-stream must begin with such a one
    for a teacher that was trained on whole clips.
    """
    device = next(codec.parameters()).device
    pixels = codec.decode_float(latents[:, :, : index + 1].to(device), codec.start())
    return codec.encode(pixels[:, :, -1:], codec.start())
