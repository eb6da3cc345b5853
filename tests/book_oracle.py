"""What the classes of the book's listings compute, written down from its formulas: the oracle of `test_book.py`.

Plain NumPy in the order in which the book's code rounds, dtypes left to NumPy, faults of the listings included where a
script of `book_scripts/` could run into one: none does. Files are kept in a dictionary instead of pickled.
"""

from __future__ import annotations

import copy

import numpy as np

FILES: dict[str, object] = {}
KINDS = (("weights", "weight"), ("biases", "bias"))


# -- layers (chapters 3, 9, 14, 15, 18) ----------------------------------------------------------------------------------


class Layer_Dense:
    weight_scale = 0.01

    def __init__(self, n_inputs, n_neurons, weight_regularizer_l1=0, weight_regularizer_l2=0,
                 bias_regularizer_l1=0, bias_regularizer_l2=0):  # fmt: skip
        self.weights = self.weight_scale * np.random.randn(n_inputs, n_neurons)
        self.biases = np.zeros((1, n_neurons))
        self.weight_regularizer_l1, self.weight_regularizer_l2 = weight_regularizer_l1, weight_regularizer_l2
        self.bias_regularizer_l1, self.bias_regularizer_l2 = bias_regularizer_l1, bias_regularizer_l2

    def forward(self, inputs, training=False):
        self.inputs = inputs
        self.output = np.dot(inputs, self.weights) + self.biases

    def backward(self, dvalues):
        self.dweights = np.dot(self.inputs.T, dvalues)
        self.dbiases = dvalues.sum(axis=0, keepdims=True)
        for name, kind in KINDS:
            values, gradient = getattr(self, name), getattr(self, f"d{name}")
            if (l1 := getattr(self, f"{kind}_regularizer_l1")) > 0:
                sign = np.ones_like(values)
                sign[values < 0] = -1
                gradient += l1 * sign
            if (l2 := getattr(self, f"{kind}_regularizer_l2")) > 0:
                gradient += 2 * l2 * values
        self.dinputs = np.dot(dvalues, self.weights.T)

    def get_parameters(self):
        return self.weights, self.biases

    def set_parameters(self, weights, biases):
        self.weights, self.biases = weights, biases


class Layer_Dropout:
    def __init__(self, rate):
        self.rate = 1 - rate

    def forward(self, inputs, training=True):
        self.inputs, self.output = inputs, inputs.copy()
        if training:
            self.binary_mask = np.random.binomial(1, self.rate, size=inputs.shape) / self.rate
            self.output = inputs * self.binary_mask

    def backward(self, dvalues):
        self.dinputs = dvalues * self.binary_mask


class Layer_Input:
    def forward(self, inputs, training=False):
        self.output = inputs


# -- activations (chapters 4, 9, 16, 17) ---------------------------------------------------------------------------------


class Activation_ReLU:
    def forward(self, inputs, training=False):
        self.inputs, self.output = inputs, np.maximum(0, inputs)

    def backward(self, dvalues):
        self.dinputs = np.where(self.inputs <= 0, dvalues.dtype.type(0), dvalues)

    def predictions(self, outputs):
        return outputs


class Activation_Softmax:
    def forward(self, inputs, training=False):
        powers = np.exp(inputs - inputs.max(axis=1, keepdims=True))
        self.inputs, self.output = inputs, powers / powers.sum(axis=1, keepdims=True)

    def backward(self, dvalues):
        self.dinputs = np.empty_like(dvalues)
        for row, (shares, gradient) in enumerate(zip(self.output, dvalues, strict=True)):
            jacobian = np.diagflat(shares) - np.outer(shares, shares)
            self.dinputs[row] = np.dot(jacobian, gradient)

    def predictions(self, outputs):
        return outputs.argmax(axis=1)


class Activation_Sigmoid:
    def forward(self, inputs, training=False):
        self.inputs, self.output = inputs, 1 / (1 + np.exp(-inputs))

    def backward(self, dvalues):
        self.dinputs = dvalues * (1 - self.output) * self.output

    def predictions(self, outputs):
        return (outputs > 0.5) * 1


class Activation_Linear:
    def forward(self, inputs, training=False):
        self.inputs = self.output = inputs

    def backward(self, dvalues):
        self.dinputs = dvalues.copy()

    def predictions(self, outputs):
        return outputs


# -- losses (chapters 5, 9, 14, 16, 17, 18, 19) --------------------------------------------------------------------------


class Accumulating:
    """Sums over a pass, as losses and accuracies keep them from chapter 19 on."""

    def new_pass(self):
        self.accumulated_sum, self.accumulated_count = 0, 0

    def accumulate(self, values):
        if not hasattr(self, "accumulated_sum"):
            self.new_pass()
        self.accumulated_sum += values.sum()
        self.accumulated_count += len(values)
        return values.mean()


class Loss(Accumulating):
    def remember_trainable_layers(self, trainable_layers):
        self.trainable_layers = trainable_layers

    def regularization_loss(self, *layers):
        total = 0
        for layer in layers or self.trainable_layers:
            for name, kind in KINDS:
                values = getattr(layer, name)
                if (l1 := getattr(layer, f"{kind}_regularizer_l1")) > 0:
                    total += l1 * np.abs(values).sum()
                if (l2 := getattr(layer, f"{kind}_regularizer_l2")) > 0:
                    total += l2 * (values * values).sum()
        return total

    def calculate(self, output, y, *, include_regularization=False):
        loss = self.accumulate(self.forward(output, y))
        return (loss, self.regularization_loss()) if include_regularization else loss

    def calculate_accumulated(self, *, include_regularization=False):
        loss = self.accumulated_sum / self.accumulated_count
        return (loss, self.regularization_loss()) if include_regularization else loss


def indices(y):
    return y.argmax(axis=1) if y.ndim == 2 else y


class Loss_CategoricalCrossentropy(Loss):
    def forward(self, y_pred, y_true):
        clipped = np.clip(y_pred, 1e-7, 1 - 1e-7)
        return -np.log(clipped[np.arange(len(y_pred)), indices(y_true)])

    def backward(self, dvalues, y_true):
        one_hot = np.eye(dvalues.shape[1])[indices(y_true)]
        self.dinputs = -one_hot / dvalues / len(dvalues)


class Loss_BinaryCrossentropy(Loss):
    def forward(self, y_pred, y_true):
        clipped = np.clip(y_pred, 1e-7, 1 - 1e-7)
        return (-(y_true * np.log(clipped) + (1 - y_true) * np.log(1 - clipped))).mean(axis=-1)

    def backward(self, dvalues, y_true):
        clipped = np.clip(dvalues, 1e-7, 1 - 1e-7)
        self.dinputs = -(y_true / clipped - (1 - y_true) / (1 - clipped)) / dvalues.shape[1] / len(dvalues)


class Loss_MeanSquaredError(Loss):
    def forward(self, y_pred, y_true):
        return ((y_true - y_pred) ** 2).mean(axis=-1)

    def backward(self, dvalues, y_true):
        self.dinputs = -2 * (y_true - dvalues) / dvalues.shape[1] / len(dvalues)


class Activation_Softmax_Loss_CategoricalCrossentropy:
    def __init__(self):
        self.activation, self.loss = Activation_Softmax(), Loss_CategoricalCrossentropy()

    def forward(self, inputs, y_true):
        self.activation.forward(inputs)
        self.output = self.activation.output
        return self.loss.calculate(self.output, y_true)

    def backward(self, dvalues, y_true):
        gradient = dvalues.copy()
        gradient[np.arange(len(dvalues)), indices(y_true)] -= 1
        self.dinputs = gradient / len(dvalues)


# -- optimizers (chapter 10) ---------------------------------------------------------------------------------------------


class Optimizer:
    def __init__(self, learning_rate, decay, **settings):
        self.learning_rate = self.current_learning_rate = learning_rate
        self.decay, self.iterations = decay, 0
        vars(self).update(settings)

    def pre_update_params(self):
        if self.decay:
            self.current_learning_rate = self.learning_rate * (1.0 / (1.0 + self.decay * self.iterations))

    def post_update_params(self):
        self.iterations += 1

    def update_params(self, layer):
        for name, kind in KINDS:
            gradient = getattr(layer, f"d{name}")
            values = getattr(layer, name)
            values += self.step(vars(layer), kind, values, gradient)


class Optimizer_SGD(Optimizer):
    def __init__(self, learning_rate=1.0, decay=0.0, momentum=0.0):
        super().__init__(learning_rate, decay, momentum=momentum)

    def step(self, kept, kind, values, gradient):
        if not self.momentum:
            return -self.current_learning_rate * gradient
        key = f"{kind}_momentums"
        kept[key] = self.momentum * kept.get(key, np.zeros_like(values)) - self.current_learning_rate * gradient
        return kept[key]


class Optimizer_Adagrad(Optimizer):
    def __init__(self, learning_rate=1.0, decay=0.0, epsilon=1e-7):
        super().__init__(learning_rate, decay, epsilon=epsilon)

    def step(self, kept, kind, values, gradient):
        cache = kept.setdefault(f"{kind}_cache", np.zeros_like(values))
        cache += gradient**2
        return -self.current_learning_rate * gradient / (np.sqrt(cache) + self.epsilon)


class Optimizer_RMSprop(Optimizer):
    def __init__(self, learning_rate=0.001, decay=0.0, epsilon=1e-7, rho=0.9):
        super().__init__(learning_rate, decay, epsilon=epsilon, rho=rho)

    def step(self, kept, kind, values, gradient):
        key = f"{kind}_cache"
        kept[key] = self.rho * kept.get(key, np.zeros_like(values)) + (1 - self.rho) * gradient**2
        return -self.current_learning_rate * gradient / (np.sqrt(kept[key]) + self.epsilon)


class Optimizer_Adam(Optimizer):
    def __init__(self, learning_rate=0.001, decay=0.0, epsilon=1e-7, beta_1=0.9, beta_2=0.999):
        super().__init__(learning_rate, decay, epsilon=epsilon, beta_1=beta_1, beta_2=beta_2)

    def step(self, kept, kind, values, gradient):
        corrected = {}
        for key, beta, power in (("momentums", self.beta_1, 1), ("cache", self.beta_2, 2)):
            old = kept.get(f"{kind}_{key}", np.zeros_like(values))
            kept[f"{kind}_{key}"] = beta * old + (1 - beta) * gradient**power
            corrected[key] = kept[f"{kind}_{key}"] / (1 - beta ** (self.iterations + 1))
        return -self.current_learning_rate * corrected["momentums"] / (np.sqrt(corrected["cache"]) + self.epsilon)


# -- accuracies (chapter 18) ---------------------------------------------------------------------------------------------


class Accuracy(Accumulating):
    def init(self, y):
        pass

    def calculate(self, predictions, y):
        return self.accumulate(self.compare(predictions, y))

    def calculate_accumulated(self):
        return self.accumulated_sum / self.accumulated_count


class Accuracy_Categorical(Accuracy):
    def __init__(self, *, binary=False):
        self.binary = binary

    def compare(self, predictions, y):
        return predictions == (y if self.binary else indices(y))


class Accuracy_Regression(Accuracy):
    precision = None

    def init(self, y, reinit=False):
        if self.precision is None or reinit:
            self.precision = np.std(y) / 250

    def compare(self, predictions, y):
        return np.abs(predictions - y) < self.precision


# -- the model (chapters 18 to 22) ---------------------------------------------------------------------------------------


def measured(accuracy, data_loss, regularization_loss, learning_rate):
    return (
        f"acc: {accuracy:.3f}, loss: {data_loss + regularization_loss:.3f} "
        f"(data_loss: {data_loss:.3f}, reg_loss: {regularization_loss:.3f}), lr: {learning_rate}"
    )


class Model:
    loss = optimizer = accuracy = None

    def __init__(self):
        self.layers = []

    def add(self, layer):
        self.layers.append(layer)

    def set(self, **parts):
        vars(self).update({name: part for name, part in parts.items() if part is not None})

    def finalize(self):
        self.input_layer = Layer_Input()
        chain = [self.input_layer, *self.layers, self.loss]
        for before, layer, after in zip(chain, chain[1:], chain[2:], strict=False):
            layer.prev, layer.next = before, after
        self.output_layer_activation = self.layers[-1]
        self.trainable_layers = [layer for layer in self.layers if hasattr(layer, "weights")]
        self.loss.remember_trainable_layers(self.trainable_layers)

    def forward(self, X, training):
        self.input_layer.forward(X, training)
        for layer in self.layers:
            layer.forward(layer.prev.output, training)
        return self.layers[-1].output

    def backward(self, output, y):
        layers = self.layers
        if isinstance(layers[-1], Activation_Softmax) and isinstance(self.loss, Loss_CategoricalCrossentropy):
            joined = Activation_Softmax_Loss_CategoricalCrossentropy()
            joined.backward(output, y)
            layers[-1].dinputs = joined.dinputs
            layers = layers[:-1]
        else:
            self.loss.backward(output, y)
        for layer in reversed(layers):
            layer.backward(layer.next.dinputs)

    def step(self, X, y):
        output = self.forward(X, training=True)
        data_loss, regularization_loss = self.loss.calculate(output, y, include_regularization=True)
        accuracy = self.accuracy.calculate(self.output_layer_activation.predictions(output), y)
        self.backward(output, y)
        self.optimizer.pre_update_params()
        for layer in self.trainable_layers:
            self.optimizer.update_params(layer)
        self.optimizer.post_update_params()
        return measured(accuracy, data_loss, regularization_loss, self.optimizer.current_learning_rate)

    def train(self, X, y, *, epochs=1, print_every=1, validation_data=None, **chapter_19):
        self.accuracy.init(y)
        if not chapter_19:
            for epoch in range(1, epochs + 1):
                line = self.step(X, y)
                if epoch % print_every == 0:
                    print(f"epoch: {epoch}, {line}")
            if validation_data is not None:
                self.evaluate(*validation_data)
            return
        size = chapter_19["batch_size"] or len(X)
        for epoch in range(1, epochs + 1):
            print(f"epoch: {epoch}")
            self.loss.new_pass()
            self.accuracy.new_pass()
            starts = range(0, len(X), size)
            for number, start in enumerate(starts):
                line = self.step(X[start : start + size], y[start : start + size])
                if number % print_every == 0 or number == len(starts) - 1:
                    print(f"step: {number}, {line}")
            losses = self.loss.calculate_accumulated(include_regularization=True)
            rate = self.optimizer.current_learning_rate
            print(f"training, {measured(self.accuracy.calculate_accumulated(), *losses, rate)}")
            if validation_data is not None:
                self.evaluate(*validation_data, batch_size=size)

    def evaluate(self, X, y, *, batch_size=None):
        self.loss.new_pass()
        self.accuracy.new_pass()
        size = batch_size or len(X)
        for start in range(0, len(X), size):
            output = self.forward(X[start : start + size], training=False)
            self.loss.calculate(output, y[start : start + size])
            predictions = self.output_layer_activation.predictions(output)
            self.accuracy.calculate(predictions, y[start : start + size])
        accuracy, loss = self.accuracy.calculate_accumulated(), self.loss.calculate_accumulated()
        print(f"validation, acc: {accuracy:.3f}, loss: {loss:.3f}")

    def predict(self, X, *, batch_size=None):
        size = batch_size or len(X)
        return np.vstack([self.forward(X[start : start + size], False) for start in range(0, len(X), size)])

    def get_parameters(self):
        return [layer.get_parameters() for layer in self.trainable_layers]

    def set_parameters(self, parameters):
        for layer, values in zip(self.trainable_layers, parameters, strict=True):
            layer.set_parameters(*values)

    def save_parameters(self, path):
        FILES[path] = copy.deepcopy(self.get_parameters())

    def load_parameters(self, path):
        self.set_parameters(copy.deepcopy(FILES[path]))

    def save(self, path):
        FILES[path] = copy.deepcopy(self)

    @staticmethod
    def load(path):
        return copy.deepcopy(FILES[path])
