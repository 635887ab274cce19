#include "bench/environment.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench/clock.h"

#define PROBE_BLOCK_BYTES 4096u
#define PROBE_BLOCKS      64u
#define PROBE_WRITES      200u
#define PROBE_NS_MAX      100000000u

uint32_t bench_environment_cpus(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) {
        return (uint32_t)CPU_COUNT(&set);
    }
    return 1;
}

/* The first line of `path` that starts with `label`, without it and what separates it. */
static void environment_line(const char *path, const char *label, char *out, size_t bytes)
{
    FILE *file = fopen(path, "re");
    char line[512];

    snprintf(out, bytes, "?");
    if (file == NULL) {
        return;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, label, strlen(label)) == 0) {
            const char *at = line + strlen(label);

            at += strspn(at, " \t:");
            snprintf(out, bytes, "%.*s", (int)strcspn(at, "\n"), at);
            break;
        }
    }
    fclose(file);
}

uint64_t bench_environment_peak_rss(void)
{
    struct rusage usage;
    char text[64];

    environment_line("/proc/self/status", "VmHWM", text, sizeof(text));
    if (text[0] >= '0' && text[0] <= '9') {
        return strtoull(text, NULL, 10) * 1024u;
    }
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_maxrss * 1024u;
}

void bench_environment_reset_peak_rss(void)
{
    int file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

    if (file >= 0) {
        /* 5 sets the high-water mark to what is resident now. Refused: the mark is
         * older. */
        ssize_t written = write(file, "5", 1);

        (void)written;
        close(file);
    }
}

/* Calls itself for directories; they are our own, so the depth is small. */
static uint64_t environment_walk(const char *path, int removing)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    uint64_t bytes = 0;

    if (directory == NULL) {
        return 0;
    }
    while ((entry = readdir(directory)) != NULL) {
        char name[PATH_MAX];
        struct stat status;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        if (snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) >=
                (int)sizeof(name) ||
            lstat(name, &status) != 0) {
            continue;
        }
        if (S_ISDIR(status.st_mode)) {
            bytes += environment_walk(name, removing);
        } else {
            bytes += (uint64_t)status.st_blocks * 512u;
            if (removing) {
                unlink(name);
            }
        }
    }
    closedir(directory);
    if (removing) {
        rmdir(path);
    }
    return bytes;
}

uint64_t bench_environment_disk_bytes(const char *path)
{
    return environment_walk(path, 0);
}

void bench_environment_remove(const char *path)
{
    environment_walk(path, 1);
}

/* The mount with the longest prefix of `path`: "ext4 on /dev/vda (rw,relatime)". */
static void environment_filesystem(const char *path, char *out, size_t bytes)
{
    char real[PATH_MAX];
    FILE *file = fopen("/proc/self/mounts", "re");
    char line[1024];
    size_t longest = 0;

    snprintf(out, bytes, "?");
    if (file == NULL) {
        return;
    }
    if (realpath(path, real) == NULL) {
        snprintf(real, sizeof(real), "/");
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        char device[64];
        char point[512];
        char type[32];
        char options[64];
        size_t length;

        if (sscanf(line, "%63s %511s %31s %63[^ ]", device, point, type, options) != 4) {
            continue;
        }
        length = strlen(point);
        if (length >= longest && strncmp(real, point, length) == 0 &&
            (length == 1 || real[length] == '/' || real[length] == '\0')) {
            longest = length;
            snprintf(out, bytes, "%.30s on %.36s (%.50s)", type, device, options);
        }
    }
    fclose(file);
}

static int compare_u64(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

/* What one durable 4 KiB write costs here: the floor under every commit. */
static void environment_probe(struct bench_environment *environment, const char *path)
{
    char name[PATH_MAX];
    uint64_t times[PROBE_WRITES];
    void *block = NULL;
    uint32_t count = 0;
    uint64_t end_ns;
    int file;

    snprintf(name, sizeof(name), "%s/sync-probe", path);
    file = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) {
        return;
    }
    if (posix_memalign(&block, PROBE_BLOCK_BYTES, PROBE_BLOCK_BYTES) != 0) {
        block = NULL;
        goto done;
    }
    memset(block, 0x5a, PROBE_BLOCK_BYTES);
    for (uint32_t i = 0; i < PROBE_BLOCKS; i++) {
        if (pwrite(file, block, PROBE_BLOCK_BYTES, (off_t)i * PROBE_BLOCK_BYTES) !=
            (ssize_t)PROBE_BLOCK_BYTES) {
            goto done;
        }
    }
    if (fsync(file) != 0) {
        goto done;
    }
    close(file);
    file = open(name, O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC);
    if (file < 0) {
        goto done;
    }
    end_ns = bench_clock_monotonic_ns() + PROBE_NS_MAX;
    while (count < PROBE_WRITES) {
        uint64_t begin_ns = bench_clock_monotonic_ns();

        if (begin_ns >= end_ns ||
            pwrite(file, block, PROBE_BLOCK_BYTES,
                   (off_t)(count % PROBE_BLOCKS) * PROBE_BLOCK_BYTES) !=
                (ssize_t)PROBE_BLOCK_BYTES) {
            break;
        }
        times[count++] = bench_clock_monotonic_ns() - begin_ns;
    }
    if (count > 0) {
        qsort(times, count, sizeof(times[0]), compare_u64);
        environment->sync_p50_ns = times[count / 2];
        environment->sync_p99_ns = times[count * 99 / 100];
    }

done:
    if (file >= 0) {
        close(file);
    }
    free(block);
    unlink(name);
}

void bench_environment_fill(struct bench_environment *environment, const char *path)
{
    struct utsname system;
    time_t now = time(NULL);
    struct tm parts;
    char text[64];

    memset(environment, 0, sizeof(*environment));
    gmtime_r(&now, &parts);
    strftime(environment->time, sizeof(environment->time), "%Y-%m-%dT%H:%M:%SZ", &parts);
    environment_line("/proc/cpuinfo", "model name", environment->cpu_model,
                     sizeof(environment->cpu_model));
    environment->cpus = bench_environment_cpus();
    if (uname(&system) == 0) {
        snprintf(environment->kernel, sizeof(environment->kernel), "%.20s %.40s %.20s",
                 system.sysname, system.release, system.machine);
    }
    environment_line("/proc/meminfo", "MemTotal", text, sizeof(text));
    environment->memory_bytes = strtoull(text, NULL, 10) * 1024u;
    environment_filesystem(path, environment->filesystem, sizeof(environment->filesystem));
    environment_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "",
                     environment->governor, sizeof(environment->governor));
    environment_line("/sys/kernel/mm/transparent_hugepage/enabled", "",
                     environment->huge_pages, sizeof(environment->huge_pages));
    environment_line("/proc/loadavg", "", text, sizeof(text));
    environment->load_average = strtod(text, NULL);
#if defined(__clang__)
    snprintf(environment->compiler, sizeof(environment->compiler), "%s", __VERSION__);
#else
    snprintf(environment->compiler, sizeof(environment->compiler), "gcc %s", __VERSION__);
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    snprintf(environment->build, sizeof(environment->build), "sanitizer");
#elif defined(__OPTIMIZE__)
    snprintf(environment->build, sizeof(environment->build), "optimised");
#else
    snprintf(environment->build, sizeof(environment->build), "not optimised");
#endif
    environment_probe(environment, path);
}
