"""Every picture is drawn from what it is given, into the axes it is given; what cannot be drawn gets a sentence."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.cli import main
from nnbackend.errors import ArgumentError, DataError, FileError, StateError
from nnbackend.history import History

pytest.importorskip("matplotlib")
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnbackend import plots
from nnbackend.plots import style, tasks

# The contrast that WCAG 2 asks of what is not text.
LEAST_CONTRAST = 3.0


def classifier(n_inputs: int = 2, classes: int = 3) -> nn.Model:
    return nn.Model(
        [nn.Dense(n_inputs, 8), nn.ReLU(), nn.Dense(8, classes), nn.Softmax()],
        loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.05), backend="cpu", seed=0,
    )  # fmt: skip


def binary(n_inputs: int = 2) -> nn.Model:
    return nn.Model(
        [nn.Dense(n_inputs, 8), nn.ReLU(), nn.Dense(8, 1), nn.Sigmoid()],
        loss=nn.BinaryCrossentropy(), optimizer=nn.Adam(0.05), backend="cpu", seed=0,
    )  # fmt: skip


def regression(n_inputs: int = 1, n_outputs: int = 1) -> nn.Model:
    return nn.Model(
        [nn.Dense(n_inputs, 8), nn.ReLU(), nn.Dense(8, n_outputs), nn.Linear()],
        loss=nn.MeanSquaredError(), optimizer=nn.Adam(0.05), backend="cpu", seed=0,
    )  # fmt: skip


class Known(nn.Layer):
    """Answers with its inputs, so that a test decides what the model says."""

    def forward(self, inputs: Any, *, training: bool = False) -> Any:
        self.output = inputs
        return inputs

    def backward(self, dvalues: Any) -> Any:
        return dvalues


def known(classes: int) -> nn.Model:
    model = nn.Model([Known()], loss=nn.CategoricalCrossentropy(), backend="cpu", seed=0)
    assert model.predict(np.eye(classes)).shape == (classes, classes)
    return model


def trained_history(epochs: int = 20, *, validation: bool = True) -> History:
    X, y = nn.datasets.spiral(10, 3, seed=0)
    data = nn.datasets.spiral(10, 3, seed=1) if validation else None
    return classifier().train(X, y, epochs=epochs, validation_data=data, print_every=0)


SPIRAL = nn.datasets.spiral(10, 3, seed=0)
ARMS = nn.datasets.spiral(10, 2, seed=0)
SINE = nn.datasets.sine(20)
TABLE = np.random.default_rng(0).normal(size=(30, 4))

# Each function that takes `ax`, called with it.
DRAWN: dict[str, Callable[[Axes | None], Any]] = {
    "curves": lambda ax: plots.curves(trained_history(), ax),
    "learning_rate": lambda ax: plots.learning_rate(trained_history(), ax),
    "decision_boundary": lambda ax: plots.decision_boundary(classifier(), *SPIRAL, ax, resolution=20),
    "decision_boundary of one output": lambda ax: plots.decision_boundary(binary(), *ARMS, ax, resolution=20),
    "regression_fit": lambda ax: plots.regression_fit(regression(), *SINE, ax),
    "predicted_against_true": lambda ax: plots.predicted_against_true(regression(4, 2), TABLE, TABLE[:, :2], ax),
    "confusion_matrix": lambda ax: plots.confusion_matrix(classifier(), *SPIRAL, ax),
    "confusion_matrix of one output": lambda ax: plots.confusion_matrix(binary(), *ARMS, ax),
    "histograms": lambda ax: plots.histograms(classifier(), ax),
    "histograms of gradients": lambda ax: plots.histograms(classifier(), ax, data=SPIRAL),
}
drawn = pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)


def first(axes: Axes | list[Axes]) -> Axes:
    return axes[0] if isinstance(axes, list) else axes


@drawn
def test_it_returns_axes_of_its_own_or_those_it_is_given(draw: Callable[[Axes | None], Any], tmp_path: Path) -> None:
    own = first(draw(None))
    assert own.get_figure() is not None
    figure = Figure(layout="constrained")
    given, other = figure.subplots(1, 2)
    found = first(draw(given))
    assert found.get_figure() is figure
    assert found is given or not given.axison, "panels take the place of the axes that were given"
    assert not other.has_data()
    figure.savefig(tmp_path / "both.png")


@drawn
def test_axes_are_labelled(draw: Callable[[Axes | None], Any]) -> None:
    axes = draw(None)
    panels = axes if isinstance(axes, list) else [axes]
    assert any(panel.get_xlabel() for panel in panels)
    assert any(panel.get_ylabel() for panel in panels)


@drawn
@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_equal_pictures_give_equal_files(draw: Callable[[Axes | None], Any], tmp_path: Path, ending: str) -> None:
    one, two = tmp_path / f"one.{ending}", tmp_path / f"two.{ending}"
    for path in (one, two):
        plots.save(first(draw(None)), path)
    assert one.read_bytes() == two.read_bytes()


@drawn
def test_pyplot_keeps_nothing(draw: Callable[[Axes | None], Any]) -> None:
    """A figure that pyplot knows is never freed: a hundred pictures would fill the memory."""
    draw(None)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


# -- what they show ------------------------------------------------------------------------------------------------------


def test_curves_show_every_column_that_there_is() -> None:
    ax = plots.curves(trained_history())
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["loss", "validation loss", "accuracy", "validation accuracy"]
    assert [text.get_text() for text in plots.curves(trained_history(validation=False)).get_legend().get_texts()] == [
        "loss",
        "accuracy",
    ]


@pytest.mark.parametrize(("losses", "scale"), [([9.0, 1.0], "log"), ([1.0, 0.9], "linear"), ([9.0, 0.0], "linear")])
def test_a_loss_over_a_wide_range_is_drawn_logarithmically(losses: list[float], scale: str) -> None:
    history = History()
    for epoch, loss in enumerate(losses, 1):
        history.append({"epoch": epoch, "loss": loss})
    assert plots.curves(history).get_yscale() == scale


def test_lines_differ_without_colours() -> None:
    ax = plots.curves(trained_history())
    lines = ax.get_legend().get_lines()
    looks = {(line.get_linestyle(), line.get_marker()) for line in lines}
    assert len(looks) == len(lines)


def lightness(code: str) -> float:
    """The relative luminance of a colour, as WCAG defines it."""
    parts = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_the_regions_of_the_first_classes_differ_in_grey() -> None:
    """Three arms are what most pictures show: a tenth of the way from black to white lies between any two."""
    greys = [
        1 - opacity * (1 - np.dot([int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)], (0.299, 0.587, 0.114)))
        for code, opacity in zip(style.COLOURS[:3], style.OPACITY[:3], strict=True)
    ]
    assert min(abs(a - b) for a, b in itertools.combinations(greys, 2)) > 0.1


def test_the_points_stand_out_from_their_region() -> None:
    """Their edge is white; on the strongest region of the darkest colour it has the contrast of a symbol."""
    darkest = 1 - style.OPACITY[0] * (1 - np.array([int(style.COLOURS[0][i : i + 2], 16) / 255 for i in (1, 3, 5)]))
    code = "#" + "".join(f"{round(255 * part):02x}" for part in darkest)
    assert 1.05 / (lightness(code) + 0.05) > LEAST_CONTRAST


def test_a_boundary_lies_where_the_class_changes() -> None:
    model = binary()
    model.set_parameters(
        {
            "dense_1.weights": np.eye(2, 8),
            "dense_1.biases": np.zeros((1, 8)),
            "dense_2.weights": 50.0 * np.eye(8, 1),  # says class 1 where the first input is positive
            "dense_2.biases": np.full((1, 1), -10.0),  # that is, above 0.2
        }
    )
    X = np.array([[-1.0, -1.0], [1.0, 1.0], [-1.0, 1.0], [1.0, -1.0]])
    ax = plots.decision_boundary(model, X, np.array([0, 1, 0, 1]), resolution=200)
    line = max((path for collection in ax.collections for path in collection.get_paths()), key=len)
    np.testing.assert_allclose(line.vertices[:, 0], 0.2, atol=2.2 / 200)  # a cell of the grid
    assert ax.get_title() == "100.0% of 4 samples lie in a region of their class"


def test_a_confusion_matrix_counts() -> None:
    said = np.eye(3)[[0, 0, 1, 2, 2, 2]] * 0.8 + 0.1
    true = np.array([0, 0, 1, 1, 2, 2])
    assert tasks.confusion(known(3), said, true).tolist() == [[2, 0, 0], [0, 1, 1], [0, 0, 2]]
    ax = plots.confusion_matrix(known(3), said, true, class_names=["cat", "dog", "emu"])
    assert sorted(text.get_text() for text in ax.texts) == ["1", "1", "2", "2"]  # empty cells have no number
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cat", "dog", "emu"]
    assert ax.get_title() == "83.3% of 6 samples are recognized"


def test_targets_may_be_one_hot_floats_or_a_column() -> None:
    said, true = np.eye(3)[[0, 1, 2, 1]], np.array([0, 1, 2, 2])
    expected = tasks.confusion(known(3), said, true)
    for same in (np.eye(3)[true], true.astype(float), true[:, np.newaxis]):
        np.testing.assert_array_equal(tasks.confusion(known(3), said, same), expected)


def test_one_sigmoid_tells_two_classes_apart() -> None:
    model = nn.Model([Known()], loss=nn.BinaryCrossentropy(), backend="cpu", seed=0)
    found = tasks.confusion(model, [[0.1], [0.9], [0.6], [0.5]], [0, 1, 0, 1])
    assert found.tolist() == [[1, 1], [1, 1]]


def test_many_classes_are_shaded_without_counts() -> None:
    classes = 40
    ax = plots.confusion_matrix(known(classes), np.eye(classes), np.arange(classes))
    assert not ax.texts
    np.testing.assert_allclose(np.diag(ax.images[0].get_array()[..., 3]), 0.8)


def test_labels_of_twenty_classes_do_not_overlap() -> None:
    names = [f"class number {number}" for number in range(20)]
    ax = plots.confusion_matrix(known(20), np.eye(20), np.arange(20), class_names=names)
    ax.figure.draw_without_rendering()
    for labels in (ax.get_yticklabels(), ax.texts):
        boxes = [label.get_window_extent() for label in labels]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_panels_are_saved_as_they_are_returned(tmp_path: Path) -> None:
    panels = plots.histograms(classifier())
    plots.save(panels, tmp_path / "all.png")
    plots.save(panels[1], tmp_path / "one.png")
    assert (tmp_path / "all.png").read_bytes() == (tmp_path / "one.png").read_bytes()  # of the same figure


def test_histograms_hold_every_value() -> None:
    model = classifier()
    panels = plots.histograms(model)
    assert [panel.get_title() for panel in panels] == list(model.parameters())
    for panel, values in zip(panels, model.parameters().values(), strict=True):
        assert sum(bar.get_height() for bar in panel.patches) == values.size


def test_gradients_of_a_loaded_model_are_those_of_the_loss_on_the_data(tmp_path: Path) -> None:
    model = classifier()
    model.evaluation_step(*model.built.prepare(*SPIRAL))
    model.backward(SPIRAL[1])
    expected = {name: model.xp.to_host(p.grad).copy() for name, p in model.parameter_buffer.named.items()}
    model.save(tmp_path / "model")
    loaded = nn.Model.load(tmp_path / "model", backend="cpu")
    plots.histograms(loaded, data=SPIRAL)
    for name, parameter in loaded.parameter_buffer.named.items():
        np.testing.assert_array_equal(parameter.grad, expected[name])
    assert np.abs(expected["dense_1.weights"]).max() > 0


def test_values_that_are_not_finite_are_counted_apart() -> None:
    model = classifier()
    values = model.parameters()
    values["dense_1.weights"][0, 0] = np.nan
    model.parameter_buffer.named["dense_1.weights"].value[...] = values["dense_1.weights"]
    panel = plots.histograms(model)[0]
    assert panel.get_title() == "dense_1.weights: 1 not finite"


@pytest.mark.parametrize("names", [["$x$", "$\\frac$", "a_b^c"], ["\n", "\x00", "\u202e"], ["_hidden", "<b>", "&amp;"]])
def test_names_are_drawn_as_they_are(names: list[str], tmp_path: Path) -> None:
    """Nothing in them is a formula for matplotlib, hidden from a legend, or a letter that SVG cannot hold."""
    import xml.etree.ElementTree as ElementTree

    for ax in (
        plots.decision_boundary(classifier(), *SPIRAL, resolution=20, class_names=names),
        plots.confusion_matrix(classifier(), *SPIRAL, class_names=names),
    ):
        plots.save(ax, tmp_path / "names.svg")
        texts = {text.text for text in ElementTree.parse(tmp_path / "names.svg").iter() if text.tag.endswith("text")}
        assert {"".join(c if c.isprintable() else "?" for c in name) for name in names} <= texts


def test_an_animation_shows_its_epochs(tmp_path: Path) -> None:
    from PIL import Image

    animation = plots.BoundaryAnimation(*SPIRAL, every=4, resolution=20)
    animation.report_every = 2
    classifier().train(*SPIRAL, epochs=9, print_every=0, callbacks=[animation])
    animation.save(tmp_path / "a.gif", seconds=1)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 3  # epochs 2, 6 and the last
        assert image.info["loop"] == 0


# -- what cannot be drawn ------------------------------------------------------------------------------------------------

REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: plots.curves(History()), StateError, "no epochs: train the model first"),
    (lambda: plots.learning_rate(column("loss")), DataError, "no column 'learning_rate': it has loss"),
    (lambda: plots.decision_boundary(classifier(3), TABLE[:, :3], [0] * 30), DataError, "expected (samples, 2)"),
    (lambda: plots.decision_boundary(classifier(), [["a", "b"]], [0]), DataError, "expected an array of numbers"),
    (lambda: plots.decision_boundary(classifier(), SPIRAL[0], SPIRAL[1][:5]), DataError, "5 targets for 30 samples"),
    (lambda: plots.decision_boundary(classifier(), SPIRAL[0], SPIRAL[1] + 1), DataError, "out of range"),
    (lambda: plots.decision_boundary(classifier(), np.empty((0, 2)), []), DataError, "at least one sample"),
    (lambda: plots.regression_fit(regression(4), TABLE, TABLE[:, 0]), DataError, "expected (samples, 1)"),
    (
        lambda: plots.regression_fit(regression(1, 2), SINE[0], np.repeat(SINE[1], 2, axis=1)),
        DataError,
        "expected one, since a curve",
    ),
    (lambda: plots.predicted_against_true(regression(4), TABLE, TABLE), DataError, "expected (30, 1)"),
    (
        lambda: plots.predicted_against_true(regression(4), TABLE, TABLE[:, 0], output_names=["a", "b"]),
        ArgumentError,
        "2 output names for 1 outputs",
    ),
    (lambda: plots.confusion_matrix(classifier(), *SPIRAL, class_names=["a"]), ArgumentError, "expected a list of 3"),
    (lambda: plots.confusion_matrix(classifier(), *SPIRAL, class_names="abc"), ArgumentError, "expected a list of 3"),
    (lambda: plots.histograms(nn.Model([nn.ReLU()])), DataError, "no parameters"),
    (lambda: plots.histograms(classifier(), Figure().add_axes((0, 0, 1, 1))), ArgumentError, "no place in a grid"),
    (lambda: plots.agreement([]), ArgumentError, "expected at least one"),
    (lambda: plots.check_file("picture.xyz"), ArgumentError, "not written as 'xyz': use .png, .svg or .pdf"),
    (lambda: plots.check_file("picture"), ArgumentError, "not written as 'files without an ending'"),
    (lambda: plots.save(plots.curves(column("loss")), "no/such/folder.png"), FileError, "No such file or directory"),
    (lambda: plots.save(plots.curves(column("loss")), "curves.doc"), ArgumentError, "not written as 'doc'"),
    (lambda: plots.save(5, "curves.png"), ArgumentError, "ax 5: expected axes of matplotlib"),  # type: ignore[arg-type]
    (lambda: plots.save([], "curves.png"), ArgumentError, "ax []: expected axes of matplotlib"),
    (lambda: plots.curves([1, 2]), ArgumentError, "history [1, 2]: expected an nn.History"),  # type: ignore[arg-type]
    (lambda: plots.histograms(5), ArgumentError, "model 5: expected an nn.Model"),  # type: ignore[arg-type]
    (lambda: plots.decision_boundary(None, *SPIRAL), ArgumentError, "model None: expected an nn.Model"),  # type: ignore[arg-type]
    (lambda: plots.confusion_matrix("m.model", *SPIRAL), ArgumentError, "model 'm.model': expected"),  # type: ignore[arg-type]
    (lambda: plots.BoundaryAnimation(*SPIRAL).save("a.gif"), StateError, "no frames: train with it"),
    (lambda: plots.BoundaryAnimation(*SPIRAL, every=0), ArgumentError, "every 0"),
]


def column(name: str) -> History:
    history = History()
    history.append({name: 1.0})
    return history


@pytest.mark.parametrize(("draw", "kind", "part"), REFUSED, ids=[row[2] for row in REFUSED])
def test_what_cannot_be_drawn_gets_a_sentence(draw: Callable[[], Any], kind: type[Exception], part: str) -> None:
    with pytest.raises(kind) as caught:
        draw()
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(StateError, match=r"pip install 'nnbackend\[plot\]'"):
        plots.curves(column("loss"))


# -- nnbackend plot --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained model of each kind, and the history of one."""
    folder = tmp_path_factory.mktemp("models")
    for name, run in {
        "spiral": f"spiral --samples 10 --epochs 20 --history {folder / 'spiral.csv'} --checkpoint {folder / 'runs'}",
        "binary": "vertical --binary --samples 10 --epochs 20",
        "sine": "sine --samples 20 --epochs 20",
        "digits": "digits --epochs 1",
    }.items():
        assert main(["train", *run.split(), "--quiet", "--save", str(folder / name)]) == 0
    custom = classifier(3)
    custom.save(folder / "custom")
    X = TABLE[:, :3]
    np.savez(folder / "own.npz", X=X, y=(X[:, 0] > 0).astype(int))
    return folder


KINDS = [
    ("spiral", ""),
    ("spiral", "--kind boundary --kind curves --history MODELS/spiral.csv"),
    ("spiral", "--kind confusion --kind weights --kind gradients"),
    ("spiral", "--data vertical --kind confusion --seed 3 --samples 5"),
    ("binary", ""),
    ("binary", "--kind confusion --kind gradients"),
    ("sine", ""),
    ("sine", "--kind gradients"),
    ("digits", ""),
    ("custom", "--kind weights"),
    ("custom", "--data MODELS/own.npz"),
]


@pytest.mark.parametrize(("model", "options"), KINDS, ids=[" ".join(row) for row in KINDS])
def test_pictures_of_a_saved_model(models: Path, tmp_path: Path, model: str, options: str) -> None:
    from PIL import Image

    path = tmp_path / "picture.png"
    words = options.replace("MODELS", str(models)).split()
    assert main(["plot", str(models / model), "--output", str(path), *words]) == 0
    with Image.open(path) as image:
        assert np.unique(np.asarray(image.convert("L"))).size > 10


def test_a_checkpoint_has_its_own_history(models: Path, tmp_path: Path) -> None:
    checkpoint = max((models / "runs").glob("*.safetensors"))
    arguments = ["plot", str(checkpoint), "--kind", "curves", "--output"]
    assert main([*arguments, str(tmp_path / "own.svg")]) == 0
    assert main([*arguments, str(tmp_path / "file.svg"), "--history", str(models / "spiral.csv")]) == 0
    assert (tmp_path / "own.svg").read_bytes() == (tmp_path / "file.svg").read_bytes()


WRONG = [
    ("plot MODELS/spiral", "missing option '--output'"),
    ("plot MODELS/spiral --output a.xyz", "pictures are not written as 'xyz': use .png, .svg or .pdf"),
    ("plot MODELS/spiral --output NOWHERE/a.png", "--output NOWHERE/a.png cannot be written (No such file or directory)"),
    ("plot MODELS/spiral --output a.png --kind boundry", "--kind 'boundry' is no picture: did you mean 'boundary'?"),
    ("plot MODELS/spiral --output a.png --kind curves", "keeps no history of its training: give --history FILE.csv"),
    ("plot MODELS/spiral --output a.png --kind curves --history MODELS/spiral", "is no history"),
    ("plot MODELS/spiral --output a.png --kind curves --history no.csv", "cannot read no.csv: No such file"),
    ("plot MODELS/spiral --output a.png --kind fit", "a fit is of a regression"),
    ("plot MODELS/sine --output a.png --kind boundary", "this model is for regression: use --kind fit"),
    ("plot MODELS/sine --output a.png --kind confusion", "this model is for regression: use --kind fit"),
    ("plot MODELS/custom --output a.png", "does not name a data set to draw the confusion of: give --data spiral, or a file"),
    ("plot MODELS/custom --output a.png --kind boundary --data MODELS/own.npz", "expected (samples, 2)"),
    ("plot MODELS/spiral --output a.png --data digits", "expected (samples, 2)"),
    ("plot MODELS/spiral --output a.png --data sprial", "unknown data 'sprial': did you mean 'spiral'?"),
    ("plot MODELS/nothing --output a.png", "cannot read"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "part"), WRONG, ids=[row[0] for row in WRONG])
def test_a_picture_that_cannot_be_gets_a_sentence(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    models: Path,
    arguments: str,
    part: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    status = main([word.replace("MODELS", str(models)) for word in arguments.split()])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert part in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir()), "a refused command leaves nothing behind"


def test_the_history_of_a_file_is_the_one_that_was_written(tmp_path: Path) -> None:
    history = trained_history()
    history.to_csv(tmp_path / "history.csv")
    found = History.from_csv(tmp_path / "history.csv")
    assert dict(found) == dict(history)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "expected a first line of names, with epoch and loss among them"),
        ("a,b\n1,2\n", "expected a first line of names"),
        ("epoch,loss\n1\n", "line 2: 1 values, but 2 names in the first line"),
        ("epoch,loss\n1,0.5\n2,half\n", "line 3: loss is 'half', which is no number"),
        ("epoch,loss\n1.5,0.5\n", "line 2: epoch is '1.5', which is no number"),
    ],
)
def test_a_damaged_history_is_named_by_line(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "history.csv"
    path.write_text(text)
    with pytest.raises(FileError) as caught:
        History.from_csv(path)
    assert str(path) in str(caught.value)
    assert part in str(caught.value)
