"""What a pass holds is predicted without one, and the bench measures a pass of the narrowed network."""

from __future__ import annotations

from pathlib import Path

import torch

from longtake.fitting import profile_for
from longtake.forecast import forecast
from longtake.measure.streaming_step import narrowed
from longtake.models.hub import look_up
from longtake.models.plan import RESIDENT
from longtake.models.unet.config import UNetConfig
from longtake.models.unet.plan import pass_bytes
from longtake.models.unet.streaming import StreamingUNet
from tests.models.unet.sizes import TINY_UNET
from tests.tiny_streaming import streaming_folder


def test_a_pass_holds_more_for_more_branches_and_larger_pictures() -> None:
    with torch.device("meta"):
        network = StreamingUNet(TINY_UNET)
    one, two, wide = (pass_bytes(network, *size) for size in ((4, 4, 1), (4, 4, 2), (4, 8, 1)))
    assert one > 10_000
    assert 1.7 * one < two < 2.1 * one
    assert 1.7 * one < wide < 2.1 * one


def test_a_narrowed_network_keeps_its_heads_and_groups() -> None:
    quarter = narrowed(UNetConfig(), 4)
    assert quarter.block_out_channels == (80, 160, 320, 320)
    assert [channels // quarter.attention_head_dim for channels in quarter.block_out_channels] == [
        5,
        10,
        20,
        20,
    ]
    assert quarter.block_out_channels[0] // quarter.norm_num_groups == 10


def test_a_folder_is_planned_and_knows_the_plain_profile_only(tmp_path: Path) -> None:
    checkpoint = look_up(streaming_folder(tmp_path / "model"))
    native, device = checkpoint.preset.native, torch.device("cpu")
    plan = forecast(checkpoint, width=native.width, height=native.height, dtype=torch.float32, device=device)
    assert plan.work > 0
    assert plan.outer > 50_000
    assert profile_for(checkpoint, None, torch.float32, device) is RESIDENT
