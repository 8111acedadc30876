"""How well a codec gives clips back: figures, and a picture to look at.

Shapes: B clips, T pixel frames, H W pixels.
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from longtake.models.codec import to_uint8
from longtake.models.patch_codec import PatchCodec

__all__ = ["measure", "psnr", "save_sheet"]


def psnr(frames: Tensor, target: Tensor) -> float:
    """Peak signal to noise ratio in decibels of uint8 frames, over all their values together."""
    error = (frames.float() - target.float()).square().mean()
    return float(10 * torch.log10(255.0**2 / error.clamp_min(1e-10)))


@torch.no_grad()
def measure(codec: PatchCodec, frames: Tensor) -> dict[str, float]:
    """PSNR of `uint8 [B, T, H, W, 3]`: first and later frames, by the closed form alone and by the
    decoder."""
    latents = codec.encode(frames, codec.start())
    ways = {"closed": to_uint8(codec.closed_form(latents)), "decoder": codec.decode(latents, codec.start())}
    figures = {}
    for name, back in ways.items():
        figures[f"{name}_first_psnr"] = psnr(back[:, :1], frames[:, :1])
        figures[f"{name}_later_psnr"] = psnr(back[:, 1:], frames[:, 1:])
    return figures


@torch.no_grad()
def save_sheet(codec: PatchCodec, frames: Tensor, path: Path, *, rows: int = 4, scale: int = 4) -> None:
    """A picture of `rows` clips' last frames, enlarged: original | closed form | decoder."""
    shown = frames[:rows]
    latents = codec.encode(shown, codec.start())
    columns = [shown, to_uint8(codec.closed_form(latents)), codec.decode(latents, codec.start())]
    sheet = torch.cat([torch.cat(list(column[:, -1]), dim=0) for column in columns], dim=1)
    image = Image.fromarray(sheet.numpy())
    image.resize((scale * image.width, scale * image.height), Image.Resampling.NEAREST).save(path)
