"""The published layouts of a Wan transformer, written from their rules: every key and shape, at any size.

Written without the key maps under test.
"""

from __future__ import annotations

from collections.abc import Mapping

from longtake.models.wan import WanConfig

Shapes = dict[str, tuple[int, ...]]


def _linear(name: str, outer: int, inner: int) -> Shapes:
    return {f"{name}.weight": (outer, inner), f"{name}.bias": (outer,)}


def _norm(name: str, dim: int) -> Shapes:
    return {f"{name}.weight": (dim,), f"{name}.bias": (dim,)}


def original(config: WanConfig) -> Shapes:
    """Keys of Wan's own code."""
    dim, ffn, patch = config.dim, config.ffn_dim, config.patch_size
    out = config.out_channels * patch[0] * patch[1] * patch[2]
    shapes: Shapes = {
        "patch_embedding.weight": (dim, config.in_channels, *patch),
        "patch_embedding.bias": (dim,),
        **_linear("text_embedding.0", dim, config.text_dim),
        **_linear("text_embedding.2", dim, dim),
        **_linear("time_embedding.0", dim, config.freq_dim),
        **_linear("time_embedding.2", dim, dim),
        **_linear("time_projection.1", 6 * dim, dim),
        "head.modulation": (1, 2, dim),
        **_linear("head.head", out, dim),
    }
    for n in range(config.num_layers):
        block = f"blocks.{n}"
        shapes |= {f"{block}.modulation": (1, 6, dim), **_norm(f"{block}.norm3", dim)}
        for attention in ("self_attn", "cross_attn"):
            for letter in "qkvo":
                shapes |= _linear(f"{block}.{attention}.{letter}", dim, dim)
            shapes |= {f"{block}.{attention}.norm_{letter}.weight": (dim,) for letter in "qk"}
        shapes |= {**_linear(f"{block}.ffn.0", ffn, dim), **_linear(f"{block}.ffn.2", dim, ffn)}
        if config.image_dim is not None:
            shapes |= _linear(f"{block}.cross_attn.k_img", dim, dim)
            shapes |= _linear(f"{block}.cross_attn.v_img", dim, dim)
            shapes[f"{block}.cross_attn.norm_k_img.weight"] = (dim,)
    if config.image_dim is not None:
        wide = config.image_dim
        shapes |= {**_norm("img_emb.proj.0", wide), **_linear("img_emb.proj.1", wide, wide)}
        shapes |= {**_linear("img_emb.proj.3", dim, wide), **_norm("img_emb.proj.4", dim)}
    if config.pos_embed_seq_len is not None:
        assert config.image_dim is not None
        shapes["img_emb.emb_pos"] = (1, config.pos_embed_seq_len, config.image_dim)
    return shapes


def diffusers(config: WanConfig) -> Shapes:
    """Keys of diffusers' `WanTransformer3DModel`."""
    return {_by_replacing(key, TO_DIFFUSERS): shape for key, shape in original(config).items()}


def fastvideo(config: WanConfig) -> Shapes:
    """Keys of FastVideo's Wan models."""
    return {_by_replacing(key, TO_FASTVIDEO): shape for key, shape in diffusers(config).items()}


def _by_replacing(key: str, table: Mapping[str, str]) -> str:
    for old, new in table.items():
        key = key.replace(old, new)
    return key


# Order matters: the head before the generic modulation, the norms through a placeholder.
TO_DIFFUSERS = {
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "head.modulation": "scale_shift_table",
    "head.head": "proj_out",
    "modulation": "scale_shift_table",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
    "norm2": "norm__placeholder",
    "norm3": "norm2",
    "norm__placeholder": "norm3",
    "img_emb.proj.0": "condition_embedder.image_embedder.norm1",
    "img_emb.proj.1": "condition_embedder.image_embedder.ff.net.0.proj",
    "img_emb.proj.3": "condition_embedder.image_embedder.ff.net.2",
    "img_emb.proj.4": "condition_embedder.image_embedder.norm2",
    "img_emb.emb_pos": "condition_embedder.image_embedder.pos_embed",
    "self_attn.q.": "attn1.to_q.",
    "self_attn.k.": "attn1.to_k.",
    "self_attn.v.": "attn1.to_v.",
    "self_attn.o.": "attn1.to_out.0.",
    "self_attn.norm": "attn1.norm",
    "cross_attn.q.": "attn2.to_q.",
    "cross_attn.k.": "attn2.to_k.",
    "cross_attn.v.": "attn2.to_v.",
    "cross_attn.o.": "attn2.to_out.0.",
    "cross_attn.norm_k_img": "attn2.norm_added_k",
    "cross_attn.norm": "attn2.norm",
    "cross_attn.k_img": "attn2.add_k_proj",
    "cross_attn.v_img": "attn2.add_v_proj",
}
TO_FASTVIDEO = {
    "patch_embedding.": "patch_embedding.proj.",
    "_embedder.linear_1": "_embedder.fc_in",
    "_embedder.linear_2": "_embedder.fc_out",
    "time_embedder.fc": "time_embedder.mlp.fc",
    "time_proj": "time_modulation.linear",
    "net.0.proj": "fc_in",
    "net.2": "fc_out",
    "attn1.": "",
    "to_out.0": "to_out",
    "norm2.": "self_attn_residual_norm.norm.",
    "image_embedder.self_attn_residual_norm.norm.": "image_embedder.norm2.",
}
