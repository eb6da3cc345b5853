"""`python -m benchmarks`: every peer on every workload, in turns; ends with the figures to reach and their outcomes.

Without a choice: all workloads, start-up, and each kernel against its reference. With one or more of --workload, --startup,
--ops and --scaling: only these. A part that fails is reported, and the others go on.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from nnbackend.errors import NNBackendError

from . import kernels, machine, markdown, others, plot, report, scaling, startup
from .document import Document, DocumentError
from .measure import Pace, measure
from .peers import MODULES
from .settings import Setting
from .workloads import Workload, workloads


def main(arguments: list[str] | None = None) -> int:
    """0; 1 where a part failed, or peers did not learn the same; 2 for what cannot be begun.

    A figure that is not reached is reported, and no error.
    """
    options = _parser().parse_args(arguments)
    try:
        if options.show:
            return _show(options)
        run = Run(options)
        with others.at_work(options.busy):
            return run.everything()
    except (DocumentError, NNBackendError) as error:
        print(f"python -m benchmarks: {error}", file=sys.stderr)
        return 2


def _show(options: argparse.Namespace) -> int:
    """An earlier result, as Markdown or as pictures."""
    document = Document.load(options.show)
    if options.plot:
        plot.performance(document, options.plot)
    if options.scaling:
        if "scaling" not in document.parts:
            raise DocumentError(f"{options.show} has no scaling: measure it with --update {options.show} --scaling")
        scaling.plot(document.parts["scaling"]["rows"], Path(options.scaling))
    if options.short:
        print(markdown.short(document))
    elif not (options.plot or options.scaling):
        print(markdown.full(document))
    return 0


class Run:
    """What was asked for, and the document that it goes into."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.setting = Setting(options.backend, options.kernels, options.tiny)
        if options.busy and (options.patience or options.update):
            raise DocumentError("--busy is for looking at what other programs cost: without --patience and --update")
        self.pace = Pace(options.rounds, options.seconds, options.patience)
        self.known = workloads(self.setting)
        if unknown := set(options.workload) - set(self.known):
            raise DocumentError(f"--backend {options.backend} has no workload {', '.join(sorted(unknown))}: "
                                f"expected {', '.join(self.known)}")  # fmt: skip
        gpu = self.setting.get_backend().description if self.setting.on_gpu else None  # fails in one sentence
        here = machine.describe(gpu)
        if options.update:
            self.document = Document.load(options.update)
            self.document.renew_on(here, options.backend)
        else:
            self.document = Document({"machine": here, "backend": options.backend})
        self.path: Path | None = options.update or options.json
        self.console: Console = report.new_console()
        self.failed = False

    def everything(self) -> int:
        """The parts one after the other; the file is written after each."""
        options, now = self.options, machine.now()
        about = self.document.machine
        self.console.print(f"{about['processor']}, {about['cores']} cores, {about['system']}, Python {about['python']}, "
                           f"commit {now['commit']}, {now['date']}, load average {now['load_average']}")  # fmt: skip
        chosen = bool(options.workload or options.startup or options.ops or options.scaling) and not options.all
        for name in options.workload or ([] if chosen else self.known):
            self._part(name, lambda name=name: self._workload(self.known[name]))  # type: ignore[misc]
        if options.startup or not chosen:
            self._part("startup", lambda: self._table("startup", startup.run(self.setting)))
        if options.ops or not chosen:
            self._part("kernels", lambda: self._table("kernels", kernels.run(self.setting)))
        if options.scaling or options.all:
            self._part("scaling", self._scaling)
        if options.plot:
            plot.performance(self.document, options.plot)
        if self.path:
            self.console.print(f"written: {self.path}")
        for line in self.document.wrong:
            self.console.print(f"did not learn the same: {line}")
        if not options.busy:
            self.console.print(report.figures(self.document))
        return 1 if self.failed or self.document.wrong else 0

    def _part(self, name: str, work: Callable[[], None]) -> None:
        """One part. What goes wrong in it does not end the run."""
        start = time.perf_counter()
        self.console.print(f"{name} ...")
        try:
            work()
        except Exception as error:
            self.failed = True
            self.console.print(f"{name} failed: {type(error).__name__}: {error}", markup=False)
        self.console.print(f"{name}: {time.perf_counter() - start:.0f} s")
        if self.path:
            self.document.save(self.path)

    def _measured(self) -> dict[str, Any]:
        pace = {"seconds": self.pace.seconds, "patience": self.pace.patience}
        return {**machine.now(), "kernels": self.setting.kernels, "others_at_work": self.options.busy, **pace}

    def _workload(self, workload: Workload) -> None:
        result = measure(workload, self.options.peer or list(MODULES), self.setting, self.pace)
        result.measured = self._measured()
        self.document.put(result)
        self.console.print(report.workload(result))
        if failures := [name for name, reason in result.absent.items() if reason.startswith("failed")]:
            self.console.print(f"left out of {workload.name}, since they failed: {', '.join(failures)}")
            self.failed = self.failed or "nnbackend" in failures

    def _table(self, name: str, rows: Any) -> None:
        self.document.put_part(name, rows, self._measured())
        self.console.print(report.PARTS[name](rows))

    def _scaling(self) -> None:
        pace = Pace(min(5, self.pace.rounds), self.pace.seconds / 2, self.pace.patience)
        found = scaling.run(self.setting, pace, self.options.peer or list(MODULES))
        self._table("scaling", found)
        for line in found["wrong"]:
            self.console.print(f"did not learn the same: {line}")
            self.failed = True
        if self.options.scaling:
            scaling.plot(found, Path(self.options.scaling))
            self.console.print(f"written: {self.options.scaling}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    what = parser.add_argument_group("what is measured")
    what.add_argument("--workload", action="append", default=[], metavar="NAME", help="only these (repeatable)")
    what.add_argument("--startup", action="store_true", help="imports and first steps, with and without kernel caches")
    what.add_argument("--ops", action="store_true", help="each kernel against its reference")
    what.add_argument("--scaling", nargs="?", const="scaling.png", metavar="PLOT.png",
                      help="how time grows with samples, width and depth (default: scaling.png)")  # fmt: skip
    what.add_argument("--all", action="store_true", help="everything, scaling included")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--backend", choices=("cpu", "gpu", "strict"), default="cpu", metavar="cpu|gpu", help="nnbackend's"
    )
    how.add_argument("--kernels", choices=("auto", "all", "reference"), default="auto",
                     help="nnbackend's; all: those that no GPU has run yet as well")  # fmt: skip
    how.add_argument("--peer", action="append", choices=list(MODULES), metavar="NAME", help="only these (repeatable)")
    how.add_argument("--rounds", type=int, default=9, help="how often every peer has its turn (default: 9)")
    how.add_argument("--seconds", type=float, default=0.5, help="about how long a turn takes (default: 0.5)")
    how.add_argument("--patience", type=float, default=0.0,
                     help="seconds for which a turn that other programs disturb is repeated")  # fmt: skip
    how.add_argument("--busy", type=int, default=0, metavar="N",
                     help="with so many other programs at work; the figures to reach are left out")  # fmt: skip
    how.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)  # sizes for tests
    results = parser.add_argument_group("results")
    results.add_argument("--json", type=Path, help="write all results there, such as benchmarks/results/NAME.json")
    results.add_argument("--update", type=Path, metavar="FILE.json",
                         help="measure what is chosen and put it in place of what that file has of it")  # fmt: skip
    results.add_argument("--show", type=Path, metavar="FILE.json", help="print an earlier result as Markdown, and end")
    results.add_argument("--short", action="store_true", help="with --show: the README's table")
    results.add_argument("--plot", type=Path, metavar="PLOT.png", help="draw the ratios to each peer")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
