"""Optical flow from one frame to the next, by RAFT when it is at hand and by DIS otherwise.

RAFT is torchvision's `raft_large` with its default weights (Teed & Deng, arXiv 2003.12039), used when torchvision is
installed and the weights are already on disk; nothing is fetched. DIS is OpenCV's, preset fast (Kroeger et al.,
arXiv 1603.03590). The two give different numbers, so the backend's name goes with every figure made from a flow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from longtake.errors import UserError
from longtake.measure.video import Frame

__all__ = ["BACKENDS", "Dis", "FlowBackend", "Raft", "choose_flow"]

BACKENDS = ("auto", "dis", "raft")
RAFT_FILE = "raft_large_C_T_SKHT_V2-ff5fadd5.pth"


class FlowBackend(Protocol):
    """A way of estimating flow."""

    @property
    def name(self) -> str:
        """Goes with every figure."""
        ...

    def __call__(self, first: Frame, second: Frame) -> NDArray[np.float32]:
        """Where each pixel of `first` is in `second`: `[H, W, 2]`, (x, y) in pixels."""
        ...


@dataclass(kw_only=True)
class Dis:
    """OpenCV's dense inverse search."""

    name: str = "DIS (OpenCV, fast)"
    _method: Any = field(default=None, repr=False)

    def __call__(self, first: Frame, second: Frame) -> NDArray[np.float32]:
        """See `FlowBackend`."""
        if self._method is None:
            self._method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        grey = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second))
        flow: NDArray[np.float32] = self._method.calc(*grey, None)
        return flow


class Raft:
    """torchvision's RAFT, large, its last iteration."""

    name = "RAFT large (torchvision, C_T_SKHT_V2)"

    def __init__(self) -> None:
        from torchvision.models.optical_flow import Raft_Large_Weights, raft_large

        weights = Raft_Large_Weights.C_T_SKHT_V2
        self._prepare = weights.transforms()
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._net = raft_large(weights=weights).eval().to(self._device)

    @torch.inference_mode()
    def __call__(self, first: Frame, second: Frame) -> NDArray[np.float32]:
        """See `FlowBackend`."""
        pair = (torch.from_numpy(frame).permute(2, 0, 1)[None].to(self._device) for frame in (first, second))
        flow = self._net(*self._prepare(*pair))[-1][0]
        out: NDArray[np.float32] = flow.permute(1, 2, 0).cpu().numpy()
        return out


def raft_is_here() -> bool:
    """Whether torchvision and RAFT's weights are on this machine."""
    try:
        import torchvision  # noqa: F401
    except ImportError:
        return False
    return (Path(torch.hub.get_dir()) / "checkpoints" / RAFT_FILE).is_file()


def choose_flow(name: str = "auto") -> FlowBackend:
    """The backend called `name`; `auto` takes RAFT when it is here. Raises UserError for one that is not."""
    if name not in BACKENDS:
        raise UserError(f"flow backend {name!r} is unknown; use one of {', '.join(BACKENDS)}")
    if name == "raft" and not raft_is_here():
        raise UserError(
            f"flow backend raft needs torchvision and its weights {RAFT_FILE} in {torch.hub.get_dir()}/checkpoints; "
            "put them there, or use --flow dis"
        )
    return Raft() if name == "raft" or (name == "auto" and raft_is_here()) else Dis()
