"""Chapter 14 of the book with `Model`: L2 regularization on the spiral.

python examples/chapter14_model.py --backend gpu
"""

import argparse

import nnbackend as nn

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--backend", default=None, help="cpu, gpu, auto or strict (default: NNBACKEND, else cpu)")
parser.add_argument("--dtype", default="float32", help="float32 or float64")
parser.add_argument("--epochs", type=int, default=10_000)
arguments = parser.parse_args()

X, y = nn.datasets.spiral(samples=100, classes=3, seed=0)
X_test, y_test = nn.datasets.spiral(samples=100, classes=3, seed=1)

model = nn.Model(
    [
        nn.Dense(2, 64, weight_regularizer=nn.L2(5e-4), bias_regularizer=nn.L2(5e-4)),
        nn.ReLU(),
        nn.Dense(64, 3),
        nn.Softmax(),
    ],
    loss=nn.CategoricalCrossentropy(),
    optimizer=nn.Adam(learning_rate=0.02, decay=5e-7),
    backend=arguments.backend,
    dtype=arguments.dtype,
    seed=0,
)
print(model.summary())

model.train(X, y, epochs=arguments.epochs, print_every=100)

validation = model.evaluate(X_test, y_test)
print(f"validation, acc: {validation.accuracy:.3f}, loss: {validation.data_loss:.3f}")
