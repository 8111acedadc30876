"""How toybox compiles its formulas: to machine code kept beside the sources, with IEEE arithmetic in written order.

No fast-math: the same scene gives the same bytes however frames are grouped.
"""

from numba import njit

leaf = njit(cache=True, error_model="numpy", _nrt=False)
"""For functions that only borrow arrays: no reference counting, which would cost more than the arithmetic."""
kernel = njit(cache=True, error_model="numpy", nogil=True)
"""For the outermost loops, which may allocate; other threads run meanwhile."""
