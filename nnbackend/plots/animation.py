"""The regions of a decision boundary while they form, as a GIF."""

from __future__ import annotations

import io
from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import count
from ..checks import path as checked_path
from ..errors import StateError
from ..files import write_file
from ..training import Callback, TrainingRun
from .answers import decision_boundary
from .style import new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More colours make the file larger, and nobody sees them.
COLOURS_OF_A_FRAME = 48
# Even patches make it smaller, too.
SHADES = 4


class BoundaryAnimation(Callback):
    """Draws the decision boundary while the model learns; `save(path)` writes a GIF afterwards.

    A frame is drawn at each report of the run, so `print_every` or `every` (in epochs) says how many there are.

    >>> import nnbackend as nn
    >>> from nnbackend import plots
    >>> X, y = nn.datasets.spiral(samples=10, classes=3, seed=0)
    >>> model = nn.Model(
    ...     [nn.Dense(2, 3), nn.Softmax()], loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(), seed=0)
    >>> animation = plots.BoundaryAnimation(X, y, every=5, resolution=20)
    >>> _ = model.train(X, y, epochs=10, print_every=0, callbacks=[animation])
    >>> animation.save("learning.gif")
    """

    def __init__(self, X: Any, y: Any, *, every: int = 1, resolution: int = 160) -> None:
        self.data = X, y
        self.every, self.resolution = count("every", every), count("resolution", resolution, least=2)
        self._frames: list[tuple[int, np.ndarray]] = []

    def on_report(self, run: TrainingRun, rows: Sequence[dict[str, Any]]) -> None:
        """One frame, unless the last is too recent."""
        row = rows[-1]
        if self._frames and row["epoch"] - self._frames[-1][0] < self.every and row["epoch"] != run.last_epoch:
            return
        ax = decision_boundary(
            run.model, *self.data, new_axes(width=4.0, height=4.0, dpi=80), resolution=self.resolution, shades=SHADES
        )
        title = f"epoch {row['epoch']:,}: accuracy {row['accuracy']:.1%}, loss {row['loss']:.3f}"
        ax.set_title(title, fontsize="medium")
        self._frames.append((row["epoch"], _pixels(ax)))

    def save(self, path: str | PathLike[str], *, seconds: float = 8.0) -> None:
        """Write the frames as an endless GIF of about that length; the last frame stays longer. Raises `FileError`."""
        if not self._frames:
            raise StateError("the animation has no frames: train with it as a callback first")
        from PIL import Image

        target = checked_path("path", path)
        some = self._frames[:: max(1, len(self._frames) // 6)] + self._frames[-1:]
        every_kind = Image.fromarray(np.concatenate([pixels for _, pixels in some]))
        # The points are few, but their colours say what they are: a palette of what is frequent would lose them.
        palette = every_kind.quantize(COLOURS_OF_A_FRAME, method=Image.Quantize.MAXCOVERAGE, kmeans=1)
        # One palette and no dithering: what stays the same from frame to frame costs nothing.
        images = [
            Image.fromarray(pixels).quantize(palette=palette, dither=Image.Dither.NONE) for _, pixels in self._frames
        ]
        each = max(40, int(1000 * seconds / len(images)))
        durations = [each] * (len(images) - 1) + [max(1500, each)]
        file = io.BytesIO()
        images[0].save(
            file, format="GIF", save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=True
        )
        write_file(target, file.getvalue())


def _pixels(ax: Axes) -> np.ndarray:
    canvas: Any = ax.figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
