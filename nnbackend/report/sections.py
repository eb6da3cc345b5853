"""The sections of a report. One that has nothing to show says why, in the sentence of the error that it met."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..errors import NNBackendError
from ..plots import (
    confusion_matrix,
    curves,
    decision_boundary,
    histograms,
    learning_rate,
    predicted_against_true,
    regression_fit,
)
from ..plots.answers import MOST_COUNTED_CLASSES, matrix_size
from ..plots.style import new_axes
from ..plots.tasks import REGRESSION, confusion
from . import tables
from .figures import figure
from .markup import Child, Markup, element, join
from .run import Data, Run, environment

# The size of a figure in inches: its letters are read on a phone and on a desk.
WIDTH, HEIGHT = 5.4, 3.9


def summary(run: Run) -> Markup:
    """What it came to: a sentence, and the figures."""
    figures = {"parameters": tables.number(run.model.parameter_buffer.count), "epochs": tables.number(run.model.epoch)}
    if run.kind == REGRESSION:  # its loss and accuracy depend on a unit and a tolerance: the error says more
        for name, data in {"training": run.training, run.checked_name: run.checked}.items():
            figures[f"mean {name} error"] = f"{_mean_error(run, data):.3g}"
    else:
        figures |= _losses(run)
    pairs = [
        element("div", element("dt", name), element("dd", value), class_="figure") for name, value in figures.items()
    ]
    return join(element("p", _lead(run), class_="lead"), element("dl", pairs, class_="figures"))


def _losses(run: Run) -> dict[str, str]:
    """Losses and accuracies, of training at its last epoch."""
    figures: dict[str, str] = {}
    if run.history:
        last = run.history.row(-1)
        figures |= {"training loss": tables.number(last["loss"]), "training accuracy": tables.share(last["accuracy"])}
    if run.evaluation is not None and run.validation is not None:
        figures[f"{run.checked_name} loss"] = tables.number(run.evaluation.data_loss)
        figures[f"{run.checked_name} accuracy"] = tables.share(run.evaluation.accuracy)
    return figures


def _lead(run: Run) -> str:
    """The result in a sentence."""
    count, whose = f"{len(run.checked[0]):,}", run.checked_name
    begin = f"A network of {run.model.parameter_buffer.count:,} parameters, trained for {run.model.epoch:,} epochs"
    if run.kind == REGRESSION:
        return f"{begin}, is off by {_mean_error(run, run.checked):.3g} on average on {count} {whose} samples."
    if run.evaluation is None:
        return f"{begin}."
    return f"{begin}, recognizes {tables.share(run.evaluation.accuracy)} of {count} {whose} samples."


def _mean_error(run: Run, data: Data) -> float:
    X, y = run.some(data)
    return float(np.abs(run.model.predict(X) - np.reshape(y, (len(X), -1))).mean())


def learned(run: Run) -> Markup | None:
    """A picture of what it says, curves, and epochs in figures."""
    pictures, below = [_answers(run)], None
    if run.history:
        rates = run.history.get("learning_rate", [0])
        changes = max(rates) > 1.05 * min(rates)
        pictures += [_attempt(_curves, run), _attempt(_rates, run) if changes else None]
        below = tables.epochs(run.history, accuracy=run.kind != REGRESSION)
    return _beside(pictures, below)


def _beside(pictures: Sequence[Child], *below: Child) -> Markup | None:
    """Pictures in a grid, and what is below it."""
    grid = element("div", list(pictures), class_="pair") if any(pictures) else None
    return join(grid, *below) if grid or any(below) else None


def _answers(run: Run) -> Markup | None:
    """Regions of the plane, a fitted curve, or predictions against the truth."""
    n_inputs = np.shape(run.training[0])[1:]
    if run.kind == REGRESSION:
        return _attempt(_fit if n_inputs == (1,) and run.model.n_outputs == 1 else _against, run)
    return _attempt(_boundary, run) if n_inputs == (2,) else None


def _boundary(run: Run) -> Markup:
    ax = decision_boundary(
        run.model, *run.some(run.training), new_axes(WIDTH, 5.1), resolution=200, class_names=run.names
    )
    return _figure(ax, "boundary", "Regions of the plane in which the network answers each class, and the samples", run)


def _fit(run: Run) -> Markup:
    ax = regression_fit(run.model, *run.some(run.training), new_axes(WIDTH, HEIGHT))
    return _figure(ax, "fit", "The targets and the curve that the network predicts over its input", run)


def _against(run: Run) -> Markup:
    ax = predicted_against_true(run.model, *run.some(run.checked), new_axes(WIDTH, 4.8))
    return _figure(
        ax, "against", "Predicted over true values; a perfect network's lie on the line", run, run.checked_name
    )


def _curves(run: Run) -> Markup:
    classes = run.kind != REGRESSION
    ax = curves(run.history, new_axes(WIDTH, HEIGHT), accuracy=classes)
    first, last = run.history.row(0), run.history.row(-1)
    caption = f"The loss goes from {tables.number(first['loss'])} to {tables.number(last['loss'])}"
    if classes:
        caption += f", the accuracy from {tables.share(first['accuracy'])} to {tables.share(last['accuracy'])}"
    return figure(ax, "curves", f"Loss{' and accuracy' if classes else ''} over the epochs. {caption}", f"{caption}.")


def _rates(run: Run) -> Markup:
    rates = run.history["learning_rate"]
    caption = f"The learning rate goes from {tables.number(rates[0])} to {tables.number(rates[-1])}."
    return figure(
        learning_rate(run.history, new_axes(WIDTH, HEIGHT)), "rates", "Learning rate over the epochs", caption
    )


def mistakes(run: Run) -> Markup | None:
    """The confusion matrix, and each class in figures."""
    return _attempt(_mistakes, run) if run.one_answer_a_sample() else None


def _mistakes(run: Run) -> Markup:
    counts = confusion(run.model, *run.checked)
    many = len(counts) > MOST_COUNTED_CLASSES
    size = (WIDTH, 4.6) if many else matrix_size(len(counts), run.names)
    ax = confusion_matrix(run.model, *run.checked, new_axes(*size), class_names=run.names)
    alternative = "Confusion matrix: true classes as rows, answers as columns, the figures are in the table"
    picture = _figure(ax, "confusion", alternative, run, run.checked_name, wide=len(counts) > 8 and not many)
    classes = element("div", tables.classes(run, counts))
    if many:
        return _beside([picture, tables.confusions(run, counts)], classes) or join()
    if len(counts) > 10:  # it takes the width of the page
        return join(picture, classes)
    return element("div", picture, classes, class_="pair")


def inside(run: Run) -> Markup:
    """Layers, and the values of parameters and gradients."""
    pictures = [_attempt(_weights, run)]
    if run.history:
        pictures.append(_attempt(_gradients, run))
    return join(tables.layers(run), element("div", pictures, class_="pair"))


def _weights(run: Run) -> Markup:
    return _histograms(run, "weights", "The values of each parameter, as histograms.", gradients=False)


def _gradients(run: Run) -> Markup:
    return _histograms(run, "gradients", "Their gradients in the last training step.", gradients=True)


def _histograms(run: Run, name: str, caption: str, *, gradients: bool) -> Markup:
    count = min(len(run.model.parameter_buffer.named), 24)
    columns = 2 if count <= 8 else 4
    rows = -(-count // columns)
    ax = new_axes(WIDTH if columns == 2 else 9.0, 1.95 * rows)
    histograms(run.model, ax, gradients=gradients, columns=columns)
    return figure(ax, name, caption.rstrip("."), caption, wide=columns > 2)


def made(run: Run) -> Markup:
    """What was chosen, where it ran, and the command that runs it again."""
    model = run.model
    chosen = {"loss function": repr(model.loss), "optimizer": repr(model.optimizer), "seed": str(model.seed)}
    chosen = {"task": run.kind, **chosen, **run.settings}
    both = [tables.properties("Settings", chosen), tables.properties("Environment", environment(model))]
    command = None
    if run.command:
        code = element("pre", element("code", run.command), tabindex=0, role="region", aria_label="Command line")
        command = join(element("h3", "Command line"), code)
    return join(element("div", both, class_="pair"), command)


def _figure(ax, name: str, alternative: str, run: Run, whose: str = "training", *, wide: bool = False) -> Markup:  # type: ignore[no-untyped-def]
    """A figure whose title becomes its caption."""
    title = ax.get_title()
    ax.set_title("")
    caption = f"{title[:1].upper()}{title[1:]} ({whose} data)."
    return figure(ax, name, f"{alternative}. {caption}", caption, wide=wide)


def _attempt(draw: Callable[[Run], Markup], run: Run) -> Markup:
    """What it draws, or why it cannot."""
    try:
        return draw(run)
    except NNBackendError as error:
        return element("p", f"There is no picture here: {error}.", class_="note")


SECTIONS: dict[str, Callable[[Run], Child]] = {
    "What it learned": learned,
    "What it mistakes": mistakes,
    "What is inside": inside,
    "How it was made": made,
}
