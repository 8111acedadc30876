"""The rolling cache against the plain pass over the whole past."""

from __future__ import annotations

import pytest
import torch

from longtake.errors import UserError
from longtake.memory.kv_window import KVWindow, WindowRule
from longtake.models.attention import BlockViews, CachedContext
from tests.tiny import TINY_WAN, tiny_transformer

GRID = TINY_WAN.grid(4, 4)


def latents(frames: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, TINY_WAN.in_channels, frames, 4, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("window", "sink", "block"), [(6, 0, 2), (6, 2, 2), (5, 1, 1), (9, 3, 3)])
def test_cached_steps_equal_the_plain_pass_long_after_eviction(window: int, sink: int, block: int) -> None:
    """Clean context beside the noisy block, every block over four windows, at several noise levels."""
    rule = WindowRule(window=window, sink=sink, block=block)
    backbone = tiny_transformer()
    text = backbone.text_context(
        torch.randn(1, 7, TINY_WAN.text_dim, generator=torch.Generator().manual_seed(5))
    )
    memory = KVWindow(backbone, GRID, rule)
    blocks = 4 * window // block
    clean, noisy = latents(blocks * block, 1), latents(blocks * block, 2)
    worst = 0.0
    for index in range(blocks):
        frames = range(index * block, (index + 1) * block)
        context = memory.read(frames, text).kv
        assert context is not None
        for timestep in (1000.0, 640.0, 125.0):
            attention = context.rule()
            now = noisy[:, :, frames.start : frames.stop]
            cached = backbone(now, torch.full((1, block), timestep), text, attention=attention)
            plain = plain_pass(backbone, rule, clean[:, :, : frames.start], now, timestep, text)
            worst = max(worst, (cached - plain).abs().max().item())
        memory.commit(frames, clean[:, :, frames.start : frames.stop], text)
    assert worst <= 1e-4, f"largest difference {worst:.2e}"


def plain_pass(backbone, rule, clean, noisy, timestep, text):  # type: ignore[no-untyped-def]
    """All clean latents and the noisy block through the network at once, nothing remembered."""
    block = noisy.shape[2]
    everything = torch.cat([clean, noisy], 2)
    blocks = [tuple(range(start, start + block)) for start in range(0, everything.shape[2], block)]
    attention = BlockViews(grid=GRID, blocks=tuple(blocks), views=tuple(rule.view(b) for b in blocks))
    timesteps = torch.tensor([[0.0] * clean.shape[2] + [timestep] * block])
    return backbone(everything, timesteps, text, attention=attention)[:, :, -block:]


def test_a_planted_fault_in_positions_is_noticed() -> None:
    """Guards the test above: with random weights a wrong rotation must show."""
    rule = WindowRule(window=6, sink=2, block=2)
    backbone = tiny_transformer()
    text = backbone.text_context(
        torch.randn(1, 7, TINY_WAN.text_dim, generator=torch.Generator().manual_seed(5))
    )
    memory = KVWindow(backbone, GRID, rule)
    clean = latents(8)
    for start in range(0, 8, 2):
        memory.commit(range(start, start + 2), clean[:, :, start : start + 2], text)
    context = memory.read(range(8, 10), text).kv
    assert context is not None
    wrong = tuple(position + 3 for position in context.positions)
    outputs = [
        backbone(
            latents(2, 3),
            torch.full((1, 2), 500.0),
            text,
            attention=CachedContext(grid=GRID, positions=positions, past=context.past),
        )
        for positions in (context.positions, wrong)
    ]
    assert (outputs[0] - outputs[1]).abs().max() > 1e-2


def test_the_rule_keeps_the_sink_and_the_latest_frames() -> None:
    rule = WindowRule(window=9, sink=3, block=3)
    assert rule.kept(6) == (0, 1, 2, 3, 4, 5)
    assert rule.kept(12) == (0, 1, 2, 9, 10, 11)
    view = rule.view(range(12, 15))
    assert view.frames == (0, 1, 2, 9, 10, 11, 12, 13, 14)
    assert view.positions == tuple(range(9))


@pytest.mark.parametrize(("window", "sink", "block"), [(2, 0, 3), (5, 3, 3), (3, -1, 1), (3, 0, 0)])
def test_a_window_too_small_for_its_parts_is_refused(window: int, sink: int, block: int) -> None:
    with pytest.raises(UserError, match=f"window {window} cannot hold"):
        WindowRule(window=window, sink=sink, block=block)


def test_blocks_must_follow_on() -> None:
    backbone = tiny_transformer()
    memory = KVWindow(backbone, GRID, WindowRule(window=6, sink=0, block=2))
    with pytest.raises(ValueError, match="follow on"):
        memory.read(range(2, 4), backbone.text_context(torch.zeros(1, 3, TINY_WAN.text_dim)))


@pytest.mark.parametrize(("relative", "frames"), [(False, 2 * 4), (True, 2 * 4 + 3)])
def test_the_cache_never_grows(relative: bool, frames: int) -> None:
    """Keys and values of the window; keys that are turned anew for each block are held unrotated as well."""
    backbone = tiny_transformer()
    text = backbone.text_context(torch.zeros(1, 3, TINY_WAN.text_dim))
    memory = KVWindow(backbone, GRID, WindowRule(window=4, sink=1, block=1, relative=relative))
    size = memory.num_bytes
    planned = frames * TINY_WAN.num_layers * GRID.tokens * TINY_WAN.dim * 4
    for frame in range(20):
        memory.commit([frame], latents(1, frame), text)
    assert size == memory.num_bytes == planned
    assert sum(t.numel() for t in memory.snapshot().values()) <= planned // 4
