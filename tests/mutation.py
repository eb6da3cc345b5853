"""Would the tests notice? Each formula of nnbackend.ops is broken in a copy of the project, and the tests must fail there.

    python tests/mutation.py                            all mutants, against tests/test_ops.py
    python tests/mutation.py adam relu_backward         those of some ops
    python tests/mutation.py --signs --tests tests/test_layers.py tests/test_gradcheck.py tests/test_optimizers.py
    python tests/mutation.py --kernels                  the CPU's backward kernels, each line that writes a result

The first thing run is the copy as it is, which must pass. On two cores the first takes two minutes, the last four. pytest
does not collect this file; `test_mutation.py` sees to it that the table below stays complete and fits these formulas.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OPS = Path("nnbackend/ops")
KERNELS = Path("nnbackend/kernels/cpu")
COPIED = ("nnbackend", "tests", "pyproject.toml")
SECONDS = 120  # a mutant that takes longer is taken for noticed


@dataclass(frozen=True)
class Mutant:
    """A change to the body of one op: `old` is there exactly once, and becomes `new`."""

    op: str
    old: str
    new: str

    @property
    def name(self) -> str:
        return f"{self.op}: {self.old}  ->  {self.new}"

    def apply(self, source: str) -> str:
        """The source of the op's file with the change."""
        start = source.index(f"def {self.op}(")
        end = source.find("\ndef ", start)
        body = source[start : end if end > 0 else len(source)]
        docstring_end = body.index('"""', body.index('"""') + 3) + 3
        code = body[docstring_end:]
        if code.count(self.old) != 1:
            raise ValueError(f"{self.op}: {self.old!r} is there {code.count(self.old)} times: expected once")
        return source[:start] + body[:docstring_end] + code.replace(self.old, self.new) + source[start + len(body) :]


@dataclass(frozen=True)
class Negated:
    """All results of one op with the opposite sign."""

    op: str

    @property
    def name(self) -> str:
        return f"{self.op}: negated"

    def apply(self, source: str) -> str:
        """The source of the op's file with the op wrapped."""
        return source + _NEGATED.format(op=self.op)


_NEGATED = """

def _negated(function):
    import functools

    @functools.wraps(function)
    def negated(xp, *arguments, out, **settings):
        result = function(xp, *arguments, out=out, **settings)
        for part in result if isinstance(result, tuple) else (result,):
            xp.negative(part, out=part)
        return result

    return negated


{op} = _negated({op})
"""

# The sign of every formula that goes backwards: gradients, and the steps along them.
SIGNS = [
    Negated("weights_gradient"),
    Negated("biases_gradient"),
    Negated("inputs_gradient"),
    Negated("relu_backward"),
    Negated("relu_biases_gradient"),
    Negated("sigmoid_backward"),
    Negated("softmax_backward"),
    Negated("multiply"),
    Negated("categorical_crossentropy_backward"),
    Negated("softmax_crossentropy_backward"),
    Negated("binary_crossentropy_backward"),
    Negated("sigmoid_crossentropy_backward"),
    Negated("mean_squared_error_backward"),
    Negated("mean_absolute_error_backward"),
    Mutant("penalty_gradient", "strength, -strength", "-strength, strength"),
    Mutant("penalty_gradient", "state += (2", "state -= (2"),
    Mutant("sgd", "values -= learning_rate", "values += learning_rate"),
    Mutant("sgd_momentum", "momentums -= learning_rate", "momentums += learning_rate"),
    Mutant("sgd_momentum", "values += momentums", "values -= momentums"),
    Mutant("adagrad", "values -= learning_rate", "values += learning_rate"),
    Mutant("rmsprop", "values -= learning_rate", "values += learning_rate"),
    Mutant("adam", "values -= rate", "values += rate"),
    Mutant("adamw", "-= (weight_decay", "+= (weight_decay"),
    Mutant("adam_unfolded", "values -= learning_rate", "values += learning_rate"),
]

# Other slips that are easily made.
SLIPS = [
    Mutant("relu_biases_gradient", "biases_gradient(xp, dlinear", "biases_gradient(xp, dvalues"),
    Mutant("sigmoid_backward", "(1 - output)", "(1 + output)"),
    Mutant("softmax_backward", "dvalues - shares", "dvalues + shares"),
    Mutant("softmax_crossentropy_backward", "-= 1", "+= 1"),
    Mutant("binary_crossentropy_backward", "- targets / clipped", "+ targets / clipped"),
    Mutant("dense", "xp.add(out, biases", "xp.subtract(out, biases"),
    Mutant("weights_gradient", "dvalues, out=out)", "dvalues / len(dvalues), out=out)"),
    Mutant("relu_backward", "output > 0", "output >= 0"),
    Mutant("sigmoid", "-xp.abs(inputs)", "-inputs"),
    Mutant("softmax", "xp.exp(", "xp.exp2("),
    Mutant("dropout", "words >= round", "words < round"),
    Mutant("dropout_mask", "1 / (1 - rate)", "1 / rate"),
    Mutant("categorical_crossentropy", "CLIP, 1 - CLIP", "CLIP, 1"),
    Mutant("categorical_crossentropy_backward", "(len(targets) * xp.clip", "(xp.clip"),
    Mutant("binary_crossentropy", "axis=1", "axis=0"),
    Mutant("mean_squared_error_backward", "2 / predictions.size", "2 / len(predictions)"),
    Mutant("mean_absolute_error", "xp.abs(targets - predictions)", "(targets - predictions)"),
    Mutant("mean", "values.size", "values.size + 1"),
    Mutant("weighted_mean", "values * weights", "values"),
    Mutant("weigh", "weights[:, xp.newaxis]", "1"),
    Mutant("penalty", "l1 * xp.abs(parameters).sum()", "l1 * parameters.sum()"),
    Mutant("penalty", "state += l2 *", "state += 2 * l2 *"),
    Mutant("penalty_gradient", "parameters >= 0", "parameters > 0"),
    Mutant("binary_accuracy", "predictions > 0.5", "predictions >= 0.5"),
    Mutant("regression_accuracy", "< precision", "<= precision"),
    Mutant("decayed_learning_rate", "decay * iterations", "decay * (iterations + 1)"),
    Mutant("adam_step_sizes", "iterations + 1.0", "iterations + 2.0"),
    Mutant("bias_corrections", "iterations + 1.0", "iterations + 2.0"),
    Mutant("adagrad", "+ epsilon", ""),
    Mutant("rmsprop", "cache *= rho", "cache *= 1 - rho"),
    Mutant("adam", "momentums *= beta_1", "momentums *= beta_2"),
    Mutant("adam", "xp.sqrt(cache) * scale", "xp.sqrt(cache)"),
    Mutant("adam", "_flush_denormals(xp, cache)", "pass"),
    Mutant("adamw", "weight_decay * learning_rate", "weight_decay"),
    Mutant("clip_factor", "xp.maximum(", "xp.minimum("),
    Mutant("clip_factor", "+ (norm - norm)", ""),
    Mutant("scale", "values, factor", "values, 1 / factor"),
    Mutant("batch_indices", "position + offsets", "offsets"),
    Mutant("record", "cursor += 1", "pass"),
]


@dataclass(frozen=True)
class Line:
    """Another sign in one line of a kernel."""

    path: Path
    number: int
    old: str
    new: str

    @property
    def op(self) -> str:
        return self.path.stem

    @property
    def name(self) -> str:
        return f"{self.path.name}:{self.number}: {self.old.strip()}  ->  {self.new.strip()}"

    def apply(self, source: str) -> str:
        """The source with the line changed."""
        lines = source.split("\n")
        assert lines[self.number - 1] == self.old
        lines[self.number - 1] = self.new
        return "\n".join(lines)


def file_of(op: str, root: Path) -> Path:
    """The file that defines an op."""
    (path,) = (path for path in (root / OPS).glob("*.py") if f"\ndef {op}(" in path.read_text())
    return path


def kernel_signs(root: Path) -> list[Line]:
    """Each line of a backward kernel that writes a result, with the opposite sign."""
    found = []
    for path in sorted((root / KERNELS).glob("*.py")):
        source = path.read_text()
        for function in ast.parse(source).body:
            if isinstance(function, ast.FunctionDef) and _goes_backwards(path, function.name):
                found += [
                    Line(path.relative_to(root), statement.lineno, line, flipped)
                    for statement in ast.walk(function)
                    if (line := source.split("\n")[statement.lineno - 1] if isinstance(statement, ast.stmt) else "")
                    and (flipped := _flip(statement, line)) is not None
                ]
    return found


def _goes_backwards(path: Path, name: str) -> bool:
    named_so = "backward" in name or "gradient" in name or name in ("multiply_loop", "scaled_difference_loop")
    return name.endswith("_loop") and (named_so or path.stem == "optimizers")


def _flip(statement: ast.AST, line: str) -> str | None:
    """The line of a statement that writes to an array, with the opposite sign; None for other statements."""
    if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Subscript):
        signs = {ast.Add: ("+=", "-="), ast.Sub: ("-=", "+=")}
        return line.replace(*signs[type(statement.op)], 1) if type(statement.op) in signs else None
    one_line = isinstance(statement, ast.Assign) and statement.lineno == statement.end_lineno
    constant = one_line and isinstance(statement.value, ast.Constant)  # -0 is no other program
    if one_line and not constant and isinstance(statement.targets[0], ast.Subscript):
        start, end = statement.value.col_offset, statement.value.end_col_offset
        text = line.encode()  # offsets count bytes
        return (text[:start] + b"-(" + text[start:end] + b")" + text[end:]).decode()
    return None


def copy_project(root: Path, folder: Path) -> None:
    """The package and its tests; compiled kernels stay behind."""
    for name in COPIED:
        source = root / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc"))
        else:
            shutil.copy(source, folder / name)


def run_tests(root: Path, mutant: Mutant | Negated | Line | None, tests: list[str], backend: str) -> int:
    """pytest's exit status on a copy with that mutant: 0 all passed, 1 some failed, others are no answer."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        copy_project(root, folder)
        if mutant is not None:
            path = folder / mutant.path if isinstance(mutant, Line) else file_of(mutant.op, folder)
            path.write_text(mutant.apply(path.read_text()))
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--backends", backend]
        environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                [*command, *tests], cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            return 1
        if done.returncode not in (0, 1):
            print(done.stdout[-2000:], done.stderr[-2000:])
        return done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ops", nargs="*", help="only mutants of these ops")
    parser.add_argument("--signs", action="store_true", help="only those that flip the sign of a backward formula")
    parser.add_argument("--kernels", action="store_true", help="mutants of the CPU's kernels instead of the ops")
    parser.add_argument("--tests", nargs="+", default=["tests/test_ops.py"], help="what has to notice")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once")
    arguments = parser.parse_args()
    backend = "cpu" if arguments.kernels else "cpu-reference"
    with tempfile.TemporaryDirectory(prefix="mutation-") as name:
        root = Path(name)
        copy_project(ROOT, root)  # so that all mutants are of the same program, whatever is edited meanwhile
        mutants = kernel_signs(root) if arguments.kernels else [*SIGNS, *([] if arguments.signs else SLIPS)]
        mutants = [mutant for mutant in mutants if not arguments.ops or mutant.op in arguments.ops]
        if run_tests(root, None, arguments.tests, backend) != 0:
            print("the tests do not pass as things are: nothing can be said about mutants")
            return 2
        print(f"without a mutant the tests pass; {len(mutants)} mutants")
        with ThreadPoolExecutor(arguments.jobs) as pool:
            statuses = list(pool.map(lambda mutant: run_tests(root, mutant, arguments.tests, backend), mutants))
    for mutant, status in zip(mutants, statuses, strict=True):
        print(f"{'noticed ' if status == 1 else 'SURVIVED'}  {mutant.name}")
    unnoticed = sum(status != 1 for status in statuses)
    print(f"{len(mutants) - unnoticed} of {len(mutants)} noticed")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
