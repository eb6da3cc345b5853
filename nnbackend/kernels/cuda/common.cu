// What the kernels of the GPU backend share: numbers, groups of threads, random numbers.
//
// The kernels are CUDA C++. This file and those beside it are one module, which NVRTC compiles through CuPy when it is
// first needed. A kernel computes what the function of the same name in nnbackend/ops computes, NaN and infinities
// included: read that first. launch.py calls them, grids.py chooses grids; tests/test_cuda_kernels.py runs them on a CPU.
//
// Rules
//   * The module is compiled once for each dtype, with -DREAL=float or -DREAL=double. It includes no headers.
//   * Products and sums are not contracted into fused ones (-fmad=false): memory, not arithmetic, sets the pace here,
//     and so each +, -, *, / and square root rounds as in the reference.
//   * No atomics. The order of every sum follows from shapes and launch sizes alone, so every run gives the same bits.
//   * An output may be an input (softmax in place), so nothing is __restrict__, and an element is read before it is
//     written by the same thread.
//   * Counts and indices are 64-bit, and loops stride over the grid: any grid gives a right answer.
//   * compile.py reads the parameter lists of the kernels and converts arguments to these types; it knows the types
//     that are used here and no other.

#ifndef REAL
#error "compile with -DREAL=float or -DREAL=double"
#endif

typedef REAL real;
typedef long long int64;
typedef unsigned long long uint64;

// At most 1024 threads a block, so at most 64 registers a thread.
#define KERNEL extern "C" __global__ void __launch_bounds__(1024)

#define FOR_EACH(i, count) \
    for (int64 i = (int64)blockIdx.x * blockDim.x + threadIdx.x; i < (count); i += (int64)gridDim.x * blockDim.x)

// -- numbers ----------------------------------------------------------------------------------------------------------

#define CLIP 1e-7  // as in nnbackend/ops/losses.py

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
__device__ int64 class_of(int64 label, int64 classes) {
    const int64 index = label < 0 ? label + classes : label;
    return 0 <= index && index < classes ? index : -1;
}

// An index out of range wraps around, as in CuPy's own take.
__device__ int64 wrapped(int64 index, int64 count) {
    if (0 <= index && index < count) return index;
    index %= count;
    return index < 0 ? index + count : index;
}

// -- groups of threads ------------------------------------------------------------------------------------------------

struct Best {  // a candidate of argmax
    real value;
    int64 index;
};

__device__ real from_lane(real value, int offset) { return __shfl_xor_sync(0xffffffffu, value, offset); }
__device__ int64 from_lane(int64 value, int offset) { return __shfl_xor_sync(0xffffffffu, value, offset); }
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
    for (int offset = (width < 32 ? width : 32) / 2; offset > 0; offset /= 2)
        value = join(value, from_lane(value, offset));
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
__device__ int64 block_sum(int64 value) { return joined(value, blockDim.x, Add()); }

// A walk over the rows of a matrix in which `width` neighbouring threads share a row and each takes every width-th
// column. All threads of a block make the same number of steps, so that they may join values in it; in the last step
// some have no row, and see no columns.
struct RowGroup {
    int width, lane, group;
    int64 rows, first, step;

    __device__ RowGroup(int64 rows, int64 width)
        : width((int)width), lane(threadIdx.x % (int)width), group(threadIdx.x / (int)width), rows(rows) {
        const int64 groups = blockDim.x / (int)width;
        first = blockIdx.x * groups;
        step = gridDim.x * groups;
    }
    __device__ bool more() const { return first < rows; }
    __device__ void next() { first += step; }
    __device__ int64 row() const { return first + group; }
    __device__ bool has_row() const { return row() < rows; }
    __device__ int64 end(int64 columns) const { return has_row() ? columns : 0; }
    __device__ bool leads() const { return has_row() && lane == 0; }
    __device__ real sum(real value) const { return joined(value, width, Add()); }
    __device__ real largest(real value) const { return joined(value, width, Larger()); }
    __device__ Best best(Best value) const { return joined(value, width, Better()); }
};

// -- random numbers: the integers of nnbackend/rng.py -----------------------------------------------------------------

struct Words {
    unsigned int word[4];
};

// Philox4x32-10.
__device__ Words philox4x32(unsigned int c0, unsigned int c1, unsigned int c2, unsigned int c3, unsigned int k0,
                            unsigned int k1) {
    for (int round = 0; round < 10; ++round) {
        const uint64 product0 = 0xD2511F53ull * c0, product1 = 0xCD9E8D57ull * c2;
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

__device__ Words words_of(int64 block, uint64 key, int64 stream, int64 step) {
    return philox4x32((unsigned int)block, (unsigned int)stream, (unsigned int)step,
                      (unsigned int)((uint64)step >> 32), (unsigned int)key, (unsigned int)(key >> 32));
}
