"""Sizes of the two memories of a transformer. They lie beside it, each with a `config.json` of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from longtake.errors import UserError

Fusion = Literal["attend", "add", "concat"]
FUSIONS: tuple[Fusion, ...] = ("attend", "add", "concat")


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    """Reads and writes `config.json`; unknown and missing fields are errors."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `to_dict` gave. Raises UserError for fields that are unknown, missing or impossible."""
        given = {name: value for name, value in values.items() if not name.startswith("_")}
        known = {field.name for field in fields(cls)}
        if wrong := sorted(known ^ given.keys()):
            raise UserError(
                f"the config of {cls.__name__} has {', '.join(wrong)} too much or too little; "
                "export the memory again"
            )
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in given.items()})

    def to_dict(self) -> dict[str, Any]:
        """`config.json`."""
        return {"_class_name": type(self).__name__} | asdict(self)

    def _check_counts(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UserError(
                    f"{name} {value!r} of a memory is not a count; a whole number from 1 is needed"
                )


@dataclass(frozen=True, kw_only=True)
class CamConfig(_Sizes):
    """Short-term memory (CAM)."""

    channels: int
    """Latent channels."""
    dim: int
    """Width of the transformer."""
    heads: int
    """Heads of the transformer."""
    ffn_dim: int
    """Inner width of the encoder's feed-forward layers."""
    patch_size: tuple[int, int, int]
    """The transformer's."""
    layers: tuple[int, ...]
    """Blocks of the transformer that read the memory."""
    encoder_layers: int = 2
    """Blocks of the encoder of the frames before."""
    frames: int = 2
    """Latent frames before a clip that it remembers, P; the clip's first P show them again."""
    clip: int = 4
    """Latent frames of a clip that it was trained for."""
    fusion: Fusion = "attend"
    """How the memory enters: the published cross-attention, or what the paper compares it with (adding to features,
    concatenating to the input's channels)."""
    eps: float = 1e-6
    """Of norms; the transformer's."""

    def __post_init__(self) -> None:
        self._check_counts("channels", "dim", "heads", "ffn_dim", "frames", "clip")
        if self.fusion not in FUSIONS:
            raise UserError(f"fusion {self.fusion!r} of a memory is unknown; known: {', '.join(FUSIONS)}")
        if self.dim % self.heads:
            raise UserError(f"width {self.dim} of a memory is no multiple of its {self.heads} heads")
        if not self.frames < self.clip:
            raise UserError(f"a clip of {self.clip} latent frames cannot show {self.frames} again; use fewer")


@dataclass(frozen=True, kw_only=True)
class ApmConfig(_Sizes):
    """Long-term memory (APM)."""

    channels: int
    """Latent channels."""
    dim: int
    """Width of the transformer, in which its cross-attention reads text."""
    layers: int
    """Blocks of the transformer."""
    text_tokens: int
    """Rows of a prompt's embedding, L."""
    image_tokens: int = 16
    """Tokens of an anchor, I."""
    width: int = 64
    """Channels of the picture encoder's first layer."""
    pool: int = 2
    """Rows and columns that its last layer is averaged to."""
    hidden: int = 256
    """Inner width of the layers that make tokens."""

    def __post_init__(self) -> None:
        self._check_counts(*(field.name for field in fields(self)))

    @property
    def embedding_dim(self) -> int:
        """Numbers of a picture's embedding, E."""
        return 2 * self.width * self.pool**2
