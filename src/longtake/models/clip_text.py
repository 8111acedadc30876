"""The CLIP text encoder of ModelScope's text-to-video and of Stable Diffusion 2: every prompt becomes 77 rows.

transformers' `CLIPTextModel` and its tokenizer. A prompt is filled up to its full length and all rows are attended to,
the padding too: that is how the UNet was trained.

Shapes: B prompts, L token rows, D text channels.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from longtake.errors import UserError
from longtake.models.containers import open_container
from longtake.models.files import load_strict, read_json
from longtake.models.prompt import Prompt, parse
from longtake.models.tokenizer import TOKENIZER_FILES, Tokenizer, read_tokenizer

if TYPE_CHECKING:
    from transformers import CLIPTextModel

__all__ = ["SD2", "ClipTextEncoder", "number_positions", "read_clip_tokenizer", "without_wrapper"]

SD2: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "max_position_embeddings": 77,
    "vocab_size": 49408,
    "hidden_act": "gelu",
}
"""Sizes of Stable Diffusion 2's text encoder (OpenCLIP's ViT-H/14 up to its last layer but one)."""


class ClipTextEncoder(nn.Module):
    """See the module's text. It takes free text."""

    known_words: tuple[str, ...] = ()

    def __init__(self, encoder: CLIPTextModel, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.max_length = int(encoder.config.max_position_embeddings)

    @classmethod
    def blank(cls, tokenizer: Tokenizer, config: Mapping[str, Any] | None = None) -> ClipTextEncoder:
        """Without contents (on the meta device); None stands for Stable Diffusion 2's."""
        from transformers import CLIPTextConfig, CLIPTextModel

        values = {key: value for key, value in (config or SD2).items() if not key.startswith("_")}
        with torch.device("meta"):
            encoder = CLIPTextModel(CLIPTextConfig(**values))
        number_positions(encoder)
        return cls(encoder.eval().requires_grad_(False), tokenizer)

    @classmethod
    def from_files(
        cls, weights: Path, tokenizer: Path, dtype: torch.dtype, *, allow_pt: bool = False
    ) -> ClipTextEncoder:
        """Read transformers folders. Raises UserError when something is missing, damaged or does not fit."""
        model = cls.blank(read_clip_tokenizer(tokenizer), read_json(weights / "config.json"))
        state = without_wrapper(open_container(weights, allow_pt=allow_pt).tensors)
        model.fill(state, weights, dtype)
        return model

    def fill(self, state: Mapping[str, Tensor], source: Path, dtype: torch.dtype) -> None:
        """Take these weights, as transformers names them. Raises UserError when they do not fit."""
        load_strict(self.encoder, state, source=source, assign=True)
        self.requires_grad_(False).to(dtype)

    @property
    def dim(self) -> int:
        """Channels of an embedding row."""
        return int(self.encoder.config.hidden_size)

    def unknown_words(self, prompt: str) -> tuple[str, ...]:
        """Words of the prompt that it does not know: none."""
        return ()

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Tensor:
        """`[B, L, D]`. A prompt may weigh its words, see `prompt.parse`; one that is too long is cut with a warning."""
        return torch.cat([self._encoded(parse(prompt)) for prompt in prompts])

    def encode_mix(self, mix: Sequence[tuple[str, float]]) -> Tensor:
        """One embedding `[1, L, D]` of several prompts, each with its share of 1."""
        shares = torch.tensor([share for _, share in mix], device=self.encoder.device)
        return (shares[:, None, None] * self.encode([prompt for prompt, _ in mix])).sum(0, keepdim=True)

    def _encoded(self, prompt: Prompt) -> Tensor:
        length = len(self.tokenizer.coded(prompt.text).ids)
        if length > self.max_length:
            warnings.warn(
                f"the prompt has {length} tokens; only the first {self.max_length} are read: shorten it",
                stacklevel=4,
            )
        coded = self.tokenizer.coded(prompt.text, self.max_length)
        filling = self.max_length - len(coded.ids)
        ids = torch.tensor([coded.ids + [self.tokenizer.pad_id] * filling], device=self.encoder.device)
        rows: Tensor = self.encoder(ids).last_hidden_state
        if not prompt.weights:
            return rows
        return rows * rows.new_tensor(prompt.of_tokens(coded.spans + [(0, 0)] * filling))[:, None]


def number_positions(encoder: nn.Module) -> None:
    """Give a network made without contents its table of positions, which is in no file."""
    for module in encoder.modules():
        if "position_ids" in dict(module.named_buffers(recurse=False)):
            count = module.get_buffer("position_ids").shape[-1]
            module.register_buffer("position_ids", torch.arange(count)[None], persistent=False)


def read_clip_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a folder, as one file or as CLIP's words and merges; UserError when it is incomplete."""
    if all((folder / name).is_file() for name in TOKENIZER_FILES):
        return read_tokenizer(folder)
    from transformers import CLIPTokenizer

    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} is missing; the model's folder is incomplete")
    try:
        theirs = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, RuntimeError) as reason:
        raise UserError(f"the tokenizer in {folder} cannot be read ({reason}); restore its files") from None
    settings = read_json(folder / "tokenizer_config.json") | {"pad_token": theirs.pad_token}
    return Tokenizer(theirs.backend_tokenizer, settings)


def without_wrapper(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published names, with or without the outer `text_model.` and the old table of positions."""
    names = {name: name.removeprefix("text_model.") for name in state}
    return {new: state[old] for old, new in names.items() if new != "embeddings.position_ids"}
