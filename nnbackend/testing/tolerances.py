"""How close is close enough: every tolerance of the tests and of `nnbackend parity`, once, with its reason.

Two correct programs do not agree to the bit: they add in different orders and have different exponentials. How far they
part is known. One operation rounds by half of eps (1.2e-7 in float32, 2.2e-16 in float64), and a sum of n products by
about √n eps of **what was summed**. So a tolerance here is

    factor · eps · √length,      length: how many products went into one element (1 where nothing is summed)

and a difference is measured relative to a tensor's largest element (`difference`), not element by element: the smallest
elements of a sum are what was left when large numbers cancelled, and have no correct digits to compare.

For gradients even the largest element may be such a remainder. The biases of the last layer, on balanced classes and
with small weights, begin with a gradient that is 7,000 eps off relative to itself and 1.5 eps relative to
Σ|dvalues|, in any program. Where the summands are known, gradients are therefore measured relative to them, which is
`scale` below: Σ|inputs|ᵀ·|dvalues| for weights, Σ|dvalues| for biases.

Steps are compared from common parameters only: free runs part within some hundred steps, whatever the tolerance.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

# quantity: factor. "Measured" is the largest difference between float32 and a float64 judge over 1,500 steps of the
# book's chapter-14 run and as many with SGD and momentum, in eps; 500 samples a class and 512 neurons give the same.
FACTORS = {
    # One op that sums nothing (activations, gradients of losses): some roundings and an exponential of a few ulps.
    "elementwise": 8,
    # One op that sums, against its reference on the same inputs, relative to what was summed.
    "sum": 4,
    # A layer's output after the layers before it. Measured: 26 for probabilities with √length = 8, since the softmax
    # turns an error relative to the logits, which reach 20, into an absolute one.
    "output": 16,
    # Data loss and penalties, means and sums of positive numbers: no cancellation. Measured: 2.6, √length = 17.
    "loss": 2,
    # Gradients of a whole backward pass, relative to what was summed. Measured: 9.4, √length = 17.
    "gradient": 4,
    # Parameters after an update by the same gradient from the same state, relative to the largest parameter: a dozen
    # roundings of the step and one of the parameter. Measured: 1.2.
    "update": 8,
    # An optimizer's momentums and caches after the same. Measured: 2.6.
    "state": 8,
}

# A probability near 1 is known to eps, so its logarithm, near 0, has that error whatever it is relative to.
LOSS_FLOOR_IN_EPS = 4

# Numerical against analytical gradients in float64: a central difference with h = 1e-5 truncates by h² and rounds by
# eps / h, 1e-10 and 2e-11 for values of order 1. Kinks and much larger values are to be avoided by the test.
GRADIENT_CHECK = 1e-7

# Adam's bias correction 1 - β₂ᵗ begins with 1 - 0.999, which has lost three digits. It is computed in float64 whatever
# the dtype; two libraries' powers, off by one eps, differ in it by 1,000, and in the step by half of that.
BIAS_CORRECTION_IN_EPS = 1000

# The book's own chapter-14 run, in float64. Its rounding grows about tenfold in ten steps of Adam, measured between
# two correct programs: data loss 7e-11 at step 100; gradients 5e-16 at step 10 and 8e-10 at step 100.
BOOK_RUN_LOSS = 1e-9  # through step 100
BOOK_RUN_GRADIENTS = {0: 1e-12, 1: 1e-12, 10: 1e-12, 100: 1e-7}
# In float32, whose eps is 2^29 times as large, the same 7e-11 becomes 4 percent. Measured: 1.2 percent.
BOOK_RUN_LOSS_SINGLE = 2**29 * 7e-11  # through step 100


def eps(dtype: Any) -> float:
    """The distance from 1 to the next number of that dtype."""
    return float(np.finfo(np.dtype(dtype)).eps)


def tolerance(quantity: str, dtype: Any, length: int = 1) -> float:
    """How far a quantity may be off, relative to the largest element or to what was summed.

    `length` is how many products were summed for one element: n_inputs for a Dense's output, the number of samples for
    the gradient of weights. Raises `KeyError` for a quantity that is not in `FACTORS`.

    >>> round(tolerance("gradient", "float32", length=300), 7)
    8.3e-06
    """
    correction = BIAS_CORRECTION_IN_EPS * eps("float64") if quantity == "update" else 0.0
    return FACTORS[quantity] * eps(dtype) * max(1.0, math.sqrt(length)) + correction


def largest_difference(actual: Any, expected: Any) -> float:
    """The largest |actual - expected|; both on the host.

    NaN agrees with NaN and infinity with the same infinity; beside anything else they are infinitely far off. Raises
    `ValueError` for different shapes, which would broadcast.

    >>> largest_difference([1.0, math.nan], [1.5, math.nan])
    0.5
    """
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if actual.shape != expected.shape:
        raise ValueError(f"shapes {actual.shape} and {expected.shape} cannot be compared")
    with np.errstate(invalid="ignore"):
        largest = float(np.abs(actual - expected).max(initial=0.0))
    if math.isfinite(largest):
        return largest
    finite = np.isfinite(actual) & np.isfinite(expected)
    if not np.array_equal(actual[~finite], expected[~finite], equal_nan=True):
        return math.inf
    return float(np.abs(actual[finite] - expected[finite]).max(initial=0.0))


def largest_element(array: Any) -> float:
    """The largest finite absolute value.

    >>> largest_element([-3.0, 2.0, math.inf])
    3.0
    """
    array = np.abs(np.asarray(array, np.float64))
    largest = float(array.max(initial=0.0))
    return largest if math.isfinite(largest) else float(array[np.isfinite(array)].max(initial=0.0))


def difference(actual: Any, expected: Any, scale: float | None = None) -> float:
    """`largest_difference` relative to `scale`, by default to the largest |expected|.

    >>> difference([1.0, 4.0], [1.0, 5.0])
    0.2
    """
    largest = largest_difference(actual, expected)
    if scale is None:
        scale = largest_element(expected)
    return largest / scale if largest and scale else (math.inf if largest else 0.0)


def ulp(largest: float, dtype: Any) -> float:
    """A unit in the last place of a number, in that dtype.

    >>> ulp(1.0, "float32") == 2.0**-23
    True
    """
    return float(np.spacing(np.dtype(dtype).type(largest)))


def assert_close(actual: Any, expected: Any, tolerance: float, what: str = "", scale: float | None = None) -> None:
    """Raise `AssertionError` unless `difference(actual, expected, scale)` is at most `tolerance`.

    >>> assert_close([1.0], [1.1], 0.2)
    """
    found = difference(actual, expected, scale)
    if not found <= tolerance:
        raise AssertionError(f"{what or 'the values'}: relative difference {found:.3g}, tolerance {tolerance:.3g}")
