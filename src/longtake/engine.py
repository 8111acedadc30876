"""What a take is made with, and all that changes while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from longtake.chunk import Timings
from longtake.director import Director, Mix, receipt_from_dict
from longtake.methods import Method, MethodState, Plan
from longtake.models.codec import Codec, CodecState
from longtake.models.wan import TextContext
from longtake.slots import Slot
from longtake.snapshot import Snapshot
from longtake.timeline import Receipt
from longtake.variant import Variant


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What a take is made with; shared by all takes of a pipeline and never changed by them."""

    name: str
    """Name of the model."""
    variant: Variant
    """What its networks are beside the name; in every snapshot."""
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Undecoded:
    """A chunk whose latents are final and whose pixels are still to come."""

    index: int
    """Number of the chunk."""
    plan: Plan
    """What it is."""
    latents: Tensor
    """`[1, C, T, H, W]` of `plan.final`."""
    text: TextContext | None
    """What it was made under; None once it is in the memory."""
    receipts: tuple[Receipt, ...]
    """Receipts that changed at it."""
    anchors: tuple[int, ...] = ()
    """Pixel frames that the memory held on to while it was made."""
    timings: Timings = field(default_factory=Timings)
    """Where the time went until now."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a snapshot; the latents are a tensor of it."""
        final = self.plan.final
        return {
            "index": self.index,
            "final": [final.start, final.stop],
            "fresh": self.plan.fresh,
            "shown": self.plan.shown,
            "receipts": [receipt.to_dict() for receipt in self.receipts],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], latents: Tensor) -> Undecoded:
        """What `to_dict` was made of."""
        final = range(*values["final"])
        shown = None if values["shown"] is None else (values["shown"][0], values["shown"][1])
        return cls(
            index=values["index"],
            plan=Plan(denoise=final, final=final, fresh=values["fresh"], shown=shown),
            latents=latents,
            text=None,
            receipts=tuple(receipt_from_dict(receipt) for receipt in values["receipts"]),
        )


@dataclass(kw_only=True, slots=True)
class TakeState:
    """All that changes while a take runs."""

    method: MethodState
    codec: CodecState
    director: Director
    slots: tuple[Slot, ...] = ()
    """Conditions other than text."""
    position: int = 0
    """Latent frames that are final."""
    chunk: int = 0
    """Chunks whose latents have been made."""
    planned: int = 0
    """Pixel frames that these chunks have, before the last is trimmed to the length of the take."""
    shown: int = 0
    """Pixel frames that have been shown."""
    waiting: Undecoded | None = None
    """A chunk that was made beside the decoding of the one before it, and is remembered already."""

    @classmethod
    def start(cls, engine: Engine, director: Director, slots: Sequence[Slot] = ()) -> TakeState:
        """The state before the first chunk."""
        method = engine.method.start(engine.latent_shape)
        return cls(method=method, codec=engine.codec.start(), director=director, slots=tuple(slots))

    @property
    def num_frames(self) -> int | None:
        """Pixel frames at which a slot ends the take; None while there is no such end."""
        return min((end for slot in self.slots if (end := slot.num_frames) is not None), default=None)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors of a snapshot."""
        named = {"memory": self.method.memory.snapshot(), "codec": self.codec.snapshot()}
        named["flight"] = {key: value.clone() for key, value in self.method.flight.items()}
        named |= {f"slot.{slot.kind}": slot.snapshot() for slot in self.slots}
        named["waiting"] = {"latents": self.waiting.latents.clone()} if self.waiting else {}
        return {f"{part}.{key}": value for part, tensors in named.items() for key, value in tensors.items()}

    def to_dict(self) -> dict[str, Any]:
        """The plain values of a snapshot."""
        return {
            "position": self.position,
            "chunk": self.chunk,
            "planned": self.planned,
            "shown": self.shown,
            "waiting": self.waiting.to_dict() if self.waiting else None,
            "director": self.director.to_dict(),
            "slots": {slot.kind: slot.to_dict() for slot in self.slots},
        }

    @classmethod
    def restored(cls, engine: Engine, snapshot: Snapshot, slots: Sequence[Slot]) -> TakeState:
        """The state that `snapshot` was taken from; its slots have been restored by the caller."""
        meta = snapshot.meta
        state = cls.start(engine, Director.from_dict(meta["director"]), slots)
        state.method.memory.restore(snapshot.part("memory"))
        state.method.flight = snapshot.part("flight")
        state.codec.restore(snapshot.part("codec"))
        state.position, state.chunk = meta["position"], meta["chunk"]
        state.planned, state.shown = meta["planned"], meta["shown"]
        if meta["waiting"]:
            state.waiting = Undecoded.from_dict(meta["waiting"], snapshot.part("waiting")["latents"])
        return state
