"""Chapter 20 of the book: evaluate a model, take its parameters out, put them into another.

python examples/chapter20_evaluation.py --data fashion_mnist_images.zip --backend gpu

Without --data it takes the small handwritten digits that come with scikit-learn.
"""

import argparse

import nnbackend as nn

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--backend", default=None, help="cpu, gpu, auto or strict (default: NNBACKEND, else cpu)")
parser.add_argument("--dtype", default="float32", help="float32 or float64")
parser.add_argument("--epochs", type=int, help="default: 10, as in the book; 20 for the digits")
parser.add_argument("--seed", type=int, default=0, help="of the order of the data and the weights")
parser.add_argument("--data", metavar="PATH", help="the book's zip file or its folder, or the folder of the .gz files")
arguments = parser.parse_args()

if arguments.data:
    images = nn.datasets.fashion_mnist(arguments.data, seed=arguments.seed)
    weights, epochs = nn.Normal(0.01), arguments.epochs or 10
else:
    images = nn.datasets.digits(seed=arguments.seed)
    weights, epochs = nn.Normal(0.1), arguments.epochs or 20
X, y, X_test, y_test = images.X_train, images.y_train, images.X_test, images.y_test
n_pixels, n_classes = X.shape[1], len(images.label_names)


def new_model(seed: int) -> nn.Model:
    """The network of chapter 19, with weights drawn from this seed."""
    return nn.Model(
        [
            nn.Dense(n_pixels, 128, weight_initializer=weights),
            nn.ReLU(),
            nn.Dense(128, 128, weight_initializer=weights),
            nn.ReLU(),
            nn.Dense(128, n_classes, weight_initializer=weights),
            nn.Softmax(),
        ],
        loss=nn.CategoricalCrossentropy(),
        optimizer=nn.Adam(decay=1e-3),
        backend=arguments.backend,
        dtype=arguments.dtype,
        seed=seed,
    )


model = new_model(arguments.seed)
model.train(X, y, epochs=epochs, batch_size=128, print_every=1)

# Evaluation learns nothing, and on the training data it is better than the last epoch's line: that is a mean over
# steps, of which the first were not as good yet
for name, samples, labels in (("training data", X, y), ("test data", X_test, y_test)):
    evaluation = model.evaluate(samples, labels, batch_size=128)
    print(f"{name}, acc: {evaluation.accuracy:.3f}, loss: {evaluation.data_loss:.3f}")

# Parameters are copies on the host, by name
parameters = model.parameters()
for name, values in parameters.items():
    print(name, values.shape)

# Another model knows nothing, until it is given them
other = new_model(arguments.seed + 1)
print(f"another model, acc: {other.evaluate(X_test, y_test, batch_size=128).accuracy:.3f}")
other.set_parameters(parameters)
print(f"with the parameters of the first, acc: {other.evaluate(X_test, y_test, batch_size=128).accuracy:.3f}")
