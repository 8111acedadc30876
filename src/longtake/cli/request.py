"""What `generate` is asked to make, checked before anything heavy is loaded."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from longtake.cli.opening import Opening
from longtake.errors import UserError
from longtake.footage import Picture, VideoFile, cover_note, read_image
from longtake.media import VideoFormat
from longtake.models.hub import Preset, look_up
from longtake.models.intake import check_has_image, check_takes_image, check_takes_video
from longtake.models.method import under_method
from longtake.models.prompt import parse
from longtake.timeline import Timeline

DEFAULT_SECONDS = 10.0
AFTER_LAST_CUE = 4.0
MAX_SEED = 2**63 - 1
LONGEST = 10**9  # seconds or frames


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A take to be made."""

    timeline: Timeline
    """What is to be seen, and when."""
    num_frames: int | None
    """Length of the video that was asked for; None leaves it to `default_frames`, or to the source video's."""
    default_frames: int
    """Length where none was asked for and the model can make as much."""
    model: str
    """Name or folder of the model."""
    seed: int | None
    """Decides every random number; None draws one."""
    width: int
    """Pixels of the picture that the model makes."""
    height: int
    """Pixels of the picture that the model makes."""
    form: VideoFormat
    """Picture and rate of the file."""
    out: Path
    """The file."""
    force: bool
    """Whether a file that is there may be replaced."""
    image: Picture | None = None
    """The first frame."""
    video: Path | None = None
    """What the take is made from."""
    strength: float | None = None
    """How much of the video is replaced; None leaves it to the model."""
    inputs: tuple[str, ...] = ()
    """What happens to image or video, and what the model is changed by, in words."""
    opening: Opening = field(default_factory=Opening)
    """How the model is opened."""

    enhance: bool = False
    """Whether the take goes through the model's enhancer."""

    @classmethod
    def read(
        cls,
        *,
        prompt: str | None,
        storyboard: Path | None,
        seconds: float | None,
        frames: int | None,
        out: Path,
        force: bool,
        seed: int | None,
        model: str,
        size: str | None,
        scale: int,
        fps: float | None,
        image: str | None = None,
        video: str | None = None,
        strength: float | None = None,
        profile: str | None = None,
        codec: str = "full",
        lora: Sequence[str] = (),
        enhance: bool = False,
    ) -> Request:
        """Check the options of `generate`. Raises `UserError` for the first that cannot be used."""
        timeline = read_timeline(prompt, storyboard)
        checkpoint = look_up(model)
        preset = checkpoint.preset
        check_fps(fps, preset)
        width, height = read_size(size, preset)
        check_scale(scale)
        times = scale * (_enhanced(model) if enhance else 1)
        form = VideoFormat(width=width * times, height=height * times, fps=preset.native.fps)
        check_seed(seed)
        num_frames = count_frames(seconds, frames, preset.native.fps)
        check_output(out, force=force)
        given = Given.read(preset, image, video, strength)
        opening = Opening.read(checkpoint, profile, codec, lora)
        return cls(
            timeline=timeline,
            num_frames=num_frames,
            default_frames=round(default_seconds(timeline) * preset.native.fps),
            model=model,
            seed=seed,
            width=width,
            height=height,
            form=form,
            out=out,
            force=force,
            image=given.image,
            video=None if given.video is None else given.video.path,
            strength=strength,
            inputs=(*given.notes(width, height), *opening.notes()),
            opening=opening,
            enhance=enhance,
        )


def _enhanced(model: str) -> int:
    """How many times larger a model's enhancer makes its video. Raises `UserError` when it has none."""
    from longtake.enhance.opening import find_enhancer
    from longtake.enhance.spec import SPEC_FILE, read_spec

    return read_spec(find_enhancer(model) / SPEC_FILE).scale


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """Image and video, opened."""

    image: Picture | None
    video: VideoFile | None

    @classmethod
    def read(cls, preset: Preset, image: str | None, video: str | None, strength: float | None) -> Given:
        """Open what `--image` and `--video` name. Raises `UserError` for what cannot be used."""
        if image is not None and video is not None:
            raise UserError(f"both --image {image} and --video {video} given; give one of them")
        if strength is not None:
            if video is None:
                raise UserError(
                    f"--strength {strength:g} given without --video; give a video, or leave it out"
                )
            if not 0 < strength <= 1:
                raise UserError(f"--strength {strength:g} is out of range; give a number above 0, up to 1")
        check_has_image(preset, first=image is not None, last=False)
        if image is not None:
            check_takes_image(preset)
        if video is not None:
            check_takes_video(preset)
        return cls(
            image=None if image is None else read_image(image),
            video=None if video is None else VideoFile.open(video),
        )

    def notes(self, width: int, height: int) -> tuple[str, ...]:
        """What happens to them, for the summary."""
        if self.image is not None:
            size = self.image.shape[1], self.image.shape[0]
            return (cover_note("image", size, width, height),)
        if self.video is not None:
            return (cover_note("video", (self.video.width, self.video.height), width, height),)
        return ()


def read_timeline(prompt: str | None, storyboard: Path | None) -> Timeline:
    """The timeline of a prompt or of a storyboard; exactly one is to be given. Weights in prompts are checked."""
    if prompt is not None and storyboard is not None:
        raise UserError(f"both a prompt and --storyboard {storyboard} given; give one of them")
    if storyboard is None and prompt is None:
        raise UserError("no prompt given; say what is to be seen, in quotes, or give --storyboard FILE")
    timeline = (
        Timeline.from_prompt(prompt or "") if storyboard is None else Timeline.from_storyboard(storyboard)
    )
    for cue in timeline.cues:
        parse(cue.prompt)
    return timeline


def count_frames(seconds: float | None, frames: int | None, fps: int) -> int | None:
    """The length in frames, `--frames N` or round(S × fps) of `--seconds S`; None when neither is given."""
    if seconds is not None and frames is not None:
        raise UserError(f"both --seconds {seconds:g} and --frames {frames} given; give one of them")
    if frames is not None:
        if not 1 <= frames <= LONGEST:
            raise UserError(f"--frames {frames} is not a length; give a whole number from 1 to {LONGEST}")
        return frames
    if seconds is None:
        return None
    if not 0 < seconds <= LONGEST:
        raise UserError(f"--seconds {seconds:g} is not a length; give a number above 0, up to {LONGEST}")
    if (count := round(seconds * fps)) < 1:
        least = f"at least {1 / fps:g}"
        raise UserError(
            f"--seconds {seconds:g} is less than one frame at {fps} frames a second; give {least}"
        )
    return count


def default_seconds(timeline: Timeline) -> float:
    """A length that shows every cue of the timeline."""
    last = max((cue.at or 0.0) + cue.transition for cue in timeline.cues)
    return max(DEFAULT_SECONDS, last + AFTER_LAST_CUE if last else 0.0)


def check_fps(fps: float | None, preset: Preset) -> None:
    """Refuse a frame rate that is not the model's own."""
    if fps is not None and fps != preset.native.fps:
        made = f"{preset.name} makes {preset.native.fps} frames a second"
        raise UserError(f"--fps {fps:g} cannot be made: {made}; leave it out or give {preset.native.fps}")


def read_size(size: str | None, preset: Preset) -> tuple[int, int]:
    """Read `--size WxH` as `(width, height)`; the model's native size when not given."""
    native = preset.native
    if size is None:
        return native.width, native.height
    match = re.fullmatch(r"(\d{1,6})[xX×](\d{1,6})", size)
    if match is None:
        like = f"{native.width}x{native.height}"
        raise UserError(f"--size {size!r} is not a size; give WIDTHxHEIGHT in pixels, such as {like}")
    return int(match[1]), int(match[2])


def check_scale(scale: int) -> None:
    """Refuse what is no enlargement."""
    if scale < 1:
        raise UserError(f"--scale {scale} is not an enlargement; give a whole number from 1")


def check_method(model: str, method: str | None) -> None:
    """Refuse a method that is unknown, or that the model cannot follow."""
    preset = look_up(model).preset
    under_method(preset.policy, method, preset.name)


def check_seed(seed: int | None) -> None:
    """Refuse a seed that the noise generator does not take."""
    if seed is not None and not 0 <= seed <= MAX_SEED:
        raise UserError(f"--seed {seed} is out of range; give a whole number from 0 to {MAX_SEED}")


def check_output(path: Path, *, force: bool) -> None:
    """Refuse a file that cannot be written, or that is there and may not be replaced; changes nothing."""
    try:
        if path.is_dir():
            raise UserError(f"--out {path} is a folder; give a file name such as {path / 'take.mp4'}")
        there = path.exists()
        if there and not force:
            raise UserError(f"--out {path} exists; give another name, or --force to replace it")
        if path.suffix.lower() != ".mp4" and (path.is_file() or not there):
            raise UserError(f"--out {path}: only MP4 is written; give a name that ends in .mp4")
        if not there:
            tempfile.TemporaryFile(dir=path.parent).close()
        elif not os.access(path, os.W_OK):
            raise UserError(f"--out {path} cannot be written; give a file that you may write")
    except OSError as error:
        raise UserError(
            f"--out {path} cannot be written: {error.strerror}; give a folder that is there"
        ) from error
