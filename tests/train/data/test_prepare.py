"""Videos to stored sets: what is found, cut, encoded, skipped and refused, and that a stop loses nothing."""

from __future__ import annotations

import errno
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from longtake.errors import UserError
from longtake.models.hub import find
from longtake.models.text import EmbeddingCache
from longtake.train import shard_file
from longtake.train.config import Stage
from longtake.train.data import making
from longtake.train.data.app import app
from longtake.train.data.config import DataConfig, native
from longtake.train.data.cutting import encode, whole_clips
from longtake.train.data.parts import text_encoder_of
from longtake.train.data.prepare import Summary, prepare
from longtake.train.data.sources import find_sources
from longtake.train.device import choose_compute
from longtake.train.mini import Mini
from longtake.train.store import VALIDATION, LatentSet
from tests.tiny import tiny_folder, tiny_patch_codec
from tests.train.data.footage_sets import add_to_tar, config, folder, ramp, video
from tests.train.sets import WORDS, tiny_config

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model"))


def make(source: Path, out: Path, model: Path, *, text: bool = False, **changes: object) -> Summary:
    return prepare(source, out, config(model, **changes), find(model), device=CPU, with_text=text)


def places(out: Path) -> list[tuple[str, int]]:
    """Video and clip number of every training clip, in the set's order."""
    clips = [record.attributes for shard in LatentSet(out).shards for record in shard.records]
    return [(clip["video"], clip["clip"]) for clip in clips]


def test_a_folder_becomes_a_set_that_training_reads(model: Path, tmp_path: Path) -> None:
    source = folder(tmp_path / "videos", {"a.mp4": 12, "b/c.mov": 15, "d.mkv": 5})
    made = make(source, tmp_path / "set", model, text=True, validation_clips=9)
    stored = LatentSet(tmp_path / "set")
    assert made.clips == len(stored)
    assert made.clips + made.validation_clips == 2 + 3 + 1
    assert stored.latent_shape == (4, 2, 2, 4)
    [batch] = [stored.batch(step=0, jumps=[False, False], levels={1: 1.0, 3: 1.0})]
    assert batch.latents.shape == (2, 4, 2, 2, 4)
    record = batch.records[0]
    stem = Path(record.attributes["video"]).stem
    assert record.segments[0].captions == (f"video {stem}", f"again {stem}")
    aside = {r.attributes["video"] for r in LatentSet(tmp_path / "set", [VALIDATION]).shards[0].records}
    assert aside
    assert not aside & {video for video, _ in places(tmp_path / "set")}, "videos set aside are not trained on"


def test_recipes_made_for_toybox_train_on_it(model: Path, tmp_path: Path) -> None:
    source = folder(tmp_path / "videos", {f"{name}.mp4": 10 for name in "abcd"})
    make(source, tmp_path / "set", model)
    stage = Stage(name="clips", steps=1, batch_size=2, frames=2, levels={1: 0.7, 3: 0.3})
    mini = Mini(tiny_config(stages=(stage,)), tmp_path / "set", WORDS, choose_compute("cpu", "float32"))
    assert torch.isfinite(mini.loss(stage, 0))
    figures = mini.validate(dict(mini.networks.named_parameters()), frames=2)
    assert np.isfinite(list(figures.values())).all(), figures
    assert "seen" not in figures, "videos set aside were never trained on"


def test_stored_latents_are_the_codecs_own(model: Path, tmp_path: Path) -> None:
    source = folder(tmp_path / "videos", {"a.mp4": 10, "b.mp4": 10})
    make(source, tmp_path / "set", model)
    stored = LatentSet(tmp_path / "set")
    codec = tiny_patch_codec()
    for shard in stored.shards:
        for index, record in enumerate(shard.records):
            first = 20 * ["a.mp4", "b.mp4"].index(record.attributes["video"]) + 4 * record.start
            expected = codec.encode(torch.from_numpy(ramp(5, first))[None], codec.start())
            worst = (shard.clips([index]) - expected).abs().max() / expected.abs().max()
            assert worst < 0.05, f"clip {record.attributes} differs by {worst:.3f} of its range"


def test_encoding_frame_by_frame_is_encoding_at_once() -> None:
    codec, frames = tiny_patch_codec(), ramp(13)
    at_once = codec.encode(torch.from_numpy(frames)[None], codec.start())
    assert torch.equal(encode(list(frames), codec), at_once)


def test_no_clip_goes_across_a_cut() -> None:
    frames = [np.full((1, 1, 3), index, np.uint8) for index in range(12)]
    starts = [(start, [int(f[0, 0, 0]) for f in held]) for start, held in whole_clips(frames, 3, cuts=[4, 9])]
    assert starts == [(0, [0, 1, 2]), (4, [4, 5, 6]), (9, [9, 10, 11])]


def test_cuts_are_looked_for(model: Path, tmp_path: Path) -> None:
    source = tmp_path / "videos"
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        shots = [np.tile(rng.integers(0, 255, (1, 16, 32, 3), np.uint8), (22, 1, 1, 1)) for _ in range(2)]
        video(source / f"{name}.mp4", np.concatenate(shots))
    made = make(source, tmp_path / "set", model, shots=True, latent_frames=5, uncaptioned="empty")
    assert {record.start for shard in LatentSet(tmp_path / "set").shards for record in shard.records} == {
        0,
        22,
    }
    assert made.clips == 2


def test_embeddings_of_captions_are_stored_and_found_without_weights(model: Path, tmp_path: Path) -> None:
    source = folder(tmp_path / "videos", {"a.mp4": 10, "b.mp4": 5})
    make(source, tmp_path / "set", model, text=True)
    encoder = text_encoder_of(find(model), tmp_path / "set", CPU)
    cache = EmbeddingCache(tmp_path / "set" / "text")
    for caption in ("", "video a", "again b"):
        rows = cache.read(encoder._key(making_prompt(caption)))
        assert rows is not None, f"no embedding of {caption!r}"
        assert torch.equal(rows, encoder.encode([caption])[0, : len(rows)])


def making_prompt(text: str):  # type: ignore[no-untyped-def]
    from longtake.models.prompt import parse

    return parse(text)


def test_a_stopped_set_goes_on_and_equals_one_made_at_once(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder(tmp_path / "videos", {f"{name}.mp4": 16 for name in "abcd"})
    whole = make(source, tmp_path / "whole", model)
    encoded, real = [0], making.encode

    def breaking(frames, codec):  # type: ignore[no-untyped-def]
        encoded[0] += 1
        if encoded[0] % 6 == 0:
            raise KeyboardInterrupt
        return real(frames, codec)

    monkeypatch.setattr(making, "encode", breaking)
    stops = 0
    while True:
        try:
            made = make(source, tmp_path / "parts", model)
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops >= 2
    assert made == whole
    assert places(tmp_path / "parts") == places(tmp_path / "whole")
    assert len(set(places(tmp_path / "whole"))) == whole.clips, "no clip is stored twice"
    for one, other in zip(
        LatentSet(tmp_path / "whole").shards, LatentSet(tmp_path / "parts").shards, strict=True
    ):
        assert torch.equal(one.latents, other.latents)


def test_new_videos_are_taken_up_later(model: Path, tmp_path: Path) -> None:
    source = folder(tmp_path / "videos", {"m.mp4": 10, "n.mp4": 10})
    first = make(source, tmp_path / "set", model)
    folder(source, {"a.mp4": 10})
    second = make(source, tmp_path / "set", model)
    assert second.clips == first.clips + 2
    assert second.validation_clips == first.validation_clips
    with pytest.raises(UserError, match="made with latent_frames 2; keep that"):
        make(source, tmp_path / "set", model, latent_frames=1)


def test_broken_videos_are_listed_and_skipped(model: Path, tmp_path: Path) -> None:
    source = folder(tmp_path / "videos", {f"{name}.mp4": 10 for name in "abcdef"} | {"short.mp4": 3})
    (source / "junk.mp4").write_bytes(b"not a video at all")
    (source / "junk.txt").write_text("junk")
    whole = (source / "f.mp4").read_bytes()
    (source / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (source / "cut.txt").write_text("cut")
    made = make(source, tmp_path / "set", model, validation_clips=0)
    assert made.clips == 12
    reasons = {entry.key: entry.reason for entry in made.skipped}
    assert reasons.keys() == {"short.mp4", "junk.mp4", "cut.mp4"}
    assert "3 frames at 8 a second; a clip needs 5" in reasons["short.mp4"]
    assert str(source) not in reasons["junk.mp4"]


def test_webdataset_tars_are_read_in_place(model: Path, tmp_path: Path) -> None:
    loose = folder(tmp_path / "loose", {"a.mp4": 10, "b.mp4": 10, "c.mp4": 5})
    source = tmp_path / "tars"
    source.mkdir()
    with tarfile.open(source / "00.tar", "w") as tar:
        add_to_tar(tar, "x/1.txt", b"video a\n")
        add_to_tar(tar, "x/1.mp4", (loose / "a.mp4").read_bytes())
        add_to_tar(tar, "x/2.json", json.dumps({"caption": "video b", "id": 2}).encode())
        add_to_tar(tar, "x/2.mp4", (loose / "b.mp4").read_bytes())
        add_to_tar(tar, "../../evil.mp4", (loose / "c.mp4").read_bytes())
        add_to_tar(tar, "../../evil.txt", b"outside")
    found = {source.key: source.captions for source in find_sources(source)}
    assert found == {
        "00.tar!x/1.mp4": ("video a",),
        "00.tar!x/2.mp4": ("video b",),
        "00.tar!../../evil.mp4": ("outside",),
    }
    made = make(source, tmp_path / "set", model, validation_clips=0)
    assert made.clips == 5
    plain = make(loose, tmp_path / "plain", model, validation_clips=0)
    assert plain.clips == 5
    one, other = (LatentSet(tmp_path / name).shards[0] for name in ("set", "plain"))
    assert torch.equal(one.latents, other.latents)
    assert not (tmp_path / "evil.mp4").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("captions.csv", 'file_name,caption\na.mp4,"red, rolling"\na.mp4,a red one\nb.mp4,blue\n'),
        (
            "metadata.jsonl",
            '{"video": "a.mp4", "text": ["red, rolling", "a red one"]}\n\n{"video": "b.mp4", "text": "blue"}\n',
        ),
    ],
)
def test_one_table_may_hold_all_captions(tmp_path: Path, name: str, text: str) -> None:
    for stem in "ab":
        video(tmp_path / f"{stem}.mp4", ramp(5))
    (tmp_path / name).write_text(text)
    found = {source.key: source.captions for source in find_sources(tmp_path)}
    assert found == {"a.mp4": ("red, rolling", "a red one"), "b.mp4": ("blue",)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file_name,caption\nz.mp4,red\n", "names 1 videos that are not there, first z.mp4"),
        ("name,caption\na.mp4,red\n", "line 2 names no video"),
        ("file_name,caption\n../a.mp4,red\n", "outside the folder"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(tmp_path: Path, text: str, said: str) -> None:
    video(tmp_path / "a.mp4", ramp(5))
    (tmp_path / "captions.csv").write_text(text)
    with pytest.raises(UserError, match=said):
        find_sources(tmp_path)


def test_videos_without_captions_are_refused_skipped_or_taken(model: Path, tmp_path: Path) -> None:
    source = folder(tmp_path / "videos", {"a.mp4": 10, "b.mp4": 10, "c.mp4": 10})
    (source / "b.txt").unlink()
    with pytest.raises(UserError, match=r"1 of 3 videos have no caption, first b\.mp4; write a text file"):
        make(source, tmp_path / "no", model)
    assert not (tmp_path / "no").exists()
    assert make(source, tmp_path / "skip", model, uncaptioned="skip", validation_clips=0).clips == 4
    assert make(source, tmp_path / "empty", model, uncaptioned="empty", validation_clips=0).clips == 6


def test_what_cannot_become_a_set_is_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="holds no videos"):
        make(tmp_path / "none", tmp_path / "a", model)
    one = folder(tmp_path / "one", {"a.mp4": 5})
    with pytest.raises(UserError, match="holds 1 video; training needs at least 2"):
        make(one, tmp_path / "b", model)
    with pytest.raises(UserError, match="gives 1 training clips, at least 2 are needed"):
        make(one, tmp_path / "c", model, validation_clips=0)


def test_a_full_disk_keeps_finished_shards_and_the_command_goes_on(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder(tmp_path / "videos", {"a.mp4": 16, "b.mp4": 16})
    real = shard_file.save_file

    def full(tensors: object, path: Path) -> None:
        if "shard-000001" in str(path):
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(tensors, path)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(shard_file, "save_file", full)
        with pytest.raises(UserError, match=r"shard-000001.*No space left.*free some space"):
            make(source, tmp_path / "set", model)
    assert len(LatentSet(tmp_path / "set")) == 2
    assert not list((tmp_path / "set").glob("*.part"))
    assert make(source, tmp_path / "set", model).clips == 3


def test_the_command_lists_what_it_skipped_and_succeeds(model: Path, tmp_path: Path) -> None:
    source = folder(tmp_path / "videos", {"a.mp4": 10, "b.mp4": 10, "c.mp4": 2})
    command = ["prepare", str(source), "--out", str(tmp_path / "set"), "--model", str(model)]
    options = ["--latent-frames", "2", "--no-shots", "--validation", "0", "--no-text"]
    result = CliRunner().invoke(app, [*command, *options, "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["clips"] == 4
    assert [entry["key"] for entry in said["skipped"]] == ["c.mp4"]
    assert "skipped c.mp4" in CliRunner().invoke(app, [*command, *options]).stderr
    for option, wrong in (("--size", "32"), ("--uncaptioned", "maybe")):
        refused = CliRunner().invoke(app, [*command, option, wrong])
        assert isinstance(refused.exception, UserError)
        assert wrong in str(refused.exception)


def test_the_size_comes_from_the_model(model: Path) -> None:
    config = native(find(model).preset, str(model))
    assert (config.width, config.height, config.fps, config.latent_frames) == (32, 16, 8, 6)
    wan = native(find_preset("causvid"), "causvid")
    assert (wan.width, wan.height, wan.fps, wan.latent_frames) == (832, 480, 16, 21)


def find_preset(name: str):  # type: ignore[no-untyped-def]
    from longtake.models.hub import presets

    return presets()[name]


def test_the_config_refuses_what_it_does_not_know(model: Path) -> None:
    with pytest.raises(ValueError, match="Extra inputs"):
        DataConfig.model_validate(config(model).model_dump() | {"heigth": 3})
