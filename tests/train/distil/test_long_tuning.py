"""Streaming long tuning: what goes on from step to step, what is trained, and what a prompt switch does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from longtake.memory.recache import RecachedWindow
from longtake.train.device import Compute
from longtake.train.distil.long_tuning import LongTuning, image_latent
from tests.tiny import tiny_patch_codec
from tests.train.distil.test_run import recipe
from tests.train.distil.toys import COMPUTE
from tests.train.sets import write_set


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set"))


def tuning(data: Path, compute: Compute = COMPUTE) -> LongTuning:
    made = recipe("long_tuning", data, compute=compute)
    assert isinstance(made, LongTuning)
    return made


def test_a_sequence_goes_on_window_by_window_and_then_begins_anew(data: Path) -> None:
    """Four frames at first, then two more a step, of ten: four steps a sequence."""
    made, stage = tuning(data), tuning(data).stages[0]
    seen = []
    for step in range(5):
        window = made.generate(stage, step, trained=True)
        seen.append((made.number, made.count, window.counts[0].tolist()))
        assert window.latents.shape[2] == 4
        assert made.recent.shape[2] <= 8
    first, later = [True] * 4, [False, False, True, True]
    assert seen == [(0, 4, first), (0, 6, later), (0, 8, later), (0, 10, later), (1, 4, first)]


def test_windows_overlap_and_only_new_frames_have_a_gradient(data: Path) -> None:
    made = tuning(data)
    stage = made.stages[0]
    before = made.generate(stage, 0, trained=True).latents
    window = made.generate(stage, 1, trained=True)
    assert torch.equal(window.latents[:, :, :2], before[:, :, 2:])
    gradient = torch.autograd.grad(
        window.latents[:, :, :2].sum(), list(made.student.parameters()), allow_unused=True, retain_graph=True
    )
    assert all(g is None or not g.any() for g in gradient)
    assert made.student.transformer.proj_out.bias.grad is None
    window.latents[:, :, 2:].sum().backward()
    assert made.student.transformer.proj_out.bias.grad is not None


def test_student_and_critic_see_the_same_window_of_a_step(data: Path) -> None:
    made = tuning(data)
    stage = made.stages[0]
    one = made.generate(stage, 0, trained=True)
    other = made.generate(stage, 0, trained=False)
    assert torch.equal(one.latents, other.latents)
    assert not other.latents.requires_grad
    assert made.count == 4, "the rollout went on twice"


def test_all_draws_of_an_update_are_the_same_to_student_and_critic(data: Path) -> None:
    """Two draws an update: 0 and 1, then 2 and 3. The second update is the critic's alone."""
    made = tuning(data)
    stage, made.parts = made.stages[0], 2
    student = [made.generate(stage, draw, trained=True) for draw in (0, 1)]
    critic = [made.generate(stage, draw, trained=False) for draw in (0, 1)]
    for one, other in zip(student, critic, strict=True):
        assert torch.equal(one.latents, other.latents)
        assert not other.latents.requires_grad
    assert made.count == 6, "the rollout went on once a draw"
    for draw in (2, 3):
        made.generate(stage, draw, trained=False)
    assert made.count == 10
    assert sorted(made._made) == [2, 3], "windows of earlier updates are let go"


@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_prompt_changes_once_and_recaches_once(
    data: Path, monkeypatch: pytest.MonkeyPatch, bfloat16: bool
) -> None:
    """New weights read the same prompt in other numbers; that is no change of prompt."""
    made = tuning(data, replace(COMPUTE, bfloat16=bfloat16))
    stage, recached = made.stages[0], []
    plain = RecachedWindow._recache

    def noted(self: RecachedWindow, text: object) -> None:
        recached.append(made.count)
        plain(self, text)  # type: ignore[arg-type]

    monkeypatch.setattr(RecachedWindow, "_recache", noted)
    number = next(n for n in range(20) if len(set(made.script(stage, n).prompts)) == 2)
    made.number = number
    prompts = []
    for step in range(4):
        prompts.append(made.generate(stage, step, trained=True).captions.texts[0][0])
        with torch.no_grad():
            for value in made.student.parameters():
                value.mul_(1.01)
    script = made.script(stage, number)
    assert script.switch in (4, 6, 8)
    expected = [script.prompts[count >= script.switch] for count in (0, 4, 6, 8)]
    assert prompts == expected
    assert recached == [script.switch]


def test_an_image_latent_is_the_last_pixel_frame_encoded_by_itself() -> None:
    codec = tiny_patch_codec()
    latents = torch.randn(1, 4, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    made = image_latent(codec, latents, 1)
    pixels = codec.decode_float(latents[:, :, :2], codec.start())
    assert pixels.shape[2] == 1 + codec.temporal_stride
    assert torch.equal(made, codec.encode(pixels[:, :, -1:], codec.start()))
    assert made.shape == (1, 4, 1, 4, 4)
