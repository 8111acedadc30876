"""Sizes of a Wan transformer, and what follows from them without building it. Nothing here needs torch."""

from __future__ import annotations

from pydantic import ConfigDict, PositiveInt

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
