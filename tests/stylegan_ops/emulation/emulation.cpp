// Runs a kernel as a GPU might: every thread of a block is a coroutine, threads come to their turn in a random order,
// and a warp's 32 threads wait for each other where they exchange values. What a GPU would punish, or get wrong without
// a word, ends as an error with a sentence: an address that is not a multiple of its size, memory outside what was
// allowed, a byte that one thread writes and another one reads or writes, an exchange that a thread of the warp misses.
//
// The library answers as the GPU's driver does, through the functions of the driver that `stylegan_ops/driver.py` calls.
#include "emulation.h"

#include <ucontext.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace emulation {

dim3 thread, block, grid, block_size;

namespace {

constexpr int WARP = 32;
constexpr size_t STACK = 128 << 10;
constexpr uint32_t NOBODY = 0, SEVERAL = ~0u;
constexpr size_t MOST_SHARED = 48 << 10;  // bytes of a block

struct Region {
    uintptr_t start;
    size_t size;
    bool writable;
    std::vector<uint32_t> reader, writer;  // of each byte in this launch; of writable memory alone
};

struct Coroutine {
    ucontext_t context;
    std::vector<char> stack;
    bool finished;
    int exchanges;
    float values[2];  // of the last two exchanges
    uint32_t meetings;
};

// Four bytes of shared memory: the last threads that used them, and before which meeting.
struct Word {
    uint32_t writer, written, reader, read;
};

struct SharedMemory {
    uintptr_t start;
    size_t size;
    std::vector<Word> words;
};

std::vector<Region> regions;
bool unguarded = false;  // whether all memory may be used
std::string fault;
std::vector<Coroutine> threads;
std::vector<SharedMemory> shared;  // of this block
uint64_t arrivals, departures;     // of threads at meetings, and at the end
ucontext_t scheduler;
int current;
const std::function<void()> *body;

void say(const std::string &what) {
    if (!fault.empty()) return;
    fault = what + " (block " + std::to_string(block.x) + ", " + std::to_string(block.y) + ", " +
            std::to_string(block.z) + ", thread " + std::to_string(current) + ")";
}

void start_thread() {
    (*body)();
    threads[current].finished = true;
    departures++;
}

void run_block(std::mt19937 &random) {
    const int count = (int)threads.size();
    shared.clear();
    arrivals = departures = 0;
    for (Coroutine &coroutine : threads) {
        coroutine.finished = false;
        coroutine.exchanges = 0;
        coroutine.meetings = 0;
        getcontext(&coroutine.context);
        coroutine.context.uc_stack.ss_sp = coroutine.stack.data();
        coroutine.context.uc_stack.ss_size = coroutine.stack.size();
        coroutine.context.uc_link = &scheduler;
        makecontext(&coroutine.context, start_thread, 0);
    }
    std::vector<int> order(count);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    for (int left = count; left;) {
        left = 0;
        for (int index : order) {
            if (threads[index].finished) continue;
            current = index;
            thread = dim3(index, 0, 0);
            swapcontext(&scheduler, &threads[index].context);
            left += !threads[index].finished;
        }
    }
}

// The number of this thread in the whole launch, from 1.
uint32_t own_number() {
    const uint32_t number = block.x + grid.x * (block.y + grid.y * block.z);
    return number * (uint32_t)threads.size() + current + 1;
}

}  // namespace

Result run(const std::function<void()> &kernel) {
    if (!grid.x || !grid.y || !grid.z || grid.y > 65535 || grid.z > 65535 || block_size.y != 1 || block_size.z != 1 ||
        block_size.x > 1024 || block_size.x % WARP)
        return invalid_value;
    fault.clear();
    body = &kernel;
    threads.resize(block_size.x);
    for (Coroutine &coroutine : threads) coroutine.stack.resize(STACK);
    for (Region &region : regions) {
        region.reader.assign(region.writable ? region.size : 0, NOBODY);
        region.writer.assign(region.writable ? region.size : 0, NOBODY);
    }
    std::mt19937 random(1);
    std::vector<dim3> blocks;
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) blocks.emplace_back(x, y, z);
    std::shuffle(blocks.begin(), blocks.end(), random);
    for (const dim3 &next : blocks) {
        block = next;
        run_block(random);
    }
    return fault.empty() ? success : launch_failure;
}

bool may_access(const void *address, size_t size, bool write) {
    const uintptr_t start = (uintptr_t)address;
    if (start % size) {
        say("an address is not a multiple of " + std::to_string(size));
        return false;
    }
    if (unguarded) return true;
    for (Region &region : regions) {
        if (start < region.start || start + size > region.start + region.size || (write && !region.writable)) continue;
        if (!region.writable) return true;
        const uint32_t own = own_number();
        for (size_t at = start - region.start; at < start - region.start + size; at++) {
            uint32_t &reader = region.reader[at], &writer = region.writer[at];
            if ((writer != NOBODY && writer != own) || (write && reader != NOBODY && reader != own))
                say("a byte is written by one thread and used by another");
            if (write)
                writer = own;
            else
                reader = reader == NOBODY || reader == own ? own : SEVERAL;
        }
        return true;
    }
    say(std::string(write ? "a write" : "a read") + " of " + std::to_string(size) + " bytes outside of the memory");
    return false;
}

float exchange(float value, int step) {
    Coroutine &own = threads[current];
    const int first = current / WARP * WARP, other = current ^ step, turn = own.exchanges++;
    own.values[turn & 1] = value;
    for (int lane = first; lane < first + WARP; lane++)
        while (threads[lane].exchanges <= turn) {
            if (threads[lane].finished) {
                say("an exchange is missed by a thread of the warp");
                return 0;
            }
            swapcontext(&own.context, &scheduler);
        }
    return threads[other].values[turn & 1];
}

void share(void *memory, size_t size) {
    size_t whole = size;
    for (const SharedMemory &known : shared) {
        if (known.start == (uintptr_t)memory) return;
        whole += known.size;
    }
    if (whole > MOST_SHARED) say("a block has more than " + std::to_string(MOST_SHARED) + " bytes of shared memory");
    shared.push_back({(uintptr_t)memory, size, std::vector<Word>(size / 4, Word{})});
}

bool may_share(const void *address, size_t size, bool write) {
    const uintptr_t start = (uintptr_t)address;
    if (start % size) {
        say("an address is not a multiple of " + std::to_string(size));
        return false;
    }
    const uint32_t own = current + 1, turn = threads[current].meetings;
    for (SharedMemory &memory : shared) {
        if (start < memory.start || start + size > memory.start + memory.size) continue;
        for (size_t at = (start - memory.start) / 4; at < (start - memory.start + size) / 4; at++) {
            Word &word = memory.words[at];
            const bool written = word.writer != NOBODY && word.writer != own && word.written == turn;
            const bool read = word.reader != NOBODY && word.reader != own && word.read == turn;
            if (written || (write && read))
                say("shared memory is written by one thread and used by another before they met");
            if (!write && word.writer == NOBODY) say("shared memory is read before it is written");
            if (write)
                word.writer = own, word.written = turn;
            else
                word.reader = word.read == turn && word.reader != NOBODY && word.reader != own ? SEVERAL : own,
                word.read = turn;
        }
        return true;
    }
    say(std::string(write ? "a write" : "a read") + " of " + std::to_string(size) + " bytes outside of shared memory");
    return false;
}

void meet() {
    Coroutine &own = threads[current];
    own.meetings++;
    arrivals++;
    while (arrivals < (uint64_t)own.meetings * threads.size()) {
        if (departures) {
            say("a meeting is missed by a thread of the block");
            return;
        }
        swapcontext(&own.context, &scheduler);
    }
}

}  // namespace emulation

// ---- the driver

namespace {

struct Place {};
std::vector<Place> devices(2);
std::vector<const void *> contexts;  // the stack of this thread

std::map<std::string, emulation::Entry> &kernels() {
    static std::map<std::string, emulation::Entry> found;
    return found;
}

}  // namespace

emulation::Kernel::Kernel(const char *name, Entry entry) { kernels()[name] = entry; }

EXPORT int cuInit(unsigned) { return 0; }
EXPORT int cuDeviceGet(int *device, int ordinal) {
    *device = ordinal;
    return ordinal >= 0 && ordinal < (int)devices.size() ? 0 : 101;
}
EXPORT int cuDevicePrimaryCtxRetain(const void **context, int device) {
    *context = &devices[device];
    return 0;
}
EXPORT int cuCtxPushCurrent_v2(const void *context) {
    contexts.push_back(context);
    return 0;
}
EXPORT int cuCtxPopCurrent_v2(const void **context) {
    if (contexts.empty()) return emulation::invalid_context;
    *context = contexts.back();
    contexts.pop_back();
    return 0;
}
// The image is not run: the kernels of this library are, which are compiled from the same sources.
EXPORT int cuModuleLoadData(const void **module, const void *image) {
    if (contexts.empty()) return emulation::invalid_context;
    const bool machine_code = !std::memcmp(image, "\x7f" "ELF", 4), text = !std::memcmp(image, "//", 2);
    *module = contexts.back();
    return machine_code || text ? 0 : 200;
}
EXPORT int cuModuleGetFunction(const void **function, const void *, const char *name) {
    const auto found = kernels().find(name);
    if (found == kernels().end()) return emulation::not_found;
    *function = (const void *)found->second;
    return 0;
}
EXPORT int cuLaunchKernel(const void *function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned rows,
                          unsigned planes, unsigned, const void *, void **arguments, void **) {
    if (contexts.empty()) return emulation::invalid_context;
    emulation::grid = dim3(x, y, z), emulation::block_size = dim3(threads, rows, planes);
    return ((emulation::Entry)function)(arguments);
}
EXPORT int cuGetErrorString(int error, const char **text) {
    switch (error) {
        case 1: *text = "invalid argument"; break;
        case 101: *text = "invalid device ordinal"; break;
        case 200: *text = "device kernel image is invalid"; break;
        case 201: *text = "invalid device context"; break;
        case 500: *text = "named symbol not found"; break;
        case 719: *text = emulation::fault.c_str(); break;
        default: return 1;
    }
    return 0;
}
EXPORT int emulation_contexts() { return (int)contexts.size(); }

// Memory that kernels may use from now on.
EXPORT void emulation_allow(const void *address, size_t size, int writable) {
    emulation::regions.push_back({(uintptr_t)address, size, writable != 0, {}, {}});
}

EXPORT void emulation_allow_all() { emulation::unguarded = true; }

EXPORT void emulation_forget() {
    emulation::regions.clear();
    emulation::unguarded = false;
}
