"""The reader's decisions, its shapes, and what the shipped one abstains from."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from longtake.errors import UserError
from longtake.world.corrupt import blur, cross_fade, noise
from longtake.world.glimpse import locate
from longtake.world.reader import WEIGHTS, Reader, write_config
from longtake.world.reader_config import ReaderConfig
from longtake.world.reader_layers import lagged
from longtake.world.reader_net import ReaderNet
from longtake.world.reading import UNKNOWN, Scores, Trust, decide
from longtake.world.scene import sample_scene
from longtake.world.windows import WindowDraw, draw_windows, render_window

CONFIG = ReaderConfig()
RED = CONFIG.colours.index("red")


def scores(**changes: object) -> Scores:
    """A red cube that rolls on grass under a still camera, read without doubt."""
    colours = len(CONFIG.colours)
    here = np.eye(colours)[RED]
    answers = {}
    for (name, choices), answer in zip(CONFIG.answers, ("cube", "roll", "large"), strict=True):
        answers[name] = here[:, None] * np.eye(len(choices))[choices.index(answer)]
    values = {
        "legible": 0.99,
        "present": here,
        "whole": here,
        "answers": answers,
        "ground": np.eye(len(CONFIG.grounds))[CONFIG.grounds.index("grass")],
        "camera": np.eye(len(CONFIG.cameras))[CONFIG.cameras.index("static")],
    }
    return Scores(**(values | changes))


def test_sure_scores_become_words() -> None:
    reading = decide(scores(), CONFIG, Trust())
    assert reading.legible
    assert (reading.count, reading.ground, reading.camera) == (1, "grass", "static")
    red = reading.solid("red")
    assert red is not None
    assert (red.shape, red.motion, red.size) == ("cube", "roll", "large")


def test_an_illegible_clip_is_unknown_altogether() -> None:
    reading = decide(scores(legible=0.4), CONFIG, Trust())
    assert (reading.objects, reading.ground, reading.count, reading.legible) == ((), UNKNOWN, None, False)


def test_a_solid_that_is_not_clear_keeps_only_its_colour() -> None:
    reading = decide(scores(whole=np.zeros(len(CONFIG.colours))), CONFIG, Trust())
    assert reading.legible
    [solid] = reading.objects
    assert (solid.colour, solid.shape, solid.motion) == ("red", UNKNOWN, UNKNOWN)


def test_an_unclear_solid_beside_a_clear_one_keeps_only_its_colour() -> None:
    two = np.zeros(len(CONFIG.colours))
    two[:2] = 1.0
    reading = decide(scores(present=two), CONFIG, Trust())
    assert reading.count == 2
    assert [solid.shape for solid in reading.objects].count(UNKNOWN) == 1


def test_doubt_is_unknown() -> None:
    ground = np.full(len(CONFIG.grounds), 1.0 / len(CONFIG.grounds))
    assert decide(scores(ground=ground), CONFIG, Trust()).ground == UNKNOWN


def test_what_missed_the_gate_is_not_reported() -> None:
    reading = decide(scores(), CONFIG, Trust(reported=("shape",)))
    red = reading.solid("red")
    assert red is not None
    assert (red.shape, red.motion, reading.ground, reading.count) == ("cube", UNKNOWN, UNKNOWN, None)


def test_locate_finds_the_middle_and_fills_frames_without_the_colour() -> None:
    share = torch.zeros(1, 3, 24, 24)
    share[0, 0, 4:8, 10:14] = 1.0
    share[0, 2, 4:8, 10:14] = 1.0
    middle, side = locate(share)
    assert torch.allclose(middle[0], torch.tensor([12 / 24, 6 / 24]).expand(3, 2), atol=1e-3)
    assert side.shape == (1, 3)


def test_changes_are_against_the_first_frame_at_the_start() -> None:
    frames = torch.arange(5.0).reshape(1, 5, 1, 1, 1)
    assert lagged(frames, 3).flatten().tolist() == [0.0, 1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize("shape", [(16, 96, 96, 3), (5, 96, 96, 3), (21, 64, 48, 3)])
def test_any_length_and_size_is_read(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    reader = Reader(ReaderNet(CONFIG), Trust(legible=0.0, solid=0.0, present=0.0, answer=0.0))
    reading = reader.read(np.zeros(shape, np.uint8))
    assert reading.legible
    assert reading.count == len(CONFIG.colours)


def test_another_frame_rate_is_resampled() -> None:
    torch.manual_seed(0)
    reader = Reader(ReaderNet(CONFIG))
    frames = np.random.default_rng(0).integers(0, 256, (16, 96, 96, 3), dtype=np.uint8)
    [once] = reader.score_batch(frames[None])
    [twice] = reader.score_batch(frames.repeat(2, 0)[None], fps=2.0 * CONFIG.fps)
    assert once.legible == pytest.approx(twice.legible, abs=1e-5)


def test_a_clip_reads_the_same_alone_and_in_a_batch() -> None:
    torch.manual_seed(0)
    reader = Reader(ReaderNet(CONFIG), Trust(present=0.0))
    clips = np.random.default_rng(0).integers(0, 256, (10, 24, 96, 96, 3), dtype=np.uint8)
    together = reader.score_batch(clips)
    [alone] = reader.score_batch(clips[9:])
    assert alone.legible == pytest.approx(together[9].legible, abs=1e-5)
    assert np.allclose(alone.answers["shape"], together[9].answers["shape"], atol=1e-4)


def test_what_is_not_a_clip_is_refused() -> None:
    reader = Reader(ReaderNet(CONFIG))
    with pytest.raises(UserError, match="uint8"):
        reader.read(np.zeros((16, 96, 96, 3), np.float32))
    with pytest.raises(UserError, match="takes"):
        reader.read(np.zeros((16, 96, 96), np.uint8))


def test_a_saved_reader_loads_and_damage_is_named(tmp_path: Path) -> None:
    net = ReaderNet(CONFIG)
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    write_config(tmp_path / "config.json", CONFIG, Trust(answer=0.7))
    reader = Reader.load(tmp_path)
    assert (reader.config, reader.trust.answer) == (CONFIG, 0.7)
    write_config(tmp_path / "config.json", replace(CONFIG, finder_width=16), Trust())
    with pytest.raises(UserError, match="does not fit"):
        Reader.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match="damaged"):
        Reader.load(tmp_path)


def test_labels_are_open_while_a_colour_changes() -> None:
    scene = sample_scene(3, level=1, split="any", event="colour", event_at=3.0)
    across = render_window(scene, 16, CONFIG).labels
    after = render_window(scene, 40, CONFIG).labels
    assert (across.shape == -1).all()
    assert (after.shape >= 0).sum() == 1
    assert after.present[CONFIG.colours.index(scene.solids[0].colour(5.0))] == 1


shipped = pytest.mark.skipif(
    not (WEIGHTS / "model.safetensors").exists(), reason="no reader in this checkout"
)


@shipped
def test_the_shipped_reader_reads_the_ground_of_true_renderings() -> None:
    reader = Reader.load()
    windows = list(draw_windows(WindowDraw(split="held_out"), CONFIG, seed=5, count=12))
    right = sum(
        reader.read(window.frames).ground == CONFIG.grounds[window.labels.ground] for window in windows
    )
    assert right >= len(windows) - 1, f"{right} of {len(windows)} grounds"


@shipped
def test_the_shipped_reader_names_shapes_only_once_they_have_passed_the_gate() -> None:
    reader, right, asked = Reader.load(), 0, 0
    for window in draw_windows(WindowDraw(split="held_out"), CONFIG, seed=5, count=40):
        reading = reader.read(window.frames)
        for k in np.flatnonzero(window.labels.shape >= 0):
            solid = reading.solid(CONFIG.colours[k])
            shape = UNKNOWN if solid is None else solid.shape
            right += shape == dict(CONFIG.answers)["shape"][window.labels.shape[k]]
            asked += 1
    assert right >= 0.93 * asked if "shape" in reader.trust.reported else right == 0, (
        f"{right} of {asked} shapes"
    )


@shipped
def test_the_shipped_reader_abstains_on_faulty_clips() -> None:
    reader = Reader.load()
    rng = np.random.default_rng(0)
    windows = list(draw_windows(WindowDraw(split="held_out"), CONFIG, seed=6, count=4))
    faulty = [noise(window.frames, rng) for window in windows]
    faulty += [blur(window.frames, rng) for window in windows]
    faulty += [cross_fade(one.frames, two.frames, rng) for one, two in itertools.pairwise(windows)]
    legible = [reading.legible for reading in reader.read_batch(np.stack(faulty))]
    assert sum(legible) <= 1
