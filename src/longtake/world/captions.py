"""Captions: a sentence in varied wording for the state of a scene at a time."""

import zlib

from longtake.errors import UserError
from longtake.world import held_out
from longtake.world.events import Event
from longtake.world.scene import Scene
from longtake.world.state import SceneState, SolidState, solid_state, state
from longtake.world.wording import CAMERA, DIRECTION, EVENT, FINITE, GERUND, GROUND, PAST, TEMPLATES

SAY_ATTRIBUTE = 0.4
"""How often a solid's size, and its material, is said."""
MANY = 3
"""The level whose templates take any number of solids."""
SAY_CAMERA = {"static": 0.1, "pan": 0.8, "orbit": 0.8, "zoom": 0.8}


def _share(wording: int, slot: str) -> float:
    """A number in [0, 1) that depends on the wording and the slot's name alone."""
    value = (
        wording * 0x9E3779B97F4A7C15 + zlib.crc32(slot.encode()) * 0xD1342543DE82EF95
    ) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return ((value ^ (value >> 31)) >> 11) / 2.0**53


def _pick(wording: int, slot: str, values: tuple[str, ...]) -> str:
    return values[int(_share(wording, slot) * len(values))]


def _noun(solid: SolidState, wording: int) -> str:
    words = [solid.colour, solid.shape]
    if _share(wording, f"material {solid.index}") < SAY_ATTRIBUTE:
        words.insert(0, solid.material)
    if _share(wording, f"size {solid.index}") < SAY_ATTRIBUTE:
        words.insert(0, solid.size)
    return " ".join(words)


def _with_article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _verb(solid: SolidState, wording: int, table: dict[str, tuple[str, ...]]) -> str:
    verb = _pick(wording, f"motion {solid.index}", table[solid.motion])
    if solid.set_out is None:
        return verb
    return f"{verb} {_pick(wording, f'direction {solid.index}', DIRECTION[solid.set_out])}"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _passes(scene: Scene) -> tuple[int, int] | None:
    """(goer, stayer) if one of two solids always travels to and fro before or behind one that always stays."""
    if len(scene.solids) != 2 or scene.solids[0].home[0] != scene.solids[1].home[0]:
        return None
    motions = [{leg.motion for leg in solid.legs} for solid in scene.solids]
    lasting = all(solid.enters is None and solid.leaves is None for solid in scene.solids)
    for goer, stayer in ((0, 1), (1, 0)):
        if lasting and motions[stayer] == {"stay"} and motions[goer] <= {"slide", "roll", "bounce"}:
            return goer, stayer
    return None


def _templates(level: int, split: str) -> tuple[str, ...]:
    if split == "any":
        return TEMPLATES[level]
    held = held_out.wordings(level)
    return tuple(template for template in TEMPLATES[level] if (template in held) == (split == "held_out"))


def template_of(scene: Scene, wording: int, split: str) -> tuple[str, list[int]]:
    """The template that a wording takes, and the order in which it names the solids."""
    passing = _passes(scene)
    if passing and split != "held_out" and _share(wording, "past") < 0.5:
        return _pick(wording, "template", PAST), list(passing)
    order = list(range(len(scene.solids)))
    turn = int(_share(wording, "order") * len(order))
    family = scene.level if scene.level == len(order) else MANY
    return _pick(wording, "template", _templates(family, split)), order[turn:] + order[:turn]


def _slots(moment: SceneState, order: list[int], wording: int) -> dict[str, str]:
    solids = sorted(moment.solids, key=lambda solid: order.index(solid.index))
    names = [_with_article(_noun(solid, wording)) for solid in solids]
    moves = [_verb(solid, wording, FINITE) for solid in solids]
    moving = [_verb(solid, wording, GERUND) for solid in solids]
    slots = {
        "on": _pick(wording, "ground", GROUND[moment.ground]),
        "all_move": _listed([f"{name} {verb}" for name, verb in zip(names, moves, strict=True)]),
        "all_moving": _listed([f"{name} {verb}" for name, verb in zip(names, moving, strict=True)]),
    }
    for suffix, name, move, going in zip(("", "_b", "_c"), names, moves, moving, strict=False):
        slots[suffix[1:] or "a"] = name
        slots["moves" + suffix] = move
        slots["moving" + suffix] = going
    return slots


def caption(scene: Scene, *, seconds: float = 0.0, wording: int | None = None, split: str = "train") -> str:
    """The state in force at a time, in the wording of a number (the scene's seed when None).

    The same wording at another time gives the same sentence but for what has changed: directions are those in
    which the motions set out, though paths turn at their bounds.
    """
    wording = scene.seed if wording is None else wording
    moment = state(scene, seconds)
    if not moment.solids:
        raise UserError(
            f"at second {seconds} the scene shows no solid, so it has no caption; use another time"
        )
    template, order = template_of(scene, wording, split)
    sentence = template.format(**_slots(moment, order, wording))
    if _share(wording, "say camera") < SAY_CAMERA[moment.camera]:
        sentence += ", " + _pick(wording, "camera", CAMERA[moment.camera])
    return sentence


def changes(scene: Scene) -> tuple[float, ...]:
    """Seconds at which the state changes, 0 first."""
    times = {0.0}
    for solid in scene.solids:
        times.update(leg.start for leg in solid.legs)
        times.update(tint.start for tint in solid.tints)
        times.update(time for time in (solid.enters, solid.leaves) if time is not None)
    return tuple(sorted(times))


def caption_segments(
    scene: Scene, wording: int | None = None, seconds: float = float("inf"), split: str = "train"
) -> tuple[tuple[float, str], ...]:
    """(start in seconds, caption) for each stretch of the first `seconds` between changes."""
    starts = [time for time in changes(scene) if time < seconds]
    return tuple((time, caption(scene, seconds=time, wording=wording, split=split)) for time in starts)


def event_phrase(scene: Scene, event: Event, wording: int | None = None) -> str:
    """What happens, as one would say it to a running take: "the red sphere turns blue"."""
    wording = scene.seed if wording is None else wording
    solid = scene.solids[event.solid]
    before, after = (solid_state(solid, event.solid, seconds) for seconds in (event.at - 1e-6, event.at))
    kind = "stop" if event.kind == "motion" and after.motion == "stay" else event.kind
    phrase = f"the {before.colour} {before.shape} {_pick(wording, 'event', EVENT[kind])}"
    if kind == "colour":
        return f"{phrase} {after.colour}"
    if kind == "motion":
        return f"{phrase} {_verb(after, wording, GERUND)}"
    if kind in ("enter", "leave"):
        side = "right" if solid.side > 0 else "left"
        return f"{phrase} {'from' if kind == 'enter' else 'to'} the {side}"
    return phrase
