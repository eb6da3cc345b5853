"""What a model says: regions of the plane, a fitted curve, predictions against the truth, a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, DataError, shown
from .style import COLOURS, LONGEST_LABEL, OPACITY, colour, marker, new_axes, plain
from .tasks import class_count, classes_of, confusion, labels_of, numbers, predict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..model import Model

# A picture of more points is a blot.
MOST_POINTS = 5000
# A matrix of more classes has no room for counts.
MOST_COUNTED_CLASSES = 20
# Below and beside the matrix, longer names would leave little room for it.
LONGEST_CLASS_NAME = 18
# The strongest shade: black letters and white ones can both be read on it.
STRONGEST = 0.8

Names = Sequence[str] | None


def decision_boundary(
    model: Model,
    X: Any,
    y: Any,
    ax: Axes | None = None,
    *,
    resolution: int = 300,
    shades: int | None = None,
    class_names: Names = None,
    input_names: Names = None,
) -> Axes:
    """What a model with two inputs says everywhere, shaded by how sure it is, with the samples on top.

    X has shape (samples, 2); y holds class indices or one-hot rows. With `shades` that many steps are drawn from unsure to
    sure instead of all between. Of more than 5,000 samples every n-th is drawn. Raises
    `DataError` for other inputs.

    >>> import nnbackend as nn
    >>> from nnbackend import plots
    >>> X, y = nn.datasets.spiral(samples=10, classes=3, seed=0)
    >>> model = nn.Model([nn.Dense(2, 3), nn.Softmax()], seed=0)
    >>> plots.decision_boundary(model, X, y, resolution=20).get_xlabel()
    'first input'
    """
    points = numbers("X", X)
    if points.ndim != 2 or points.shape[1] != 2:
        raise DataError(f"X has shape {points.shape}: expected (samples, 2), since the boundary is drawn in a plane")
    outputs = predict(model, points)
    labels, right = _judged(outputs, y)
    names = _names(class_names, class_count(outputs))
    ax = ax if ax is not None else new_axes(width=5.2, height=5.0)
    _regions(ax, model, points, resolution, shades)
    shown_rows = _thinned(len(points))
    groups, legend = [], []
    for label in np.unique(labels[shown_rows]):
        chosen = points[shown_rows][labels[shown_rows] == label]
        style = {"c": colour(label), "marker": marker(label), "edgecolors": "white", "linewidths": 0.5}
        groups.append(ax.scatter(chosen[:, 0], chosen[:, 1], s=20, **style))
        legend.append(names[label])
    first, second = map(plain, input_names or ("first input", "second input"))
    ax.set(xlabel=first, ylabel=second)
    ax.set_title(f"{right:.1%} of {len(points):,} samples lie in a region of their class", fontsize="medium")
    # Given by hand: a legend that looks for labels passes over those that begin with an underscore.
    ax.legend(
        groups, legend, title="class", loc="upper right", fontsize="small", title_fontsize="small", framealpha=0.9
    )
    return ax


def _regions(ax: Axes, model: Model, points: np.ndarray, resolution: int, shades: int | None) -> None:
    """The shades, and lines where one class gives way to another: they are seen without colours too."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2 * 1.08, 1e-6)
    if half.max() < 5 * half.min():  # inputs of one kind: a picture without distortion
        half = np.full(2, half.max())
        ax.set_aspect("equal")
    else:
        ax.set_aspect("auto")
    columns, rows = (np.linspace(m - h, m + h, resolution) for m, h in zip(middle, half, strict=True))
    grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    outputs = predict(model, grid)
    extent = (columns[0], columns[-1], rows[0], rows[-1])
    image = _shades(outputs, shades).reshape(resolution, resolution, 4)
    ax.imshow(
        image, extent=extent, origin="lower", interpolation="nearest" if shades else "bilinear", aspect=ax.get_aspect()
    )
    chances = _chances(outputs)
    for k in range(chances.shape[1] if chances.shape[1] > 2 else 1):
        lead = chances[:, k] - np.delete(chances, k, axis=1).max(axis=1)
        if lead.min() < 0 < lead.max():
            lead = lead.reshape(resolution, resolution)
            ax.contour(columns, rows, lead, levels=[0], colors="black", linewidths=0.6, alpha=0.45)
    ax.set(xlim=extent[:2], ylim=extent[2:])
    ax.locator_params(nbins=5)


def regression_fit(model: Model, X: Any, y: Any, ax: Axes | None = None, *, input_names: Names = None) -> Axes:
    """Targets and predictions of a model with one input and one output (book, chapter 17: the sine).

    X has shape (samples, 1). Raises `DataError` for other inputs: `predicted_against_true` takes those.

    >>> import nnbackend as nn
    >>> from nnbackend import plots
    >>> X, y = nn.datasets.sine(20)
    >>> plots.regression_fit(nn.Model([nn.Dense(1, 1)], seed=0), X, y).get_ylabel()
    'output'
    """
    X = numbers("X", X)
    if X.ndim != 2 or X.shape[1] != 1:
        raise DataError(f"X has shape {X.shape}: expected (samples, 1), since the fit is drawn over one input")
    truth, outputs = _pairs(model, X, y)
    if outputs.shape[1] != 1:
        raise DataError(
            f"the model has {outputs.shape[1]} outputs: expected one, since a curve is fitted; "
            "use plots.predicted_against_true"
        )
    ax = ax if ax is not None else new_axes()
    order = np.argsort(X[:, 0], kind="stable")[_thinned(len(X))]
    if _is_curve(X[order, 0], truth[order, 0]):
        ax.plot(X[order, 0], truth[order, 0], color="0.75", lw=5, label="target", solid_capstyle="round")
    else:
        ax.plot(X[order, 0], truth[order, 0], ".", color="0.65", label="target")
    ax.plot(X[order, 0], outputs[order, 0], color=COLOURS[5], lw=1.5, label="prediction")
    ax.set(xlabel=plain(input_names[0]) if input_names else "input", ylabel="output")
    ax.set_title(_error_sentence(truth, outputs), fontsize="medium")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    return ax


def predicted_against_true(model: Model, X: Any, y: Any, ax: Axes | None = None, *, output_names: Names = None) -> Axes:
    """The predictions of a regression over the true values; a perfect model's points lie on the line.

    X has shape (samples, features), y (samples,) or (samples, outputs). Of more than 5,000 samples every n-th is drawn.

    >>> import nnbackend as nn
    >>> import numpy as np
    >>> from nnbackend import plots
    >>> X = np.arange(12.0).reshape(4, 3)
    >>> plots.predicted_against_true(nn.Model([nn.Dense(3, 1)], seed=0), X, X.sum(axis=1)).get_xlabel()
    'true value'
    """
    X = numbers("X", X)
    truth, outputs = _pairs(model, X, y)
    names = list(output_names or [f"output {number}" for number in range(outputs.shape[1])])
    if len(names) != outputs.shape[1]:
        raise ArgumentError(f"{len(names)} output names for {outputs.shape[1]} outputs: expected one for each")
    ax = ax if ax is not None else new_axes(width=5.2, height=5.0)
    rows = _thinned(len(X))
    ends = [min(truth.min(), outputs.min()), max(truth.max(), outputs.max())]
    drawn: list[Any] = ax.plot(ends, ends, color="black", lw=1, alpha=0.6)
    for number in range(len(names)):
        style = {"c": colour(number), "marker": marker(number), "alpha": 0.7, "linewidths": 0}
        drawn.append(ax.scatter(truth[rows, number], outputs[rows, number], s=14, **style))
    ax.set(xlabel="true value", ylabel="predicted value")
    ax.set_title(_error_sentence(truth, outputs), fontsize="medium")
    ax.grid(alpha=0.3)
    if len(names) > 1:
        ax.legend(drawn, ["prediction = truth", *map(plain, names)], frameon=False, fontsize="small")
    return ax


def confusion_matrix(model: Model, X: Any, y: Any, ax: Axes | None = None, *, class_names: Names = None) -> Axes:
    """How often samples of each class (rows) were taken for each class (columns): counts, shaded by share of the row.

    With more than 20 classes there is no room for counts, and the shades alone are drawn.

    >>> import nnbackend as nn
    >>> from nnbackend import plots
    >>> X, y = nn.datasets.spiral(samples=10, classes=3, seed=0)
    >>> plots.confusion_matrix(nn.Model([nn.Dense(2, 3), nn.Softmax()], seed=0), X, y).get_ylabel()
    'true class'
    """
    counts = confusion(model, X, y)
    classes = len(counts)
    names = _names(class_names, classes, LONGEST_CLASS_NAME)
    ax = ax if ax is not None else new_axes(*matrix_size(classes, class_names))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = np.empty((classes, classes, 4))
    image[..., :3], image[..., 3] = _rgb(COLOURS[0]), STRONGEST * shares
    ax.imshow(image, interpolation="nearest", aspect="auto" if classes <= 2 else "equal")
    if classes <= MOST_COUNTED_CLASSES:
        _counts(ax, counts, names)
    ax.set(xlabel="predicted class", ylabel="true class")
    right = np.trace(counts) / max(1, counts.sum())
    ax.set_title(f"{right:.1%} of {counts.sum():,} samples are recognized", fontsize="medium")
    return ax


def matrix_size(classes: int, class_names: Names = None) -> tuple[float, float]:
    """Width and height of a confusion matrix in inches, so that counts and names have room."""
    sides = min(classes, MOST_COUNTED_CLASSES) * (0.5 if classes <= 10 else 0.36)
    letters = min(LONGEST_CLASS_NAME, max(map(len, map(str, class_names)))) if class_names else 1
    return max(4.4, 1.5 + sides + 0.09 * letters), max(2.6, 1.3 + sides + 0.07 * letters)


def _counts(ax: Axes, counts: np.ndarray, names: list[str]) -> None:
    """The number in each cell but empty ones, a line around each cell, and the names of the classes."""
    size = 10 if len(counts) <= 10 else 8
    for row, column in np.argwhere(counts):
        count = counts[row, column]
        weight = "bold" if row == column else "normal"
        text = f"{count:,}" if count < 10_000 else f"{count / 1000:.0f}k"
        ax.text(column, row, text, ha="center", va="center", fontsize=size, weight=weight)
    edges = np.arange(-0.5, len(counts))
    ax.set_xticks(edges, minor=True)
    ax.set_yticks(edges, minor=True)
    ax.grid(which="minor", color="black", alpha=0.15, lw=0.6)
    ax.tick_params(which="minor", length=0)
    long = max(map(len, names)) > 3
    ax.set_xticks(
        range(len(names)), names, rotation=45 if long else 0, ha="right" if long else "center",
        rotation_mode="anchor" if long else "default", fontsize=size,
    )  # fmt: skip
    ax.set_yticks(range(len(names)), names, fontsize=size)


def _judged(outputs: np.ndarray, y: Any) -> tuple[np.ndarray, float]:
    """Targets as class indices, and the share of samples that the outputs name rightly."""
    labels = labels_of(y, outputs)
    return labels, float((classes_of(outputs) == labels).mean())


def _pairs(model: Model, X: np.ndarray, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted values, both of shape (samples, outputs), or `DataError`."""
    outputs, truth = predict(model, X).astype(float), numbers("y", y)
    truth = truth[:, np.newaxis] if truth.ndim == 1 else truth
    if truth.shape != outputs.shape:
        raise DataError(f"y has shape {np.shape(y)}: expected {outputs.shape}, a value for each output of each sample")
    return truth, outputs


def _error_sentence(truth: np.ndarray, outputs: np.ndarray) -> str:
    return f"predictions are off by {np.abs(truth - outputs).mean():.3g} on average"


def _is_curve(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether targets in order of the input go smoothly, so that a line through them means something."""
    span = float(np.ptp(y))
    return bool((np.diff(x) > 0).all()) and (not span or float(np.abs(np.diff(y)).mean()) < 0.1 * span)


def _thinned(count: int) -> slice:
    """Every n-th of so many rows, so that no more are drawn than a picture can show."""
    return slice(None, None, -(-count // MOST_POINTS) or 1)


def _names(class_names: Names, classes: int, longest: int = LONGEST_LABEL) -> list[str]:
    if class_names is None:
        return [str(number) for number in range(classes)]
    if isinstance(class_names, str) or len(class_names) != classes:
        raise ArgumentError(f"class_names {shown(class_names)}: expected a list of {classes}, one for each class")
    return [plain(name, longest) for name in class_names]


def _chances(outputs: np.ndarray) -> np.ndarray:
    """A column for each class, where one output stands for two."""
    return np.concatenate([1 - outputs, outputs], axis=1) if outputs.shape[1] == 1 else outputs


def _rgb(code: str) -> list[float]:
    return [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def _shades(outputs: np.ndarray, steps: int | None = None) -> np.ndarray:
    """A colour with its opacity for each row: that of the class, the fainter the less sure the network is."""
    chances = _chances(outputs)
    palette = np.array([_rgb(colour(k)) for k in range(chances.shape[1])])
    chance = 1 / chances.shape[1]
    sure = np.clip((chances.max(axis=1) - chance) / (1 - chance), 0, 1)
    sure = sure if steps is None else np.round(sure * steps) / steps
    says = chances.argmax(axis=1)
    most = np.array(OPACITY)[says % len(OPACITY)]
    return np.column_stack([palette[says], most * (0.2 + 0.8 * sure)])
