// Runs CUDA kernels on a CPU, to check their arithmetic, indices and barriers on a machine without a GPU.
//
// The threads of a block are fibers of one operating-system thread. Each runs until it ends or waits: at __syncthreads for
// its block, at a shuffle for its warp. A warp runs as far as it gets before the next one starts. Blocks, warps and lanes
// take turns in an order that can be chosen (forwards, backwards, shuffled): a kernel that lacks a barrier gives other
// results in another order. What a GPU leaves undefined is an error here: a barrier that some threads of the block do not
// reach or reach at another line, a shuffle without a whole warp.
// Shared memory is filled with 0xff (NaN) before each block.
//
// Not imitated: time, caches, memory ordering between threads that never meet at a barrier, CUDA's own rounding in
// exp, log and pow, fused multiply-add, and the flushing of denormals.

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

#include <functional>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __launch_bounds__(threads)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __shared__ static __attribute__((section("emulated_shared_memory")))

struct Dim3 {
    unsigned int x, y, z;
};
static Dim3 gridDim, blockDim, blockIdx, threadIdx;

// The linker's names for the ends of the section that holds all __shared__ variables.
extern "C" char __start_emulated_shared_memory[], __stop_emulated_shared_memory[];

namespace emulator {

enum State { READY, AT_BLOCK_BARRIER, AT_WARP_BARRIER, ENDED };

struct Fiber {
    Dim3 index;
    State state;
    bool started;
    int line;  // of the barrier at which it waits
    ucontext_t context;
    jmp_buf resume;
    std::vector<char> stack;
};

struct Warp {
    unsigned long long lanes[32][2];  // what each lane hands over: up to 16 bytes
};

static std::vector<Fiber> fibers;
static std::vector<Warp> warps;
static size_t threads, current;
static jmp_buf scheduler;
static std::function<void()> body;
static char error[300];
static unsigned int random_state;

inline size_t random_below(size_t count) {
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % count;
}

// 0 .. count - 1: forwards for 0, backwards for 1, else shuffled.
inline std::vector<size_t> order_of(size_t count, int order) {
    std::vector<size_t> indices(count);
    for (size_t i = 0; i < count; ++i) indices[i] = order == 1 ? count - 1 - i : i;
    if (order > 1)
        for (size_t i = count; i > 1; --i) std::swap(indices[i - 1], indices[random_below(i)]);
    return indices;
}

inline void entry() {
    body();
    fibers[current].state = ENDED;
    _longjmp(scheduler, 1);
}

inline void wait(State state, int line) {
    Fiber& fiber = fibers[current];
    fiber.state = state;
    fiber.line = line;
    if (!_setjmp(fiber.resume)) _longjmp(scheduler, 1);
}

// Let one thread run until it waits or ends.
inline void run(size_t thread) {
    current = thread;
    Fiber& fiber = fibers[thread];
    threadIdx = fiber.index;
    if (_setjmp(scheduler)) return;
    if (fiber.started) _longjmp(fiber.resume, 1);
    fiber.started = true;
    setcontext(&fiber.context);
}

inline void prepare(size_t thread) {
    Fiber& fiber = fibers[thread];
    fiber.index = {(unsigned int)thread % blockDim.x, (unsigned int)thread / blockDim.x, 0};
    fiber.state = READY;
    fiber.started = false;
    fiber.stack.resize(64 * 1024);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = fiber.stack.size();
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, entry, 0);
}

// Let threads `first` to `end` go on if all of them wait at the same barrier.
inline bool release(size_t first, size_t end, State state) {
    for (size_t i = first; i < end; ++i)
        if (fibers[i].state != state || fibers[i].line != fibers[first].line) return false;
    for (size_t i = first; i < end; ++i) fibers[i].state = READY;
    return true;
}

// Let one warp run as far as it gets without the others.
inline void run_warp(size_t warp, int order) {
    const size_t first = 32 * warp, lanes = threads - first < 32 ? threads - first : 32;
    do {
        for (size_t lane : order_of(lanes, order))
            if (fibers[first + lane].state == READY) run(first + lane);
    } while (lanes == 32 && release(first, first + 32, AT_WARP_BARRIER));
}

inline bool all_ended() {
    for (size_t i = 0; i < threads; ++i)
        if (fibers[i].state != ENDED) return false;
    return true;
}

inline bool stuck() {
    for (size_t i = 0; i < threads; ++i)
        if (fibers[i].state != ENDED) {
            snprintf(error, sizeof error, "block %u,%u: thread %zu waits at line %d for threads that do not come", blockIdx.x,
                     blockIdx.y, i, fibers[i].line);
            break;
        }
    return false;
}

inline bool run_block(int order) {
    memset(__start_emulated_shared_memory, 0xff, __stop_emulated_shared_memory - __start_emulated_shared_memory);
    for (size_t i = 0; i < threads; ++i) prepare(i);
    for (;;) {
        for (size_t warp : order_of((threads + 31) / 32, order)) run_warp(warp, order);
        if (error[0]) return false;
        if (all_ended()) return true;
        if (!release(0, threads, AT_BLOCK_BARRIER)) return stuck();
    }
}

// Run a kernel over a grid. Returns what went wrong, or null.
inline const char* launch(const unsigned int* grid, const unsigned int* block, int order, std::function<void()> kernel) {
    gridDim = {grid[0], grid[1], 1};
    blockDim = {block[0], block[1], 1};
    threads = (size_t)block[0] * block[1];
    error[0] = 0;
    random_state = (unsigned int)order;
    if (threads == 0 || threads > 1024 || grid[0] == 0 || grid[1] == 0 || grid[1] > 65535) return "a launch that CUDA refuses";
    if (fibers.size() < threads) fibers.resize(threads);
    warps.resize(threads / 32 + 1);
    body = kernel;
    for (size_t i : order_of((size_t)grid[0] * grid[1], order)) {
        blockIdx = {(unsigned int)(i % grid[0]), (unsigned int)(i / grid[0]), 0};
        if (!run_block(order)) return error;
    }
    return nullptr;
}

template <typename Value> Value shuffle_xor(unsigned int mask, Value value, int offset, int line) {
    static_assert(sizeof(Value) <= sizeof(Warp::lanes[0]), "a shuffle of more than 16 bytes");
    const size_t lane = current % 32, other = lane ^ (size_t)offset;
    if (mask != 0xffffffffu || other >= 32) snprintf(error, sizeof error, "line %d: a shuffle within part of a warp", line);
    Warp& warp = warps[current / 32];
    memcpy(warp.lanes[lane], &value, sizeof value);
    wait(AT_WARP_BARRIER, line);
    memcpy(&value, warp.lanes[other % 32], sizeof value);
    wait(AT_WARP_BARRIER, -line);
    return value;
}

}  // namespace emulator

#define __syncthreads() emulator::wait(emulator::AT_BLOCK_BARRIER, __LINE__)
#define __shfl_xor_sync(mask, value, offset) emulator::shuffle_xor(mask, value, offset, __LINE__)
