#include "serve/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "warp/warp.h"

#define SOURCE_LOCK_FILE "LOCK"
/* Both slots can be torn only if the reader was held up for longer than the writer's interval. */
#define SOURCE_TRIES    5
#define SOURCE_PAUSE_NS 2000000
/* A busy machine lets a patient thread wait; who is stuck is so for longer. */
#define SOURCE_LATE_NS UINT64_C(10000000000)

enum source_lock { SOURCE_LOCK_UNKNOWN, SOURCE_LOCK_FREE, SOURCE_LOCK_TAKEN };

const char *warp_source_state_text(enum warp_source_state state)
{
    switch (state) {
    case WARP_SOURCE_ABSENT:
        return "absent";
    case WARP_SOURCE_BROKEN:
        return "broken";
    case WARP_SOURCE_OPENING:
        return "opening";
    case WARP_SOURCE_RUNNING:
        return "running";
    case WARP_SOURCE_STOPPED:
        return "stopped";
    case WARP_SOURCE_LATE:
        return "late";
    case WARP_SOURCE_CLOSED:
        return "closed";
    case WARP_SOURCE_DIED:
        return "died";
    case WARP_SOURCE_STATES:
        break;
    }
    return "?";
}

int warp_source_create(struct warp_source_view **view)
{
    struct warp_source_view *made = calloc(1, sizeof(*made));

    if (made == NULL) {
        return WARP_ENOMEM;
    }
    made->image = malloc(WARP_SNAPSHOT_IMAGE_MAX);
    made->rows = calloc(WARP_SNAPSHOT_ROWS_MAX, sizeof(made->rows[0]));
    if (made->image == NULL || made->rows == NULL) {
        warp_source_destroy(&made);
        return WARP_ENOMEM;
    }
    *view = made;
    return 0;
}

void warp_source_destroy(struct warp_source_view **view)
{
    if (*view != NULL) {
        free((*view)->image);
        free((*view)->rows);
        free(*view);
        *view = NULL;
    }
}

/* Asks without taking: whoever opens the database meanwhile is not turned away. */
static enum source_lock source_lock(int directory)
{
    struct flock wanted = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    enum source_lock answer = SOURCE_LOCK_UNKNOWN;
    int file =
        openat(directory, SOURCE_LOCK_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (file < 0) {
        return errno == ENOENT ? SOURCE_LOCK_FREE : SOURCE_LOCK_UNKNOWN;
    }
    if (fcntl(file, F_OFD_GETLK, &wanted) == 0) {
        answer = wanted.l_type == F_UNLCK ? SOURCE_LOCK_FREE : SOURCE_LOCK_TAKEN;
    }
    close(file);
    return answer;
}

/* The whole file, as far as it goes: read, not mapped, so that who cuts it does us no harm. */
static ssize_t source_file(int directory, void *image, char *why, size_t why_bytes)
{
    struct stat about;
    ssize_t got;
    size_t bytes = 0;
    int file =
        openat(directory, WARP_SOURCE_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (file < 0) {
        snprintf(why, why_bytes, "%s: %s", WARP_SOURCE_FILE, strerror(errno));
        return -errno;
    }
    if (fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) {
        snprintf(why, why_bytes, "%s is no plain file", WARP_SOURCE_FILE);
        close(file);
        return -EINVAL;
    }
    do {
        got = pread(file, (char *)image + bytes, WARP_SNAPSHOT_IMAGE_MAX - bytes,
                    (off_t)bytes);
        if (got > 0) {
            bytes += (size_t)got;
        }
    } while ((got > 0 && bytes < WARP_SNAPSHOT_IMAGE_MAX) || (got < 0 && errno == EINTR));
    if (got < 0) {
        snprintf(why, why_bytes, "%s: %s", WARP_SOURCE_FILE, strerror(errno));
        got = -errno;
    }
    close(file);
    return got < 0 ? got : (ssize_t)bytes;
}

/* The file is replaced at every open, and is written all the time. */
static int source_read(struct warp_source_view *view, int directory)
{
    const struct timespec pause = {0, SOURCE_PAUSE_NS};
    int tries, rc = WARP_AGAIN;

    for (tries = 0; tries < SOURCE_TRIES && rc == WARP_AGAIN; tries++) {
        ssize_t bytes;

        if (tries > 0) {
            nanosleep(&pause, NULL);
        }
        bytes = source_file(directory, view->image, view->why, sizeof(view->why));
        if (bytes < 0) {
            view->state = bytes == -ENOENT ? WARP_SOURCE_ABSENT : WARP_SOURCE_BROKEN;
            return -1;
        }
        rc = warp_snapshot_read(view->image, (size_t)bytes, view->rows, &view->reading);
    }
    if (rc != 0) {
        view->state = WARP_SOURCE_BROKEN;
        snprintf(view->why, sizeof(view->why), "%s: %s", WARP_SOURCE_FILE,
                 rc == WARP_EVERSION ? "of a newer version"
                 : rc == WARP_AGAIN  ? "no whole snapshot in it"
                                     : "damaged");
        return -1;
    }
    return 0;
}

static void source_opening(struct warp_source_view *view)
{
    view->state = WARP_SOURCE_OPENING;
    view->has_values = false;
    view->age_ns = 0;
    snprintf(view->why, sizeof(view->why),
             "a process has it and has published nothing (yet)");
}

static void source_judge(struct warp_source_view *view, enum source_lock lock)
{
    const struct warp_snapshot_about *about = &view->reading.about;
    enum warp_process_state process = warp_process_look(&about->process);
    bool lives = lock == SOURCE_LOCK_TAKEN ||
                 (lock == SOURCE_LOCK_UNKNOWN &&
                  (process == WARP_PROCESS_RUNNING || process == WARP_PROCESS_STOPPED));

    if (lock == SOURCE_LOCK_TAKEN &&
        (about->state == WARP_SNAPSHOT_CLOSED || process == WARP_PROCESS_GONE)) {
        /* Somebody else than who wrote this: what was counted in another life is not its. */
        source_opening(view);
    } else if (about->state == WARP_SNAPSHOT_CLOSED) {
        view->state = WARP_SOURCE_CLOSED;
        snprintf(view->why, sizeof(view->why), "closed properly by pid %llu",
                 (unsigned long long)about->process.pid);
    } else if (!lives) {
        view->state = WARP_SOURCE_DIED;
        snprintf(view->why, sizeof(view->why), "pid %llu ended without closing it",
                 (unsigned long long)about->process.pid);
    } else if (process == WARP_PROCESS_STOPPED) {
        view->state = WARP_SOURCE_STOPPED;
        snprintf(view->why, sizeof(view->why), "pid %llu is stopped",
                 (unsigned long long)about->process.pid);
    } else if (view->age_ns > SOURCE_LATE_NS + about->interval_ns) {
        view->state = WARP_SOURCE_LATE;
        snprintf(view->why, sizeof(view->why), "pid %llu has published nothing for %.1f s",
                 (unsigned long long)about->process.pid, (double)view->age_ns / 1e9);
    } else {
        view->state = WARP_SOURCE_RUNNING;
        snprintf(view->why, sizeof(view->why), "open in pid %llu",
                 (unsigned long long)about->process.pid);
    }
}

void warp_source_look(struct warp_source_view *view, const char *path)
{
    enum source_lock lock;
    struct warp_process self;
    struct timespec now;
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    view->has_values = false;
    view->age_ns = 0;
    if (directory < 0) {
        view->state = WARP_SOURCE_ABSENT;
        snprintf(view->why, sizeof(view->why), "%s", strerror(errno));
        return;
    }
    /* The lock first: who takes it in between replaces the file, and is seen the next time. */
    lock = source_lock(directory);
    if (source_read(view, directory) == 0) {
        view->has_values = true;
        clock_gettime(CLOCK_MONOTONIC, &now);
        warp_process_self(&self);
        if (memcmp(self.boot_id, view->reading.about.process.boot_id,
                   sizeof(self.boot_id)) == 0) {
            uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;

            view->age_ns = now_ns > view->reading.about.published_ns
                               ? now_ns - view->reading.about.published_ns
                               : 0;
        }
        source_judge(view, lock);
    } else if (view->state == WARP_SOURCE_ABSENT && lock == SOURCE_LOCK_TAKEN) {
        source_opening(view);
    }
    close(directory);
}
