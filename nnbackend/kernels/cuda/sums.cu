// Sums and counts over everything: means, penalties, accuracies (book, chapters 5, 14, 16, 17).
//
// One block finishes alone; several leave their parts to a second kernel.

KERNEL partial_sums(const real* values, int64 count, real* partials) {
    real total = 0;
    FOR_EACH(i, count) total += values[i];
    total = block_sum(total);
    if (threadIdx.x == 0) partials[blockIdx.x] = total;
}

// One block: out = Σ values / total. The values are all there are, or the partial sums of `total` of them.
KERNEL mean(const real* values, int64 count, int64 total, real* out) {
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

KERNEL penalty(const real* parameters, real l1, real l2, int64 count, real* partials, real* state) {
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
KERNEL penalty_end(const real* partials, real l1, real l2, int64 blocks, real* state) {
    real absolutes = 0, squares = 0;
    FOR_EACH(i, blocks) {
        absolutes += partials[i];
        squares += partials[blocks + i];
    }
    absolutes = block_sum(absolutes);
    squares = block_sum(squares);
    if (threadIdx.x == 0) add_penalty(absolutes, squares, l1, l2, state);
}

KERNEL penalty_gradient(const real* parameters, real l1, real l2, real twice_l2, int64 count, real* state) {
    FOR_EACH(i, count) {
        real gradient = state[i];
        if (l1 != 0) gradient += parameters[i] >= 0 ? l1 : -l1;
        if (l2 != 0) gradient += twice_l2 * parameters[i];
        state[i] = gradient;
    }
}

// -- accuracies: whole numbers are counted, and divided once ----------------------------------------------------------

__device__ void end_count(int64 hits, int64 total, int64* partials, real* out) {
    hits = block_sum(hits);
    if (threadIdx.x != 0) return;
    if (gridDim.x == 1)
        *out = (real)((double)hits / (double)total);
    else
        partials[blockIdx.x] = hits;
}

// One block: the end of an accuracy, from the counts of `blocks` blocks.
KERNEL accuracy_end(const int64* partials, int64 blocks, int64 total, real* out) {
    int64 hits = 0;
    FOR_EACH(i, blocks) hits += partials[i];
    end_count(hits, total, 0, out);
}

__device__ Best best_of_row(const RowGroup& group, const real* row, int64 columns) {
    Best best = {minus_infinity(), 0x7fffffffffffffffll};
    for (int64 column = group.lane; column < group.end(columns); column += group.width) {
        const Best candidate = {row[column], column};
        best = Better()(best, candidate);
    }
    return group.best(best);
}

KERNEL labels_from_one_hot(const real* one_hot, int64 rows, int64 columns, int64 width, int64* out) {
    for (RowGroup group(rows, width); group.more(); group.next()) {
        const Best best = best_of_row(group, one_hot + group.row() * columns, columns);
        if (group.leads()) out[group.row()] = best.index;
    }
}

KERNEL categorical_accuracy(const real* predictions, const int64* targets, int64 rows, int64 columns, int64 width,
                            int64* partials, real* out) {
    int64 hits = 0;
    for (RowGroup group(rows, width); group.more(); group.next()) {
        const Best best = best_of_row(group, predictions + group.row() * columns, columns);
        if (group.leads() && best.index == targets[group.row()]) ++hits;
    }
    end_count(hits, rows, partials, out);
}

KERNEL binary_accuracy(const real* predictions, const real* targets, int64 count, int64* partials, real* out) {
    const real half = (real)0.5;
    int64 hits = 0;
    FOR_EACH(i, count) hits += (predictions[i] > half) == (targets[i] > half);
    end_count(hits, count, partials, out);
}

KERNEL regression_accuracy(const real* predictions, const real* targets, const real* precision, int64 count,
                           int64* partials, real* out) {
    int64 hits = 0;
    FOR_EACH(i, count) hits += fabs(predictions[i] - targets[i]) < *precision;
    end_count(hits, count, partials, out);
}
