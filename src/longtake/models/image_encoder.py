"""The image encoder of Wan's image-to-video models: CLIP ViT-H (arXiv 2103.00020), read before its last layer.

A picture is scaled until its shorter side has the encoder's size, its middle is cut out, and what comes out of the last
layer but one is one token for each patch and one for the whole. Pictures are encoded once a take.

Shapes: P pictures, I tokens of a picture, D their width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from longtake.footage import Picture
from longtake.models.clip_keymap import PREFIX, is_original, to_transformers
from longtake.models.containers import find_file
from longtake.models.files import load_strict, read_json
from longtake.models.residence import move
from longtake.models.tensor_file import read_tensors

if TYPE_CHECKING:
    from transformers import CLIPVisionModel

__all__ = ["CLIP_VIT_H", "ImageEncoder", "parameters_of"]

CLIP_VIT_H: Mapping[str, Any] = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "attention_dropout": 0.0,
}
"""Sizes of the published encoder, in transformers' words."""
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Of each colour, as CLIP was trained."""

_CONFIG = "config.json"
_NOT_READ = ("embeddings.position_ids", "visual_projection.weight")
"""Of some files: a table of numbers from 0 on, which the network makes itself, and what leads away from the tokens."""


class ImageEncoder(nn.Module):
    """Pictures to the tokens that a Wan transformer's cross-attention reads beside the text."""

    def __init__(self, encoder: CLIPVisionModel) -> None:
        super().__init__()
        self.encoder = encoder

    @classmethod
    def from_files(
        cls,
        path: Path,
        *,
        config: Mapping[str, Any] | None = None,
        allow_pt: bool = False,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ) -> ImageEncoder:
        """Read a transformers folder, or Wan's file (`models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth`).

        config: sizes of a file without a `config.json` beside it, ViT-H's if not given. allow_pt: true only where a
        person named this very path. Weights stored in `dtype` stay mapped to their file. Raises UserError when
        something is missing, damaged or does not fit.
        """
        file = find_file(path)
        beside = file.parent / _CONFIG
        sizes = config or (read_json(beside) if beside.is_file() else CLIP_VIT_H)
        tensors = read_tensors(file, allow_pt=allow_pt)
        if is_original(tensors):
            tensors = to_transformers(tensors)
        encoder = _blank(sizes)
        prefix = PREFIX if any(name.startswith(PREFIX) for name in encoder.state_dict()) else ""
        plain = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
        state = {f"{prefix}{name}": tensor for name, tensor in plain.items() if name not in _NOT_READ}
        load_strict(encoder, state, source=path, assign=True)
        _count_positions(encoder)
        move(encoder, device or torch.device("cpu"), dtype)
        return cls(encoder.requires_grad_(False))

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.encoder.device

    @property
    def size(self) -> int:
        """Rows and columns of the picture that it sees."""
        size = self.encoder.config.image_size
        assert isinstance(size, int)  # CLIP sees squares
        return size

    @torch.no_grad()
    def encode(self, pictures: Sequence[Picture]) -> Tensor:
        """The tokens `[1, P·I, D]` of some pictures, one after the other; float32 on the CPU."""
        pixels = torch.stack([self._seen(picture) for picture in pictures])
        out = self.encoder(pixels.to(self.device, self.encoder.dtype), output_hidden_states=True)
        tokens: Tensor = out.hidden_states[-2]
        return tokens.flatten(0, 1)[None].to("cpu", torch.float32)

    def _seen(self, picture: Picture) -> Tensor:
        """`[3, size, size]`: the middle of a picture, its colours as the encoder knows them."""
        height, width = picture.shape[:2]
        short = min(height, width)
        scaled = (int(self.size * width / short), int(self.size * height / short))
        image = Image.fromarray(picture).resize(scaled, Image.Resampling.BICUBIC)
        left, top = (scaled[0] - self.size) // 2, (scaled[1] - self.size) // 2
        cut = np.asarray(image.crop((left, top, left + self.size, top + self.size)), np.float32) / 255
        mean, std = np.array(MEAN, np.float32), np.array(STD, np.float32)
        return torch.from_numpy((cut - mean) / std).permute(2, 0, 1)


def parameters_of(config: Mapping[str, Any] | None) -> int:
    """Numbers in an encoder of these sizes; None stands for the published one."""
    return sum(tensor.numel() for tensor in _blank(config or CLIP_VIT_H).parameters())


def _blank(config: Mapping[str, Any]) -> CLIPVisionModel:
    """The encoder without contents."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    with torch.device("meta"):
        return CLIPVisionModel(CLIPVisionConfig(**config)).eval()


def _count_positions(encoder: nn.Module) -> None:
    """Make the table of positions, which is in no file, and of which a blank encoder has none."""
    for module in encoder.modules():
        if isinstance(counted := getattr(module, "position_ids", None), Tensor):
            module.position_ids = torch.arange(counted.shape[-1])[None]
