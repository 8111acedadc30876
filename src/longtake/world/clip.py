"""mini-clip: a small contrastive text and image encoder trained on toybox, with CLIP's interface.

It gives an offline text–image score for toybox prompts and image features for those who need some. It is
*not* CLIP: it knows toybox and nothing else, and its scores must be reported under its own name and never
beside CLIP's. Like every metric's model it never takes part in training a generator that it judges. Source of
the objective: A. Radford et al., "Learning transferable visual models from natural language supervision"
(arXiv 2103.00020). Single frames show no motion, so motion words count for little in the score.

Shapes: B images or texts, L words, D width of the shared space, H W pixels.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longtake.errors import UserError
from longtake.models.files import load_strict, read_json, read_safetensors
from longtake.world.vocabulary import words

__all__ = ["MiniClip", "MiniClipConfig", "MiniClipNet"]

WEIGHTS = Path(__file__).parent.parent / "weights" / "clip"
NAME = "mini-clip"
"""How its figures are always named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MiniClipConfig:
    """Sizes of mini-clip."""

    size: int = 96
    """Rows and columns of images; others are resized to it."""
    width: int = 24
    """Channels of the image encoder's first layer."""
    embed_dim: int = 128
    """Width of the shared space, D."""
    text_dim: int = 128
    """Width of the text encoder."""
    text_layers: int = 2
    """Layers of the text encoder."""
    text_heads: int = 4
    """Attention heads of the text encoder."""
    max_length: int = 64
    """Words of a text; later ones are dropped."""
    vocabulary: tuple[str, ...] = ()
    """Words it knows; others count as one unknown word."""


def _conv(channels: int, width: int, stride: int) -> nn.Sequential:
    layer = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
    return nn.Sequential(layer, nn.GroupNorm(8, width), nn.SiLU())


class MiniClipNet(nn.Module):
    """Both encoders and the temperature."""

    def __init__(self, config: MiniClipConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.image = nn.Sequential(
            _conv(3, width, 2),
            _conv(width, 2 * width, 2),
            _conv(2 * width, 3 * width, 2),
            _conv(3 * width, 3 * width, 1),
            _conv(3 * width, 4 * width, 2),
            _conv(4 * width, 4 * width, 1),
        )
        self.image_look = nn.Linear(4 * width, 4)
        self.image_out = nn.Linear(4 * width * 5, config.embed_dim)
        self.words = nn.Embedding(len(config.vocabulary) + 2, config.text_dim, padding_idx=0)
        self.places = nn.Parameter(torch.randn(config.max_length, config.text_dim) * 0.02)
        layer = nn.TransformerEncoderLayer(
            config.text_dim,
            config.text_heads,
            2 * config.text_dim,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.text = nn.TransformerEncoder(layer, config.text_layers, enable_nested_tensor=False)
        self.text_out = nn.Linear(config.text_dim, config.embed_dim)
        self.logit_scale = nn.Parameter(torch.tensor(2.66))

    def encode_image(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in -1..1 to unit vectors [B, D], from a mean and four looks."""
        cells = self.image(images).flatten(2).transpose(1, 2)
        looks = self.image_look(cells).softmax(1).transpose(1, 2) @ cells
        seen = torch.cat([cells.mean(1, keepdim=True), looks], 1).flatten(1)
        return F.normalize(self.image_out(seen), dim=1)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Word numbers [B, L], 0 for padding, to unit vectors [B, D]."""
        blank = tokens == 0
        hidden = self.words(tokens) + self.places[: tokens.shape[1]]
        hidden = self.text(hidden, src_key_padding_mask=blank)
        there = (~blank).unsqueeze(2)
        return F.normalize(self.text_out((hidden * there).sum(1) / there.sum(1)), dim=1)


class MiniClip:
    """The trained mini-clip."""

    name = NAME

    def __init__(self, net: MiniClipNet) -> None:
        self.net = net.eval()
        self.config = net.config
        self._numbers = {word: number + 2 for number, word in enumerate(net.config.vocabulary)}

    @classmethod
    def new(cls, config: MiniClipConfig | None = None) -> MiniClip:
        """Untrained, with toybox's words."""
        return cls(MiniClipNet(config or MiniClipConfig(vocabulary=words())))

    @classmethod
    def load(cls, folder: str | Path = WEIGHTS) -> MiniClip:
        """Load `config.json` and `model.safetensors`; UserError when a file is missing, damaged or unfit."""
        folder = Path(folder)
        values = read_json(folder / "config.json")
        try:
            config = MiniClipConfig(**{**values, "vocabulary": tuple(values.get("vocabulary", ()))})
        except TypeError as reason:
            raise UserError(f"{folder / 'config.json'} does not fit ({reason}); restore the file") from None
        net = MiniClipNet(config)
        weights = read_safetensors(folder / "model.safetensors")
        load_strict(net, {key: value.float() for key, value in weights.items()}, source=folder)
        return cls(net)

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """Word numbers [B, L]; 0 is padding, 1 an unknown word."""
        rows = [re.findall(r"[a-z]+|,", text.lower())[: self.config.max_length] for text in texts]
        if not all(rows):
            raise UserError("an empty text was given; mini-clip needs at least one word")
        numbers = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        for row, found in zip(numbers, rows, strict=True):
            row[: len(found)] = torch.tensor([self._numbers.get(word, 1) for word in found])
        return numbers

    def pixels(self, images: np.ndarray) -> Tensor:
        """uint8 [B, H, W, 3] to floats [B, 3, size, size] in -1..1."""
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
            raise UserError(
                f"images of {images.dtype} {images.shape} given; mini-clip takes uint8 [B, H, W, 3]"
            )
        floats = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        size = self.config.size
        if floats.shape[-2:] == (size, size):
            return floats
        return F.interpolate(floats, (size, size), mode="bilinear", antialias=True, align_corners=False)

    @torch.no_grad()
    def encode_image(self, images: np.ndarray) -> Tensor:
        """Unit vectors [B, D] of images uint8 [B, H, W, 3]."""
        return self.net.encode_image(self.pixels(images))

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors [B, D] of texts."""
        return self.net.encode_text(self.tokens(texts))

    def similarity(self, images: np.ndarray, texts: Sequence[str]) -> Tensor:
        """Cosines [images, texts] in -1..1; higher is more alike."""
        return self.encode_image(images) @ self.encode_text(texts).T

    def score(self, frames: np.ndarray, text: str) -> float:
        """100 times the mean cosine of a clip's frames uint8 [T, H, W, 3] with a text; report it as mini-
        clip."""
        return 100.0 * float(self.similarity(frames, [text]).mean())

    def config_values(self) -> dict[str, object]:
        """What `config.json` holds."""
        return asdict(self.config)
