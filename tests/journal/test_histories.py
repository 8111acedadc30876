"""Whatever is done to a take in whatever order, its record makes it again to the byte."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longtake import Pipeline
from longtake.journal import Library, RecordedTake
from tests.journal.takes import as_a_kill_leaves_it, begin
from tests.tiny import tiny_pipeline

PROMPTS = st.sampled_from(["a blue cube", "a red cube rolls", "a sphere"])
SHARES = st.floats(0, 1)
STEP = st.one_of(
    st.tuples(st.just("make"), st.integers(1, 3)),
    st.tuples(st.just("steer"), PROMPTS),
    st.tuples(st.just("rewind"), st.tuples(SHARES, st.none() | PROMPTS)),
    st.tuples(st.just("branch"), st.tuples(SHARES, st.none() | PROMPTS)),
    st.tuples(st.just("kill"), st.none()),
)


class Story:
    """A take and what happens to it."""

    def __init__(self, folder: Path, pipe: Pipeline, *, beside: bool) -> None:
        self.folder, self.pipe, self.beside, self.kills = folder, pipe, beside, 0
        self.library = Library(folder / "0")
        self.take: RecordedTake = begin(self.library, pipe, num_frames=None, decode_beside=beside)

    def make(self, count: int) -> None:
        for _ in range(count):
            next(self.take)

    def steer(self, prompt: str) -> None:
        self.take.steer(prompt)

    def rewind(self, turn: tuple[float, str | None]) -> None:
        self.take.rewind(self._at(turn[0]), turn[1])

    def branch(self, turn: tuple[float, str | None]) -> None:
        branch = self.library.branch(self.take.id, self._at(turn[0]), turn[1], self.pipe)
        self.take.close()
        self.take = branch

    def kill(self, _: None) -> None:
        self.kills += 1
        copy = as_a_kill_leaves_it(self.library.home, self.folder / str(self.kills))
        self.take.close()
        self.library = Library(copy)
        self.take = self.library.resume(self.take.id, self.pipe, decode_beside=self.beside)

    def _at(self, share: float) -> float:
        return share * self.library.get(self.take.id).seconds


@pytest.fixture(scope="module")
def model() -> Pipeline:
    return tiny_pipeline()


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEP, min_size=3, max_size=7), beside=st.booleans())
def test_every_history_can_be_replayed(model: Pipeline, steps: list, beside: bool) -> None:  # type: ignore[type-arg]
    with tempfile.TemporaryDirectory() as folder:
        story = Story(Path(folder), model, beside=beside)
        for name, value in steps:
            getattr(story, name)(value)
        story.make(1)
        story.take.close()
        assert story.library.replay(story.take.id, model).difference is None


@pytest.mark.soak
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEP, min_size=5, max_size=15), beside=st.booleans())
def test_many_histories_can_be_replayed(model: Pipeline, steps: list, beside: bool) -> None:  # type: ignore[type-arg]
    test_every_history_can_be_replayed.hypothesis.inner_test(model, steps, beside)  # type: ignore[attr-defined]
