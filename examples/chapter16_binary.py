"""Chapter 16 of the book: binary logistic regression, on the spiral with two arms.

python examples/chapter16_binary.py --backend gpu
"""

import argparse

import nnbackend as nn

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--backend", default=None, help="cpu, gpu, auto or strict (default: NNBACKEND, else cpu)")
parser.add_argument("--dtype", default="float32", help="float32 or float64")
parser.add_argument("--epochs", type=int, default=10_000)
parser.add_argument("--seed", type=int, default=0, help="of the data and the weights")
arguments = parser.parse_args()

# One output neuron says the probability of class 1, so labels are 0 or 1 in a column
X, y = nn.datasets.spiral(samples=100, classes=2, seed=arguments.seed)
X_test, y_test = nn.datasets.spiral(samples=100, classes=2, seed=arguments.seed + 1)
y, y_test = y.reshape(-1, 1), y_test.reshape(-1, 1)

model = nn.Model(
    [
        nn.Dense(2, 64, weight_regularizer=nn.L2(5e-4), bias_regularizer=nn.L2(5e-4)),
        nn.ReLU(),
        nn.Dense(64, 1),
        nn.Sigmoid(),
    ],
    loss=nn.BinaryCrossentropy(),
    optimizer=nn.Adam(decay=5e-7),
    accuracy=nn.BinaryAccuracy(),
    backend=arguments.backend,
    dtype=arguments.dtype,
    seed=arguments.seed,
)

model.train(X, y, epochs=arguments.epochs, print_every=100)

validation = model.evaluate(X_test, y_test)
print(f"validation, acc: {validation.accuracy:.3f}, loss: {validation.data_loss:.3f}")
