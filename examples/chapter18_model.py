"""Chapter 18 of the book: everything so far in one `Model`, with 512 neurons, penalties and dropout.

python examples/chapter18_model.py --backend gpu
"""

import argparse

import nnbackend as nn

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--backend", default=None, help="cpu, gpu, auto or strict (default: NNBACKEND, else cpu)")
parser.add_argument("--dtype", default="float32", help="float32 or float64")
parser.add_argument("--epochs", type=int, default=10_000)
parser.add_argument("--seed", type=int, default=0, help="of the data, the weights and the dropout")
arguments = parser.parse_args()

X, y = nn.datasets.spiral(samples=1000, classes=3, seed=arguments.seed)
X_test, y_test = nn.datasets.spiral(samples=100, classes=3, seed=arguments.seed + 1)

# Layers can be added one by one, and the rest set, as in the book
model = nn.Model(backend=arguments.backend, dtype=arguments.dtype, seed=arguments.seed)
model.add(nn.Dense(2, 512, weight_regularizer=nn.L2(5e-4), bias_regularizer=nn.L2(5e-4)))
model.add(nn.ReLU())
model.add(nn.Dropout(0.1))
model.add(nn.Dense(512, 3))
model.add(nn.Softmax())
model.set(
    loss=nn.CategoricalCrossentropy(),
    optimizer=nn.Adam(learning_rate=0.05, decay=5e-5),
    accuracy=nn.CategoricalAccuracy(),
)
model.finalize()

model.train(X, y, epochs=arguments.epochs, print_every=100)

validation = model.evaluate(X_test, y_test)
print(f"validation, acc: {validation.accuracy:.3f}, loss: {validation.data_loss:.3f}")
