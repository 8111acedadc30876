"""CLIP score: how well frames fit the prompt. Higher is better.

100 × the mean over all frames of the cosine between the embeddings of the frame and of the prompt (StreamingT2V,
arXiv 2403.14773, after Hessel et al., arXiv 2104.08718, without its rescaling). The figure depends on the CLIP model
(about 31 is usual for ViT-B/32), so the model's name goes with it. `clip_first` and `clip_last` are the means over the
first and the last second, the curve is per second.

Any CLIP in transformers' format is read from a folder on disk; nothing is fetched. Without one, `clip_score` is None.
`mini` asks for mini-clip, the project's own encoder for toybox: it is not CLIP, so its figure is called
`mini_clip_score`. Limits: CLIP does not see movement, and knows little of where things are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from longtake.errors import UserError
from longtake.measure.video import Curve, Finding, Frame

__all__ = ["ClipFolder", "ClipScore", "ImageText", "MiniClipEncoder", "choose_clip"]


class ImageText(Protocol):
    """Puts pictures and text into one space."""

    @property
    def name(self) -> str:
        """Goes with every figure."""
        ...

    @property
    def figure(self) -> str:
        """What its score is called."""
        ...

    def image(self, frame: Frame) -> NDArray[np.float32]:
        """A unit vector."""
        ...

    def text(self, prompt: str) -> NDArray[np.float32]:
        """A unit vector."""
        ...


class ClipFolder:
    """A CLIP model in transformers' format."""

    figure = "clip_score"

    def __init__(self, folder: Path) -> None:
        from transformers import AutoProcessor, CLIPModel

        try:
            self._model: Any = CLIPModel.from_pretrained(folder, local_files_only=True).eval()
            self._processor: Any = AutoProcessor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, RuntimeError) as reason:
            raise UserError(
                f"no CLIP model can be read from {folder} ({str(reason).splitlines()[0]}); "
                "give a folder in transformers' format"
            ) from None
        self.name = str(getattr(self._model.config, "_name_or_path", "") or folder)

    @torch.inference_mode()
    def image(self, frame: Frame) -> NDArray[np.float32]:
        """See `ImageText.image`."""
        pixels = self._processor(images=frame, return_tensors="pt")
        seen = self._model.vision_model(**pixels).pooler_output
        return _unit(self._model.visual_projection(seen))

    @torch.inference_mode()
    def text(self, prompt: str) -> NDArray[np.float32]:
        """See `ImageText.text`."""
        tokens = self._processor(text=prompt, return_tensors="pt", truncation=True)
        read = self._model.text_model(**tokens).pooler_output
        return _unit(self._model.text_projection(read))


class MiniClipEncoder:
    """mini-clip, for toybox."""

    figure = "mini_clip_score"

    def __init__(self) -> None:
        from longtake.world.clip import NAME, MiniClip

        self.name = NAME
        self._clip = MiniClip.load()

    def image(self, frame: Frame) -> NDArray[np.float32]:
        """See `ImageText.image`."""
        return _unit(self._clip.encode_image(frame[None]))

    def text(self, prompt: str) -> NDArray[np.float32]:
        """See `ImageText.text`."""
        return _unit(self._clip.encode_text([prompt]))


def _unit(rows: torch.Tensor) -> NDArray[np.float32]:
    vector: NDArray[np.float32] = torch.nn.functional.normalize(rows[0].float(), dim=-1).numpy()
    return vector


def choose_clip(name: str | None) -> ImageText | None:
    """The encoder for `--clip`: a folder, `mini`, or None for none."""
    if name is None:
        return None
    return MiniClipEncoder() if name == "mini" else ClipFolder(Path(name))


class ClipScore:
    """The score of one video and prompt."""

    def __init__(self, encoder: ImageText | None, prompt: str | None, fps: float) -> None:
        self._encoder, self._prompt, self._fps = encoder, prompt, fps
        self._text = encoder.text(prompt) if encoder and prompt else None
        self._scores: list[float] = []

    def add(self, frame: Frame) -> None:
        """See `Meter.add`."""
        if self._encoder is not None and self._text is not None:
            self._scores.append(100 * float(self._encoder.image(frame) @ self._text))

    def finish(self) -> Finding:
        """See `Meter.finish`."""
        if self._encoder is None or self._text is None:
            why = "no prompt was given" if self._encoder else "no CLIP model was given"
            return Finding(values={"clip_score": None}, notes={"clip_score": why})
        name, second = self._encoder.figure, max(1, round(self._fps))
        scores = np.array(self._scores)
        values: dict[str, float | None] = {
            name: float(scores.mean()),
            name.replace("score", "first"): float(scores[:second].mean()),
            name.replace("score", "last"): float(scores[-second:].mean()),
        }
        parts = [scores[start : start + second].mean() for start in range(0, len(scores), second)]
        seconds = tuple((index + 0.5) * second / self._fps for index in range(len(parts)))
        curve = Curve(seconds=seconds, values=tuple(float(part) for part in parts), unit="100 cos")
        notes = {name: f"model: {self._encoder.name}"}
        if name != "clip_score":
            values["clip_score"] = None
            notes["clip_score"] = f"{self._encoder.name} is not CLIP; its figure is {name}"
        return Finding(values=values, curves={name: curve}, notes=notes)
