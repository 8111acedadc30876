"""A whole clip under a mask over frames, against the same attention with a mask over tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from longtake.models.attention import Grid, WholeClip, block_causal_mask, rotary, rotate
from longtake.train.mini import teacher_mask

GRID = Grid(2, 3)
SCATTERED = torch.tensor([[1, 0, 1, 0], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]], dtype=torch.bool)


def _dense(mask: Tensor, positions: tuple[int, ...], q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """By a mask over tokens, True where a token may see a token."""
    angles = rotary(positions, GRID, q.shape[-1], q.device)
    frame = torch.arange(q.shape[1]) // GRID.tokens
    tokens = mask[frame][:, frame]
    q, k, v = (x.transpose(1, 2) for x in (rotate(q, angles), rotate(k, angles), v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=tokens).transpose(1, 2)


@pytest.mark.parametrize(
    "mask",
    [block_causal_mask(4, 1), block_causal_mask(4, 3), teacher_mask(2, 1), SCATTERED],
    ids=["frames", "blocks", "teacher", "scattered"],
)
def test_frames_that_see_the_same_are_attended_together(mask: Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v, weight = (torch.randn(2, 4 * GRID.tokens, 2, 16, generator=generator) for _ in range(4))
    positions = (5, 0, 2, 1)
    clip = WholeClip(grid=GRID, positions=positions, mask=mask)

    def with_gradients(attend: Callable[..., Tensor]) -> tuple[Tensor, ...]:
        given = [x.clone().requires_grad_() for x in (q, k, v)]
        out = attend(*given)
        return out, *torch.autograd.grad((out * weight).sum(), given)

    dense = with_gradients(partial(_dense, mask, positions))
    for expected, found in zip(dense, with_gradients(partial(clip, 0)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
