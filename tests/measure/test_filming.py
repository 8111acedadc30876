"""What a result says about the model that its takes were made with."""

from __future__ import annotations

import torch

from longtake.measure.filming import about_model, about_takes
from longtake.pipeline import Pipeline
from longtake.world.reader import Reader
from longtake.world.reading import Trust
from tests.tiny import tiny_pipeline


def test_a_model_is_the_same_one_in_every_number_format() -> None:
    loaded = [
        Pipeline.from_pretrained("mini", torch_dtype=dtype) for dtype in (torch.float32, torch.bfloat16)
    ]
    assert loaded[0].backbone.dtype != loaded[1].backbone.dtype
    assert about_model(loaded[0]) == about_model(loaded[1])


def test_takes_depend_on_policy_reader_and_number_format(reader: Reader) -> None:
    own = about_takes(tiny_pipeline(), reader)
    assert own == about_takes(tiny_pipeline(), reader)
    guided = about_takes(tiny_pipeline(guidance_scale=2.0), reader)
    trusting = about_takes(tiny_pipeline(), Reader(reader.net, Trust(answer=0.5)))
    pipe = tiny_pipeline()
    pipe.backbone.to(torch.bfloat16)
    half = about_takes(pipe, reader)
    for key, other in (("policy", guided), ("reader", trusting), ("dtype", half)):
        assert {name for name in own if own[name] != other[name]} - {"weights"} == {key}
    assert half["dtype"] == "bfloat16"


def test_a_reader_of_other_weights_is_another_one(reader: Reader) -> None:
    before = about_takes(tiny_pipeline(), reader)["reader"]
    with torch.no_grad():
        next(reader.net.parameters()).add_(1)
    assert about_takes(tiny_pipeline(), reader)["reader"] != before
