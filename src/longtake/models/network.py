"""Sizes of a Wan transformer, and what follows from them without building it. Nothing here needs torch."""

from __future__ import annotations

from pydantic import ConfigDict, PositiveFloat, PositiveInt

from longtake.models.data import Data


class Network(Data):
    """Sizes with diffusers' names; read from a preset, or from the `config.json` of a transformer's folder."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    num_attention_heads: PositiveInt
    attention_head_dim: PositiveInt
    ffn_dim: PositiveInt
    num_layers: PositiveInt
    patch_size: tuple[int, int, int] = (1, 2, 2)
    in_channels: PositiveInt = 16
    out_channels: PositiveInt = 16
    text_dim: PositiveInt = 4096
    freq_dim: PositiveInt = 256
    image_dim: PositiveInt | None = None
    """Width of the image encoder, for image-to-video variants."""
    added_kv_proj_dim: PositiveInt | None = None
    """Given for image-to-video variants: cross-attention has keys and values of the image too."""

    @property
    def dim(self) -> int:
        """Channels of a token."""
        return self.num_attention_heads * self.attention_head_dim

    @property
    def block_parameters(self) -> int:
        """Parameters of one transformer block."""
        dim, ffn = self.dim, self.ffn_dim
        attention = 4 * (dim * dim + dim) + 2 * dim
        image = 2 * (dim * dim + dim) + dim if self.added_kv_proj_dim else 0
        return 2 * attention + image + (dim * ffn + ffn) + (ffn * dim + dim) + 2 * dim + 6 * dim

    @property
    def outer_parameters(self) -> int:
        """Parameters outside the blocks: patches, conditions, head."""
        dim, patch = self.dim, self.patch_size[0] * self.patch_size[1] * self.patch_size[2]
        patches = self.in_channels * patch * dim + dim
        time = (self.freq_dim * dim + dim) + (dim * dim + dim) + (6 * dim * dim + 6 * dim)
        text = (self.text_dim * dim + dim) + (dim * dim + dim)
        head = 2 * dim + dim * self.out_channels * patch + self.out_channels * patch
        return patches + time + text + head + self._image_parameters

    @property
    def _image_parameters(self) -> int:
        if self.image_dim is None:
            return 0
        wide, dim = self.image_dim, self.dim
        return 2 * wide + (wide * wide + wide) + (wide * dim + dim) + 2 * dim

    @property
    def parameters(self) -> int:
        """Parameters in all."""
        return self.num_layers * self.block_parameters + self.outer_parameters


class TextNetwork(Data):
    """Sizes of a UMT5 encoder, with transformers' names; the defaults are UMT5-XXL's, which Wan 2.1 reads with."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    vocab_size: PositiveInt = 256384
    d_model: PositiveInt = 4096
    d_kv: PositiveInt = 64
    d_ff: PositiveInt = 10240
    num_layers: PositiveInt = 24
    num_heads: PositiveInt = 64
    relative_attention_num_buckets: PositiveInt = 32
    relative_attention_max_distance: PositiveInt = 128
    layer_norm_epsilon: PositiveFloat = 1e-6

    @property
    def parameters(self) -> int:
        """Parameters in all; every layer has a table of relative positions of its own."""
        dim, inner = self.d_model, self.num_heads * self.d_kv
        layer = 4 * dim * inner + 3 * dim * self.d_ff + 2 * dim
        layer += self.num_heads * self.relative_attention_num_buckets
        return self.vocab_size * dim + self.num_layers * layer + dim

    def work(self, length: int, itemsize: int) -> int:
        """About the most bytes that reading one prompt of `length` tokens needs beside the weights."""
        scores = 3 * self.num_heads * length * length * 4
        return scores + length * (6 * self.d_model + 3 * self.d_ff) * itemsize
