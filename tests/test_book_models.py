"""`book.Model`: files, what is missing, batches; and the package on a device."""

from __future__ import annotations

import numpy as np
import pytest

import nnbackend as nn
from nnbackend import book
from tests.book_networks import NAMES, OPTIMIZERS, build, data, step


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
