"""Tokenizers without transformers give what transformers gives, for words, pieces and CLIP's merges."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers, processors
from transformers import CLIPTokenizer, PreTrainedTokenizerFast

from longtake.errors import UserError
from longtake.models.clip_text import read_clip_tokenizer
from longtake.models.tokenizer import Tokenizer, read_tokenizer, word_tokenizer

TEXTS = ["", "a red  sphere", "A Red, red sphere. rolls", "a dragon é", "red " * 20]


def words(folder: Path) -> Path:
    word_tokenizer(["a", "red", "sphere", "rolls"], 8).save(folder)
    return folder


def pieces(folder: Path) -> Path:
    """As UMT5's: pieces of words, blanks marked, an end mark."""
    scores = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    scores += [
        (piece, -2.0 - i / 8) for i, piece in enumerate(["▁", "▁a", "▁re", "d", "▁sphere", "r", "e", "s"])
    ]
    backend = Backend(models.Unigram(scores, unk_id=2))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    marks = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=8, **marks).save_pretrained(folder)
    return folder


def merges(folder: Path) -> Path:
    """As Stable Diffusion's: words and merges, no `tokenizer.json`."""
    letters = [
        *"abcdefghijklmnopqrstuvwxyz,.",
        *(f"{letter}</w>" for letter in "abcdefghijklmnopqrstuvwxyz,."),
    ]
    table = [*letters, "re", "red</w>", "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(table)}))
    (folder / "merges.txt").write_text("#version: 0.2\nr e\nre d</w>\n")
    marks = {"unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "model_max_length": 8}
    settings = {"tokenizer_class": "CLIPTokenizer", **marks}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize("make", [words, pieces, merges], ids=lambda make: make.__name__)
def test_ids_and_spans_are_those_of_transformers(make: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = make(tmp_path)
    kind = CLIPTokenizer if make is merges else PreTrainedTokenizerFast
    theirs, ours = kind.from_pretrained(folder), read_clip_tokenizer(folder)
    assert len(ours) == len(theirs)
    assert ours.max_length == theirs.model_max_length == 8
    assert (ours.pad_id, ours.end_id or theirs.eos_token_id) == (theirs.pad_token_id, theirs.eos_token_id)
    for text in TEXTS:
        whole = theirs(text, return_offsets_mapping=True)
        cut = theirs(text, truncation=True, max_length=8, return_offsets_mapping=True)
        for length, wanted in ((None, whole), (8, cut)):
            ids, spans = ours.coded(text, length)
            assert ids == wanted["input_ids"], text
            assert spans == wanted["offset_mapping"], text


@pytest.mark.parametrize("make", [words, pieces, merges], ids=lambda make: make.__name__)
def test_what_is_saved_reads_the_same(make: Callable[[Path], Path], tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    first = read_clip_tokenizer(make(tmp_path / "one"))
    first.save(tmp_path / "two")
    again = read_tokenizer(tmp_path / "two")
    theirs = PreTrainedTokenizerFast.from_pretrained(tmp_path / "two")
    assert again.pad_id == first.pad_id == theirs.pad_token_id
    for text in TEXTS:
        assert again.coded(text) == first.coded(text)
        assert again.coded(text).ids == theirs(text)["input_ids"]


def test_marks_of_older_folders_are_found(tmp_path: Path) -> None:
    folder = words(tmp_path)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    mark = settings.pop("pad_token")
    settings["eos_token"] = {"__type": "AddedToken", "content": settings["eos_token"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": {"content": mark}}))
    tokenizer = read_tokenizer(folder)
    assert (tokenizer.pad_id, tokenizer.end_id) == (0, 1)


def test_settings_for_cutting_that_a_file_carries_are_not_used(tmp_path: Path) -> None:
    folder = words(tmp_path)
    backend = Backend.from_file(str(folder / "tokenizer.json"))
    backend.enable_truncation(2)
    backend.enable_padding(length=6)
    backend.save(str(folder / "tokenizer.json"))
    assert len(read_tokenizer(folder).coded("a red sphere rolls").ids) == 5


def test_a_text_may_be_cut_to_nothing_but_its_marks() -> None:
    assert word_tokenizer(["a"], 8).coded("a a", 1).ids == [1]


@pytest.mark.parametrize("damage", ["{", "[]", '{"version": "1.0", "model": {"type": "Dream"}}'])
def test_damaged_files_are_refused(damage: str, tmp_path: Path) -> None:
    (words(tmp_path) / "tokenizer.json").write_text(damage)
    with pytest.raises(UserError, match=r"the tokenizer in .* cannot be read"):
        read_tokenizer(tmp_path)


def test_incomplete_folders_are_refused(tmp_path: Path) -> None:
    (words(tmp_path) / "tokenizer_config.json").unlink()
    with pytest.raises(UserError, match=r"tokenizer_config.json is missing"):
        read_tokenizer(tmp_path)


def test_a_closed_list_knows_its_words() -> None:
    tokenizer: Tokenizer = word_tokenizer(["Red", "a"], 8)
    assert tokenizer.known_words == (",", ".", "a", "red")
    assert tokenizer.unknown_words("a Dragon, red") == ("Dragon",)
