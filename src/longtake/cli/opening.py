"""How a command opens its model: in how much memory, with which codec, changed by which LoRAs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.errors import UserError

if TYPE_CHECKING:
    from longtake.models.codecs import CodecChoice
    from longtake.models.download import Line
    from longtake.models.hub import Checkpoint
    from longtake.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class GivenLora:
    """A `--lora`."""

    source: str
    """A file, a folder, or `owner/name` on the Hub."""
    scale: float = 1.0
    """How much of it."""

    @classmethod
    def read(cls, text: str) -> GivenLora:
        """Read `FILE` or `FILE:SCALE`. Raises UserError for a scale that is no number."""
        source, colon, tail = text.rpartition(":")
        if not colon:
            return cls(text)
        try:
            scale = float(tail)
        except ValueError:
            raise UserError(
                f"--lora {text}: {tail!r} is no scale; give FILE or FILE:SCALE, such as FILE:0.8"
            ) from None
        if not source or not math.isfinite(scale):
            raise UserError(f"--lora {text} is not a file and a scale; give FILE:SCALE, such as FILE:0.8")
        return cls(source, scale)


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """See the module's text."""

    profile: str | None = None
    """The memory profile; None takes the fastest that fits."""
    codec: CodecChoice = "full"
    """Which codec."""
    loras: tuple[GivenLora, ...] = ()
    """What the transformer is changed by."""

    @classmethod
    def read(cls, checkpoint: Checkpoint, profile: str | None, codec: str, loras: Sequence[str]) -> Opening:
        """Check `--profile`, `--codec` and `--lora` before anything is loaded (UserError)."""
        from longtake.fitting import profile_named
        from longtake.models.codecs import codec_part

        if profile is not None:
            profile_named(profile)
        codec_part(checkpoint, codec)  # type: ignore[arg-type]
        given = tuple(GivenLora.read(text) for text in loras)
        _check_loras(checkpoint, given)
        return cls(profile=profile, codec=codec, loras=given)  # type: ignore[arg-type]

    def open(self, model: str, line: Line | None = None) -> Pipeline:
        """The model, ready to generate."""
        from longtake.pipeline import Pipeline

        pipe = Pipeline.from_pretrained(model, profile=self.profile, codec=self.codec, line=line)
        names = [pipe.load_lora_weights(lora.source, line=line) for lora in self.loras]
        pipe.set_adapters(names, [lora.scale for lora in self.loras])
        return pipe

    def notes(self) -> tuple[str, ...]:
        """What is not as the model comes, for the summary."""
        loras = tuple(f"LoRA: {lora.source}, scale {lora.scale:g}" for lora in self.loras)
        return loras if self.codec == "full" else (*loras, f"codec: {self.codec}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Opening:
        """What `to_dict` was made of."""
        loras = tuple(GivenLora(**lora) for lora in values["loras"])
        return cls(profile=values["profile"], codec=values["codec"], loras=loras)


def _check_loras(checkpoint: Checkpoint, loras: Sequence[GivenLora]) -> None:
    """Refuse files that are none, or that were made for another model."""
    if not loras:
        return
    from longtake.adapters import is_local
    from longtake.forecast import layer_shapes
    from longtake.models.lora import read_lora

    shapes = layer_shapes(checkpoint)
    for lora in loras:
        if is_local(lora.source):
            read_lora(Path(lora.source), allow_pt=True).check(shapes)
