"""What toybox can show and the closed set of words that its captions use."""

from functools import cache

SHAPES = ("sphere", "cube", "cylinder", "cone", "torus", "pyramid")
COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "cyan", "pink", "white", "black")
MATERIALS = ("matte", "metal")
SIZES = ("small", "large")
GROUNDS = ("wooden", "grey", "grass", "sand", "checkered")
MOTIONS = ("slide", "roll", "bounce", "orbit", "jump", "stay")
TRAVELLING = ("slide", "roll", "bounce")
"""Motions that have a heading."""
DIRECTIONS = ("right", "left", "towards", "away")
CAMERAS = ("static", "pan", "orbit", "zoom")
EVENTS = ("colour", "motion", "stop", "reverse", "enter", "leave")
LEVELS = (1, 2, 3)
SPLITS = ("train", "held_out", "any")


@cache
def words() -> tuple[str, ...]:
    """Every word that a caption or an event phrase can contain, sorted; the only punctuation is the comma."""
    from longtake.world import wording

    phrases = [*SHAPES, *COLOURS, *MATERIALS, *SIZES, *wording.all_phrases()]
    return tuple(sorted({word for phrase in phrases for word in wording.split(phrase)} - {","}))


def groups() -> dict[str, tuple[str, ...]]:
    """The words for what can be asked for, by kind, and then all words of captions."""
    return {
        "shapes": SHAPES,
        "colours": COLOURS,
        "materials": MATERIALS,
        "sizes": SIZES,
        "motions": MOTIONS,
        "grounds": GROUNDS,
        "cameras": CAMERAS,
        "all words": words(),
    }
