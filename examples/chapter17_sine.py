"""Chapter 17 of the book: regression, a network that learns the sine.

python examples/chapter17_sine.py --backend gpu
"""

import argparse

import nnbackend as nn

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--backend", default=None, help="cpu, gpu, auto or strict (default: NNBACKEND, else cpu)")
parser.add_argument("--dtype", default="float32", help="float32 or float64")
parser.add_argument("--epochs", type=int, default=10_000)
parser.add_argument("--seed", type=int, default=0, help="of the weights")
parser.add_argument("--plot", metavar="FILE", help="draw the sine and the fit into this file (needs matplotlib)")
arguments = parser.parse_args()

X, y = nn.datasets.sine()

# With weights ten times as large as usual: drawn at 0.01, this network hardly learns
model = nn.Model(
    [
        nn.Dense(1, 64, weight_initializer=nn.Normal(0.1)),
        nn.ReLU(),
        nn.Dense(64, 64, weight_initializer=nn.Normal(0.1)),
        nn.ReLU(),
        nn.Dense(64, 1, weight_initializer=nn.Normal(0.1)),
        nn.Linear(),
    ],
    loss=nn.MeanSquaredError(),
    optimizer=nn.Adam(learning_rate=0.005, decay=1e-3),
    accuracy=nn.RegressionAccuracy(),
    backend=arguments.backend,
    dtype=arguments.dtype,
    seed=arguments.seed,
)

model.train(X, y, epochs=arguments.epochs, print_every=100)

predictions = model.predict(X)
print(f"mean absolute error: {abs(predictions - y).mean():.4f}")

if arguments.plot:
    import matplotlib.pyplot as plt

    plt.plot(X, y, label="sin(2πx)")
    plt.plot(X, predictions, label="the network")
    plt.legend()
    plt.savefig(arguments.plot)
