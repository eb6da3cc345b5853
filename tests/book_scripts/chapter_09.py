"""Chapter 9: one backward pass by hand, joined and apart."""

import nnfs
import numpy as np
from nnfs.datasets import spiral_data

from nnbackend.book import *

nnfs.init()

X, y = spiral_data(samples=100, classes=3)

dense1 = Layer_Dense(2, 3)
activation1 = Activation_ReLU()
dense2 = Layer_Dense(3, 3)
loss_activation = Activation_Softmax_Loss_CategoricalCrossentropy()

dense1.forward(X)
activation1.forward(dense1.output)
dense2.forward(activation1.output)
loss = loss_activation.forward(dense2.output, y)
print(loss_activation.output[:5])
print("loss:", loss)

predictions = np.argmax(loss_activation.output, axis=1)
print("acc:", np.mean(predictions == y))

loss_activation.backward(loss_activation.output, y)
dense2.backward(loss_activation.dinputs)
activation1.backward(dense2.dinputs)
dense1.backward(activation1.dinputs)
print(dense1.dweights)
print(dense1.dbiases)
print(dense2.dweights)
print(dense2.dbiases)

softmax_outputs = np.array([[0.7, 0.1, 0.2], [0.1, 0.5, 0.4], [0.02, 0.9, 0.08]])
class_targets = np.array([0, 1, 1])

loss_activation.backward(softmax_outputs, class_targets)
print("Gradients: combined loss and activation:")
print(loss_activation.dinputs)

activation = Activation_Softmax()
activation.output = softmax_outputs
separate_loss = Loss_CategoricalCrossentropy()
separate_loss.backward(softmax_outputs, class_targets)
activation.backward(separate_loss.dinputs)
print("Gradients: separate loss and activation:")
print(np.round(activation.dinputs, 6))  # the book multiplies each sample's Jacobian with np.dot, in float32
