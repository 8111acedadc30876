"""The part of `longtake doctor` that speaks of one model: what it needs here, and which profile fits."""

from __future__ import annotations

from typing import Any

from longtake.cli.table import columns

EXPLAINED = {
    "resident": "everything stays on the device",
    "text-off": "the text encoder is off the device while the video is made",
    "tiled": "and pictures are decoded in tiles",
    "bf16": "and all networks compute in bfloat16",
    "fp8": "and the blocks' weights are in fp8",
    "int8": "and the blocks' weights are in int8",
    "layerwise": "and a block's weights are on the device only while it computes",
}


def fit(model: str, size: str | None) -> dict[str, Any]:
    """The plan of a model at a size, on disk or not. Raises UserError for an unknown model or a size off its grid."""
    from longtake.cli.request import read_size
    from longtake.forecast import forecast, formats
    from longtake.models.device import compute_device, compute_dtype, free_bytes
    from longtake.models.hub import look_up
    from longtake.models.plan import GIB, PROFILES

    checkpoint = look_up(model)
    preset = checkpoint.preset
    width, height = read_size(size, preset)
    device, (dtype, reason) = compute_device(), compute_dtype()
    plan = forecast(checkpoint, width=width, height=height, dtype=dtype, device=device)
    free, possible = free_bytes(device), formats(device)
    best = plan.best(free, possible)

    def gib(value: int) -> float:
        return round(value / GIB, 3)

    return {
        "model": preset.name,
        "size": f"{width}x{height}",
        "licence": preset.licence,
        "non_commercial": preset.non_commercial,
        "on_disk": not checkpoint.missing,
        "missing": list(checkpoint.missing),
        "device": str(device),
        "dtype": str(dtype).removeprefix("torch."),
        "reason": reason,
        "free_gib": gib(free),
        "weights_gib": gib(best.weights),
        "kv_gib": gib(best.kv),
        "context_gib": gib(best.context),
        "work_gib": gib(best.work),
        "vae_gib": gib(best.vae),
        "text_gib": gib(best.text),
        "image_gib": gib(best.image),
        "peak_gib": gib(best.peak),
        "fits": best.fits(free),
        "profile": best.profile.name,
        "profiles": {
            profile.name: {
                "peak_gib": gib(plan.under(profile).peak),
                "fits": plan.under(profile).fits(free),
                "possible": profile.weights in possible,
            }
            for profile in PROFILES
        },
        "attention": _backends(),
    }


def _backends() -> dict[str, dict[str, str]]:
    from longtake.models.backends import attention_backend, compile_backend

    return {"attention": attention_backend()._asdict(), "feed_forward": compile_backend()._asdict()}


def lines(report: dict[str, Any]) -> list[str]:
    """The report for people."""
    licence = report["licence"] + (", non-commercial" if report["non_commercial"] else "")
    disk = (
        "on disk" if report["on_disk"] else f"not on disk (`longtake download {report['model']}` fetches it)"
    )
    head = [
        f"{report['model']} at {report['size']}: {licence}; {disk}",
        f"on {report['device']} in {report['dtype']} ({report['reason']}), {report['free_gib']:.1f} GiB free",
        "",
    ]
    parts = [
        (what, f"{report[key]:.2f} GiB", note)
        for what, key, note in (
            ("weights", "weights_gib", "of the transformer"),
            ("past", "kv_gib", "keys and values of the frames that are remembered"),
            ("prompt", "context_gib", "keys and values of the prompt"),
            ("work", "work_gib", "most that a pass of the transformer needs"),
            ("codec", "vae_gib", "weights, stream and the most that decoding needs"),
            ("text", "text_gib", "weights of the text encoder"),
            ("image", "image_gib", "weights of the image encoder"),
            ("peak", "peak_gib", "most at once, under the proposed profile"),
        )
        if key != "image_gib" or report[key]
    ]
    profiles = [
        (name, f"{profile['peak_gib']:.2f} GiB", _verdict(profile), EXPLAINED[name])
        for name, profile in report["profiles"].items()
    ]
    proposal = (
        f"proposed: {report['profile']}" if report["fits"] else "nothing fits here; a smaller size needs less"
    )
    return [*head, *columns(parts), "", *columns(profiles), "", proposal]


def _verdict(profile: dict[str, Any]) -> str:
    if not profile["possible"]:
        return "not to be had here"
    return "fits" if profile["fits"] else "too large"
