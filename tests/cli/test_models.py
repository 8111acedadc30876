"""`models`, `download` and `doctor --model`: what is said of models that are not on disk, without a network."""

from __future__ import annotations

import json
import re

import pytest

from longtake.models.hub import presets

PUBLISHED = (
    *(
        "causvid",
        "causvid-warp",
        "self-forcing",
        "longlive",
        "longlive-inf",
        "reward-forcing",
        "rolling-forcing",
    ),
    *("causal-forcing-chunk", "causal-forcing-frame", "krea-14b", "streamdiffusion-v2"),
    *("wan2.1-t2v-1.3b", "wan2.1-t2v-14b", "wan2.1-i2v-14b", "mini"),
)


def test_every_published_model_is_listed_with_licence_size_and_place(run) -> None:
    listed = {entry["name"]: entry for entry in json.loads(run("models", "--json").stdout)}
    assert set(PUBLISHED) <= set(listed)
    assert listed["mini"]["on_disk"]
    assert listed["mini"]["missing"] == []
    causvid = listed["causvid"]
    assert causvid["non_commercial"]
    assert not causvid["on_disk"]
    assert causvid["missing"] == ["transformer", "codec", "text_encoder", "tokenizer"]
    assert causvid["download_gb"] == pytest.approx(17.6, abs=0.2)
    plain = run("models").stdout
    assert "non-commercial" in next(line for line in plain.splitlines() if line.startswith("causvid "))


def test_shared_parts_are_the_same_files() -> None:
    known = presets()
    for name in ("codec", "text_encoder", "tokenizer"):
        family = [preset for preset in known.values() if preset.parts and preset.architecture == "wan"]
        assert len({preset.part(name) for preset in family}) == 1, name


def test_doctor_plans_a_model_that_is_not_on_disk(run) -> None:
    outcome = run("doctor", "--model", "self-forcing", "--size", "832x480", "--json")
    report = json.loads(outcome.stdout)
    assert outcome.code == 0
    assert {"weights_gib", "kv_gib", "vae_gib", "text_gib", "peak_gib", "fits", "profile"} <= report.keys()
    assert not report["on_disk"]
    assert report["peak_gib"] > report["weights_gib"] + report["kv_gib"] > 0
    everywhere = [
        name for name in report["profiles"] if name != "bf16"
    ]  # which only some processors are fast at
    assert everywhere == ["resident", "text-off", "tiled", "fp8", "int8", "layerwise"]


def test_doctor_says_the_plan_in_words_and_exits_0_when_nothing_fits(run, monkeypatch) -> None:
    monkeypatch.setattr("longtake.models.device.free_bytes", lambda device: 1)
    outcome = run("doctor", "--model", "mini")
    assert outcome.code == 0
    assert "nothing fits here" in outcome.stdout
    assert "sdpa" in run("doctor").stdout


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["doctor", "--model", "nini"], "unknown model 'nini'; known: .*self-forcing"),
        (["doctor", "--model", "mini", "--size", "97x96"], "multiples of 8"),
        (["doctor", "--size", "96x96"], "--model"),
        (["download", "nini"], "unknown model"),
    ],
)
def test_what_cannot_be_planned_is_refused(refused, args: list[str], words: str) -> None:
    assert re.search(words, refused(*args))


def test_the_commands_for_a_machine_with_a_network_are_printed(run) -> None:
    lines = run("download", "longlive", "--commands").stdout.splitlines()
    assert all(line.startswith("hf download ") and "--local-dir" in line for line in lines)
    assert any("models/lora.pt" in line for line in lines)


def test_a_model_in_the_package_needs_no_download(run) -> None:
    outcome = run("download", "mini")
    assert outcome.code == 0
    assert "transformer: " in outcome.stdout


def test_generate_without_a_network_says_what_to_fetch_and_how(run, monkeypatch) -> None:
    monkeypatch.setattr("longtake.cli.generation.check_memory", lambda *_, **__: None)
    monkeypatch.setattr("longtake.models.download._check_room", lambda *_: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    outcome = run("generate", "a red cube", "--model", "causvid")
    licence, *_, refused = outcome.stderr.splitlines()
    assert outcome.code == 2
    assert "CC-BY-NC, for non-commercial use only" in licence
    assert refused.startswith("error: causvid needs autoregressive_checkpoint/model.pt")
    assert "hf download tianweiy/CausVid 'autoregressive_checkpoint/model.pt' --local-dir" in refused
