"""Pictures of training and of what a network has learned (extra `plot`).

Every function draws into the axes it is given (`ax`), or into a figure of its own, and returns the axes; `save(ax, path)`
or `ax.figure.savefig(path)` writes them. Classes differ in marker as well as in colour, lines in markers and dashes, and
the colours (Okabe and Ito's) can be told apart by colour-blind readers; black and white change places in a dark report.

    learning.py     loss, accuracy and learning rate over epochs
    answers.py      what a model says: regions of the plane, a fitted curve, predictions against truth, confusion matrix
    insides.py      how parameters and gradients are distributed
    comparisons.py  how two backends differ, for `nnbackend parity`
    animation.py    the regions while they form, as a GIF
    tasks.py        what a model is for, and which answers are right
    style.py        colours, figures and files
"""

from .animation import BoundaryAnimation
from .answers import confusion_matrix, decision_boundary, predicted_against_true, regression_fit
from .comparisons import agreement, divergence
from .insides import histograms
from .learning import curves, learning_rate
from .style import check_file, save

__all__ = [
    "BoundaryAnimation",
    "agreement",
    "check_file",
    "confusion_matrix",
    "curves",
    "decision_boundary",
    "divergence",
    "histograms",
    "learning_rate",
    "predicted_against_true",
    "regression_fit",
    "save",
]
