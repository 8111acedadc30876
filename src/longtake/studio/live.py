"""One live connection: it takes a place at a take, hears directions, and sends what is made."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from longtake.studio import protocol as say
from longtake.studio.errors import Reason, Refused
from longtake.studio.guards.access import IDENTITY, PROTOCOL
from longtake.studio.messages import error_message, head_message
from longtake.studio.mime import mime_of
from longtake.studio.pictures_in import PicturesIn
from longtake.studio.recording import Recording
from longtake.studio.seating import Seat, Usher
from longtake.studio.service import Service
from longtake.studio.starting import check_prompts
from longtake.studio.viewers import Parcel, Viewer
from longtake.studio.wire import Wire


class Connection:
    """See the module's text."""

    def __init__(self, service: Service, socket: WebSocket) -> None:
        self._service, self._socket = service, socket
        self._usher = Usher(service=service, identity=socket.scope[IDENTITY])
        self._wire = Wire(socket, service.limits, service.metrics)
        self._pictures: PicturesIn | None = None

    async def run(self) -> None:
        """From the upgrade to the end. Whatever happens, what it held is let go."""
        service = self._service
        offered = self._socket.scope.get("subprotocols", ())
        service.connections += 1
        try:
            await self._socket.accept(PROTOCOL if PROTOCOL in offered else None)
            await self._serve()
        except TimeoutError:
            service.metrics.dropped.inc()  # it takes nothing any more
        except (WebSocketDisconnect, OSError, RuntimeError) as gone:
            if isinstance(gone, RuntimeError) and self._is_connected():
                raise
        finally:
            service.connections -= 1
            await self._close_pictures()

    async def _close_pictures(self) -> None:
        pictures, self._pictures = self._pictures, None
        if pictures is not None:
            await pictures.close()

    def _is_connected(self) -> bool:
        """Whether both sides still talk; Starlette raises RuntimeError for a message after the end."""
        return self._socket.application_state.value == self._socket.client_state.value == 1

    async def _serve(self) -> None:
        try:
            if self._service.connections > self._service.limits.connections:
                raise Refused(Reason.FULL, "too many connections are open; try again later", retry_after=10)
            seat: Seat | None = await self._usher.seat(await self._hello())
            while seat is not None:
                seat = await self._attend(seat)
        except Refused as refused:
            self._service.metrics.refused.labels(refused.reason.kind).inc()
            await self._wire.say(error_message(refused, fatal=True))
            await self._wire.close(refused.reason.close_code)

    async def _hello(self) -> say.SessionStart:
        """The message that says what is wanted. Raises Refused when none comes in time."""
        try:
            async with asyncio.timeout(self._service.limits.hello_seconds):
                while True:
                    try:
                        return await self._first()
                    except Refused as refused:
                        await self._wire.say(error_message(refused))
        except TimeoutError:
            raise Refused(Reason.TIMEOUT, "no session.start came in time; connect again") from None

    async def _first(self) -> say.SessionStart:
        """Raises Refused for anything but a start."""
        while True:
            message = self._parse(await self._wire.receive())
            if isinstance(message, say.SessionStart):
                return message
            if not isinstance(message, say.SessionPing):
                raise Refused(Reason.INVALID, "send session.start first")
            await self._wire.say(_pong(message))

    def _parse(self, data: str | bytes) -> say.ClientMessage:
        if isinstance(data, bytes):
            raise Refused(Reason.INVALID, 'pictures need a take with "video_reference": {"live": true}')
        if len(data) > self._service.limits.message_bytes:
            raise Refused(Reason.TOO_LARGE, "the message is too long")
        return say.parse(data)

    async def _attend(self, seat: Seat) -> Seat | None:
        """Send and hear until one of both ends; the next seat after a branch."""
        viewer = seat.screening.join()
        sending = asyncio.create_task(self._send_all(seat, viewer))
        hearing = asyncio.create_task(self._hear_all(seat, viewer))
        try:
            await asyncio.wait({sending, hearing}, return_when=asyncio.FIRST_COMPLETED)
            if not hearing.done():
                await sending
                return None
            if (asked := hearing.result()) is None:
                return None
            viewer.close(at_once=True)
            await sending
        finally:
            for task in (sending, hearing):
                task.cancel()
            await asyncio.gather(sending, hearing, return_exceptions=True)
            seat.screening.leave(viewer)
        await self._close_pictures()  # they were for the take that is left
        return await self._branch(seat, asked)

    async def _branch(self, seat: Seat, asked: say.SessionBranch) -> Seat:
        self._wire.epoch += seat.screening.epoch + 1
        following = await self._usher.branch(seat, asked)
        begun = following.begun
        parent = {"take_id": begun.parent, "at": begun.branched_at}
        message = {"type": "session.branched", "take_id": begun.take_id, "parent": parent}
        await self._wire.say(message | {"epoch": self._wire.epoch})
        return following

    # --- what is sent

    async def _send_all(self, seat: Seat, viewer: Viewer) -> None:
        await self._introduce(seat)
        await self._catch_up(seat, viewer)
        while (parcel := await viewer.next()) is not None:
            await self._wire.deliver(parcel)
        screening = seat.screening
        if viewer.is_overrun:
            raise TimeoutError
        if not screening.over.is_set():
            return  # the viewer branches off
        if screening.failure is None:
            await self._wire.close()
        else:
            await self._wire.close(screening.refusal().reason.close_code)

    async def _introduce(self, seat: Seat) -> None:
        """Say what take it is, and send the head of its file."""
        begun, screening = seat.begun, seat.screening
        head, epoch = screening.stream.head, screening.epoch
        start = {
            "type": "video.start",
            "request_id": begun.take_id,
            "take_id": begun.take_id,
            "format": "m4s",
            "role": "direct" if seat.is_director else "watch",
            "mime": mime_of(begun.init),
            "media_time": seat.media_time,
            "epoch": epoch,
            "config": _config(seat),
        }
        await self._wire.deliver(Parcel(message=start))
        await self._wire.deliver(Parcel(message=head_message(head) | {"epoch": epoch}, media=head))

    async def _catch_up(self, seat: Seat, viewer: Viewer) -> None:
        """Send what is in the journal already, then go on with what is made."""
        screening, index = seat.screening, seat.first
        epoch = screening.epoch
        recording = Recording(self._service.library, seat.begun.take_id, seat.begun.fps)
        while True:
            while (parcel := viewer.take()) is not None:
                await self._wire.deliver(parcel)
            if screening.epoch != epoch:
                epoch, index = screening.epoch, min(index, screening.tally.next_index)
            if index >= screening.tally.next_index or viewer.is_closed:
                viewer.is_behind = False
                return
            found = await asyncio.to_thread(recording.parcel, index, screening.stream.sign)
            if screening.epoch != epoch:
                continue
            if found is not None:
                await self._wire.deliver(Parcel(message={**found.message, "epoch": epoch}, media=found.media))
            index += 1

    # --- what is heard

    async def _hear_all(self, seat: Seat, viewer: Viewer) -> say.SessionBranch | None:
        """Until the client is gone (None) or wants to branch."""
        while True:
            try:
                data = await self._wire.receive()
                if isinstance(data, bytes) and seat.screening.pictures is not None:
                    await self._take_picture(seat, data)
                    continue
                message = self._parse(data)
                if isinstance(message, say.SessionBranch):
                    self._check_branch(seat, message)
                    return message
                await self._follow(seat, viewer, message)
            except Refused as refused:
                viewer.offer(Parcel(message=error_message(refused)))
            except WebSocketDisconnect:
                return None

    async def _follow(self, seat: Seat, viewer: Viewer, message: say.ClientMessage) -> None:
        """Do what a message asks. Raises Refused."""
        screening = seat.screening
        if isinstance(message, say.SessionPing):
            viewer.offer(Parcel(message=_pong(message)))
            return
        if isinstance(message, say.SessionPlayback):
            if seat.is_director:
                screening.report(message.media_time, is_playing=message.is_playing)
            return
        _check_direct(seat)
        match message:
            case say.SessionInteraction():
                await self._steer(seat, viewer, message.interaction)
            case say.SessionPause():
                screening.pause()
            case say.SessionResume():
                screening.resume()
            case say.SessionRewind():
                await screening.rewind(message.at)
            case say.SessionStop():
                screening.stop("stopped")
            case _:
                raise Refused(Reason.CONFLICT, "the session has begun; open another connection")

    async def _steer(self, seat: Seat, viewer: Viewer, asked: say.Interaction) -> None:
        prompt, seconds = asked.event.prompt, asked.transition
        if seconds is None:
            model = self._service.worker.models[seat.begun.model]
            seconds = (asked.transition_chunks or 0) * float(model["chunk_seconds"])
        try:
            check_prompts([prompt], self._service.limits)
            await seat.screening.steer(prompt, seconds, asked.event_id)
        except Refused as refused:
            viewer.offer(Parcel(message=error_message(refused, event_id=asked.event_id)))

    def _check_branch(self, seat: Seat, asked: say.SessionBranch) -> None:
        _check_direct(seat)
        if asked.prompt is not None:
            check_prompts([asked.prompt], self._service.limits)

    async def _take_picture(self, seat: Seat, data: bytes) -> None:
        if self._pictures is None:
            begun, sandbox = seat.begun, self._service.uploads.sandbox
            self._pictures = PicturesIn(
                sandbox, seat.screening, begun.width, begun.height, self._service.limits
            )
        await self._pictures.take(data)


def _check_direct(seat: Seat) -> None:
    if not seat.is_director:
        raise Refused(Reason.FORBIDDEN, "this connection only watches; connect with role direct")


def _config(seat: Seat) -> dict[str, Any]:
    begun = seat.begun
    return {
        "model": begun.model,
        "width": begun.width,
        "height": begun.height,
        "fps": begun.fps,
        "num_frames": begun.num_frames,
        "seed": begun.seed,
        "can_be_steered": begun.can_be_steered,
        "parent": begun.parent and {"take_id": begun.parent, "at": begun.branched_at},
        "unknown_words": begun.unknown_words,
        "is_paused": seat.screening.is_paused,
        "takes_pictures": seat.screening.pictures is not None,
    }


def _pong(ping: say.SessionPing) -> dict[str, Any]:
    return {"type": "session.pong", "nonce": ping.nonce}
