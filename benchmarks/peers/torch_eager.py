"""PyTorch, eager, with the fused Adam; loss and accuracy stay on the device as tensors, as its documentation advises."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ..settings import Setting
from ..workloads import Workload
from . import BasePeer

GPU = "cuda"


def gpu_refusal(setting: Setting) -> str:
    """Why a peer that is for GPUs does not run, or ""."""
    if not setting.on_gpu:
        return "is for a GPU"
    return "" if torch.cuda.is_available() else f"torch {torch.__version__} sees no GPU"


def set_precision(precision: str) -> None:
    """Of float32 matrix products; bfloat16 is `torch.autocast`'s, as its documentation recommends."""
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")


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
    def __init__(self, workload: Workload, setting: Setting) -> None:
        super().__init__(workload, setting)
        self.device = torch.device(GPU if setting.on_gpu else "cpu")
        set_precision(workload.precision)
        torch.set_flush_denormal(True)  # else dead units slow its Adam down after some thousand steps
        self.data = torch.from_numpy(self.X).to(self.device), torch.from_numpy(self.y).to(self.device)
        self.begin(workload)
        if not setting.on_gpu:
            self._choose_threads()

    @classmethod
    def refusal(cls, workload: Workload, setting: Setting) -> str:
        return gpu_refusal(setting) if setting.on_gpu else ""

    def _choose_threads(self) -> None:
        """One thread, half or all of them, whichever is quickest for this work: small tensors are slower on several."""
        most = torch.get_num_threads()
        best = dict.fromkeys(sorted({1, max(1, most // 2), most}), float("inf"))
        for threads in [*best] * 3 if len(best) > 1 else []:
            torch.set_num_threads(threads)
            self._few_units()  # the first time it compiles
            start = time.perf_counter()
            self._few_units()
            best[threads] = min(best[threads], time.perf_counter() - start)
        torch.set_num_threads(min(best, key=lambda threads: best[threads]))
        self.begin(self.workload)

    def _few_units(self) -> None:
        X, y = self.data
        if not self.workload.training:
            self.run(500 if len(X) == 1 else 5)
            return
        batch = self.batches[0]
        for _ in range(1 if self.workload.name == "wide" else 50):
            self.step(X[batch], y[batch])

    def begin(self, workload: Workload) -> None:
        """From the common weights."""
        self.net = Net(workload).to(self.device)
        self.optimizer = self.new_optimizer(workload)
        self.measure = self.compiled(self._measure)
        self.answer = self.compiled(self._answer)
        self.iterations = 0

    def new_optimizer(self, workload: Workload) -> torch.optim.Optimizer:
        """The fused Adam."""
        return torch.optim.Adam(self.net.parameters(), workload.learning_rate, eps=1e-7, fused=True)

    def compiled(self, function: Callable) -> Callable:
        """`function` itself; the compiled peer overrides this."""
        return function

    def versions(self) -> str:
        where = torch.cuda.get_device_name() if self.setting.on_gpu else f"{torch.get_num_threads()} threads"
        return f"torch {torch.__version__}, {where}"

    def _measure(self, X: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self._logits(X)
        loss = functional.cross_entropy(logits, y)
        if self.workload.l2:
            first = self.net.linear[0]
            loss = loss + self.workload.l2 * (first.weight.square().sum() + first.bias.square().sum())
        return loss, (logits.argmax(1) == y).float().mean()

    def _logits(self, X: torch.Tensor) -> torch.Tensor:
        if self.workload.precision != "bfloat16":
            return self.net(X)
        with torch.autocast(self.device.type, torch.bfloat16):
            return self.net(X).float()

    def _answer(self, X: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.net(X), 1)

    def decay(self) -> None:
        """The learning rate of the step that follows."""
        rate = self.workload.learning_rate / (1 + self.workload.decay * self.iterations)
        self.optimizer.param_groups[0]["lr"] = rate
        self.iterations += 1

    def step(self, X: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """A training step; its loss, on the device."""
        if self.workload.decay:
            self.decay()
        self.optimizer.zero_grad(set_to_none=True)
        loss, _ = self.measure(X, y)
        loss.backward()
        self.optimizer.step()
        return loss

    def loss_after(self, steps: int) -> float:
        X, y = self.data
        self.begin(self.workload.for_check)
        loss = torch.zeros(())
        for batch in self.first_batches(steps):
            loss = self.step(X[batch], y[batch])
        self.begin(self.workload)
        return loss.item()

    def run(self, units: int) -> None:
        if self.workload.training:
            self.train(units)
        else:
            with torch.inference_mode():  # once: entering it for each call would cost 2 µs more
                super().run(units)
        if self.setting.on_gpu:
            torch.cuda.synchronize()

    def train(self, units: int) -> None:
        X, y = self.data
        epochs, steps = self.passes(units)
        for _ in range(epochs):
            if self.workload.batch_size is None:
                self.step(X, y)
                continue
            order = torch.randperm(len(X), device=self.device)
            for batch in self.batches[:steps]:
                indices = order[batch]  # index_select takes half the time of X[indices] on a CPU
                self.step(X.index_select(0, indices), y.index_select(0, indices))

    def predict(self, X: np.ndarray) -> np.ndarray:
        if self.workload.training:  # not timed
            self.net.eval()
            answer = self._answer(torch.from_numpy(X).to(self.device)).cpu().numpy()
            self.net.train()
            return answer
        if self.setting.on_gpu:
            return self.answer(torch.from_numpy(X).to(self.device)).cpu().numpy()
        return self.answer(torch.from_numpy(X)).numpy()

    def loss_now(self) -> float | None:
        with torch.inference_mode():
            return super().loss_now()

    def device_peak(self) -> int | None:
        return torch.cuda.max_memory_allocated() if self.setting.on_gpu else None
