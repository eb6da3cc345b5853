// Optimizers (book, chapters 10 to 14), and moving values within the device.
//
// An optimizer is one launch over all parameters. Factors such as 1 - beta come from the host, where they are computed
// in double and rounded once, as in the reference.

// One thread.
KERNEL decayed_learning_rate(const double* learning_rate, const double* decay, const int64* iterations, double* out) {
    *out = *learning_rate * (1 / (1 + *decay * (double)*iterations));
}

// One thread.
KERNEL adam_step_sizes(const double* learning_rate, const int64* iterations, double beta_1, double beta_2, real* rate,
                       real* scale) {
    const double steps = (double)*iterations + 1.0;
    *rate = (real)(*learning_rate / (1 - pow(beta_1, steps)));
    *scale = (real)(1 / sqrt(1 - pow(beta_2, steps)));
}

KERNEL sgd(const real* grads, const real* learning_rate, int64 count, real* values) {
    const real rate = *learning_rate;
    FOR_EACH(i, count) values[i] -= rate * grads[i];
}

KERNEL sgd_momentum(const real* grads, const real* learning_rate, real momentum, int64 count, real* values,
                    real* momentums) {
    const real rate = *learning_rate;
    FOR_EACH(i, count) {
        const real u = flushed(momentum * momentums[i] - rate * grads[i]);
        momentums[i] = u;
        values[i] += u;
    }
}

KERNEL adagrad(const real* grads, const real* learning_rate, real epsilon, int64 count, real* values, real* cache) {
    const real rate = *learning_rate;
    FOR_EACH(i, count) {
        const real g = grads[i], c = cache[i] + g * g;
        cache[i] = c;
        values[i] -= rate * g / (sqrt(c) + epsilon);
    }
}

KERNEL rmsprop(const real* grads, const real* learning_rate, real rho, real fresh, real epsilon, int64 count,
               real* values, real* cache) {
    const real rate = *learning_rate;
    FOR_EACH(i, count) {
        const real g = grads[i], c = flushed(rho * cache[i] + fresh * (g * g));
        cache[i] = c;
        values[i] -= rate * g / (sqrt(c) + epsilon);
    }
}

KERNEL adam(const real* grads, const real* rate, const real* scale, real beta_1, real fresh_1, real beta_2,
            real fresh_2, real epsilon, int64 count, real* values, real* momentums, real* cache) {
    const real step = *rate, root_scale = *scale;
    FOR_EACH(i, count) {
        const real g = grads[i];
        const real m = flushed(beta_1 * momentums[i] + fresh_1 * g), v = flushed(beta_2 * cache[i] + fresh_2 * (g * g));
        momentums[i] = m;
        cache[i] = v;
        values[i] -= step * m / (sqrt(v) * root_scale + epsilon);
    }
}

KERNEL adamw(const real* grads, const real* learning_rate, const real* rate, const real* scale, real beta_1,
             real fresh_1, real beta_2, real fresh_2, real epsilon, real weight_decay, int64 count, real* values,
             real* momentums, real* cache) {
    const real step = *rate, root_scale = *scale, shrink = weight_decay * *learning_rate;
    FOR_EACH(i, count) {
        const real g = grads[i], w = values[i] - shrink * values[i];
        const real m = flushed(beta_1 * momentums[i] + fresh_1 * g), v = flushed(beta_2 * cache[i] + fresh_2 * (g * g));
        momentums[i] = m;
        cache[i] = v;
        values[i] = w - step * m / (sqrt(v) * root_scale + epsilon);
    }
}

// -- moving values within the device ----------------------------------------------------------------------------------

// One thread.
KERNEL advance(int64 amount, int64* state) { *state += amount; }

KERNEL batch_indices(const int64* order, int64 samples, const int64* position, const int64* offsets, int64 count,
                     int64* out) {
    FOR_EACH(i, count) out[i] = order[wrapped(*position + offsets[i], samples)];
}

struct __align__(16) Sixteen {
    uint64 low, high;
};

template <typename Unit>
__device__ void gather_units(const char* data, int64 rows, const int64* indices, int64 count, int64 row_bytes,
                             int64 width, char* out) {
    const int64 units = row_bytes / (int64)sizeof(Unit);
    for (RowGroup group(count, width); group.more(); group.next()) {
        if (!group.has_row()) continue;  // nothing is joined
        const Unit* from = (const Unit*)data + wrapped(indices[group.row()], rows) * units;
        Unit* to = (Unit*)out + group.row() * units;
        for (int64 i = group.lane; i < units; i += group.width) to[i] = from[i];
    }
}

// Rows of bytes, moved in the largest pieces that the addresses and the length of a row allow.
KERNEL gather(const char* data, int64 rows, const int64* indices, int64 count, int64 row_bytes, int64 width,
              char* out) {
    const uint64 bits = (uint64)data | (uint64)out | (uint64)row_bytes;
    if (bits % 16 == 0)
        gather_units<Sixteen>(data, rows, indices, count, row_bytes, width, out);
    else if (bits % 4 == 0)
        gather_units<unsigned int>(data, rows, indices, count, row_bytes, width, out);
    else
        gather_units<char>(data, rows, indices, count, row_bytes, width, out);
}

__device__ double number_at(const char* numbers, int64 i, bool wide) {
    return wide ? ((const double*)numbers)[i] : (double)((const float*)numbers)[i];
}

__device__ void store_number(char* numbers, int64 i, bool wide, double value) {
    if (wide)
        ((double*)numbers)[i] = value;
    else
        ((float*)numbers)[i] = (float)value;
}

// One thread. `measured` numbers go into `row`, and `row` into the table. Bit i of `doubles` says whether number i is a
// double (else a float), `table_doubles` says so of the row and the table.
KERNEL record(const char* m0, const char* m1, const char* m2, const char* m3, const char* m4, const char* m5,
              const char* m6, const char* m7, int64 measured, int64 doubles, int64 table_doubles, int64 rows,
              int64 columns, char* table, int64* cursor, char* row) {
    const char* numbers[8] = {m0, m1, m2, m3, m4, m5, m6, m7};
    const int64 start = wrapped(*cursor, rows) * columns;
    for (int i = 0; i < 8; ++i)
        if (i < measured) store_number(row, i, table_doubles != 0, number_at(numbers[i], 0, doubles >> i & 1));
    for (int64 i = 0; i < columns; ++i)
        store_number(table, start + i, table_doubles != 0, number_at(row, i, table_doubles != 0));
    *cursor += 1;
}
