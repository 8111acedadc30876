"""The text encoder: Wan's padding rule, a closed vocabulary, folders and the on-disk cache."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from longtake.errors import UserError
from longtake.models.text import EmbeddingCache, TextEncoder, clean
from longtake.models.tokenizer import Tokenizer

WORDS = ("a", "red", "blue", "sphere", "cube", "rolls", "to", "the", "right")


@pytest.fixture
def encoder() -> TextEncoder:
    torch.manual_seed(0)
    return TextEncoder.small(WORDS, d_model=16, layers=1, heads=2, d_ff=32, max_length=12).eval()


def test_rows_beyond_the_prompt_are_exactly_zero(encoder: TextEncoder) -> None:
    rows = encoder.encode(["a red sphere", ""])
    assert rows.shape == (2, 12, 16)
    assert rows[0, :4].abs().sum(-1).gt(0).all()
    assert rows[0, 4:].count_nonzero() == 0
    assert rows[1, 0].count_nonzero() > 0
    assert rows[1, 1:].count_nonzero() == 0


def test_case_punctuation_and_space_do_not_change_words(encoder: TextEncoder) -> None:
    plain = encoder.tokenize(["a red sphere"]).input_ids
    assert torch.equal(encoder.tokenize(["  A Red\nSPHERE "]).input_ids, plain)
    assert encoder.unknown_words("A red sphere, a blue cube.") == ()
    assert clean("red &amp;amp; blue") == "red & blue"


def test_unknown_words_are_named_once_in_order(encoder: TextEncoder) -> None:
    assert encoder.unknown_words("a Dragon rolls past the dragon and a red elf") == (
        "Dragon",
        "past",
        "dragon",
        "and",
        "elf",
    )
    assert "sphere" in encoder.known_words
    assert not any("<" in word for word in encoder.known_words)


def test_long_prompts_are_cut_and_keep_their_end(encoder: TextEncoder) -> None:
    tokens = encoder.tokenize(["red " * 40])
    assert tokens.input_ids.shape == (1, 12)
    assert tokens.input_ids[0, -1] == encoder.tokenizer.end_id


def test_a_prompt_that_is_cut_says_so(encoder: TextEncoder) -> None:
    with pytest.warns(UserWarning, match="15 tokens; only the first 12"):
        encoder.encode(["a red sphere rolls to the right a red sphere rolls to the right"])


@pytest.mark.filterwarnings("ignore:the prompt has")
def test_prompts_are_read_from_several_threads_as_from_one(encoder: TextEncoder) -> None:
    prompts = ["red " * 40, "a (red:1.5) sphere", "a red sphere rolls", "a dragon"]
    wanted = [encoder.encode([prompt]) for prompt in prompts]

    def read(number: int) -> bool:
        torch.set_num_threads(own)
        prompt = number % len(prompts)
        encoder.unknown_words(prompts[prompt])
        return torch.equal(encoder.encode([prompts[prompt]]), wanted[prompt])

    own, interval = torch.get_num_threads(), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as readers:
            assert all(readers.map(read, range(400)))
    finally:
        sys.setswitchinterval(interval)


def test_a_prompt_does_not_depend_on_its_batch(encoder: TextEncoder) -> None:
    both = encoder.encode(["a red sphere", "a blue cube rolls to the right"])
    assert torch.equal(both[:1], encoder.encode(["a red sphere"]))


def test_gradients_reach_the_word_table(encoder: TextEncoder) -> None:
    encoder(*encoder.tokenize(["a red sphere"])).square().sum().backward()
    assert encoder.encoder.shared.weight.grad is not None


def test_folders_round_trip(encoder: TextEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path)
    loaded = TextEncoder.load(tmp_path)
    assert loaded.max_length == 12
    assert loaded.known_words == encoder.known_words
    assert torch.equal(loaded.encode(["a red sphere"]), encoder.encode(["a red sphere"]))
    assert not any(p.requires_grad for p in loaded.parameters())


def test_half_precision_folders_load_as_float32(encoder: TextEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path, dtype=torch.float16)
    loaded = TextEncoder.load(tmp_path)
    assert loaded.encoder.shared.weight.dtype == torch.float32
    difference = (loaded.encode(["a red sphere"]) - encoder.encode(["a red sphere"])).abs().max()
    assert difference < 2e-2, f"differs by {difference}"


def test_missing_and_damaged_folders_say_which_file(encoder: TextEncoder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="text_encoder"):
        TextEncoder.load(tmp_path)
    encoder.save(tmp_path)
    (tmp_path / "text_encoder" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(UserError, match="are damaged"):
        TextEncoder.load(tmp_path)


def test_cached_embeddings_are_the_same_and_are_found_again(encoder: TextEncoder, tmp_path: Path) -> None:
    plain = encoder.encode(["a red sphere"])
    encoder.cache = EmbeddingCache(tmp_path)
    first, second = encoder.encode(["a red sphere"]), encoder.encode([" a red  sphere"])
    assert torch.equal(first, plain)
    assert torch.equal(second, plain)
    files = list(tmp_path.iterdir())
    assert len(files) == 1
    files[0].write_bytes(b"broken")
    assert torch.equal(encoder.encode(["a red sphere"]), plain)


def test_the_cache_knows_other_weights_apart(encoder: TextEncoder, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = TextEncoder.small(WORDS, d_model=16, layers=1, heads=2, d_ff=32, max_length=12)
    encoder.cache = other.cache = EmbeddingCache(tmp_path)
    assert not torch.equal(encoder.encode(["red"]), other.encode(["red"]))
    assert len(list(tmp_path.iterdir())) == 2


def test_the_cache_keeps_what_was_computed_here(encoder: TextEncoder, tmp_path: Path) -> None:
    """Another number of threads rounds otherwise, and a take is made again with its own."""
    encoder.cache, own = EmbeddingCache(tmp_path), torch.get_num_threads()
    encoder.encode(["red"])
    torch.set_num_threads(own + 1)
    try:
        encoder.encode(["red"])
        encoder.encode(["red"])
    finally:
        torch.set_num_threads(own)
    assert len(list(tmp_path.iterdir())) == 2


def test_cache_folder_follows_longtake_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LONGTAKE_HOME", str(tmp_path))
    assert EmbeddingCache().folder == tmp_path / "text"


def test_weights_scale_the_rows_of_their_words_and_nothing_else(encoder: TextEncoder) -> None:
    plain = encoder.encode(["a red sphere rolls"])
    weighted = encoder.encode(["a (red:1.5) (sphere rolls:0)"])
    scale = torch.tensor([1, 1.5, 0, 0, 1, *[1] * 7])[:, None]
    assert torch.equal(weighted[0], plain[0] * scale)
    assert plain[0, 1:4].abs().sum(-1).gt(0).all()


def test_prompts_without_weights_keep_their_bytes_and_their_entry(
    encoder: TextEncoder, tmp_path: Path
) -> None:
    encoder.cache = EmbeddingCache(tmp_path)
    plain = encoder.encode(["a red sphere"])
    (key,) = [path.stem for path in tmp_path.iterdir()]
    assert torch.equal(encoder.encode(["a (red:1) sphere"]), plain)
    weighted = encoder.encode(["a (red:2) sphere"])
    assert torch.equal(weighted[0, 1], 2 * plain[0, 1])
    assert [path.stem for path in tmp_path.iterdir()] == [key], "weights come after the cache"


def test_weights_beyond_the_cut_are_left_out(encoder: TextEncoder) -> None:
    with pytest.warns(UserWarning, match="only the first 12"):
        rows = encoder.encode(["a red sphere rolls to the right a red sphere rolls (to the right:2)"])
    assert rows.shape == (1, 12, 16)


def test_words_in_weights_are_looked_up_without_them(encoder: TextEncoder) -> None:
    assert encoder.unknown_words("a (red dragon:1.3) sphere") == ("dragon",)


def test_mixed_prompts_are_their_weighted_sum(encoder: TextEncoder) -> None:
    both = encoder.encode(["a red sphere", "a (blue:1.5) cube"])
    mix = [("a red sphere", 3.0), ("a (blue:1.5) cube", 1.0)]
    assert torch.allclose(encoder.encode_mix(mix)[0], 0.75 * both[0] + 0.25 * both[1], atol=1e-6)
    assert torch.equal(encoder.encode_mix([("a red sphere", 2.0)]), both[:1])
    kept = encoder.encode_mix(mix, keep_norm=True)[0]
    lengths = 0.75 * both[0].norm(dim=-1) + 0.25 * both[1].norm(dim=-1)
    assert torch.allclose(kept.norm(dim=-1), lengths, atol=1e-6)
    assert kept[4:].count_nonzero() == 0


@pytest.mark.parametrize("shares", [[], [0.0, 0.0], [1.0, -1.0], [float("nan"), 1.0]])
def test_shares_that_cannot_be_are_refused(encoder: TextEncoder, shares: list[float]) -> None:
    with pytest.raises(UserError, match="at least 0, one above 0"):
        encoder.encode_mix([("a red sphere", share) for share in shares])


def test_an_encoder_of_free_text_has_no_list_of_words(encoder: TextEncoder) -> None:
    from tokenizers import Tokenizer as Backend
    from tokenizers import models

    pieces = Backend(models.Unigram([("<unk>", 0.0), ("a", -1.0)], unk_id=0))
    free = TextEncoder(encoder.encoder, Tokenizer(pieces, {}), max_length=4)
    assert free.known_words == ()


def test_rows_that_no_token_sees_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder runs on the rows of the longest prompt; the answer is that of all rows, padding masked."""
    encoder = TextEncoder.small(["a", "red", "sphere", "rolls"], d_model=16, heads=2, d_ff=32, max_length=12)
    tokens = encoder.tokenize(["a red sphere", "a sphere rolls"])
    whole = encoder.encoder(tokens.input_ids, tokens.mask)
    lengths = []
    run = encoder.encoder.forward
    monkeypatch.setattr(
        encoder.encoder,
        "forward",
        lambda ids, mask: lengths.append(ids.shape[1]) or run(ids, mask),
    )
    rows = encoder(*tokens)
    assert rows.shape == (2, 12, 16)
    assert lengths == [int(tokens.mask.sum(1).max())]
    assert lengths[0] < 12
    difference = (rows - whole.masked_fill(tokens.mask[..., None] == 0, 0.0)).abs().max()
    assert difference <= 1e-6, f"greatest difference {difference}"
