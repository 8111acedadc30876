"""Latents to pixels, either at once or in a thread beside the next chunk's denoising."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from longtake.models.codec import Codec, CodecState


class Decoding:
    """Decodes the chunks of one take in order. At most one is under way."""

    def __init__(self, codec: Codec, *, beside: bool) -> None:
        self.codec = codec
        self._device = next(codec.parameters()).device
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="decode") if beside else None
        self._stream = torch.cuda.Stream(self._device) if beside and self._device.type == "cuda" else None

    @property
    def is_beside(self) -> bool:
        """Whether chunks are decoded in a thread of their own."""
        return self._worker is not None

    def start(self, latents: Tensor, state: CodecState) -> Future[tuple[Tensor, float]]:
        """Begin to decode `[1, C, F, h, w]`; the result is `uint8 [T, H, W, 3]` and the seconds it took."""
        if self._worker is not None:
            return self._worker.submit(self._decode, latents, state, self._mark(latents))
        done: Future[tuple[Tensor, float]] = Future()
        done.set_result(self._decode(latents, state))
        return done

    def to_cpu(self, latents: Tensor) -> Tensor:
        """Latents that have been decoded, without waiting for those of the next chunk that a GPU is at work on."""
        with self._on_stream():
            return latents.cpu()

    def _mark(self, latents: Tensor) -> torch.cuda.Event | None:
        """The moment at which latents that a GPU is still making will be there."""
        return torch.cuda.current_stream(latents.device).record_event() if latents.is_cuda else None

    @torch.inference_mode()
    def _decode(
        self, latents: Tensor, state: CodecState, there: torch.cuda.Event | None = None
    ) -> tuple[Tensor, float]:
        begin = time.perf_counter()
        with self._on_stream():
            if there is not None and self._stream is not None:
                self._stream.wait_event(there)
                latents.record_stream(self._stream)
            pixels = self.codec.decode(latents.to(self._device), state).cpu()[0]
        return pixels, time.perf_counter() - begin

    def _on_stream(self) -> AbstractContextManager[object]:
        """A stream of its own, so that the kernels run beside those of the network."""
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)
