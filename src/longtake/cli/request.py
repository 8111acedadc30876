"""What `generate` is asked to make, checked before anything heavy is loaded."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from longtake.errors import UserError
from longtake.media import VideoFormat
from longtake.models.hub import Preset, find
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
    num_frames: int
    """Length of the video."""
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
    ) -> Request:
        """Check the options of `generate`. Raises `UserError` for the first that cannot be used."""
        timeline = read_timeline(prompt, storyboard)
        preset = find(model).preset
        check_fps(fps, preset)
        width, height = read_size(size, preset)
        check_scale(scale)
        form = VideoFormat(width=width * scale, height=height * scale, fps=preset.native.fps)
        check_seed(seed)
        num_frames = count_frames(seconds, frames, timeline, preset.native.fps)
        check_output(out, force=force)
        return cls(
            timeline=timeline,
            num_frames=num_frames,
            model=model,
            seed=seed,
            width=width,
            height=height,
            form=form,
            out=out,
            force=force,
        )


def read_timeline(prompt: str | None, storyboard: Path | None) -> Timeline:
    """The timeline of a prompt or of a storyboard; exactly one is to be given."""
    if prompt is not None and storyboard is not None:
        raise UserError(f"both a prompt and --storyboard {storyboard} given; give one of them")
    if storyboard is not None:
        return Timeline.from_storyboard(storyboard)
    if prompt is None:
        raise UserError("no prompt given; say what is to be seen, in quotes, or give --storyboard FILE")
    return Timeline.from_prompt(prompt)


def count_frames(seconds: float | None, frames: int | None, timeline: Timeline, fps: int) -> int:
    """The length in frames: `--frames N`, round(S × fps) of `--seconds S`, or a default for the timeline."""
    if seconds is not None and frames is not None:
        raise UserError(f"both --seconds {seconds:g} and --frames {frames} given; give one of them")
    if frames is not None:
        if not 1 <= frames <= LONGEST:
            raise UserError(f"--frames {frames} is not a length; give a whole number from 1 to {LONGEST}")
        return frames
    if seconds is None:
        last = max((cue.at or 0.0) + cue.transition for cue in timeline.cues)
        seconds = max(DEFAULT_SECONDS, last + AFTER_LAST_CUE if last else 0.0)
    if not 0 < seconds <= LONGEST:
        raise UserError(f"--seconds {seconds:g} is not a length; give a number above 0, up to {LONGEST}")
    if (count := round(seconds * fps)) < 1:
        least = f"at least {1 / fps:g}"
        raise UserError(
            f"--seconds {seconds:g} is less than one frame at {fps} frames a second; give {least}"
        )
    return count


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
