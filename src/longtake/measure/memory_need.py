"""What `doctor` predicts against what a take allocates: random models whose memory goes into different things."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import yaml

from longtake.forecast import forecast
from longtake.measure.allocated import peak_bytes
from longtake.measure.bare import random_codec
from longtake.measure.provenance import provenance
from longtake.measure.results import Figure, Result
from longtake.models.hub import PRESET_FILE, Checkpoint, look_up
from longtake.models.opening import Networks, open_model
from longtake.models.plan import PROFILES, RESIDENT, Profile
from longtake.models.text import TextEncoder
from longtake.models.wan import WanConfig, WanTransformer
from longtake.pipeline import Pipeline

__all__ = ["NEEDS", "Need", "allocated", "memory_need", "predicted"]

Progress = Callable[[int, int, str], None]
CPU = torch.device("cpu")
WORDS = ("a", "red", "blue", "sphere", "cube", "rolls")
CHANNELS = 4
WIDE = WanConfig(num_attention_heads=4, attention_head_dim=96, ffn_dim=1536, num_layers=6, freq_dim=32)
THIN = WanConfig(num_attention_heads=4, attention_head_dim=32, ffn_dim=256, num_layers=6, freq_dim=32)
POLICY: dict[str, Any] = {
    "block": 2,
    "window": {"kind": "rolling", "frames": 6, "sink": 1},
    "position": {"kind": "relative"},
    "sampler": {"kind": "few-step", "steps": [1000], "shift": 5, "warp": True},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """A model and a way of running it."""

    network: WanConfig
    """Sizes of the transformer, but for its channels and its text."""
    size: tuple[int, int]
    """Pixels across and down."""
    text: int = 24
    """Width of the text encoder."""
    vae: int | None = None
    """Base width of a Wan VAE, in place of a small codec."""
    policy: Mapping[str, Any] = field(default_factory=dict)
    """What differs from `POLICY`."""
    profile: Profile = RESIDENT
    dtype: torch.dtype = torch.float32

    def saved(self, folder: Path) -> Checkpoint:
        """The model with random weights in a folder."""
        torch.manual_seed(0)
        config = replace(self.network, in_channels=CHANNELS, out_channels=CHANNELS, text_dim=self.text)
        WanTransformer(config).save_pretrained(folder / "transformer")
        self._save_codec(folder / "codec")
        TextEncoder.small(
            WORDS, d_model=self.text, layers=2, heads=2, d_ff=4 * self.text, max_length=12
        ).save(folder)
        preset = {
            "name": "random", "summary": "random weights", "licence": "none", "folder": ".",
            "native": {"width": self.size[0], "height": self.size[1], "fps": 8}, "policy": {**POLICY, **self.policy},
        }  # fmt: skip
        (folder / PRESET_FILE).write_text(yaml.safe_dump(preset), encoding="utf-8")
        return look_up(folder)

    def _save_codec(self, folder: Path) -> None:
        if self.vae is None:
            random_codec(CHANNELS).save_pretrained(folder)
            return
        from diffusers import AutoencoderKLWan

        mean, std = [0.0] * CHANNELS, [1.0] * CHANNELS
        vae = AutoencoderKLWan(base_dim=self.vae, z_dim=CHANNELS, latents_mean=mean, latents_std=std)
        vae.save_pretrained(folder)


NEEDS = {
    "weights": Need(network=WIDE, size=(64, 64), text=256),
    "past": Need(
        network=THIN, size=(256, 256), policy={"window": {"kind": "rolling", "frames": 16, "sink": 3}}
    ),
    "past in bfloat16, absolute, with guidance": Need(
        network=THIN,
        size=(256, 256),
        policy={
            "window": {"kind": "full", "frames": 20},
            "position": {"kind": "absolute"},
            "guidance_scale": 2.0,
        },
        dtype=torch.bfloat16,
    ),
    "decoding": Need(network=THIN, size=(64, 64), vae=12),
    "layer by layer": Need(network=WIDE, size=(64, 64), text=256, profile=PROFILES[-1]),
}
"""By what most of the memory is for."""


def memory_need(progress: Progress, needs: Mapping[str, Need] = NEEDS) -> Result:
    """Every need predicted and measured."""
    begin, figures = time.perf_counter(), list[Figure]()
    for number, (name, need) in enumerate(needs.items()):
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = need.saved(Path(folder))
            said, found = predicted(checkpoint, need), allocated(checkpoint, need)
        off = abs(said - found) / found
        note = f"predicted {said / 1e6:.1f}, measured {found / 1e6:.1f} MB"
        figures.append(Figure(name=name, value=off, unit="share", asked="<= 0.1", note=note))
        progress(number + 1, len(needs), name)
    return Result(
        name="memory",
        title="The peak that `doctor` predicts against the one that is measured",
        definition="How far the prediction, made from configs alone, is off the measured peak: weights on the device, "
        "and the most that PyTorch's allocator has handed out at once while four blocks are made. Random models, each "
        "with its memory in another thing.",
        config={name: _words(need) for name, need in needs.items()},
        figures=tuple(figures),
        provenance=provenance("float32"),
        seconds=time.perf_counter() - begin,
    )


def _words(need: Need) -> str:
    size = f"{need.size[0]}x{need.size[1]}"
    return f"{need.network.num_layers} layers of width {need.network.dim}, {size}, {need.profile.name}"


def predicted(checkpoint: Checkpoint, need: Need) -> int:
    """Bytes at the peak, as `doctor` says."""
    width, height = need.size
    plan = forecast(checkpoint, width=width, height=height, dtype=need.dtype, device=CPU)
    return plan.under(need.profile).peak


def allocated(checkpoint: Checkpoint, need: Need) -> int:
    """Weights on the device, and the most that four blocks allocate beside them."""
    networks = open_model(checkpoint, dtype=need.dtype, device=CPU, profile=need.profile)
    if isinstance(networks.text_encoder, TextEncoder):
        networks.text_encoder.cache = None
    pipe = Pipeline(checkpoint, *networks)
    peak = peak_bytes(lambda: _film(pipe))
    return _weights(networks) + peak - (_mapped(checkpoint) if need.profile.layerwise else 0)


def _film(pipe: Pipeline) -> None:
    """Make chunks and let them go."""
    for _ in islice(pipe.stream("a red cube", seed=1), 4):
        pass


def _weights(networks: Networks) -> int:
    there = (networks.backbone, networks.codec, networks.text_encoder)
    tensors = (tensor for network in there for tensor in (*network.parameters(), *network.buffers()))
    return sum(tensor.nbytes for tensor in tensors if not tensor.is_meta)


def _mapped(checkpoint: Checkpoint) -> int:
    """The allocator's log counts the file that a block is copied from, which is mapped and takes no memory."""
    (file,) = checkpoint.part("transformer").path.glob("*.safetensors")
    return file.stat().st_size
