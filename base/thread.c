/*
 * Threads are POSIX threads with all signals blocked: a library has no business with the
 * signals of its host. Parking is the futex call, private to the process, with an absolute
 * end on the monotonic clock, so that a spurious return does not prolong it.
 */
#include "base/thread.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

#define THREAD_NS_PER_S        UINT64_C(1000000000)
#define THREAD_NAME_BYTES      16u
#define THREAD_SPIN_PART_MIN   16u /* of the maximum */
#define THREAD_SPIN_CLOCK_MASK 15u /* the clock is read once in so many rounds, minus one */

struct warp_thread {
    pthread_t id;
    struct warp_memory *memory;
    void (*main)(void *context);
    void *context;
    int cpu;
    char name[THREAD_NAME_BYTES];
};

/* Affinity of the process in a set that is large enough; NULL and *bytes 0 if none is. */
static cpu_set_t *thread_affinity(size_t *bytes)
{
    for (int cpus = 1024; cpus <= 65536; cpus *= 4) {
        cpu_set_t *set = CPU_ALLOC((size_t)cpus);

        if (set == NULL) {
            break;
        }
        *bytes = CPU_ALLOC_SIZE((size_t)cpus);
        memset(set, 0, *bytes);
        if (sched_getaffinity(0, *bytes, set) == 0) {
            return set;
        }
        CPU_FREE(set);
        if (errno != EINVAL) {
            break;
        }
    }
    *bytes = 0;
    return NULL;
}

static uint32_t thread_affinity_count(void)
{
    size_t bytes;
    cpu_set_t *set = thread_affinity(&bytes);
    int count = 1;

    if (set != NULL) {
        count = CPU_COUNT_S(bytes, set);
        CPU_FREE(set);
    }
    return count > 0 ? (uint32_t)count : 1;
}

int warp_thread_cpu_at(uint32_t index)
{
    size_t bytes;
    cpu_set_t *set = thread_affinity(&bytes);
    int found = -1;

    if (set == NULL) {
        return -1;
    }
    for (int cpu = 0; cpu < (int)(bytes * CHAR_BIT); cpu++) {
        if (CPU_ISSET_S((size_t)cpu, bytes, set)) {
            if (index == 0) {
                found = cpu;
                break;
            }
            index--;
        }
    }
    CPU_FREE(set);
    return found;
}

/* First line of a small file; false if there is none. */
static bool thread_read_line(const char *path, char *line, size_t bytes)
{
    FILE *file = fopen(path, "re");
    bool got;

    if (file == NULL) {
        return false;
    }
    got = fgets(line, (int)bytes, file) != NULL;
    fclose(file);
    return got;
}

static uint32_t thread_quota_cpus(long long quota, long long period)
{
    if (quota <= 0 || period <= 0) {
        return UINT32_MAX;
    }
    quota = (quota + period - 1) / period; /* a part of a CPU is one we may use at times */
    return quota < UINT32_MAX ? (uint32_t)quota : UINT32_MAX;
}

/* Version 2 has both numbers in one file, version 1 one in each of two. */
static uint32_t thread_quota_of(const char *directory, bool version_two)
{
    char path[PATH_MAX + 64];
    char line[128];
    long long quota = -1;
    long long period = -1;

    if (version_two) {
        snprintf(path, sizeof(path), "%s/cpu.max", directory);
        if (!thread_read_line(path, line, sizeof(line)) ||
            sscanf(line, "%lld %lld", &quota, &period) != 2) {
            return UINT32_MAX; /* "max", or no such file */
        }
        return thread_quota_cpus(quota, period);
    }
    snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", directory);
    if (!thread_read_line(path, line, sizeof(line)) || sscanf(line, "%lld", &quota) != 1) {
        return UINT32_MAX;
    }
    snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", directory);
    if (!thread_read_line(path, line, sizeof(line)) || sscanf(line, "%lld", &period) != 1) {
        return UINT32_MAX;
    }
    return thread_quota_cpus(quota, period);
}

/* The least quota of a group and all groups above it. */
static uint32_t thread_quota_up(const char *mount, const char *group, bool version_two)
{
    char path[PATH_MAX];
    size_t mount_bytes = strlen(mount);
    uint32_t least = UINT32_MAX;
    int wrote = snprintf(path, sizeof(path), "%s%s", mount, group);

    if (wrote < 0 || (size_t)wrote >= sizeof(path)) {
        return UINT32_MAX;
    }
    for (;;) {
        uint32_t quota = thread_quota_of(path, version_two);
        char *slash;

        if (quota < least) {
            least = quota;
        }
        slash = strrchr(path, '/');
        if (slash == NULL || (size_t)(slash - path) < mount_bytes) {
            return least;
        }
        *slash = '\0';
    }
}

/* Does the comma-separated list have exactly this word? */
static bool thread_list_has(const char *list, const char *word)
{
    size_t bytes = strlen(word);

    for (const char *at = list; (at = strstr(at, word)) != NULL; at += bytes) {
        if ((at == list || at[-1] == ',') && (at[bytes] == '\0' || at[bytes] == ',')) {
            return true;
        }
    }
    return false;
}

static uint32_t thread_quota(void)
{
    uint32_t least = UINT32_MAX;
    char line[PATH_MAX];
    FILE *file = fopen("/proc/self/cgroup", "re");

    if (file == NULL) {
        return UINT32_MAX;
    }
    /* "0::/group" for version 2, "4:cpu,cpuacct:/group" for version 1. */
    while (fgets(line, (int)sizeof(line), file) != NULL) {
        char *controllers = strchr(line, ':');
        char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        uint32_t quota = UINT32_MAX;

        if (group == NULL) {
            continue;
        }
        *group = '\0';
        group++;
        group[strcspn(group, "\n")] = '\0';
        controllers++;
        if (controllers[0] == '\0') {
            quota = thread_quota_up("/sys/fs/cgroup", group, true);
        } else if (thread_list_has(controllers, "cpu")) {
            quota = thread_quota_up("/sys/fs/cgroup/cpu", group, false);
        }
        if (quota < least) {
            least = quota;
        }
    }
    fclose(file);
    return least;
}

uint32_t warp_thread_cpus(void)
{
    uint32_t cpus = thread_affinity_count();
    uint32_t quota = thread_quota();

    return quota < cpus ? quota : cpus;
}

static void *thread_main(void *argument)
{
    struct warp_thread *thread = argument;

    pthread_setname_np(pthread_self(), thread->name);
    if (thread->cpu >= 0 && thread->cpu < CPU_SETSIZE) {
        cpu_set_t set;

        CPU_ZERO(&set);
        CPU_SET((size_t)thread->cpu, &set);
        /* A wish: where it is refused the thread runs wherever it may. */
        pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
    }
    thread->main(thread->context);
    return NULL;
}

int warp_thread_start(struct warp_thread **out, struct warp_memory *memory,
                      const char *name, int cpu_or_minus_1, void (*main)(void *),
                      void *context)
{
    struct warp_thread *thread;
    sigset_t all, before;
    int rc;

    warp_assert(*out == NULL);
    thread = warp_memory_reserve(memory, sizeof(*thread), 0);
    if (thread == NULL) {
        return -ENOMEM;
    }
    thread->memory = memory;
    thread->main = main;
    thread->context = context;
    thread->cpu = cpu_or_minus_1;
    snprintf(thread->name, sizeof(thread->name), "%.15s", name);

    /* A new thread inherits the mask of its creator. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&thread->id, NULL, thread_main, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        warp_memory_release(memory, thread, sizeof(*thread));
        return -rc;
    }
    *out = thread;
    return 0;
}

void warp_thread_join(struct warp_thread **out)
{
    struct warp_thread *thread = *out;
    int rc;

    if (thread == NULL) {
        return;
    }
    rc = pthread_join(thread->id, NULL);
    warp_assert(rc == 0);
    warp_memory_release(thread->memory, thread, sizeof(*thread));
    *out = NULL;
}

uint64_t warp_thread_cpu_ns(void)
{
    struct timespec now;

    warp_assert(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void warp_thread_be_patient(void)
{
    const struct sched_param parameters = {.sched_priority = 0};

    (void)sched_setscheduler(0, SCHED_BATCH, &parameters);
}

void warp_thread_yield(void)
{
    sched_yield();
}

int warp_park(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns, uint32_t bits)
{
    struct timespec end;
    struct timespec *end_or_null = NULL;
    long rc;

    static_assert(sizeof(*word) == 4, "the kernel's word has four bytes");
    warp_assert(bits != 0);
    if (timeout_ns != UINT64_MAX) {
        uint64_t now_ns = warp_clock_ns(warp_clock_system());
        uint64_t end_ns = now_ns + timeout_ns;

        if (end_ns < now_ns || end_ns > (uint64_t)INT64_MAX) {
            end_ns = (uint64_t)INT64_MAX;
        }
        end.tv_sec = (time_t)(end_ns / THREAD_NS_PER_S);
        end.tv_nsec = (long)(end_ns % THREAD_NS_PER_S);
        end_or_null = &end;
    }
    rc = syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
                 end_or_null, NULL, bits);
    if (rc == 0) {
        return 0;
    }
    if (errno == ETIMEDOUT) {
        return 1;
    }
    warp_assert(errno == EAGAIN || errno == EINTR);
    return 0;
}

uint32_t warp_wake(_Atomic uint32_t *word, uint32_t count, uint32_t bits)
{
    long woken;

    warp_assert(bits != 0);
    if (count > INT_MAX) {
        count = INT_MAX;
    }
    woken = syscall(SYS_futex, word, FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG, count, NULL,
                    NULL, bits);
    warp_assert(woken >= 0);
    return (uint32_t)woken;
}

void warp_spin_init(struct warp_spin *spin, uint32_t max_us)
{
    const uint32_t longest_us = UINT32_MAX / 1000;

    spin->budget_ns_max = (max_us < longest_us ? max_us : longest_us) * 1000;
    if (thread_affinity_count() < 2) {
        spin->budget_ns_max = 0;
    }
    spin->budget_ns = spin->budget_ns_max;
    spin->started_ns = 0;
}

bool warp_spin_once(struct warp_spin *spin, uint32_t *round)
{
    if (spin->budget_ns == 0) {
        return false;
    }
    if (*round == 0) {
        spin->started_ns = warp_clock_ns(warp_clock_system());
    } else if ((*round & THREAD_SPIN_CLOCK_MASK) == 0 &&
               warp_clock_ns(warp_clock_system()) - spin->started_ns >= spin->budget_ns) {
        return false;
    }
    (*round)++;
    if (*round == 0) {
        *round = THREAD_SPIN_CLOCK_MASK + 1; /* 0 would start the wait anew */
    }
    warp_cpu_relax();
    return true;
}

void warp_spin_result(struct warp_spin *spin, bool paid)
{
    uint32_t least = spin->budget_ns_max / THREAD_SPIN_PART_MIN;

    if (paid) {
        spin->budget_ns = spin->budget_ns > spin->budget_ns_max / 2 ? spin->budget_ns_max
                                                                    : spin->budget_ns * 2;
    } else {
        spin->budget_ns /= 2;
        if (spin->budget_ns < least) {
            spin->budget_ns = least;
        }
    }
}
