/* A disk that is watched, or that fails: LD_PRELOAD over what a process does to the files of a folder.
 *
 *   SHIM_FOLDER   only files below it are touched by any of this
 *   SHIM_JOURNAL  every change and every sync is appended here, in order, with its data
 *   SHIM_SYNC     a file with three numbers, read at each write and sync: the milliseconds that a
 *                 sync takes, the errno that it fails with, and that which a write fails with
 *   SHIM_STEP     a file with a number of seconds, read at each look: how far CLOCK_REALTIME is off
 *
 * A record: op (1 octet), file number (8), a (8), length (4), data; little endian. What the process
 * writes to stdout is a record too, so that what it reported stands in order with what it did.
 * Shared memory (the -shm of SQLite) is not seen: it means nothing after a power cut.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static const char *folder, *sync_faults, *step;
static int journal = -1;
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SHIM_JOURNAL");
    folder = getenv("SHIM_FOLDER");
    sync_faults = getenv("SHIM_SYNC");
    step = getenv("SHIM_STEP");
    if (path)
        journal = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void record(char op, uint64_t file, uint64_t a, const void *data, uint32_t length) {
    char head[21];
    if (journal < 0) return;
    head[0] = op;
    memcpy(head + 1, &file, 8);
    memcpy(head + 9, &a, 8);
    memcpy(head + 17, &length, 4);
    struct iovec parts[2] = {{head, sizeof head}, {(void *)data, length}};
    if (syscall(SYS_writev, journal, parts, 2) != (long)(sizeof head + length)) abort();
}

/* The file's number if it lies in the folder, else 0. */
static uint64_t watched(int fd) {
    char link[64], path[PATH_MAX];
    struct stat about;
    if (!folder || fd < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    size_t own = strlen(folder);
    if (length < (ssize_t)own || memcmp(path, folder, own)) return 0;
    if (fstat(fd, &about) || !(S_ISREG(about.st_mode) || S_ISDIR(about.st_mode))) return 0;
    return about.st_ino;
}

/* The name below the folder, or NULL. */
static const char *below(const char *path) {
    size_t own = folder ? strlen(folder) : 0;
    return own && !strncmp(path, folder, own) && path[own] == '/' ? path + own + 1 : NULL;
}

static void opened(int fd, const char *path, int flags, int existed) {
    const char *name = below(path);
    uint64_t file;
    if (fd < 0 || !name || !(file = watched(fd))) return;
    pthread_mutex_lock(&order);
    if ((flags & O_CREAT) && !existed) record('c', file, 0, name, (uint32_t)strlen(name));
    else if (flags & O_TRUNC) record('t', file, 0, NULL, 0);
    pthread_mutex_unlock(&order);
}

static int open_it(int directory, const char *path, int flags, mode_t mode) {
    int existed = below(path) ? !faccessat(directory, path, F_OK, 0) : 1;
    int fd = (int)syscall(SYS_openat, directory, path, flags, mode);
    opened(fd, path, flags, existed);
    return fd;
}

static mode_t mode_of(int flags, va_list rest) {
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(rest, mode_t) : 0;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; va_start(rest, flags); mode_t mode = mode_of(flags, rest); va_end(rest); \
        return open_it(AT_FDCWD, path, flags, mode); \
    }
#define OPENAT(name) \
    int name(int directory, const char *path, int flags, ...) { \
        va_list rest; va_start(rest, flags); mode_t mode = mode_of(flags, rest); va_end(rest); \
        return open_it(directory, path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

/* Fail as ordered, and take as long as ordered. */
static int disk_fails(int writing) {
    char text[64];
    int ms = 0, sync_fault = 0, write_fault = 0;
    int fd = sync_faults ? (int)syscall(SYS_openat, AT_FDCWD, sync_faults, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return 0;
    ssize_t length = syscall(SYS_read, fd, text, sizeof text - 1);
    syscall(SYS_close, fd);
    text[length > 0 ? length : 0] = 0;
    sscanf(text, "%d %d %d", &ms, &sync_fault, &write_fault);
    if (ms && !writing) {
        struct timespec pause = {ms / 1000, (ms % 1000) * 1000000L};
        nanosleep(&pause, NULL);
    }
    errno = writing ? write_fault : sync_fault;
    return errno != 0;
}

ssize_t write(int fd, const void *data, size_t length) {
    uint64_t file = fd == 1 ? 0 : watched(fd);
    if (fd != 1 && !file) return syscall(SYS_write, fd, data, length);
    if (file && disk_fails(1)) return -1;
    pthread_mutex_lock(&order);
    off_t at = fd == 1 ? 0 : lseek(fd, 0, SEEK_CUR);
    if (file && (fcntl(fd, F_GETFL) & O_APPEND)) at = lseek(fd, 0, SEEK_END);
    ssize_t done = syscall(SYS_write, fd, data, length);
    if (done > 0) record(fd == 1 ? 'r' : 'w', file, (uint64_t)at, data, (uint32_t)done);
    pthread_mutex_unlock(&order);
    return done;
}

static ssize_t write_at(int fd, const void *data, size_t length, off_t at) {
    uint64_t file = watched(fd);
    if (!file) return syscall(SYS_pwrite64, fd, data, length, at);
    if (disk_fails(1)) return -1;
    pthread_mutex_lock(&order);
    ssize_t done = syscall(SYS_pwrite64, fd, data, length, at);
    if (done > 0) record('w', file, (uint64_t)at, data, (uint32_t)done);
    pthread_mutex_unlock(&order);
    return done;
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return write_at(fd, data, length, at); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) { return write_at(fd, data, length, at); }

static int cut_to(int fd, off_t length) {
    uint64_t file = watched(fd);
    pthread_mutex_lock(&order);
    int result = (int)syscall(SYS_ftruncate, fd, length);
    if (!result && file) record('t', file, (uint64_t)length, NULL, 0);
    pthread_mutex_unlock(&order);
    return result;
}
int ftruncate(int fd, off_t length) { return cut_to(fd, length); }
int ftruncate64(int fd, off64_t length) { return cut_to(fd, length); }

static int synced(int fd, long call) {
    uint64_t file = watched(fd);
    if (!file) return (int)syscall(call, fd);
    if (disk_fails(0)) return -1;
    pthread_mutex_lock(&order);
    int result = (int)syscall(call, fd);
    if (!result) record('s', file, 0, NULL, 0);
    pthread_mutex_unlock(&order);
    return result;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int unlink(const char *path) {
    const char *name = below(path);
    pthread_mutex_lock(&order);
    int result = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (!result && name) record('u', 0, 0, name, (uint32_t)strlen(name));
    pthread_mutex_unlock(&order);
    return result;
}

int rename(const char *from, const char *to) {
    const char *old = below(from), *fresh = below(to);
    char both[2 * PATH_MAX];
    pthread_mutex_lock(&order);
    int result = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (!result && old && fresh) {
        int length = snprintf(both, sizeof both, "%s\n%s", old, fresh);
        record('m', 0, 0, both, (uint32_t)length);
    }
    pthread_mutex_unlock(&order);
    return result;
}

/* How far the wall clock is off now, in nanoseconds. */
static int64_t off(void) {
    char text[64];
    if (!step) return 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, step, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t length = syscall(SYS_read, fd, text, sizeof text - 1);
    syscall(SYS_close, fd);
    if (length <= 0) return 0;
    text[length] = 0;
    return (int64_t)(strtod(text, NULL) * 1e9);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(int, "clock_gettime", clockid_t, struct timespec *);
    int result = real(clock, now);
    if (!result && clock == CLOCK_REALTIME && step) {
        int64_t ns = now->tv_sec * 1000000000LL + now->tv_nsec + off();
        now->tv_sec = ns / 1000000000LL;
        now->tv_nsec = ns % 1000000000LL;
    }
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec fine;
    (void)zone;
    int result = clock_gettime(CLOCK_REALTIME, &fine);
    now->tv_sec = fine.tv_sec;
    now->tv_usec = fine.tv_nsec / 1000;
    return result;
}

time_t time(time_t *where) {
    struct timespec fine;
    clock_gettime(CLOCK_REALTIME, &fine);
    if (where) *where = fine.tv_sec;
    return fine.tv_sec;
}
