"""The command."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import tests.fuzz
from tests.fuzz.readers import READERS, TALLIES, fuzz
from tests.fuzz.watch import MEMORY, address_space


def main() -> int:
    """Run readers, print findings as they come and what was done, keep the inputs of findings."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=(tests.fuzz.__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--reader", action="append", choices=READERS, help="default: all of them")
    parser.add_argument("--seconds", type=float, default=60, metavar="S", help="for each reader")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="read one input, and let what it raises through")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where inputs of findings go (default: a new one)")
    options = parser.parse_args()
    names = options.reader or list(READERS)
    if options.only is not None:
        return read_one(names[0], options.seed, options.only)
    keep, findings = options.keep or Path(tempfile.gettempdir()) / "nnbackend-fuzz", 0
    keep.mkdir(parents=True, exist_ok=True)
    with address_space(4 * MEMORY):
        for name in names:
            for finding in fuzz(name, seconds=options.seconds, seed=options.seed):
                findings += 1
                (keep / finding.name).write_bytes(finding.content)
                print(finding, flush=True)
            print(f"{name}, seed {options.seed}: {TALLIES[name]}", flush=True)
    print(f"{findings} findings, their inputs are in {keep}" if findings else "no findings")
    return bool(findings)


def read_one(name: str, seed: int, number: int) -> int:
    """One input, with its traceback if it has one."""
    reader = READERS[name]
    with tempfile.TemporaryDirectory() as folder, address_space(4 * MEMORY):
        path = Path(folder) / f"input{reader.suffix}"
        path.write_bytes(reader.input(seed, number))
        print(path.read_bytes()[:2000])
        reader.read(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
