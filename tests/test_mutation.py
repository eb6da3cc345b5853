"""The table of mutants is complete and fits ops.py. `mutation.py` itself takes a minute, and is run by hand."""

from __future__ import annotations

import ast

import pytest

import nnbackend as nn
from tests.mutation import OPS, ROOT, SIGNS, SLIPS

SOURCE = (ROOT / OPS).read_text()

# Ops that go backwards and are not named so: a dropout's gradient, and the steps of the optimizers.
BACKWARD = {"multiply", "sgd", "sgd_momentum", "adagrad", "rmsprop", "adam", "adam_unfolded"}


def test_every_backward_formula_has_its_sign_flipped():
    names = {op.name for op in nn.get_backend("cpu", kernels="reference").ops}
    backward = {name for name in names if name.endswith(("_backward", "_gradient"))} | BACKWARD
    assert {mutant.op for mutant in SIGNS} == backward


@pytest.mark.parametrize("mutant", [*SIGNS, *SLIPS], ids=lambda mutant: mutant.name)
def test_a_mutant_is_another_program(mutant):
    mutated = mutant.apply(SOURCE)
    assert ast.dump(ast.parse(mutated)) != ast.dump(ast.parse(SOURCE))


def test_a_mutant_of_a_formula_that_is_gone_is_noticed():
    from tests.mutation import Mutant

    with pytest.raises(ValueError, match="is there 0 times"):
        Mutant("relu", "no such thing", "").apply(SOURCE)
