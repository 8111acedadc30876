"""What a result says about the model that its takes were made with."""

from __future__ import annotations

import torch

from longtake.measure.filming import about_model
from longtake.pipeline import Pipeline


def test_a_model_is_the_same_one_in_every_number_format() -> None:
    loaded = [
        Pipeline.from_pretrained("mini", torch_dtype=dtype) for dtype in (torch.float32, torch.bfloat16)
    ]
    assert loaded[0].backbone.dtype != loaded[1].backbone.dtype
    assert about_model(loaded[0]) == about_model(loaded[1])
