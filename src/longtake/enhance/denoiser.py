"""What enhancing needs of a network: text read once, and clean latents predicted from noisy ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from torch import Tensor

from longtake.enhance.levels import Level
from longtake.errors import UserError

Text = TypeVar("Text")


class Denoiser(Protocol[Text]):
    """A network with its text encoder. Tensors are float32 on the CPU outside, whatever it computes in."""

    @property
    def patch(self) -> int:
        """Latent cells that a side of the picture must be a multiple of."""
        ...

    def read(self, prompt: str) -> Text:
        """What a prompt is to the network, the empty prompt of guidance included."""
        ...

    def clean(self, x: Tensor, level: Level, text: Text) -> Tensor:
        """The clean latents that `x [1, C, T, H, W]` at `level` is predicted to come from."""
        ...


class Prompted(Generic[Text]):
    """A denoiser under prompts that change over time: a window is made under the one in force at its middle."""

    def __init__(
        self, denoiser: Denoiser[Text], prompts: Sequence[tuple[float, str]], seconds_a_latent: float
    ) -> None:
        if not prompts or not all(prompt.strip() for _, prompt in prompts):
            raise UserError("no prompt given; say what is to be seen")
        self._denoiser = denoiser
        self._prompts = tuple(prompts)
        self._seconds = seconds_a_latent
        self._read: tuple[str, Text] | None = None

    def __call__(self, x: Tensor, level: Level, frames: range) -> Tensor:
        """See `window.Denoise`."""
        return self._denoiser.clean(x, level, self._text(self.prompt(frames)))

    def prompt(self, frames: range) -> str:
        """The prompt that a window of these latent frames is made under."""
        middle = (frames.start + frames.stop) / 2 * self._seconds
        begun = [prompt for start, prompt in self._prompts if start <= middle]
        return begun[-1] if begun else self._prompts[0][1]

    def _text(self, prompt: str) -> Text:
        if self._read is None or self._read[0] != prompt:
            self._read = prompt, self._denoiser.read(prompt)
        return self._read[1]
