"""Learning rates that follow the epoch."""

from __future__ import annotations

import math
import sys

from ..checks import count, not_negative, positive
from ..errors import ArgumentError
from ..training import Callback, TrainingRun


class Schedule(Callback):
    """The base of learning-rate schedules: a subclass says in `rate` which rate an epoch has.

    The rate depends on the epoch alone, counted over all training of the model, so a resumed run has the same. It is the
    rate before the optimizer's own decay, which still applies.

    >>> import nnbackend as nn
    >>> class Halving(nn.Schedule):
    ...     def rate(self, epoch):
    ...         return 0.1 * 0.5 ** (epoch - 1)
    >>> X, y = nn.datasets.spiral(samples=20, classes=3, seed=0)
    >>> model = nn.Model([nn.Dense(2, 3), nn.Softmax()], loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(), seed=0)
    >>> model.train(X, y, epochs=3, callbacks=[Halving()], print_every=0)["learning_rate"]
    [0.1, 0.05, 0.025]
    """

    def rate(self, epoch: int) -> float:
        """The learning rate of that epoch; the first is 1."""
        raise NotImplementedError(f"{type(self).__name__} needs a method rate(epoch)")

    def on_train_begin(self, run: TrainingRun) -> None:
        """The first rate."""
        self._set(run)

    def on_epoch(self, run: TrainingRun) -> None:
        """The next rate: it is written on the device, behind the steps of this epoch."""
        self._set(run)

    def _set(self, run: TrainingRun) -> None:
        optimizer = run.model.optimizer
        if optimizer is not None and run.epoch < run.last_epoch:
            optimizer.learning_rate = max(self.rate(run.epoch + 1), sys.float_info.min)


class StepSchedule(Schedule):
    """learning_rate · factor^⌊(epoch - 1) / every⌋: the rate falls by `factor` every so many epochs.

    >>> import nnbackend as nn
    >>> schedule = nn.StepSchedule(0.1, every=100, factor=0.5)
    >>> [schedule.rate(epoch) for epoch in (1, 100, 101, 201)]
    [0.1, 0.1, 0.05, 0.025]
    """

    def __init__(self, learning_rate: float, *, every: int, factor: float = 0.1) -> None:
        self.learning_rate = positive("StepSchedule learning_rate", learning_rate)
        self.every = count("StepSchedule every", every)
        self.factor = positive("StepSchedule factor", factor)

    def rate(self, epoch: int) -> float:
        """learning_rate · factor^⌊(epoch - 1) / every⌋"""
        return self.learning_rate * self.factor ** ((epoch - 1) // self.every)


class CosineSchedule(Schedule):
    """minimum + (learning_rate - minimum) · (1 + cos(π t)) / 2, where t goes from 0 to 1 over the epochs.

    In the first `warmup` epochs the rate rises in equal steps to `learning_rate` instead; behind the last of `epochs` it stays.
    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.

    >>> import nnbackend as nn
    >>> schedule = nn.CosineSchedule(0.1, epochs=100)
    >>> [round(schedule.rate(epoch), 4) for epoch in (1, 51, 100)]
    [0.1, 0.05, 0.0]
    """

    def __init__(self, learning_rate: float, *, epochs: int, minimum: float = 0.0, warmup: int = 0) -> None:
        self.learning_rate = positive("CosineSchedule learning_rate", learning_rate)
        self.epochs = count("CosineSchedule epochs", epochs)
        self.minimum = not_negative("CosineSchedule minimum", minimum)
        self.warmup = count("CosineSchedule warmup", warmup, least=0)
        if self.warmup >= self.epochs:
            raise ArgumentError(f"CosineSchedule warmup {warmup}: expected fewer than its epochs, which are {epochs}")

    def rate(self, epoch: int) -> float:
        """minimum + (learning_rate - minimum) · (1 + cos(π t)) / 2"""
        if epoch <= self.warmup:
            return self.learning_rate * epoch / (self.warmup + 1)
        t = (min(epoch, self.epochs) - 1 - self.warmup) / (self.epochs - self.warmup)
        return self.minimum + (self.learning_rate - self.minimum) * (1 + math.cos(math.pi * t)) / 2
