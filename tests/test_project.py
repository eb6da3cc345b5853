"""The house stays in order: who may import whom, what the GPU's library really offers, and what the project's files promise.

Nothing here computes. The tests read the source and compare it with the tables below; who adds a module gives it a place.
"""

from __future__ import annotations

import ast
import functools
import graphlib
import importlib
import inspect
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Set
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import nnbackend as nn

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "nnbackend"

# From low to high. A module imports from rows above its own in this list, and from its own row as long as there is no circle.
HOUSE = (
    ("errors", "rng", "checks", "files", "interrupts"),
    ("ops",),
    ("kernels",),
    ("backend",),
    ("workspace", "initializers", "regularizers", "parameters"),
    ("metrics", "layers", "activations", "losses", "optimizers"),
    ("fusion",),
    (
        "history",
        "batches",
        "streams",
        "weights",
        "footprint",
        "network",
        "passes",
        "training",
        "storage",
        "callbacks",
        "model",
    ),
    ("datasets",),
    ("__init__",),
    ("testing", "parity", "doctor", "plots", "report", "profile", "book"),
    ("cli",),
    ("__main__",),
)

# Modules that may use less than their row allows.
NOTHING_BUT = {"errors": set(), "rng": set(), "ops": {"rng"}}

# Packages that only these parts may import.
RESERVED = {
    "cupy": ("backend/", "kernels/"),
    "cupyx": ("backend/", "kernels/"),
    "cuda": ("backend/", "kernels/"),
    "nvmath": ("backend/", "kernels/"),
    "numba": ("kernels/cpu",),
    "llvmlite": ("kernels/cpu",),
    "matplotlib": ("plots",),
    "pyarrow": ("datasets/tables/parquet_files",),
    "nnfs": ("datasets/", "book/"),
    "typer": ("cli",),
}

# Where NumPy may be named: the parts that are about array libraries, and those that work on the host, before or after
# the device. Everything else computes through `xp`, so that it runs on the device.
NUMPY_ON_THE_HOST = {
    "backend/": "the doors between host and device",
    "kernels/": "kernels for NumPy arrays",
    "rng": "draws weights and seeds on the host",
    "checks": "looks at settings",
    "initializers": "weights are drawn on the host and brought in",
    "parameters": "shapes and values that users give or ask for",
    "losses": "checks labels before they are brought in",
    "metrics": "results as Python numbers",
    "weights": "checks and converts the user's weights",
    "batches": "checks and converts the user's data",
    "streams": "reads the user's data on the host",
    "passes": "columns of results",
    "history": "columns of results",
    "storage": "files",
    "model": "copies for the user",
    "callbacks": "the best parameters, on the host",
    "training": "results fetched for a printed line",
    "datasets/": "makes data",
    "testing/": "compares results, and pretends to be a device",
    "parity": "compares results",
    "doctor": "asks for versions",
    "plots": "draws results",
    "report": "results as pages",
    "book": "the book's scripts are NumPy scripts",
    "cli": "data for the models",
}

# What `import nnbackend` must not load: optional, slow to import, or something that touches the GPU.
LOADED_WHEN_USED = {
    "cupy",
    "cupyx",
    "numba",
    "nnfs",
    "rich",
    "typer",
    "matplotlib",
    "safetensors",
    "sklearn",
    "scipy",
    "PIL",
    "pyarrow",
}

LONGEST_FILE = 450
SLOWEST_IMPORT = 0.15  # seconds, beside what `import numpy` takes

SOURCES = sorted(PACKAGE.rglob("*.py"))


# -- imports -------------------------------------------------------------------------------------------------------------


def name_of(path: Path) -> str:
    """`nnbackend/backend/gpu.py` is `backend/gpu`, a package is its folder: `backend/`."""
    name = path.relative_to(PACKAGE).with_suffix("").as_posix()
    return name.removesuffix("__init__") if "/" in name else name


def part_of(path: Path) -> str:
    """The part of the house that a file belongs to: a module at the top, or a folder."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def running_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below, without what only the type checker reads."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        yield child
        yield from running_nodes(child)


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """(package, part) for each import in a file; the part is that of nnbackend, and empty for other packages."""
    folder = ["nnbackend", *path.relative_to(PACKAGE).parts[:-1]]
    for node in running_nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            targets = [[*base, alias.name] for alias in node.names]
        else:
            continue
        for target in targets:
            if target[0] != "nnbackend":
                yield target[0], ""
            else:
                part = target[1] if len(target) > 1 else "__init__"
                yield "nnbackend", part if part in ALL_PARTS else "__init__"


ALL_PARTS = {part_of(path) for path in SOURCES}
RANK = {part: rank for rank, row in enumerate(HOUSE) for part in row}


def test_every_module_has_its_place_in_the_house() -> None:
    missing = ALL_PARTS - RANK.keys()
    assert not missing, f"give {sorted(missing)} a row in HOUSE, as low as its imports allow"


def test_the_architecture_page_shows_this_house() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    picture = page.partition("```text\n cli")[2].partition("```")[0]
    shown = [set(line.split("  ")[0].split()) for line in f" cli{picture}".splitlines()]
    assert shown[::-1] == [set(row) for row in HOUSE if not row[0].startswith("__")]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    part = part_of(path)
    for package, other in imports(path):
        if package != "nnbackend" or other == part:
            continue
        assert RANK[other] <= RANK[part], f"{name_of(path)} imports {other}, which stands above it"
        allowed = NOTHING_BUT.get(part)
        assert allowed is None or other in allowed, f"{part} may import {sorted(allowed or ())} only, not {other}"


def test_no_imports_in_circles() -> None:
    graph: dict[str, set[str]] = {part: set() for part in ALL_PARTS}
    for path in SOURCES:
        graph[part_of(path)] |= {other for package, other in imports(path) if package == "nnbackend"}
    for part, others in graph.items():
        others.discard(part)
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_packages_that_only_some_parts_may_import(path: Path) -> None:
    for package, _ in imports(path):
        places = RESERVED.get(package, ("",))
        assert name_of(path).startswith(places), f"{name_of(path)} imports {package}: only {places} may"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_numpy_is_named_on_the_host_side_only(path: Path) -> None:
    if "numpy" in {package for package, _ in imports(path)}:
        assert name_of(path).startswith(tuple(NUMPY_ON_THE_HOST)), (
            f"{name_of(path)}: compute through xp instead of numpy"
        )


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A new interpreter that finds this source tree first."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=True)


def test_importing_loads_nothing_that_can_wait() -> None:
    program = "import sys, nnbackend; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = LOADED_WHEN_USED & set(python("-c", program).stdout.split())
    assert not loaded, f"import nnbackend loads {sorted(loaded)}: import it in the function that needs it"


def test_importing_costs_little_more_than_importing_numpy() -> None:
    # The processor's time, not the clock's: what else the machine is doing must not decide a test.
    program = "import time, numpy; before = time.process_time(); import nnbackend; print(time.process_time() - before)"

    def seconds() -> float:
        return float(python("-c", program).stdout)

    fastest = min(seconds() for _ in range(3))
    assert fastest < SLOWEST_IMPORT, (
        f"import nnbackend takes {fastest:.2f} s beside numpy, expected {SLOWEST_IMPORT} s at most"
    )


# -- names: what the source uses is what CuPy offers -----------------------------------------------------------------------


@functools.cache
def cupy():  # type: ignore[no-untyped-def]
    """CuPy, which needs no GPU to be looked at. Where it is not installed the test is skipped, and fails in CI."""
    try:
        return importlib.import_module("cupy")
    except ImportError:
        if os.environ.get("CI"):
            pytest.fail("CuPy is not installed, and in CI this test may not be skipped: pip install '.[test]'")
        pytest.skip("CuPy is not installed: pip install '.[test]'")


@functools.cache
def backend_attributes() -> set[str]:
    """What `Backend` itself answers for, without asking the array library."""
    return set(dir(nn.Backend)) | set(vars(nn.Backend("fresh", None)))


@functools.cache
def attributes_of_own_backend(folder: Path) -> set[str]:
    """What a subclass of `Backend` in this folder adds, for the files beside it."""
    found = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and "Backend" in map(ast.unparse, node.bases):
                items = list(ast.walk(node))
                found |= {item.name for item in items if isinstance(item, ast.FunctionDef)}
                found |= {
                    item.attr for item in items if isinstance(item, ast.Attribute) and isinstance(item.ctx, ast.Store)
                }
    return found


def is_xp(node: ast.AST) -> bool:
    """`xp`, or an attribute of that name: `self.xp`, `layer.xp`."""
    return (isinstance(node, ast.Name) and node.id == "xp") or (
        isinstance(node, ast.Attribute) and node.attr in ("xp", "_xp")
    )


def refusals(source: str, own: Set[str]) -> Iterator[str]:
    """A sentence for each use of `xp` that CuPy would refuse: an unknown name, a keyword, too many arguments.

    `own` are the names that do not go to CuPy.
    """
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Attribute)
            and is_xp(node.value)
            and node.attr not in own
            and not hasattr(cupy(), node.attr)
        ):
            yield f"line {node.lineno}: CuPy has no {node.attr!r}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and is_xp(node.value.value):
            owner = None if node.value.attr in own else getattr(cupy(), node.value.attr, None)
            if owner is not None and not hasattr(owner, node.attr):
                yield f"line {node.lineno}: CuPy's {node.value.attr} has no {node.attr!r}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and is_xp(node.func.value):
            function = None if node.func.attr in own else getattr(cupy(), node.func.attr, None)
            if function is not None and (reason := refusal(function, node)):
                yield f"line {node.lineno}: xp.{node.func.attr}: {reason}"


def refusal(function: object, call: ast.Call) -> str | None:
    """Why CuPy's function refuses the arguments of a call, or None."""
    keywords = [keyword.arg for keyword in call.keywords if keyword.arg is not None]
    count = sum(not isinstance(argument, ast.Starred) for argument in call.args)
    if isinstance(function, cupy().ufunc):
        if count > function.nargs:
            return f"takes {function.nargs} arguments, not {count}"
        refused = [keyword for keyword in keywords if not ufunc_takes(function, keyword)]
        return f"takes no {', '.join(refused)}" if refused else None
    try:
        signature = inspect.signature(function)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None  # compiled: it does not say
    try:
        signature.bind_partial(*[None] * count, **dict.fromkeys(keywords))
    except TypeError as error:
        return str(error)
    return None


@functools.cache
def ufunc_takes(function, keyword: str) -> bool:  # type: ignore[no-untyped-def]
    """Whether a CuPy ufunc knows a keyword: it looks at the names before it looks for a device."""
    try:
        function(*[1] * function.nin, **{keyword: None})
    except TypeError as error:
        return "Wrong arguments" not in str(error)
    except Exception:
        return True  # no device here, or None is no value for it: the name passed
    return True


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_xp_name_and_keyword_exists_in_cupy(path: Path) -> None:
    own = backend_attributes() | attributes_of_own_backend(path.parent)
    assert not list(refusals(path.read_text(), own))


@pytest.mark.parametrize(
    "source",
    [
        "xp.take(a, b, mode='clip')",
        "xp.max(a, initial=0)",
        "xp.add(a, b, where=c)",
        "xp.add(a, b, c, d)",
        "self.xp.errstate(all='ignore')",
        "xp.add.no_such_method(a)",
        "xp.clip(a, 0, 1, a)(xp.sum(a, 0, None, None, True, 0))",
    ],
)
def test_the_check_of_names_notices(source: str) -> None:
    assert len(list(refusals(source, backend_attributes()))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "xp.add(a, b, out=c)",
        "xp.sum(a, axis=0, keepdims=True)",
        "xp.zeros(3, dtype=d)",
        "xp.matmul(a, b, out=c)",
        "xp.ops.relu(a, out=b)",
    ],
)
def test_the_check_of_names_lets_good_calls_pass(source: str) -> None:
    assert not list(refusals(source, backend_attributes()))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_op_that_is_called_is_defined(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        is_op = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "ops"
        if is_op and is_xp(node.value.value):
            assert hasattr(nn.get_backend("cpu").ops, node.attr), f"{name_of(path)}:{node.lineno}: no op {node.attr!r}"


# -- files ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [*SOURCES, *sorted(PACKAGE.rglob("*.cu"))], ids=lambda path: path.relative_to(PACKAGE).as_posix()
)
def test_no_file_is_too_long(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= LONGEST_FILE, f"{lines} lines: a file that long becomes a folder of the same name"


@functools.cache
def project() -> dict:  # type: ignore[type-arg]
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(*extras: str) -> list[Requirement]:
    lines = [line for extra in extras for line in project()["optional-dependencies"][extra]]
    return [Requirement(line) for line in project()["dependencies"] + lines]


def test_the_version_is_the_same_everywhere() -> None:
    assert nn.__version__ == project()["version"]
    assert f"## [{nn.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_image_pins_what_the_project_asks_for() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    for wanted in [*requirements("jit", "cuda13"), *map(Requirement, build)]:
        assert wanted.name in pins, f"constraints.txt has no version of {wanted.name}"
        assert Version(pins[wanted.name]) in wanted.specifier, f"constraints.txt: {pins[wanted.name]} is not {wanted}"


def test_documents_name_extras_that_exist_and_fit_each_other() -> None:
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / ".ci" / "run", *(ROOT / "docs").rglob("*.md")]:
        for found in re.findall(r"(?:\.|nnbackend)\[([\w,-]+)\]", path.read_text()):
            extras = set(found.split(","))
            assert extras <= project()["optional-dependencies"].keys(), f"{path.name}: unknown extra in [{found}]"
            assert not (extras & {"cuda12", "test-cuda12"} and extras & {"cuda13", "test", "dev"}), (
                f"{path.name}: [{found}] installs two CuPy wheels, which break each other"
            )


def test_workflows_run_steps_that_exist() -> None:
    known = set(re.findall(r"^(\w+)\(\) \{$", (ROOT / ".ci" / "run").read_text(), flags=re.MULTILINE))
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        for line in re.findall(r"run: (.*)", path.read_text()):
            command, *steps = line.split()
            assert command == ".ci/run", f"{path.name}: {line!r}: what a workflow runs is a step of .ci/run"
            assert steps, f"{path.name}: {line!r}: which steps?"
            assert known >= set(steps), f"{path.name}: {line!r}: unknown steps"


def test_the_package_holds_its_data_files() -> None:
    assert (PACKAGE / "py.typed").is_file()
