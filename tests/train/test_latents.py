"""Making the stored set: what is filmed, what is captioned, shards that are kept, refreshed and refused."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from longtake.errors import UserError
from longtake.models.patch_codec import PatchCodec, PatchCodecConfig
from longtake.train.clips import latent_times, plan_clip
from longtake.train.config import LatentsConfig
from longtake.train.latents import cell_shares, encode_clip, make_latents, refresh_latents
from longtake.train.store import VALIDATION, LatentSet, shard_names
from longtake.world.render import render
from longtake.world.scene import LIGHT

SMALL = LatentsConfig(
    clips=6,
    latent_frames=6,
    size=32,
    block=2,
    shard_clips=3,
    validation_clips=2,
    longest_gap=10.0,
    event_share=0.5,
)


COUNT = 150


def ignore(done: int, total: int) -> None:
    pass


@pytest.fixture
def codec(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    PatchCodec(PatchCodecConfig(latent_channels=4, width=8, num_blocks=1, detail_width=4)).save_pretrained(
        tmp_path / "codec"
    )
    return tmp_path / "codec"


def plans(**changes: object) -> Iterator:  # type: ignore[type-arg]
    config = LatentsConfig(**changes)  # type: ignore[arg-type]
    return (plan_clip(seed, "train", config) for seed in range(COUNT))


def test_a_share_of_the_clips_is_calm() -> None:
    lights = [plan.scene.light for plan in plans(calm_share=0.5)]
    assert 0.35 * COUNT < lights.count(LIGHT) < 0.65 * COUNT
    assert LIGHT not in [plan.scene.light for plan in plans()]


def test_a_shot_begins_the_take_and_a_jump_leaves_something_out() -> None:
    jumps = 0
    for plan in plans():
        times = latent_times(plan.stretches, 8)
        assert len(times) == LatentsConfig().latent_frames
        assert times[0] == 0
        steps = np.diff(times)
        jumps += plan.record.jump
        assert (np.delete(steps, 2 if plan.record.jump else []) == 0.5).all()
        assert not plan.record.jump or 0.5 < steps[2] <= 120.5
    assert 0.25 < jumps / COUNT < 0.45


def test_captions_change_with_the_event() -> None:
    changed = 0
    for plan in plans(event_share=1.0, levels={1: 1.0}):
        times = latent_times(plan.stretches, 8)
        (event,) = plan.scene.events
        starts = [segment.start for segment in plan.record.segments]
        assert starts[0] == 0
        assert len(starts) == 2
        assert times[starts[1]] > event.at
        assert times[starts[1] - 1] <= event.at
        before, after = (set(segment.captions) for segment in plan.record.segments)
        changed += before != after
    assert changed == COUNT


def test_events_share_levels_and_splits_follow_the_config() -> None:
    drawn = list(plans(event_share=0.3, levels={1: 0.5, 2: 0.5}))
    assert 0.2 < np.mean([bool(plan.scene.events) for plan in drawn]) < 0.4
    assert 0.4 < np.mean([plan.record.level == 1 for plan in drawn]) < 0.6
    assert plan_clip(5, "held_out", LatentsConfig()).record.split == "held_out"


def test_a_stretch_in_the_middle_is_encoded_as_the_middle_of_its_take(codec: Path) -> None:
    """The frames after a jump equal those of one long stream over the whole take."""
    network = PatchCodec.from_pretrained(codec)
    config = SMALL.model_copy(update={"jump_share": 1.0, "longest_gap": 3.0})
    plan = plan_clip(3, "train", config)
    clip, _ = encode_clip(plan, network, config)
    assert clip.shape[2] == config.latent_frames
    first = round(latent_times(plan.stretches, config.fps)[config.block] * config.fps / 4)
    frames = render(plan.scene, 1 + 4 * (first + 3), size=(32, 32), fps=config.fps).frames
    whole = network.encode(torch.from_numpy(frames)[None], network.start())
    assert torch.equal(clip[:, :, : config.block], whole[:, :, : config.block])
    assert torch.equal(clip[:, :, config.block :], whole[:, :, first : first + 4])


def test_a_set_is_made_continued_and_read(codec: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    make_latents(folder, codec, SMALL, workers=1, progress=ignore)
    assert shard_names(folder) == ("shard-000000", "shard-000001")
    data = LatentSet(folder)
    assert (len(data), data.latent_shape) == (6, (4, 6, 4, 4))
    assert {r.split for r in LatentSet(folder, [VALIDATION]).shards[0].records} == {"train", "held_out"}
    before = (folder / "shard-000000.safetensors").stat().st_mtime_ns
    again = (folder / "shard-000001.safetensors").read_bytes()
    (folder / "shard-000001.json").unlink()
    make_latents(folder, codec, SMALL, workers=1, progress=ignore)
    assert (folder / "shard-000000.safetensors").stat().st_mtime_ns == before, "finished shards are kept"
    assert (folder / "shard-000001.safetensors").read_bytes() == again, "a clip is a function of its seed"


def test_refreshing_replaces_the_oldest_with_new_seeds(codec: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    make_latents(folder, codec, SMALL, workers=1, progress=ignore)
    seeds = {r.seed for shard in LatentSet(folder).shards for r in shard.records}
    refresh_latents(folder, shards=1, workers=1, progress=ignore)
    assert shard_names(folder) == ("shard-000001", "shard-000002")
    fresh = {r.seed for r in LatentSet(folder, ["shard-000002"]).shards[0].records}
    assert not fresh & seeds


def test_a_set_of_other_settings_is_refused(codec: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    make_latents(folder, codec, SMALL.model_copy(update={"clips": 3}), workers=1, progress=ignore)
    with pytest.raises(UserError, match="other settings"):
        make_latents(folder, codec, SMALL.model_copy(update={"block": 3}), workers=1, progress=ignore)
    with pytest.raises(UserError, match="holds no latent set"):
        refresh_latents(tmp_path / "nothing", shards=1, workers=1, progress=ignore)


def test_shares_say_how_much_of_a_cell_each_solid_covers() -> None:
    instances = np.zeros((5, 16, 16), dtype=np.uint8)
    instances[0, :8, :4] = 1
    instances[1:3, 8:, 8:] = 2
    shares = cell_shares(instances, 4, 2)
    assert shares.shape == (3, 2, 2, 2)
    assert shares[0, 0].tolist() == [[0.5, 0.0], [0.0, 0.0]]
    assert shares[1, 1].tolist() == [[0.0, 0.0], [0.0, 0.5]], "the mean over the latent frame's four pictures"
    assert shares[2].sum() == 0


def test_single_frames_stand_beside_the_clips(codec: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    make_latents(folder, codec, SMALL.model_copy(update={"images": 7}), workers=1, progress=ignore)
    stored = LatentSet(folder)
    assert stored.names == ("shard-000000", "shard-000001", "images-000000")
    single = stored.batch(0, [False] * 4, {1: 1.0}, single=True)
    assert single.latents.shape[2] == 1
    assert single.shares is not None
    assert single.shares.amax() > 0
