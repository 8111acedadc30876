"""How much memory a model will need at a size, said before anything is loaded; `fitting` decides by it.

Bytes follow from the sizes of the networks, the preset's policy and the picture: weights and caches are counted, passes
of the transformer and the codec are run on tensors without contents. Nothing is read but configs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from longtake.errors import UserError
from longtake.memory.build import cache_shape, planned_bytes
from longtake.models.attention import Grid
from longtake.models.codec import Codec
from longtake.models.codecs import CodecChoice, blank_codec, codec_part, spatial_stride
from longtake.models.files import read_json
from longtake.models.footprint import decode_bytes
from longtake.models.hub import Checkpoint, Preset
from longtake.models.image_encoder import parameters_of
from longtake.models.kl_codec import KlCodec
from longtake.models.lora import linear_layers
from longtake.models.network import Network, TextNetwork
from longtake.models.parts import PartName
from longtake.models.passes import IMAGE_TOKENS, pass_bytes
from longtake.models.patch_codec import PatchCodec
from longtake.models.plan import CodecNeed, MemoryPlan, Weights
from longtake.models.quantise import available
from longtake.models.steps import Listed, RollingSpec, StreamBatchSpec
from longtake.models.streaming.apm import ApmNetwork
from longtake.models.streaming.config import ApmConfig, CamConfig
from longtake.models.streaming.networks import short_term
from longtake.models.text import MAX_LENGTH
from longtake.models.text_weights import reading_dtype
from longtake.models.tiled_codec import Tiling
from longtake.models.unet.config import UNetConfig
from longtake.models.unet.plan import streaming_need
from longtake.models.wan import WanConfig, WanTransformer
from longtake.models.wide_products import codec_dtype
from longtake.models.windows import ClipWindow
from longtake.settings import check_grid


def forecast(
    checkpoint: Checkpoint,
    *,
    width: int,
    height: int,
    dtype: torch.dtype,
    device: torch.device,
    codec: CodecChoice = "full",
) -> MemoryPlan:
    """The plan for takes of `width` x `height` pixels with weights in `dtype`, under the plain profile.

    Works for models that are not on disk. Raises UserError for a size off the model's grid.
    """
    if checkpoint.preset.architecture == "unet":
        return _streaming(checkpoint, width, height, dtype, device)
    config = _network(checkpoint)
    sizes = _sizes(config)
    blank = blank_codec(_config(checkpoint, codec_part(checkpoint, codec)), codec)
    stride = blank.spatial_stride
    check_grid(checkpoint.preset, width, height, stride * config.patch_size[1])
    grid = config.grid(height // stride, width // stride)
    text, length = _text(checkpoint)
    text_itemsize = reading_dtype(text).itemsize
    inside = codec_dtype(dtype, device)
    whole, tiled = _codec_needs(blank, checkpoint.preset.policy.block, width, height, inside, device)
    item, policy = dtype.itemsize, checkpoint.preset.policy
    prompts = 1 if policy.guidance_scale == 1 else 2
    halves = dtype == torch.float32 and "bf16" in formats(device)
    return MemoryPlan(
        blocks=sizes.num_layers * sizes.block_parameters * item,
        matrices=sizes.num_layers * sizes.block_parameters,
        outer=sizes.outer_parameters * item + _memories(checkpoint) * item,
        layers=sizes.num_layers,
        kv=planned_bytes(policy, config, grid, dtype),
        context=2 * prompts * sizes.num_layers * (length + _image_tokens(config)) * sizes.dim * item,
        work=_work(checkpoint.preset, config, grid, length, dtype),
        text=text.parameters * text_itemsize,
        text_work=text.work(length, text_itemsize),
        image=_image(checkpoint, config),
        codec=whole,
        tiled_codec=tiled,
        fetched=2 if device.type == "cuda" else 1,
        text_elsewhere=device.type == "cuda",
        beside=device.type == "cuda",
        halved=forecast(
            checkpoint, width=width, height=height, dtype=torch.bfloat16, device=device, codec=codec
        )
        if halves
        else None,
    )


def _streaming(
    checkpoint: Checkpoint, width: int, height: int, dtype: torch.dtype, device: torch.device
) -> MemoryPlan:
    """Of a StreamingT2V: everything stays where it computes, and nothing of it is fetched layer by layer."""
    values, policy = _config(checkpoint, "transformer"), checkpoint.preset.policy
    config = UNetConfig() if values is None else UNetConfig.from_dict(values)
    codec = KlCodec.blank(_config(checkpoint, "codec"))
    stride = codec.spatial_stride
    check_grid(checkpoint.preset, width, height, stride * config.patch_size[1])
    branches = 1 if policy.guidance_scale == 1 else 2
    need = streaming_need(config, height // stride, width // stride, dtype, branches=branches)
    whole, tiled = _codec_needs(codec, policy.block, width, height, dtype, device)
    return MemoryPlan(
        blocks=0,
        matrices=0,
        outer=need.network,
        layers=1,
        kv=0,
        context=0,
        work=need.work,
        text=need.text_encoder,
        text_work=0,
        image=need.image_encoder,
        codec=whole,
        tiled_codec=tiled,
    )


def layer_shapes(checkpoint: Checkpoint) -> dict[str, torch.Size]:
    """Shape of every linear layer of a model's transformer, by name; from its config alone."""
    with torch.device("meta"):
        model = WanTransformer(_network(checkpoint))
    return {name: layer.weight.shape for name, layer in linear_layers(model).items()}


def formats(device: torch.device) -> tuple[Weights, ...]:
    """Formats of weights that can be had on a device."""
    halves: tuple[Weights, ...] = ("bf16",) if device.type == "cpu" else ()
    return ("plain", *halves, *(name for name, reason in available(device).items() if reason is None))


def floor(checkpoint: Checkpoint, *, width: int, height: int, dtype: torch.dtype) -> int:
    """Bytes that a take needs in any case, weights and past alone; found at once, while `forecast` takes seconds."""
    if checkpoint.preset.architecture == "unet":
        place = checkpoint.parts.get("transformer")
        return 0 if place is None else place.num_bytes
    config = _network(checkpoint)
    stride = spatial_stride(_config(checkpoint, "codec"))
    check_grid(checkpoint.preset, width, height, stride * config.patch_size[1])
    past = planned_bytes(
        checkpoint.preset.policy, config, config.grid(height // stride, width // stride), dtype
    )
    return past + _sizes(config).parameters * dtype.itemsize


def _work(preset: Preset, config: WanConfig, grid: Grid, length: int, dtype: torch.dtype) -> int:
    """The largest pass: over the frames that are denoised together, beside all that they see."""
    policy = preset.policy
    frames, rows = policy.block, 1
    if isinstance(policy.window, ClipWindow):
        return pass_bytes(config, grid, frames=frames, past=0, dtype=dtype, text_length=length)
    if isinstance(policy.sampler, Listed) and isinstance(policy.sampler, RollingSpec):
        frames *= len(policy.sampler.steps)
    if isinstance(policy.sampler, StreamBatchSpec):
        rows = len(policy.sampler.steps)
    shape = cache_shape(policy)
    past = 0 if shape is None else max(0, shape.seen - frames)
    return pass_bytes(config, grid, frames=frames, past=past, dtype=dtype, rows=rows, text_length=length)


def _codec_needs(
    codec: Codec, block: int, width: int, height: int, dtype: torch.dtype, device: torch.device
) -> tuple[CodecNeed, CodecNeed]:
    """Decoding the whole picture, and tile by tile: a tile is counted, a picture needs more as it is larger.

    Beside a GPU, what tiles remember rests in main memory.
    """
    tiling = Tiling()
    across, down = min(width, tiling.width), min(height, tiling.height)
    dtype = codec.dtype if isinstance(codec, PatchCodec) else dtype
    counted = decode_bytes(codec, down, across, dtype=dtype, device=device.type)
    frame = codec.temporal_stride * height * width * 3 * dtype.itemsize
    done = (block - 1) * frame  # pixels of the block's earlier latent frames, which wait for the last
    work = counted.peak - counted.weights - counted.stream

    area = width * height / (across * down)
    tiles = _tiles(width, across, tiling.overlap) * _tiles(height, down, tiling.overlap)
    whole = CodecNeed(
        weights=counted.weights, stream=round(counted.stream * area), work=round(work * area) + done
    )
    if tiles == 1:
        return whole, whole
    there = tiles if device.type == "cpu" else 1
    return whole, CodecNeed(
        weights=counted.weights, stream=counted.stream * there, work=work + 2 * frame + done
    )


def _tiles(length: int, size: int, overlap: int) -> int:
    """Tiles of `size` that cover `length`, overlapping at least so much."""
    return 1 if length <= size else 1 + -(-(length - size) // (size - overlap))


def _network(checkpoint: Checkpoint) -> WanConfig:
    """Sizes of the transformer: from its folder, or from the preset."""
    config = _config(checkpoint, "transformer")
    if config is not None:
        return WanConfig.from_dict(config)
    if checkpoint.preset.network is None:
        path = checkpoint.part("transformer").path / "config.json"
        raise UserError(f"{path} is missing; the model's folder is incomplete")
    return WanConfig(**checkpoint.preset.network.model_dump())


def _sizes(config: WanConfig) -> Network:
    return Network.model_validate({name: getattr(config, name) for name in Network.model_fields})


def _config(checkpoint: Checkpoint, name: PartName) -> dict[str, Any] | None:
    """The config beside a part in a folder; None when it is not on disk, or a published container."""
    place = checkpoint.parts.get(name)
    path = Path() if place is None else place.path / "config.json"
    return read_json(path) if path.is_file() else None


def _memories(checkpoint: Checkpoint) -> int:
    """Parameters of the short- and long-term memories beside the transformer."""
    cam, apm = _config(checkpoint, "cam"), _config(checkpoint, "apm")
    with torch.device("meta"):
        networks = [
            *([] if cam is None else [cast(nn.Module, short_term(CamConfig.from_dict(cam)))]),
            *([] if apm is None else [ApmNetwork(ApmConfig.from_dict(apm))]),
        ]
    return sum(parameter.numel() for network in networks for parameter in network.parameters())


def _image_tokens(config: WanConfig) -> int:
    """Image tokens that cross-attention reads."""
    return 0 if config.image_dim is None else config.pos_embed_seq_len or IMAGE_TOKENS


def _image(checkpoint: Checkpoint, config: WanConfig) -> int:
    """Bytes of the image encoder, which reads in float32; 0 where there is none."""
    if config.image_dim is None:
        return 0
    return parameters_of(_config(checkpoint, "image_encoder")) * torch.float32.itemsize


def _text(checkpoint: Checkpoint) -> tuple[TextNetwork, int]:
    """Sizes of the text encoder, tokens of a prompt."""
    config = _config(checkpoint, "text_encoder")
    if config is None:
        return TextNetwork(), MAX_LENGTH
    settings = checkpoint.part("tokenizer").path / "tokenizer_config.json"
    length = int(read_json(settings).get("model_max_length", MAX_LENGTH))
    return TextNetwork.model_validate(config), min(length, MAX_LENGTH)
