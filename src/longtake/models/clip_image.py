"""The CLIP image encoder: pictures to one embedding each, as OpenCLIP's ViT-H/14 makes it.

transformers' `CLIPVisionModelWithProjection`, fed as OpenCLIP's users feed it: the whole picture, resized bicubically
with its corners kept in place, never cut.

Shapes: N pictures, H W pixels, E channels of an embedding.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtake.models.clip_text import number_positions
from longtake.models.containers import open_container
from longtake.models.files import load_strict, read_json

if TYPE_CHECKING:
    from transformers import CLIPVisionModelWithProjection

__all__ = ["VIT_H", "ClipImageEncoder"]

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

VIT_H: dict[str, Any] = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
    "projection_dim": 1024,
    "hidden_act": "gelu",
}
"""Sizes of OpenCLIP's ViT-H/14 (laion2b_s32b_b79k), in transformers' words."""


class ClipImageEncoder(nn.Module):
    """See the module's text."""

    def __init__(self, encoder: CLIPVisionModelWithProjection) -> None:
        super().__init__()
        self.encoder = encoder
        self.side: Any = encoder.config.image_size

    @classmethod
    def blank(cls, config: dict[str, Any] | None = None) -> ClipImageEncoder:
        """Without contents (on the meta device); None stands for the ViT-H/14."""
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

        values = {key: value for key, value in (config or VIT_H).items() if not key.startswith("_")}
        with torch.device("meta"):
            encoder = CLIPVisionModelWithProjection(CLIPVisionConfig(**values))
        number_positions(encoder)
        return cls(encoder.eval().requires_grad_(False))

    @classmethod
    def from_pretrained(cls, folder: Path, dtype: torch.dtype, *, allow_pt: bool = False) -> ClipImageEncoder:
        """Read a transformers folder. Raises UserError when it is missing, damaged or does not fit."""
        model = cls.blank(read_json(folder / "config.json"))
        state = dict(open_container(folder, allow_pt=allow_pt).tensors)
        state.pop("vision_model.embeddings.position_ids", None)
        load_strict(model.encoder, state, source=folder, assign=True)
        model.requires_grad_(False)
        return model.to(dtype)

    def forward(self, pictures: Tensor) -> Tensor:
        """`[N, 3, H, W]` in −1…1 → `[N, E]`."""
        side = self.side
        x = F.interpolate(pictures, (side, side), mode="bicubic", align_corners=True)
        mean, std = (pictures.new_tensor(values)[:, None, None] for values in (MEAN, STD))
        embedding: Tensor = self.encoder((x / 2 + 0.5 - mean) / std).image_embeds
        return embedding
