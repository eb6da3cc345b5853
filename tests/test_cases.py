"""The table of cases is complete and says what it claims."""

from __future__ import annotations

import pytest

import nnbackend as nn
from tests import cases

PUBLIC = {name: getattr(nn, name) for name in nn.__all__}


@pytest.mark.parametrize("base", cases.TABLES, ids=lambda base: base.__name__)
def test_every_public_class_has_a_case(base):
    names = list(cases.missing(base, PUBLIC))
    assert not names, f"add a line for {', '.join(names)} to tests/cases.py, so that the generic tests run it through"


def test_a_public_class_without_a_case_is_noticed():
    class Forgotten(nn.Layer):
        pass

    assert list(cases.missing(nn.Layer, {**PUBLIC, "Forgotten": Forgotten})) == ["Forgotten"]


@pytest.mark.parametrize("base", cases.TABLES, ids=lambda base: base.__name__)
def test_a_case_is_named_for_its_class(base):
    for name, make in cases.TABLES[base].items():
        assert name.partition("-")[0] == type(make()).__name__


def test_accuracies_point_at_losses():
    assert {case.loss for case in cases.ACCURACIES.values()} <= set(cases.LOSSES)
