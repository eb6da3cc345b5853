"""Chapter 19 of the book: a real data set, Fashion-MNIST, in batches of 128.

python examples/chapter19_fashion_mnist.py --data fashion_mnist_images.zip --backend gpu

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

# An epoch of the digits is 12 steps, not 469: they take more epochs, and weights that begin larger
if arguments.data:
    images = nn.datasets.fashion_mnist(arguments.data, seed=arguments.seed)
    weights, epochs = nn.Normal(0.01), arguments.epochs or 10
else:
    images = nn.datasets.digits(seed=arguments.seed)
    weights, epochs = nn.Normal(0.1), arguments.epochs or 20
print(images)

n_pixels, n_classes = images.X_train.shape[1], len(images.label_names)
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

model.train(
    images.X_train,
    images.y_train,
    epochs=epochs,
    batch_size=128,
    validation_data=(images.X_test, images.y_test),
    print_every=1,
)

test = model.evaluate(images.X_test, images.y_test, batch_size=128)
print(f"test, acc: {test.accuracy:.3f}, loss: {test.data_loss:.3f}")
