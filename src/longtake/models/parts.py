"""The parts of a model, as a preset names them: which files of which Hub repository, under which licence."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from longtake.models.data import Data

PartName = Literal[
    "transformer", "lora", "codec", "tiny_codec", "text_encoder", "tokenizer", "image_encoder", "cam", "apm"
]
MEMORIES: tuple[PartName, ...] = ("cam", "apm")
"""StreamingT2V's two memories of a transformer, trained for it and kept in folders beside it."""
OPTIONAL: tuple[PartName, ...] = ("tiny_codec", *MEMORIES)
"""Parts that a model generates without."""
FOLDER_NAMES: dict[PartName, tuple[str, ...]] = {
    "codec": ("codec", "vae"),
    "transformer": ("transformer", "unet"),
}
"""What the folder of a part may be called, where that is not the part's own name; diffusers says `vae` and `unet`."""

HUB = "https://huggingface.co"


class File(Data):
    """One file of a Hub repository."""

    path: str
    """Path inside the repository."""
    bytes: PositiveInt | None = None
    """Size: to the byte where there is a hash, about right elsewhere; None where we do not know it."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """What the file must hash to, where we know it; otherwise what the Hub says is checked."""


class Part(Data):
    """One network (or the tokenizer): its files and what may be done with them."""

    repo: str
    """`owner/name` on the Hub."""
    revision: str = "main"
    """Branch or commit; a commit where hashes are given."""
    files: Annotated[tuple[File, ...], Field(min_length=1)]
    folder: str | None = None
    """Folder of the repository that is in diffusers' (or transformers') layout; None for a published container."""
    ema: bool = False
    """Of a container with both, take the averaged weights (`generator_ema`), as the authors do."""
    alpha: PositiveFloat | None = None
    """Of a LoRA: the scale is alpha over its rank."""
    licence: str | None = None
    """Where it is not the preset's own."""

    @property
    def bytes(self) -> int | None:
        """Size of all files; None when one of them is not known."""
        sizes = [file.bytes for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def page(self) -> str:
        """Where its card is."""
        return f"{HUB}/{self.repo}"


class Shared(Data):
    """The same part as another preset's; it is on disk once."""

    shared: str
    """Name of that preset."""
