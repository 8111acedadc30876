"""A take: one continuous video being made. Iterating it yields chunks.

The rollout loop is `Take._make` (plan, direct, denoise, remember) and `Take._finish` (show). What differs between
published ways of making long video is in the method, its memory and its sampler; nothing of that is here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from longtake.chunk import Chunk, Observer, Recorder, Watch
from longtake.decoding import Decoding
from longtake.director import Mix
from longtake.engine import Engine, TakeState, Undecoded
from longtake.errors import UserError
from longtake.extent import Extent
from longtake.methods import Conditions, Kind, Plan
from longtake.models.wan import TextContext
from longtake.sampling import OnStep
from longtake.sampling.noise import CounterNoise, NoiseSource, check_seed
from longtake.slots import Slot, gather
from longtake.snapshot import Snapshot
from longtake.timeline import Cue, Receipt
from longtake.variant import Variant


class _Turn(NamedTuple):
    """A chunk that has been decided on."""

    plan: Plan
    conditions: Conditions
    receipts: tuple[Receipt, ...]
    watch: Watch


class Take:
    """One continuous video being made; endless unless `num_frames` is given, or a source video ends.

    decode_beside: decode each chunk in a thread beside the denoising of the next. The bytes are the same; a new prompt
    then takes effect one chunk later, and what breaks the next chunk is raised after this one was returned.
    """

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
        decode_beside: bool = False,
    ) -> None:
        if num_frames is not None and num_frames < 1:
            raise UserError(f"num_frames {num_frames} given; a video has at least 1 frame")
        self.engine = engine
        self.seed = check_seed(seed)
        self.recorder: Recorder | None = None
        self._state = state
        self._extent = Extent(engine, state, num_frames)
        self._extent.check()
        self._noise = noise or CounterNoise(seed)
        self._observers = tuple(observers)
        self._on_step = on_step
        self._running = threading.Event()
        self._running.set()
        self._texts: dict[Mix, TextContext] = {}
        self._turn: _Turn | None = None
        beside = decode_beside and not state.method.memory.needs_pixels
        self._decoding = Decoding(engine.codec, beside=beside)
        self._under_way: tuple[Undecoded, Future[tuple[Tensor, float]]] | None = None
        self._failure: Exception | None = None

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        self._running.wait()
        chunk = self._next_chunk()
        while not len(chunk.frames):  # of a block that will be shown as part of the next rollout
            chunk = replace(following := self._next_chunk(), receipts=chunk.receipts + following.receipts)
        for observer in self._observers:
            observer(chunk)
        return chunk

    @torch.inference_mode()
    def _next_chunk(self) -> Chunk:
        """Decode the chunk that is made, or make one; the one after it is made meanwhile, where that is on."""
        if self._under_way is None:
            undecoded = self._state.waiting or self._make()
            self._state.waiting = None
            self._start_decoding(undecoded)
            if self._decoding.is_beside and undecoded.index:  # nobody waits longer for the first chunk
                self._look_ahead()
        assert self._under_way is not None
        undecoded, decoding = self._under_way
        pixels, undecoded.timings.decode = decoding.result()
        self._under_way = None
        return self._finish(undecoded, pixels)

    def _start_decoding(self, undecoded: Undecoded) -> None:
        if undecoded.plan.fresh:
            self._state.codec = self.engine.codec.start()
        self._under_way = undecoded, self._decoding.start(undecoded.latents, self._state.codec)

    def _look_ahead(self) -> None:
        """Make the chunk after the one being decoded. What fails is kept for the call that asks for it."""
        try:
            self._state.waiting = self._make()
        except StopIteration:
            return
        except Exception as failure:  # noqa: BLE001 - raised by `_make`, in its turn
            self._failure = failure

    def _make(self) -> Undecoded:
        """The latents of the next chunk. An interrupted call is taken up again with what was decided."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        self._turn = turn = self._turn or self._decide()
        state, plan, conditions, watch = self._state, turn.plan, turn.conditions, turn.watch
        opening = None if plan.denoise else self._extent.given(plan)
        held = state.method.anchors if plan.denoise else None
        anchors = held.frames if held else ()
        latents = opening
        if latents is None:
            latents = self.engine.method.denoise(plan, self._noise, conditions, state.method, self._on_step)
        watch.lap("denoise")
        needs_pixels = state.method.memory.needs_pixels
        if not needs_pixels:
            state.method.memory.commit(plan.final, latents, conditions.text, None)
        watch.lap("commit")
        undecoded = Undecoded(
            index=state.chunk,
            plan=plan,
            latents=latents,
            text=conditions.text if needs_pixels else None,
            receipts=turn.receipts,
            anchors=anchors,
            timings=watch.timings,
        )
        state.position, state.planned = plan.final.stop, state.planned + self._extent.count_frames(plan)
        state.chunk, self._turn = state.chunk + 1, None
        return undecoded

    def _finish(self, undecoded: Undecoded, pixels: Tensor) -> Chunk:
        """Remember the pixels where the memory needs them; trim the chunk to the length of the take."""
        state, watch, plan = self._state, Watch(timings=undecoded.timings), undecoded.plan
        if undecoded.text is not None:
            state.method.memory.commit(plan.final, undecoded.latents, undecoded.text, pixels[None])
        watch.lap("commit")
        frames = pixels.numpy() if plan.shown is None else pixels.numpy()[slice(*plan.shown)]
        length = self._extent.length()
        chunk = Chunk(
            index=undecoded.index,
            frames=frames if length is None else frames[: length - state.shown],
            start_frame=state.shown,
            fps=self.engine.fps,
            receipts=undecoded.receipts,
            timings=undecoded.timings,
            latents=self._decoding.to_cpu(undecoded.latents),
            anchors=undecoded.anchors,
        )
        state.shown += len(chunk.frames)
        return chunk

    def _decide(self) -> _Turn:
        """What the next chunk is, and what it is made under. Raises StopIteration at the end of the take."""
        watch, state, fps = Watch(), self._state, self.engine.fps
        plan = self._extent.plan()
        watch.lap("source")
        start, end = state.planned / fps, (state.planned + self._extent.count_frames(plan)) / fps
        decision = state.director.decide(state.chunk, start, end)
        null = self.engine.null_prompt
        text = self._text(decision.mix)
        null_text = None if null is None else self._text(((null, 1.0),))
        watch.lap("text")
        given = gather(state.slots, plan.denoise)
        watch.lap("source")
        conditions = Conditions(text=text, null_text=null_text, given=given)
        return _Turn(plan=plan, conditions=conditions, receipts=decision.receipts, watch=watch)

    @property
    def num_frames(self) -> int | None:
        """Pixel frames that were asked for; None asks for no end."""
        return self._extent.num_frames

    @num_frames.setter
    def num_frames(self, num_frames: int | None) -> None:
        self._extent.num_frames = num_frames

    @property
    def given_frames(self) -> int:
        """Pixel frames at the beginning that are not made: a clip that the take goes on from, a picture alone."""
        return self._extent.given_frames()

    def _text(self, mix: Mix) -> TextContext:
        """What the backbone reads for a mix of prompts; the last two asked for are kept ready."""
        if mix not in self._texts:
            self._texts = dict([*self._texts.items()][-1:]) | {mix: self.engine.read_text(mix)}
        return self._texts[mix]

    def steer(self, prompt: str, *, transition: float = 0.0) -> Receipt:
        """Change the prompt from the next chunk on; safe from another thread. The receipt says which chunk that is.

        Raises UserError for an empty prompt, and for a method that cannot be steered.
        """
        if self.engine.method.kind is Kind.JOINT:
            raise UserError(
                f"{self.engine.name!r} makes the whole video at once, under one prompt, and cannot be steered; "
                "use a causal model"
            )
        state, record = self._state, self.recorder.accept if self.recorder else None
        return state.director.steer(prompt, transition, state.chunk, state.planned / self.engine.fps, record)

    def follow(self, cues: Sequence[Cue]) -> None:
        """Take directions over from a record, each with its chunk, in the order in which they were accepted."""
        self._state.director.follow(cues)

    def refresh_anchor(self) -> None:
        """Hold on to the first frame of the next chunk from then on; safe from another thread.

        For a scene that has changed, or a watch for drift. Raises UserError where the memory holds on to nothing.
        """
        anchors = self._state.method.anchors
        if anchors is None:
            raise UserError(
                f"{self.engine.name!r} holds on to no frames; use a model with long-term memory, and leave it on"
            )
        anchors.refresh()

    def pause(self) -> None:
        """Hold before the next chunk: `next()` waits until `resume()`."""
        self._running.clear()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._running.set()

    @property
    def memory_bytes(self) -> int:
        """What the take remembers of its past (the key-value cache and the like)."""
        return self._state.method.memory.num_bytes

    def snapshot(self) -> Snapshot:
        """The whole state between two chunks; `Pipeline.restore` goes on from it with the same bytes.

        Raises UserError when the last chunk was interrupted: take the next one first.
        """
        if self._under_way is not None or self._turn is not None:
            raise UserError(
                "the take was interrupted in the middle of a chunk; take the next chunk, then save"
            )
        meta: dict[str, Any] = {
            "model": self.engine.name,
            "variant": self.engine.variant.to_dict(),
            "settings": dict(self.engine.settings),
            "seed": self.seed,
            "num_frames": self.num_frames,
            **self._state.to_dict(),
        }
        return Snapshot(tensors=self._state.tensors(), meta=meta)

    @classmethod
    def restored(
        cls, engine: Engine, snapshot: Snapshot, slots: Sequence[Slot] = (), *, decode_beside: bool = False
    ) -> Take:
        """The take that `snapshot` was taken from, ready to make its next chunk. `slots` are restored already.

        Raises UserError when the snapshot is of another model.
        """
        meta = snapshot.meta
        if meta["model"] != engine.name:
            raise UserError(
                f"the snapshot is of model {meta['model']!r}, this is {engine.name!r}; load that model"
            )
        if "variant" in meta:
            engine.variant.check_goes_on(Variant.from_dict(meta["variant"]))
        return cls(
            engine,
            TakeState.restored(engine, snapshot, slots),
            seed=meta["seed"],
            num_frames=meta["num_frames"],
            decode_beside=decode_beside,
        )
