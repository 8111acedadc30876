"""Lessons in words: the text encoder learns what captions say before a generator learns to paint it.

Trained from a picture's error alone, a small text encoder tells colours and grounds, which fill many cells, and never
comes to tell shapes, sizes and motions: a generator that does not read them gives it no reason to. So it is taught them
first, on captions alone: every token of a caption has to know what the whole caption says, which shape and motion each
colour has, which ground there is, and which words occur. Whatever token the generator attends to, it finds them there.

Shapes: B captions, L tokens, D text channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longtake.models.text import TextEncoder
from longtake.train.counters import numbers
from longtake.train.store import ClipRecord
from longtake.world.vocabulary import COLOURS, GROUNDS, MOTIONS, SHAPES

__all__ = ["Lesson", "Lessons", "lesson_of", "teach"]

ABSENT = 0
"""Answer for a colour that no solid has; shapes and motions count from 1."""
SMALL = 0.3
"""Factor on the word embeddings at the start: T5's own size leaves attention little to add."""
BATCH = 64
"""Captions of a step."""
RATE = 2e-3
"""Highest learning rate."""


class Lesson(NamedTuple):
    """One caption and what it says."""

    caption: str
    shapes: tuple[int, ...]
    """For each colour, its solid's shape."""
    motions: tuple[int, ...]
    """For each colour, its solid's motion."""
    ground: int


def lesson_of(record: ClipRecord, wording: int) -> Lesson:
    """The caption of a clip's beginning in one of its wordings."""
    captions = record.segments[0].captions
    solids = {solid["colour"]: solid for solid in record.attributes["solids"]}
    return Lesson(
        caption=captions[wording % len(captions)],
        shapes=tuple(1 + SHAPES.index(solids[c]["shape"]) if c in solids else ABSENT for c in COLOURS),
        motions=tuple(1 + MOTIONS.index(solids[c]["motion"]) if c in solids else ABSENT for c in COLOURS),
        ground=GROUNDS.index(record.attributes["ground"]),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """Answers to one batch of lessons."""

    right: float
    """Share of tokens that know the shape of every solid of their caption."""
    loss: Tensor


class Lessons(nn.Module):
    """The questions, answered from single tokens; not part of the model."""

    def __init__(self, dim: int, words: int) -> None:
        super().__init__()
        self.parts = (
            len(COLOURS) * (1 + len(SHAPES)),
            len(COLOURS) * (1 + len(MOTIONS)),
            len(GROUNDS),
            words,
        )
        self.answers = nn.Linear(dim, sum(self.parts))

    def forward(self, text: TextEncoder, lessons: Sequence[Lesson]) -> Told:
        """Ask every token of every caption."""
        ids, mask = text.tokenize([lesson.caption for lesson in lessons])
        device = self.answers.weight.device
        there = mask.bool().to(device)
        told = self.answers(text(ids.to(device), mask.to(device))[there])
        owner = there.nonzero()[:, 0]
        shapes, motions, ground, words = told.split(self.parts, dim=1)
        shapes, motions = (part.unflatten(1, (len(COLOURS), -1)) for part in (shapes, motions))
        asked = {
            name: torch.tensor([getattr(lesson, name) for lesson in lessons], device=device)[owner]
            for name in ("shapes", "motions", "ground")
        }
        occur = torch.zeros(len(lessons), self.parts[3], device=device).scatter_(1, ids.to(device), 1.0)[
            owner
        ]
        loss = (
            len(COLOURS) * F.cross_entropy(shapes.flatten(0, 1), asked["shapes"].flatten())
            + len(COLOURS) * F.cross_entropy(motions.flatten(0, 1), asked["motions"].flatten())
            + F.cross_entropy(ground, asked["ground"])
            + self.parts[3] * F.binary_cross_entropy_with_logits(words, occur)
        )
        right = (shapes.argmax(2) == asked["shapes"]).all(1).float().mean()
        return Told(right=float(right), loss=loss)


def teach(text: TextEncoder, records: Sequence[ClipRecord], *, steps: int, seed: int = 0) -> float:
    """Train a new text encoder on the captions of clips; returns `Told.right` over the last tenth of the steps.

    Its last norm stays as it is, so that the rows that it gives keep their size.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        questions = Lessons(text.dim, len(text.tokenizer)).to(text.encoder.device)
    with torch.no_grad():
        text.encoder.shared.weight.mul_(SMALL)
    last_norm = text.encoder.encoder.final_layer_norm.weight
    learned = [*(p for p in text.parameters() if p is not last_norm), *questions.parameters()]
    optimiser = torch.optim.AdamW(learned, lr=RATE, betas=(0.9, 0.98), weight_decay=0.0)
    shares = []
    for step in range(steps):
        rng = numbers(seed, "lessons", step)
        chosen = [records[int(i)] for i in rng.integers(len(records), size=BATCH)]
        wordings = rng.integers(2**31, size=BATCH)
        told = questions(text, [lesson_of(r, int(w)) for r, w in zip(chosen, wordings, strict=True)])
        optimiser.param_groups[0]["lr"] = RATE * min(1.0, (step + 1) / 50, 2 * (1 - step / steps))
        optimiser.zero_grad()
        told.loss.backward()
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        shares.append(told.right)
    text.zero_grad(set_to_none=True)
    last = shares[-max(1, steps // 10) :]
    return sum(last) / len(last)
