"""Every snippet in the README and the docs, and every example in a docstring, runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import runpy
import shlex
from pathlib import Path

import pytest

import nnbackend

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Commands of a page that a test cannot run: they need a GPU, a container engine, or install something.
ELSEWHERE = ("gpu", "docker", "pip", "pytest")


def fences(page: Path, language: str) -> list[tuple[int, str]]:
    """The fenced blocks of a page in that language, with the lines they start at."""
    text = page.read_text()
    found = [(text.count("\n", 0, match.start()) + 2, match) for match in FENCE.finditer(text)]
    return [(line, match[2]) for line, match in found if match[1] == language]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_snippets_run_top_to_bottom(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    namespace: dict[str, object] = {"__name__": "snippets"}
    for line, source in fences(page, "python"):
        padded = "\n" * (line - 1) + source  # so that an error names the line of the page
        exec(compile(padded, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of `bash` fences that start with nnbackend or run a script of docs/examples, in order, each in this process."""
    from nnbackend.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    for _, source in fences(page, "bash"):
        for command in source.splitlines():
            words = shlex.split(command, comments=True)
            if words[:1] == ["python"] and words[1].startswith("docs/examples/"):  # writes what the next ones read
                runpy.run_path(str(ROOT / words[1]), run_name="__main__")
                continue
            if words[:1] != ["nnbackend"] or any(word in command for word in ELSEWHERE):
                continue
            assert main(words[1:]) == 0, f"{page.name}: {command}"


def modules() -> list[str]:
    """All modules of the package that can be imported here."""
    names = [nnbackend.__name__]
    for module in pkgutil.walk_packages(nnbackend.__path__, "nnbackend."):
        if not module.name.endswith("__main__"):
            names.append(module.name)
    return names


@pytest.mark.parametrize("name", modules())
def test_docstring_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0


def test_every_public_name_has_an_example_or_is_an_error() -> None:
    """The classes and functions that users call show how, in their docstring."""
    for name in nnbackend.__all__:
        thing = getattr(nnbackend, name)
        assert thing.__doc__, f"nn.{name} has no docstring"
        bases = ("Layer", "Loss", "Optimizer", "Regularizer", "Accuracy", "Callback", "Evaluation", "datasets")
        if name in bases or (isinstance(thing, type) and issubclass(thing, Exception)) or name == "register_backend":
            continue
        assert ">>> " in thing.__doc__, f"nn.{name} has no example in its docstring"
