"""scikit-learn's MLPClassifier, where it can do the work: no dropout, and no penalty on the first layer alone.

Its loss is measured on each batch as in the other peers, but not the accuracy; epsilon stands elsewhere in its Adam.
"""

from __future__ import annotations

import warnings

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier

from ..settings import Setting
from ..workloads import Workload
from . import BasePeer


class Peer(BasePeer):
    def __init__(self, workload: Workload, setting: Setting) -> None:
        super().__init__(workload, setting)
        warnings.simplefilter("ignore")  # that training has not converged
        self.classifier = self._fitted(workload)

    @classmethod
    def refusal(cls, workload: Workload, setting: Setting) -> str:
        if workload.dropout:
            return "has no dropout"
        if workload.unit == "step" and workload.batch_size is not None:
            return "counts epochs, not steps"
        return super().refusal(workload, setting)

    def _fitted(self, workload: Workload) -> MLPClassifier:
        """Built by one epoch on a little data, then given the common weights."""
        classifier = MLPClassifier(
            workload.sizes[1:-1], alpha=0.0, batch_size=workload.batch_size or len(self.X), max_iter=1, warm_start=True,
            learning_rate_init=workload.learning_rate, epsilon=1e-7, n_iter_no_change=10**9, tol=0.0, random_state=0,
        )  # fmt: skip
        classes = workload.sizes[-1]
        classifier.set_params(batch_size=classes).fit(self.X[[0] * classes], range(classes))
        classifier.set_params(batch_size=workload.batch_size or len(self.X))
        classifier.coefs_ = [weights.copy() for weights, _ in workload.initial()]
        classifier.intercepts_ = [biases[0].copy() for _, biases in workload.initial()]
        return classifier

    def versions(self) -> str:
        return f"scikit-learn {sklearn.__version__}"

    def loss_after(self, steps: int) -> float | None:
        if self.workload.batch_size is not None:  # a batch at a time would begin Adam anew: no common figure
            return None
        classifier = self._fitted(self.workload)
        classifier.set_params(max_iter=steps, shuffle=False).fit(self.X, self.y)
        return float(classifier.loss_)

    def train(self, units: int) -> None:
        self.classifier.set_params(max_iter=units).fit(self.X, self.y)

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.classifier.predict_proba(X)
