"""What a take's networks are beside the model's name: the codec in use, and the LoRAs in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from longtake.errors import UserError
from longtake.models.lora_set import AppliedLora


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """Part of every snapshot; a take goes on with the networks that it was made with."""

    codec: str
    """Its kind."""
    loras: tuple[AppliedLora, ...] = ()
    """What the transformer is changed by."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Variant:
        """What `to_dict` was made of."""
        return cls(codec=values["codec"], loras=tuple(AppliedLora(**lora) for lora in values["loras"]))

    def check_goes_on(self, then: Variant) -> None:
        """Refuse to go on with a take that other networks began (UserError). LoRA files may have new names."""
        if self.codec != then.codec:
            raise UserError(
                f"the take was made with the codec {then.codec}, this model has {self.codec}; load it as it was"
            )
        if _identities(self.loras) != _identities(then.loras):
            raise UserError(
                f"the take was made with {_named(then.loras)}, this model has {_named(self.loras)}; "
                "load the same LoRAs at the same scales"
            )


def _identities(loras: tuple[AppliedLora, ...]) -> list[tuple[str, float]]:
    return sorted((lora.digest, lora.scale) for lora in loras)


def _named(loras: tuple[AppliedLora, ...]) -> str:
    return f"LoRAs {', '.join(map(str, loras))}" if loras else "no LoRA"
