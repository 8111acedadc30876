"""From an order to an open, journalled take."""

from __future__ import annotations

import threading
import warnings

from longtake.errors import UserError
from longtake.journal import Library, RecordedTake
from longtake.studio.events import Begun
from longtake.studio.orders import Branch, NewTake, Order, Resume
from longtake.studio.pictures import LivePictures
from longtake.studio.signing import prompts_in
from longtake.studio.stage import Stage

_ALONE = threading.Lock()
"""What is warned of is decided for the whole process."""


def open_take(
    stage: Stage, library: Library, order: Order, pictures: LivePictures | None
) -> tuple[RecordedTake, Begun]:
    """Open a take and say what it is. Raises UserError for what cannot be made."""
    with _ALONE, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a size that a model does not know, which the request asked for
        take = _open(stage, library, order, pictures)
    try:
        return take, _describe(stage, library, take)
    except BaseException:
        take.close()
        raise


def _open(stage: Stage, library: Library, order: Order, pictures: LivePictures | None) -> RecordedTake:
    if isinstance(order, NewTake):
        return _create(stage, library, order, pictures)
    pipe = stage.pipe(library.get(order.take_id).model)
    if isinstance(order, Resume):
        return library.resume(order.take_id, pipe, video=pictures)
    return _branch(stage, library, order, pictures)


def _create(stage: Stage, library: Library, order: NewTake, pictures: LivePictures | None) -> RecordedTake:
    if order.has_live_source != (pictures is not None):
        raise UserError("a live source needs a connection that sends its pictures; upload a video instead")
    return library.create(
        stage.pipe(order.model),
        order.timeline,
        seed=order.seed,
        num_frames=order.num_frames,
        settings=order.settings,
        image=order.image,
        video=order.video if pictures is None else pictures,
        strength=order.strength,
        clip=order.clip,
    )


def _branch(stage: Stage, library: Library, order: Branch, pictures: LivePictures | None) -> RecordedTake:
    return library.branch(
        order.take_id,
        order.at,
        order.prompt,
        stage.pipe(library.get(order.take_id).model),
        transition=order.transition,
        num_frames=order.num_frames,
        video=pictures,
    )


def _describe(stage: Stage, library: Library, take: RecordedTake) -> Begun:
    record = library.get(take.id)
    pipe = stage.pipe(record.model)
    with library.media(take.id) as media:
        course, receipts = media.course, [receipt for one in media.segments() for receipt in one.receipts]
    words = dict.fromkeys(word for cue in record.cues for word in pipe.unknown_words(cue.prompt))
    return Begun(
        take_id=take.id,
        init=take.init_segment,
        model=record.model,
        width=record.width,
        height=record.height,
        fps=record.fps,
        num_frames=record.num_frames,
        seed=record.seed,
        parent=record.parent,
        branched_at=record.branched_at,
        prompt=record.prompt,
        prompts=prompts_in(receipts),
        has_image=record.has_image,
        source=record.source,
        course=course,
        media_time=record.seconds,
        next_index=record.chunks,
        can_be_steered=pipe.preset.policy.kind != "joint",
        unknown_words=tuple(words),
    )
