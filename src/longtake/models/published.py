"""What network a published file or folder holds, in the words and shapes of the library that opens it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.models import clip_keymap, umt5_keymap, vae_keymap
from longtake.models.containers import Container, find_file, open_container
from longtake.models.files import check_fit, read_json
from longtake.models.folder import CONFIG_FILE, DIFFUSERS_STEM, TRANSFORMERS_STEM
from longtake.models.keymap import Layout
from longtake.models.network import TextNetwork
from longtake.models.umt5 import UMT5Encoder, transformers_config
from longtake.models.wan import WanTransformer
from longtake.models.wan_weights import read_weights, wanted

_TINY = re.compile(r"(?:encoder|decoder)\.\d+\.")
_CLIP = "embeddings.class_embedding"
"""The text encoder's table of words under its second name, which transformers restores."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A network as it was found, ready to be written."""

    kind: str
    """`transformer`, `codec`, `text encoder` or `image encoder`."""
    container: str
    """The dictionary it was in; `raw` when in none."""
    layout: str
    """Whose names the tensors carried."""
    config: Mapping[str, Any]
    """The `config.json` that belongs to it."""
    state: Mapping[str, Tensor]
    """Its tensors by the library's names."""
    files: tuple[Path, ...]
    """Where they are mapped from."""
    stem: str = DIFFUSERS_STEM
    """What the library calls files of weights."""
    ignored: tuple[str, ...] = ()
    """What was left out."""
    reshaped: tuple[str, ...] = ()
    """Tensors that were brought into another shape."""


def read_published(path: Path, *, ema: bool = True, head_dim: int | None = None) -> Published:
    """The network at a path that a person named (`.pt` files are opened, tensors only).

    Transformers, Wan's VAE, tiny autoencoders, UMT5 and CLIP's image encoder are known. ema, head_dim: as
    `read_weights`. Raises UserError for anything else, and for what is damaged or does not fit.
    """
    container = open_container(path, wanted=wanted(ema), allow_pt=True)
    names = container.tensors.keys()
    if umt5_keymap.is_original(names) or "shared.weight" in names:
        return _text_encoder(container)
    if vae_keymap.is_original(names) or "decoder.conv_in.weight" in names:
        return _vae(container)
    if clip_keymap.is_original(container.tensors) or any(_CLIP in name for name in names):
        return _image_encoder(container)
    if all(_TINY.match(name) for name in names):
        return _tiny_codec(container)
    return _transformer(path, ema=ema, head_dim=head_dim)


def _transformer(path: Path, *, ema: bool, head_dim: int | None) -> Published:
    weights = read_weights(path, ema=ema, allow_pt=True, head_dim=head_dim)
    WanTransformer.outline(weights)
    return Published(
        kind="transformer",
        container=weights.container,
        layout=weights.layout.value,
        config=weights.config.to_dict(),
        state=weights.state,
        files=weights.files,
        ignored=weights.ignored,
        reshaped=weights.reshaped,
    )


def _vae(container: Container) -> Published:
    from longtake.models.wan_codec import WanCodec

    file = find_file(container.source)
    beside = file.parent / CONFIG_FILE
    config = read_json(beside) if beside.is_file() else {}
    config = config if config.get("_class_name") == "AutoencoderKLWan" else {}
    config = {key: value for key, value in config.items() if not key.startswith("_")}
    vae = WanCodec.from_pretrained(file, _dtype(container), config=config, allow_pt=True).vae
    original = vae_keymap.is_original(container.tensors)
    return Published(
        kind="codec",
        container=container.name,
        layout=(Layout.ORIGINAL if original else Layout.DIFFUSERS).value,
        config=json.loads(vae.to_json_string()),
        state=vae.state_dict(),
        files=container.files,
        ignored=container.ignored,
    )


def _tiny_codec(container: Container) -> Published:
    from longtake.models.tiny_codec import TinyCodec

    codec = TinyCodec.from_pretrained(_opened(container), _dtype(container), allow_pt=True)
    return Published(
        kind="codec",
        container=container.name,
        layout=Layout.ORIGINAL.value,
        config={"_class_name": TinyCodec.__name__, **asdict(codec.config)},
        state=codec.state_dict(),
        files=container.files,
        ignored=container.ignored,
    )


def _text_encoder(container: Container) -> Published:
    original = umt5_keymap.is_original(container.tensors)
    rename = umt5_keymap.to_transformers if original else umt5_keymap.with_one_table
    state = rename(container.tensors)
    sizes = _umt5_sizes(state, container.source)
    with torch.device("meta"):
        encoder = UMT5Encoder(sizes)
    check_fit(encoder, state, source=container.source)
    return Published(
        kind="text encoder",
        container=container.name,
        layout="original" if original else "transformers",
        config=transformers_config(sizes),
        state=state,
        files=container.files,
        stem=TRANSFORMERS_STEM,
        ignored=container.ignored,
    )


def _image_encoder(container: Container) -> Published:
    from longtake.models.image_encoder import ImageEncoder

    file = find_file(container.source)
    encoder = ImageEncoder.from_files(file, allow_pt=True, dtype=_dtype(container)).encoder
    original = clip_keymap.is_original(container.tensors)
    return Published(
        kind="image encoder",
        container=container.name,
        layout="original" if original else "transformers",
        config=encoder.config.to_dict(),
        state=encoder.state_dict(),
        files=container.files,
        stem=TRANSFORMERS_STEM,
        ignored=container.ignored,
    )


def _umt5_sizes(state: Mapping[str, Tensor], path: Path) -> TextNetwork:
    """Sizes of the text encoder, read off the shapes."""
    first = "encoder.block.0.layer"
    telling = {
        "table": "shared.weight",
        "query": f"{first}.0.SelfAttention.q.weight",
        "bias": f"{first}.0.SelfAttention.relative_attention_bias.weight",
        "feed": f"{first}.1.DenseReluDense.wi_0.weight",
    }
    if lost := [name for name in telling.values() if not _is_matrix(state.get(name))]:
        raise UserError(
            f"{path} is no whole UMT5 encoder: {lost[0]} is missing or no matrix; fetch the file again"
        )
    (words, dim), (inner, _), (buckets, heads), (feed, _) = (state[name].shape for name in telling.values())
    return TextNetwork(
        vocab_size=words,
        d_model=dim,
        d_kv=inner // heads,
        d_ff=feed,
        num_layers=_blocks(state),
        num_heads=heads,
        relative_attention_num_buckets=buckets,
    )


def _is_matrix(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.ndim == 2 and tensor.numel() > 0


def _blocks(names: Collection[str]) -> int:
    return len({name.split(".")[2] for name in names if name.startswith("encoder.block.")})


def _opened(container: Container) -> Path:
    """The folder, when it has its own config, else the file in it."""
    source = container.source
    return source if (source / CONFIG_FILE).is_file() else find_file(source)


def _dtype(container: Container) -> torch.dtype:
    return next(iter(container.tensors.values())).dtype
