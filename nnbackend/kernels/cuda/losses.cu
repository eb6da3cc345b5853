// Losses and their gradients (book, chapters 5, 9, 16, 17).

// NaN for a label that names no class: the loss then says so.
__device__ real crossentropy(const real* row, int64 target) {
    return target < 0 ? not_a_number() : -log(clipped(row[target]));
}

// The class of the group's row, or -1.
__device__ int64 target_of(const RowGroup& group, const int64* targets, int64 columns) {
    return group.has_row() ? class_of(targets[group.row()], columns) : -1;
}

KERNEL categorical_crossentropy(const real* predictions, const int64* targets, int64 columns, int64 rows, real* out) {
    FOR_EACH(row, rows) out[row] = crossentropy(predictions + row * columns, class_of(targets[row], columns));
}

KERNEL categorical_crossentropy_backward(const real* predictions, const int64* targets, int64 rows, int64 columns,
                                         int64 width, real* out) {
    for (RowGroup group(rows, width); group.more(); group.next()) {
        const int64 start = group.row() * columns, target = target_of(group, targets, columns);
        for (int64 column = group.lane; column < group.end(columns); column += group.width)
            out[start + column] = column == target ? -1 / ((real)rows * clipped(predictions[start + column])) : (real)0;
    }
}

KERNEL softmax_crossentropy(const real* inputs, const int64* targets, int64 rows, int64 columns, int64 width,
                            real* probabilities, real* sample_losses) {
    for (RowGroup group(rows, width); group.more(); group.next()) {
        real* row = probabilities + group.row() * columns;
        softmax_row(group, inputs + group.row() * columns, columns, row);
        if (!group.has_row()) continue;  // nothing is joined below
        const int64 target = class_of(targets[group.row()], columns);
        const int64 writer = target < 0 ? 0 : target % group.width;  // the thread that wrote that probability
        if (group.lane == writer) sample_losses[group.row()] = crossentropy(row, target);
    }
}

KERNEL softmax_crossentropy_backward(const real* probabilities, const int64* targets, int64 rows, int64 columns,
                                     int64 width, real* out) {
    for (RowGroup group(rows, width); group.more(); group.next()) {
        const int64 start = group.row() * columns, target = target_of(group, targets, columns);
        for (int64 column = group.lane; column < group.end(columns); column += group.width)
            out[start + column] = (probabilities[start + column] - (column == target ? (real)1 : (real)0)) / (real)rows;
    }
}

struct BinaryCrossentropy {
    __device__ real operator()(real prediction, real target) const {
        const real p = clipped(prediction);
        return target * log(p) + (1 - target) * log(1 - p);
    }
};

struct SquaredError {
    __device__ real operator()(real prediction, real target) const {
        return (target - prediction) * (target - prediction);
    }
};

struct AbsoluteError {
    __device__ real operator()(real prediction, real target) const { return fabs(target - prediction); }
};

// The mean over the columns of each row of term(prediction, target), times `sign`.
template <typename Term>
__device__ void row_means(const real* predictions, const real* targets, int64 rows, int64 columns, int64 width,
                          real sign, real* out, Term term) {
    for (RowGroup group(rows, width); group.more(); group.next()) {
        const int64 start = group.row() * columns, end = start + group.end(columns);
        real total = 0;
        for (int64 i = start + group.lane; i < end; i += group.width) total += term(predictions[i], targets[i]);
        total = group.sum(total);
        if (group.leads()) out[group.row()] = sign * (total / (real)columns);
    }
}

KERNEL binary_crossentropy(const real* predictions, const real* targets, int64 rows, int64 columns, int64 width,
                           real* out) {
    row_means(predictions, targets, rows, columns, width, -1, out, BinaryCrossentropy());
}

KERNEL mean_squared_error(const real* predictions, const real* targets, int64 rows, int64 columns, int64 width,
                          real* out) {
    row_means(predictions, targets, rows, columns, width, 1, out, SquaredError());
}

KERNEL mean_absolute_error(const real* predictions, const real* targets, int64 rows, int64 columns, int64 width,
                           real* out) {
    row_means(predictions, targets, rows, columns, width, 1, out, AbsoluteError());
}

KERNEL sigmoid_crossentropy(const real* inputs, const real* targets, int64 rows, int64 columns, int64 width,
                            real* probabilities, real* sample_losses) {
    const BinaryCrossentropy term = BinaryCrossentropy();
    for (RowGroup group(rows, width); group.more(); group.next()) {
        const int64 start = group.row() * columns, end = start + group.end(columns);
        real total = 0;
        for (int64 i = start + group.lane; i < end; i += group.width) {
            const real probability = sigmoid_of(inputs[i]);
            total += term(probability, targets[i]);
            probabilities[i] = probability;
        }
        total = group.sum(total);
        if (group.leads()) sample_losses[group.row()] = -(total / (real)columns);
    }
}

KERNEL binary_crossentropy_backward(const real* predictions, const real* targets, int64 count, real* out) {
    FOR_EACH(i, count) {
        const real p = clipped(predictions[i]), t = targets[i];
        out[i] = ((1 - t) / (1 - p) - t / p) / (real)count;
    }
}

KERNEL sigmoid_crossentropy_backward(const real* probabilities, const real* targets, int64 count, real* out) {
    FOR_EACH(i, count) out[i] = (probabilities[i] - targets[i]) / (real)count;
}

KERNEL mean_squared_error_backward(const real* predictions, const real* targets, real factor, int64 count, real* out) {
    FOR_EACH(i, count) out[i] = (predictions[i] - targets[i]) * factor;
}

KERNEL mean_absolute_error_backward(const real* predictions, const real* targets, int64 count, real* out) {
    FOR_EACH(i, count) {
        const real difference = predictions[i] - targets[i];
        const real sign = difference > 0 ? (real)1 : difference < 0 ? (real)-1 : difference;  // of NaN: NaN
        out[i] = sign / (real)count;
    }
}
