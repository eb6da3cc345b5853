"""What the pretend GPU offers: the names and keywords that NumPy and CuPy 14 share, written out.

Each signature is that of CuPy without its default values: before `/` by position only, after `*` by keyword only. Where
the two libraries call a parameter differently, or order it differently, it is listed in the one way that means the same
in both. `out` is always given by keyword. A name that CuPy has and that is missing here can simply be added;
`tests/test_strict_table.py` compares every line with the installed CuPy and NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Elementwise functions. CuPy's take `out`, `dtype` and `casting`; NumPy's `where`, `order`, `subok` are not among them.
UFUNCS = _names("""
    abs absolute acos acosh add arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh atan atan2 atanh
    bitwise_and bitwise_count bitwise_invert bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift
    bitwise_xor cbrt ceil conj conjugate copysign cos cosh deg2rad degrees divide divmod equal exp exp2 expm1
    fabs float_power floor floor_divide fmax fmin fmod frexp gcd greater greater_equal heaviside hypot invert
    isfinite isinf isnan lcm ldexp left_shift less less_equal log log10 log1p log2 logaddexp logaddexp2
    logical_and logical_not logical_or logical_xor matmul maximum minimum mod modf multiply negative nextafter
    not_equal positive pow power rad2deg radians reciprocal remainder right_shift rint sign signbit sin sinh
    sqrt square subtract tan tanh true_divide trunc
""")
UFUNC_KEYWORDS = frozenset({"out", "dtype", "casting"})

# Functions that make an array out of none. Shapes and values are Python numbers.
CREATION = {
    "arange": "start, stop, step, /, *, dtype",
    "empty": "shape, /, *, dtype, order",
    "eye": "N, M, k, /, *, dtype, order",
    "full": "shape, fill_value, /, *, dtype, order",
    "identity": "n, /, *, dtype",
    "linspace": "start, stop, num, /, *, endpoint, dtype",
    "ones": "shape, /, *, dtype, order",
    "tri": "N, M, k, /, *, dtype",
    "zeros": "shape, /, *, dtype, order",
}

# Functions whose first argument is an array, or a sequence of arrays.
FUNCTIONS = {
    "all": "a, /, axis, *, out, keepdims",
    "allclose": "a, b, /, rtol, atol, equal_nan",
    "amax": "a, /, axis, *, out, keepdims",
    "amin": "a, /, axis, *, out, keepdims",
    "any": "a, /, axis, *, out, keepdims",
    "argmax": "a, /, axis, *, out, keepdims",
    "argmin": "a, /, axis, *, out, keepdims",
    "argsort": "a, /, axis, kind",
    "argwhere": "a, /",
    "around": "a, /, decimals, *, out",
    "array_equal": "a1, a2, /, equal_nan",
    "array_split": "ary, indices_or_sections, /, axis",
    "ascontiguousarray": "a, /, dtype",
    "asfortranarray": "a, /, dtype",
    "astype": "x, dtype, /, *, copy",
    "bincount": "x, /, weights, minlength",
    "broadcast_to": "array, shape, /",
    "clip": "a, a_min, a_max, *, out",
    "column_stack": "tup, /",
    "compress": "condition, a, /, axis, *, out",
    "concat": "tup, /, axis, *, out, dtype, casting",
    "concatenate": "tup, /, axis, *, out, dtype, casting",
    "copy": "a, /, order",
    "count_nonzero": "a, /, axis",
    "cross": "a, b, /, axisa, axisb, axisc, axis",
    "cumprod": "a, /, axis, dtype, *, out",
    "cumsum": "a, /, axis, dtype, *, out",
    "cumulative_prod": "x, /, *, axis, dtype, out, include_initial",
    "cumulative_sum": "x, /, *, axis, dtype, out, include_initial",
    "diag": "v, /, k",
    "diagonal": "a, /, offset, axis1, axis2",
    "diff": "a, /, n, axis, prepend, append",
    "dot": "a, b, /, *, out",
    "dstack": "tup, /",
    "empty_like": "prototype, /, dtype, order, *, shape",
    "expand_dims": "a, /, axis",
    "extract": "condition, a, /",
    "flatnonzero": "a, /",
    "flip": "a, /, axis",
    "fliplr": "a, /",
    "flipud": "a, /",
    "full_like": "a, fill_value, /, dtype, order, *, shape",
    "hstack": "tup, /, *, dtype, casting",
    "inner": "a, b, /",
    "isclose": "a, b, /, rtol, atol, equal_nan",
    "isneginf": "x, /, *, out",
    "isposinf": "x, /, *, out",
    "kron": "a, b, /",
    "matrix_transpose": "x, /",
    "max": "a, /, axis, *, out, keepdims",
    "mean": "a, /, axis, dtype, *, out, keepdims",
    "median": "a, /, axis, *, out, keepdims",
    "min": "a, /, axis, *, out, keepdims",
    "moveaxis": "a, source, destination, /",
    "nan_to_num": "x, /, *, nan, posinf, neginf",
    "nanmax": "a, /, axis, *, out, keepdims",
    "nanmean": "a, /, axis, dtype, *, out, keepdims",
    "nanmin": "a, /, axis, *, out, keepdims",
    "nansum": "a, /, axis, dtype, *, out, keepdims",
    "nonzero": "a, /",
    "ones_like": "a, /, dtype, order, *, shape",
    "outer": "a, b, /, *, out",
    "pad": "array, pad_width, mode, /, *, constant_values",
    "permute_dims": "a, /, axes",
    "prod": "a, /, axis, dtype, *, out, keepdims",
    "ptp": "a, /, axis, *, out, keepdims",
    "ravel": "a, /, order",
    "repeat": "a, repeats, /, axis",
    "reshape": "a, newshape, /, order, *, copy",
    "roll": "a, shift, /, axis",
    "rot90": "a, /, k, axes",
    "round": "a, /, decimals, *, out",
    "searchsorted": "a, v, /, side",
    "sinc": "x, /",
    "sort": "a, /, axis, kind",
    "split": "ary, indices_or_sections, /, axis",
    "squeeze": "a, /, axis",
    "stack": "tup, /, axis, *, out, dtype, casting",
    "std": "a, /, axis, dtype, *, out, ddof, keepdims",
    "sum": "a, /, axis, dtype, *, out, keepdims",
    "swapaxes": "a, axis1, axis2, /",
    "take": "a, indices, /, axis, *, out",
    "take_along_axis": "a, indices, /, axis",
    "tensordot": "a, b, /, axes",
    "tile": "A, reps, /",
    "trace": "a, /, offset, axis1, axis2, dtype, *, out",
    "transpose": "a, /, axes",
    "tril": "m, /, k",
    "triu": "m, /, k",
    "unique": "ar, /, return_index, return_inverse, return_counts, axis, *, equal_nan",
    "var": "a, /, axis, dtype, *, out, ddof, keepdims",
    "vdot": "a, b, /",
    "vstack": "tup, /, *, dtype, casting",
    "where": "condition, x, y, /",
    "zeros_like": "a, /, dtype, order, *, shape",
}

# Functions of any number of arrays.
VARIADIC = {
    "atleast_1d": "*arys",
    "atleast_2d": "*arys",
    "broadcast_arrays": "*args",
    "einsum": "*operands, dtype, optimize",
    "meshgrid": "*xi, indexing, sparse, copy",
}

# Questions about shapes and dtypes, answered in plain Python from what the host knows anyway.
FACTS = _names("""
    broadcast_shapes can_cast finfo iinfo isscalar issubdtype may_share_memory ndim promote_types result_type
    shape shares_memory size
""")

# Dtypes and numbers.
CONSTANTS = _names("""
    bool bool_ complex128 complex64 e euler_gamma float16 float32 float64 floating inf int16 int32 int64 int8
    int_ integer intp nan newaxis number pi signedinteger uint uint16 uint32 uint64 uint8 unsignedinteger
""")

# Methods of arrays; each is NumPy's method of that name.
METHODS = {
    "all": "axis, *, out, keepdims",
    "any": "axis, *, out, keepdims",
    "argmax": "axis, *, out, keepdims",
    "argmin": "axis, *, out, keepdims",
    "argsort": "axis, kind",
    "astype": "dtype, order, casting, *, copy",
    "clip": "min, max, *, out",
    "compress": "condition, axis, *, out",
    "conj": "",
    "conjugate": "",
    "copy": "order",
    "cumprod": "axis, dtype, *, out",
    "cumsum": "axis, dtype, *, out",
    "diagonal": "offset, axis1, axis2",
    "dot": "b, /, *, out",
    "fill": "value, /",
    "flatten": "order",
    "max": "axis, *, out, keepdims",
    "mean": "axis, dtype, *, out, keepdims",
    "min": "axis, *, out, keepdims",
    "nonzero": "",
    "prod": "axis, dtype, *, out, keepdims",
    "ravel": "order",
    "repeat": "repeats, axis",
    "reshape": "*shape, order, copy",
    "round": "decimals, *, out",
    "searchsorted": "v, side",
    "sort": "axis, kind",
    "squeeze": "axis",
    "std": "axis, dtype, *, out, ddof, keepdims",
    "sum": "axis, dtype, *, out, keepdims",
    "swapaxes": "axis1, axis2, /",
    "take": "indices, axis, *, out",
    "trace": "offset, axis1, axis2, dtype, *, out",
    "transpose": "*axes",
    "var": "axis, dtype, *, out, ddof, keepdims",
    "view": "dtype",
}

# The size of the result, or an error, depends on values: CuPy fetches a number from the device, which is a transfer.
SYNCHRONIZING = frozenset(
    {"argwhere", "bincount", "compress", "extract", "flatnonzero", "nanmax", "nanmin", "nonzero", "unique"}
)

# Elementwise like a ufunc, so `out` may be one of the inputs.
ELEMENTWISE = frozenset({"around", "clip", "isneginf", "isposinf", "round"})

# Parameters that are Python sequences by nature; a list anywhere else is host data.
SEQUENCES = frozenset(
    {"axis", "axes", "constant_values", "destination", "indices_or_sections", "newshape", "optimize", "pad_width"}
    | {"repeats", "reps", "shape", "shift", "source"}
)

# A dtype named by the caller is no quiet promotion.
CONVERSIONS = frozenset({"astype", "empty_like", "full_like", "ones_like", "view", "zeros_like"})


@dataclass(frozen=True)
class Signature:
    """One line of a table, taken apart."""

    positional: tuple[str, ...]
    keywords: frozenset[str]
    variadic: str | None

    def parameter(self, position: int) -> str | None:
        """The name of the parameter that a positional argument fills."""
        return self.positional[position] if position < len(self.positional) else self.variadic

    def refusal(self, count: int, keywords: dict[str, object]) -> str | None:
        """What is wrong with a call of `count` positional arguments and these keywords, or None."""
        for name in keywords:
            if name not in self.keywords:
                return f"has no keyword {name!r} here: CuPy does not take it, or not in the same way as NumPy ({self})"
        if self.variadic is None and count > len(self.positional):
            return f"was given {count} arguments by position, and takes {len(self.positional)} ({self})"
        return None

    def __str__(self) -> str:
        star = [f"*{self.variadic}"] if self.variadic else []
        return f"parameters: {', '.join([*self.positional, *star, *sorted(self.keywords - set(self.positional))])}"


def parse(line: str) -> Signature:
    """A `Signature` from a line such as "a, /, axis, *, out, keepdims"."""
    positional: list[str] = []
    by_keyword: list[str] = []
    variadic, after_star = None, False
    for word in filter(None, line.split(", ")):
        if word == "/":
            by_keyword.clear()
        elif word.startswith("*"):
            variadic, after_star = word[1:] or None, True
        else:
            by_keyword.append(word)
            if not after_star:
                positional.append(word)
    return Signature(tuple(positional), frozenset(by_keyword), variadic)


SIGNATURES = {name: parse(line) for table in (CREATION, FUNCTIONS, VARIADIC) for name, line in table.items()}
METHOD_SIGNATURES = {name: parse(line) for name, line in METHODS.items()}
