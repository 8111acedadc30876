"""The memory plan of a model: what it holds on the device and when, and the best profile that fits.

Pure arithmetic on bytes; `longtake.forecast` finds the bytes from a preset, a size and a number format.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

GIB = 2**30
MARGIN = 0.05
"""Share of the memory that is left free: fragmentation, workspaces that kernels take for themselves, libraries."""

Weights = Literal["plain", "bf16", "fp8", "int8"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CodecNeed:
    """Bytes of one way of decoding."""

    weights: int
    """The codec's tensors."""
    stream: int
    """What a take's stream remembers between two chunks."""
    work: int
    """Most that a call needs beside these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """A way of running a model in less memory. The plain one is exact; see each field for what another costs."""

    name: str
    text_stays: bool = True
    """Whether the text encoder stays on the device; otherwise a changed prompt takes longer to read."""
    tiled: bool = False
    """Whether pictures are decoded in overlapping tiles where that needs less: slower, seams are blended."""
    weights: Weights = "plain"
    """Format of the matrices in the transformer's blocks, which changes the video a little; "bf16" is that of all
    networks, where they would compute in float32."""
    layerwise: bool = False
    """Whether a block's weights are on the device only while it computes: the same video, much slower."""


RESIDENT = Profile(name="resident")
PROFILES = (
    RESIDENT,
    Profile(name="text-off", text_stays=False),
    Profile(name="tiled", text_stays=False, tiled=True),
    Profile(name="bf16", text_stays=False, tiled=True, weights="bf16"),
    Profile(name="fp8", text_stays=False, tiled=True, weights="fp8"),
    Profile(name="int8", text_stays=False, tiled=True, weights="int8"),
    Profile(name="layerwise", text_stays=False, tiled=True, layerwise=True),
)
"""From the fastest to the smallest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryPlan:
    """Bytes that a take needs on the device, part by part, when everything stays there."""

    blocks: int
    """Weights of the transformer's blocks."""
    matrices: int
    """Numbers in the matrices of the blocks, which 8-bit formats store in a byte each."""
    outer: int
    """Weights of the transformer outside its blocks."""
    layers: int
    """Blocks of the transformer."""
    kv: int
    """The memory of the past: keys and values, with all that is kept ready for a pass."""
    context: int
    """Keys and values of the prompts in force."""
    work: int
    """Most that a pass of the transformer needs beside all that."""
    text: int
    """Weights of the text encoder."""
    text_work: int
    """Most that reading a prompt needs beside them."""
    image: int = 0
    """Weights of the image encoder, where there is one; it goes where the text encoder goes."""
    codec: CodecNeed
    tiled_codec: CodecNeed
    fetched: int = 1
    """Blocks on the device at once when they are off-loaded: the one that computes, and one fetched ahead."""
    text_elsewhere: bool = False
    """Whether prompts can be read off the device (on the CPU beside a GPU), so that the text encoder is never on it."""
    beside: bool = False
    """Whether a chunk is decoded while the next is denoised."""
    halved: MemoryPlan | None = None
    """The same with the networks in bfloat16, where this one is in float32 and on a CPU."""
    profile: Profile = RESIDENT

    @property
    def weights(self) -> int:
        """The transformer's weights on the device."""
        if self.profile.layerwise:
            return self.outer + self._fetched
        if self.profile.weights in ("plain", "bf16"):
            return self.outer + self.blocks
        return self.outer + self.matrices

    @property
    def decoder(self) -> CodecNeed:
        """What decoding needs."""
        ways = (self.codec, self.tiled_codec) if self.profile.tiled else (self.codec,)
        return min(ways, key=lambda way: way.stream + self._work(way))

    @property
    def vae(self) -> int:
        """Codec: weights, stream and the most that a call needs."""
        return self.decoder.weights + self.decoder.stream + self.decoder.work

    @property
    def peak(self) -> int:
        """Most that is held at once: while a prompt is read, while a block is denoised, or while it is decoded."""
        image_elsewhere = self.text_elsewhere and not self.profile.text_stays
        rest = self.decoder.weights + (0 if image_elsewhere else self.image)
        asleep = self.weights - self._fetched
        take = self.kv + self.context + self.decoder.stream + self._work(self.decoder)
        reading = asleep + self.text + self.text_work
        making = asleep + take
        if self.profile.text_stays:
            return rest + max(reading, self.text + making)
        return rest + (making if self.text_elsewhere else max(reading, making))

    @property
    def _fetched(self) -> int:
        """Weights that are on the device only during a pass."""
        return self.fetched * self.blocks // self.layers if self.profile.layerwise else 0

    def _work(self, codec: CodecNeed) -> int:
        passing = self.work + self._fetched
        return passing + codec.work if self.beside else max(passing, codec.work)

    def under(self, profile: Profile) -> MemoryPlan:
        """The plan under another profile."""
        halves = self.halved is not None and profile.weights == "bf16"
        return replace(self.halved if halves and self.halved else self, profile=profile)

    def fits(self, free: int) -> bool:
        """Whether it can run in `free` bytes."""
        return self.peak <= free * (1 - MARGIN)

    def best(self, free: int, formats: tuple[Weights, ...] = ("plain",)) -> MemoryPlan:
        """Under the fastest profile that fits in `free` bytes, or the smallest when none does.

        formats: those of the blocks' weights that can be had here.
        """
        possible = [self.under(profile) for profile in PROFILES if profile.weights in formats]
        fitting = (plan for plan in possible if plan.fits(free))
        return next(fitting, min(possible, key=lambda plan: plan.peak))
