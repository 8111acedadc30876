"""Write `causal.safetensors`: the last block of every causal preset, by the oracle. `python -m tests.golden.causal`."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

GOLDEN = Path(__file__).with_name("causal.safetensors")


@torch.inference_mode()
def main() -> None:
    from tests.methods.published import PUBLISHED, by_oracle

    save_file({name: by_oracle(published)[-1].clone() for name, published in PUBLISHED.items()}, GOLDEN)


if __name__ == "__main__":
    main()
