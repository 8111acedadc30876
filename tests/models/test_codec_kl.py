"""A codec of single pictures under the streaming contract: exact, and with nothing to carry over."""

from __future__ import annotations

import torch
from torch import Tensor

from longtake.models.codec import to_float
from longtake.models.kl_codec import KlCodec
from tests.tiny_streaming import tiny_kl_codec


def frames(count: int = 5) -> Tensor:
    shape = (2, count, 16, 24, 3)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(4), dtype=torch.uint8)


def test_every_frame_is_that_of_diffusers_vae() -> None:
    codec = tiny_kl_codec()
    latents = codec.encode(frames(), codec.start())
    assert latents.shape == (2, 4, 5, 2, 3)
    pixels = to_float(frames())
    decoded = codec.decode_float(latents, codec.start())
    for index in range(5):
        theirs = codec.vae.encode(pixels[:, :, index]).latent_dist.mode() * codec.vae.config.scaling_factor
        torch.testing.assert_close(latents[:, :, index], theirs)
        picture = codec.vae.decode(theirs / codec.vae.config.scaling_factor).sample.clamp(-1, 1)
        torch.testing.assert_close(decoded[:, :, index], picture)
    assert decoded.std() > 0.05


def test_a_stream_taken_up_again_in_other_groups_changes_no_bit() -> None:
    codec = tiny_kl_codec()
    latents = codec.encode(frames(), codec.start())
    whole = codec.decode(latents, codec.start())
    first, second = codec.start(), codec.start()
    parts = [codec.decode(latents[:, :, :2], first)]
    second.restore(first.snapshot())
    parts += [codec.decode(latent, second) for latent in latents[:, :, 2:].split(1, dim=2)]
    assert torch.equal(torch.cat(parts, dim=1), whole)


def test_frames_do_not_see_each_other() -> None:
    codec = tiny_kl_codec()
    latents = codec.encode(frames(), codec.start())
    changed = latents.clone()
    changed[:, :, 2] += 1
    one, two = (codec.decode(x, codec.start()) for x in (latents, changed))
    differs = [not torch.equal(one[:, index], two[:, index]) for index in range(5)]
    assert differs == [False, False, True, False, False]


def test_old_names_of_attention_are_taken() -> None:
    codec, blank = tiny_kl_codec(), KlCodec.blank(dict(tiny_kl_codec().vae.config))
    new = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    state: dict[str, Tensor] = {}
    for name, tensor in codec.vae.state_dict().items():
        for modern, old in new.items():
            name = name.replace(modern, old)
        state[name] = tensor
    from pathlib import Path

    blank.fill(state, Path("memory"), torch.float32)
    assert torch.equal(*(each.encode(frames(1), each.start()) for each in (codec, blank)))
