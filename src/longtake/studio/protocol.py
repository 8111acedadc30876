"""Messages of the live connection: what a client may say, checked, and what the server says.

The dialect is that of vLLM-Omni's realtime video, with receipts in two steps, pause, rewind, branch and playback added.
A message that changes its meaning gets another `type`.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from longtake.studio.errors import Reason, Refused

MAX_SEED = 2**63 - 1
_LATEST = 1e9

Seconds = Annotated[float, Field(ge=0, le=_LATEST, allow_inf_nan=False)]
Prompt = Annotated[str, Field(min_length=1, max_length=100_000)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
TakeId = Annotated[
    str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", max_length=36)
]


class Message(BaseModel):
    """Unknown fields are errors; numbers are numbers."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class CueMessage(Message):
    """One direction of a timeline."""

    prompt: Prompt
    at: Seconds | None = None
    at_chunk: Annotated[int, Field(ge=0, le=10**9)] | None = None
    transition: Seconds = 0.0


class UploadReference(Message):
    """A file that was uploaded before."""

    upload: TakeId


class LiveReference(Message):
    """Pictures that the client sends as binary messages."""

    live: Literal[True]


class BranchPoint(Message):
    """A moment of another take."""

    take_id: TakeId
    at: Seconds


class SessionStart(Message):
    """Begin a take, resume or watch one, or branch off one."""

    type: Literal["session.start"]
    model: Name | None = None
    prompt: Prompt | None = None
    cues: Annotated[tuple[CueMessage, ...], Field(min_length=1, max_length=10_000)] | None = None
    format: Literal["m4s"] = "m4s"
    width: Annotated[int, Field(ge=1, le=16384)] | None = None
    height: Annotated[int, Field(ge=1, le=16384)] | None = None
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    num_frames: Annotated[int, Field(ge=1, le=10**9)] | None = None
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None
    num_inference_steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    guidance_scale: Annotated[float, Field(ge=1, le=1000, allow_inf_nan=False)] | None = None
    negative_prompt: Annotated[str, Field(max_length=100_000)] = ""
    image_reference: UploadReference | Annotated[str, Field(max_length=2**24)] | None = None
    video_reference: UploadReference | LiveReference | None = None
    clip_reference: UploadReference | None = None
    strength: Annotated[float, Field(gt=0, le=1)] | None = None
    extra_params: Annotated[dict[str, Any], Field(max_length=0)] = {}
    take_id: TakeId | None = None
    from_: Seconds | None = Field(default=None, alias="from")
    role: Literal["direct", "watch"] = "direct"
    branch: BranchPoint | None = None
    transition: Seconds = 0.0

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if self.take_id is not None:
            self._only({"take_id", "from_", "role", "format"}, "a take that is there is resumed as it is")
        elif self.branch is not None:
            self._only(
                {"branch", "prompt", "transition", "num_frames", "format"},
                "a branch takes the rest from its parent",
            )
        elif (self.prompt is None) == (self.cues is None):
            raise ValueError("give exactly one of prompt and cues, or take_id, or branch")
        else:
            self._only(
                type(self).model_fields.keys() - {"from_", "transition"}, "they are for takes that are there"
            )
        if self.take_id is None and self.role != "direct":
            raise ValueError("role watch needs the take_id of a take that is there")
        return self

    def _only(self, allowed: set[str], why: str) -> None:
        given = {name for name in self.model_fields_set if getattr(self, name) is not None}
        extra = given - allowed - {"type", "extra_params"}
        if extra:
            names = ", ".join(sorted(name.rstrip("_") for name in extra))
            raise ValueError(f"leave out {names}: {why}")


class PromptEvent(Message):
    """What a direction says."""

    prompt: Prompt


class Interaction(Message):
    """One direction."""

    event_id: Name | None = None
    event: PromptEvent
    transition: Seconds | None = None
    transition_chunks: Annotated[int, Field(ge=0, le=10_000)] | None = None


class SessionInteraction(Message):
    """Change the prompt from the next chunk on."""

    type: Literal["session.interaction"]
    interaction: Interaction


class SessionPause(Message):
    """Hold generation."""

    type: Literal["session.pause"]


class SessionResume(Message):
    """Go on after a pause."""

    type: Literal["session.resume"]


class SessionRewind(Message):
    """Go on from an earlier moment of this take; what came after it is dropped."""

    type: Literal["session.rewind"]
    at: Seconds


class SessionBranch(Message):
    """Go on with another take from an earlier moment of this one."""

    type: Literal["session.branch"]
    at: Seconds
    prompt: Prompt | None = None
    transition: Seconds = 0.0


class SessionPlayback(Message):
    """What is on screen."""

    type: Literal["session.playback"]
    media_time: Seconds
    is_playing: bool = True


class SessionPing(Message):
    """Ask for a pong."""

    type: Literal["session.ping"]
    nonce: Annotated[str, Field(max_length=200)] | None = None


class SessionStop(Message):
    """End the take's session; the take stays in the journal."""

    type: Literal["session.stop"]


ClientMessage = Annotated[
    SessionStart
    | SessionInteraction
    | SessionPause
    | SessionResume
    | SessionRewind
    | SessionBranch
    | SessionPlayback
    | SessionPing
    | SessionStop,
    Field(discriminator="type"),
]
CLIENT: TypeAdapter[ClientMessage] = TypeAdapter(ClientMessage)


def parse(text: str | bytes) -> ClientMessage:
    """A client's message. Raises Refused that says which field will not do."""
    try:
        return CLIENT.validate_json(text)
    except ValidationError as error:
        raise Refused(Reason.INVALID, explain(error)) from None


def explain(error: ValidationError) -> str:
    """The first problem, in one line, without what was given (it may be long, or a secret)."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])[:200]
    problem = first["msg"].removeprefix("Value error, ")[:300]
    return f"{place}: {problem}" if place else problem


def read_data_url(url: str, most: int) -> bytes:
    """The bytes of a `data:` URL of an image. Raises Refused for any other address: nothing is fetched."""
    head, _, text = url.partition(",")
    if not (head.startswith("data:image/") and head.endswith(";base64")):
        raise Refused(
            Reason.INVALID,
            "image_reference: addresses are not fetched; upload the image, or give data:image/…;base64,…",
        )
    if len(text) > most * 4 // 3 + 4:
        raise Refused(
            Reason.TOO_LARGE, f"image_reference: more than {most // 1024} KiB; upload the image instead"
        )
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(Reason.INVALID, "image_reference: what follows base64, is not base64") from None
