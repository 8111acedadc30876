"""How far a take reaches: what its next chunk is, how many frames it has, and where it ends.

Three things may end a take: the length that was asked for, a source that ends, and what the method can make.
"""

from __future__ import annotations

from torch import Tensor

from longtake.engine import Engine, TakeState
from longtake.errors import UserError
from longtake.methods import Plan
from longtake.models.codec import frames_for_latents


class Extent:
    """Reads the state of a take; changes nothing of it but to fetch what its sources have."""

    def __init__(self, engine: Engine, state: TakeState, num_frames: int | None) -> None:
        self.engine, self.state = engine, state
        self.num_frames = num_frames
        """Pixel frames that were asked for; None asks for no end."""

    def plan(self) -> Plan:
        """The next chunk, once its source is there; the opening that a slot gives comes before all others, block by
        block."""
        state, method = self.state, self.engine.method
        self.check_over()
        opening = self.opening()
        if opening is not None and state.position < opening.shape[2]:
            block = len(method.next(state.position, None).final)
            stop = min(opening.shape[2], state.position + block)
            return Plan(denoise=range(0), final=range(state.position, stop))
        planned = method.next(state.position, self.total())
        for slot in state.slots:
            slot.fetch(planned.denoise.stop)
        self.check_over()  # a source may have ended just now, which may also change the plan
        return method.next(state.position, self.total())

    def opening(self) -> Tensor | None:
        """Latents that the take begins with and that need no denoising."""
        return next((slot.opening for slot in self.state.slots if slot.opening is not None), None)

    def given(self, plan: Plan) -> Tensor | None:
        """Of the opening, the latent frames that become final now."""
        opening = self.opening()
        return None if opening is None else opening[:, :, plan.final.start : plan.final.stop]

    def given_frames(self) -> int:
        """Pixel frames at the beginning that are not made: a clip that the take goes on from, a picture alone."""
        opening = self.opening()
        return (
            0 if opening is None else frames_for_latents(opening.shape[2], self.engine.codec.temporal_stride)
        )

    def count_frames(self, plan: Plan) -> int:
        """Pixel frames of a chunk that are shown."""
        stride = self.engine.codec.temporal_stride
        is_first = plan.fresh or plan.final.start == 0
        count = frames_for_latents(len(plan.final), stride) if is_first else stride * len(plan.final)
        return count if plan.shown is None else len(range(count)[slice(*plan.shown)])

    def length(self) -> int | None:
        """Pixel frames of the whole take; None when it has no end, or none that is known."""
        ends = (self.num_frames, self.state.num_frames)
        return min((end for end in ends if end is not None), default=None)

    def limit(self) -> int | None:
        """Most latent frames that can be made: after an opening as many whole blocks as there is room for."""
        method, opening = self.engine.method, self.opening()
        if method.limit is None or opening is None:
            return method.limit
        first = opening.shape[2]
        block = len(method.next(first, None).final)
        return first + (method.limit - first) // block * block

    def total(self) -> int | None:
        """Latent frames that the whole take needs; None when that is not known."""
        limit, length = self.limit(), self.length()
        if length is None:
            return limit
        total = 1 - (1 - length) // self.engine.codec.temporal_stride
        return total if limit is None else min(total, limit)

    def check(self) -> None:
        """Refuse more frames than the method can make."""
        limit, codec = self.limit(), self.engine.codec
        if limit is None or self.num_frames is None:
            return
        most = frames_for_latents(limit, codec.temporal_stride)
        if self.num_frames > most:
            raise UserError(
                f"{self.num_frames} frames asked of {self.engine.name!r}, which can make {most} "
                f"({most / self.engine.fps:g} seconds); ask for fewer, or use a model without an end"
            )

    def check_over(self) -> None:
        """Raise StopIteration when all frames are made."""
        length, limit = self.length(), self.limit()
        if length is not None and self.state.planned >= length:
            raise StopIteration
        if limit is not None and self.state.position >= limit:
            raise StopIteration
