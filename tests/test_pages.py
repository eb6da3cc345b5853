"""docs/add-a-layer.md and docs/add-a-backend.md followed to the letter: what they build passes the generic tests."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.backend import registry
from nnbackend.testing.layers import LAYER_CHECKS
from tests import test_layers, test_spiral_parity
from tests.cases import LAYERS, LayerCase
from tests.helpers import expecting_arrays_of
from tests.test_docs import ROOT, fences

Namespace = dict[str, Any]
KINDS = (test_spiral_parity.ByHand, test_spiral_parity.AsModel)


def followed(page: str) -> Namespace:
    """What a reader has who ran every snippet of a page."""
    namespace: Namespace = {"__name__": "reader"}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for _, source in fences(ROOT / "docs" / page, "python"):
            exec(compile(source, page, "exec"), namespace)
    return namespace


# -- a layer -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def layers() -> dict[str, LayerCase]:
    """The page's layers with the one line that tests/cases.py would get for each."""
    reader = followed("add-a-layer.md")
    return {
        "LeakyReLU": LayerCase(lambda: reader["LeakyReLU"](0.1), kinked=True),
        "Scale": LayerCase(lambda: reader["Scale"](4)),
    }


names = pytest.mark.parametrize("name", ["LeakyReLU", "Scale"])


@names
def test_the_layer_has_the_right_gradients(xp64, layers: dict[str, LayerCase], name: str) -> None:
    test_layers.test_gradients(xp64, layers[name])


@names
@pytest.mark.parametrize("check", LAYER_CHECKS.values(), ids=LAYER_CHECKS)
def test_the_layer_passes_every_check(xp_any, layers: dict[str, LayerCase], name: str, check: Any) -> None:
    test_layers.test_layer(xp_any, layers[name], check)


@names
def test_the_layer_takes_a_sample_and_has_its_names(xp, layers: dict[str, LayerCase], name: str) -> None:
    test_layers.test_a_single_sample(xp, layers[name])
    test_layers.test_names(xp, layers[name])


@names
def test_the_layer_is_trained_alike(
    xp_any, layers: dict[str, LayerCase], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the spiral, against the CPU's reference, as every case of tests/cases.py is."""
    monkeypatch.setattr(test_spiral_parity, "LAYERS", {f"page-{name}": layers[name]})
    monkeypatch.setattr(test_spiral_parity, "TRAININGS", test_spiral_parity.trainings())
    for kind in KINDS:
        test_spiral_parity.test_spiral_parity(xp_any, f"layer-page-{name}", kind)


# -- a backend -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def counted() -> Iterator[str]:
    """The page's backend, by the name that it is registered under; afterwards there is none of that name."""
    factories, built = dict(registry._factories), dict(registry._cache)
    followed("add-a-backend.md")
    yield "counted"
    for table, before in ((registry._factories, factories), (registry._cache, built)):
        table.clear()
        table.update(before)


dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@dtypes
@pytest.mark.parametrize("case", LAYERS.values(), ids=LAYERS)
def test_every_layer_passes_every_check_on_the_backend(counted: str, case: LayerCase, dtype: str) -> None:
    xp = nn.get_backend(counted, dtype)
    with expecting_arrays_of(xp):
        for check in LAYER_CHECKS.values():
            test_layers.test_layer(xp, case, check)
        test_layers.test_a_single_sample(xp, case)
        test_layers.test_names(xp, case)


@dtypes
@pytest.mark.parametrize("name", test_spiral_parity.TRAININGS)
def test_every_part_is_trained_alike_on_the_backend(counted: str, name: str, dtype: str) -> None:
    xp = nn.get_backend(counted, dtype)
    with expecting_arrays_of(xp):
        for kind in KINDS:
            test_spiral_parity.test_spiral_parity(xp, name, kind)


@dtypes
def test_the_backend_trains_as_the_cpu_does_to_the_bit(counted: str, dtype: str) -> None:
    """It makes NumPy's calls in the order of the CPU's reference; batches, shuffling and dropout included."""
    X, y = nn.datasets.spiral(samples=20, classes=3, seed=0)

    def parameters(backend: nn.Backend) -> dict[str, np.ndarray]:
        model = nn.Model(
            [
                nn.Dense(2, 16, weight_regularizer=nn.L2(5e-4)),
                nn.ReLU(),
                nn.Dropout(0.1),
                nn.Dense(16, 3),
                nn.Softmax(),
            ],
            loss=nn.CategoricalCrossentropy(),
            optimizer=nn.Adam(0.05),
            backend=backend,
            seed=0,
        )
        model.train(X, y, epochs=50, batch_size=32, print_every=0)
        return model.parameters()

    xp = nn.get_backend(counted, dtype)
    before = xp.namespace.calls.total()
    found = parameters(xp)
    assert xp.namespace.calls.total() > before
    for name, expected in parameters(nn.get_backend("cpu", dtype, kernels="reference")).items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
