"""bfloat16 on a CPU that does not multiply it: the same numbers, worked out in float32."""

import copy

import pytest
import torch
from torch import nn

from longtake.models import wide_products as module
from longtake.models.hub import look_up
from longtake.models.opening import open_model
from longtake.models.wide_products import codec_dtype, widen

LAYERS = {
    "matrix": (lambda: nn.Linear(64, 48), (5, 64)),
    "convolution": (lambda: nn.Conv3d(4, 6, (1, 2, 2), (1, 2, 2)), (1, 4, 2, 6, 6)),
}


@pytest.mark.parametrize("kind", LAYERS)
@torch.no_grad()
def test_a_wide_layer_gives_what_bfloat16_gives(kind: str) -> None:
    torch.manual_seed(0)
    make, shape = LAYERS[kind]
    layer, x = make().bfloat16(), torch.randn(shape).bfloat16()
    exact = copy.deepcopy(layer).double()(x.double())
    native = layer(x)
    widen(layer)
    wide = layer(x)
    assert wide.dtype == torch.bfloat16
    assert torch.equal(wide, exact.bfloat16())
    assert (wide.double() - native.double()).abs().max() <= 2**-7 * exact.abs().max()


def test_other_formats_and_layers_are_left_alone() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    x = torch.randn(2, 4)
    wanted = network(x)
    widen(network)
    assert torch.equal(network(x), wanted)
    assert network.state_dict().keys() == {"0.weight", "0.bias", "1.weight", "1.bias"}


@pytest.mark.parametrize("capable", [True, False])
def test_a_model_is_widened_where_the_cpu_needs_it(monkeypatch: pytest.MonkeyPatch, capable: bool) -> None:
    monkeypatch.setattr(module, "halves_on_cpu", lambda: capable)
    networks = open_model(look_up("mini"), dtype=torch.bfloat16, device=torch.device("cpu"))
    kinds = {type(layer) for layer in networks.backbone.modules() if isinstance(layer, nn.Linear)}
    assert (nn.Linear in kinds) == capable
    plain = open_model(look_up("mini"), dtype=torch.float32, device=torch.device("cpu"))
    assert nn.Linear in {type(layer) for layer in plain.backbone.modules()}


def test_a_codec_stays_in_float32_where_bfloat16_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(module, "halves_on_cpu", lambda: False)
    assert codec_dtype(torch.bfloat16, cpu) == torch.float32
    assert codec_dtype(torch.bfloat16, torch.device("cuda")) == torch.bfloat16
    monkeypatch.setattr(module, "halves_on_cpu", lambda: True)
    assert codec_dtype(torch.bfloat16, cpu) == torch.bfloat16
