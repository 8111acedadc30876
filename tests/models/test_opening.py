"""A model as the Hub publishes it, found in the models folder, opens and generates as its own folder does."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from longtake.errors import UserError
from longtake.models import hub, text_weights, wide_products
from longtake.models.hub import Preset, find, look_up
from longtake.models.keymap import Layout, rename
from longtake.models.opening import open_model
from longtake.models.plan import PROFILES, Profile
from longtake.models.text import TextEncoder
from longtake.models.wan import WanConfig, WanTransformer
from longtake.pipeline import Pipeline
from tests.tiny import TINY_WORDS, tiny_preset, tiny_transformer, tiny_wan_codec

CPU = torch.device("cpu")
WAN = WanConfig(
    num_attention_heads=1,
    attention_head_dim=128,
    ffn_dim=64,
    num_layers=2,
    freq_dim=32,
    in_channels=4,
    out_channels=4,
    text_dim=24,
)


def files(*paths: str) -> dict[str, object]:
    return {"repo": "owner/thing", "files": [{"path": path} for path in paths]}


def published(**parts: object) -> Preset:
    """`tiny`, with its transformer in a training container and the rest in folders of one repository."""
    vae = ("vae/config.json", "vae/diffusion_pytorch_model.safetensors")
    values = tiny_preset().model_dump(mode="json") | {
        "folder": None,
        "network": {"num_attention_heads": 1, "attention_head_dim": 128, "ffn_dim": 64, "num_layers": 2},
        "parts": {
            "transformer": files("checkpoints/model.pt") | {"ema": True},
            "codec": files(*vae) | {"folder": "vae"},
            "text_encoder": files("text_encoder/config.json", "text_encoder/model.safetensors")
            | {"folder": "text_encoder"},
            "tokenizer": files("tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json")
            | {"folder": "tokenizer"},
            **parts,
        },
    }
    return Preset.model_validate(values)


def original(model: WanTransformer, factor: float = 1.0) -> dict[str, torch.Tensor]:
    """The published layout's names, with the prefix that training leaves."""
    names = {name: rename(name, Layout.DIFFUSERS, Layout.ORIGINAL) for name in model.state_dict()}
    return {f"model.{names[name]}": factor * value for name, value in model.state_dict().items()}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The models folder with everything in it."""
    monkeypatch.setenv("LONGTAKE_HOME", str(tmp_path))
    monkeypatch.setattr(hub, "presets", lambda: {"tiny": published()})
    root = tmp_path / "models" / "owner" / "thing"
    (root / "checkpoints").mkdir(parents=True)
    model = tiny_transformer(WAN)
    torch.save(
        {"generator": original(model, 3.0), "generator_ema": original(model)},
        root / "checkpoints" / "model.pt",
    )
    tiny_wan_codec().vae.save_pretrained(root / "vae")
    torch.manual_seed(0)
    TextEncoder.small(TINY_WORDS, d_model=24, layers=1, heads=2, d_ff=32, max_length=12).save(root)
    return root


def frames(profile: Profile = PROFILES[0], dtype: torch.dtype = torch.float32) -> np.ndarray:
    checkpoint = find("tiny")
    pipe = Pipeline(checkpoint, *open_model(checkpoint, dtype=dtype, device=CPU, profile=profile))
    return np.concatenate([chunk.frames for chunk in islice(pipe.stream("a red cube", seed=1), 2)])


def test_every_part_is_found_and_the_averaged_weights_are_taken(root: Path) -> None:
    assert set(look_up("tiny").parts) == {"transformer", "codec", "text_encoder", "tokenizer"}
    networks = open_model(find("tiny"), dtype=torch.float32, device=CPU)
    plain = tiny_transformer(WAN).state_dict()
    assert all(torch.equal(value, plain[name]) for name, value in networks.backbone.state_dict().items())
    assert frames().shape == (13, 16, 32, 3)


def test_a_model_whose_authors_do_not_average_gets_the_plain_weights(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        hub, "presets", lambda: {"tiny": published(transformer=files("checkpoints/model.pt"))}
    )
    networks = open_model(find("tiny"), dtype=torch.float32, device=CPU)
    assert torch.equal(networks.backbone.proj_out.weight, 3 * tiny_transformer(WAN).proj_out.weight)


def test_a_converted_part_of_the_users_own_goes_before_the_published_one(root: Path) -> None:
    own = root.parents[1] / "tiny" / "transformer"
    tiny_transformer(WAN, seed=5).save_pretrained(own)
    assert find("tiny").part("transformer").path == own
    networks = open_model(find("tiny"), dtype=torch.float32, device=CPU)
    wanted = tiny_transformer(WAN, seed=5).proj_out.weight
    assert torch.equal(networks.backbone.proj_out.weight, wanted)


def test_a_lora_is_merged(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "blocks.0.attn1.to_q"
    a, b = torch.randn(2, 128), torch.randn(128, 2)
    key = "base_model.model.blocks.0.self_attn.q"
    lora = {f"{key}.lora_A.weight": a, f"{key}.lora_B.weight": b}
    torch.save({"generator_lora": lora}, root / "lora.pt")
    monkeypatch.setattr(hub, "presets", lambda: {"tiny": published(lora=files("lora.pt") | {"alpha": 4})})
    networks = open_model(find("tiny"), dtype=torch.float32, device=CPU)
    weight = tiny_transformer(WAN).get_submodule(name).weight
    assert torch.allclose(networks.backbone.get_submodule(name).weight, weight + 2 * b @ a, atol=1e-5)


def test_a_missing_part_is_named_with_the_command_that_fetches_it(root: Path) -> None:
    shutil.rmtree(root / "vae")
    assert look_up("tiny").missing == ("codec",)
    with pytest.raises(UserError, match="lacks codec; `longtake download tiny` fetches it"):
        find("tiny")


def test_where_pickles_are_not_allowed_the_remedy_is_named(root: Path) -> None:
    with pytest.raises(UserError, match="convert"):
        open_model(find("tiny"), dtype=torch.float32, device=CPU, allow_pt=False)


def test_profiles_without_8_bits_or_tiles_change_no_byte(root: Path) -> None:
    own = root.parents[1] / "tiny" / "transformer"
    tiny_transformer(WAN).save_pretrained(own)
    plain = frames()
    assert np.array_equal(frames(PROFILES[1]), plain), "text encoder off"
    assert np.array_equal(frames(Profile(name="test", layerwise=True)), plain)


def test_block_by_block_from_a_container_is_refused_with_the_remedy(root: Path) -> None:
    with pytest.raises(UserError, match=r"model\.pt; `longtake convert`"):
        open_model(find("tiny"), dtype=torch.float32, device=CPU, profile=PROFILES[-1])


def test_an_unknown_profile_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="profile 'small' is unknown; use one of resident, text-off"):
        Pipeline.from_pretrained("mini", profile="small")


@pytest.mark.parametrize("capable", [True, False])
def test_under_bf16_a_codec_follows_where_the_cpu_multiplies_it(
    root: Path, monkeypatch: pytest.MonkeyPatch, capable: bool
) -> None:
    monkeypatch.setattr(wide_products, "halves_on_cpu", lambda: capable)
    half = PROFILES[[profile.name for profile in PROFILES].index("bf16")]
    networks = open_model(find("tiny"), dtype=torch.float32, device=CPU, profile=half)
    assert networks.backbone.dtype == torch.bfloat16
    assert networks.codec.dtype == (torch.bfloat16 if capable else torch.float32)


def test_a_large_text_encoder_in_a_folder_is_opened_in_bfloat16(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened() -> torch.dtype:
        return next(open_model(find("tiny"), dtype=torch.float32, device=CPU).text_encoder.parameters()).dtype

    assert opened() is torch.float32
    monkeypatch.setattr(text_weights, "LARGE", 100)
    assert opened() is torch.bfloat16
