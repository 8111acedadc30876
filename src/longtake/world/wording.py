"""The phrases and sentence templates of captions. All lower case; commas are the only punctuation."""

from itertools import chain

FINITE = {
    "slide": ("slides",),
    "roll": ("rolls",),
    "bounce": ("bounces",),
    "orbit": ("moves in a circle", "orbits in a circle"),
    "jump": ("jumps up and down", "jumps in place"),
    "stay": ("stays still", "does not move"),
}
GERUND = {
    "slide": ("sliding",),
    "roll": ("rolling",),
    "bounce": ("bouncing",),
    "orbit": ("moving in a circle", "orbiting in a circle"),
    "jump": ("jumping up and down", "jumping in place"),
    "stay": ("staying still", "not moving"),
}
DIRECTION = {
    "right": ("to the right", "right"),
    "left": ("to the left", "left"),
    "towards": ("towards the camera", "towards us"),
    "away": ("away from the camera", "away from us"),
}
GROUND = {
    "wooden": ("on a wooden floor",),
    "grey": ("on a grey floor",),
    "grass": ("on grass", "on the grass"),
    "sand": ("on sand", "on the sand"),
    "checkered": ("on a checkered floor",),
}
CAMERA = {
    "static": ("the camera is still", "the camera does not move"),
    "pan": ("the camera pans slowly", "the camera pans"),
    "orbit": ("the camera orbits slowly", "the camera moves around"),
    "zoom": ("the camera zooms slowly", "the camera zooms in and out"),
}
EVENT = {
    "colour": ("turns", "changes to"),
    "motion": ("starts", "begins"),
    "stop": ("stops",),
    "reverse": ("turns around", "goes back"),
    "enter": ("comes in", "enters"),
    "leave": ("goes out", "leaves"),
}

TEMPLATES = {
    1: (
        "{a} {moves} {on}",
        "{on}, {a} {moves}",
        "{a} {moving} {on}",
        "{on}, {a} is {moving}",
        "{a} is {moving} {on}",
        "there is {a} {moving} {on}",
        "a video of {a} {moving} {on}",
        "we see {a} that {moves} {on}",
        "{on} there is {a} that {moves}",
        "watch {a} as it {moves} {on}",
        "the scene shows {a} {moving} {on}",
        "{a} {on}, {moving}",
        "{a} can be seen {moving} {on}",
        "{on} we see {a}, it {moves}",
        "{on} there is {a}, {moving}",
    ),
    2: (
        "{a} {moves} and {b} {moves_b} {on}",
        "{on}, {a} {moves} and {b} {moves_b}",
        "{a} {moving} and {b} {moving_b} {on}",
        "{on}, {a} is {moving} while {b} is {moving_b}",
        "{a} {moves} while {b} {moves_b} {on}",
        "there is {a} {moving} and {b} {moving_b} {on}",
        "a video of {a} {moving} and {b} {moving_b} {on}",
        "we see {a} that {moves} and {b} that {moves_b} {on}",
        "{on} there is {a} that {moves}, and {b} {moves_b}",
        "{on}, {a} {moves} while {b} {moves_b}",
        "the scene shows {a} {moving} and {b} {moving_b} {on}",
        "{a} is {moving} and {b} is {moving_b} {on}",
        "{on} we see {a} {moving} and {b} {moving_b}",
        "{a} {moves} {on}, {b} {moves_b}",
        "watch {a} as it {moves} while {b} {moves_b} {on}",
    ),
    3: (
        "{all_move} {on}",
        "{on}, {all_move}",
        "{all_moving} {on}",
        "{on} there is {all_moving}",
        "there is {all_moving} {on}",
        "a video of {all_moving} {on}",
        "we see {all_moving} {on}",
        "the scene shows {all_moving} {on}",
        "{on} we see {all_moving}",
        "watch {all_moving} {on}",
    ),
}
PAST = ("{a} {moves} past {b} {on}", "{on}, {a} {moves} past {b}", "{a} {moves} past {b} that {moves_b} {on}")
"""For two solids when the first travels sideways and the second stays, which may go unsaid."""
ARTICLES = ("a", "an", "the")
JOINTS = ("and", "to", "from")


def split(phrase: str) -> list[str]:
    """A caption as words and commas, slots left out."""
    parts = phrase.replace(",", " , ").split()
    return [part for part in parts if not part.startswith("{")]


def all_phrases() -> list[str]:
    """Every phrase and template a caption is made from."""
    tables = (FINITE, GERUND, DIRECTION, GROUND, CAMERA, EVENT)
    return [
        *chain(*(chain(*table.values()) for table in tables), *TEMPLATES.values()),
        *PAST,
        *ARTICLES,
        *JOINTS,
    ]
