"""A network grown between two legs computes what it did, and its new units learn."""

from __future__ import annotations

from dataclasses import replace

import torch

from longtake.train.grow import grown
from tests.tiny import TINY_WAN, tiny_transformer

TEXT = torch.randn(1, 6, TINY_WAN.text_dim)
WIDE = replace(TINY_WAN, ffn_dim=TINY_WAN.ffn_dim + 24)


def test_a_grown_transformer_computes_what_it_did() -> None:
    narrow, wide = tiny_transformer(TINY_WAN), tiny_transformer(WIDE, seed=3)
    wide.load_state_dict(grown(narrow.state_dict(), wide.state_dict()))
    latents, times, text = torch.randn(1, TINY_WAN.in_channels, 2, 4, 4), torch.full((1, 2), 500.0), TEXT
    torch.testing.assert_close(wide(latents, times, text), narrow(latents, times, text))


def test_new_units_read_as_drawn_and_learn() -> None:
    narrow, wide = tiny_transformer(TINY_WAN), tiny_transformer(WIDE, seed=3).requires_grad_(True)
    drawn = wide.blocks[0].ffn.net[0].proj.weight.detach().clone()
    wide.load_state_dict(grown(narrow.state_dict(), wide.state_dict()))
    torch.testing.assert_close(
        wide.blocks[0].ffn.net[0].proj.weight[TINY_WAN.ffn_dim :], drawn[TINY_WAN.ffn_dim :]
    )
    wide(
        torch.randn(1, TINY_WAN.in_channels, 2, 4, 4), torch.full((1, 2), 500.0), TEXT
    ).square().mean().backward()
    gradient = wide.blocks[0].ffn.net[2].weight.grad
    assert gradient is not None
    assert (gradient[:, TINY_WAN.ffn_dim :] != 0).any()


def test_what_does_not_differ_in_its_feed_forward_width_is_left_as_it_is() -> None:
    narrow, other = tiny_transformer(TINY_WAN), tiny_transformer(TINY_WAN, seed=3)
    for name, value in grown(narrow.state_dict(), other.state_dict()).items():
        assert torch.equal(value, narrow.state_dict()[name]), name
