"""A take: one continuous video being made. Iterating it yields chunks.

The rollout loop is `Take._make_chunk`: plan, direct, denoise, decode, commit. What differs between published
ways of making long video is in the method, its memory and its sampler; nothing of that is here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtake.director import Director, Mix
from longtake.errors import UserError
from longtake.methods import Conditions, Kind, Method, MethodState, Plan
from longtake.models.codec import Codec, CodecState, frames_for_latents
from longtake.models.wan import TextContext
from longtake.sampling import OnStep
from longtake.sampling.noise import CounterNoise, NoiseSource, check_seed
from longtake.snapshot import Snapshot
from longtake.timeline import Receipt


@dataclass(kw_only=True, slots=True)
class Timings:
    """Wall-clock seconds that the parts of a chunk took."""

    text: float = 0.0
    """Encoding prompts."""
    denoise: float = 0.0
    """The sampler, with every network evaluation in it."""
    decode: float = 0.0
    """Latents to pixels."""
    commit: float = 0.0
    """Writing the chunk into the memory."""

    @property
    def total(self) -> float:
        return self.text + self.denoise + self.decode + self.commit


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A piece of finished video."""

    index: int
    """Number of the chunk, from 0."""
    frames: NDArray[np.uint8]
    """`[T, H, W, 3]`, RGB."""
    start_frame: int
    """Index of its first frame in the take."""
    fps: int
    """Frames a second."""
    receipts: tuple[Receipt, ...]
    """Receipts that changed at this chunk."""
    timings: Timings
    """Where the time went."""
    latents: Tensor
    """`[1, C, T, H, W]`, what the frames were decoded from (never trimmed)."""

    @property
    def start_time(self) -> float:
        """Media seconds of its first frame."""
        return self.start_frame / self.fps


class Observer(Protocol):
    """Watches a take: called with every chunk, before the consumer gets it."""

    def __call__(self, chunk: Chunk) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What a take is made with; shared by all takes of a pipeline and never changed by them."""

    name: str
    """Name of the model."""
    settings: Mapping[str, Any]
    """The user's choices, as plain values; with them a pipeline can build this engine again."""
    method: Method
    """How the latents are made."""
    codec: Codec
    """Latents to pixels."""
    read_text: Callable[[Mix], TextContext]
    """Prompts and their weights → what the backbone's cross-attention reads."""
    null_prompt: str | None
    """What guidance leads away from; None without guidance."""
    latent_shape: tuple[int, int, int]
    """`(C, H, W)` of a latent frame."""
    fps: int
    """Frames a second."""


@dataclass(kw_only=True, slots=True)
class TakeState:
    """All that changes while a take runs."""

    method: MethodState
    codec: CodecState
    director: Director
    position: int = 0
    """Latent frames that are final."""
    chunk: int = 0
    """Chunks that have been made."""
    shown: int = 0
    """Pixel frames that have been shown."""

    @classmethod
    def start(cls, engine: Engine, director: Director) -> TakeState:
        """The state before the first chunk."""
        method = engine.method.start(engine.latent_shape)
        return cls(method=method, codec=engine.codec.start(), director=director)


@dataclass(kw_only=True, slots=True)
class _Watch:
    """Adds the time since the last call to one of the timings."""

    timings: Timings = field(default_factory=Timings)
    last: float = field(default_factory=time.perf_counter)

    def lap(self, part: str) -> None:
        now = time.perf_counter()
        setattr(self.timings, part, getattr(self.timings, part) + now - self.last)
        self.last = now


class Take:
    """One continuous video being made; endless unless `num_frames` is given."""

    def __init__(
        self,
        engine: Engine,
        state: TakeState,
        *,
        seed: int,
        num_frames: int | None = None,
        noise: NoiseSource | None = None,
        observers: Sequence[Observer] = (),
        on_step: OnStep | None = None,
    ) -> None:
        if num_frames is not None and num_frames < 1:
            raise UserError(f"num_frames {num_frames} given; a video has at least 1 frame")
        self.engine = engine
        self.seed = check_seed(seed)
        self.num_frames = num_frames
        self._state = state
        self._noise = noise or CounterNoise(seed)
        self._observers = tuple(observers)
        self._on_step = on_step
        self._running = threading.Event()
        self._running.set()
        self._texts: dict[Mix, TextContext] = {}
        self._total = self._count_latents()

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        self._running.wait()
        if self._is_over():
            raise StopIteration
        chunk = self._make_chunk()
        for observer in self._observers:
            observer(chunk)
        return chunk

    def _count_latents(self) -> int | None:
        """Latent frames that the whole take needs; None when it has no end."""
        limit, codec = self.engine.method.limit, self.engine.codec
        if self.num_frames is None:
            return limit
        total = 1 - (1 - self.num_frames) // codec.temporal_stride
        if limit is not None and total > limit:
            most = frames_for_latents(limit, codec.temporal_stride)
            raise UserError(
                f"{self.num_frames} frames asked of {self.engine.name!r}, which can make {most} "
                f"({most / self.engine.fps:g} seconds); ask for fewer, or use a model without an end"
            )
        return total

    def _is_over(self) -> bool:
        if self.num_frames is not None:
            return self._state.shown >= self.num_frames
        return self._total is not None and self._state.position >= self._total

    @torch.inference_mode()
    def _make_chunk(self) -> Chunk:
        state, method, codec = self._state, self.engine.method, self.engine.codec
        watch = _Watch()
        plan = method.next(state.position, self._total)
        conditions, receipts = self._direct(plan)
        watch.lap("text")
        latents = method.denoise(plan, self._noise, conditions, state.method, self._on_step)
        watch.lap("denoise")
        if plan.fresh:
            state.codec = codec.start()
        pixels = codec.decode(latents.to(_device(codec)), state.codec).cpu()
        watch.lap("decode")
        state.method.memory.commit(plan.final, latents, conditions.text, pixels)
        watch.lap("commit")
        shown = pixels[0] if plan.shown is None else pixels[0, slice(*plan.shown)]
        return self._show(shown.numpy(), latents, plan.final.stop, receipts, watch.timings)

    def _direct(self, plan: Plan) -> tuple[Conditions, tuple[Receipt, ...]]:
        """Decide the prompt of this chunk and prepare it for the backbone."""
        state, fps = self._state, self.engine.fps
        stride = self.engine.codec.temporal_stride
        start, end = (
            frames_for_latents(plan.final.start, stride) if plan.final.start else 0,
            frames_for_latents(plan.final.stop, stride),
        )
        decision = state.director.decide(state.chunk, start / fps, end / fps)
        null = self.engine.null_prompt
        null_text = None if null is None else self._text(((null, 1.0),))
        return Conditions(text=self._text(decision.mix), null_text=null_text), decision.receipts

    def _text(self, mix: Mix) -> TextContext:
        """What the backbone reads for a mix of prompts; the last two asked for are kept ready."""
        if mix not in self._texts:
            self._texts = dict([*self._texts.items()][-1:]) | {mix: self.engine.read_text(mix)}
        return self._texts[mix]

    def _show(
        self,
        frames: NDArray[np.uint8],
        latents: Tensor,
        position: int,
        receipts: tuple[Receipt, ...],
        timings: Timings,
    ) -> Chunk:
        """Count the chunk as made, trimmed to the length of the take."""
        state = self._state
        room = len(frames) if self.num_frames is None else self.num_frames - state.shown
        chunk = Chunk(
            index=state.chunk,
            frames=frames[:room],
            start_frame=state.shown,
            fps=self.engine.fps,
            receipts=receipts,
            timings=timings,
            latents=latents,
        )
        state.position = position
        state.chunk += 1
        state.shown += len(chunk.frames)
        return chunk

    def steer(self, prompt: str, *, transition: float = 0.0) -> Receipt:
        """Change the prompt from the next chunk on; safe from another thread. The receipt says which chunk that is.

        Raises UserError for an empty prompt, and for a method that cannot be steered.
        """
        if self.engine.method.kind is Kind.JOINT:
            raise UserError(
                "this method makes the whole video at once and cannot be steered; use a causal method"
            )
        state = self._state
        return state.director.steer(prompt, transition, state.chunk, state.shown / self.engine.fps)

    def pause(self) -> None:
        """Hold before the next chunk: `next()` waits until `resume()`."""
        self._running.clear()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._running.set()

    def snapshot(self) -> Snapshot:
        """The whole state between two chunks; `Pipeline.restore` goes on from it with the same bytes."""
        state = self._state
        tensors = {f"memory.{key}": value for key, value in state.method.memory.snapshot().items()}
        tensors |= {f"flight.{key}": value.clone() for key, value in state.method.flight.items()}
        tensors |= {f"codec.{key}": value for key, value in state.codec.snapshot().items()}
        meta: dict[str, Any] = {
            "model": self.engine.name,
            "settings": dict(self.engine.settings),
            "seed": self.seed,
            "num_frames": self.num_frames,
            "position": state.position,
            "chunk": state.chunk,
            "shown": state.shown,
            "director": state.director.to_dict(),
        }
        return Snapshot(tensors=tensors, meta=meta)

    @classmethod
    def restored(cls, engine: Engine, snapshot: Snapshot) -> Take:
        """The take that `snapshot` was taken from, ready to make its next chunk.

        Raises UserError when the snapshot is of another model.
        """
        meta = snapshot.meta
        if meta["model"] != engine.name:
            raise UserError(
                f"the snapshot is of model {meta['model']!r}, this is {engine.name!r}; load that model"
            )
        state = TakeState.start(engine, Director.from_dict(meta["director"]))
        state.method.memory.restore(snapshot.part("memory"))
        state.method.flight = dict(snapshot.part("flight"))
        state.codec.restore(snapshot.part("codec"))
        state.position, state.chunk, state.shown = meta["position"], meta["chunk"], meta["shown"]
        return cls(engine, state, seed=meta["seed"], num_frames=meta["num_frames"])


def _device(codec: Codec) -> torch.device:
    return next(codec.parameters()).device
