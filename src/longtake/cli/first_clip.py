"""`--first-clip`: what a take goes on from, a video of the user's or one that another model makes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from longtake.errors import UserError
from longtake.footage import Picture, VideoFile, read_image
from longtake.models.first_clip import open_first_clip, split_source
from longtake.models.hub import look_up
from longtake.models.intake import check_takes_clip
from longtake.models.method import under_method


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstClip:
    """Checked, and not yet made."""

    video: Path | None = None
    """The user's own video."""
    source: tuple[str, Path] | None = None
    """Kind and folder of the model that makes it."""
    image: Picture | None = None
    """What that model begins from."""

    @classmethod
    def read(
        cls, text: str, model: str, method: str | None, image: str | None, video: str | None
    ) -> FirstClip:
        """Check the option before anything is loaded. Raises `UserError` for what cannot be used."""
        if video is not None:
            raise UserError(f"both --first-clip {text} and --video {video} given; give one of them")
        preset = look_up(model).preset
        policy = under_method(preset.policy, method, preset.name)
        check_takes_clip(preset.model_copy(update={"policy": policy}))
        source = split_source(text)
        if source is not None:
            return cls(source=source, image=None if image is None else read_image(image))
        if image is not None:
            raise UserError(f"both --first-clip {text} and --image {image} given; give one of them")
        return cls(video=VideoFile.open(text).path)

    def make(self, prompt: str, seed: int) -> Path | Picture:
        """The video, or its frames `uint8 [T, H, W, 3]`."""
        if self.video is not None:
            return self.video
        assert self.source is not None  # one of both is there
        return open_first_clip(*self.source, self.image).make(prompt, seed=seed)
