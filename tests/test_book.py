"""`nnbackend.book`: scripts in the style of the book's chapters print what the book's own classes print.

The scripts of `book_scripts/` run in processes of their own, because `nnfs.init()` patches NumPy for good. On the CPU their
output is compared with that of the oracle, line for line: the adapters make the same NumPy calls in the same order. On
the device, whose products round otherwise, it is compared by its numbers, as long as two correct programs agree.
"""

from __future__ import annotations

import ast
import functools
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import nnbackend as nn
from nnbackend import book
from tests import book_oracle as oracle

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted(path.stem for path in (ROOT / "tests" / "book_scripts").glob("chapter_*.py"))
STARTS = ("plain", "init")  # float64 in plain NumPy, float32 after nnfs.init()


@functools.cache
def printed(classes: str, start: str, backend: str = "cpu") -> dict[str, str]:
    """What each script prints with these classes: run together, once."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.book_runner", classes, start],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "NNBACKEND": backend},
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_there_is_a_script_for_each_of_these_chapters() -> None:
    chapters = [5, 6, 9, 10, *range(14, 23)]
    assert [f"chapter_{number:02}" for number in chapters] == SCRIPTS


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_prints_what_the_books_classes_print(script: str, start: str) -> None:
    """A hundred epochs, in float64 and in float32, to the last digit that is printed."""
    expected = printed("oracle", start)[script].splitlines()
    assert len(expected) > 5
    assert printed("book", start)[script].splitlines() == expected


NUMBER = re.compile(r"-?\d+\.?\d*(?:e[-+]?\d+)?")


def numbers(line: str) -> list[float]:
    return [float(number) for number in NUMBER.findall(line)]


def tolerances(lines: list[str], start: str) -> Iterator[float]:
    """How far a device's numbers in each line may lie from the oracle's.

    In float64 all agree to three decimals. In float32 the oracle's products are rounded from float64, a device's are not,
    and Adam makes such differences grow: up to epoch 30 they agree, but for two or three of 300 samples in the accuracy;
    after that they stay in the same neighbourhood.
    """
    latest = 0
    for line in lines:
        if epoch := re.match(r"epoch: (\d+)", line):
            latest = int(epoch[1])
        yield 1.1e-3 if start == "plain" else 1e-2 if latest <= 30 else 0.15


@pytest.mark.parametrize("backend", ["strict", pytest.param("gpu", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_runs_on_a_device(script: str, start: str, backend: str) -> None:
    expected = printed("oracle", start)[script].splitlines()
    found = printed("device", start, backend)[script].splitlines()
    assert len(found) == len(expected)
    for line, wanted, atol in zip(found, expected, tolerances(expected, start), strict=True):
        assert re.sub(r"\s+", "", NUMBER.sub("", line)) == re.sub(r"\s+", "", NUMBER.sub("", wanted))
        np.testing.assert_allclose(numbers(line), numbers(wanted), atol=atol, rtol=0, err_msg=wanted)


def test_numpy_is_not_patched_here() -> None:
    """`nnfs.init()` ran in other processes only; the package itself patches nothing."""
    code = [getattr(function, "__code__", None) for function in (np.dot, np.zeros, np.eye, np.random.randn)]
    assert not any("nnfs" in each.co_filename for each in code if each is not None)
    before = np.dot, np.zeros, np.eye, np.random.randn
    trained_pair()
    assert (np.dot, np.zeros, np.eye, np.random.randn) == before


# -- the package itself --------------------------------------------------------------------------------------------------


ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.MatMult, ast.FloorDiv)

# Counting: epochs, iterations, the end of a batch.
COUNTING = {"range(1, epochs + 1)", "self.iterations += 1", "slice(start, start + size)"}

# What the package may call of NumPy: the book's sources of randomness, the product, and questions about dtypes.
NUMPY_CALLS = {
    *("np.random.randn", "np.random.binomial", "numpy.random.shuffle"),
    *("np.dot", "np.dtype", "np.result_type", "np.float64", "numpy.array"),
}


@pytest.mark.parametrize("path", sorted((ROOT / "nnbackend" / "book").glob("*.py")), ids=lambda path: path.stem)
def test_no_line_does_mathematics(path: Path) -> None:
    tree = ast.parse(path.read_text())
    counting = {id(part) for node in ast.walk(tree) if ast.unparse(node) in COUNTING for part in ast.walk(node)}
    annotations = {
        id(part)
        for node in ast.walk(tree)
        for field in ("annotation", "returns")
        if getattr(node, field, None) is not None
        for part in ast.walk(getattr(node, field))
    }
    for node in ast.walk(tree):
        if isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ARITHMETIC):
            assert id(node) in counting, f"line {node.lineno} computes: {ast.unparse(node)}"
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            constant = isinstance(node.operand, ast.Constant)
            assert constant, f"line {node.lineno} computes: {ast.unparse(node)}"
        if isinstance(node, ast.Call) and re.match(r"(np|numpy|math)\.", name := ast.unparse(node.func)):
            assert name in NUMPY_CALLS, f"line {node.lineno} calls {name}"
    assert annotations or path.stem == "__init__"


def test_import_star_brings_the_books_classes_and_nothing_else() -> None:
    namespace: dict[str, object] = {}
    exec("from nnbackend.book import *", namespace)
    names = {name for name in namespace if not name.startswith("__")}
    assert names == set(book.__all__)
    assert {"np", "spiral_data", "sine_data"}.isdisjoint(names)
    assert all(inspect.isclass(namespace[name]) for name in names)


def test_on_the_cpu_np_is_numpy() -> None:
    assert book.np is np
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        book.nonsense  # noqa: B018


# -- arrays ----------------------------------------------------------------------------------------------------------------


def trained_pair(hidden: int = 8):
    """Two layers and their joined loss after one step, with the data."""
    np.random.seed(0)
    X, y = np.random.randn(12, 2), np.random.randint(0, 3, 12)
    dense1, activation1, dense2 = book.Layer_Dense(2, hidden), book.Activation_ReLU(), book.Layer_Dense(hidden, 3)
    loss_activation = book.Activation_Softmax_Loss_CategoricalCrossentropy()
    step(X, y, dense1, activation1, dense2, loss_activation)
    return X, y, dense1, activation1, dense2, loss_activation


def step(X, y, dense1, activation1, dense2, loss_activation):
    dense1.forward(X)
    activation1.forward(dense1.output)
    dense2.forward(activation1.output)
    loss = loss_activation.forward(dense2.output, y)
    loss_activation.backward(loss_activation.output, y)
    dense2.backward(loss_activation.dinputs)
    activation1.backward(dense2.dinputs)
    dense1.backward(activation1.dinputs)
    return loss


NAMES = ("output", "dinputs", "dweights", "dbiases", "weights", "biases")


def test_what_is_handed_out_are_plain_arrays_that_the_next_call_leaves_alone() -> None:
    X, y, *network = trained_pair()
    kept = {(part, name): getattr(part, name) for part in network for name in NAMES if hasattr(part, name)}
    assert all(type(array) is np.ndarray and array.dtype == np.float64 for array in kept.values())
    copies = {key: array.copy() for key, array in kept.items()}
    optimizer = book.Optimizer_Adam(learning_rate=0.1)
    step(-3 * X, 2 - y, *network)
    for (part, name), array in kept.items():
        np.testing.assert_array_equal(array, copies[part, name])
    optimizer.pre_update_params()
    optimizer.update_params(network[0])
    assert network[0].weights is kept[network[0], "weights"], "updates are made in place, as in the book"


def test_weights_can_be_replaced_and_changed_in_place() -> None:
    dense = book.Layer_Dense(2, 3)
    best = dense.weights.copy()
    dense.weights += 1.0
    dense.forward(np.eye(2))
    np.testing.assert_array_equal(dense.output, best + 1.0)
    dense.weights = best.copy()
    dense.forward(np.eye(2))
    np.testing.assert_array_equal(dense.output, best)
    assert dense.weights.T.shape == (3, 2)


def test_a_single_sample_is_a_batch_of_one() -> None:
    dense = book.Layer_Dense(2, 3)
    dense.forward(np.array([1.0, 2.0]))
    assert dense.output.shape == (1, 3)


def test_the_weights_are_those_that_the_global_random_state_gives() -> None:
    np.random.seed(7)
    dense, dropout = book.Layer_Dense(4, 5), book.Layer_Dropout(0.25)
    dropout.forward(np.ones((6, 4)))
    after = np.random.rand()
    np.random.seed(7)
    np.testing.assert_array_equal(dense.weights, 0.01 * np.random.randn(4, 5))
    np.testing.assert_array_equal(dropout.binary_mask, np.random.binomial(1, 0.75, size=(6, 4)) / 0.75)
    assert after == np.random.rand(), "nothing else was drawn"


def test_products_go_through_np_dot_as_it_is_at_that_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `nnfs.init()`, with everything in float32; three products a layer and step."""
    calls, real_dot, real_randn = [], np.dot, np.random.randn

    def dot(left, right):
        calls.append(1)
        return real_dot(left.astype("float64"), right.astype("float64")).astype("float32")

    monkeypatch.setattr(np, "dot", dot)
    monkeypatch.setattr(np.random, "randn", lambda *shape: np.asarray(real_randn(*shape), "float32"))
    _, _, *network = trained_pair()
    assert len(calls) == 6
    assert {getattr(part, name).dtype for part in network for name in NAMES if hasattr(part, name)} == {np.dtype("f4")}


def test_layers_take_lists_on_the_cpu() -> None:
    softmax = book.Activation_Softmax()
    softmax.forward([[1, 2, 3]])
    np.testing.assert_allclose(softmax.output, [[0.09003057, 0.24472847, 0.66524096]])
    with pytest.raises(nn.DataError, match="array of numbers"):
        softmax.forward([["a", "b"]])


# -- the forms that change between chapters ------------------------------------------------------------------------------


def test_regularization_loss_with_a_layer_and_with_remembered_layers() -> None:
    layer = book.Layer_Dense(2, 3, 1e-2, 2e-2, bias_regularizer_l1=3e-2, bias_regularizer_l2=4e-2)
    layer.biases += 0.5
    expected = 1e-2 * np.abs(layer.weights).sum() + 2e-2 * (layer.weights**2).sum() + 3 * 0.5 * 3e-2 + 3 * 0.25 * 4e-2
    loss = book.Loss_MeanSquaredError()
    with pytest.raises(nn.StateError, match="knows no layers"):
        loss.regularization_loss()
    assert loss.regularization_loss(layer) == pytest.approx(expected, rel=1e-14)
    loss.remember_trainable_layers([layer, book.Layer_Dense(3, 1)])
    assert loss.regularization_loss() == pytest.approx(expected, rel=1e-14)
    assert loss.regularization_loss(book.Layer_Dense(2, 3)) == 0
    data, penalty = loss.calculate(np.ones((2, 1)), np.zeros((2, 1)), include_regularization=True)
    assert (data, penalty) == (1.0, pytest.approx(expected, rel=1e-14))


def test_the_gradient_of_l1_is_positive_at_zero() -> None:
    layer = book.Layer_Dense(2, 2, weight_regularizer_l1=0.5)
    layer.weights = np.array([[0.0, -1.0], [2.0, -0.0]])
    layer.forward(np.zeros((1, 2)))
    layer.backward(np.zeros((1, 2)))
    np.testing.assert_array_equal(layer.dweights, [[0.5, -0.5], [0.5, 0.5]])


@pytest.mark.parametrize("y", [np.array([0, 2, 1]), np.array([0, 2, 1], "uint8"), np.eye(3)[[0, 2, 1]], [0, 2, 1]])
def test_labels_as_indices_and_one_hot(y) -> None:
    predictions = np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.2, 0.6, 0.2]])
    loss, joined = book.Loss_CategoricalCrossentropy(), book.Activation_Softmax_Loss_CategoricalCrossentropy()
    np.testing.assert_allclose(loss.forward(predictions, y), -np.log([0.7, 0.4, 0.6]))
    loss.backward(predictions, y)
    joined.backward(predictions, y)
    reference = oracle.Loss_CategoricalCrossentropy()
    reference.backward(predictions, np.array([0, 2, 1]))
    np.testing.assert_allclose(loss.dinputs, reference.dinputs)
    np.testing.assert_allclose(joined.dinputs, (predictions - np.eye(3)[[0, 2, 1]]) / 3)
    accuracy = book.Accuracy_Categorical()
    assert accuracy.calculate(book.Activation_Softmax().predictions(predictions), y) == pytest.approx(2 / 3)


def test_labels_that_were_changed_in_place_are_seen() -> None:
    predictions, y = np.array([[0.5, 0.25, 0.25]]), np.array([0])
    loss = book.Loss_CategoricalCrossentropy()
    first = loss.calculate(predictions, y)
    y[0] = 1
    assert loss.calculate(predictions, y) == pytest.approx(first + np.log(2))


@pytest.mark.parametrize("y", [np.array([0, 3]), np.array([0, -1]), np.array([0]), np.array([0.0, 1.0])])
def test_labels_that_do_not_fit_are_answered_in_one_sentence(y) -> None:
    with pytest.raises(nn.DataError):
        book.Loss_CategoricalCrossentropy().calculate(np.full((2, 3), 1 / 3), y)


def test_accumulated_losses_and_accuracies_weigh_batches_by_size() -> None:
    loss, accuracy = book.Loss_MeanSquaredError(), book.Accuracy_Categorical()
    for size, value in ((3, 1.0), (1, 5.0)):
        loss.calculate(np.full((size, 1), value), np.zeros((size, 1)))
        accuracy.calculate(np.zeros(size, int), np.full(size, int(value > 1)))
    assert (loss.accumulated_sum, loss.accumulated_count) == (28.0, 4)
    assert loss.calculate_accumulated() == 7.0
    assert (accuracy.accumulated_sum, accuracy.accumulated_count) == (3, 4)
    assert accuracy.calculate_accumulated() == 0.75
    loss.new_pass()
    assert loss.accumulated_count == 0


def test_accuracy_of_regression_keeps_its_precision_unless_asked() -> None:
    accuracy = book.Accuracy_Regression()
    accuracy.init(np.array([0.0, 500.0]))
    assert accuracy.precision == 1.0
    accuracy.init(np.array([0.0, 5.0]))
    assert accuracy.precision == 1.0
    accuracy.init(np.array([0.0, 5.0]), reinit=True)
    assert accuracy.precision == pytest.approx(0.01)


def test_a_scripts_own_classes_work_beside_these() -> None:
    """A loss, an accuracy and a layer of the reader's own, in a model."""

    class Loss_Own(book.Loss):
        def forward(self, y_pred, y_true):
            return np.mean((y_true - y_pred) ** 2 / 2, axis=-1)

        def backward(self, dvalues, y_true):
            self.dinputs = (dvalues - y_true) / dvalues.size

    class Layer_Double:
        def forward(self, inputs, training):
            self.output = 2 * inputs

        def backward(self, dvalues):
            self.dinputs = 2 * dvalues

    np.random.seed(0)
    model = book.Model()
    for layer in (book.Layer_Dense(2, 1), Layer_Double(), book.Activation_Linear()):
        model.add(layer)
    model.set(loss=Loss_Own(), optimizer=book.Optimizer_Adam(0.05), accuracy=book.Accuracy_Regression())
    model.finalize()
    X = np.random.randn(20, 2)
    model.train(X, X @ np.array([[1.0], [2.0]]), epochs=200, print_every=1000)
    np.testing.assert_allclose(2 * model.layers[0].weights, [[1.0], [2.0]], atol=0.05)
    with pytest.raises(nn.ArgumentError, match="Layer_Double cannot be saved"):
        model.save("own.model")


# -- the faults of the book's code that are put right: docs/book.md lists them -------------------------------------------


def test_mean_absolute_error_goes_down_its_gradient() -> None:
    loss, y = book.Loss_MeanAbsoluteError(), np.array([[1.0], [2.0]])
    y_pred = np.array([[3.0], [1.0]])
    loss.backward(y_pred, y)
    np.testing.assert_array_equal(loss.dinputs, [[0.5], [-0.5]])
    assert loss.calculate(y_pred - 0.1 * loss.dinputs, y) < loss.calculate(y_pred, y)


def test_a_pass_without_dropout_forgets_the_mask() -> None:
    dropout = book.Layer_Dropout(0.5)
    dropout.forward(np.ones((4, 4)), training=True)
    dropout.backward(np.ones((4, 4)))
    np.testing.assert_array_equal(dropout.dinputs, dropout.binary_mask)
    dropout.forward(np.ones((4, 4)), training=False)
    dropout.backward(np.ones((4, 4)))
    np.testing.assert_array_equal(dropout.dinputs, np.ones((4, 4)))


@pytest.mark.parametrize("before", ["SGD", "Adagrad", "RMSprop", "Adam"])
@pytest.mark.parametrize("after", ["SGD", "Adagrad", "RMSprop", "Adam"])
def test_another_optimizer_begins_with_state_of_its_own(before: str, after: str) -> None:
    settings = {"SGD": {"learning_rate": 0.1, "momentum": 0.9}}

    def updated(*names: str) -> np.ndarray:
        layer = book.Layer_Dense(1, 1)
        for name in names:
            layer.weights, layer.dweights, layer.dbiases = np.ones((1, 1)), np.full((1, 1), 3.0), np.ones((1, 1))
            optimizer = getattr(book, f"Optimizer_{name}")(**settings.get(name, {"learning_rate": 0.1}))
            optimizer.update_params(layer)
        return layer.weights

    np.testing.assert_array_equal(updated(before, after), updated(after))


def test_state_belongs_to_a_layer_also_in_a_copy() -> None:
    import copy

    layer, optimizer = book.Layer_Dense(1, 1), book.Optimizer_SGD(momentum=0.5)
    layer.dweights, layer.dbiases = np.ones((1, 1)), np.ones((1, 1))
    optimizer.update_params(layer)
    other, its_optimizer = copy.deepcopy((layer, optimizer))
    for each, with_optimizer in ((layer, optimizer), (other, its_optimizer)):
        with_optimizer.update_params(each)
    np.testing.assert_array_equal(other.weights, layer.weights)
    np.testing.assert_array_equal(other.weight_momentums, [[-1.5]])
    assert layer.weight_momentums is not other.weight_momentums


def test_a_model_of_one_layer() -> None:
    np.random.seed(0)
    model = book.Model()
    model.add(book.Layer_Dense(2, 1))
    model.set(loss=book.Loss_MeanSquaredError(), optimizer=book.Optimizer_SGD(0.1), accuracy=book.Accuracy_Regression())
    model.layers[0].predictions = lambda outputs: outputs  # a layer is no activation and does not predict
    model.finalize()
    X = np.random.randn(50, 2)
    model.train(X, X @ np.array([[1.0], [-1.0]]), epochs=200, print_every=1000)
    np.testing.assert_allclose(model.layers[0].weights, [[1.0], [-1.0]], atol=1e-3)


def test_softmax_backward_is_that_of_the_loop_over_samples() -> None:
    np.random.seed(0)
    inputs, dvalues = np.random.randn(20, 5), np.random.randn(20, 5)
    ours, loop = book.Activation_Softmax(), oracle.Activation_Softmax()
    for softmax in (ours, loop):
        softmax.forward(inputs)
        softmax.backward(dvalues)
    np.testing.assert_allclose(ours.dinputs, loop.dinputs, rtol=0, atol=1e-15)  # values of order 1, a few roundings


def test_a_prediction_of_zero_has_a_finite_gradient() -> None:
    loss = book.Loss_CategoricalCrossentropy()
    loss.backward(np.array([[0.0, 1.0]]), np.array([0]))
    np.testing.assert_array_equal(loss.dinputs, [[-1e7, 0.0]])


def test_a_sigmoid_of_large_numbers_does_not_warn() -> None:
    sigmoid = book.Activation_Sigmoid()
    sigmoid.forward(np.array([[-1000.0, 1000.0]]))  # warnings are errors in these tests
    np.testing.assert_array_equal(sigmoid.output, [[0.0, 1.0]])


def test_accumulated_accuracy_counts_outputs() -> None:
    accuracy = book.Accuracy_Categorical(binary=True)
    accuracy.calculate(np.ones((4, 3), int), np.ones((4, 3), int))
    assert accuracy.calculate_accumulated() == 1.0


def test_labels_of_one_axis_beside_outputs_of_two() -> None:
    """(n,) beside (n, 1) is not compared each with each."""
    accuracy, loss = book.Accuracy_Categorical(binary=True), book.Loss_BinaryCrossentropy()
    assert accuracy.calculate(np.array([[1], [0]]), np.array([1, 1])) == 0.5
    assert loss.forward(np.array([[0.9], [0.1]]), np.array([1, 0])).shape == (2,)


def test_parameters_are_not_shared_between_models() -> None:
    first, second = book.Model(), book.Model()
    for model in (first, second):
        model.add(book.Layer_Dense(2, 1))
        model.add(book.Activation_Linear())
        model.set(
            loss=book.Loss_MeanSquaredError(), optimizer=book.Optimizer_SGD(), accuracy=book.Accuracy_Regression()
        )
        model.finalize()
    parameters = first.get_parameters()
    second.set_parameters(parameters)
    second.train(np.ones((3, 2)), np.ones((3, 1)), epochs=1, print_every=10)
    for array, kept in zip(first.get_parameters()[0], parameters[0], strict=True):
        np.testing.assert_array_equal(array, kept)
    assert not np.array_equal(second.layers[0].weights, first.layers[0].weights)


# -- models and files ----------------------------------------------------------------------------------------------------


def build(loss: str = "CategoricalCrossentropy", optimizer=None) -> book.Model:
    model = book.Model()
    outputs = {"CategoricalCrossentropy": 3}.get(loss, 1)
    last = {"CategoricalCrossentropy": book.Activation_Softmax, "BinaryCrossentropy": book.Activation_Sigmoid}
    layers = (
        book.Layer_Dense(2, 8, weight_regularizer_l2=5e-4, bias_regularizer_l1=1e-5),
        book.Activation_ReLU(),
        book.Layer_Dropout(0.1),
        book.Layer_Dense(8, outputs),
        last.get(loss, book.Activation_Linear)(),
    )
    for layer in layers:
        model.add(layer)
    accuracy = book.Accuracy_Regression() if loss.startswith("Mean") else book.Accuracy_Categorical(binary=outputs == 1)
    model.set(loss=getattr(book, f"Loss_{loss}")(), optimizer=optimizer, accuracy=accuracy)
    model.finalize()
    return model


def data(loss: str = "CategoricalCrossentropy") -> tuple[np.ndarray, np.ndarray]:
    X = np.random.randn(30, 2)
    if loss == "CategoricalCrossentropy":
        return X, np.random.randint(0, 3, 30)
    return X, (X[:, :1] > 0).astype(float)


OPTIMIZERS = {
    "sgd": lambda: book.Optimizer_SGD(0.1, decay=1e-2),
    "momentum": lambda: book.Optimizer_SGD(0.1, momentum=0.8),
    "adagrad": lambda: book.Optimizer_Adagrad(0.1),
    "rmsprop": lambda: book.Optimizer_RMSprop(0.01, rho=0.8),
    "adam": lambda: book.Optimizer_Adam(0.01, decay=1e-3, beta_1=0.8),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    "loss", ["CategoricalCrossentropy", "BinaryCrossentropy", "MeanSquaredError", "MeanAbsoluteError"]
)
def test_a_saved_model_goes_on_as_if_it_had_not_been_saved(loss: str, optimizer: str, tmp_path, capsys) -> None:
    np.random.seed(0)
    model, (X, y) = build(loss, OPTIMIZERS[optimizer]()), data(loss)
    model.train(X, y, epochs=3, batch_size=16)
    state = np.random.get_state()
    model.save(tmp_path / "book.model")
    loaded = book.Model.load(tmp_path / "book.model")
    assert np.random.get_state()[2] == state[2], "loading draws no random numbers"
    capsys.readouterr()
    lines = []
    for each in (model, loaded):
        np.random.set_state(state)
        each.train(X, y, epochs=3, batch_size=16, validation_data=(X, y))
        lines.append(capsys.readouterr().out)
    assert lines[0] == lines[1]
    for array, other in zip(sum(model.get_parameters(), ()), sum(loaded.get_parameters(), ()), strict=True):
        np.testing.assert_array_equal(array, other)


def test_a_file_of_the_book_and_one_of_the_library_are_the_same(tmp_path) -> None:
    np.random.seed(0)
    model, (X, y) = build(optimizer=book.Optimizer_Adam()), data()
    model.train(X, y, epochs=2, print_every=10)
    model.save(tmp_path / "book.model")
    library = nn.Model.load(tmp_path / "book.model")
    np.testing.assert_allclose(library.predict(X), model.predict(X), rtol=1e-13)
    library.save(tmp_path / "library.model")
    np.testing.assert_array_equal(book.Model.load(tmp_path / "library.model").predict(X), model.predict(X))


def test_parameters_alone(tmp_path) -> None:
    np.random.seed(0)
    model, other, (X, _) = build(), build(), data()
    model.save_parameters(tmp_path / "book.parms")
    other.load_parameters(tmp_path / "book.parms")
    np.testing.assert_array_equal(other.predict(X), model.predict(X))


def test_a_pickle_is_refused_and_nothing_is_run(tmp_path) -> None:
    (tmp_path / "old.model").write_bytes(b"\x80\x04\x95whatever")
    with pytest.raises(nn.NNBackendError, match="pickle"):
        book.Model.load(tmp_path / "old.model")
    with pytest.raises(nn.NNBackendError, match="pickle"):
        build().load_parameters(tmp_path / "old.model")


def test_what_a_model_lacks_is_said() -> None:
    model = book.Model()
    with pytest.raises(nn.StateError, match="no layers"):
        model.finalize()
    model.add(book.Layer_Dense(2, 1))
    with pytest.raises(nn.StateError, match="no loss"):
        model.train(np.ones((1, 2)), np.ones((1, 1)))


def test_predict_in_batches_gives_an_array_of_ones_own() -> None:
    model, (X, _) = build(), data()
    whole = model.predict(X)
    np.testing.assert_allclose(model.predict(X, batch_size=7), whole, rtol=1e-13)
    kept = whole.copy()
    model.predict(-X)
    np.testing.assert_array_equal(whole, kept)


# -- on a device: NumPy and the data come from the package ---------------------------------------------------------------


@pytest.fixture(params=["float64", "float32"])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """`np` of the package on the pretend GPU, in plain NumPy and as after `nnfs.init()`."""
    if request.param == "float32":
        real = np.random.randn
        monkeypatch.setattr(np.random, "randn", lambda *shape: np.asarray(real(*shape), "float32"))
    with nn.use_backend("strict", dtype=request.param) as xp:
        yield xp, book.np


def test_device_numpy_makes_device_arrays_in_the_books_dtype(device) -> None:
    xp, device_np = device
    made = [
        device_np.array([[1.0, 2.0]]),
        device_np.zeros((2, 2)),
        device_np.eye(3),
        device_np.random.randn(2, 3),
        device_np.mean([1.0, 2.0]),
        device_np.maximum(0, device_np.array([-1.0, 1.0])),
        device_np.vstack([np.ones((1, 2)), device_np.ones((1, 2))]),
        device_np.dot([[1.0, 2.0]], device_np.ones((2, 2))),
        *book.spiral_data(10, 3)[:1],
        *book.sine_data(),
        *book.vertical_data(10, 3)[:1],
    ]
    assert all(xp.is_array(array) for array in made)
    assert {array.dtype for array in made} == {xp.dtype}
    assert book.spiral_data(10, 3)[1].dtype == xp.index_dtype


def test_device_numpy_draws_what_numpy_draws(device) -> None:
    xp, device_np = device
    device_np.random.seed(3)
    keys = device_np.array(range(10))
    device_np.random.shuffle(keys)
    drawn = device_np.random.randn(4), device_np.random.permutation(5), device_np.random.rand()
    np.random.seed(3)
    expected = np.arange(10)
    np.random.shuffle(expected)
    np.testing.assert_array_equal(xp.to_host(keys), expected)
    np.testing.assert_array_equal(xp.to_host(drawn[0]), np.random.randn(4))
    np.testing.assert_array_equal(xp.to_host(drawn[1]), np.random.permutation(5))
    assert drawn[2] == np.random.rand()


def test_device_numpy_keeps_what_is_of_the_host(device) -> None:
    _, device_np = device
    assert device_np.float32 is np.float32
    assert device_np.pi == np.pi
    with device_np.printoptions(precision=2), device_np.errstate(all="ignore"):
        assert str(device_np.array([1.23456])) == "[1.23]"
    losses = [device_np.mean(device_np.array([1.0])), 3.0]
    assert f"{device_np.mean(losses):.1f}" == "2.0"
    labels = device_np.array(["3", "1"])  # as chapter 19 reads them, from the names of folders
    assert labels.astype("uint8").tolist() == [3, 1]
    assert "'3'" in repr(labels)
    with pytest.raises(AttributeError, match="no_such_name"):
        device_np.no_such_name  # noqa: B018


def test_numpy_arrays_are_refused_on_a_device_with_the_remedy(device) -> None:
    dense, loss = book.Layer_Dense(2, 3), book.Loss_CategoricalCrossentropy()
    with pytest.raises(nn.DataError, match=r"Layer_Dense\.forward was given .*from nnbackend\.book import np"):
        dense.forward(np.ones((1, 2)))
    with pytest.raises(nn.DataError, match=r"Loss_CategoricalCrossentropy\.forward"):
        loss.calculate(book.np.ones((1, 3)), np.array([0]))


def test_a_model_takes_data_of_the_host_on_a_device(device, capsys) -> None:
    """`train`, `evaluate` and `predict` are where data may come in, as in the library's own Model."""
    xp, _ = device
    np.random.seed(0)
    model, (X, y) = build(optimizer=book.Optimizer_Adam(0.01)), data()
    model.train(X, y, epochs=2, batch_size=16, validation_data=(X, y))
    assert capsys.readouterr().out.count("validation, acc") == 2
    assert xp.is_array(model.predict(X))


def test_what_is_handed_out_on_a_device_lives_there(device) -> None:
    xp, _ = device
    dense = book.Layer_Dense(2, 3)
    dense.forward(book.np.ones((4, 2)))
    dense.backward(book.np.ones((4, 3)))
    assert all(xp.is_array(getattr(dense, name)) and getattr(dense, name).dtype == xp.dtype for name in NAMES)


def test_a_layer_belongs_to_the_backend_that_it_was_built_on() -> None:
    with nn.use_backend("strict") as xp:
        activation, inputs = book.Activation_ReLU(), book.np.array([[-1.0, 1.0]])
    activation.forward(inputs)
    assert xp.is_array(activation.output)


def test_a_step_on_a_device_needs_no_transfer(device) -> None:
    """But for labels, which are looked at when they are new."""
    xp, device_np = device
    X, y = book.spiral_data(20, 3)
    dense1, activation1, dense2 = book.Layer_Dense(2, 8), book.Activation_ReLU(), book.Layer_Dense(8, 3)
    loss_activation, optimizer = book.Activation_Softmax_Loss_CategoricalCrossentropy(), book.Optimizer_Adam(decay=0.1)
    network = dense1, activation1, dense2, loss_activation
    step(X, y, *network)
    with xp.no_transfers():
        loss = step(X, y, *network)
        optimizer.pre_update_params()
        optimizer.update_params(dense1)
        optimizer.update_params(dense2)
        optimizer.post_update_params()
        accuracy = device_np.mean(device_np.argmax(loss_activation.output, axis=1) == y)
    assert f"{loss:.1f}, {accuracy:.1f}"
