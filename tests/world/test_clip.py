"""mini-clip's interface, with untrained weights, and what the shipped one tells apart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from longtake.errors import UserError
from longtake.world.captions import caption
from longtake.world.clip import WEIGHTS, MiniClip
from longtake.world.render import render
from longtake.world.scene import sample_scene


def test_embeddings_are_unit_vectors_of_one_space() -> None:
    torch.manual_seed(0)
    clip = MiniClip.new()
    images = clip.encode_image(np.zeros((2, 96, 96, 3), np.uint8))
    texts = clip.encode_text(["a red cube", "a blue cone rolls"])
    assert images.shape == texts.shape == (2, clip.config.embed_dim)
    assert torch.allclose(images.norm(dim=1), torch.ones(2), atol=1e-5)
    assert torch.allclose(texts.norm(dim=1), torch.ones(2), atol=1e-5)
    assert clip.similarity(np.zeros((3, 64, 48, 3), np.uint8), ["a red cube"]).shape == (3, 1)


def test_padding_does_not_change_a_text() -> None:
    torch.manual_seed(0)
    clip = MiniClip.new()
    alone = clip.encode_text(["a red cube"])
    padded = clip.encode_text(["a red cube", "a large matte red cube rolls to the right on a wooden floor"])
    assert torch.allclose(alone[0], padded[0], atol=1e-5)


def test_unknown_words_share_a_number_and_empty_texts_are_refused() -> None:
    clip = MiniClip.new()
    assert clip.tokens(["zeppelin"]).tolist() == clip.tokens(["gramophone"]).tolist() == [[1]]
    with pytest.raises(UserError, match="empty"):
        clip.encode_text([""])


def test_a_saved_mini_clip_loads(tmp_path: Path) -> None:
    clip = MiniClip.new()
    save_file(clip.net.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(clip.config_values()))
    again = MiniClip.load(tmp_path)
    assert again.config == clip.config
    assert torch.equal(again.encode_text(["a red cube"]), clip.encode_text(["a red cube"]))


@pytest.mark.skipif(not (WEIGHTS / "model.safetensors").exists(), reason="no mini-clip in this checkout")
def test_the_shipped_mini_clip_prefers_the_right_caption() -> None:
    clip = MiniClip.load()
    scenes = [sample_scene(500 + i, level=1, split="held_out") for i in range(16)]
    images = np.concatenate([render(scene, 1).frames for scene in scenes])
    alike = clip.similarity(images, [caption(scene, split="held_out") for scene in scenes])
    assert (alike.argmax(1) == torch.arange(16)).float().mean() > 0.6
