/* Another clock for one process: the wall clock of whoever preloads this is off by as many nanoseconds as stand in the
 * file CLOCK_OFFSET; or, if the second number there is not 0, it stands still at that time, ns since the Unix epoch.
 * Both are eight bytes in the machine's own order, read anew at each call. Time that only goes by (the monotonic clock)
 * is left alone. Linux. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset;

__attribute__((constructor)) static void open_offset(void) {
    const char *path = getenv("CLOCK_OFFSET");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, 2 * sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) offset = mapped;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    const int64_t second = 1000000000;
    /* Not the library's function: that is this one. */
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (failed || !offset || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return failed;
    int64_t shown = offset[1] ? offset[1] : (int64_t)now->tv_sec * second + now->tv_nsec + offset[0];
    now->tv_sec = shown / second;
    now->tv_nsec = shown % second;
    return 0;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec shown;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &shown)) return -1;
    now->tv_sec = shown.tv_sec;
    now->tv_usec = shown.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec shown;
    if (clock_gettime(CLOCK_REALTIME, &shown)) return -1;
    if (now) *now = shown.tv_sec;
    return shown.tv_sec;
}
