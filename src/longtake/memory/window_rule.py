"""Which latent frames a block sees, and where in time they stand: pure rules, no tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longtake.errors import UserError
from longtake.memory.cache import CacheShape
from longtake.models.attention import View
from longtake.models.policy import Absolute, Policy, Relative, RollingSpec
from longtake.models.windows import EmaWindow


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowRule:
    """What a rolling window with a sink remembers and shows. The cache and its uncached oracle both follow it."""

    window: int
    """Most latent frames that attention sees: sink, recent frames and the block itself."""
    sink: int
    """Frames from the start of the take that are never forgotten."""
    block: int
    """Latent frames made together."""
    flight: int = 0
    """Latent frames denoised in one pass, when they are more than a block."""
    relative: bool = True
    """Whether frames are counted inside the window, or stand at their own index."""
    restart_at: int | None = None
    """Where absolute positions begin anew, see `Absolute.restart_at`."""
    clean_sees_sink: bool = True
    """Whether the pass that remembers a block sees the sink beyond the last `window` frames (Rolling Forcing does
    not)."""
    alpha: float | None = None
    """Share of the sink that stays when a forgotten frame is folded into it; None folds nothing."""

    def __post_init__(self) -> None:
        longest = max(self.block, self.flight)
        if self.block < 1 or self.sink < 0 or self.window < self.sink + longest:
            raise UserError(
                f"window {self.window} cannot hold sink {self.sink} and block {self.block} (at least 1); "
                f"use a window of {max(1, longest) + max(0, self.sink)} or more"
            )
        if self.alpha is not None and self.recent < self.block:
            raise UserError(
                f"window {self.window} forgets blocks of {self.block} before they can be folded into its sink of "
                f"{self.sink}; use a window of {self.sink + 2 * self.block} or more"
            )

    @classmethod
    def of(cls, policy: Policy) -> WindowRule:
        """The rule of a policy whose memory is a cache."""
        window, position, sampler = policy.window, policy.position, policy.sampler
        flies = isinstance(sampler, RollingSpec)
        return cls(
            window=window.frames,
            sink=window.sink,
            block=policy.block,
            flight=policy.block * len(sampler.steps) if isinstance(sampler, RollingSpec) else 0,
            relative=isinstance(position, Relative),
            restart_at=position.restart_at if isinstance(position, Absolute) else None,
            clean_sees_sink=not flies,
            alpha=window.alpha if isinstance(window, EmaWindow) else None,
        )

    @property
    def recent(self) -> int:
        """Frames remembered beside the sink."""
        return self.window - self.block - (self.sink if self.clean_sees_sink else 0)

    @property
    def slots(self) -> int:
        """Most frames remembered."""
        return self.sink + self.recent

    @property
    def fixed(self) -> bool:
        """Whether a remembered frame never changes its place in time, so that its keys can be rotated for good."""
        return not self.relative and self.alpha is None and self.flight <= self.block

    @property
    def shape(self) -> CacheShape:
        """What the rule asks of its cache."""
        return CacheShape(
            slots=self.slots, seen=self.window, fixed=self.fixed, gathers=self.flight > self.block
        )

    def kept(self, count: int, origin: int = 0) -> tuple[int, ...]:
        """Of the first `count` frames of a take, those that are remembered; the sink begins at `origin`."""
        start = max(origin, count - self.recent)
        sink = range(origin, min(origin + self.sink, start))
        return (*sink, *range(start, count))

    def seen(self, count: int, new: int, origin: int = 0, *, clean: bool = False) -> tuple[int, ...]:
        """Of the remembered frames, those that the `new` frames after them see.

        clean: whether the pass is the one that remembers them.
        """
        sink = self.sink if self.clean_sees_sink or not clean else 0
        start = max(origin, count - (self.window - new - sink))
        return tuple(frame for frame in self.kept(count, origin) if frame < origin + sink or frame >= start)

    def positions(self, seen: Sequence[int], block: Sequence[int]) -> tuple[int, ...]:
        """Temporal index of the frames `seen`, in the order given, and of the frames of `block` after them."""
        frames = (*seen, *block)
        if self.relative:
            rank = {frame: index for index, frame in enumerate(sorted(frames))}
            return tuple(rank[frame] for frame in frames)
        return tuple(self._absolute(frame) for frame in frames)

    def view(self, block: Sequence[int]) -> View:
        """What the block of consecutive frames `block` sees, its own frames last."""
        seen = self.seen(block[0], len(block))
        return View(frames=(*seen, *block), positions=self.positions(seen, block))

    def _absolute(self, frame: int) -> int:
        if self.restart_at is None:
            return frame
        first, again = -(-self.restart_at // self.block) * self.block, self.window - 1
        if frame < first:
            return frame
        period = max(1, -(-(self.restart_at - again) // self.block)) * self.block
        return again + (frame - first) % period
