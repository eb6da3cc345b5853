"""PyTorch with a whole training step captured as a CUDA graph, as its documentation shows ("CUDA semantics", CUDA Graphs)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..settings import Setting
from ..workloads import Workload
from . import torch_eager


def capture(work: Callable[[], None]) -> Callable[[], None]:
    """`work` as a graph: run a few times beside the usual stream, then recorded; the answer launches it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


class Peer(torch_eager.Peer):
    @classmethod
    def refusal(cls, workload: Workload, setting: Setting) -> str:
        return torch_eager.gpu_refusal(setting)

    def begin(self, workload: Workload) -> None:
        super().begin(workload)
        self.graphs: dict[int, tuple[torch.Tensor, torch.Tensor, Callable[[], None]]] = {}

    def new_optimizer(self, workload: Workload) -> torch.optim.Optimizer:
        """Its learning rate and its count of steps are tensors, so that a graph can change them."""
        self.rate = torch.tensor(workload.learning_rate, device=self.device)
        self.count = torch.zeros((), device=self.device)
        return torch.optim.Adam(self.net.parameters(), self.rate, eps=1e-7, fused=True, capturable=True)

    def decay(self) -> None:
        self.rate.copy_(self.workload.learning_rate / (1 + self.workload.decay * self.count))
        self.count += 1

    def step(self, X: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The inputs go into the graph's own, and the graph is launched. Its first call captures it."""
        if len(X) not in self.graphs:
            self.graphs[len(X)] = self._captured_step(X, y)
        inputs, targets, launch = self.graphs[len(X)]
        inputs.copy_(X)
        targets.copy_(y)
        launch()
        return self.loss

    def _captured_step(self, X: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, Callable[[], None]]:
        """Capturing runs the step a few times: parameters and the optimizer's state are put back afterwards."""
        inputs, targets = X.clone(), y.clone()
        before = self._state()

        def work() -> None:
            self.loss = super(Peer, self).step(inputs, targets)

        launch = capture(work)
        self._restore(before)
        return inputs, targets, launch

    def _tensors(self) -> list[torch.Tensor]:
        state = [value for values in self.optimizer.state.values() for value in values.values()]
        return [*self.net.parameters(), self.rate, self.count, *state]

    def _state(self) -> list[torch.Tensor]:
        return [tensor.detach().clone() for tensor in self._tensors()]

    def _restore(self, before: list[torch.Tensor]) -> None:
        """In place, since the graph knows the tensors' addresses; state that was not there before began at zero."""
        with torch.no_grad():
            for i, tensor in enumerate(self._tensors()):
                tensor.copy_(before[i] if i < len(before) else torch.zeros_like(tensor))

    def predict(self, X: np.ndarray) -> np.ndarray:
        if self.workload.training:
            return super().predict(X)
        with torch.inference_mode():
            values = torch.from_numpy(X)
            if len(X) not in self.graphs:
                self.graphs[len(X)] = self._captured_answer(values)
            inputs, outputs, launch = self.graphs[len(X)]
            inputs.copy_(values)
            launch()
            return outputs.cpu().numpy()

    def _captured_answer(self, X: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, Callable[[], None]]:
        inputs = X.to(self.device)

        def work() -> None:
            self.outputs = self.answer(inputs)

        launch = capture(work)
        return inputs, self.outputs, launch
