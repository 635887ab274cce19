#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROCESS_STAT_BYTES 1024

/* The whole of a small file as text. Bytes read, or < 0. */
static ssize_t process_read(const char *path, char *text, size_t capacity)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t bytes;

    if (file < 0) {
        return -errno;
    }
    do {
        bytes = read(file, text, capacity - 1);
    } while (bytes < 0 && errno == EINTR);
    if (bytes < 0) {
        bytes = -errno;
    }
    close(file);
    text[bytes > 0 ? bytes : 0] = '\0';
    return bytes;
}

/*
 * "17 (name) S 1 ...": the name may hold anything, so what counts begins behind the last bracket.
 * The letter is field 3, the time of its begin field 22.
 */
static int process_stat(uint64_t pid, char *letter, uint64_t *begun_ticks)
{
    char path[64], text[PROCESS_STAT_BYTES];
    const char *at;
    uint32_t field;
    ssize_t bytes;

    snprintf(path, sizeof(path), "/proc/%llu/stat", (unsigned long long)pid);
    bytes = process_read(path, text, sizeof(text));
    if (bytes < 0) {
        return (int)bytes;
    }
    at = strrchr(text, ')');
    if (at == NULL || at[1] != ' ' || at[2] == '\0') {
        return -EIO;
    }
    *letter = at[2];
    at += 2;
    for (field = 3; field < 22 && at != NULL; field++) {
        at = strchr(at, ' ');
        at = at == NULL ? NULL : at + 1;
    }
    if (at == NULL) {
        return -EIO;
    }
    *begun_ticks = strtoull(at, NULL, 10);
    return 0;
}

static void process_boot_id(uint8_t boot_id[16])
{
    char text[64];
    size_t at, digits = 0;

    memset(boot_id, 0, 16);
    if (process_read("/proc/sys/kernel/random/boot_id", text, sizeof(text)) < 0) {
        return;
    }
    for (at = 0; text[at] != '\0' && digits < 32; at++) {
        char one = text[at];
        unsigned digit;

        if (one >= '0' && one <= '9') {
            digit = (unsigned)(one - '0');
        } else if (one >= 'a' && one <= 'f') {
            digit = (unsigned)(one - 'a') + 10;
        } else {
            continue;
        }
        boot_id[digits / 2] =
            (uint8_t)(boot_id[digits / 2] | digit << (digits % 2 == 0 ? 4 : 0));
        digits++;
    }
}

static uint64_t process_namespace(void)
{
    char text[64];
    ssize_t bytes = readlink("/proc/self/ns/pid", text, sizeof(text) - 1);
    const char *digits;

    if (bytes <= 0) {
        return 0;
    }
    text[bytes] = '\0';
    digits = strchr(text, '[');
    return digits == NULL ? 0 : strtoull(digits + 1, NULL, 10);
}

void warp_process_self(struct warp_process *self)
{
    char letter;

    memset(self, 0, sizeof(*self));
    self->pid = (uint64_t)getpid();
    if (process_stat(self->pid, &letter, &self->begun_ticks) != 0) {
        self->begun_ticks = 0;
    }
    self->pid_namespace = process_namespace();
    process_boot_id(self->boot_id);
}

enum warp_process_state warp_process_look(const struct warp_process *process)
{
    static const uint8_t nothing[16];
    uint8_t boot_id[16];
    uint64_t begun_ticks;
    char letter;
    int rc;

    process_boot_id(boot_id);
    if (process->pid == 0 || process->begun_ticks == 0 ||
        memcmp(boot_id, nothing, sizeof(boot_id)) == 0 ||
        memcmp(process->boot_id, nothing, sizeof(boot_id)) == 0) {
        return WARP_PROCESS_UNKNOWN;
    }
    if (memcmp(boot_id, process->boot_id, sizeof(boot_id)) != 0) {
        return WARP_PROCESS_GONE;
    }
    if (process->pid_namespace == 0 || process->pid_namespace != process_namespace()) {
        return WARP_PROCESS_UNKNOWN;
    }
    rc = process_stat(process->pid, &letter, &begun_ticks);
    if (rc == -ENOENT || rc == -ESRCH) {
        return WARP_PROCESS_GONE;
    }
    if (rc != 0) {
        return WARP_PROCESS_UNKNOWN;
    }
    if (begun_ticks != process->begun_ticks || letter == 'Z' || letter == 'X' ||
        letter == 'x') {
        return WARP_PROCESS_GONE;
    }
    return letter == 'T' || letter == 't' ? WARP_PROCESS_STOPPED : WARP_PROCESS_RUNNING;
}
