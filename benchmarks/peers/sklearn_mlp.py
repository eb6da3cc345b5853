"""scikit-learn's MLPClassifier, where it can do the work: no dropout, and no penalty on the first layer alone.

Its loss is measured on each batch as in the other peers, but not the accuracy; epsilon stands elsewhere in its Adam.
"""

from __future__ import annotations

import warnings

import sklearn
from sklearn.neural_network import MLPClassifier

from ..workloads import Workload
from . import BasePeer


class Peer(BasePeer):
    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        warnings.simplefilter("ignore")  # that training has not converged
        self.classifier = self._fitted(workload)

    @classmethod
    def takes(cls, workload: Workload) -> bool:
        return not workload.dropout and workload.name != "wide"  # wide: a unit is a step, it counts epochs

    def _fitted(self, workload: Workload) -> MLPClassifier:
        """Built by one epoch on a little data, then given the common weights."""
        classifier = MLPClassifier(
            workload.sizes[1:-1], alpha=0.0, batch_size=workload.batch_size or len(self.X), max_iter=1, warm_start=True,
            learning_rate_init=workload.learning_rate, epsilon=1e-7, n_iter_no_change=10**9, tol=0.0, random_state=0,
        )  # fmt: skip
        classes = workload.sizes[-1]
        few = [int((self.y == k).argmax()) for k in range(classes)] if workload.training else list(range(classes))
        X = self.X[few] if workload.training else self.X[[0] * classes]
        classifier.fit(X, self.y[few] if workload.training else few)
        classifier.coefs_ = [weights.copy() for weights, _ in workload.initial()]
        classifier.intercepts_ = [biases[0].copy() for _, biases in workload.initial()]
        return classifier

    @staticmethod
    def versions() -> str:
        return f"scikit-learn {sklearn.__version__}"

    def loss_after(self, steps: int) -> float:
        if not self.workload.training:
            return float(self.classifier.predict_proba(self.X)[0].max())
        classifier = self._fitted(self.workload)
        if self.workload.batch_size is not None:  # a batch at a time would begin Adam anew: no common figure
            return float("nan")
        classifier.set_params(max_iter=steps, shuffle=False).fit(self.X, self.y)
        return float(classifier.loss_)

    def run(self, units: int) -> None:
        if not self.workload.training:
            for _ in range(units):
                self.classifier.predict_proba(self.X)
            return
        self.classifier.set_params(max_iter=units).fit(self.X, self.y)
