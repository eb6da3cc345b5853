"""A table of your own, from Python: read, learned, saved, and used for new rows.

python examples/own_data.py --backend gpu
python examples/own_data.py --table wine.csv --target cultivar

Without --table it is scikit-learn's iris, written as a table first. The command line does the same: see docs/own-data.md.
"""

import argparse
import csv
from pathlib import Path

import nnbackend as nn

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--backend", default=None, help="cpu, gpu, auto or strict (default: NNBACKEND, else cpu)")
parser.add_argument("--dtype", default="float32", help="float32 or float64")
parser.add_argument("--epochs", type=int, default=250)
parser.add_argument("--seed", type=int, default=0, help="of the split and the weights")
parser.add_argument("--table", type=Path, help="a .csv, .parquet or .npz file (default: iris.csv, written here)")
parser.add_argument("--target", help="the column to be found out (default: the last)")
parser.add_argument("--drop", action="append", default=[], help="a column to leave out; once for each")
parser.add_argument("--impute", help="mean, median or most-frequent")
arguments = parser.parse_args()


def write_iris(path: Path) -> Path:
    """Scikit-learn's iris as people have such data: a line of names, and a flower a line."""
    from sklearn.datasets import load_iris

    iris = load_iris()
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sepal_length", "sepal_width", "petal_length", "petal_width", "species"])
        for flower, label in zip(iris.data.tolist(), iris.target, strict=True):
            writer.writerow([*flower, iris.target_names[label]])
    return path


table = nn.datasets.load_table(
    arguments.table or write_iris(Path("iris.csv")),
    target=arguments.target,
    drop=arguments.drop,
    impute=arguments.impute,
    validation_split=0.2,
    seed=arguments.seed,
    dtype=arguments.dtype,
)
print(table, *table.notes, sep="\n")

classes = table.class_names
scaling = table.target_scaling  # of a regression: a network learns numbers of order 1 best
model = nn.Model(
    [
        nn.Dense(table.X.shape[1], 64, weight_initializer=nn.Normal(0.1)),
        nn.ReLU(),
        nn.Dense(64, len(classes) if classes else 1, weight_initializer=nn.Normal(0.1)),
        nn.Softmax() if classes else nn.Linear(),
    ],
    loss=nn.CategoricalCrossentropy() if classes else nn.MeanSquaredError(),
    optimizer=nn.Adam(),
    backend=arguments.backend,
    dtype=arguments.dtype,
    seed=arguments.seed,
)
model.train(
    table.X,
    scaling.scale(table.y) if scaling else table.y,
    epochs=arguments.epochs,
    batch_size=min(32, len(table.X)),
    print_every=50,
)
if scaling:
    scaling.fold_into(model)  # from here on it answers in the target's own unit

X, y = table.validation
if classes:
    print(f"validation, acc: {model.evaluate(X, y).accuracy:.3f}")
else:
    print(f"validation, mean absolute error: {abs(model.predict(X)[:, 0] - y).mean():.4f}")

# With these two in its file, the model knows what to do to new rows, and what to call its answers.
model.preprocessing, model.class_names = table.preprocessing, list(classes) if classes else None
model.save("own_data.model")

loaded = nn.Model.load("own_data.model", backend=arguments.backend)
if not arguments.table:
    flower = {"petal_length": 5.9, "petal_width": 2.3, "sepal_length": 6.8, "sepal_width": 3.2}
    answer = loaded.predict(nn.datasets.apply_preprocessing(loaded.preprocessing, [flower]))[0]
    print(f"{loaded.class_names[answer.argmax()]}: {100 * answer.max():.1f}%")
