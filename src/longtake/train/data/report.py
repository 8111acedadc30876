"""Progress of `longtake data prepare` on stderr: a bar on a terminal, plain lines now and then elsewhere."""

from __future__ import annotations

from longtake.train.report import Bar

__all__ = ["DataReport"]

LINES = 20
"""Lines that one kind of work is told in, where there is no terminal."""


class DataReport(Bar):
    """Called with (what, done, total)."""

    def __init__(self) -> None:
        super().__init__("reading the folder")

    def __call__(self, what: str, done: int, total: int) -> None:
        self.bar.update(self.task, description=what, completed=done, total=total)
        if done % max(1, total // LINES) == 0:
            self.say(f"{done} of {total} {what}")
