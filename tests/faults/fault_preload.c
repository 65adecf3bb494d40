// Makes the Nth system call that touches a folder fail, for tests/faults/fault_test.py
// (LD_PRELOAD).
//
//   FAULT_ROOT   calls that name a path under it, or a descriptor of a file under it, are counted
//   FAULT_AT     which of them fails, from 1; 0: none
//   FAULT_KIND   kill: SIGKILL instead of the call; EIO, ENOSPC: that error, where the call can
//   give it;
//                short: half of the bytes are moved; full: that call and all later ones that need
//                room give ENOSPC
//   FAULT_LOG    file that gets a line "COUNT NAME" at the fault, and "COUNT end" at exit
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum Needs { kNothing, kRoom, kMoves, kMovesRoom };  // what a call is about: errors that fit it
enum Verdict { kGo, kFail, kShort };

static const char* g_root;
static const char* g_kind = "none";
static const char* g_log;
static size_t g_root_bytes;
static int g_at;
static atomic_int g_count;

__attribute__((constructor)) static void Setup(void) {
  g_root = getenv("FAULT_ROOT");
  g_log = getenv("FAULT_LOG");
  if (getenv("FAULT_KIND") != NULL) g_kind = getenv("FAULT_KIND");
  if (getenv("FAULT_AT") != NULL) g_at = atoi(getenv("FAULT_AT"));
  if (g_root != NULL) g_root_bytes = strlen(g_root);
}

static void Log(int count, const char* name) {
  char line[64];
  const int fd = g_log == NULL ? -1
                               : (int)syscall(SYS_openat, AT_FDCWD, g_log,
                                              O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (fd < 0) return;
  const int n = snprintf(line, sizeof line, "%d %s\n", count, name);
  syscall(SYS_write, fd, line, (size_t)n);
  syscall(SYS_close, fd);
}

__attribute__((destructor)) static void AtExit(void) { Log(atomic_load(&g_count), "end"); }

static int IsOurPath(const char* path) {
  return g_root != NULL && path != NULL && strncmp(path, g_root, g_root_bytes) == 0;
}

static int IsOurFd(int fd) {
  char link[32], path[PATH_MAX];
  if (g_root == NULL || fd < 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
  if (n <= 0) return 0;
  path[n] = 0;
  return IsOurPath(path);
}

static enum Verdict Count(int ours, enum Needs needs, const char* name) {
  if (!ours) return kGo;
  const int count = atomic_fetch_add(&g_count, 1) + 1;
  const int room = needs == kRoom || needs == kMovesRoom;
  if (g_at > 0 && count >= g_at && room && strcmp(g_kind, "full") == 0) {
    if (count == g_at) Log(count, name);
    errno = ENOSPC;
    return kFail;
  }
  if (count != g_at || strcmp(g_kind, "full") == 0) return kGo;
  Log(count, name);
  if (strcmp(g_kind, "kill") == 0) {
    syscall(SYS_kill, getpid(), SIGKILL);
  } else if (strcmp(g_kind, "EIO") == 0) {
    errno = EIO;
    return kFail;
  } else if (strcmp(g_kind, "ENOSPC") == 0 && room) {
    errno = ENOSPC;
    return kFail;
  } else if (strcmp(g_kind, "short") == 0 && (needs == kMoves || needs == kMovesRoom)) {
    return kShort;
  }
  return kGo;
}

#define REAL(type, name, ...)       \
  static type (*real)(__VA_ARGS__); \
  if (real == NULL) *(void**)(&real) = dlsym(RTLD_NEXT, #name)
#define HALF(n, verdict) ((verdict) == kShort && (n) > 1 ? (n) / 2 : (n))

// A call by path or descriptor that either happens or fails.
#define PLAIN(name, ours, needs, failed, parameters, arguments)            \
  int name parameters {                                                    \
    REAL(int, name, parameters_of_##name);                                 \
    return Count(ours, needs, #name) == kFail ? (failed) : real arguments; \
  }

#define parameters_of_rename const char*, const char*
PLAIN(rename, IsOurPath(to), kRoom, -1, (const char* from, const char* to), (from, to))
#define parameters_of_renameat2 int, const char*, int, const char*, unsigned
PLAIN(renameat2, IsOurPath(to), kRoom, -1,
      (int from_at, const char* from, int to_at, const char* to, unsigned flags),
      (from_at, from, to_at, to, flags))
#define parameters_of_link const char*, const char*
PLAIN(link, IsOurPath(to), kRoom, -1, (const char* from, const char* to), (from, to))
#define parameters_of_unlink const char*
PLAIN(unlink, IsOurPath(path), kNothing, -1, (const char* path), (path))
#define parameters_of_rmdir const char*
PLAIN(rmdir, IsOurPath(path), kNothing, -1, (const char* path), (path))
#define parameters_of_remove const char*
PLAIN(remove, IsOurPath(path), kNothing, -1, (const char* path), (path))
#define parameters_of_mkdir const char*, mode_t
PLAIN(mkdir, IsOurPath(path), kRoom, -1, (const char* path, mode_t mode), (path, mode))
#define parameters_of_mkostemp char*, int
PLAIN(mkostemp, IsOurPath(path), kRoom, -1, (char* path, int flags), (path, flags))
#define parameters_of_fsync int
PLAIN(fsync, IsOurFd(fd), kRoom, -1, (int fd), (fd))
#define parameters_of_ftruncate int, off_t
PLAIN(ftruncate, IsOurFd(fd), kNothing, -1, (int fd, off_t bytes), (fd, bytes))
#define parameters_of_ftruncate64 int, off64_t
PLAIN(ftruncate64, IsOurFd(fd), kNothing, -1, (int fd, off64_t bytes), (fd, bytes))
#define parameters_of_fstat int, struct stat*
PLAIN(fstat, IsOurFd(fd), kNothing, -1, (int fd, struct stat* out), (fd, out))
#define parameters_of_stat const char*, struct stat*
PLAIN(stat, IsOurPath(path), kNothing, -1, (const char* path, struct stat* out), (path, out))
#define parameters_of_lstat const char*, struct stat*
PLAIN(lstat, IsOurPath(path), kNothing, -1, (const char* path, struct stat* out), (path, out))
#define parameters_of_flock int, int
PLAIN(flock, IsOurFd(fd), kNothing, -1, (int fd, int operation), (fd, operation))
#define parameters_of_fchmod int, mode_t
PLAIN(fchmod, IsOurFd(fd), kNothing, -1, (int fd, mode_t mode), (fd, mode))
#define parameters_of_access const char*, int
PLAIN(access, IsOurPath(path), kNothing, -1, (const char* path, int mode), (path, mode))

char* mkdtemp(char* path) {
  REAL(char*, mkdtemp, char*);
  return Count(IsOurPath(path), kRoom, "mkdtemp") == kFail ? NULL : real(path);
}

void* opendir(const char* path) {
  REAL(void*, opendir, const char*);
  return Count(IsOurPath(path), kNothing, "opendir") == kFail ? NULL : real(path);
}

static int Open(const char* name, const char* path, int flags, mode_t mode) {
  const enum Needs needs = (flags & O_CREAT) != 0 ? kRoom : kNothing;
  if (Count(IsOurPath(path), needs, name) == kFail) return -1;
  return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
#define OPEN(name)                             \
  int name(const char* path, int flags, ...) { \
    va_list list;                              \
    va_start(list, flags);                     \
    const mode_t mode = va_arg(list, mode_t);  \
    va_end(list);                              \
    return Open(#name, path, flags, mode);     \
  }
OPEN(open)
OPEN(open64)

#define MOVE_AT(name, pointer, needs)                                     \
  ssize_t name(int fd, pointer bytes, size_t n, off_t at) {               \
    REAL(ssize_t, name, int, pointer, size_t, off_t);                     \
    const enum Verdict verdict = Count(IsOurFd(fd), needs, #name);        \
    return verdict == kFail ? -1 : real(fd, bytes, HALF(n, verdict), at); \
  }
MOVE_AT(pread, void*, kMoves)
MOVE_AT(pread64, void*, kMoves)
MOVE_AT(pwrite, const void*, kMovesRoom)
MOVE_AT(pwrite64, const void*, kMovesRoom)

#define MOVE(name, pointer, needs)                                    \
  ssize_t name(int fd, pointer bytes, size_t n) {                     \
    REAL(ssize_t, name, int, pointer, size_t);                        \
    const enum Verdict verdict = Count(IsOurFd(fd), needs, #name);    \
    return verdict == kFail ? -1 : real(fd, bytes, HALF(n, verdict)); \
  }
MOVE(read, void*, kMoves)
MOVE(write, const void*, kMovesRoom)

ssize_t copy_file_range(int from, off64_t* from_at, int to, off64_t* to_at, size_t n,
                        unsigned flags) {
  REAL(ssize_t, copy_file_range, int, off64_t*, int, off64_t*, size_t, unsigned);
  const enum Verdict verdict = Count(IsOurFd(to), kMovesRoom, "copy_file_range");
  return verdict == kFail ? -1 : real(from, from_at, to, to_at, HALF(n, verdict), flags);
}

void* mmap(void* address, size_t bytes, int protection, int flags, int fd, off_t at) {
  if (Count(IsOurFd(fd), kNothing, "mmap") == kFail) return MAP_FAILED;
  return (void*)syscall(SYS_mmap, address, bytes, protection, flags, fd, at);
}
