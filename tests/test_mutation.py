"""The table of mutants is complete and fits nnbackend.ops. `mutation.py` itself takes a minute, and is run by hand."""

from __future__ import annotations

import ast

import pytest

import nnbackend as nn
from tests.mutation import KERNELS, ROOT, SIGNS, SLIPS, Mutant, file_of, kernel_signs

# Ops that go backwards and are not named so: a dropout's gradient, and the steps of the optimizers.
BACKWARD = {"multiply", "sgd", "sgd_momentum", "adagrad", "rmsprop", "adam", "adamw", "adam_unfolded"}


def test_every_backward_formula_has_its_sign_flipped():
    names = {op.name for op in nn.get_backend("cpu", kernels="reference").ops}
    backward = {name for name in names if name.endswith(("_backward", "_gradient"))} | BACKWARD
    assert {mutant.op for mutant in SIGNS} == backward


@pytest.mark.parametrize("mutant", [*SIGNS, *SLIPS], ids=lambda mutant: mutant.name)
def test_a_mutant_is_another_program(mutant):
    source = file_of(mutant.op, ROOT).read_text()
    assert ast.dump(ast.parse(mutant.apply(source))) != ast.dump(ast.parse(source))


def test_every_backward_kernel_has_mutants():
    """A kernel that writes its results in a way that `kernel_signs` cannot read would go unmutated."""
    mutants = kernel_signs(ROOT)
    assert mutants
    for mutant in mutants:
        source = (ROOT / mutant.path).read_text()
        assert ast.dump(ast.parse(mutant.apply(source))) != ast.dump(ast.parse(source))
    names = {name for path in (ROOT / KERNELS).glob("*.py") for name in backward_kernels(path)}
    lines = {(mutant.path.name, mutant.number) for mutant in mutants}
    for path, name, first, last in names:
        assert any((path, line) in lines for line in range(first, last + 1)), f"no mutant of {name} in {path}"


def backward_kernels(path):
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name.endswith(("_backward_loop", "_gradient_loop")):
            yield path.name, node.name, node.lineno, node.end_lineno


def test_a_mutant_of_a_formula_that_is_gone_is_noticed():
    with pytest.raises(ValueError, match="is there 0 times"):
        Mutant("relu", "no such thing", "").apply(file_of("relu", ROOT).read_text())
