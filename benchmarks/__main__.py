"""`python -m benchmarks`: every peer on every workload, in turns; ends with the figures to reach and their outcomes."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from . import kernels, machine, report, scaling, startup
from .measure import disagreements, measure
from .peers import MODULES
from .workloads import WORKLOADS


def main() -> int:
    """Returns 1 where peers did not learn the same; a figure that is not reached is reported and no error."""
    options = _parser().parse_args()
    if options.show:
        print(report.markdown(json.loads(options.show.read_text())))
        return 0
    console = Console(width=None if Console().is_terminal else 160)
    about = machine.describe()
    console.print(f"{about['processor']}, {about['cores']} cores, {about['system']}, Python {about['python']}, "
                  f"commit {about['commit']}, {about['date']}, load average {about['load_average']}")  # fmt: skip
    more = _more(options, console)
    results, wrong = [], []
    for name in options.workload or ([] if more else WORKLOADS):
        workload = WORKLOADS[name]
        console.print(f"{name} ...")
        start = time.perf_counter()
        result = measure(
            workload,
            options.peer or list(MODULES),
            rounds=options.rounds,
            seconds=options.seconds,
            patience=options.patience,
        )
        console.print(f"{name}: {time.perf_counter() - start:.0f} s")
        results.append(result)
        wrong += [f"{name}, {line}" for line in disagreements(result, workload)]
    if results:
        report.show(console, results)
    for line in wrong:
        console.print(f"did not learn the same: {line}")
    if options.json:
        report.write(options.json, results, machine=about, disagreements=wrong, **more)
        console.print(f"written: {options.json}")
    return 1 if wrong else 0


def _more(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """What is asked for beside the workloads, for the JSON file."""
    found: dict[str, Any] = {}
    if options.startup:
        found["startup"] = startup.run()
        console.print(startup.table(found["startup"]))
    if options.kernels:
        found["kernels"] = kernels.run()
        console.print(kernels.table(found["kernels"]))
    if options.scaling:
        measured = scaling.run(rounds=min(3, options.rounds), seconds=options.seconds / 5)
        console.print(scaling.table(measured))
        scaling.plot(measured, options.scaling)
        console.print(f"written: {options.scaling}")
        found["scaling"] = scaling.as_json(measured)
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--workload", action="append", choices=list(WORKLOADS), help="only these (repeatable)")
    parser.add_argument("--peer", action="append", choices=list(MODULES), help="only these (repeatable)")
    parser.add_argument("--rounds", type=int, default=9, help="how often every peer has its turn")
    parser.add_argument("--seconds", type=float, default=0.5, help="about how long a turn takes")
    parser.add_argument("--startup", action="store_true", help="imports and first steps, instead of the workloads")
    parser.add_argument("--kernels", action="store_true", help="each CPU kernel against its reference, instead")
    parser.add_argument("--scaling", type=Path, metavar="PLOT.png", help="how time grows with samples, width and depth")
    parser.add_argument("--show", type=Path, metavar="FILE.json", help="print an earlier result as Markdown, and end")
    parser.add_argument(
        "--patience", type=float, default=0.0, help="seconds for which a turn that other programs disturb is repeated"
    )
    parser.add_argument("--json", type=Path, help="write all results there, such as benchmarks/results/NAME.json")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
