"""How toybox compiles its formulas: to machine code kept beside the sources.

Arithmetic is IEEE in the order written, without fast-math: the same scene gives the same bytes however its frames
are grouped.
"""

from numba import njit

Vector = tuple[float, float, float]
"""(x, y, z), or red, green and blue."""

leaf = njit(cache=True, error_model="numpy", _nrt=False)
"""For functions that only borrow arrays: no reference counting, which would cost more than the arithmetic."""
kernel = njit(cache=True, error_model="numpy", nogil=True)
"""For the outermost loops, which may allocate; other threads run meanwhile."""
