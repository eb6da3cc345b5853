"""The classes of `nnbackend.book`, one by one: their arrays, the forms that change between chapters, the faults put right."""

from __future__ import annotations

import numpy as np
import pytest

import nnbackend as nn
from nnbackend import book
from tests import book_oracle as oracle
from tests.book_networks import NAMES, step, trained_pair


def test_numpy_is_not_patched_here() -> None:
    """`nnfs.init()` ran in other processes only; the package itself patches nothing."""
    code = [getattr(function, "__code__", None) for function in (np.dot, np.zeros, np.eye, np.random.randn)]
    assert not any("nnfs" in each.co_filename for each in code if each is not None)
    before = np.dot, np.zeros, np.eye, np.random.randn
    trained_pair()
    assert (np.dot, np.zeros, np.eye, np.random.randn) == before


# -- arrays ----------------------------------------------------------------------------------------------------------------


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
