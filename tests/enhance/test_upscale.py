"""Enlarging, and pictures of another shape than the enhancer's."""

from __future__ import annotations

import numpy as np
import pytest

from longtake.enhance.settings import EnhanceSettings
from longtake.enhance.upscale import Canvas, upscale
from longtake.errors import UserError
from tests.enhance.tiny import clip, tiny_enhancer


def test_enlarging_keeps_flat_colours_and_pictures_of_the_size() -> None:
    flat = np.full((2, 8, 8, 3), 77, np.uint8)
    assert (upscale(flat, 16, 24, "lanczos") == 77).all()
    assert upscale(flat, 16, 24, "bicubic").shape == (2, 24, 16, 3)
    assert upscale(flat, 8, 8, "lanczos") is flat
    ramp = clip(1)
    assert not np.array_equal(upscale(ramp, 32, 32, "lanczos"), upscale(ramp, 32, 32, "bicubic"))
    with pytest.raises(UserError, match="upscaling by 'nearest' is unknown"):
        EnhanceSettings(kernel="nearest")  # type: ignore[arg-type]


def test_a_picture_of_another_shape_stands_in_the_middle_between_black() -> None:
    canvas = Canvas.around(1280, 720, 256, 256)
    assert (canvas.inner_width, canvas.inner_height) == (720, 720)
    white = np.full((1, 256, 256, 3), 255, np.uint8)
    filled = canvas.fill(white, "lanczos")
    assert filled.shape == (1, 720, 1280, 3)
    assert not filled[:, :, :280].any()
    assert not filled[:, :, 1000:].any()
    assert (canvas.cut(filled) == 255).all()


def test_nothing_is_beside_a_picture_of_the_same_shape() -> None:
    canvas = Canvas.around(64, 32, 30, 15)
    assert (canvas.inner_width, canvas.inner_height) == (64, 32)


@pytest.mark.filterwarnings("ignore:the enhancer of tiny was trained at")
def test_the_black_is_cut_off_again() -> None:
    enhancer, chosen = tiny_enhancer(), EnhanceSettings(width=64, height=32, steps=1)
    made = enhancer.stream(clip(9), "a red sphere", fps=8, settings=chosen)
    assert (made.width, made.height) == (32, 32)
    assert {chunk.frames.shape[1:] for chunk in made} == {(32, 32, 3)}
