/* Counts the calls that change files below a folder, lets one of them fail, and can write down what they do.
 *
 * Loaded before libc (LD_PRELOAD), so that SQLite's calls pass through it as Python's do. Driven by tests/reliability/preloaded.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static char below[PATH_MAX];
static volatile long calls, fail_at = -1;
static int fail_with, fail_on, record_to = -1;
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

/* Begin to count the calls below a folder; let the one numbered `at` fail, and with `stays` all after it. */
void shim_arm(const char *folder, long at, int error, int stays) {
  snprintf(below, sizeof below, "%s", folder);
  calls = 0, fail_with = error, fail_on = stays, fail_at = at;
}

long shim_calls(void) { return calls; }

/* Write what is done below the folder to this descriptor: a line of "kind offset length\tpath\tpath\n", and the bytes of a write. */
void shim_record(int descriptor) { record_to = descriptor; }

static int is_below(const char *path) { return *below && !strncmp(path, below, strlen(below)) && !strstr(path, "/bells/"); }

/* The path of an open file, as far as it lies below. */
static int path_of(int descriptor, char *path, size_t room) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = *below ? readlink(link, path, room - 1) : -1;
  if (length < 0) return 0;
  path[length] = 0;
  return is_below(path);
}

/* The absolute path that a call with a folder's descriptor means, as far as it lies below. */
static int path_at(int folder, const char *name, char *path) {
  if (!*below) return 0;
  if (name[0] == '/') return snprintf(path, PATH_MAX, "%s", name), is_below(path);
  char base[PATH_MAX / 2];
  if (folder == AT_FDCWD ? !getcwd(base, sizeof base) : !path_of(folder, base, sizeof base)) return 0;
  return snprintf(path, PATH_MAX, "%s/%.2000s", base, name), is_below(path);
}

enum { OPENS = 1, TAKES_ROOM = 2 };

/* Whether this call is to fail; then errno is set. */
static int fails(int kind) {
  long at = __sync_fetch_and_add(&calls, 1);
  if (fail_at < 0 || !(at == fail_at || (fail_on && at > fail_at))) return 0;
  if (fail_with == EMFILE && !(kind & OPENS)) return 0;
  if ((fail_with == ENOSPC || fail_with == EDQUOT) && !(kind & TAKES_ROOM)) return 0;
  errno = fail_with;
  return 1;
}

static ssize_t (*real_write)(int, const void *, size_t);

static void record(const char *kind, off_t offset, const void *data, size_t length, const char *path, const char *other) {
  if (record_to < 0) return;
  if (!real_write) real_write = dlsym(RTLD_NEXT, "write");
  char line[2 * PATH_MAX + 100];
  int size = snprintf(line, sizeof line, "%s %lld %zu\t%s\t%s\n", kind, (long long)offset, length, path, other);
  pthread_mutex_lock(&order);
  if (real_write(record_to, line, size) < 0 || (data && length && real_write(record_to, data, length) < 0)) record_to = -1;
  pthread_mutex_unlock(&order);
}

/* Looked up by whoever calls it first; two who do so at once find the same. */
static void *find(void **real, const char *name) { return *real ? *real : (*real = dlsym(RTLD_NEXT, name)); }
#define REAL(name) ((__typeof__(real))find((void **)&real, #name))

#define OPEN(name, arguments, folder, ...)                                                                                              \
  int name arguments {                                                                                                                  \
    static int(*real) arguments;                                                                                                        \
    char whole[PATH_MAX];                                                                                                               \
    mode_t mode = 0;                                                                                                                    \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                                                                \
      va_list more;                                                                                                                     \
      va_start(more, flags), mode = va_arg(more, mode_t), va_end(more);                                                                 \
    }                                                                                                                                   \
    if (!path_at(folder, path, whole)) return REAL(name)(__VA_ARGS__, flags, mode);                                                     \
    if (fails(OPENS | (flags & O_CREAT ? TAKES_ROOM : 0))) return -1;                                                                   \
    int is_new = flags & O_CREAT && access(whole, F_OK);                                                                                \
    int opened = REAL(name)(__VA_ARGS__, flags, mode);                                                                                  \
    if (opened >= 0 && is_new) record("create", 0, NULL, 0, whole, "");                                                                 \
    else if (opened >= 0 && flags & O_TRUNC) record("truncate", 0, NULL, 0, whole, "");                                                 \
    return opened;                                                                                                                      \
  }

OPEN(open, (const char *path, int flags, ...), AT_FDCWD, path)
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD, path)
OPEN(openat, (int folder, const char *path, int flags, ...), folder, folder, path)
OPEN(openat64, (int folder, const char *path, int flags, ...), folder, folder, path)

static ssize_t written(const char *path, const void *data, ssize_t length, off_t offset) {
  if (length > 0) record("write", offset, data, length, path, "");
  return length;
}

ssize_t write(int descriptor, const void *data, size_t length) {
  char path[PATH_MAX];
  if (!real_write) real_write = dlsym(RTLD_NEXT, "write");
  if (!path_of(descriptor, path, sizeof path)) return real_write(descriptor, data, length);
  if (fails(TAKES_ROOM)) return -1;
  struct stat about;
  int appends = fcntl(descriptor, F_GETFL) & O_APPEND;
  off_t offset = appends && !fstat(descriptor, &about) ? about.st_size : lseek(descriptor, 0, SEEK_CUR);
  return written(path, data, real_write(descriptor, data, length), offset);
}

#define PWRITE(name, type)                                                                                                              \
  ssize_t name(int descriptor, const void *data, size_t length, type offset) {                                                          \
    static ssize_t (*real)(int, const void *, size_t, type);                                                                            \
    char path[PATH_MAX];                                                                                                                \
    if (!path_of(descriptor, path, sizeof path)) return REAL(name)(descriptor, data, length, offset);                                                \
    if (fails(TAKES_ROOM)) return -1;                                                                                                   \
    return written(path, data, REAL(name)(descriptor, data, length, offset), offset);                                       \
  }

PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define ON_DESCRIPTOR(name, kind, word, at, arguments, ...)                                                                             \
  int name arguments {                                                                                                                  \
    static int(*real) arguments;                                                                                                        \
    char path[PATH_MAX];                                                                                                                \
    if (!path_of(descriptor, path, sizeof path)) return REAL(name)(__VA_ARGS__);                                                                     \
    if (fails(kind)) return -1;                                                                                                         \
    int result = REAL(name)(__VA_ARGS__);                                                                                               \
    if (!result) record(word, at, NULL, 0, path, "");                                                                                   \
    return result;                                                                                                                      \
  }

ON_DESCRIPTOR(fsync, 0, "sync", 0, (int descriptor), descriptor)
ON_DESCRIPTOR(fdatasync, 0, "sync", 0, (int descriptor), descriptor)
ON_DESCRIPTOR(ftruncate, 0, "truncate", length, (int descriptor, off_t length), descriptor, length)
ON_DESCRIPTOR(ftruncate64, 0, "truncate", length, (int descriptor, off64_t length), descriptor, length)

#define ON_PATH(name, kind, word, folder, arguments, ...)                                                                               \
  int name arguments {                                                                                                                  \
    static int(*real) arguments;                                                                                                        \
    char whole[PATH_MAX];                                                                                                               \
    if (!path_at(folder, path, whole)) return REAL(name)(__VA_ARGS__);                                                                  \
    if (fails(kind)) return -1;                                                                                                         \
    int result = REAL(name)(__VA_ARGS__);                                                                                               \
    if (!result) record(word, 0, NULL, 0, whole, "");                                                                                   \
    return result;                                                                                                                      \
  }

ON_PATH(mkdir, TAKES_ROOM, "mkdir", AT_FDCWD, (const char *path, mode_t mode), path, mode)
ON_PATH(mkdirat, TAKES_ROOM, "mkdir", folder, (int folder, const char *path, mode_t mode), folder, path, mode)
ON_PATH(unlink, 0, "unlink", AT_FDCWD, (const char *path), path)
ON_PATH(unlinkat, 0, "unlink", folder, (int folder, const char *path, int flags), folder, path, flags)
ON_PATH(rmdir, 0, "unlink", AT_FDCWD, (const char *path), path)

#define RENAME(name, first, second, arguments, ...)                                                                                     \
  int name arguments {                                                                                                                  \
    static int(*real) arguments;                                                                                                        \
    char old[PATH_MAX], new[PATH_MAX];                                                                                                  \
    int ours = path_at(first, from, old) | path_at(second, to, new);                                                                    \
    if (ours && fails(TAKES_ROOM)) return -1;                                                                                           \
    int result = REAL(name)(__VA_ARGS__);                                                                                               \
    if (ours && !result) record("rename", 0, NULL, 0, old, new);                                                                        \
    return result;                                                                                                                      \
  }

RENAME(rename, AT_FDCWD, AT_FDCWD, (const char *from, const char *to), from, to)
RENAME(renameat, first, second, (int first, const char *from, int second, const char *to), first, from, second, to)
