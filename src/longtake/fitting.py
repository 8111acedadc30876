"""Whether a take fits here, and under which profile of memory: decided from a forecast, before anything is loaded."""

from __future__ import annotations

import warnings

import torch

from longtake.errors import UserError
from longtake.forecast import floor, forecast, formats
from longtake.models.codecs import CodecChoice
from longtake.models.device import compute_device, compute_dtype, free_bytes
from longtake.models.hub import Checkpoint
from longtake.models.plan import GIB, PROFILES, RESIDENT, Profile

SURELY_ENOUGH = 0.15
"""Weights and past below this share of the free memory leave no doubt that the rest fits too."""


def choose(
    checkpoint: Checkpoint,
    *,
    width: int,
    height: int,
    dtype: torch.dtype,
    device: torch.device,
    codec: CodecChoice = "full",
) -> Profile:
    """The fastest profile that fits here; the plain one where there is no doubt, without a plan."""
    free = free_bytes(device)
    if checkpoint.preset.architecture == "unet":
        return RESIDENT  # it knows no other
    if floor(checkpoint, width=width, height=height, dtype=dtype) < free * SURELY_ENOUGH:
        return RESIDENT
    plan = forecast(checkpoint, width=width, height=height, dtype=dtype, device=device, codec=codec)
    return plan.best(free, formats(device)).profile


def profile_named(name: str) -> Profile:
    """The profile of that name; UserError for one that is not known."""
    known = {profile.name: profile for profile in PROFILES}
    if name not in known:
        raise UserError(f"profile {name!r} is unknown; use one of {', '.join(known)}")
    return known[name]


def profile_for(
    checkpoint: Checkpoint,
    name: str | None,
    dtype: torch.dtype,
    device: torch.device,
    codec: CodecChoice = "full",
) -> Profile:
    """The profile of that name, or the one that fits here, with a warning when that is not the plain one.

    Raises UserError for a name that is not known.
    """
    if name is not None:
        return profile_named(name)
    native = checkpoint.preset.native
    size = {"width": native.width, "height": native.height}
    chosen = choose(checkpoint, **size, dtype=dtype, device=device, codec=codec)
    if chosen is not RESIDENT:
        warnings.warn(
            f"{checkpoint.preset.name} does not fit here as a whole; it runs under the profile {chosen.name!r} "
            f"(`longtake doctor --model {checkpoint.preset.name}` says what that means)",
            stacklevel=3,
        )
    return chosen


def check_memory(
    checkpoint: Checkpoint,
    *,
    width: int,
    height: int,
    codec: CodecChoice = "full",
    profile: str | None = None,
) -> None:
    """Refuse a take for which the memory of this machine does not suffice, before anything is loaded (UserError).

    profile: the one that is asked for; the best that there is unless given. The whole plan is made only where it
    could come to that.
    """
    device, dtype = compute_device(), compute_dtype().dtype
    free = free_bytes(device)
    if floor(checkpoint, width=width, height=height, dtype=dtype) < free * SURELY_ENOUGH:
        return
    plan = forecast(checkpoint, width=width, height=height, dtype=dtype, device=device, codec=codec)
    plan = plan.best(free, formats(device)) if profile is None else plan.under(profile_named(profile))
    if plan.fits(free):
        return
    name, size = checkpoint.preset.name, f"{width}x{height}"
    raise UserError(
        f"{name} at {size} needs about {plan.peak / GIB:.1f} GiB of memory (weights {plan.weights / GIB:.1f}, past "
        f"{plan.kv / GIB:.1f}, decoding {plan.vae / GIB:.1f}) and {free / GIB:.1f} GiB are free; use a smaller size, "
        f"and `longtake doctor --model {name} --size {size}` to see what fits"
    )
