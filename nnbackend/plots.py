"""Pictures of training and of what a network has learned (extra `plot`).

Every function draws into the axes it is given, or into a figure of its own, and returns the axes; save with
`axes.figure.savefig("out.png")`. Classes differ in marker as well as in colour, and the colours (Okabe and Ito's) can be
told apart by colour-blind readers and in grey.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ArgumentError, DataError, StateError
from .history import History
from .training import Callback, TrainingRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .model import Model
    from .parity import Comparison, Divergence

# From dark to light and back in no order of hue: neighbours differ in lightness too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")


def curves(history: History, axes: Axes | None = None) -> Axes:
    """Loss over epochs (left axis, logarithmic) and accuracy (right axis, 0 to 1); validation dashed.

    >>> from nnbackend.history import History
    >>> history = History()
    >>> history.append({"epoch": 1, "loss": 1.1, "data_loss": 1.1, "accuracy": 0.3})
    >>> history.append({"epoch": 2, "loss": 0.9, "data_loss": 0.9, "accuracy": 0.5})
    >>> curves(history).get_xlabel()
    'epoch'
    """
    if not history:
        raise StateError("the history has no epochs: train the model first")
    axes = axes or _own_axes()
    right = axes.twinx()
    epochs = history["epoch"]
    lines = axes.plot(epochs, history["loss"], color=COLOURS[0], label="loss")
    if "validation_loss" in history:
        lines += axes.plot(epochs, history["validation_loss"], "--", color=COLOURS[0], label="validation loss")
    lines += right.plot(epochs, history["accuracy"], color=COLOURS[1], lw=1, label="accuracy")
    if "validation_accuracy" in history:
        lines += right.plot(epochs, history["validation_accuracy"], "--", color=COLOURS[1], label="validation accuracy")
    axes.set(xlabel="epoch", ylabel="loss", yscale="log")
    right.set(ylabel="accuracy", ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(handles=lines, loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=4, frameon=False)
    return axes


def decision_boundary(model: Model, X: Any, y: Any, axes: Axes | None = None, *, resolution: int = 300) -> Axes:
    """What a model with two inputs says everywhere, shaded by how sure it is, with the samples on top.

    X has shape (samples, 2), y holds class indices. Raises `DataError` for other inputs.
    """
    points, labels = _planar(model, X, y)
    axes = axes or _own_axes(width=5.2)
    span = np.abs(points).max() * 1.08
    side = np.linspace(-span, span, resolution)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    image = _shades(model.predict(grid)).reshape(resolution, resolution, 3)
    axes.imshow(image, extent=(-span, span, -span, span), origin="lower", interpolation="bilinear")
    for label in np.unique(labels):
        chosen = points[labels == label]
        axes.scatter(
            chosen[:, 0], chosen[:, 1], s=16, c=_colour(label), marker=MARKERS[label % len(MARKERS)],
            edgecolors="white", linewidths=0.5, label=f"class {label}",
        )  # fmt: skip
    axes.set(xlabel="first input", ylabel="second input", aspect="equal")
    axes.legend(loc="upper right", fontsize="small", framealpha=0.9)
    return axes


def regression_fit(model: Model, X: Any, y: Any, axes: Axes | None = None) -> Axes:
    """Targets and predictions of a model with one input and one output (book, chapter 17: the sine)."""
    X, y = np.asarray(X, float), np.asarray(y, float).reshape(-1)
    if X.ndim != 2 or X.shape[1] != 1:
        raise DataError(f"X has shape {X.shape}: expected (samples, 1), since the fit is drawn over one input")
    axes = axes or _own_axes()
    order = np.argsort(X[:, 0])
    axes.plot(X[order, 0], y[order], color="0.6", lw=5, label="target", solid_capstyle="round")
    axes.plot(X[order, 0], model.predict(X)[order, 0], color=COLOURS[5], lw=1.5, label="prediction")
    axes.set(xlabel="input", ylabel="output")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return axes


def confusion_matrix(
    model: Model, X: Any, y: Any, axes: Axes | None = None, *, class_names: Sequence[str] | None = None
) -> Axes:
    """How often samples of each class (rows) were taken for each class (columns): counts, shaded by share of the row."""
    predicted, labels = model.predict(X).argmax(axis=1), np.asarray(y).reshape(-1).astype(int)
    classes = model.n_outputs or int(max(predicted.max(), labels.max())) + 1
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, predicted), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes = axes or _own_axes(width=1.6 + 0.62 * classes, height=1.2 + 0.55 * classes)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        dark = shares[row, column] > 0.55
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color="white" if dark else "black")
    names = list(class_names) if class_names is not None else [str(number) for number in range(classes)]
    if len(names) != classes:
        raise ArgumentError(f"{len(names)} class names for {classes} classes: expected one for each")
    axes.set_xticks(range(classes), names, rotation=45 if max(map(len, names)) > 3 else 0)
    axes.set_yticks(range(classes), names)
    axes.set(xlabel="predicted", ylabel="true")
    return axes


def histograms(model: Model, *, gradients: bool = False) -> list[Axes]:
    """How the values of each parameter (or, with `gradients`, of its gradient) are distributed: a panel each."""
    buffer = model.parameter_buffer
    arrays = buffer.split(buffer.grads if gradients else buffer.values)
    columns = min(4, len(arrays))
    rows = -(-len(arrays) // columns)
    figure = _own_axes(width=2.6 * columns, height=2.1 * rows).figure
    figure.clear()
    panels = []
    for number, (name, values) in enumerate(arrays.items()):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.hist(values.ravel(), bins=30, color=COLOURS[0] if name.endswith("weights") else COLOURS[1])
        axes.set_title(name, fontsize="small")
        axes.tick_params(labelsize="x-small")
        panels.append(axes)
    figure.supxlabel("gradient" if gradients else "value", fontsize="small")
    figure.supylabel("how many", fontsize="small")
    return panels


def agreement(comparisons: Sequence[Comparison]) -> list[Axes]:
    """How much of the tolerance two backends use up, step by step (`parity.follow`): a panel a dtype, a line a part."""
    dtypes = list(dict.fromkeys(comparison.backend.dtype.name for comparison in comparisons))
    figure = _own_axes(height=0.8 + 2.4 * len(dtypes)).figure
    figure.clear()
    panels = list(figure.subplots(len(dtypes), 1, sharex=True, squeeze=False)[:, 0])
    for axes, dtype in zip(panels, dtypes, strict=True):
        runs = [comparison.shares for comparison in comparisons if comparison.backend.dtype.name == dtype]
        for part, colour, style in zip(("forward", "backward", "update"), COLOURS, ("-", "--", ":"), strict=False):
            steps = range(1, max(map(len, runs)) + 1)
            shares = [max(run[step - 1].get(part, 0.0) for run in runs if len(run) >= step) for step in steps]
            axes.plot(steps, np.maximum(shares, 1e-4), style, color=colour, label=part)
        axes.axhline(1, color="0.4", lw=1)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set(yscale="log", ylabel="share of the tolerance")
        axes.set_title(dtype, fontsize="medium", loc="left")
        axes.grid(alpha=0.3)
    panels[0].legend(loc="upper right", ncols=3, frameon=False, bbox_to_anchor=(1, 1.2))
    panels[-1].set_xlabel("step")
    return panels


def divergence(divergences: Sequence[Divergence], axes: Axes | None = None) -> Axes:
    """How the losses of free runs part (`parity.free`), with the judge that was disturbed by rounding dashed beside them."""
    axes = axes or _own_axes()
    for found, colour in zip(divergences, COLOURS, strict=False):
        steps, dtype = range(1, found.steps + 1), found.backend.dtype.name
        axes.plot(steps, np.maximum(found.loss, 1e-17), color=colour, label=f"{found.backend.name}, {dtype}")
        disturbed = np.maximum(found.control_loss, 1e-17)
        axes.plot(steps, disturbed, "--", color=colour, lw=1, label=f"judge, disturbed by {dtype} rounding")
    axes.axhline(1e-3, color="0.4", lw=1)
    axes.set(xlabel="step", ylabel="relative difference of the loss", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize="small")
    return axes


def check_file(path: str | PathLike[str]) -> None:
    """Raise `StateError` without matplotlib, and `ArgumentError` for a kind of file that it does not write."""
    kinds = _own_axes().figure.canvas.get_supported_filetypes()
    ending = Path(path).suffix.removeprefix(".").lower()
    if ending not in kinds:
        raise ArgumentError(
            f"{path}: pictures are not written as {ending or 'files without an ending'!r}: use .png, .svg or .pdf"
        )


class BoundaryAnimation(Callback):
    """Draws the decision boundary while the model learns; `save(path)` writes a GIF afterwards.

    A frame is drawn at each report of the run, so `print_every` or `every` (in epochs) says how many there are.
    """

    def __init__(self, X: Any, y: Any, *, every: int = 1, resolution: int = 160) -> None:
        self.data = X, y
        self.every, self.resolution = every, resolution
        self._frames: list[Any] = []

    def on_report(self, run: TrainingRun, rows: Sequence[dict[str, Any]]) -> None:
        """One frame, unless the last is too recent."""
        row = rows[-1]
        if self._frames and row["epoch"] - self._frames[-1][0] < self.every and row["epoch"] != run.last_epoch:
            return
        axes = decision_boundary(run.model, *self.data, _own_axes(width=4.2, dpi=80), resolution=self.resolution)
        axes.set_title(
            f"epoch {row['epoch']}: accuracy {row['accuracy']:.3f}, loss {row['loss']:.3f}", fontsize="medium"
        )
        self._frames.append((row["epoch"], _pixels(axes)))

    def save(self, path: str, *, seconds: float = 8.0) -> None:
        """Write the frames as an endless GIF of about that length; the last frame stays longer."""
        if not self._frames:
            raise StateError("the animation has no frames: train with it as a callback first")
        from PIL import Image

        images = [Image.fromarray(pixels).quantize(96) for _, pixels in self._frames]
        each = max(40, int(1000 * seconds / len(images)))
        durations = [each] * (len(images) - 1) + [max(1500, each)]
        images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=True)


def _own_axes(width: float = 7.0, height: float = 4.4, dpi: int = 120) -> Axes:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise StateError("plots need matplotlib, which is not installed: pip install 'nnbackend[plot]'") from None
    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def _pixels(axes: Axes) -> np.ndarray:
    canvas: Any = axes.figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _colour(label: int) -> str:
    return COLOURS[int(label) % len(COLOURS)]


def _shades(predictions: np.ndarray) -> np.ndarray:
    """A colour for each prediction: that of the class, paler the less sure the network is."""
    if predictions.shape[1] == 1:
        predictions = np.concatenate([1 - predictions, predictions], axis=1)
    palette = np.array([[int(_colour(k)[i : i + 2], 16) / 255 for i in (1, 3, 5)] for k in range(predictions.shape[1])])
    chance = 1 / predictions.shape[1]
    sure = np.clip((predictions.max(axis=1, keepdims=True) - chance) / (1 - chance), 0, 1)
    strength = 0.12 + 0.5 * sure
    return 1 - strength * (1 - palette[predictions.argmax(axis=1)])


def _planar(model: Model, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    points, labels = np.asarray(X, float), np.asarray(y).reshape(-1).astype(int)
    if points.ndim != 2 or points.shape[1] != 2:
        raise DataError(f"X has shape {points.shape}: expected (samples, 2), since the boundary is drawn in a plane")
    return points, labels
