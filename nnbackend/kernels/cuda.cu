// The kernels of the GPU backend, in CUDA C++. NVRTC compiles them through CuPy when they are first needed.
//
// A kernel computes what the function of the same name in nnbackend/ops.py computes, NaN and infinities included: read
// that first. cuda.py calls them and chooses grids, tests/test_cuda_kernels.py runs them on a CPU through an emulator.
//
// Rules of this file
//   * It is compiled once for each dtype, with -DREAL=float or -DREAL=double. It includes nothing.
//   * Products and sums are not contracted into fused ones (-fmad=false): memory, not arithmetic, sets the pace here, and
//     so each +, -, *, / and square root rounds as in the reference.
//   * No atomics. The order of every sum follows from shapes and launch sizes alone, so every run gives the same bits.
//   * An output may be an input (softmax in place), so nothing is __restrict__, and an element is read before it is
//     written by the same thread.
//   * Counts and indices are 64-bit, and loops stride over the grid: any grid gives a right answer.
//   * cuda_compile.py reads the parameter lists below and converts arguments to these types; it knows the types that
//     are used here and no other.

#ifndef REAL
#error "compile with -DREAL=float or -DREAL=double"
#endif

typedef REAL real;

// At most 1024 threads a block, so at most 64 registers a thread.
#define KERNEL extern "C" __global__ void __launch_bounds__(1024)

#define FOR_EACH(i, count) \
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < (count); i += (long long)gridDim.x * blockDim.x)

// -- numbers ----------------------------------------------------------------------------------------------------------

#define CLIP 1e-7  // as in ops.py

// NVRTC has no names for these without headers; the compiler folds them.
__device__ real minus_infinity() { return log((real)0); }
__device__ real not_a_number() { return log((real)-1); }

// NaN where either is NaN, as np.maximum; CUDA's own fmax would drop it.
__device__ real maximum(real a, real b) { return a > b || a != a ? a : b; }

// NaN passes, as through np.clip.
__device__ real clipped(real p) {
    const real low = (real)CLIP, high = (real)(1 - CLIP);
    return p < low ? low : p > high ? high : p;
}

// 1 / (1 + e^-x); the exponential is of -|x|, so it never overflows.
__device__ real sigmoid_of(real x) {
    const real decay = exp(-fabs(x));
    return (x >= 0 ? (real)1 : decay) / (1 + decay);
}

// Zero for what is too small to be a normal number, else x (NaN included).
__device__ real flushed(real x) {
    const real tiny = sizeof(real) == 4 ? (real)1.17549435e-38 : (real)2.2250738585072014e-308;
    return fabs(x) < tiny ? (real)0 : x;
}

// The class that a label names (negative ones count from the end, as in NumPy), or -1 where it names none. The host
// checks labels once; this keeps a label that slipped through from reading foreign memory.
__device__ long long class_of(long long label, long long classes) {
    const long long index = label < 0 ? label + classes : label;
    return 0 <= index && index < classes ? index : -1;
}

// An index out of range wraps around, as in CuPy's own take.
__device__ long long wrapped(long long index, long long count) {
    if (0 <= index && index < count) return index;
    index %= count;
    return index < 0 ? index + count : index;
}

// -- groups of threads ------------------------------------------------------------------------------------------------

struct Best {  // a candidate of argmax
    real value;
    long long index;
};

__device__ real from_lane(real value, int offset) { return __shfl_xor_sync(0xffffffffu, value, offset); }
__device__ long long from_lane(long long value, int offset) { return __shfl_xor_sync(0xffffffffu, value, offset); }
__device__ Best from_lane(Best best, int offset) {
    const Best other = {from_lane(best.value, offset), from_lane(best.index, offset)};
    return other;
}

struct Add {
    template <typename Value> __device__ Value operator()(Value a, Value b) const { return a + b; }
};

struct Larger {
    __device__ real operator()(real a, real b) const { return maximum(a, b); }
};

struct Better {  // as np.argmax: the first NaN, else the first of the largest
    __device__ Best operator()(Best a, Best b) const {
        const bool a_is_nan = a.value != a.value, b_is_nan = b.value != b.value;
        if (a_is_nan != b_is_nan) return a_is_nan ? a : b;
        if (!a_is_nan && a.value != b.value) return a.value > b.value ? a : b;
        return a.index < b.index ? a : b;
    }
};

// Shared memory for one value of each warp.
__device__ void* warp_slots() {
    __shared__ __align__(16) unsigned char slots[32 * sizeof(Best)];
    return slots;
}

// The values of `width` neighbouring threads joined; all of them get the same bits. `width` is a power of two up to 32,
// or the size of the block. Every thread of the block must come here. Blocks are one-dimensional, of whole warps.
template <typename Value, typename Join> __device__ Value joined(Value value, int width, Join join) {
    for (int offset = (width < 32 ? width : 32) / 2; offset > 0; offset /= 2) value = join(value, from_lane(value, offset));
    if (width <= 32) return value;
    Value* slots = (Value*)warp_slots();
    __syncthreads();  // an earlier join has been read
    if (threadIdx.x % 32 == 0) slots[threadIdx.x / 32] = value;
    __syncthreads();
    value = slots[0];
    for (int warp = 1; warp < (int)blockDim.x / 32; ++warp) value = join(value, slots[warp]);
    return value;
}

__device__ real block_sum(real value) { return joined(value, blockDim.x, Add()); }
__device__ long long block_sum(long long value) { return joined(value, blockDim.x, Add()); }

// A walk over the rows of a matrix in which `width` neighbouring threads share a row and each takes every width-th
// column. All threads of a block make the same number of steps, so that they may join values in it; in the last step
// some have no row, and see no columns.
struct RowGroup {
    int width, lane, group;
    long long rows, first, step;

    __device__ RowGroup(long long rows, long long width)
        : width((int)width), lane(threadIdx.x % (int)width), group(threadIdx.x / (int)width), rows(rows) {
        const long long groups = blockDim.x / (int)width;
        first = blockIdx.x * groups;
        step = gridDim.x * groups;
    }
    __device__ bool more() const { return first < rows; }
    __device__ void next() { first += step; }
    __device__ long long row() const { return first + group; }
    __device__ bool has_row() const { return row() < rows; }
    __device__ long long end(long long columns) const { return has_row() ? columns : 0; }
    __device__ bool leads() const { return has_row() && lane == 0; }
    __device__ real sum(real value) const { return joined(value, width, Add()); }
    __device__ real largest(real value) const { return joined(value, width, Larger()); }
    __device__ Best best(Best value) const { return joined(value, width, Better()); }
};

// -- random numbers: the integers of nnbackend/rng.py ---------------------------------------------------------------------

struct Words {
    unsigned int word[4];
};

// Philox4x32-10.
__device__ Words philox4x32(unsigned int c0, unsigned int c1, unsigned int c2, unsigned int c3, unsigned int k0,
                            unsigned int k1) {
    for (int round = 0; round < 10; ++round) {
        const unsigned long long product0 = 0xD2511F53ull * c0, product1 = 0xCD9E8D57ull * c2;
        c0 = (unsigned int)(product1 >> 32) ^ c1 ^ k0;
        c1 = (unsigned int)product1;
        c2 = (unsigned int)(product0 >> 32) ^ c3 ^ k1;
        c3 = (unsigned int)product0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    const Words words = {{c0, c1, c2, c3}};
    return words;
}

__device__ Words words_of(long long block, unsigned long long key, long long stream, long long step) {
    return philox4x32((unsigned int)block, (unsigned int)stream, (unsigned int)step,
                      (unsigned int)((unsigned long long)step >> 32), (unsigned int)key, (unsigned int)(key >> 32));
}

// Words 4 · first, 4 · first + 1, ... of the stream. A thread makes four.
KERNEL random_words(const long long* step, unsigned long long key, long long stream, long long first, long long count,
                    unsigned long long* out) {
    FOR_EACH(block, (count + 3) / 4) {
        const Words words = words_of(first + block, key, stream, *step);
        for (int i = 0; i < 4; ++i)
            if (4 * block + i < count) out[4 * block + i] = words.word[i];
    }
}

KERNEL dropout(const real* inputs, const long long* step, unsigned long long key, long long stream, long long threshold,
               real scale, long long count, real* output, real* mask) {
    FOR_EACH(block, (count + 3) / 4) {
        const Words words = words_of(block, key, stream, *step);
        for (int i = 0; i < 4; ++i) {
            const long long element = 4 * block + i;
            if (element >= count) break;
            const real factor = (long long)words.word[i] >= threshold ? scale : (real)0;
            output[element] = inputs[element] * factor;
            mask[element] = factor;
        }
    }
}

// -- layers and activations -----------------------------------------------------------------------------------------------

// The end of `dense`: out += biases. `width` threads share a row, here and below.
KERNEL bias_add(const real* biases, long long rows, long long columns, long long width, real* out) {
    for (RowGroup group(rows, width); group.more(); group.next()) {
        real* row = out + group.row() * columns;
        for (long long column = group.lane; column < group.end(columns); column += group.width) row[column] += biases[column];
    }
}

// The end of `dense_relu`: out = max(0, out + biases).
KERNEL bias_relu(const real* biases, long long rows, long long columns, long long width, real* out) {
    for (RowGroup group(rows, width); group.more(); group.next()) {
        real* row = out + group.row() * columns;
        for (long long column = group.lane; column < group.end(columns); column += group.width)
            row[column] = maximum(row[column] + biases[column], 0);
    }
}

// The product with 0 or 1 is computed, as in the reference: it makes NaN of an infinite gradient at a closed unit.
__device__ real relu_gradient(real dvalue, real output) { return dvalue * (output > 0 ? (real)1 : (real)0); }

KERNEL relu_backward(const real* dvalues, const real* output, long long count, real* out) {
    FOR_EACH(i, count) out[i] = relu_gradient(dvalues[i], output[i]);
}

// Sums of columns: the first of two stages, or the only one. A block of `blockDim.x` columns (neighbours, so that loads
// are whole lines) times `blockDim.y` rows (a power of two) walks down one chunk of the rows and writes one row of sums;
// the same kernel adds up the rows of sums.
template <typename Load>
__device__ void sum_columns(long long rows, long long columns, long long chunk, real* sums, real* parts, Load load) {
    const long long column = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const long long start = blockIdx.y * chunk, end = start + chunk < rows ? start + chunk : rows;
    real sum = 0;
    if (column < columns)
        for (long long row = start + threadIdx.y; row < end; row += blockDim.y) sum += load(row * columns + column);
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
    __device__ real operator()(long long i) const { return values[i]; }
};

struct ReluGradient {  // computes the gradient, stores it, and hands it to the sum
    const real *dvalues, *output;
    real* dlinear;
    __device__ real operator()(long long i) const { return dlinear[i] = relu_gradient(dvalues[i], output[i]); }
};

KERNEL column_sums(const real* values, long long rows, long long columns, long long chunk, real* sums) {
    __shared__ real parts[1024];
    const Values load = {values};
    sum_columns(rows, columns, chunk, sums, parts, load);
}

KERNEL relu_column_sums(const real* dvalues, const real* output, long long rows, long long columns, long long chunk,
                        real* dlinear, real* sums) {
    __shared__ real parts[1024];
    const ReluGradient load = {dvalues, output, dlinear};
    sum_columns(rows, columns, chunk, sums, parts, load);
}

KERNEL sigmoid(const real* inputs, long long count, real* out) {
    FOR_EACH(i, count) out[i] = sigmoid_of(inputs[i]);
}

KERNEL sigmoid_backward(const real* dvalues, const real* output, long long count, real* out) {
    FOR_EACH(i, count) out[i] = dvalues[i] * (output[i] * (1 - output[i]));
}

__device__ void softmax_row(const RowGroup& group, const real* inputs, long long columns, real* out) {
    real largest = minus_infinity(), total = 0;
    for (long long column = group.lane; column < group.end(columns); column += group.width)
        largest = maximum(largest, inputs[column]);
    largest = group.largest(largest);
    for (long long column = group.lane; column < group.end(columns); column += group.width)
        total += out[column] = exp(inputs[column] - largest);
    total = group.sum(total);
    for (long long column = group.lane; column < group.end(columns); column += group.width) out[column] /= total;
}

KERNEL softmax(const real* inputs, long long rows, long long columns, long long width, real* out) {
    for (RowGroup group(rows, width); group.more(); group.next())
        softmax_row(group, inputs + group.row() * columns, columns, out + group.row() * columns);
}

KERNEL softmax_backward(const real* dvalues, const real* output, long long rows, long long columns, long long width, real* out) {
    for (RowGroup group(rows, width); group.more(); group.next()) {
        const long long start = group.row() * columns, end = start + group.end(columns);
        real shares = 0;
        for (long long i = start + group.lane; i < end; i += group.width) shares += dvalues[i] * output[i];
        shares = group.sum(shares);
        for (long long i = start + group.lane; i < end; i += group.width) out[i] = output[i] * (dvalues[i] - shares);
    }
}

// -- losses -----------------------------------------------------------------------------------------------------------------

// NaN for a label that names no class: the loss then says so.
__device__ real crossentropy(const real* row, long long target) {
    return target < 0 ? not_a_number() : -log(clipped(row[target]));
}

KERNEL categorical_crossentropy(const real* predictions, const long long* targets, long long columns, long long rows, real* out) {
    FOR_EACH(row, rows) out[row] = crossentropy(predictions + row * columns, class_of(targets[row], columns));
}

KERNEL categorical_crossentropy_backward(const real* predictions, const long long* targets, long long rows, long long columns,
                                         long long width, real* out) {
    for (RowGroup group(rows, width); group.more(); group.next()) {
        const long long start = group.row() * columns, target = group.has_row() ? class_of(targets[group.row()], columns) : -1;
        for (long long column = group.lane; column < group.end(columns); column += group.width)
            out[start + column] = column == target ? -1 / ((real)rows * clipped(predictions[start + column])) : (real)0;
    }
}

KERNEL softmax_crossentropy(const real* inputs, const long long* targets, long long rows, long long columns, long long width,
                            real* probabilities, real* sample_losses) {
    for (RowGroup group(rows, width); group.more(); group.next()) {
        real* row = probabilities + group.row() * columns;
        softmax_row(group, inputs + group.row() * columns, columns, row);
        if (!group.has_row()) continue;  // nothing is joined below
        const long long target = class_of(targets[group.row()], columns);
        const long long writer = target < 0 ? 0 : target % group.width;  // the thread that wrote that probability
        if (group.lane == writer) sample_losses[group.row()] = crossentropy(row, target);
    }
}

KERNEL softmax_crossentropy_backward(const real* probabilities, const long long* targets, long long rows, long long columns,
                                     long long width, real* out) {
    for (RowGroup group(rows, width); group.more(); group.next()) {
        const long long start = group.row() * columns, target = group.has_row() ? class_of(targets[group.row()], columns) : -1;
        for (long long column = group.lane; column < group.end(columns); column += group.width)
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
    __device__ real operator()(real prediction, real target) const { return (target - prediction) * (target - prediction); }
};

struct AbsoluteError {
    __device__ real operator()(real prediction, real target) const { return fabs(target - prediction); }
};

// The mean over the columns of each row of term(prediction, target), times `sign`.
template <typename Term>
__device__ void row_means(const real* predictions, const real* targets, long long rows, long long columns, long long width,
                          real sign, real* out, Term term) {
    for (RowGroup group(rows, width); group.more(); group.next()) {
        const long long start = group.row() * columns, end = start + group.end(columns);
        real total = 0;
        for (long long i = start + group.lane; i < end; i += group.width) total += term(predictions[i], targets[i]);
        total = group.sum(total);
        if (group.leads()) out[group.row()] = sign * (total / (real)columns);
    }
}

KERNEL binary_crossentropy(const real* predictions, const real* targets, long long rows, long long columns, long long width, real* out) {
    row_means(predictions, targets, rows, columns, width, -1, out, BinaryCrossentropy());
}

KERNEL mean_squared_error(const real* predictions, const real* targets, long long rows, long long columns, long long width, real* out) {
    row_means(predictions, targets, rows, columns, width, 1, out, SquaredError());
}

KERNEL mean_absolute_error(const real* predictions, const real* targets, long long rows, long long columns, long long width, real* out) {
    row_means(predictions, targets, rows, columns, width, 1, out, AbsoluteError());
}

KERNEL sigmoid_crossentropy(const real* inputs, const real* targets, long long rows, long long columns, long long width,
                            real* probabilities, real* sample_losses) {
    const BinaryCrossentropy term = BinaryCrossentropy();
    for (RowGroup group(rows, width); group.more(); group.next()) {
        const long long start = group.row() * columns, end = start + group.end(columns);
        real total = 0;
        for (long long i = start + group.lane; i < end; i += group.width) {
            const real probability = sigmoid_of(inputs[i]);
            total += term(probability, targets[i]);
            probabilities[i] = probability;
        }
        total = group.sum(total);
        if (group.leads()) sample_losses[group.row()] = -(total / (real)columns);
    }
}

KERNEL binary_crossentropy_backward(const real* predictions, const real* targets, long long count, real* out) {
    FOR_EACH(i, count) {
        const real p = clipped(predictions[i]), t = targets[i];
        out[i] = ((1 - t) / (1 - p) - t / p) / (real)count;
    }
}

KERNEL sigmoid_crossentropy_backward(const real* probabilities, const real* targets, long long count, real* out) {
    FOR_EACH(i, count) out[i] = (probabilities[i] - targets[i]) / (real)count;
}

KERNEL mean_squared_error_backward(const real* predictions, const real* targets, real factor, long long count, real* out) {
    FOR_EACH(i, count) out[i] = (predictions[i] - targets[i]) * factor;
}

KERNEL mean_absolute_error_backward(const real* predictions, const real* targets, long long count, real* out) {
    FOR_EACH(i, count) {
        const real difference = predictions[i] - targets[i];
        const real sign = difference > 0 ? (real)1 : difference < 0 ? (real)-1 : difference;  // of NaN: NaN
        out[i] = sign / (real)count;
    }
}

// -- sums over everything: one block finishes alone, several leave their parts to a second kernel -------------------------

KERNEL partial_sums(const real* values, long long count, real* partials) {
    real total = 0;
    FOR_EACH(i, count) total += values[i];
    total = block_sum(total);
    if (threadIdx.x == 0) partials[blockIdx.x] = total;
}

// One block: out = Σ values / total. The values are all there are, or the partial sums of `total` of them.
KERNEL mean(const real* values, long long count, long long total, real* out) {
    real sum = 0;
    FOR_EACH(i, count) sum += values[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) *out = sum / (real)total;
}

__device__ void add_penalty(real absolutes, real squares, real l1, real l2, real* state) {
    real total = *state;
    if (l1 != 0) total += l1 * absolutes;
    if (l2 != 0) total += l2 * squares;
    *state = total;
}

KERNEL penalty(const real* parameters, real l1, real l2, long long count, real* partials, real* state) {
    real absolutes = 0, squares = 0;
    FOR_EACH(i, count) {
        absolutes += fabs(parameters[i]);
        squares += parameters[i] * parameters[i];
    }
    absolutes = block_sum(absolutes);
    squares = block_sum(squares);
    if (threadIdx.x != 0) return;
    if (gridDim.x == 1) {
        add_penalty(absolutes, squares, l1, l2, state);
    } else {
        partials[blockIdx.x] = absolutes;
        partials[gridDim.x + blockIdx.x] = squares;
    }
}

// One block: the end of `penalty`, from the partial sums of `blocks` blocks.
KERNEL penalty_end(const real* partials, real l1, real l2, long long blocks, real* state) {
    real absolutes = 0, squares = 0;
    FOR_EACH(i, blocks) {
        absolutes += partials[i];
        squares += partials[blocks + i];
    }
    absolutes = block_sum(absolutes);
    squares = block_sum(squares);
    if (threadIdx.x == 0) add_penalty(absolutes, squares, l1, l2, state);
}

KERNEL penalty_gradient(const real* parameters, real l1, real l2, real twice_l2, long long count, real* state) {
    FOR_EACH(i, count) {
        real gradient = state[i];
        if (l1 != 0) gradient += parameters[i] >= 0 ? l1 : -l1;
        if (l2 != 0) gradient += twice_l2 * parameters[i];
        state[i] = gradient;
    }
}

// -- accuracies: whole numbers are counted, and divided once ---------------------------------------------------------------

__device__ void end_count(long long hits, long long total, long long* partials, real* out) {
    hits = block_sum(hits);
    if (threadIdx.x != 0) return;
    if (gridDim.x == 1)
        *out = (real)((double)hits / (double)total);
    else
        partials[blockIdx.x] = hits;
}

// One block: the end of an accuracy, from the counts of `blocks` blocks.
KERNEL accuracy_end(const long long* partials, long long blocks, long long total, real* out) {
    long long hits = 0;
    FOR_EACH(i, blocks) hits += partials[i];
    end_count(hits, total, 0, out);
}

__device__ Best best_of_row(const RowGroup& group, const real* row, long long columns) {
    Best best = {minus_infinity(), 0x7fffffffffffffffll};
    for (long long column = group.lane; column < group.end(columns); column += group.width) {
        const Best candidate = {row[column], column};
        best = Better()(best, candidate);
    }
    return group.best(best);
}

KERNEL labels_from_one_hot(const real* one_hot, long long rows, long long columns, long long width, long long* out) {
    for (RowGroup group(rows, width); group.more(); group.next()) {
        const Best best = best_of_row(group, one_hot + group.row() * columns, columns);
        if (group.leads()) out[group.row()] = best.index;
    }
}

KERNEL categorical_accuracy(const real* predictions, const long long* targets, long long rows, long long columns,
                            long long width, long long* partials, real* out) {
    long long hits = 0;
    for (RowGroup group(rows, width); group.more(); group.next()) {
        const Best best = best_of_row(group, predictions + group.row() * columns, columns);
        if (group.leads() && best.index == targets[group.row()]) ++hits;
    }
    end_count(hits, rows, partials, out);
}

KERNEL binary_accuracy(const real* predictions, const real* targets, long long count, long long* partials, real* out) {
    const real half = (real)0.5;
    long long hits = 0;
    FOR_EACH(i, count) hits += (predictions[i] > half) == (targets[i] > half);
    end_count(hits, count, partials, out);
}

KERNEL regression_accuracy(const real* predictions, const real* targets, const real* precision, long long count,
                           long long* partials, real* out) {
    long long hits = 0;
    FOR_EACH(i, count) hits += fabs(predictions[i] - targets[i]) < *precision;
    end_count(hits, count, partials, out);
}

// -- optimizers: one launch over all parameters ----------------------------------------------------------------------------
// Factors such as 1 - beta come from the host, where they are computed in double and rounded once, as in the reference.

// One thread.
KERNEL decayed_learning_rate(const double* learning_rate, const double* decay, const long long* iterations, double* out) {
    *out = *learning_rate * (1 / (1 + *decay * (double)*iterations));
}

// One thread.
KERNEL adam_step_sizes(const double* learning_rate, const long long* iterations, double beta_1, double beta_2, real* rate,
                       real* scale) {
    const double steps = (double)*iterations + 1.0;
    *rate = (real)(*learning_rate / (1 - pow(beta_1, steps)));
    *scale = (real)(1 / sqrt(1 - pow(beta_2, steps)));
}

KERNEL sgd(const real* grads, const real* learning_rate, long long count, real* values) {
    const real rate = *learning_rate;
    FOR_EACH(i, count) values[i] -= rate * grads[i];
}

KERNEL sgd_momentum(const real* grads, const real* learning_rate, real momentum, long long count, real* values, real* momentums) {
    const real rate = *learning_rate;
    FOR_EACH(i, count) {
        const real u = flushed(momentum * momentums[i] - rate * grads[i]);
        momentums[i] = u;
        values[i] += u;
    }
}

KERNEL adagrad(const real* grads, const real* learning_rate, real epsilon, long long count, real* values, real* cache) {
    const real rate = *learning_rate;
    FOR_EACH(i, count) {
        const real g = grads[i], c = cache[i] + g * g;
        cache[i] = c;
        values[i] -= rate * g / (sqrt(c) + epsilon);
    }
}

KERNEL rmsprop(const real* grads, const real* learning_rate, real rho, real fresh, real epsilon, long long count, real* values,
               real* cache) {
    const real rate = *learning_rate;
    FOR_EACH(i, count) {
        const real g = grads[i], c = flushed(rho * cache[i] + fresh * (g * g));
        cache[i] = c;
        values[i] -= rate * g / (sqrt(c) + epsilon);
    }
}

KERNEL adam(const real* grads, const real* rate, const real* scale, real beta_1, real fresh_1, real beta_2, real fresh_2,
            real epsilon, long long count, real* values, real* momentums, real* cache) {
    const real step = *rate, root_scale = *scale;
    FOR_EACH(i, count) {
        const real g = grads[i];
        const real m = flushed(beta_1 * momentums[i] + fresh_1 * g), v = flushed(beta_2 * cache[i] + fresh_2 * (g * g));
        momentums[i] = m;
        cache[i] = v;
        values[i] -= step * m / (sqrt(v) * root_scale + epsilon);
    }
}

// -- moving values within the device ------------------------------------------------------------------------------------------

// One thread.
KERNEL advance(long long amount, long long* state) { *state += amount; }

KERNEL batch_indices(const long long* order, long long samples, const long long* position, const long long* offsets,
                     long long count, long long* out) {
    FOR_EACH(i, count) out[i] = order[wrapped(*position + offsets[i], samples)];
}

struct __align__(16) Sixteen {
    unsigned long long low, high;
};

template <typename Unit>
__device__ void gather_units(const char* data, long long rows, const long long* indices, long long count, long long row_bytes,
                             long long width, char* out) {
    const long long units = row_bytes / (long long)sizeof(Unit);
    for (RowGroup group(count, width); group.more(); group.next()) {
        if (!group.has_row()) continue;  // nothing is joined
        const Unit* from = (const Unit*)data + wrapped(indices[group.row()], rows) * units;
        Unit* to = (Unit*)out + group.row() * units;
        for (long long i = group.lane; i < units; i += group.width) to[i] = from[i];
    }
}

// Rows of bytes, moved in the largest pieces that the addresses and the length of a row allow.
KERNEL gather(const char* data, long long rows, const long long* indices, long long count, long long row_bytes, long long width,
              char* out) {
    const unsigned long long bits = (unsigned long long)data | (unsigned long long)out | (unsigned long long)row_bytes;
    if (bits % 16 == 0)
        gather_units<Sixteen>(data, rows, indices, count, row_bytes, width, out);
    else if (bits % 4 == 0)
        gather_units<unsigned int>(data, rows, indices, count, row_bytes, width, out);
    else
        gather_units<char>(data, rows, indices, count, row_bytes, width, out);
}

__device__ double number_at(const char* numbers, long long i, bool wide) {
    return wide ? ((const double*)numbers)[i] : (double)((const float*)numbers)[i];
}

__device__ void store_number(char* numbers, long long i, bool wide, double value) {
    if (wide)
        ((double*)numbers)[i] = value;
    else
        ((float*)numbers)[i] = (float)value;
}

// One thread. `measured` numbers, of which bit i of `doubles` says whether number i is a double, go into `row`, and `row`
// into the table; `table_doubles` says the same of both.
KERNEL record(const char* m0, const char* m1, const char* m2, const char* m3, const char* m4, const char* m5, const char* m6,
              const char* m7, long long measured, long long doubles, long long table_doubles, long long rows, long long columns,
              char* table, long long* cursor, char* row) {
    const char* numbers[8] = {m0, m1, m2, m3, m4, m5, m6, m7};
    const long long start = wrapped(*cursor, rows) * columns;
    for (int i = 0; i < 8; ++i)
        if (i < measured) store_number(row, i, table_doubles != 0, number_at(numbers[i], 0, doubles >> i & 1));
    for (long long i = 0; i < columns; ++i)
        store_number(table, start + i, table_doubles != 0, number_at(row, i, table_doubles != 0));
    *cursor += 1;
}
