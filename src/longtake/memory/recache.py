"""Recache: after a change of prompt, what is remembered is computed anew from its clean latents under the new prompt.

LongLive (arXiv 2509.22622). One pass over the frames of the window, which see each other in both directions as
published, or block after block when `causal`. While the take is no longer than its window, everything is computed
anew. Later the sink keeps the old prompt and stays (`keep_sink`), or the oldest frames of the window become the sink.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.memory import Context
from longtake.memory.kv_window import KVWindow
from longtake.models.policy import Recache
from longtake.models.wan import TextContext

DIGEST_BYTES = 32


class RecachedWindow:
    """A window of keys and values, with the latents that it can be computed from."""

    needs_pixels = False

    def __init__(self, window: KVWindow, spec: Recache, latent_shape: tuple[int, int, int]) -> None:
        """latent_shape: `(C, H, W)` of a latent frame."""
        channels, height, width = latent_shape
        self._window = window
        self._spec = spec
        size, device = (1, channels, window.rule.window, height, width), window.backbone.device
        self._latents = torch.zeros(size, dtype=torch.float32, device=device)
        """The latest frames, the last one last."""
        self._text: TextContext | None = None
        self._digest = torch.zeros(DIGEST_BYTES, dtype=torch.uint8)

    @property
    def num_bytes(self) -> int:
        """Size of cache, latents and the mark of the prompt; constant."""
        return self._window.num_bytes + self._latents.nbytes + self._digest.nbytes

    @staticmethod
    def planned_extra(frames: int, latent_shape: tuple[int, int, int]) -> int:
        """Bytes held beside the cache, for a window of `frames`."""
        channels, height, width = latent_shape
        return frames * channels * height * width * torch.float32.itemsize + DIGEST_BYTES

    def read(self, frames: Sequence[int], text: TextContext) -> Context:
        """See `Memory.read`. The first block under another prompt recaches."""
        if self._changed(text) and self._window.count:
            self._recache(text)
        return self._window.read(frames, text)

    def commit(
        self, frames: Sequence[int], latents: Tensor, text: TextContext, pixels: Tensor | None = None
    ) -> None:
        """See `Memory.commit`."""
        self._changed(text)
        self._window.commit(frames, latents, text, pixels)
        room = self._latents.shape[2]
        self._latents = torch.cat([self._latents, latents.to(self._latents)], 2)[:, :, -room:].contiguous()

    def adopt(self, text: TextContext) -> None:
        """The prompt in force reads so from now on: not the prompt has changed, but the network that reads it."""
        self._changed(text)

    def _changed(self, text: TextContext) -> bool:
        """Whether the prompt is another one than the last time."""
        if text is self._text:
            return False
        before, self._text, self._digest = self._digest, text, _digest(text)
        return not torch.equal(before, self._digest)

    def _recache(self, text: TextContext) -> None:
        window, rule = self._window, self._window.rule
        count, longest = window.count, rule.window
        first = max(0, count - longest)
        origin = window.origin if first == 0 or self._spec.keep_sink else first
        start = first + rule.sink if first and self._spec.keep_sink else first
        if self._spec.causal:
            parts = [range(i, min(i + rule.block, count)) for i in range(start, count, rule.block)]
        else:
            parts = [range(start, count)]
        window.rebuild(parts, self._latents[:, :, start - count :], text, origin=origin)

    def snapshot(self) -> dict[str, Tensor]:
        """See `Memory.snapshot`."""
        return {**self._window.snapshot(), "latents": self._latents.clone(), "prompt": self._digest.clone()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Memory.restore`. Raises UserError for a snapshot of another model or window."""
        latents = tensors.get("latents")
        if latents is None or latents.shape != self._latents.shape:
            given = None if latents is None else list(latents.shape)
            raise UserError(
                f"the snapshot's latents {given} are not the {list(self._latents.shape)} that this model recaches "
                "from; restore it with the model and settings that it was made with"
            )
        self._window.restore(tensors)
        self._latents = latents.to(self._latents.device, copy=True)
        self._digest, self._text = tensors["prompt"].clone(), None


def _digest(text: TextContext) -> Tensor:
    """What tells one prompt from another, in any process: a digest of the first layer's keys."""
    data = text.layers[0].k.detach().cpu().contiguous().view(torch.uint8).numpy()
    return torch.frombuffer(bytearray(hashlib.sha256(data.tobytes()).digest()), dtype=torch.uint8)
