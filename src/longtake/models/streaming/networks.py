"""Both memories of a transformer, on disk and off: folders `cam/` and `apm/` beside `transformer/`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import nn

from longtake.errors import UserError
from longtake.models.files import load_strict, read_json, read_safetensors
from longtake.models.folder import CONFIG_FILE, DIFFUSERS_STEM, save_folder
from longtake.models.streaming.apm import ApmNetwork
from longtake.models.streaming.cam import AttendingCam, ShortTerm
from longtake.models.streaming.compared import AddingCam, ConcatenatingCam
from longtake.models.streaming.config import ApmConfig, CamConfig
from longtake.models.wan_config import WanConfig

CAM, APM = "cam", "apm"
"""Names of the folders."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryNetworks:
    """The memories that a transformer has."""

    cam: ShortTerm | None = None
    """Short-term memory."""
    apm: ApmNetwork | None = None
    """Long-term memory."""

    def to(self, device: torch.device, dtype: torch.dtype) -> MemoryNetworks:
        """The same, elsewhere or in another format; networks are moved in place."""
        for network in (self.cam, self.apm):
            if network is not None:
                cast(nn.Module, network).to(device, dtype)
        return self

    def save(self, folder: Path, *, dtype: torch.dtype | None = torch.float16) -> None:
        """Write `cam/` and `apm/` into a model's folder, whatever of them there is."""
        for name, network in ((CAM, self.cam), (APM, self.apm)):
            if network is not None:
                state = cast(nn.Module, network).state_dict()
                save_folder(folder / name, network.config.to_dict(), state, dtype=dtype)

    def without(self, *, cam: bool = False, apm: bool = False) -> MemoryNetworks:
        """With some of them left out."""
        return replace(self, cam=None if cam else self.cam, apm=None if apm else self.apm)


def short_term(config: CamConfig) -> ShortTerm:
    """A new network of short-term memory, of the kind that the config names."""
    kinds = {"attend": AttendingCam, "add": AddingCam, "concat": ConcatenatingCam}
    return cast(ShortTerm, kinds[config.fusion](config))


def open_cam(folder: Path, backbone: WanConfig) -> ShortTerm:
    """The short-term memory in `cam/`. Raises UserError when it is damaged, or of another transformer."""
    config = CamConfig.from_dict(read_json(folder / CONFIG_FILE))
    there = (config.channels, config.dim, config.heads, config.patch_size)
    here = (backbone.out_channels, backbone.dim, backbone.num_attention_heads, backbone.patch_size)
    if there != here or max(config.layers, default=0) >= backbone.num_layers:
        raise UserError(f"the short-term memory in {folder} is of another transformer; train one for this")
    network = short_term(config)
    _fill(cast(nn.Module, network), folder)
    return network


def open_apm(folder: Path, backbone: WanConfig) -> ApmNetwork:
    """The long-term memory in `apm/`. Raises UserError when it is damaged, or of another transformer."""
    config = ApmConfig.from_dict(read_json(folder / CONFIG_FILE))
    there = (config.channels, config.dim, config.layers)
    if there != (backbone.out_channels, backbone.dim, backbone.num_layers):
        raise UserError(f"the long-term memory in {folder} is of another transformer; train one for this")
    network = ApmNetwork(config)
    _fill(network, folder)
    return network


def _fill(network: nn.Module, folder: Path) -> None:
    state = read_safetensors(folder / f"{DIFFUSERS_STEM}.safetensors")
    load_strict(network, {name: tensor.float() for name, tensor in state.items()}, source=folder)
    network.eval().requires_grad_(False)


def cam_config(backbone: WanConfig, *, last_layers: int, **values: object) -> CamConfig:
    """Sizes of a short-term memory for a transformer whose last blocks read it. values: other fields."""
    first = max(0, backbone.num_layers - last_layers)
    return CamConfig(
        channels=backbone.out_channels,
        dim=backbone.dim,
        heads=backbone.num_attention_heads,
        ffn_dim=backbone.ffn_dim,
        patch_size=backbone.patch_size,
        layers=tuple(range(first, backbone.num_layers)),
        eps=backbone.eps,
        **values,  # type: ignore[arg-type]
    )


def apm_config(backbone: WanConfig, *, text_tokens: int, **values: object) -> ApmConfig:
    """Sizes of a long-term memory for a transformer that reads so many rows a prompt. values: other fields."""
    return ApmConfig(
        channels=backbone.out_channels,
        dim=backbone.dim,
        layers=backbone.num_layers,
        text_tokens=text_tokens,
        **values,  # type: ignore[arg-type]
    )
