"""A solid and the legs of its path. Metres, seconds, radians; x right, y up, z towards the viewer."""

from dataclasses import dataclass

Quaternion = tuple[float, float, float, float]
"""(w, x, y, z), unit length; turns local coordinates into world coordinates."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Leg:
    """A motion from one moment until the next leg; a closed function of time, so it may last for ever."""

    start: float
    """Seconds at which the leg begins; the previous leg fades into it over `motion.BLEND` seconds."""
    motion: str
    """One of vocabulary.MOTIONS."""
    origin: tuple[float, float]
    """(x, z) of the middle of the path."""
    heading: float = 0.0
    """Direction of travel in the ground plane: 0 is right, pi/2 is towards the viewer."""
    reach: float = 0.0
    """Half the length of a straight path, or the radius of an orbit."""
    rate: float = 0.0
    """Angular speed in radians a second, 2*pi a round trip; negative for an orbit the other way."""
    phase: float = 0.0
    """Where on the path the leg begins: 0 is the middle, going along the heading; an orbit's start angle."""
    hop: float = 0.0
    """Height of the hops of bounce and jump."""
    hop_period: float = 1.0
    """Seconds a hop takes."""
    hop_phase: float = 0.0
    """Fraction of a hop that has passed when the leg begins."""
    pose: Quaternion = (1.0, 0.0, 0.0, 0.0)
    """Orientation at the leg's beginning."""
    spin: float = 0.0
    """Radians turned about the roll axis for each metre travelled; 0 unless the leg rolls."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tint:
    """A colour from a moment on."""

    start: float
    """Seconds; the change takes `motion.TINT` seconds."""
    colour: str
    """One of vocabulary.COLOURS."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Solid:
    """A solid with what it looks like and where it goes."""

    shape: str
    """One of vocabulary.SHAPES."""
    material: str
    """One of vocabulary.MATERIALS."""
    size: str
    """One of vocabulary.SIZES."""
    radius: float
    """Half the solid's extent; all proportions follow from it."""
    home: tuple[float, float]
    """(x, z) of the middle of the ground that the solid has to itself."""
    room: tuple[float, float]
    """Half extents (x, z) of that ground for the solid's middle."""
    tints: tuple[Tint, ...]
    """Colours in time order; the first starts at 0."""
    legs: tuple[Leg, ...]
    """Path in time order; the first starts at 0."""
    enters: float | None = None
    """Seconds at which it comes into view; None: there from the start."""
    leaves: float | None = None
    """Seconds at which it starts to go; None: it stays."""
    side: float = 1.0
    """Side by which it enters or leaves: 1 is right, -1 is left."""

    def leg(self, seconds: float) -> Leg:
        """The leg in force at a time."""
        return [leg for leg in self.legs if leg.start <= max(seconds, 0.0)][-1]

    def colour(self, seconds: float = 0.0) -> str:
        """The colour in force at a time."""
        return [tint.colour for tint in self.tints if tint.start <= max(seconds, 0.0)][-1]

    def present(self, seconds: float) -> bool:
        """Whether the solid belongs to the scene at a time (it has begun to enter and not begun to leave)."""
        return (self.enters is None or seconds >= self.enters) and (
            self.leaves is None or seconds < self.leaves
        )
