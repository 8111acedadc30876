"""What `doctor` predicts is what a take then allocates, and what does not fit is refused before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch
from torch import nn

from longtake import fitting
from longtake import forecast as module
from longtake.errors import UserError
from longtake.fitting import check_memory, choose
from longtake.forecast import floor, forecast
from longtake.measure.memory_need import memory_need
from longtake.models import wide_products
from longtake.models.hub import look_up, presets
from longtake.models.network import TextNetwork
from longtake.models.plan import GIB, PROFILES, RESIDENT
from longtake.models.text_weights import reading_dtype
from longtake.models.wan import WanTransformer
from tests.tiny import tiny_folder, tiny_memories, tiny_pipeline

CPU = torch.device("cpu")


def test_the_predicted_peak_is_what_a_take_allocates() -> None:
    result = memory_need(lambda *_: None)
    assert [figure.name for figure in result.figures if not figure.met] == [], result.figures


def test_published_networks_are_planned_to_the_published_sizes() -> None:
    plan = forecast(look_up("krea-14b"), width=832, height=480, dtype=torch.bfloat16, device=CPU)
    assert plan.weights == 2 * 14_288_491_584
    assert plan.kv / GIB == pytest.approx(7.14, abs=0.01), "six latent frames"
    assert plan.text == pytest.approx(11_361_920_418, rel=1e-4), "the published file"


@pytest.mark.parametrize("name", ["wan2.1-t2v-1.3b", "self-forcing"])
def test_sizes_of_networks_are_those_of_the_class(name: str) -> None:
    network = presets()[name].network
    assert network is not None
    with torch.device("meta"):
        model = WanTransformer(module._network(look_up(name)))
    assert network.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_memories_beside_a_transformer_are_counted(tmp_path: Path) -> None:
    size = {"width": 32, "height": 16, "dtype": torch.float32, "device": CPU}
    pipe = tiny_pipeline()
    plain = forecast(look_up(str(tiny_folder(tmp_path / "plain", pipe))), **size)
    pipe.memories = tiny_memories(pipe)
    remembering = forecast(look_up(str(tiny_folder(tmp_path / "remembering", pipe))), **size)
    networks = [cast(nn.Module, network) for network in (pipe.memories.cam, pipe.memories.apm)]
    count = sum(parameter.numel() for network in networks for parameter in network.parameters())
    assert count > 1000
    assert remembering.weights - plain.weights == 4 * count


def test_every_profile_after_the_plain_one_needs_no_more() -> None:
    plan = forecast(look_up("mini"), width=96, height=96, dtype=torch.float32, device=CPU)
    assert all(plan.under(profile).peak <= plan.peak for profile in PROFILES)
    assert plan.under(PROFILES[-1]).weights < plan.weights


def test_the_first_profile_that_fits_is_chosen_and_the_smallest_when_none_does() -> None:
    plan = forecast(look_up("mini"), width=96, height=96, dtype=torch.float32, device=CPU)
    assert plan.best(10 * plan.peak).profile is RESIDENT
    smaller = plan.best(plan.peak)
    assert smaller.profile is not RESIDENT
    assert smaller.peak == min(plan.under(p).peak for p in PROFILES if p.weights == "plain")
    assert not plan.best(1).fits(1)


def test_a_picture_for_which_memory_does_not_suffice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "free_bytes", lambda device: 16 * GIB)
    with pytest.raises(
        UserError, match=r"mini at 9600x9600 needs about \d+\.\d GiB .* 16\.0 GiB are free; use a smaller"
    ):
        check_memory(look_up("mini"), width=9600, height=9600)
    check_memory(look_up("mini"), width=96, height=96)


def test_without_doubt_no_plan_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "forecast", None)
    size = {"width": 96, "height": 96, "dtype": torch.float32}
    assert choose(look_up("mini"), device=CPU, **size) is RESIDENT
    assert 0 < floor(look_up("mini"), **size) < GIB


def test_a_size_off_the_grid_is_refused_in_the_words_of_generate() -> None:
    with pytest.raises(UserError, match=r"size 100x96 cannot be made by 'mini': both must be multiples of 8"):
        forecast(look_up("mini"), width=100, height=96, dtype=torch.float32, device=CPU)


def test_a_cpu_can_halve_what_does_not_fit() -> None:
    size = {"width": 832, "height": 480, "dtype": torch.float32, "device": CPU}
    half = PROFILES[[profile.name for profile in PROFILES].index("bf16")]
    assert "bf16" in module.formats(CPU)
    assert "bf16" not in module.formats(torch.device("meta"))
    plan = forecast(look_up("self-forcing"), **size)
    assert 2 * plan.under(half).weights == plan.weights
    assert 2 * plan.under(half).kv == plan.kv
    assert plan.under(half).text == plan.text, "read in bfloat16 already"
    full = plan.under(PROFILES[2])
    assert PROFILES[2].tiled
    free = int(full.peak * 0.9)
    assert plan.best(free, module.formats(CPU)).profile is half
    assert plan.best(2 * plan.peak, module.formats(CPU)).profile is RESIDENT
    low = forecast(look_up("self-forcing"), **size | {"dtype": torch.bfloat16})
    assert low.halved is None


def test_tiles_rest_in_main_memory_beside_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide_products, "halves_on_cpu", lambda: True)
    size = {"width": 832, "height": 480, "dtype": torch.bfloat16}
    here = forecast(look_up("self-forcing"), **size, device=CPU).tiled_codec
    beside = forecast(look_up("self-forcing"), **size, device=torch.device("cuda")).tiled_codec
    assert beside.stream < here.stream / 4
    assert beside.weights == here.weights


def test_a_text_encoder_is_planned_in_the_format_that_it_is_opened_in() -> None:
    assert reading_dtype(TextNetwork()) is torch.bfloat16
    small = TextNetwork(vocab_size=100, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    assert reading_dtype(small) is torch.float32
