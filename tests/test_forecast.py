"""What `doctor` predicts is what a take then allocates, and what does not fit is refused before anything is loaded."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
import yaml
from diffusers import AutoencoderKLWan

from longtake import forecast as module
from longtake.errors import UserError
from longtake.forecast import check_memory, choose, floor, forecast
from longtake.models.hub import Checkpoint, look_up, presets
from longtake.models.network import TextNetwork
from longtake.models.opening import Networks, open_model
from longtake.models.plan import GIB, PROFILES, RESIDENT, Profile
from longtake.models.text import TextEncoder
from longtake.models.text_weights import reading_dtype
from longtake.models.wan import WanTransformer
from longtake.pipeline import Pipeline
from tests.allocated import peak_bytes
from tests.tiny import TINY_WAN, TINY_WORDS, tiny_patch_codec, tiny_preset

CPU = torch.device("cpu")
ROLLING = {"window": {"kind": "rolling", "frames": 6, "sink": 1}, "position": {"kind": "relative"}}
PLAIN = {"guidance_scale": 1.0, "sampler": {"kind": "few-step", "steps": [1000], "shift": 5, "warp": True}}


def saved(
    folder: Path,
    *,
    size: tuple[int, int],
    wan: dict[str, int],
    text: int = 24,
    vae: int | None = None,
    **policy: object,
) -> Checkpoint:
    """A random model in a folder. vae: base width of a Wan VAE, in place of the tiny codec."""
    torch.manual_seed(0)
    config = replace(TINY_WAN, **{"in_channels": 4, "out_channels": 4, "text_dim": text, **wan})
    WanTransformer(config).save_pretrained(folder / "transformer")
    if vae is None:
        tiny_patch_codec().save_pretrained(folder / "codec")
    else:
        mean, std = [0.0] * 4, [1.0] * 4
        AutoencoderKLWan(base_dim=vae, z_dim=4, latents_mean=mean, latents_std=std).save_pretrained(
            folder / "codec"
        )
    TextEncoder.small(TINY_WORDS, d_model=text, layers=2, heads=2, d_ff=4 * text, max_length=12).save(folder)
    preset = tiny_preset(**{**ROLLING, **PLAIN, **policy}).model_dump(mode="json")
    preset["native"] = {"width": size[0], "height": size[1], "fps": 8}
    (folder / "preset.yaml").write_text(yaml.safe_dump(preset))
    return look_up(folder)


def measured(checkpoint: Checkpoint, profile: Profile, dtype: torch.dtype) -> int:
    """Weights on the device, and the most that four blocks allocate beside them."""
    networks = open_model(checkpoint, dtype=dtype, device=CPU, profile=profile)
    networks.text_encoder.cache = None
    pipe = Pipeline(checkpoint, *networks)
    return (
        weights(networks) + peak_bytes(lambda: film(pipe)) - (mapped(checkpoint) if profile.layerwise else 0)
    )


def mapped(checkpoint: Checkpoint) -> int:
    """The allocator's log counts the file that a block is copied from, which is mapped and takes no memory."""
    (file,) = checkpoint.part("transformer").path.glob("*.safetensors")
    return file.stat().st_size


def film(pipe: Pipeline) -> None:
    """Make chunks and let them go."""
    for _ in islice(pipe.stream("a red cube", seed=1), 4):
        pass


def weights(networks: Networks) -> int:
    there = filter(None, networks)
    tensors = (tensor for network in there for tensor in (*network.parameters(), *network.buffers()))
    return sum(tensor.nbytes for tensor in tensors if not tensor.is_meta)


WIDE = {"num_attention_heads": 4, "attention_head_dim": 96, "ffn_dim": 1536, "num_layers": 6}
THIN = {"num_attention_heads": 4, "attention_head_dim": 32, "ffn_dim": 256, "num_layers": 6}
CONFIGS = {
    "weights": ({"size": (64, 64), "wan": WIDE, "text": 256}, RESIDENT, torch.float32),
    "past": (
        {"size": (256, 256), "wan": THIN, "window": {"kind": "rolling", "frames": 16, "sink": 3}},
        RESIDENT,
        torch.float32,
    ),
    "past in bfloat16, absolute, with guidance": (
        {
            "size": (256, 256),
            "wan": THIN,
            "window": {"kind": "full", "frames": 20},
            "position": {"kind": "absolute"},
            "guidance_scale": 2.0,
        },
        RESIDENT,
        torch.bfloat16,
    ),
    "decoding": ({"size": (64, 64), "wan": THIN, "vae": 12}, RESIDENT, torch.float32),
    "layer by layer": ({"size": (64, 64), "wan": WIDE, "text": 256}, PROFILES[-1], torch.float32),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_predicted_peak_is_what_a_take_allocates(name: str, tmp_path: Path) -> None:
    options, profile, dtype = CONFIGS[name]
    checkpoint = saved(tmp_path, **options)
    width, height = options["size"]
    plan = forecast(checkpoint, width=width, height=height, dtype=dtype, device=CPU).under(profile)
    found = measured(checkpoint, profile, dtype)
    assert plan.peak == pytest.approx(found, rel=0.1), (
        f"predicted {plan.peak / 1e6:.1f}, measured {found / 1e6:.1f} MB"
    )


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
    monkeypatch.setattr(module, "free_bytes", lambda device: 16 * GIB)
    with pytest.raises(
        UserError, match=r"mini at 9600x9600 needs about \d+\.\d GiB .* 16\.0 GiB are free; use a smaller"
    ):
        check_memory(look_up("mini"), width=9600, height=9600)
    check_memory(look_up("mini"), width=96, height=96)


def test_without_doubt_no_plan_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "forecast", None)
    size = {"width": 96, "height": 96, "dtype": torch.float32}
    assert choose(look_up("mini"), device=CPU, **size) is RESIDENT
    assert 0 < floor(look_up("mini"), **size) < GIB


def test_a_size_off_the_grid_is_refused_in_the_words_of_generate() -> None:
    with pytest.raises(UserError, match=r"size 100x96 cannot be made by 'mini': both must be multiples of 8"):
        forecast(look_up("mini"), width=100, height=96, dtype=torch.float32, device=CPU)


def test_a_cpu_that_multiplies_bfloat16_can_halve_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that does not is never offered it."""
    size = {"width": 832, "height": 480, "dtype": torch.float32, "device": CPU}
    half = PROFILES[[profile.name for profile in PROFILES].index("bf16")]
    monkeypatch.setattr(module, "halves_on_cpu", lambda: False)
    plain = forecast(look_up("self-forcing"), **size)
    assert "bf16" not in module.formats(CPU)
    assert (plain.halved, plain.under(half).weights) == (None, plain.weights)
    monkeypatch.setattr(module, "halves_on_cpu", lambda: True)
    assert "bf16" in module.formats(CPU)
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


def test_tiles_rest_in_main_memory_beside_a_gpu() -> None:
    size = {"width": 832, "height": 480, "dtype": torch.bfloat16}
    here = forecast(look_up("self-forcing"), **size, device=CPU).tiled_codec
    beside = forecast(look_up("self-forcing"), **size, device=torch.device("cuda")).tiled_codec
    assert beside.stream < here.stream / 4
    assert beside.weights == here.weights


def test_a_text_encoder_is_planned_in_the_format_that_it_is_opened_in() -> None:
    assert reading_dtype(TextNetwork()) is torch.bfloat16
    small = TextNetwork(vocab_size=100, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    assert reading_dtype(small) is torch.float32
