"""Chapter 20: evaluation, and parameters carried from one model to another."""

import nnfs
import numpy as np

from nnbackend.book import *

nnfs.init()


def create_data(samples):
    """Pictures of 8 by 8 pixels in three classes, in place of Fashion-MNIST's files."""
    y = np.array([str(number % 3) for number in range(samples)]).astype("uint8")  # names of folders
    X = np.zeros((samples, 8, 8))
    for number in range(samples):
        X[number] = 60 * np.random.rand(8, 8)
        X[number, 2 * (number % 3) : 2 * (number % 3) + 3] += 90 * np.random.rand()
    return X.astype("uint8"), y


X, y = create_data(150)
X_test, y_test = create_data(40)

keys = np.array(range(X.shape[0]))
np.random.shuffle(keys)
X = X[keys]
y = y[keys]

X = (X.reshape(X.shape[0], -1).astype(np.float32) - 127.5) / 127.5
X_test = (X_test.reshape(X_test.shape[0], -1).astype(np.float32) - 127.5) / 127.5

model = Model()
model.add(Layer_Dense(X.shape[1], 16))
model.add(Activation_ReLU())
model.add(Layer_Dense(16, 16))
model.add(Activation_ReLU())
model.add(Layer_Dense(16, 3))
model.add(Activation_Softmax())
model.set(loss=Loss_CategoricalCrossentropy(), optimizer=Optimizer_Adam(decay=1e-3), accuracy=Accuracy_Categorical())
model.finalize()

model.train(X, y, validation_data=(X_test, y_test), epochs=3, batch_size=64, print_every=100)
model.evaluate(X_test, y_test)
model.evaluate(X, y, batch_size=64)

parameters = model.get_parameters()
print(len(parameters), [weights.shape for weights, biases in parameters])

model = Model()
model.add(Layer_Dense(X.shape[1], 16))
model.add(Activation_ReLU())
model.add(Layer_Dense(16, 16))
model.add(Activation_ReLU())
model.add(Layer_Dense(16, 3))
model.add(Activation_Softmax())
model.set(loss=Loss_CategoricalCrossentropy(), accuracy=Accuracy_Categorical())
model.finalize()
model.set_parameters(parameters)
model.evaluate(X_test, y_test)
