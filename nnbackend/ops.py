"""The mathematics: every primitive of the library, as a short function of `xp`. This is the reference.

Read this file to know what nnbackend computes. Kernels (`nnbackend.kernels`) are faster versions of some of these
functions and are tested against them; layers, losses and optimizers call them as `xp.ops.name(...)`.

Conventions
    * A leading `d` means gradient of the loss: `dvalues` is the gradient with respect to an op's output.
    * Results go into `out` (one array, or a tuple of arrays), which is returned. Inputs are never touched. Only an
      argument named `state` is updated in place.
    * Arrays that hold one number have shape () or (1,). Numbers that change from step to step are such arrays;
      Python numbers are settings that stay as they are.
    * n is the number of samples (rows). Labels (`targets` of a classification) are class indices of shape (n,).
"""

from __future__ import annotations

from typing import Any

from .rng import random_words

# Predictions are kept this far away from 0 and 1 before a logarithm (book, chapter 5).
CLIP = 1e-7

# -- layers and activations (book, chapters 3, 4, 9) --------------------------------------------------------------------


def dense(xp: Any, inputs: Any, weights: Any, biases: Any, *, out: Any) -> Any:
    """output = inputs · weights + biases"""
    xp.matmul(inputs, weights, out=out)
    return xp.add(out, biases, out=out)


def weights_gradient(xp: Any, inputs: Any, dvalues: Any, *, out: Any) -> Any:
    """dweights = inputsᵀ · dvalues"""
    return xp.matmul(inputs.T, dvalues, out=out)


def biases_gradient(xp: Any, dvalues: Any, *, out: Any) -> Any:
    """dbiases = Σ over samples of dvalues, shape (1, n_neurons)"""
    return dvalues.sum(axis=0, keepdims=True, out=out)


def inputs_gradient(xp: Any, dvalues: Any, weights: Any, *, out: Any) -> Any:
    """dinputs = dvalues · weightsᵀ"""
    return xp.matmul(dvalues, weights.T, out=out)


def relu(xp: Any, inputs: Any, *, out: Any) -> Any:
    """output = max(0, inputs)"""
    return inputs.clip(0, xp.inf, out=out)  # NumPy takes twice as long for maximum(inputs, 0)


def relu_backward(xp: Any, dvalues: Any, output: Any, *, out: Any) -> Any:
    """dinputs = dvalues where output > 0, else 0 (where inputs > 0 is the same place)

    It is the product dvalues · (output > 0): where dvalues is infinite or NaN and the unit is closed, inf · 0 gives NaN.
    """
    return xp.multiply(dvalues, output > 0, out=out)


def dense_relu(xp: Any, inputs: Any, weights: Any, biases: Any, *, out: Any) -> Any:
    """output = max(0, inputs · weights + biases): Dense and ReLU joined"""
    return relu(xp, dense(xp, inputs, weights, biases, out=out), out=out)


def relu_biases_gradient(xp: Any, dvalues: Any, output: Any, *, out: tuple[Any, Any]) -> tuple[Any, Any]:
    """(dlinear, dbiases): ReLU's gradient and the bias gradient of the Dense before it, joined"""
    dlinear, dbiases = out
    relu_backward(xp, dvalues, output, out=dlinear)
    biases_gradient(xp, dlinear, out=dbiases)
    return out


def sigmoid(xp: Any, inputs: Any, *, out: Any) -> Any:
    """output = 1 / (1 + e^-inputs), written so that the exponential never overflows"""
    decay = xp.exp(-xp.abs(inputs))
    return xp.divide(xp.where(inputs >= 0, inputs.dtype.type(1), decay), 1 + decay, out=out)


def sigmoid_backward(xp: Any, dvalues: Any, output: Any, *, out: Any) -> Any:
    """dinputs = dvalues · output · (1 - output)"""
    return xp.multiply(dvalues, output * (1 - output), out=out)


def softmax(xp: Any, inputs: Any, *, out: Any) -> Any:
    """output = e^(inputs - m) / Σ e^(inputs - m), m the largest input of the row"""
    columns = xp.ascontiguousarray(inputs.T)  # the few classes first: NumPy is slow along a short last axis
    powers = xp.exp(columns - columns.max(axis=0))
    powers /= powers.sum(axis=0)
    out[...] = powers.T
    return out


def softmax_backward(xp: Any, dvalues: Any, output: Any, *, out: Any) -> Any:
    """dinputs = output · (dvalues - Σ over classes of dvalues · output): the Jacobian applied, never built"""
    shares = xp.sum(dvalues * output, axis=1, keepdims=True)
    return xp.multiply(output, dvalues - shares, out=out)


def dropout(
    xp: Any, inputs: Any, step: Any, *, rate: float, key: int, stream: int, out: tuple[Any, Any]
) -> tuple[Any, Any]:
    """output = inputs · mask, where mask is 1 / (1 - rate) with probability 1 - rate, else 0; out = (output, mask).

    An element is dropped where its 32-bit random word is below rate · 2³². `step` is an int64 array of shape (1,).
    """
    output, mask = out
    words = random_words(xp, inputs.size, key=key, stream=stream, step=step).reshape(inputs.shape)
    dropout_mask(xp, words >= round(rate * 2**32), rate=rate, out=mask)
    xp.multiply(inputs, mask, out=output)
    return out


def dropout_mask(xp: Any, kept: Any, *, rate: float, out: Any) -> Any:
    """mask = kept / (1 - rate), where kept is 1 or True for what is kept and 0 or False for what is dropped"""
    return xp.multiply(kept, out.dtype.type(1 / (1 - rate)), out=out)


def multiply(xp: Any, left: Any, right: Any, *, out: Any) -> Any:
    """out = left · right, elementwise (dropout's gradient: dvalues · mask)"""
    return xp.multiply(left, right, out=out)


# -- losses (book, chapters 5, 9, 16, 17); each gives the loss of every sample, shape (n,) ------------------------------


def categorical_crossentropy(xp: Any, predictions: Any, targets: Any, *, out: Any) -> Any:
    """sample_loss = -log(clip(predictions[target]))"""
    confidences = predictions[xp.arange(len(targets)), targets]
    xp.log(confidences.clip(CLIP, 1 - CLIP), out=out)
    return xp.negative(out, out=out)


def categorical_crossentropy_backward(xp: Any, predictions: Any, targets: Any, *, out: Any) -> Any:
    """dpredictions = -1 / (n · clip(predictions)) at the target, else 0"""
    rows = xp.arange(len(targets))
    out.fill(0)
    out[rows, targets] = -1 / (len(targets) * xp.clip(predictions[rows, targets], CLIP, 1 - CLIP))
    return out


def softmax_crossentropy(xp: Any, inputs: Any, targets: Any, *, out: tuple[Any, Any]) -> tuple[Any, Any]:
    """(probabilities, sample_losses): softmax and categorical cross-entropy joined"""
    probabilities, sample_losses = out
    softmax(xp, inputs, out=probabilities)
    categorical_crossentropy(xp, probabilities, targets, out=sample_losses)
    return out


def softmax_crossentropy_backward(xp: Any, probabilities: Any, targets: Any, *, out: Any) -> Any:
    """dinputs = (probabilities - one_hot(targets)) / n"""
    out[...] = probabilities
    out[xp.arange(len(targets)), targets] -= 1  # exact where the probability is close to 1; only then divide
    return xp.divide(out, len(targets), out=out)


def binary_crossentropy(xp: Any, predictions: Any, targets: Any, *, out: Any) -> Any:
    """sample_loss = mean over outputs of -(t · log p + (1 - t) · log(1 - p)), p clipped"""
    clipped = xp.clip(predictions, CLIP, 1 - CLIP)
    losses = targets * xp.log(clipped) + (1 - targets) * xp.log(1 - clipped)
    return xp.negative(xp.mean(losses, axis=1), out=out)


def binary_crossentropy_backward(xp: Any, predictions: Any, targets: Any, *, out: Any) -> Any:
    """dpredictions = -(t / p - (1 - t) / (1 - p)) / (outputs · n), p clipped"""
    clipped = xp.clip(predictions, CLIP, 1 - CLIP)
    return xp.divide((1 - targets) / (1 - clipped) - targets / clipped, predictions.size, out=out)


def sigmoid_crossentropy(xp: Any, inputs: Any, targets: Any, *, out: tuple[Any, Any]) -> tuple[Any, Any]:
    """(probabilities, sample_losses): sigmoid and binary cross-entropy joined"""
    probabilities, sample_losses = out
    sigmoid(xp, inputs, out=probabilities)
    binary_crossentropy(xp, probabilities, targets, out=sample_losses)
    return out


def sigmoid_crossentropy_backward(xp: Any, probabilities: Any, targets: Any, *, out: Any) -> Any:
    """dinputs = (probabilities - targets) / (outputs · n)"""
    return xp.divide(probabilities - targets, probabilities.size, out=out)


def mean_squared_error(xp: Any, predictions: Any, targets: Any, *, out: Any) -> Any:
    """sample_loss = mean over outputs of (t - p)²"""
    return xp.mean(xp.square(targets - predictions), axis=1, out=out)


def mean_squared_error_backward(xp: Any, predictions: Any, targets: Any, *, out: Any) -> Any:
    """dpredictions = 2 (p - t) / (outputs · n)"""
    return xp.multiply(predictions - targets, 2 / predictions.size, out=out)


def mean_absolute_error(xp: Any, predictions: Any, targets: Any, *, out: Any) -> Any:
    """sample_loss = mean over outputs of |t - p|"""
    return xp.mean(xp.abs(targets - predictions), axis=1, out=out)


def mean_absolute_error_backward(xp: Any, predictions: Any, targets: Any, *, out: Any) -> Any:
    """dpredictions = sign(p - t) / (outputs · n)"""
    return xp.divide(xp.sign(predictions - targets), predictions.size, out=out)


def mean(xp: Any, values: Any, *, out: Any) -> Any:
    """out = mean of all values, shape (): the data loss, from the losses of the samples"""
    return xp.divide(values.sum(), values.size, out=out)


def weighted_mean(xp: Any, values: Any, weights: Any, *, out: Any) -> Any:
    """out = 1/n · Σ w · v, shape (): the data loss of samples with weights relative to their mean"""
    return mean(xp, values * weights, out=out)


def weigh(xp: Any, values: Any, weights: Any, *, out: Any) -> Any:
    """out = w · values, row by row: the gradient of that loss, from that of the mean"""
    return xp.multiply(values, weights[:, xp.newaxis], out=out)


# -- penalties (book, chapter 14) -----------------------------------------------------------------------------------------


def penalty(xp: Any, parameters: Any, *, l1: float, l2: float, state: Any) -> Any:
    """state += l1 · Σ|w| + l2 · Σw², shape ()"""
    if l1:
        state += l1 * xp.abs(parameters).sum()
    if l2:
        state += l2 * xp.vdot(parameters, parameters)
    return state


def penalty_gradient(xp: Any, parameters: Any, *, l1: float, l2: float, state: Any) -> Any:
    """state += l1 · (1 if w ≥ 0 else -1) + 2 · l2 · w: +l1 at exactly zero, as the book chooses"""
    if l1:
        strength = parameters.dtype.type(l1)
        state += xp.where(parameters >= 0, strength, -strength)
    if l2:
        state += (2 * l2) * parameters
    return state


# -- accuracies (book, chapters 5, 16, 17) --------------------------------------------------------------------------------


def categorical_accuracy(xp: Any, predictions: Any, targets: Any, *, out: Any) -> Any:
    """out = the share of samples whose most probable class is the target, shape ()"""
    return xp.divide((predictions.argmax(axis=1) == targets).sum(), len(targets), out=out)


def binary_accuracy(xp: Any, predictions: Any, targets: Any, *, out: Any) -> Any:
    """out = the share of outputs on the target's side of one half, shape ()"""
    return xp.divide(((predictions > 0.5) == (targets > 0.5)).sum(), predictions.size, out=out)


def regression_accuracy(xp: Any, predictions: Any, targets: Any, precision: Any, *, out: Any) -> Any:
    """out = the share of outputs closer to the target than `precision`, shape ()"""
    return xp.divide((xp.abs(predictions - targets) < precision).sum(), predictions.size, out=out)


def binary_predictions(xp: Any, outputs: Any, *, out: Any) -> Any:
    """out = 1 where an output is above one half, else 0"""
    return assign(xp, outputs > 0.5, out=out)


def regression_hits(xp: Any, predictions: Any, targets: Any, precision: float, *, out: Any) -> Any:
    """out = whether each output is closer to the target than `precision`"""
    return xp.less(xp.abs(predictions - targets), precision, out=out)


def labels_from_one_hot(xp: Any, one_hot: Any, *, out: Any) -> Any:
    """out = the index of the largest element of each row"""
    return assign(xp, xp.argmax(one_hot, axis=1), out=out)


# -- optimizers (book, chapters 10 to 14) ---------------------------------------------------------------------------------
# Learning rates, decays and corrections are arrays of shape (1,): float64 where they are computed, the backend's dtype in a
# step. Momentums, and caches that decay, are zero where they would be below the normal numbers (`_flush_denormals`).


def decayed_learning_rate(xp: Any, learning_rate: Any, decay: Any, iterations: Any, *, out: Any) -> Any:
    """out = learning_rate · (1 / (1 + decay · iterations)), in float64: rounded as in the book, which prints all digits"""
    return xp.multiply(learning_rate, 1 / (1 + decay * iterations), out=out)


def adam_step_sizes(xp: Any, learning_rate: Any, iterations: Any, *, beta_1: float, beta_2: float, out: Any) -> Any:
    """out = (learning_rate / (1 - β₁ᵗ), 1 / √(1 - β₂ᵗ)) with t = iterations + 1, in float64 until stored"""
    rate, scale = out
    steps = iterations + 1.0
    rate[...] = learning_rate / (1 - beta_1**steps)
    scale[...] = 1 / xp.sqrt(1 - beta_2**steps)
    return out


def sgd(xp: Any, grads: Any, learning_rate: Any, *, state: Any) -> Any:
    """w -= learning_rate · g"""
    (values,) = state
    values -= learning_rate * grads
    return state


def sgd_momentum(xp: Any, grads: Any, learning_rate: Any, *, momentum: float, state: Any) -> Any:
    """u = momentum · u - learning_rate · g;  w += u"""
    values, momentums = state
    momentums *= momentum
    momentums -= learning_rate * grads
    _flush_denormals(xp, momentums)
    values += momentums
    return state


def adagrad(xp: Any, grads: Any, learning_rate: Any, *, epsilon: float, state: Any) -> Any:
    """c += g²;  w -= learning_rate · g / (√c + ε)"""
    values, cache = state
    cache += xp.square(grads)
    values -= learning_rate * grads / (xp.sqrt(cache) + epsilon)
    return state


def rmsprop(xp: Any, grads: Any, learning_rate: Any, *, rho: float, epsilon: float, state: Any) -> Any:
    """c = ρ c + (1 - ρ) g²;  w -= learning_rate · g / (√c + ε)"""
    values, cache = state
    cache *= rho
    cache += (1 - rho) * xp.square(grads)
    _flush_denormals(xp, cache)
    values -= learning_rate * grads / (xp.sqrt(cache) + epsilon)
    return state


def adam(xp: Any, grads: Any, step_sizes: Any, *, beta_1: float, beta_2: float, epsilon: float, state: Any) -> Any:
    """m = β₁ m + (1 - β₁) g;  v = β₂ v + (1 - β₂) g²;  w -= rate · m / (√v · scale + ε), (rate, scale) = step_sizes"""
    values, momentums, cache = state
    rate, scale = step_sizes
    momentums *= beta_1
    momentums += (1 - beta_1) * grads
    cache *= beta_2
    cache += (1 - beta_2) * xp.square(grads)
    _flush_denormals(xp, momentums)
    _flush_denormals(xp, cache)
    values -= rate * momentums / (xp.sqrt(cache) * scale + epsilon)
    return state


def adamw(
    xp: Any,
    grads: Any,
    learning_rate: Any,
    step_sizes: Any,
    *,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float,
    state: Any,
) -> Any:
    """w -= learning_rate · weight_decay · w;  then as `adam`"""
    state[0][...] -= (weight_decay * learning_rate) * state[0]
    return adam(xp, grads, step_sizes, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, state=state)


def clip_factor(xp: Any, grads: Any, *, limit: float, out: tuple[Any, Any]) -> tuple[Any, Any]:
    """(norm, factor): norm = √Σ g², summed in float64; factor = min(1, limit / norm), NaN where the norm is not finite"""
    norm, factor = out
    norm[...] = xp.sqrt(xp.square(grads, dtype="float64").sum())
    # Exactly 1 up to the limit; and infinity - infinity is NaN.
    factor[...] = limit / xp.maximum(norm, limit) + (norm - norm)
    return out


def scale(xp: Any, values: Any, factor: Any, *, out: Any) -> Any:
    """out = factor · values, the factor one number: gradients, clipped"""
    return xp.multiply(values, factor, out=out)


def bias_corrections(xp: Any, iterations: Any, *, beta_1: float, beta_2: float, out: Any) -> Any:
    """out = (1 - β₁ᵗ, 1 - β₂ᵗ) with t = iterations + 1, in float64 until stored"""
    steps = iterations + 1.0
    for beta, correction in zip((beta_1, beta_2), out, strict=True):
        correction[...] = 1 - beta**steps
    return out


def adam_unfolded(
    xp: Any,
    grads: Any,
    learning_rate: Any,
    corrections: Any,
    *,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    state: Any,
) -> Any:
    """m and v as for `adam`;  m̂ = m / (1 - β₁ᵗ);  v̂ = v / (1 - β₂ᵗ);  w -= learning_rate · m̂ / (√v̂ + ε)

    The same step as `adam`, rounded in the order of the book's code, and numbers below the normal ones are kept. Training is
    chaotic: in float32 two orders part within fifty epochs, so `nnbackend.book`, which prints what the book's classes
    print, takes this one.
    """
    values, momentums, cache = state
    momentums *= beta_1
    momentums += (1 - beta_1) * grads
    cache *= beta_2
    cache += (1 - beta_2) * xp.square(grads)
    values -= learning_rate * (momentums / corrections[0]) / (xp.sqrt(cache / corrections[1]) + epsilon)
    return state


# The smallest normal number of a dtype, by its size in bytes.
_SMALLEST_NORMAL = {4: 2.0**-126, 8: 2.0**-1022}


def _flush_denormals(xp: Any, array: Any) -> None:
    """Set what is too small for a normal number to zero.

    Units with zero gradient let the caches decay into such numbers, on which a CPU is thirty times slower.
    """
    array *= xp.abs(array) >= _SMALLEST_NORMAL[array.dtype.itemsize]


# -- moving values within the device --------------------------------------------------------------------------------------


def assign(xp: Any, values: Any, *, out: Any) -> Any:
    """out = values, converted to out's dtype"""
    out[...] = values
    return out


def advance(xp: Any, amount: int, *, state: Any) -> Any:
    """state += amount: a counter that ticks"""
    state += amount
    return state


def batch_indices(xp: Any, order: Any, position: Any, offsets: Any, *, out: Any) -> Any:
    """out = order[position + offsets]: which samples make up the batch"""
    return xp.take(order, position + offsets, out=out)


def gather(xp: Any, data: Any, indices: Any, *, out: Any) -> Any:
    """out = data[indices], row by row"""
    return xp.take(data, indices, axis=0, out=out)


def record(xp: Any, *measured: Any, state: Any) -> Any:
    """table[cursor] = measured;  cursor += 1: what a step measured, kept on the device; state = (table, cursor, row)"""
    table, cursor, row = state
    for column, value in enumerate(measured):
        row[column : column + 1] = value
    table[cursor] = row
    cursor += 1
    return state
