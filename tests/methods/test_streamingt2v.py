"""StreamingT2V as a method: clips against the slow oracle, and what a user may choose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from longtake import Pipeline, Settings, UserError
from longtake.memory import AnchorContext
from longtake.methods import Conditions
from longtake.methods.streamingt2v import Lengths, Memories, StreamingState, StreamingT2V
from longtake.models.attention import KeyValue
from longtake.models.unet.streaming import StreamingUNet
from longtake.models.wan import TextContext
from longtake.sampling.ddim import Ddim
from longtake.sampling.noise import CounterNoise, Purpose
from tests.models.unet.oracle import Oracle
from tests.tiny_streaming import SMALL_UNET, streaming_pipeline

PROMPT = "a red sphere rolls"
T, P = SMALL_UNET.video_length, SMALL_UNET.condition_length
NEW = SMALL_UNET.new_length


@pytest.fixture(scope="module")
def pipe() -> Pipeline:
    return streaming_pipeline()


def video(pipe: Pipeline, num_frames: int = 8, **settings: Any) -> np.ndarray:
    chunks = pipe.stream(PROMPT, seed=3, num_frames=num_frames, settings=Settings(**settings))
    return np.concatenate([chunk.frames for chunk in chunks])


def alphas() -> Tensor:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0)


class SlowTake:
    """The rollout written down once more, on the oracle: every branch, every step, one after the other."""

    def __init__(self, pipe: Pipeline, seed: int, steps: int, text_scale: float, anchor_scale: float) -> None:
        assert isinstance(pipe.backbone, StreamingUNet)
        self.pipe, self.unet = pipe, pipe.backbone
        self.oracle, self.noise = Oracle(pipe.backbone.state_dict(), pipe.backbone.config), CounterNoise(seed)
        self.steps, self.scales = steps, (text_scale, anchor_scale)
        self.text, self.null = (pipe.text_encoder.encode([p])[0].double() for p in (PROMPT, ""))

    def clip(self, noise_frames: range, frames: Tensor | None, anchor: Tensor | None) -> Tensor:
        """Latents `[1, C, T, h, w]`, after `frames uint8 [P, H, W, 3]` and with `anchor uint8 [H, W, 3]`."""
        table, shape = alphas(), (4, 2, 2)
        x = self.noise(Purpose.INITIAL, noise_frames, 0, shape).double()
        for step in range(self.steps):
            spacing = 1000 // self.steps
            t = spacing * (self.steps - 1 - step) + 1
            error = self._guided(x[0], float(t), frames, anchor)[None]
            now, then = table[t], table[max(0, t - spacing)]
            clean = (x - (1 - now).sqrt() * error) / now.sqrt()
            sigma = ((1 - then) / (1 - now) * (1 - now / then)).sqrt()
            fresh = self.noise(Purpose.VARIANCE, noise_frames, step, shape).double()
            x = then.sqrt() * clean + (1 - then - sigma**2).sqrt() * error + sigma * fresh
        return x

    def _guided(self, x: Tensor, t: float, frames: Tensor | None, anchor: Tensor | None) -> Tensor:
        past = None if frames is None else frames.permute(0, 3, 1, 2).double() / 127.5 - 1
        of_text, of_anchor = self.scales
        if anchor is None:
            nothing = self.oracle.predict(x, t, self.null, None, past)
            return nothing + of_text * (self.oracle.predict(x, t, self.text, None, past) - nothing)
        picture = anchor.permute(2, 0, 1)[None].double() / 127.5 - 1
        held, grey = (self._tokens(image) for image in (picture, torch.zeros_like(picture)))
        nothing = self.oracle.predict(x, t, self.null, grey, past)
        text = self.oracle.predict(x, t, self.text, grey, past)
        both = self.oracle.predict(x, t, self.text, held, past)
        return nothing + of_text * (text - nothing) + of_anchor * (both - text)

    def _tokens(self, picture: Tensor) -> Tensor:
        assert self.unet.image_encoder is not None
        return self.oracle.tokens(self.unet.image_encoder(picture)[0].double())


@pytest.mark.parametrize("anchor_scale", [None, 1.25], ids=["two branches", "three branches"])
def test_clips_are_those_of_the_equations(anchor_scale: float | None) -> None:
    """Three steps with η = 1, both memories; the second and third clip go on from what was decoded."""
    pipe = streaming_pipeline()
    pipe.backbone.double()
    settings = Settings(num_inference_steps=3, guidance_scale=2.5, anchor_scale=anchor_scale)
    chunks = list(pipe.stream(PROMPT, seed=9, num_frames=T + 2 * NEW, settings=settings))
    slow = SlowTake(pipe, 9, 3, 2.5, 2.5 if anchor_scale is None else anchor_scale)
    first = slow.clip(range(T), None, None)
    torch.testing.assert_close(chunks[0].latents.double(), first, atol=1e-5, rtol=1e-5)
    frames, anchor = chunks[0].frames, torch.from_numpy(chunks[0].frames[0])
    for number, chunk in enumerate(chunks[1:], start=1):
        noise_frames = range(number * T, (number + 1) * T)
        expected = slow.clip(noise_frames, torch.from_numpy(frames[-P:]), anchor)[:, :, P:]
        torch.testing.assert_close(chunk.latents.double(), expected, atol=1e-5, rtol=1e-5)
        frames = np.concatenate([frames, chunk.frames])


def test_equal_weights_take_two_branches_and_agree_with_three() -> None:
    """`ω_text = ω_anchor` cancels the middle term; weights a hair apart keep it."""
    one, two = (
        method(anchor_scale=scale).denoise(
            PLAN, CounterNoise(1), Conditions(text=ROWS[0], null_text=ROWS[1]), state()
        )
        for scale in (None, 3.0 + 1e-9)
    )
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)
    assert Branching.seen == [2, 3]


class Branching:
    """A network that notes how many branches it is asked for."""

    seen: list[int] = []

    def context(self, text: TextContext, tokens: Tensor | None) -> TextContext:
        assert text.rows is not None
        extra = 0.0 if tokens is None else tokens.mean()
        return TextContext(layers=(KeyValue(text.rows + extra, text.rows),))

    def predict(
        self, latents: Tensor, timestep: Tensor, text: TextContext, features: Tensor | None
    ) -> Tensor:
        if int(timestep[0, 0]) == 1:
            self.seen.append(len(latents))
        level = text.layers[0].k.mean((1, 2))[:, None, None, None, None]
        return latents.tanh() * (1 + level)


class Held:
    """A memory that gives an anchor."""

    needs_pixels = False
    num_bytes = 0
    given = AnchorContext(tokens=torch.ones(1, 1, 2), null=torch.zeros(1, 1, 2), frames=(0,))

    def read(self, frames: object, text: object) -> Any:
        from longtake.memory import Context

        return Context(anchor=self.given, features=torch.zeros(1, 1, 1, 1, 1))


ROWS = tuple(TextContext(layers=(), rows=torch.full((1, 2, 2), value)) for value in (0.3, -0.2))
LENGTHS = Lengths(first=5, clip=4, shared=2)


def method(**values: Any) -> StreamingT2V:
    sampler = Ddim(num_inference_steps=3, eta=1.0)
    return StreamingT2V(
        network=Branching(),
        sampler=sampler,
        lengths=LENGTHS,
        start_memory=lambda shape: Memories(Held(), None),  # type: ignore[arg-type]
        guidance_scale=3.0,
        **values,
    )


def state() -> StreamingState:
    return StreamingState(latent_shape=(4, 2, 2), memory=Held())  # type: ignore[arg-type]


PLAN = method().next(5, None)


def test_on_a_codec_whose_first_latent_frame_is_one_pixel_frame_the_first_clip_is_longer() -> None:
    plans, position = [], 0
    for _ in range(3):
        plans.append(method().next(position, None))
        position = plans[-1].final.stop
    assert [(plan.denoise, plan.final) for plan in plans] == [
        (range(5), range(5)),
        (range(3, 7), range(5, 7)),
        (range(5, 9), range(7, 9)),
    ]


def test_no_two_clips_share_noise() -> None:
    asked: list[range] = []

    def noise(purpose: Purpose, frames: range, step: int, shape: tuple[int, int, int]) -> Tensor:
        if purpose is Purpose.INITIAL:
            asked.append(frames)
        return CounterNoise(1)(purpose, frames, step, shape)

    position, streaming = 0, method()
    for _ in range(4):
        plan = streaming.next(position, None)
        out = streaming.denoise(plan, noise, Conditions(text=ROWS[0], null_text=ROWS[1]), state())  # type: ignore[arg-type]
        assert out.shape[2] == len(plan.final)
        position = plan.final.stop
    assert asked == [range(5), range(5, 9), range(9, 13), range(13, 17)]


@pytest.mark.parametrize("frames", [T, T + 1, T + NEW, T + 3 * NEW])
def test_frames_are_counted_exactly(pipe: Pipeline, frames: int) -> None:
    chunks = list(pipe.stream(PROMPT, seed=1, num_frames=frames))
    assert sum(len(chunk.frames) for chunk in chunks) == frames
    assert len(chunks) == 1 + -(-(frames - T) // NEW)


def test_a_chunk_says_which_frames_were_held_on_to(pipe: Pipeline) -> None:
    take = pipe.stream(PROMPT, seed=1)
    assert [next(take).anchors for _ in range(2)] == [(), (0,)]
    take.refresh_anchor()
    assert [next(take).anchors for _ in range(2)] == [(0,), (T + NEW,)]


def test_each_choice_changes_what_follows_the_first_clip_and_only_that(pipe: Pipeline) -> None:
    plain = video(pipe)
    for choice in (
        {"long_term": False},
        {"short_term": False},
        {"anchor_scale": 0.5},
        {"anchors": ("1+2",)},
        {"guidance_scale": 4.0},
    ):
        other = video(pipe, **choice)
        assert other.shape == plain.shape
        assert not np.array_equal(other[T:], plain[T:]), choice
        assert np.array_equal(other[:T], plain[:T]) == ("guidance_scale" not in choice)


def test_anchors_of_several_frames_and_times_come_into_force(pipe: Pipeline) -> None:
    settings = Settings(anchors=("0+2", "0.5s@6"))
    chunks = list(pipe.stream(PROMPT, seed=1, num_frames=T + 3 * NEW, settings=settings))
    assert [chunk.anchors for chunk in chunks] == [(), (0, 2), (4,), (4,)]


def test_a_new_prompt_may_bring_its_own_anchor(pipe: Pipeline) -> None:
    take = pipe.stream(PROMPT, seed=1, settings=Settings(anchor_with_prompt=True))
    next(take)
    take.steer("a blue cube")
    assert [next(take).anchors for _ in range(2)] == [(0,), (T,)]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"anchors": ("9",)}, "anchor frame 9 is outside of the video, which has frames 0 to 7"),
        ({"anchors": ("first",)}, "anchor 'first' cannot be read"),
        ({"anchors": ("0",), "long_term": False}, "switched off"),
        ({"anchor_scale": -1.0}, "anchor_scale -1 is below 0"),
        ({"num_inference_steps": 900}, "use 1 to 500"),
        ({"steps": (999.0,)}, "has no step list"),
        ({"height": 24, "width": 24}, "multiples of 16"),
    ],
)
def test_what_cannot_be_is_refused(pipe: Pipeline, choice: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        pipe.stream(PROMPT, num_frames=8, settings=Settings(**choice))


def test_anchors_need_an_image_encoder(pipe: Pipeline) -> None:
    bare = streaming_pipeline()
    assert isinstance(bare.backbone, StreamingUNet)
    bare.backbone.image_encoder = None
    with pytest.raises(UserError, match="no image encoder"):
        bare.stream(PROMPT, num_frames=8)
    expected = video(pipe, long_term=False)
    assert np.array_equal(video(bare, long_term=False), expected)


def test_choices_about_memories_are_refused_where_there_are_none() -> None:
    from tests.tiny import tiny_pipeline

    with pytest.raises(UserError, match="has no such memory"):
        tiny_pipeline().stream(PROMPT, settings=Settings(long_term=False))
    with pytest.raises(UserError, match="holds on to no frames"):
        tiny_pipeline().stream(PROMPT).refresh_anchor()


def test_a_clip_too_short_to_go_on_from_is_refused(pipe: Pipeline) -> None:
    take = pipe.stream(PROMPT, seed=1)
    streaming, fresh = take.engine.method, take.engine.method.start((4, 2, 2))
    text = take.engine.read_text(((PROMPT, 1.0),))
    fresh.memory.commit(
        range(1), torch.zeros(1, 4, 1, 2, 2), text, torch.zeros(1, 1, 16, 16, 3, dtype=torch.uint8)
    )
    with pytest.raises(UserError, match="too short"):
        streaming.denoise(streaming.next(1, None), CounterNoise(1), Conditions(text=text), fresh)
