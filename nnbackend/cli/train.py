"""`nnbackend train`: a network for one of the book's data sets."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ..activations import ReLU
from ..backend import Backend
from ..callbacks import Checkpoint
from ..checks import count
from ..errors import ArgumentError, FileError, did_you_mean
from ..initializers import Normal
from ..layers import Dense, Dropout, Layer
from ..model import Model
from ..optimizers import SGD, Adagrad, Adam, Optimizer, RMSprop
from ..regularizers import L1, L1L2, L2, Regularizer
from .files import check_animation, check_picture, check_writable
from .guard import INTERRUPTED, Interrupted
from .output import Clock, Header, backend_line, on_terminal, progress_bar, settle_backend, write_lines_at_once
from .pictures import draw
from .result import Result, describe
from .tasks import DATA_SETS, Task, load_task

# The optimizers with the book's best settings for the spiral (chapter 10); Adam's depend on the task.
OPTIMIZERS: dict[str, tuple[type[Optimizer], dict[str, float]]] = {
    "sgd": (SGD, {"learning_rate": 1.0, "decay": 1e-3, "momentum": 0.9}),
    "adagrad": (Adagrad, {"learning_rate": 1.0, "decay": 1e-4}),
    "rmsprop": (RMSprop, {"learning_rate": 0.02, "decay": 1e-5}),
    "adam": (Adam, {}),
}

# How many pictures an animation has, about.
FRAMES = 60

# The groups of options in the help.
_network = partial(typer.Option, rich_help_panel="Network")
_training = partial(typer.Option, rich_help_panel="Training")
_output = partial(typer.Option, rich_help_panel="Output")


@dataclass
class Train:
    """Train a network on one of the book's data sets.

    The data decide the last layer, the loss, the accuracy and the defaults. The spiral without options is the book's chapter-14
    run: 2-64-3, L2 on the hidden layer, Adam; fashion-mnist is chapter 19's: 784-128-128-10 in batches, checked on the test set.
    """

    data: Annotated[str, typer.Argument(metavar="|".join(DATA_SETS), help="What to learn.", show_default=False)]
    path: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="PATH", help="Your copy of Fashion-MNIST: PNG folders, their zip, or IDX files."
        ),
    ] = None
    backend: Annotated[
        str | None,
        typer.Option(
            metavar="cpu|gpu|gpu:N|auto|strict",
            help="Where to compute: auto is a GPU if one works, strict a pretend GPU for tests "
            "(default: what the environment variable NNBACKEND says, else cpu).",
        ),
    ] = None
    dtype: Annotated[str, typer.Option(metavar="float32|float64", help="The precision of every array.")] = "float32"
    matmul_precision: Annotated[
        str,
        typer.Option(
            metavar="float32|tf32|bfloat16",
            help="How a GPU rounds the factors of float32 matrix products; tf32 and bfloat16 are faster, and turn on kernels "
            "that no GPU has proved yet.",
        ),
    ] = "float32"
    seed: Annotated[int, typer.Option(metavar="N", help="Decides data, initial weights, shuffling and dropout.")] = 0
    samples: Annotated[
        int | None, typer.Option(metavar="N", help="Samples a class (default: 100; sine: 1000 in all).")
    ] = None
    classes: Annotated[int | None, typer.Option(metavar="N", help="Spiral arms or clouds (default: 3).")] = None
    binary: Annotated[bool, typer.Option("--binary", help="Tell two classes apart by one sigmoid (chapter 16).")] = (
        False
    )
    hidden: Annotated[
        list[int] | None,
        _network(
            metavar="N",
            help="Neurons of a hidden layer; once for every layer (default: 64; sine: 64, 64; images: 128, 128).",
        ),
    ] = None
    dropout: Annotated[
        float, _network(metavar="RATE", help="Share of neurons dropped behind every hidden layer (chapter 15).")
    ] = 0.0
    weight_l1: Annotated[float, _network(metavar="L", help="L1 strength on the weights of hidden layers.")] = 0.0
    weight_l2: Annotated[
        float | None, _network(metavar="L", help="L2 strength on them (default: 0.0005; sine, images: 0).")
    ] = None
    bias_l1: Annotated[float, _network(metavar="L", help="L1 strength on the biases of hidden layers.")] = 0.0
    bias_l2: Annotated[
        float | None, _network(metavar="L", help="L2 strength on them (default: 0.0005; sine, images: 0).")
    ] = None
    epochs: Annotated[
        int | None, _training(metavar="N", help="Passes over the data (default: 10000; digits: 20; fashion-mnist: 10).")
    ] = None
    batch_size: Annotated[
        int | None, _training(metavar="N", help="Samples a step (default: all of them; images: 128).")
    ] = None
    optimizer: Annotated[str, _training(metavar="|".join(OPTIMIZERS), help="How gradients change parameters.")] = "adam"
    learning_rate: Annotated[
        float | None,
        _training(metavar="RATE", help="The first learning rate (default: the book's for optimizer and data)."),
    ] = None
    decay: Annotated[
        float | None, _training(metavar="RATE", help="Learning-rate decay (default: the book's for both).")
    ] = None
    momentum: Annotated[float | None, _training(metavar="M", help="Momentum of sgd (default: 0.9).")] = None
    print_every: Annotated[
        int | None, _output(metavar="N", help="Epochs between printed lines; 0 for none (default: 100; images: 1).")
    ] = None
    save: Annotated[Path | None, _output(metavar="FILE", help="Write the trained model here.")] = None
    checkpoint: Annotated[
        Path | None, _output(metavar="FOLDER", help="Keep checkpoints here while training, one every five minutes.")
    ] = None
    resume: Annotated[bool, _output("--resume", help="Go on from the newest checkpoint in that folder.")] = False
    plot: Annotated[
        Path | None,
        _output(metavar="FILE.png", help="Draw what it learned: regions, the fitted curve or a confusion matrix."),
    ] = None
    animate: Annotated[
        Path | None, _output(metavar="FILE.gif", help="Show how the regions of spiral or vertical form (extra plot).")
    ] = None
    history: Annotated[
        Path | None, _output(metavar="FILE.csv", help="Write losses and accuracies of all epochs here.")
    ] = None
    quiet: Annotated[bool, _output("--quiet", help="Print the final figures only.")] = False
    json: Annotated[bool, _output("--json", help="Print one JSON document and nothing else.")] = False

    def __call__(self) -> int:
        """Do it."""
        write_lines_at_once()
        task = load_task(
            self.data, samples=self.samples, classes=self.classes, binary=self.binary, seed=self.seed, path=self.path
        )
        self._take_defaults(task)
        xp, reason = settle_backend(self.backend, self.dtype, matmul_precision=self.matmul_precision)
        model = self.build(task, xp)
        self._check_files(task)
        with self._history_kept(model):
            times = self._train(model, task, [backend_line(xp, reason), str(task), describe(model)])
            result = Result(model, task, reason, *times)
            self._keep(result)
            self._report(result)
        return 0

    def _take_defaults(self, task: Task) -> None:
        """Settle what the task decides and nobody asked for otherwise."""
        defaults, samples = task.defaults, len(task.training[0])
        self.epochs = defaults.epochs if self.epochs is None else self.epochs
        self.print_every = defaults.print_every if self.print_every is None else self.print_every
        if self.batch_size is None and defaults.batch_size is not None:
            self.batch_size = min(defaults.batch_size, samples)

    def _check_files(self, task: Task) -> None:
        """Say before training which files cannot be written after it."""
        if self.resume and self.checkpoint is None:
            raise ArgumentError("--resume needs --checkpoint FOLDER: where the checkpoints to go on from are")
        if self.animate is not None:
            if task.training[0].shape[1] != 2:
                raise ArgumentError(f"--animate draws regions of a plane, and {task.name} has none: leave it out")
            check_animation("--animate", self.animate)
        if self.plot is not None:
            check_picture("--plot", self.plot)
        check_writable("--save", self.save)
        check_writable("--history", self.history)

    def build(self, task: Task, xp: Backend) -> Model:
        """The network for a task."""
        defaults = task.defaults
        n_inputs, layers = task.training[0].shape[1], []
        for n_neurons in self.hidden or defaults.hidden:
            layers += self._hidden_layer(n_inputs, n_neurons, defaults.l2, Normal(defaults.initial_weights))
            n_inputs = n_neurons
        last = Dense(n_inputs, task.n_outputs, weight_initializer=Normal(defaults.initial_weights))
        ending = task.ending
        layers += [last, ending.layer()]
        return Model(layers, loss=ending.loss(), optimizer=self._optimizer(task), backend=xp, seed=self.seed)

    def _hidden_layer(self, n_inputs: int, n_neurons: int, l2: float, initializer: Normal) -> list[Layer]:
        dense = Dense(
            n_inputs,
            n_neurons,
            weight_regularizer=regularizer(self.weight_l1, l2 if self.weight_l2 is None else self.weight_l2),
            bias_regularizer=regularizer(self.bias_l1, l2 if self.bias_l2 is None else self.bias_l2),
            weight_initializer=initializer,
        )
        return [dense, ReLU(), Dropout(self.dropout)] if self.dropout else [dense, ReLU()]

    def _optimizer(self, task: Task) -> Optimizer:
        if self.optimizer not in OPTIMIZERS:
            raise ArgumentError(f"unknown optimizer {self.optimizer!r}: {did_you_mean(self.optimizer, OPTIMIZERS)}")
        kind, settings = OPTIMIZERS[self.optimizer]
        settings = settings or {"learning_rate": task.defaults.learning_rate, "decay": task.defaults.decay}
        given = {"learning_rate": self.learning_rate, "decay": self.decay, "momentum": self.momentum}
        if self.momentum is not None and "momentum" not in settings:
            raise ArgumentError(f"--momentum {self.momentum:g} is for --optimizer sgd: {self.optimizer} has none")
        return kind(**settings | {name: value for name, value in given.items() if value is not None})

    def _train(self, model: Model, task: Task, header: list[str]) -> tuple[float, float, int]:
        """Train, and return the seconds it took, how many of them the first epoch, and how many epochs it trained."""
        silent = self.quiet or self.json
        shown = on_terminal(sys.stderr if self.json else sys.stdout) and not self.quiet
        started, clock = time.perf_counter(), Clock()
        checkpoints = [] if self.checkpoint is None else [Checkpoint(self.checkpoint, resume=self.resume)]
        animations = self._animations(task)
        with progress_bar(shown=shown, to_stderr=self.json) as bar, _named_as_option():
            model.train(
                *task.training,
                epochs=self.epochs,  # type: ignore[arg-type]  # settled by _take_defaults
                batch_size=self.batch_size,
                validation_data=task.fresh if task.fresh_name == "test" else None,
                print_every=0 if silent else self.print_every,
                callbacks=[*([] if silent else [Header(header)]), clock, *bar, *animations, *checkpoints],
            )
        seconds = time.perf_counter() - started
        for animation in animations:
            animation.save(os.fspath(self.animate))  # type: ignore[arg-type]
        resumed = next((checkpoint.resumed_epoch or 0 for checkpoint in checkpoints), 0)
        return seconds, clock.first_epoch, model.epoch - resumed

    def _animations(self, task: Task) -> list[Any]:
        if self.animate is None:
            return []
        from ..plots import BoundaryAnimation

        animation = BoundaryAnimation(*task.training)
        animation.report_every = max(1, count("epochs", self.epochs) // FRAMES)
        animation.every = max(1, animation.report_every - 1)  # the first frame is that of epoch 1
        return [animation]

    def _keep(self, result: Result) -> None:
        """Write the model and the picture that were asked for."""
        model, task = result.model, result.task
        if self.save is not None:
            names = ("seed", "samples", "classes", "epochs", "batch_size")
            model.training_record = result.record({name: getattr(self, name) for name in names})
            model.class_names = None if task.class_names is None else list(task.class_names)
            model.preprocessing = dict(task.preprocessing)
            model.save(self.save)
        if self.plot is not None:
            data = task.fresh if task.fresh_name == "test" else task.training
            draw(self.plot, model, task.kind, *data, class_names=task.class_names)

    @contextlib.contextmanager
    def _history_kept(self, model: Model) -> Iterator[None]:
        """A block after which the finished epochs are in the history file, however it ended."""
        try:
            try:
                yield
            finally:
                self._write_history(model)
        except KeyboardInterrupt as error:
            done, kept = len(model.history), ""
            if self.history is not None and done:
                kept = f"; their history is in {self.history}"
            if self.checkpoint is not None:
                kept += f"; go on from the checkpoints in {self.checkpoint} with --resume"
            status = getattr(error, "status", INTERRUPTED)
            raise Interrupted(f"interrupted after {done:,} of {self.epochs:,} epochs{kept}", status) from None

    def _write_history(self, model: Model) -> None:
        if self.history is None or not model.history:
            return
        try:
            model.history.to_csv(self.history)
        except FileError as error:
            if not isinstance(refused := error.__cause__, OSError):
                raise
            raise OSError(refused.errno, refused.strerror, os.fspath(self.history)) from None

    def _report(self, result: Result) -> None:
        if self.json:
            print(json.dumps(result.document(), indent=2))
        else:
            print(*result.lines(with_training=self.quiet or not self.print_every), sep="\n")


@contextlib.contextmanager
def _named_as_option() -> Iterator[None]:
    """A block in which an error speaks of the option instead of the argument in Python."""
    try:
        yield
    except FileError as error:
        raise FileError(str(error).replace("resume=True", "--resume")) from error.__cause__


def regularizer(l1: float, l2: float) -> Regularizer | None:
    """The penalty with these strengths, by its simplest name."""
    if not l2:
        return L1(l1) if l1 else None
    return L1L2(l1, l2) if l1 else L2(l2)
