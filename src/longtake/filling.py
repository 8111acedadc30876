"""From what a user gives beside the prompt, an image or a video, to the slots of a take."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from longtake.errors import UserError
from longtake.footage import ImageInput, Picture, VideoFile, VideoInput, cover, read_frames, read_image
from longtake.models.codec import Codec
from longtake.models.hub import Preset
from longtake.models.image_encoder import ImageEncoder
from longtake.models.intake import check_has_image, check_takes_clip, check_takes_image, check_takes_video
from longtake.sampling import Sampler
from longtake.sampling.few_step import FewStep
from longtake.sampling.given import steps_from
from longtake.slots import Slot
from longtake.slots.clip import Clip, tail
from longtake.slots.first_frame import FirstFrame
from longtake.slots.pictures import Pictures
from longtake.slots.source import Source, SourceRule
from longtake.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class Filling:
    """Fills the slots of takes that one model makes at one size."""

    preset: Preset
    codec: Codec
    image_encoder: ImageEncoder | None
    sampler: Sampler
    height: int
    width: int

    def fill(
        self,
        image: ImageInput | None,
        video: VideoInput | None,
        strength: float | None,
        last_image: ImageInput | None = None,
        clip: VideoInput | None = None,
    ) -> tuple[Slot, ...]:
        """The slots for an image (or two), a video, a clip to go on from, or nothing.

        Raises UserError for what the model does not take.
        """
        if clip is not None:
            if image is not None or video is not None or strength is not None:
                raise UserError("a clip to go on from and an image or a video given; give one of them")
            return (Clip.encode(self.end_of(clip), self.codec),)
        check_has_image(self.preset, first=image is not None, last=last_image is not None)
        if image is not None and video is not None:
            raise UserError("both an image and a video given; give one of them")
        if strength is not None and video is None:
            raise UserError(f"strength {strength:g} given without a video; give a video, or leave it out")
        if image is not None:
            return (self._from_image(image, last_image),)
        return () if video is None else (self._source(video, strength),)

    def end_of(self, clip: VideoInput) -> Picture:
        """The last pictures of a clip that a take goes on from, in the take's size: `[T, H, W, 3]`.

        Raises UserError for one that is too short, and for a model that takes none.
        """
        return tail(self._pictures(clip)[0], check_takes_clip(self.preset), self.codec.temporal_stride)

    def refill(self, snapshot: Snapshot, video: VideoInput | None) -> tuple[Slot, ...]:
        """The slots of a snapshot. A file is opened again where it was; a live source goes on with `video`."""
        kinds = snapshot.meta["slots"]
        slots: list[Slot] = []
        if FirstFrame.kind in kinds:
            tensors = snapshot.part(f"slot.{FirstFrame.kind}")
            slots.append(FirstFrame.from_dict(kinds[FirstFrame.kind], tensors))
        if Clip.kind in kinds:
            slots.append(Clip.from_dict(snapshot.part(f"slot.{Clip.kind}")))
        if Pictures.kind in kinds:
            slots.append(Pictures.restored(snapshot.part(f"slot.{Pictures.kind}"), self.codec))
        if Source.kind in kinds:
            slots.append(self._resumed(SourceRule(**kinds[Source.kind]), snapshot, video))
        return tuple(slots)

    def _from_image(self, image: ImageInput, last_image: ImageInput | None) -> Slot:
        entry = check_takes_image(self.preset)
        picture = cover(read_image(image), self.width, self.height)
        if entry == "beside":
            assert self.image_encoder is not None  # a model of this kind is opened with one
            last = None if last_image is None else cover(read_image(last_image), self.width, self.height)
            return Pictures.encode(picture, last, self.codec, self.image_encoder)
        return FirstFrame.encode(picture, self.codec, entry, self.preset.policy.block)

    def _source(self, video: VideoInput, strength: float | None) -> Source:
        pictures, path = self._pictures(video)
        return Source(pictures, self.codec, self._rule(strength, path))

    def _rule(self, strength: float | None, path: str | None) -> SourceRule:
        spec = check_takes_video(self.preset)
        rule = SourceRule(
            strength=spec.strength if strength is None else strength,
            begin_below=spec.begin_below,
            motion=spec.motion,
            path=path,
        )
        if isinstance(self.sampler, FewStep):
            _check_steps(self.sampler.timesteps, rule)
        return rule

    def _resumed(self, rule: SourceRule, snapshot: Snapshot, video: VideoInput | None) -> Source:
        tensors = snapshot.part(f"slot.{Source.kind}")
        pulled = int(tensors["counts"][0])
        video = rule.path if video is None else video
        if video is None:
            raise UserError(
                f"the take is made from a live video; give what comes after its first {pulled} frames as `video`"
            )
        source = Source(self._pictures(video, pulled)[0], self.codec, rule)
        source.restore(tensors)
        return source

    def _pictures(self, video: VideoInput, start: int = 0) -> tuple[Iterator[Picture], str | None]:
        """The pictures of a source from number `start` on (a live one stands there), and its file."""
        if isinstance(video, str | os.PathLike):
            file = VideoFile.open(video)
            pictures, path = file.frames(self.preset.native.fps, start), str(file.path.absolute())
        else:
            pictures, path = read_frames(video), None
        return (cover(picture, self.width, self.height) for picture in pictures), path


def _check_steps(timesteps: Sequence[float], rule: SourceRule) -> None:
    """Refuse a strength that leaves no step, or whose first step would lie behind the second."""
    if rule.begin_below is None:
        steps_from(timesteps, rule.strength)
        return
    least = (rule.begin_below + timesteps[min(1, len(timesteps) - 1)]) / 1000
    if len(timesteps) > 1 and rule.strength < least:
        raise UserError(
            f"strength {rule.strength:g} is too low for these steps; use {least:g} to 1, or fewer steps"
        )
