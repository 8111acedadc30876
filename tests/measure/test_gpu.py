"""The GPU's benchmark: its parts on tiny networks on a CPU, and what it says where there is no GPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from longtake.errors import UserError
from longtake.measure import gpu as module
from longtake.measure.bare import random_codec, random_engine
from longtake.measure.gpu import NO_GPU, Subject, codec_figures, gpu
from longtake.measure.gpu_run import first_frame, flops, run
from longtake.measure.policy_cost import NETWORK
from longtake.measure.random_weights import random_transformer
from longtake.measure.real_size import real_size
from longtake.media import VideoFormat
from tests.tiny import tiny_preset

PRESET = tiny_preset(
    window={"kind": "full", "frames": 40},
    position={"kind": "absolute"},
    guidance_scale=1.0,
    sampler={"kind": "few-step", "steps": [1000, 500], "shift": 3, "warp": True},
)
FORM = VideoFormat(width=80, height=48, fps=8)


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = gpu(lambda *_: None)
    assert {figure.value for figure in result.figures} == {None}
    assert {figure.note for figure in result.figures} == {NO_GPU}
    assert "30 layers of 12×128" in result.config["network"]


@pytest.mark.parametrize("name", ["foo", "mini"])
def test_a_preset_without_a_real_size_is_refused(name: str) -> None:
    for measure in (gpu, real_size):
        with pytest.raises(UserError, match=f"--preset {name}: .*use one of .*self-forcing"):
            measure(lambda *_: None, name)


def test_chunks_after_the_warm_up_are_timed_part_by_part() -> None:
    model = random_transformer(NETWORK)
    engine = random_engine(PRESET.policy, model, random_codec(4), (6, 10))
    waits = list[int]()
    found = run(engine, model, FORM, chunks=3, warm_up=1, wait=lambda: waits.append(1))
    assert found.frames == 3 * 8
    parts = (found.transformer, found.codec, found.encode)
    assert all(parts)
    assert sum(parts) <= found.seconds
    assert len(waits) == 2 * 3 * 3, "before and after two steps and a pass of each chunk"
    assert first_frame(engine, FORM) > 0


def test_what_a_network_computes_grows_with_chunks_and_context() -> None:
    model = random_transformer(NETWORK)
    engine = random_engine(PRESET.policy, model, random_codec(4), (6, 10))
    two, four = (flops(engine, model, chunks=chunks, warm_up=1) for chunks in (2, 4))
    assert two > 0
    assert four >= 2 * two
    deep = random_transformer(replace(NETWORK, num_layers=4))
    engine = random_engine(PRESET.policy, deep, random_codec(4), (6, 10))
    assert flops(engine, deep, chunks=2, warm_up=1) > 1.8 * two


def test_figures_of_a_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WARM_UP", 1)
    monkeypatch.setattr(module, "WATCHED", 2)
    native = PRESET.native.model_copy(update={"width": 80, "height": 48})
    subject = Subject(
        preset=PRESET.model_copy(update={"native": native}),
        model=random_transformer(NETWORK),
        ceiling=1e12,
        text=0.25,
        wait=lambda: None,
    )
    found = {figure.name: figure for figure in codec_figures("tiny", random_codec(4), subject, 2, 35.0)}
    assert found["tiny codec: frames a second"].asked == ">= 35"
    assert (found["tiny codec: first frame"].value or 0) > 0.25
    shares = [found[f"tiny codec: time in {part}"].value or 0 for part in ("transformer", "codec", "encode")]
    assert 0 < sum(shares) <= 1
    assert 0 < (found["tiny codec: transformer's fraction of the ceiling"].value or 0) < 1
