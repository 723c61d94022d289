/* BLAKE2b-256 of several parts of a file side by side, each in a lane of the processor's vectors (RFC 7693).

   The hash of one stream is a chain: each step waits for the one before, and most of the processor waits with it. The chunks of a file
   do not wait for each other. Optional, as `_cuts.c`; only for processors with AVX2 or AVX-512, else `digests` is not there. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#if !defined(__x86_64__) || !defined(__GNUC__)
#error "only for x86-64 and compilers that know its vectors"
#endif

enum { BLOCK = 128, HASH = 32, WORDS = 8, BUFFER = 64 * 1024, MOST_LANES = 8 };

static const uint64_t START[WORDS] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

static const uint8_t ORDER[12][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
};

/* What a lane is at: a part of the file, of which `left` bytes are yet to be read, and what was read of it. */
typedef struct {
    uint8_t buffer[BUFFER + BLOCK]; /* the last block of a part is filled up with zeros */
    size_t at, filled;
    uint64_t offset, left, counted;
    Py_ssize_t part; /* -1: none */
} Lane;

/* The state of all lanes, word by word, and what the next step takes: a block each, how many bytes were hashed with it, and all ones
   for the last of a part. */
typedef struct {
    uint64_t words[WORDS][MOST_LANES];
    const uint8_t *blocks[MOST_LANES];
    uint64_t counts[MOST_LANES], lasts[MOST_LANES];
} Step;

#define TURN(word, by) ((word) >> (by) | (word) << (64 - (by)))
#define MIX(a, b, c, d, first, second)                                                                                                \
    a += b + m[first], d = TURN(d ^ a, 32), c += d, b = TURN(b ^ c, 24), a += b + m[second], d = TURN(d ^ a, 16), c += d,             \
        b = TURN(b ^ c, 63)

/* One step of all lanes, for a kind of processor. */
#define DEFINE_COMPRESS(name, instructions, lanes)                                                                                    \
    typedef uint64_t name##_vector __attribute__((vector_size(8 * lanes)));                                                           \
    __attribute__((target(instructions))) static void name(Step *step) {                                                              \
        name##_vector m[16], v[16], h[WORDS], more;                                                                                   \
        for (int word = 0; word < 16; word++)                                                                                         \
            for (int lane = 0; lane < lanes; lane++) {                                                                                \
                uint64_t value;                                                                                                       \
                memcpy(&value, step->blocks[lane] + 8 * word, 8);                                                                     \
                m[word][lane] = value;                                                                                                \
            }                                                                                                                         \
        for (int word = 0; word < WORDS; word++) {                                                                                    \
            memcpy(&h[word], step->words[word], sizeof h[word]);                                                                      \
            v[word] = h[word];                                                                                                        \
            v[word + 8] = (name##_vector){0} + START[word];                                                                           \
        }                                                                                                                             \
        memcpy(&more, step->counts, sizeof more), v[12] ^= more;                                                                      \
        memcpy(&more, step->lasts, sizeof more), v[14] ^= more;                                                                       \
        _Pragma("GCC unroll 12") for (int round = 0; round < 12; round++) {                                                           \
            const uint8_t *o = ORDER[round];                                                                                          \
            MIX(v[0], v[4], v[8], v[12], o[0], o[1]);                                                                                 \
            MIX(v[1], v[5], v[9], v[13], o[2], o[3]);                                                                                 \
            MIX(v[2], v[6], v[10], v[14], o[4], o[5]);                                                                                \
            MIX(v[3], v[7], v[11], v[15], o[6], o[7]);                                                                                \
            MIX(v[0], v[5], v[10], v[15], o[8], o[9]);                                                                                \
            MIX(v[1], v[6], v[11], v[12], o[10], o[11]);                                                                              \
            MIX(v[2], v[7], v[8], v[13], o[12], o[13]);                                                                               \
            MIX(v[3], v[4], v[9], v[14], o[14], o[15]);                                                                               \
        }                                                                                                                             \
        for (int word = 0; word < WORDS; word++) {                                                                                    \
            h[word] ^= v[word] ^ v[word + 8];                                                                                         \
            memcpy(step->words[word], &h[word], sizeof h[word]);                                                                      \
        }                                                                                                                             \
    }

DEFINE_COMPRESS(compress_4, "avx2", 4)
DEFINE_COMPRESS(compress_8, "avx512f", 8)

typedef struct {
    uint64_t offset, size;
} Part;

static void begin(Step *step, Lane *lane, int number, const Part *parts, Py_ssize_t part) {
    for (int word = 0; word < WORDS; word++)
        step->words[word][number] = START[word] ^ (word ? 0 : 0x01010000 ^ HASH);
    lane->at = lane->filled = lane->counted = 0;
    lane->part = part;
    lane->offset = parts[part].offset;
    lane->left = parts[part].size;
}

/* Read on, if the buffer holds no whole block and there is more. Returns an error number, -1 for a file that is too short. */
static int refill(int file, Lane *lane) {
    if (lane->filled - lane->at >= BLOCK || !lane->left)
        return 0;
    memmove(lane->buffer, lane->buffer + lane->at, lane->filled -= lane->at);
    lane->at = 0;
    while (lane->left && lane->filled < BUFFER) {
        size_t room = BUFFER - lane->filled;
        ssize_t count = pread(file, lane->buffer + lane->filled, lane->left < room ? lane->left : room, (off_t)lane->offset);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count ? errno : -1;
        lane->filled += count;
        lane->offset += count;
        lane->left -= count;
    }
    return 0;
}

/* Hash all parts. Returns as `refill` does. */
static int hash_parts(int file, const Part *parts, Py_ssize_t count, uint8_t *digests, Lane *lanes, int width, void (*compress)(Step *)) {
    static const uint8_t nothing[BLOCK];
    Step step = {0};
    Py_ssize_t next = 0, done = 0;
    for (int number = 0; number < width; number++) {
        lanes[number].part = -1;
        if (next < count)
            begin(&step, &lanes[number], number, parts, next++);
    }
    while (done < count) {
        for (int number = 0; number < width; number++) {
            Lane *lane = &lanes[number];
            step.blocks[number] = nothing;
            if (lane->part < 0)
                continue;
            int error = refill(file, lane);
            if (error)
                return error;
            size_t rest = lane->filled - lane->at, taken = rest < BLOCK ? rest : BLOCK;
            if (taken < BLOCK)
                memset(lane->buffer + lane->at + taken, 0, BLOCK - taken);
            step.blocks[number] = lane->buffer + lane->at;
            lane->at += taken;
            step.counts[number] = lane->counted += taken;
            step.lasts[number] = lane->at == lane->filled && !lane->left ? UINT64_MAX : 0;
        }
        compress(&step);
        for (int number = 0; number < width; number++)
            if (lanes[number].part >= 0 && step.lasts[number]) {
                for (int word = 0; word < HASH / 8; word++)
                    memcpy(digests + HASH * lanes[number].part + 8 * word, &step.words[word][number], 8);
                done++;
                lanes[number].part = -1;
                if (next < count)
                    begin(&step, &lanes[number], number, parts, next++);
            }
    }
    return 0;
}

static PyObject *py_digests(PyObject *module, PyObject *arguments) {
    int file, widest = MOST_LANES, error = 0;
    Py_buffer parts;
    if (!PyArg_ParseTuple(arguments, "iy*|i", &file, &parts, &widest))
        return NULL;
    int width = widest >= 8 && __builtin_cpu_supports("avx512f") ? 8 : 4;
    Py_ssize_t count = parts.len / (Py_ssize_t)sizeof(Part);
    PyObject *result = NULL;
    Lane *lanes = PyMem_Malloc(width * sizeof(Lane));
    Part *wanted = PyMem_Malloc(parts.len + 1);
    uint8_t *digests = PyMem_Malloc(count * HASH + 1);
    if (!lanes || !wanted || !digests) {
        PyErr_NoMemory();
    } else {
        memcpy(wanted, parts.buf, count * sizeof(Part));
        Py_BEGIN_ALLOW_THREADS
        error = hash_parts(file, wanted, count, digests, lanes, width, width == 8 ? compress_8 : compress_4);
        Py_END_ALLOW_THREADS
        if (error > 0) {
            errno = error;
            PyErr_SetFromErrno(PyExc_OSError);
        } else if (error) {
            PyErr_SetString(PyExc_EOFError, "the file ends within a part");
        } else {
            result = PyBytes_FromStringAndSize((const char *)digests, count * HASH);
        }
    }
    PyMem_Free(lanes);
    PyMem_Free(wanted);
    PyMem_Free(digests);
    PyBuffer_Release(&parts);
    return result;
}

static PyMethodDef methods[] = {
    {"digests", py_digests, METH_VARARGS,
     "digests(descriptor, parts, lanes=8): the BLAKE2b-256 hashes of parts of a file, one after the other.\n\n"
     "`parts` are pairs of offset and size, in the machine's own words of 64 bits. Raises OSError; EOFError for a file that is too short."},
    {NULL, NULL, 0, NULL},
};

static int execute(PyObject *module) {
    if (__builtin_cpu_supports("avx2"))
        return 0;
    PyErr_SetString(PyExc_ImportError, "this processor has no AVX2");
    return -1;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_lanes", "BLAKE2b-256 of several parts of a file side by side.", 0, methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__lanes(void) { return PyModuleDef_Init(&definition); }
