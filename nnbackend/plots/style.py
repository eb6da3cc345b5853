"""What all pictures share: colours, figures of their own, labels that are taken as they are, files."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checks import path as checked_path
from ..errors import ArgumentError, StateError, shown
from ..files import write_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# From dark to light and back in no order of hue: neighbours differ in lightness too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
# How opaque a region of each colour is at most: what is left differs in grey, too.
OPACITY = (0.70, 0.45, 0.50, 0.50, 0.45, 0.60, 0.60, 0.50)
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
# A longer label pushes everything else out of the picture.
LONGEST_LABEL = 24


def new_axes(width: float = 7.0, height: float = 4.4, dpi: int = 120) -> Axes:
    """Axes in a figure of their own, in inches, outside of pyplot's. `StateError` without matplotlib."""
    return _new_figure(width, height, dpi).add_subplot()


def new_panels(count: int, *, square: bool = False) -> list[Axes]:
    """Axes beside each other in a figure of their own; the first is about square on request."""
    first = 5.2 if square else 7.0
    figure = _new_figure(first + 5.6 * (count - 1), 4.9 if square else 4.4, 120 if count == 1 else 100)
    return list(figure.subplots(1, count, squeeze=False, width_ratios=[first, *[5.6] * (count - 1)])[0])


def _new_figure(width: float, height: float, dpi: int) -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise StateError("plots need matplotlib, which is not installed: pip install 'nnbackend[plot]'") from None
    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def grid_in(ax: Axes | None, panels: int, *, columns: int, width: float, height: float) -> list[Axes]:
    """Axes for some panels, `width` by `height` inches each: in the place of `ax`, or in a figure of their own."""
    columns = min(columns, panels)
    rows = math.ceil(panels / columns)
    ax = ax if ax is not None else new_axes(width * columns, height * rows)
    place = ax.get_subplotspec()
    if place is None:
        raise ArgumentError("ax has no place in a grid to put panels in: expected axes of figure.subplots()")
    grid = place.subgridspec(rows, columns)
    ax.set_axis_off()
    return [ax.figure.add_subplot(grid[number // columns, number % columns]) for number in range(panels)]


def colour(label: int) -> str:
    """The colour of a class."""
    return COLOURS[int(label) % len(COLOURS)]


def marker(label: int) -> str:
    """The marker of a class."""
    return MARKERS[int(label) % len(MARKERS)]


def plain(text: object, longest: int = LONGEST_LABEL) -> str:
    """A name as matplotlib draws it letter by letter: no formula between dollar signs, nothing invisible, not too long.

    >>> plain("$x$"), plain("a" * 30)
    ('\\\\$x\\\\$', 'aaaaaaaaaaaaaaaaaaaaaaa…')
    """
    shown = "".join(letter if letter.isprintable() else "?" for letter in str(text))
    shown = shown if len(shown) <= longest else shown[: longest - 1] + "…"
    return shown.replace("$", r"\$")


def log_scale(ax: Axes) -> None:
    """A logarithmic y axis with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import LogLocator, NullLocator

    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=9))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(NullLocator())


def check_file(path: str | PathLike[str]) -> None:
    """Raise `StateError` without matplotlib, and `ArgumentError` for a kind of file that it does not write.

    >>> check_file("spiral.png")
    """
    _format_of(path)


def _format_of(path: str | PathLike[str]) -> str:
    kinds = new_axes().figure.canvas.get_supported_filetypes()
    ending = Path(path).suffix.removeprefix(".").lower()
    if ending not in kinds:
        raise ArgumentError(
            f"{path}: pictures are not written as {ending or 'files without an ending'!r}: use .png, .svg or .pdf"
        )
    return ending


def save(ax: Axes | Sequence[Axes], path: str | PathLike[str], *, dpi: int | None = None) -> None:
    """Write the figure of these axes, or of the panels that `histograms` returned; equal pictures give equal files.

    Raises `ArgumentError` and `FileError`.

    >>> from nnbackend.history import History
    >>> from nnbackend import plots
    >>> history = History()
    >>> history.append({"epoch": 1, "loss": 1.1, "accuracy": 0.3})
    >>> plots.save(plots.curves(history), "curves.svg")
    """
    target = checked_path("path", path)
    kind = _format_of(target)
    first = ax[0] if isinstance(ax, (list, tuple)) and ax else ax
    if not hasattr(first, "get_figure"):
        raise ArgumentError(f"ax {shown(ax)}: expected axes of matplotlib, such as plots.curves returns")
    write_file(target, rendered(first, kind, dpi=dpi))


def rendered(ax: Axes, kind: str, *, dpi: int | None = None, salt: str = "nnbackend", **options: Any) -> bytes:
    """The figure of these axes as a file of that kind, without a date; `salt` decides the names inside of an SVG file."""
    import matplotlib

    dateless = {"svg": {"Date": None}, "svgz": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; the rest of the picture is as good as ever.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = ax.get_figure(root=True)
        if kind == "png":
            options["pil_kwargs"] = {"optimize": True}
        figure.savefig(file, format=kind, metadata=dateless, dpi=dpi or figure.dpi, **options)
    return file.getvalue()
