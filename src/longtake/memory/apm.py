"""Long-term memory: anchors, frames that the take holds on to (APM, StreamingT2V, arXiv 2403.14773).

An anchor goes through an image encoder once; its tokens are read beside the text for as long as it is in force. The
published anchor is the first frame, for ever. Here it may be any frame, or the mean of several, be pinned by time,
replaced when the prompt changes, and refreshed from outside, as when a watch for drift asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.memory import AnchorContext, Context
from longtake.models.wan import TextContext


class Embed(Protocol):
    """What a network brings: pictures to embeddings, embeddings to tokens."""

    @property
    def dim(self) -> int:
        """Numbers of an embedding."""
        ...

    def pictures(self, frames: Tensor) -> Tensor:
        """`uint8 [N, H, W, 3]` → `[N, E]`."""
        ...

    def tokens(self, embeddings: Tensor) -> Tensor:
        """`[N, E]` → `[1, I, C]`, of their mean."""
        ...

    def null(self) -> Tensor:
        """`[1, I, C]`, of no anchor."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """Frames that become the anchor."""

    frames: tuple[int, ...] = (0,)
    """Pixel frames of the take; of several, the mean of their embeddings counts."""
    since: int = 0
    """From which pixel frame of the take on, as soon as all of them are made."""

    def __post_init__(self) -> None:
        if not self.frames or min(self.frames) < 0 or self.since < 0:
            raise UserError(
                f"anchor frames {list(self.frames)} from frame {self.since} on given; name frames of the take, "
                "counted from 0"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Anchors:
    """Which frames a take holds on to."""

    pins: tuple[Pin, ...] = (Pin(),)
    """The last one whose time has come counts."""
    with_prompt: bool = False
    """Whether the first frame under a new prompt becomes the anchor, until the next pin."""

    def __post_init__(self) -> None:
        if not self.pins:
            raise UserError("no anchor given; name a frame, or switch the long-term memory off")

    def check(self, num_frames: int | None) -> None:
        """UserError for a frame that a take of `num_frames` does not have."""
        last = max(frame for pin in self.pins for frame in (*pin.frames, pin.since))
        if num_frames is not None and last >= num_frames:
            raise UserError(
                f"anchor frame {last} is outside of the video, which has frames 0 to {num_frames - 1}; "
                "name one of these"
            )


@dataclass(frozen=True, slots=True)
class _Held:
    """An anchor and when it came into force."""

    frames: tuple[int, ...]
    since: int


class Apm:
    """See the module's text. Embeddings of the pinned frames are kept, pictures are not.

    Slots of embeddings: one for each frame that a pin names, and one for an anchor from outside the pins.
    """

    needs_pixels = True

    def __init__(self, embed: Embed, rule: Anchors | None = None) -> None:
        """rule: the first frame, unless given."""
        self._embed, self._rule = embed, rule or Anchors()
        self._named = sorted({frame for pin in self._rule.pins for frame in pin.frames})
        self._slots = torch.zeros(len(self._named) + 1, embed.dim)
        self._known = torch.zeros(len(self._named), dtype=torch.bool)
        self._null: Tensor | None = None
        self._tokens: tuple[_Held, Tensor] | None = None
        self._loose: _Held | None = None
        self._position, self._text, self._asked = 0, torch.zeros(0), False

    @property
    def num_bytes(self) -> int:
        """Size of the embeddings; constant."""
        return self._slots.nbytes

    @property
    def frames(self) -> tuple[int, ...]:
        """The anchor in force for what is made next; empty before there is one."""
        held = self._held()
        return () if held is None else held.frames

    def refresh(self) -> None:
        """Hold on to the first frame of what is made next, from then on until a pin's time comes."""
        self._asked = True

    def read(self, frames: Sequence[int], text: TextContext) -> Context:
        """See `Memory.read`. No anchor before the first frames are made."""
        held = self._held()
        if held is None:
            return Context()
        if self._null is None:
            self._null = self._embed.null()
        if self._tokens is None or self._tokens[0] != held:
            self._tokens = held, self._embed.tokens(self._embeddings(held))
        return Context(anchor=AnchorContext(tokens=self._tokens[1], null=self._null, frames=held.frames))

    def commit(
        self, frames: Sequence[int], latents: Tensor, text: TextContext, pixels: Tensor | None
    ) -> None:
        """See `Memory.commit`. `pixels` `uint8 [1, T, H, W, 3]` are needed."""
        if pixels is None:
            raise ValueError("anchors need the decoded frames")
        start, stop = self._position, self._position + pixels.shape[1]
        for slot, frame in enumerate(self._named):
            if start <= frame < stop:
                self._slots[slot] = self._embed.pictures(pixels[0, frame - start, None])[0].float().cpu()
                self._known[slot] = True
        if self._asked or self._is_new(text):
            self._slots[-1] = self._embed.pictures(pixels[0, :1])[0].float().cpu()
            self._loose, self._asked = _Held((start,), start), False
        self._position = stop

    def _is_new(self, text: TextContext) -> bool:
        """Whether the prompt changed with this block, where that counts; it is remembered by its numbers."""
        if not self._rule.with_prompt:
            return False
        before, self._text = self._text, _mark(text)
        return before.numel() > 0 and not torch.equal(before, self._text)

    def _held(self) -> _Held | None:
        """What is in force at the current position: of all that may be, the one that came last."""
        pins = [_Held(pin.frames, pin.since) for pin in self._rule.pins if self._is_due(pin)]
        everything = sorted(pins, key=lambda held: held.since)
        if self._loose is not None:
            later = [held for held in everything if held.since > self._loose.since]
            return later[-1] if later else self._loose
        return everything[-1] if everything else None

    def _is_due(self, pin: Pin) -> bool:
        known = all(bool(self._known[self._named.index(frame)]) for frame in pin.frames)
        return known and pin.since <= self._position

    def _embeddings(self, held: _Held) -> Tensor:
        if self._loose == held:
            return self._slots[-1:]
        return self._slots[[self._named.index(frame) for frame in held.frames]]

    def snapshot(self) -> dict[str, Tensor]:
        """See `Memory.snapshot`."""
        loose = (*self._loose.frames, self._loose.since) if self._loose else ()
        return {
            "slots": self._slots.clone(),
            "known": self._known.clone(),
            "loose": torch.tensor(loose, dtype=torch.int64),
            "position": torch.tensor([self._position, self._asked], dtype=torch.int64),
            "text": self._text.clone(),
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Memory.restore`. Raises UserError for anchors of another model or rule."""
        if tensors["slots"].shape != self._slots.shape:
            raise UserError(
                f"the snapshot holds anchors {list(tensors['slots'].shape)}, this model "
                f"{list(self._slots.shape)}; restore it with the model and settings that it was taken with"
            )
        self._slots, self._known = tensors["slots"].clone(), tensors["known"].clone()
        loose = tensors["loose"].tolist()
        self._loose = _Held(tuple(loose[:-1]), loose[-1]) if loose else None
        position, asked = tensors["position"].tolist()
        self._position, self._asked = position, bool(asked)
        self._text, self._tokens = tensors["text"].clone(), None


def _mark(text: TextContext) -> Tensor:
    """A few numbers that tell one prompt from another."""
    rows = text.rows if text.rows is not None else text.layers[0].k
    return rows.float().flatten(1).sum(1).cpu()
