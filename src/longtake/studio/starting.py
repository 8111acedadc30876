"""From what a client asks for to an order: checked in the user's words before a worker sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from longtake.errors import UserError
from longtake.settings import Settings
from longtake.studio.config import Limits
from longtake.studio.errors import Reason, Refused
from longtake.studio.orders import Branch, NewTake, Order, Resume
from longtake.studio.protocol import LiveReference, SessionStart, UploadReference
from longtake.studio.uploads import Uploads
from longtake.timeline import Cue, Timeline


def read_start(
    start: SessionStart,
    models: Mapping[str, Mapping[str, Any]],
    uploads: Uploads,
    limits: Limits,
    image: Path | None,
) -> Order:
    """The order of a `session.start`. image: the file of a `data:` image. Raises Refused."""
    if start.take_id is not None:
        return Resume(take_id=start.take_id)
    if start.branch is not None:
        if start.prompt is not None:
            check_prompts([start.prompt], limits)
        return Branch(
            take_id=start.branch.take_id,
            at=start.branch.at,
            prompt=start.prompt,
            transition=start.transition,
            num_frames=start.num_frames,
        )
    model = find_model(start.model, models)
    check_fps(start.fps, model)
    check_length(start.num_frames, limits)
    image_at, video_at = start.image_reference, start.video_reference
    if isinstance(image_at, UploadReference):
        image = uploads.path(image_at.upload, "image")
    video = uploads.path(video_at.upload, "video") if isinstance(video_at, UploadReference) else None
    clip = None if start.clip_reference is None else uploads.path(start.clip_reference.upload, "video")
    return NewTake(
        model=model["id"],
        timeline=read_timeline(start, limits),
        seed=start.seed,
        num_frames=start.num_frames,
        settings=Settings(
            height=start.height,
            width=start.width,
            num_inference_steps=start.num_inference_steps,
            guidance_scale=start.guidance_scale,
            negative_prompt=start.negative_prompt,
        ),
        image=image,
        video=video,
        clip=clip,
        has_live_source=isinstance(video_at, LiveReference),
        strength=start.strength,
    )


def read_timeline(start: SessionStart, limits: Limits) -> Timeline:
    """The timeline of a prompt or of cues. Raises Refused."""
    if start.cues is not None and len(start.cues) > limits.cues:
        raise Refused(Reason.INVALID, f"cues: {len(start.cues)} given; the most is {limits.cues}")
    cues = [cue.model_dump() for cue in start.cues or ()] or [{"prompt": start.prompt, "at": 0.0}]
    check_prompts([cue["prompt"] for cue in cues] + [start.negative_prompt], limits)
    try:
        return Timeline(cues=tuple(Cue(**cue) for cue in cues))
    except UserError as error:
        raise Refused(Reason.INVALID, str(error)) from None


def check_prompts(prompts: Sequence[str], limits: Limits) -> None:
    """Refuse a prompt that is too long (Refused)."""
    longest = max(map(len, prompts))
    if longest > limits.prompt_characters:
        raise Refused(Reason.INVALID, f"prompt: {longest} characters; the most is {limits.prompt_characters}")


def find_model(name: str | None, models: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """A model by name, or the default. Raises Refused."""
    if name is None:
        return next(iter(models.values()))
    if name not in models:
        raise Refused(
            Reason.INVALID, f"model: {name[:100]!r} is not served here; use one of {', '.join(models)}"
        )
    return models[name]


def check_fps(fps: float | None, model: Mapping[str, Any]) -> None:
    """Refuse a frame rate that is not the model's own (Refused)."""
    if fps is not None and fps != model["fps"]:
        raise Refused(
            Reason.INVALID,
            f"fps: {fps:g} cannot be made; {model['id']} makes {model['fps']}: leave it out, or give that",
        )


def check_length(num_frames: int | None, limits: Limits) -> None:
    """Refuse a length beyond the limit (Refused)."""
    if num_frames is not None and num_frames > limits.num_frames:
        raise Refused(
            Reason.INVALID, f"num_frames: {num_frames} is too long; the most is {limits.num_frames}"
        )
