"""Who gets a place, with a clock that the test moves; and over a real socket, beyond the machine's room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from longtake.errors import UserError
from longtake.studio.admission import Admission
from longtake.studio.config import Limits
from longtake.studio.errors import Reason, Refused
from tests.studio.serving import PROMPT, serve


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _admission(clock: _Clock | None = None, **limits: Any) -> Admission:
    return Admission(Limits(**limits), clock or _Clock())


def _reason(refused: pytest.ExceptionInfo[Refused]) -> tuple[Reason, bool]:
    return refused.value.reason, refused.value.retry_after is not None


def test_a_full_machine_says_when_to_come_again() -> None:
    admission = _admission(max_takes=2)
    leases = [admission.admit_take("a"), admission.admit_take("b")]
    with pytest.raises(Refused) as refused:
        admission.admit_take("c")
    assert _reason(refused) == (Reason.FULL, True)
    leases[0].release()
    admission.admit_take("c")
    assert admission.running == 2


def test_a_place_is_given_back_once() -> None:
    admission = _admission(max_takes=2)
    lease = admission.admit_take("a")
    admission.admit_take("a")
    for _ in range(3):
        lease.release()
    assert admission.running == 1


def test_a_token_has_its_share_and_the_others_have_theirs() -> None:
    admission = _admission(max_takes=4, takes_a_token=1)
    lease = admission.admit_take("a")
    with pytest.raises(Refused) as refused:
        admission.admit_take("a")
    assert _reason(refused) == (Reason.OVER_BUDGET, True)
    admission.admit_take("b")
    lease.release()
    admission.admit_take("a")


def test_starts_come_back_with_time() -> None:
    clock = _Clock()
    admission = _admission(clock, max_takes=9, starts_a_minute=2)
    for _ in range(2):
        admission.admit_take("a").release()
    with pytest.raises(Refused) as refused:
        admission.admit_take("a")
    assert _reason(refused)[0] is Reason.OVER_BUDGET
    assert refused.value.retry_after == pytest.approx(30)
    clock.now += 30
    admission.admit_take("a")


def test_time_of_generation_is_spent_and_comes_back() -> None:
    clock = _Clock()
    admission = _admission(clock, max_takes=9, compute_seconds_an_hour=100)
    admission.spend("a", 150)
    for admit in (admission.admit_take, admission.admit_video):
        with pytest.raises(Refused) as refused:
            admit("a")
        assert _reason(refused)[0] is Reason.OVER_BUDGET
    admission.admit_take("b")
    assert refused.value.retry_after is not None
    clock.now += refused.value.retry_after
    admission.admit_take("a")


def test_the_queue_of_videos_has_an_end() -> None:
    admission = _admission(queued_videos=1)
    lease = admission.admit_video("a")
    with pytest.raises(Refused) as refused:
        admission.admit_video("b")
    assert _reason(refused) == (Reason.FULL, True)
    lease.release()
    admission.admit_video("b")


def test_the_machine_is_measured_unless_the_operator_says() -> None:
    measured, said = _admission(), _admission(max_takes=3)
    for admission in (measured, said):
        admission.measured(7)
    assert (measured.takes, said.takes) == (7, 3)
    measured.measured(0)
    assert measured.takes == 1, "a slow machine makes one, with pauses"


def test_a_limit_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="max-takes 0"):
        Limits(max_takes=0)


def test_beyond_the_room_of_the_machine_an_answer_comes_at_once(tmp_path: Path) -> None:
    long = {"prompt": PROMPT, "num_frames": 9999}
    with (
        serve(tmp_path, max_takes=1, queued_videos=1, starts_a_minute=3) as server,
        server.live() as first,
        server.live() as second,
        server.http() as http,
    ):
        first.say("session.start", prompt=PROMPT)
        first.chunk()
        second.say("session.start", prompt=PROMPT)
        error = second.until("error")
        assert (error["error"]["type"], error["fatal"]) == ("full", True)
        assert error["error"]["retry_after"] >= 1
        video = http.post("/v1/videos", json=long)
        full = http.post("/v1/videos", json=long)
        http.delete(f"/v1/videos/{video.json()['id']}")
        again, spent = http.post("/v1/videos", json=long), http.post("/v1/videos", json=long)
        assert [one.status_code for one in (video, full, again, spent)] == [201, 503, 201, 429]
        assert all(int(one.headers["retry-after"]) >= 1 for one in (full, spent))
        first.chunk()
