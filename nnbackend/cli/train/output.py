"""`nnbackend train`: what to print, to keep and to draw."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from ...callbacks import Checkpoint
from ...checks import count
from ...errors import ArgumentError, FileError
from ...model import Model
from ..files import check_animation, check_different, check_picture, check_report, check_writable
from ..guard import INTERRUPTED, Interrupted
from ..pictures import draw
from ..result import Result
from ..tasks import Task
from .page import write_page
from .watching import parse_interval

# How many pictures an animation has, about.
FRAMES = 40

# The group of these options in the help.
_output = partial(typer.Option, rich_help_panel="Output")


@dataclass
class OutputOptions:
    """Lines and files."""

    print_every: Annotated[
        int | None, _output(metavar="N", help="Epochs between printed lines; 0 for none (default: 100; images: 1).")
    ] = None
    save: Annotated[Path | None, _output(metavar="FILE", help="Write the trained model here.")] = None
    checkpoint: Annotated[
        Path | None,
        _output(metavar="FOLDER", help="Keep checkpoints here while training (default: every five minutes)."),
    ] = None
    checkpoint_every: Annotated[
        str | None, _output(metavar='"10 epochs"|"5 minutes"', help="How often to keep one.")
    ] = None
    resume: Annotated[bool, _output("--resume", help="Go on from the newest checkpoint in that folder.")] = False
    plot: Annotated[
        Path | None,
        _output(metavar="FILE.png", help="Draw what it learned: regions, the fitted curve or a confusion matrix."),
    ] = None
    animate: Annotated[
        Path | None, _output(metavar="FILE.gif", help="Show how the regions of spiral or vertical form (extra plot).")
    ] = None
    report: Annotated[
        Path | None,
        _output(
            metavar="FILE.html",
            help="Write a page about the run: curves, pictures, settings, environment (extra plot).",
        ),
    ] = None
    history: Annotated[
        Path | None, _output(metavar="FILE.csv", help="Write losses and accuracies of all epochs here.")
    ] = None
    profile: Annotated[
        bool, _output("--profile", help="Say after training where a step's time goes, by layer and op.")
    ] = False
    #: What was typed, where this was read from a command line.
    command_line: ClassVar[str | None] = None
    quiet: Annotated[bool, _output("--quiet", help="Print the final figures only.")] = False
    json: Annotated[bool, _output("--json", help="Print one JSON document and nothing else.")] = False

    def check_files(self, task: Task) -> None:
        """Say before training which files cannot be written after it."""
        if self.resume and self.checkpoint is None:
            raise ArgumentError("--resume needs --checkpoint FOLDER: where the checkpoints to go on from are")
        if self.checkpoint_every is not None and self.checkpoint is None:
            raise ArgumentError("--checkpoint-every needs --checkpoint FOLDER: where to keep them")
        if self.animate is not None:
            if task.training[0].shape[1] != 2:
                raise ArgumentError(f"--animate draws regions of a plane, and {task.name} has none: leave it out")
            check_animation("--animate", self.animate)
        if self.plot is not None:
            check_picture("--plot", self.plot)
        if self.report is not None:
            check_report("--report", self.report)
        check_writable("--save", self.save)
        check_writable("--history", self.history)
        files = {"--save": self.save, "--history": self.history, "--plot": self.plot, "--animate": self.animate}
        files["--report"] = self.report
        check_different({option: path for option, path in files.items() if path is not None})

    def checkpoints(self) -> list[Checkpoint]:
        """The callback that keeps checkpoints, if they were asked for."""
        if self.checkpoint is None:
            return []
        return [Checkpoint(self.checkpoint, resume=self.resume, **parse_interval(self.checkpoint_every))]

    def animations(self, task: Task, epochs: Any) -> list[Any]:
        """The callback that draws an animation, if one was asked for."""
        if self.animate is None:
            return []
        from ...plots import BoundaryAnimation

        animation = BoundaryAnimation(*task.training)
        animation.report_every = max(1, count("epochs", epochs) // FRAMES)
        animation.every = max(1, animation.report_every - 1)  # the first frame is that of epoch 1
        return [animation]

    def keep(self, result: Result, settings: dict[str, Any]) -> None:
        """Write the model and the picture that were asked for."""
        model, task = result.model, result.task
        if self.save is not None:
            model.training_record = result.record(settings)
            model.class_names = None if task.class_names is None else list(task.class_names)
            model.preprocessing = dict(task.preprocessing)
            model.save(self.save)
        if self.plot is not None:
            data = task.training if task.fresh_name == "fresh" else task.fresh
            draw(self.plot, model, *data, class_names=task.class_names)
        if self.report is not None:
            write_page(self.report, result, vars(self), self.command_line)

    @contextlib.contextmanager
    def history_kept(self, model: Model, epochs: Any) -> Iterator[None]:
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
            raise Interrupted(f"interrupted after {done:,} of {epochs:,} epochs{kept}", status) from None

    def _write_history(self, model: Model) -> None:
        if self.history is None or not model.history:
            return
        try:
            model.history.to_csv(self.history)
        except FileError as error:
            if not isinstance(refused := error.__cause__, OSError):
                raise
            raise OSError(refused.errno, refused.strerror, os.fspath(self.history)) from None


@contextlib.contextmanager
def named_as_option() -> Iterator[None]:
    """A block in which an error speaks of the option instead of the argument in Python."""
    try:
        yield
    except FileError as error:
        raise FileError(str(error).replace("resume=True", "--resume")) from error.__cause__
