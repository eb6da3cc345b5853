"""Chapter 15 of the book: dropout, on 1,000 samples a class of the spiral.

python examples/chapter15_dropout.py --backend gpu
"""

import argparse

import nnbackend as nn

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--backend", default=None, help="cpu, gpu, auto or strict (default: NNBACKEND, else cpu)")
parser.add_argument("--dtype", default="float32", help="float32 or float64")
parser.add_argument("--epochs", type=int, default=10_001)
parser.add_argument("--seed", type=int, default=0, help="of the data, the weights and the dropout")
arguments = parser.parse_args()

# Data, on the device
xp = nn.get_backend(arguments.backend, dtype=arguments.dtype)
X, y = nn.datasets.spiral(samples=1000, classes=3, seed=arguments.seed)
X, y = xp.asarray(X), xp.asarray(y)

# The network: 2 inputs, 64 neurons of which a tenth is dropped at every step, 3 classes
with nn.use_backend(xp):
    dense1 = nn.Dense(2, 64, weight_regularizer=nn.L2(5e-4), bias_regularizer=nn.L2(5e-4), seed=arguments.seed)
    activation1 = nn.ReLU()
    dropout1 = nn.Dropout(0.1, seed=arguments.seed + 1)
    dense2 = nn.Dense(64, 3, seed=arguments.seed + 2)
    loss_activation = nn.SoftmaxCategoricalCrossentropy()
    accuracy = nn.CategoricalAccuracy()

parameters = nn.ParameterBuffer.of(dense1, dense2)
optimizer = nn.Adam(learning_rate=0.05, decay=5e-5)

for epoch in range(arguments.epochs):
    # Forward pass
    dense1.forward(X)
    activation1.forward(dense1.output)
    dropout1.forward(activation1.output, training=True)
    dense2.forward(dropout1.output)
    data_loss = loss_activation.calculate(dense2.output, y)

    # What is printed has to be fetched from the device, so only now and then
    if not epoch % 100:
        acc = float(xp.to_host(accuracy.calculate(loss_activation.output, y)))
        loss, penalties = float(xp.to_host(data_loss)), float(xp.to_host(parameters.regularization_loss()))
        print(
            f"epoch: {epoch}, acc: {acc:.3f}, loss: {loss + penalties:.3f} (data_loss: {loss:.3f}, "
            f"reg_loss: {penalties:.3f}), lr: {optimizer.current_learning_rate}"
        )

    # Backward pass
    loss_activation.backward(loss_activation.output, y)
    dense2.backward(loss_activation.dinputs)
    dropout1.backward(dense2.dinputs)
    activation1.backward(dropout1.dinputs)
    dense1.backward(activation1.dinputs)

    # Update weights and biases
    optimizer.update(parameters)

# Validation on fresh data, where nothing is dropped
X_test, y_test = nn.datasets.spiral(samples=100, classes=3, seed=arguments.seed + 1)
X_test, y_test = xp.asarray(X_test), xp.asarray(y_test)
dense1.forward(X_test)
activation1.forward(dense1.output)
dense2.forward(activation1.output)
loss = float(xp.to_host(loss_activation.calculate(dense2.output, y_test)))
acc = float(xp.to_host(accuracy.calculate(loss_activation.output, y_test)))
print(f"validation, acc: {acc:.3f}, loss: {loss:.3f}")
