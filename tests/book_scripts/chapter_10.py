"""Chapter 10: the training loop, once with each optimizer."""

import nnfs
import numpy as np
from nnfs.datasets import spiral_data

from nnbackend.book import *

nnfs.init()

for optimizer in (
    Optimizer_SGD(learning_rate=0.85),
    Optimizer_SGD(decay=1e-3),
    Optimizer_SGD(decay=1e-3, momentum=0.9),
    Optimizer_Adagrad(decay=1e-4),
    Optimizer_RMSprop(learning_rate=0.02, decay=1e-5, rho=0.999),
    Optimizer_Adam(learning_rate=0.05, decay=5e-7),
):
    X, y = spiral_data(samples=100, classes=3)

    dense1 = Layer_Dense(2, 64)
    activation1 = Activation_ReLU()
    dense2 = Layer_Dense(64, 3)
    loss_activation = Activation_Softmax_Loss_CategoricalCrossentropy()

    for epoch in range(101):
        dense1.forward(X)
        activation1.forward(dense1.output)
        dense2.forward(activation1.output)
        loss = loss_activation.forward(dense2.output, y)

        predictions = np.argmax(loss_activation.output, axis=1)
        if len(y.shape) == 2:
            y = np.argmax(y, axis=1)
        accuracy = np.mean(predictions == y)
        if not epoch % 10:
            print(
                f"epoch: {epoch}, "
                + f"acc: {accuracy:.3f}, "
                + f"loss: {loss:.3f}, "
                + f"lr: {optimizer.current_learning_rate}"
            )

        loss_activation.backward(loss_activation.output, y)
        dense2.backward(loss_activation.dinputs)
        activation1.backward(dense2.dinputs)
        dense1.backward(activation1.dinputs)

        optimizer.pre_update_params()
        optimizer.update_params(dense1)
        optimizer.update_params(dense2)
        optimizer.post_update_params()
