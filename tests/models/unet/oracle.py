"""StreamingT2V's network written down once more, slowly and in float64, from the equations of the paper.

One video at a time, one head at a time; nothing of our network or of diffusers is used but the names of the tensors.
Frames are `[T, C, H, W]`, tokens `[L, C]`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from longtake.models.unet.config import UNetConfig


class Weights:
    """Tensors below a prefix."""

    def __init__(self, tensors: Mapping[str, Tensor], prefix: str = "") -> None:
        self.tensors, self.prefix = tensors, prefix

    def __getitem__(self, name: str) -> Weights:
        return Weights(self.tensors, f"{self.prefix}{name}.")

    def get(self, name: str) -> Tensor | None:
        found = self.tensors.get(self.prefix + name)
        return None if found is None else found.double()

    def has(self, name: str) -> bool:
        return any(key.startswith(f"{self.prefix}{name}.") for key in self.tensors)


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def linear(w: Weights, x: Tensor) -> Tensor:
    """Along the last axis; a 1×1 convolution counts as one."""
    weight, bias = w.get("weight"), w.get("bias")
    out = x @ weight.flatten(1).T
    return out if bias is None else out + bias


def conv(w: Weights, x: Tensor, stride: int = 1) -> Tensor:
    weight = w.get("weight")
    return F.conv2d(x, weight, w.get("bias"), stride, weight.shape[-1] // 2)


def layer_norm(w: Weights, x: Tensor) -> Tensor:
    mean, spread = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    return (x - mean) / torch.sqrt(spread + 1e-5) * w.get("weight") + w.get("bias")


def group_norm(w: Weights, x: Tensor, groups: int, eps: float) -> Tensor:
    """x is one sample, channels first: `[C, …]`."""
    parts = [
        (part - part.mean()) / torch.sqrt(part.var(unbiased=False) + eps) for part in x.chunk(groups, dim=0)
    ]
    shape = (-1, *[1] * (x.ndim - 1))
    return torch.cat(parts) * w.get("weight").view(shape) + w.get("bias").view(shape)


def attend(w: Weights, x: Tensor, memory: Tensor, head_dim: int) -> Tensor:
    """`x [N, C]` reads `memory [M, C']`."""
    q, k, v = linear(w["to_q"], x), linear(w["to_k"], memory), linear(w["to_v"], memory)
    heads = []
    for start in range(0, q.shape[1], head_dim):
        own = slice(start, start + head_dim)
        logits = q[:, own] @ k[:, own].T / math.sqrt(head_dim)
        share = torch.exp(logits - logits.max(1, keepdim=True).values)
        heads.append(share / share.sum(1, keepdim=True) @ v[:, own])
    return linear(w["to_out"]["0"], torch.cat(heads, 1))


def feed_forward(w: Weights, x: Tensor) -> Tensor:
    value, gate = linear(w["net"]["0"]["proj"], x).chunk(2, dim=-1)
    return linear(w["net"]["2"], value * 0.5 * gate * (1 + torch.erf(gate / math.sqrt(2))))


def transformer(w: Weights, x: Tensor, second: Tensor | None, head_dim: int) -> Tensor:
    """Self-attention, attention to `second` (to itself where None), feed-forward; `[N, C]`."""
    y = layer_norm(w["norm1"], x)
    x = x + attend(w["attn1"], y, y, head_dim)
    y = layer_norm(w["norm2"], x)
    x = x + attend(w["attn2"], y, y if second is None else second, head_dim)
    return x + feed_forward(w["ff"], layer_norm(w["norm3"], x))


def mixed(w: Weights, text: Tensor, image: Tensor) -> Tensor:
    """`T + SiLU(α)·LN(Conv1d([T; I]))`, the convolution spelt out; `[L, C]`."""
    both = torch.cat([text, image])
    padded = torch.cat([torch.zeros_like(both[:, :1]), both, torch.zeros_like(both[:, :1])], 1)
    kernel, width = w["conv"].get("weight"), text.shape[1]
    out = w["conv"].get("bias")[:, None].expand(-1, width)
    for shift in range(3):
        out = out + kernel[:, :, shift] @ padded[:, shift : shift + width]
    return text + silu(w.get("alpha")) * layer_norm(w["conv_ln"], out)


class Oracle:
    """All networks of a state dictionary under the published prefixes."""

    def __init__(self, state: Mapping[str, Tensor], config: UNetConfig) -> None:
        self.weights, self.config = Weights(state), config

    # --- short-term memory -----------------------------------------------------------------------------------

    def frame_encoder(self, frames: Tensor) -> Tensor:
        """`[N, 3, H, W]` in −1…1."""
        w = self.weights["unet"]["controlnet_cond_embedding"]
        x = silu(conv(w["conv_in"], frames))
        for index in range(2 * (len(self.config.condition_channels) - 1)):
            x = conv(w["blocks"][str(index)], x, 1 + index % 2)
            if w.has("norms"):
                x = layer_norm(w["norms"][str(index)], x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            x = silu(x)
        return conv(w["conv_out"], x)

    def past(self, latents: Tensor, t: float, text: Tensor, frames: Tensor) -> tuple[list[Tensor], Tensor]:
        """Skips and middle of the copy; `latents [P, C, h, w]`, noisy."""
        encoded = self.frame_encoder(frames)
        return self._encode(self.weights["unet"], latents, t, lambda layer: text, encoded)

    def merger(self, w: Weights, x: Tensor, y: Tensor) -> Tensor:
        """`x [T, C, H, W]`, `y [P, C, H, W]`: each cell attends across time."""
        w = w["temporal_transformer"]
        normed = group_norm(w["norm"], x.transpose(0, 1), self.config.norm_num_groups, 1e-6).transpose(0, 1)
        out = x.clone()
        for row in range(x.shape[2]):
            for column in range(x.shape[3]):
                query = linear(w["proj_in"], normed[:, :, row, column])
                seen = attend(w["attention"], query, y[:, :, row, column], self.config.attention_head_dim)
                out[:, :, row, column] += linear(w["proj_out"], seen)
        return out

    # --- long-term memory ------------------------------------------------------------------------------------

    def tokens(self, embedding: Tensor) -> Tensor:
        w = self.weights["resampler"]["context_embedding"]
        return linear(w["2"], silu(linear(w["0"], embedding))).view(self.config.image_tokens, -1)

    # --- the denoising network -------------------------------------------------------------------------------

    def predict(
        self,
        latents: Tensor,
        t: float,
        text: Tensor,
        image: Tensor | None = None,
        frames: Tensor | None = None,
    ) -> Tensor:
        """`latents [C, T, h, w]`, `text [L, C]`, `image [I, C]`, `frames [P, 3, H, W]` → as latents."""
        base, x = self.weights["base_model"], latents.double().transpose(0, 1)

        def context(layer: Weights) -> Tensor:
            return text if image is None else mixed(layer, text, image)

        skips, x = self._encode(base, x, t, context)
        if frames is not None:
            past, deep = self.past(latents.double().transpose(0, 1)[: len(frames)], t, text, frames)
            mergers = base["cross_attention_merger_down_blocks"]
            skips = [
                self.merger(mergers[str(i)], a, b) for i, (a, b) in enumerate(zip(skips, past, strict=True))
            ]
            x = self.merger(base["cross_attention_merger_mid_block"], x, deep)
        return self._decode(base, x, skips, t, context).transpose(0, 1)

    def _time(self, w: Weights, t: float) -> Tensor:
        half = self.config.block_out_channels[0] // 2
        angles = t * torch.exp(-math.log(10000) * torch.arange(half) / half)
        wave = torch.cat([angles.cos(), angles.sin()]).double()  # in float32 until here, as published
        w = w["time_embedding"]
        return linear(w["linear_2"], silu(linear(w["linear_1"], wave)))

    def _encode(self, w: Weights, x: Tensor, t: float, context, added: Tensor | None = None):  # type: ignore[no-untyped-def]
        time = self._time(w, t)
        x = self._temporal(w["transformer_in"], conv(w["conv_in"], x))
        x = x if added is None else x + added
        skips = [x]
        for level in range(len(self.config.block_out_channels)):
            block = w["down_blocks"][str(level)]
            for layer in range(self.config.layers_per_block):
                x = self._layer(block, str(layer), x, time, context)
                skips.append(x)
            if block.has("downsamplers"):
                x = conv(block["downsamplers"]["0"]["conv"], x, 2)
                skips.append(x)
        middle = w["mid_block"]
        x = self._temporal_conv(middle["temp_convs"]["0"], self._resnet(middle["resnets"]["0"], x, time))
        x = self._spatial(middle["attentions"]["0"], x, context)
        x = self._temporal(middle["temp_attentions"]["0"], x)
        x = self._temporal_conv(middle["temp_convs"]["1"], self._resnet(middle["resnets"]["1"], x, time))
        return skips, x

    def _decode(self, w: Weights, x: Tensor, skips: list[Tensor], t: float, context) -> Tensor:  # type: ignore[no-untyped-def]
        time, skips = self._time(w, t), list(skips)
        for level in range(len(self.config.block_out_channels)):
            block = w["up_blocks"][str(level)]
            for layer in range(self.config.layers_per_block + 1):
                x = self._layer(block, str(layer), torch.cat([x, skips.pop()], 1), time, context)
            if block.has("upsamplers"):
                x = conv(block["upsamplers"]["0"]["conv"], x.repeat_interleave(2, 2).repeat_interleave(2, 3))
        groups = self.config.norm_num_groups
        x = torch.stack([silu(group_norm(w["conv_norm_out"], frame, groups, 1e-5)) for frame in x])
        return conv(w["conv_out"], x)

    def _layer(self, block: Weights, layer: str, x: Tensor, time: Tensor, context) -> Tensor:  # type: ignore[no-untyped-def]
        x = self._temporal_conv(block["temp_convs"][layer], self._resnet(block["resnets"][layer], x, time))
        if block.has("attentions"):
            x = self._spatial(block["attentions"][layer], x, context)
            x = self._temporal(block["temp_attentions"][layer], x)
        return x

    def _resnet(self, w: Weights, x: Tensor, time: Tensor) -> Tensor:
        groups = self.config.norm_num_groups
        y = conv(w["conv1"], torch.stack([silu(group_norm(w["norm1"], frame, groups, 1e-5)) for frame in x]))
        y = y + linear(w["time_emb_proj"], silu(time))[:, None, None]
        y = conv(w["conv2"], torch.stack([silu(group_norm(w["norm2"], frame, groups, 1e-5)) for frame in y]))
        return y + (conv(w["conv_shortcut"], x) if w.has("conv_shortcut") else x)

    def _temporal_conv(self, w: Weights, x: Tensor) -> Tensor:
        y = x
        for name, last in (("conv1", "2"), ("conv2", "3"), ("conv3", "3"), ("conv4", "3")):
            z = silu(
                group_norm(w[name]["0"], y.transpose(0, 1), self.config.norm_num_groups, 1e-5)
            ).transpose(0, 1)
            kernel, edge = w[name][last].get("weight")[..., 0, 0], torch.zeros_like(z[:1])
            padded = torch.cat([edge, z, edge])
            y = w[name][last].get("bias")[:, None, None] + sum(
                torch.einsum("oi,tihw->tohw", kernel[..., s], padded[s : s + len(z)]) for s in range(3)
            )
        return x + y

    def _spatial(self, w: Weights, x: Tensor, context) -> Tensor:  # type: ignore[no-untyped-def]
        block = w["transformer_blocks"]["0"]
        out = []
        for frame in x:
            y = group_norm(w["norm"], frame, self.config.norm_num_groups, 1e-6).flatten(1).T
            y = transformer(
                block, linear(w["proj_in"], y), context(block["attn2"]), self.config.attention_head_dim
            )
            out.append(frame + linear(w["proj_out"], y).T.view_as(frame))
        return torch.stack(out)

    def _temporal(self, w: Weights, x: Tensor) -> Tensor:
        normed = group_norm(w["norm"], x.transpose(0, 1), self.config.norm_num_groups, 1e-6).transpose(0, 1)
        out = x.clone()
        for row in range(x.shape[2]):
            for column in range(x.shape[3]):
                y = linear(w["proj_in"], normed[:, :, row, column])
                y = transformer(w["transformer_blocks"]["0"], y, None, self.config.attention_head_dim)
                out[:, :, row, column] += linear(w["proj_out"], y)
        return out
