"""Change what belongs to a checkpoint: refused, unless it is forced."""

from __future__ import annotations

from pydantic import ValidationError

from longtake.errors import UserError
from longtake.models.policy import Policy


def override(
    policy: Policy,
    model: str,
    *,
    block: int | None = None,
    window: int | None = None,
    sink: int | None = None,
    force: bool = False,
) -> Policy:
    """The policy with another block, window or sink, in latent frames; None leaves the checkpoint's own.

    Raises UserError for a value that the checkpoint was not made for, unless forced; and for values that do not fit
    together, forced or not.
    """
    own = {"block": policy.block, "window": policy.window.frames, "sink": policy.window.sink}
    asked = {"block": block, "window": window, "sink": sink}
    changed = {name: value for name, value in asked.items() if value is not None and value != own[name]}
    if not changed:
        return policy
    name, value = next(iter(changed.items()))
    if not force:
        raise UserError(f"{name} {value}: {model!r} was made for {own[name]}; leave it out, or force it")
    parts = {
        {"window": "frames"}.get(name, name): value for name, value in changed.items() if name != "block"
    }
    values = policy.model_dump()
    values |= {"block": changed.get("block", policy.block), "window": values["window"] | parts}
    try:
        return Policy.model_validate(values)
    except ValidationError as reason:
        message = reason.errors()[0]["msg"].removeprefix("Value error, ")
        raise UserError(f"{name} {value} does not fit {model!r}: {message}") from None
