"""UMT5: Wan's file against transformers and against published numbers, weights that stay on disk, rest and cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import UMT5Config, UMT5EncoderModel

from longtake.errors import UserError
from longtake.models.network import TextNetwork
from longtake.models.text import EmbeddingCache, Offload, TextEncoder
from longtake.models.text_weights import EncoderFiles
from longtake.models.tokenizer import word_tokenizer
from longtake.models.umt5 import UMT5Encoder
from longtake.models.umt5_keymap import to_original, to_transformers, with_one_table
from tests.drawn import drawn_state

GOLDEN = load_file(Path(__file__).parents[1] / "golden" / "umt5.safetensors")
CONFIG = {
    "vocab_size": 40,
    "d_model": 24,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "feed_forward_proj": "gated-gelu",
    "dropout_rate": 0.0,
}
WORDS = tuple(f"word{i}" for i in range(35))
PROMPT = "word1 word2 word3"
TABLE = "shared.weight"


@pytest.fixture
def wan_file(tmp_path: Path) -> Path:
    """A small `models_t5_umt5-xxl-enc-bf16.pth`, and a tokenizer beside it."""
    with torch.device("meta"):
        state = to_original(UMT5EncoderModel(UMT5Config(**CONFIG)).state_dict())
    torch.save(drawn_state({name: tensor.shape for name, tensor in state.items()}), tmp_path / "t5.pth")
    word_tokenizer(WORDS, 12).save(tmp_path / "tokenizer")
    return tmp_path / "t5.pth"


def load(file: Path, *, offload: Offload = "never", cache: bool = False, **changes: object) -> TextEncoder:
    return TextEncoder.from_files(
        file,
        file.parent / "tokenizer",
        config=CONFIG,
        allow_pt=True,
        offload=offload,
        cache=EmbeddingCache(file.parent / "cache") if cache else None,
        **changes,  # type: ignore[arg-type]
    )


def as_theirs(state: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = to_transformers(state)
    return renamed | {"encoder.embed_tokens.weight": renamed[TABLE]}


def test_rows_are_the_published_ones_and_zero_beyond_the_prompt(wan_file: Path) -> None:
    mask = (GOLDEN["ids"] > 0).long()
    rows = load(wan_file)(GOLDEN["ids"], mask)
    difference = (rows - GOLDEN["rows"]).abs().max()
    assert difference <= 1e-5, f"differs by {difference:.2e}"
    assert rows[mask == 0].count_nonzero() == 0
    assert rows[mask == 1].abs().sum(-1).gt(0).all()


def test_each_layer_reads_its_own_table_of_positions(wan_file: Path) -> None:
    state = torch.load(wan_file, weights_only=True)
    state["blocks.1.pos_embedding.embedding.weight"] = state["blocks.0.pos_embedding.embedding.weight"]
    torch.save(state, wan_file)
    rows = load(wan_file)(GOLDEN["ids"], (GOLDEN["ids"] > 0).long())
    assert (rows - GOLDEN["rows"]).abs().max() > 1e-3


def test_wans_file_gives_what_transformers_gives(wan_file: Path) -> None:
    theirs = UMT5EncoderModel(UMT5Config(**CONFIG)).eval()
    theirs.load_state_dict(as_theirs(torch.load(wan_file, weights_only=True)))
    encoder = load(wan_file)
    tokens = encoder.tokenize([PROMPT, ""])
    with torch.no_grad():
        wanted = theirs(input_ids=tokens.input_ids, attention_mask=tokens.mask).last_hidden_state
    difference = (encoder.encode([PROMPT, ""]) - wanted * tokens.mask[..., None]).abs().max()
    assert difference <= 1e-5, f"differs by {difference:.2e}"


def test_names_of_another_model_are_refused() -> None:
    with pytest.raises(UserError, match=r"'blocks.0.cross_attn.q.weight' is no tensor of a UMT5 encoder"):
        to_transformers({"blocks.0.cross_attn.q.weight": 0})


def test_files_that_do_not_fit_are_refused(wan_file: Path) -> None:
    with pytest.raises(UserError, match="does not fit its config"):
        TextEncoder.from_files(wan_file, wan_file.parent / "tokenizer", allow_pt=True)
    with pytest.raises(UserError, match="only safetensors are opened here"):
        TextEncoder.from_files(wan_file, wan_file.parent / "tokenizer", config=CONFIG)
    with pytest.raises(UserError, match=r"t6.pth is missing"):
        load(wan_file.with_name("t6.pth"))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads Linux' /proc")
@pytest.mark.parametrize("kind", ["file", "folder", "shards"])
def test_weights_stay_on_disk_and_are_given_back(wan_file: Path, kind: str) -> None:
    """Mapped where they have the dtype asked for, gone after use, mapped again for the next prompt."""
    source = as_kind(wan_file, kind)
    name = str(source if source.is_file() else next(source.glob("*.safetensors")))

    def is_mapped() -> bool:
        return name in Path("/proc/self/maps").read_text()

    encoder = load(source, offload="after_use", dtype=torch.bfloat16)
    assert not is_mapped()
    seen: list[bool] = []
    encoder.encoder.register_forward_hook(lambda *_: seen.append(is_mapped()))
    first, second = encoder.encode([PROMPT]), encoder.encode([PROMPT])
    assert seen == [True, True]
    assert not is_mapped()
    assert torch.equal(first, second)
    assert first.dtype == torch.bfloat16
    assert torch.equal(first, load(source, dtype=torch.bfloat16).encode([PROMPT]))


def as_kind(wan_file: Path, kind: str) -> Path:
    """The same weights in bf16: as Wan's file, as a transformers folder, as a folder in shards."""
    state = {name: tensor.bfloat16() for name, tensor in torch.load(wan_file, weights_only=True).items()}
    if kind == "file":
        torch.save(state, wan_file)
        return wan_file
    model = UMT5EncoderModel(UMT5Config(**CONFIG)).bfloat16()
    model.load_state_dict(as_theirs(state))
    folder = wan_file.parent / "text_encoder"
    model.save_pretrained(folder, max_shard_size="4KB" if kind == "shards" else "1GB")
    assert (folder / "model.safetensors.index.json").exists() == (kind == "shards")
    return folder


def test_the_word_table_has_one_name_whichever_a_file_gives_it(wan_file: Path) -> None:
    state = to_transformers(torch.load(wan_file, weights_only=True))
    second = {("encoder.embed_tokens.weight" if name == TABLE else name): state[name] for name in state}
    assert with_one_table(second).keys() == with_one_table(state | second).keys() == state.keys()
    assert torch.equal(with_one_table(second)[TABLE], state[TABLE])


def test_a_known_prompt_needs_no_weights(wan_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = load(wan_file, cache=True).encode([PROMPT])
    encoder = load(wan_file, cache=True, offload="after_use")
    monkeypatch.setattr(EncoderFiles, "load_into", lambda *_: pytest.fail("weights were loaded"))
    assert torch.equal(encoder.encode([PROMPT, f"({PROMPT}:1)"]), torch.cat([wanted, wanted]))


def test_other_weights_in_the_same_place_are_other_embeddings(wan_file: Path) -> None:
    """Even in a file of the same size and time."""
    first = load(wan_file, cache=True).encode([PROMPT])
    state = torch.load(wan_file, weights_only=True)
    state["norm.weight"] = state["norm.weight"] * 2
    before = wan_file.stat()
    replacement = wan_file.parent / "new" / wan_file.name
    replacement.parent.mkdir()
    torch.save(state, replacement)
    os.utime(replacement, ns=(before.st_atime_ns, before.st_mtime_ns))
    replacement.replace(wan_file)
    after = wan_file.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert torch.allclose(load(wan_file, cache=True).encode([PROMPT]), 2 * first)


def test_the_same_weights_elsewhere_are_the_same_embeddings(wan_file: Path, tmp_path: Path) -> None:
    load(wan_file, cache=True).encode([PROMPT])
    moved = wan_file.rename(wan_file.with_name("moved.pth"))
    encoder = load(moved, cache=True)
    encoder.fingerprint  # noqa: B018 - takes the hash, which needs the weights
    encoder.encoder.register_forward_hook(lambda *_: pytest.fail("was computed again"))
    encoder.encode([PROMPT])


def test_weights_replaced_under_a_resting_encoder_are_noticed(wan_file: Path) -> None:
    encoder = load(wan_file, offload="after_use")
    encoder.encode([PROMPT])
    replacement = wan_file.with_name("new.pth")
    replacement.write_bytes(wan_file.read_bytes())
    replacement.replace(wan_file)
    with pytest.raises(UserError, match="has changed since"):
        encoder.encode([PROMPT])


@pytest.mark.parametrize("offload", ["after_use", "to_cpu"])
def test_inference_mode_may_come_and_go(wan_file: Path, offload: Offload) -> None:
    encoder = load(wan_file, offload=offload, dtype=torch.float64)
    with torch.inference_mode():
        inside = encoder.encode([PROMPT])
    outside = encoder.encode([PROMPT])
    with torch.inference_mode():
        again = encoder.encode([PROMPT])
    assert torch.equal(inside, outside)
    assert torch.equal(again, outside)


def test_a_damaged_fingerprint_is_taken_again(wan_file: Path) -> None:
    encoder = load(wan_file, cache=True)
    wanted = encoder.fingerprint
    (note,) = (wan_file.parent / "cache" / "encoders").iterdir()
    note.write_text("nonsense")
    assert load(wan_file, cache=True).fingerprint == wanted
    assert note.read_text().strip() == wanted


def test_an_encoder_without_files_cannot_give_its_weights_back() -> None:
    small = TextEncoder.small(("a",), d_model=16, layers=1, heads=2, d_ff=32, max_length=4)
    with pytest.raises(UserError, match="use offload 'to_cpu'"):
        TextEncoder(small.encoder, small.tokenizer, offload="after_use")
    resting = TextEncoder(small.encoder, small.tokenizer, max_length=4, offload="to_cpu")
    assert torch.equal(resting.encode(["a"]), resting.encode(["a"]))


def test_safetensors_in_wans_layout_load_without_leave(wan_file: Path) -> None:
    state = torch.load(wan_file, weights_only=True)
    save_file(state, wan_file.with_suffix(".safetensors"))
    encoder = TextEncoder.from_files(
        wan_file.with_suffix(".safetensors"), wan_file.parent / "tokenizer", config=CONFIG
    )
    assert torch.equal(encoder.encode([PROMPT]), load(wan_file).encode([PROMPT]))


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_rows_are_transformers_beyond_the_greatest_distance(
    wan_file: Path, dtype: torch.dtype, allowed: float
) -> None:
    theirs = UMT5EncoderModel(UMT5Config(**CONFIG)).eval().to(dtype)
    theirs.load_state_dict(as_theirs(torch.load(wan_file, weights_only=True)))
    encoder = load(wan_file, dtype=dtype)
    ids = torch.randint(40, (2, 300), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 200:] = 0
    with torch.no_grad():
        wanted = theirs(input_ids=ids, attention_mask=mask).last_hidden_state * mask[..., None]
        difference = (encoder(ids, mask) - wanted).abs().max() / wanted.abs().max()
    assert difference <= allowed, f"differs by {difference:.2e}"


def test_what_is_saved_opens_in_transformers(tmp_path: Path) -> None:
    text = TextEncoder.small(WORDS, d_model=16, heads=2, d_ff=32, max_length=12).eval()
    text.save(tmp_path)
    theirs = UMT5EncoderModel.from_pretrained(tmp_path / "text_encoder").eval()
    tokens = text.tokenize([PROMPT])
    with torch.no_grad():
        wanted = theirs(input_ids=tokens.input_ids, attention_mask=tokens.mask).last_hidden_state
    difference = (text.encode([PROMPT]) - wanted * tokens.mask[..., None]).abs().max()
    assert difference <= 1e-5, f"differs by {difference:.2e}"


def test_weights_are_drawn_as_transformers_draws_them() -> None:
    sizes = CONFIG | {
        "d_model": 128,
        "d_kv": 32,
        "d_ff": 256,
        "vocab_size": 400,
        "relative_attention_num_buckets": 64,
    }
    torch.manual_seed(0)
    theirs = dict(UMT5EncoderModel(UMT5Config(**sizes)).named_parameters())
    ours = dict(UMT5Encoder(TextNetwork.model_validate(sizes)).named_parameters())
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.shape == theirs[name].shape
        assert float(tensor.detach().std() - theirs[name].detach().std()) == pytest.approx(
            0, abs=0.25 * float(theirs[name].detach().std())
        ), name


def test_a_damaged_config_is_refused(tmp_path: Path) -> None:
    TextEncoder.small(WORDS, d_model=16, heads=2, d_ff=32, max_length=12).save(tmp_path)
    config = tmp_path / "text_encoder" / "config.json"
    config.write_text(config.read_text().replace('"d_model": 16', '"d_model": -16'))
    with pytest.raises(UserError, match=r"config.json is damaged \(d_model: .*restore the file"):
        TextEncoder.load(tmp_path)


def test_a_first_frame_of_mini_waits_for_no_large_library() -> None:
    """Each of these costs a cold command a second or more."""
    code = (
        "import sys, longtake; longtake.load('mini')('a red sphere', num_frames=1);"
        "print(*{'transformers', 'diffusers', 'torch._dynamo', 'sympy'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
