"""A request for a video, from a form or from JSON, and the order that it makes."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect

from longtake.errors import UserError
from longtake.settings import Settings
from longtake.studio.errors import Reason, Refused
from longtake.studio.orders import NewTake
from longtake.studio.protocol import MAX_SEED, Name, Prompt, UploadReference, explain
from longtake.studio.service import Service
from longtake.studio.starting import check_fps, check_length, check_prompts, find_model
from longtake.timeline import Timeline

DEFAULT_SECONDS = 4.0
"""Length where none is asked for, as at OpenAI."""
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})", re.ASCII)


class VideoRequest(BaseModel):
    """What is asked for. Numbers may be text, as forms have them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: Prompt
    model: Name | None = None
    seconds: Annotated[float, Field(gt=0, le=10**6, allow_inf_nan=False)] | None = None
    size: Annotated[str, Field(pattern=r"^\d{1,5}x\d{1,5}$")] | None = None
    input_reference: UploadReference | None = None
    width: Annotated[int, Field(ge=1, le=16384)] | None = None
    height: Annotated[int, Field(ge=1, le=16384)] | None = None
    num_frames: Annotated[int, Field(ge=1, le=10**9)] | None = None
    fps: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = None
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None
    num_inference_steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    guidance_scale: Annotated[float, Field(ge=1, le=1000, allow_inf_nan=False)] | None = None
    negative_prompt: Annotated[str, Field(max_length=100_000)] = ""
    strength: Annotated[float, Field(gt=0, le=1)] | None = None


async def read_request(request: Request, service: Service) -> VideoRequest:
    """Read form or JSON; a file in the form becomes an upload. Raises Refused."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "application/json":
        return _validated(await request.body())
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        return _validated(await _read_form(request, service))
    raise Refused(Reason.UNSUPPORTED, "send multipart/form-data or application/json")


async def _read_form(request: Request, service: Service) -> dict[str, Any]:
    values: dict[str, Any] = {}
    try:
        form = request.form(max_files=1, max_fields=32, max_part_size=service.limits.json_bytes)
        async with form as fields:
            for name, value in fields.multi_items():
                if name in values:
                    raise Refused(Reason.INVALID, f"{name[:100]}: given twice")
                if isinstance(value, UploadFile):
                    if name != "input_reference":
                        raise Refused(Reason.INVALID, "a file goes into the field input_reference")
                    values[name] = {"upload": (await service.uploads.add(value.file)).id}
                else:
                    values[name] = value
    except ClientDisconnect:
        raise Refused(Reason.INVALID, "the form is not whole") from None
    return values


def _validated(given: bytes | dict[str, Any]) -> VideoRequest:
    try:
        if isinstance(given, bytes):
            return VideoRequest.model_validate_json(given)
        return VideoRequest.model_validate(given)
    except ValidationError as error:
        raise Refused(Reason.UNPROCESSABLE, explain(error)) from None


def to_order(asked: VideoRequest, service: Service) -> NewTake:
    """The order of a request. Raises Refused for what does not go together."""
    check_prompts([asked.prompt, asked.negative_prompt], service.limits)
    model = find_model(asked.model, service.worker.models)
    check_fps(asked.fps, model)
    width, height = _size(asked)
    files = _files(asked, service)
    num_frames = _length(asked, model, has_video="video" in files)
    check_length(num_frames, service.limits)
    try:
        timeline = Timeline.from_prompt(asked.prompt)
    except UserError as error:
        raise Refused(Reason.INVALID, str(error)) from None
    return NewTake(
        model=model["id"],
        timeline=timeline,
        seed=asked.seed,
        num_frames=num_frames,
        settings=Settings(
            height=height,
            width=width,
            num_inference_steps=asked.num_inference_steps,
            guidance_scale=asked.guidance_scale,
            negative_prompt=asked.negative_prompt,
        ),
        strength=asked.strength,
        **files,
    )


def _size(asked: VideoRequest) -> tuple[int | None, int | None]:
    if asked.size is None:
        return asked.width, asked.height
    match = _SIZE.fullmatch(asked.size)
    if match is None or asked.width is not None or asked.height is not None:
        raise Refused(Reason.INVALID, "size: give WIDTHxHEIGHT, or width and height, not both")
    return int(match[1]), int(match[2])


def _files(asked: VideoRequest, service: Service) -> dict[str, Any]:
    if asked.input_reference is None:
        return {}
    upload = service.uploads.get(asked.input_reference.upload)
    return {upload.kind: service.uploads.path(upload.id, upload.kind)}


def _length(asked: VideoRequest, model: Any, *, has_video: bool) -> int | None:
    """Frames; None where a source video says how long it is."""
    if asked.num_frames is not None:
        if asked.seconds is not None:
            raise Refused(Reason.INVALID, "both seconds and num_frames given; give one of them")
        return asked.num_frames
    if asked.seconds is not None:
        return max(1, round(asked.seconds * model["fps"]))
    if has_video:
        return None
    longest = model["longest_seconds"]
    return round(min(DEFAULT_SECONDS, longest or DEFAULT_SECONDS) * model["fps"])


def openapi_body() -> dict[str, Any]:
    """The request's body for the OpenAPI document: JSON, or a form with a file."""
    schema = VideoRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    upload = UploadReference.model_json_schema()
    fields = schema["properties"]
    as_json = {**schema, "properties": {**fields, "input_reference": upload}}
    file = {"type": "string", "format": "binary"}
    as_form = {**schema, "properties": {**fields, "input_reference": file}}
    content = {"application/json": {"schema": as_json}, "multipart/form-data": {"schema": as_form}}
    return {"requestBody": {"required": True, "content": content}}
