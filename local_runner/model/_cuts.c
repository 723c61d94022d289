/* Where a chunk of a file ends, at native speed: what `numpy_cut` of file_hash.py computes, which says how and why.

   Optional: without it numpy does the same, 10 times slower. Built for the limited API, so one build serves every Python from 3.11. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { WINDOW = 64, LANES = 4, STRIDE = 4096 };

static inline uint64_t turned(uint64_t hash) { return hash << 1 | hash >> 63; }

/* The hash one byte on. The byte that leaves the window was turned 64 times since it came, so it is there as it was. */
static inline uint64_t rolled(const uint64_t *words, uint64_t hash, const uint8_t *byte) {
    return turned(hash) ^ words[byte[0]] ^ words[byte[-WINDOW]];
}

/* The hash of the window that ends before `end`. */
static uint64_t window_hash(const uint64_t *words, const uint8_t *end) {
    uint64_t hash = 0;
    for (int at = -WINDOW; at < 0; at++)
        hash = turned(hash) ^ words[end[at]];
    return hash;
}

/* How many bytes from `begin` on end the chunk, 0 if none do; a whole window stands before `begin`. */
static Py_ssize_t cut_after(const uint64_t *words, uint64_t mask, const uint8_t *begin, Py_ssize_t size) {
    uint64_t hash = window_hash(words, begin);
    for (Py_ssize_t at = 0; at < size; at++) {
        hash = rolled(words, hash, begin + at);
        if (!(hash & mask))
            return at + 1;
    }
    return 0;
}

/* Whether there is a cut in LANES * STRIDE bytes. Each hash waits for the one before it, so four are computed side by side. */
static int has_cut(const uint64_t *words, uint64_t mask, const uint8_t *begin) {
    const uint8_t *a = begin, *b = a + STRIDE, *c = b + STRIDE, *d = c + STRIDE;
    uint64_t hash_a = window_hash(words, a), hash_b = window_hash(words, b);
    uint64_t hash_c = window_hash(words, c), hash_d = window_hash(words, d);
    for (int at = 0; at < STRIDE; at++) {
        hash_a = rolled(words, hash_a, a + at);
        hash_b = rolled(words, hash_b, b + at);
        hash_c = rolled(words, hash_c, c + at);
        hash_d = rolled(words, hash_d, d + at);
        if (!(hash_a & mask) | !(hash_b & mask) | !(hash_c & mask) | !(hash_d & mask))
            return 1;
    }
    return 0;
}

/* How many bytes of the block end the chunk, 0 if it goes on. `tail` are the WINDOW - 1 bytes before the block. */
static Py_ssize_t first_cut(const uint64_t *words, uint64_t mask, const uint8_t *tail, const uint8_t *block, Py_ssize_t size) {
    /* The windows that begin in the tail. The byte before them is none of the file's: it cancels itself out with the first step. */
    uint8_t joint[2 * WINDOW] = {0};
    Py_ssize_t at = size < WINDOW ? size : WINDOW;
    memcpy(joint + 1, tail, WINDOW - 1);
    memcpy(joint + WINDOW, block, at);
    Py_ssize_t cut = cut_after(words, mask, joint + WINDOW, at);
    if (cut || at == size)
        return cut;
    while (size - at >= LANES * STRIDE && !has_cut(words, mask, block + at))
        at += LANES * STRIDE;
    cut = cut_after(words, mask, block + at, size - at);
    return cut ? at + cut : 0;
}

static PyObject *py_first_cut(PyObject *module, PyObject *arguments) {
    Py_buffer words, tail, block;
    unsigned long long mask;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(arguments, "y*Ky*y*", &words, &mask, &tail, &block))
        return NULL;
    if (words.len != 256 * sizeof(uint64_t) || (uintptr_t)words.buf % sizeof(uint64_t) || tail.len != WINDOW - 1) {
        PyErr_SetString(PyExc_ValueError, "256 aligned words of 64 bits and a tail of 63 bytes are needed");
    } else {
        Py_ssize_t cut;
        Py_BEGIN_ALLOW_THREADS
        cut = first_cut(words.buf, mask, tail.buf, block.buf, block.len);
        Py_END_ALLOW_THREADS
        result = PyLong_FromSsize_t(cut);
    }
    PyBuffer_Release(&words);
    PyBuffer_Release(&tail);
    PyBuffer_Release(&block);
    return result;
}

static PyMethodDef methods[] = {
    {"first_cut", py_first_cut, METH_VARARGS,
     "first_cut(words, mask, tail, block): how many bytes of the block end the chunk, 0 if it goes on.\n\n"
     "`words` are the constants of the 256 bytes in the machine's own byte order, `tail` the 63 bytes before the block."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_cuts", "Where a chunk of a file ends, at native speed.", 0, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__cuts(void) { return PyModuleDef_Init(&definition); }
