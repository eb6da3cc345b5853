"""PyTorch, eager, with the fused Adam; loss and accuracy stay on the device as tensors, as its documentation advises."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from ..workloads import Workload
from . import BasePeer


class Net(nn.Module):
    """The workload's layers, with the common weights."""

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        self.linear = nn.ModuleList()
        for weights, biases in workload.initial():
            linear = nn.Linear(*weights.shape)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(weights.T.copy()))
                linear.bias.copy_(torch.from_numpy(biases[0]))
            self.linear.append(linear)
        self.rate = workload.dropout

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        for i, linear in enumerate(self.linear):
            values = linear(values)
            if i < len(self.linear) - 1:
                values = functional.relu(values)
                if self.rate and not i:
                    values = functional.dropout(values, self.rate, self.training)
        return values


class Peer(BasePeer):
    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self.data = torch.from_numpy(self.X), torch.from_numpy(self.y)
        self._begin(workload)
        self._choose_threads()

    def _choose_threads(self) -> None:
        """One thread or all of them, whichever is quicker for this work: small tensors are slower on several."""
        best = (float("inf"), 1)
        for threads in sorted({1, torch.get_num_threads()}, reverse=True):
            torch.set_num_threads(threads)
            self._few_units()  # the first time it compiles
            start = time.perf_counter()
            self._few_units()
            best = min(best, (time.perf_counter() - start, threads))
        torch.set_num_threads(best[1])
        self._begin(self.workload)

    def _few_units(self) -> None:
        X, y = self.data
        if not self.workload.training:
            self.run(20)
            return
        batch = self.batches[0]
        for _ in range(2 if self.workload.name == "wide" else 50):
            self._step(X[batch], y[batch])

    def _begin(self, workload: Workload) -> None:
        self.net = Net(workload)
        self.optimizer = torch.optim.Adam(self.net.parameters(), workload.learning_rate, eps=1e-7, fused=True)
        self.measure = self.compiled(self._measure)
        self.answer = self.compiled(self._answer)
        self.iterations = 0

    def compiled(self, function: Callable) -> Callable:
        """`function` itself; the compiled peer overrides this."""
        return function

    @staticmethod
    def versions() -> str:
        return f"torch {torch.__version__}, {torch.get_num_threads()} threads"

    def _measure(self, X: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.net(X)
        loss = functional.cross_entropy(logits, y)
        if self.workload.l2:
            first = self.net.linear[0]
            loss = loss + self.workload.l2 * (first.weight.square().sum() + first.bias.square().sum())
        return loss, (logits.argmax(1) == y).float().mean()

    def _answer(self, X: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.net(X), 1)

    def _step(self, X: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if self.workload.decay:
            rate = self.workload.learning_rate / (1 + self.workload.decay * self.iterations)
            self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss, _ = self.measure(X, y)
        loss.backward()
        self.optimizer.step()
        self.iterations += 1
        return loss

    def loss_after(self, steps: int) -> float:
        X, y = self.data
        if not self.workload.training:
            with torch.inference_mode():
                return float(self.answer(X)[0].max())
        self._begin(self.workload.for_check)
        loss = torch.zeros(())
        for batch in self.first_batches(steps):
            loss = self._step(X[batch], y[batch])
        self._begin(self.workload)
        return loss.item()

    def run(self, units: int) -> None:
        X, y = self.data
        workload = self.workload
        if not workload.training:
            with torch.inference_mode():
                for _ in range(units):
                    self.answer(X)
            return
        for _ in range(units):
            if workload.batch_size is None:
                self._step(X, y)
                continue
            order = torch.randperm(len(X))
            for batch in self.batches[: 1 if workload.unit == "step" else None]:
                indices = order[batch]
                self._step(X[indices], y[indices])
