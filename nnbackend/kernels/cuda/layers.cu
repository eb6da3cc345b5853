// Layers and activations (book, chapters 3, 4, 9, 15).

// Words 4 · first, 4 · first + 1, ... of the stream. A thread makes four.
KERNEL random_words(const int64* step, uint64 key, int64 stream, int64 first, int64 count, uint64* out) {
    FOR_EACH(block, (count + 3) / 4) {
        const Words words = words_of(first + block, key, stream, *step);
        for (int i = 0; i < 4; ++i)
            if (4 * block + i < count) out[4 * block + i] = words.word[i];
    }
}

KERNEL dropout(const real* inputs, const int64* step, uint64 key, int64 stream, int64 threshold, real scale,
               int64 count, real* output, real* mask) {
    FOR_EACH(block, (count + 3) / 4) {
        const Words words = words_of(block, key, stream, *step);
        for (int i = 0; i < 4; ++i) {
            const int64 element = 4 * block + i;
            if (element >= count) break;
            const real factor = (int64)words.word[i] >= threshold ? scale : (real)0;
            output[element] = inputs[element] * factor;
            mask[element] = factor;
        }
    }
}

// The end of `dense`: out += biases. `width` threads share a row, here and below.
KERNEL bias_add(const real* biases, int64 rows, int64 columns, int64 width, real* out) {
    for (RowGroup group(rows, width); group.more(); group.next()) {
        real* row = out + group.row() * columns;
        for (int64 column = group.lane; column < group.end(columns); column += group.width)
            row[column] += biases[column];
    }
}

// The end of `dense_relu`: out = max(0, out + biases).
KERNEL bias_relu(const real* biases, int64 rows, int64 columns, int64 width, real* out) {
    for (RowGroup group(rows, width); group.more(); group.next()) {
        real* row = out + group.row() * columns;
        for (int64 column = group.lane; column < group.end(columns); column += group.width)
            row[column] = maximum(row[column] + biases[column], 0);
    }
}

// The product with 0 or 1 is computed, as in the reference: it makes NaN of an infinite gradient at a closed unit.
__device__ real relu_gradient(real dvalue, real output) { return dvalue * (output > 0 ? (real)1 : (real)0); }

KERNEL relu_backward(const real* dvalues, const real* output, int64 count, real* out) {
    FOR_EACH(i, count) out[i] = relu_gradient(dvalues[i], output[i]);
}

// Sums of columns: the first of two stages, or the only one. A block of `blockDim.x` columns (neighbours, so that loads
// are whole lines) times `blockDim.y` rows (a power of two) walks down one chunk of the rows and writes one row of
// sums; column_sums also adds up these rows.
template <typename Load>
__device__ void sum_columns(int64 rows, int64 columns, int64 chunk, real* sums, real* parts, Load load) {
    const int64 column = (int64)blockIdx.x * blockDim.x + threadIdx.x;
    const int64 start = blockIdx.y * chunk, end = start + chunk < rows ? start + chunk : rows;
    real sum = 0;
    if (column < columns)
        for (int64 row = start + threadIdx.y; row < end; row += blockDim.y) sum += load(row * columns + column);
    const int slot = threadIdx.y * blockDim.x + threadIdx.x;
    parts[slot] = sum;
    __syncthreads();
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        if ((int)threadIdx.y < half) parts[slot] += parts[slot + half * blockDim.x];
        __syncthreads();
    }
    if (threadIdx.y == 0 && column < columns) sums[blockIdx.y * columns + column] = parts[slot];
}

struct Values {
    const real* values;
    __device__ real operator()(int64 i) const { return values[i]; }
};

struct ReluGradient {  // computes the gradient, stores it, and hands it to the sum
    const real *dvalues, *output;
    real* dlinear;
    __device__ real operator()(int64 i) const { return dlinear[i] = relu_gradient(dvalues[i], output[i]); }
};

KERNEL column_sums(const real* values, int64 rows, int64 columns, int64 chunk, real* sums) {
    __shared__ real parts[1024];
    const Values load = {values};
    sum_columns(rows, columns, chunk, sums, parts, load);
}

KERNEL relu_column_sums(const real* dvalues, const real* output, int64 rows, int64 columns, int64 chunk, real* dlinear,
                        real* sums) {
    __shared__ real parts[1024];
    const ReluGradient load = {dvalues, output, dlinear};
    sum_columns(rows, columns, chunk, sums, parts, load);
}

KERNEL sigmoid(const real* inputs, int64 count, real* out) {
    FOR_EACH(i, count) out[i] = sigmoid_of(inputs[i]);
}

KERNEL sigmoid_backward(const real* dvalues, const real* output, int64 count, real* out) {
    FOR_EACH(i, count) out[i] = dvalues[i] * (output[i] * (1 - output[i]));
}

__device__ void softmax_row(const RowGroup& group, const real* inputs, int64 columns, real* out) {
    real largest = minus_infinity(), total = 0;
    for (int64 column = group.lane; column < group.end(columns); column += group.width)
        largest = maximum(largest, inputs[column]);
    largest = group.largest(largest);
    for (int64 column = group.lane; column < group.end(columns); column += group.width)
        total += out[column] = exp(inputs[column] - largest);
    total = group.sum(total);
    for (int64 column = group.lane; column < group.end(columns); column += group.width) out[column] /= total;
}

KERNEL softmax(const real* inputs, int64 rows, int64 columns, int64 width, real* out) {
    for (RowGroup group(rows, width); group.more(); group.next())
        softmax_row(group, inputs + group.row() * columns, columns, out + group.row() * columns);
}

KERNEL softmax_backward(const real* dvalues, const real* output, int64 rows, int64 columns, int64 width, real* out) {
    for (RowGroup group(rows, width); group.more(); group.next()) {
        const int64 start = group.row() * columns, end = start + group.end(columns);
        real shares = 0;
        for (int64 i = start + group.lane; i < end; i += group.width) shares += dvalues[i] * output[i];
        shares = group.sum(shares);
        for (int64 i = start + group.lane; i < end; i += group.width) out[i] = output[i] * (dvalues[i] - shares);
    }
}
