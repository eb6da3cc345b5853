"""Chapter 21 of the book: save parameters and whole models, load them, and go on training.

python examples/chapter21_saving.py --data fashion_mnist_images.zip --backend gpu

Without --data it takes the small handwritten digits that come with scikit-learn. The files are safetensors, which hold
numbers and a description and can run nothing; what is saved on one backend is loaded on any other.
"""

import argparse
from pathlib import Path

import nnbackend as nn

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--backend", default=None, help="cpu, gpu, auto or strict (default: NNBACKEND, else cpu)")
parser.add_argument("--dtype", default="float32", help="float32 or float64")
parser.add_argument("--epochs", type=int, help="default: 10, as in the book; 20 for the digits")
parser.add_argument("--seed", type=int, default=0, help="of the order of the data and the weights")
parser.add_argument("--data", metavar="PATH", help="the book's zip file or its folder, or the folder of the .gz files")
parser.add_argument("--folder", type=Path, default=Path(), help="where the files go (default: here)")
arguments = parser.parse_args()

if arguments.data:
    images = nn.datasets.fashion_mnist(arguments.data, seed=arguments.seed)
    weights, epochs = nn.Normal(0.01), arguments.epochs or 10
else:
    images = nn.datasets.digits(seed=arguments.seed)
    weights, epochs = nn.Normal(0.1), arguments.epochs or 20
X, y, X_test, y_test = images.X_train, images.y_train, images.X_test, images.y_test
n_pixels, n_classes = X.shape[1], len(images.label_names)

model = nn.Model(
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
    seed=arguments.seed,
)
model.train(X, y, epochs=epochs, batch_size=128, print_every=1)
print(f"trained, acc: {model.evaluate(X_test, y_test).accuracy:.3f}")

# The parameters alone, for a model that is there already
model.save_parameters(arguments.folder / "images.parameters.safetensors")
model.load_parameters(arguments.folder / "images.parameters.safetensors")

# The whole model, with its optimizer's state, and with what whoever uses it has to know
model.class_names = list(images.label_names)
model.preprocessing = {"image_shape": list(images.shape), "scaled_to": [-1.0, 1.0]}
model.save(arguments.folder / "images.safetensors")

loaded = nn.Model.load(arguments.folder / "images.safetensors", backend=arguments.backend)
print(f"loaded, acc: {loaded.evaluate(X_test, y_test).accuracy:.3f}")

# It goes on exactly where the first one stopped
for each in (model, loaded):
    history = each.train(X, y, epochs=1, batch_size=128, print_every=0)
    print(f"one more epoch, loss: {history['loss'][-1]}")
