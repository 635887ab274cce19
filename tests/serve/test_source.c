/* What another process sees of a database that is in use, stopped, closed or dead. */
#include "serve/source.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/engine/fixture.h"

/* A process that has a database open and does what it is told, a letter at a time. */
struct host {
    pid_t pid;
    int tell, hear;
};

static uint64_t host_metric(struct warp *db, const char *name)
{
    return (uint64_t)fixture_metric(db, name);
}

/* p: a hundred puts. s: waits until a snapshot has been begun and ended since. c: closes. */
static void host_main(const char *directory, int hear, int tell)
{
    struct warp_options options = fixture_options();
    struct warp *db = NULL;
    char letter = 'o', message[512], key[32];
    uint32_t number = 0, i;
    uint64_t before;

    if (fixture_try(directory, &options, &db, message) != 0) {
        _exit(1);
    }
    while (write(tell, &letter, 1) == 1 && read(hear, &letter, 1) == 1) {
        switch (letter) {
        case 'p':
            for (i = 0; i < 100; i++) {
                snprintf(key, sizeof(key), "key-%u", number++);
                fixture_put(db, key, "value");
            }
            break;
        case 's':
            before = host_metric(db, "warp_metrics_publishes_total");
            while (host_metric(db, "warp_metrics_publishes_total") < before + 2) {
                support_sleep_ns(2000000);
            }
            break;
        default:
            _exit(warp_close(&db) == 0 ? 0 : 1);
        }
    }
    _exit(2);
}

static bool host_begin(struct host *host, const char *directory)
{
    int to[2], from[2];
    char letter;

    check(pipe(to) == 0 && pipe(from) == 0);
    fflush(NULL);
    host->pid = fork();
    if (host->pid == 0) {
        close(to[1]);
        close(from[0]);
        host_main(directory, to[0], from[1]);
    }
    close(to[0]);
    close(from[1]);
    host->tell = to[1];
    host->hear = from[0];
    return check(read(host->hear, &letter, 1) == 1);
}

static void host_do(struct host *host, const char *letters)
{
    char answer;

    for (; *letters != '\0'; letters++) {
        check(write(host->tell, letters, 1) == 1);
        check(read(host->hear, &answer, 1) == 1);
    }
}

static void host_end(struct host *host, int signal)
{
    int status;

    if (signal != 0) {
        check_int(kill(host->pid, signal), ==, 0);
    } else {
        check(write(host->tell, "c", 1) == 1);
    }
    check_int(waitpid(host->pid, &status, 0), ==, host->pid);
    check(signal != 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    close(host->tell);
    close(host->hear);
}

/* Until it is seen so, for ten seconds. */
static bool looks(struct warp_source_view *view, const char *directory,
                  enum warp_source_state state)
{
    uint64_t until_ns = support_now_ns() + 10000000000u;

    do {
        warp_source_look(view, directory);
        if (view->state == state) {
            return true;
        }
        support_sleep_ns(10000000);
    } while (support_now_ns() < until_ns);
    test_fail(__FILE__, __LINE__, "it is %s (%s), not %s",
              warp_source_state_text(view->state), view->why,
              warp_source_state_text(state));
    return false;
}

static uint64_t puts_of(const struct warp_source_view *view)
{
    return view->has_values ? warp_reading_value(&view->reading, "warp_puts_total") : 0;
}

WARP_TEST(source, of_nothing_is_absent)
{
    struct warp_source_view *view = NULL;
    const char *directory = test_directory();

    check_int(warp_source_create(&view), ==, 0);
    warp_source_look(view, directory);
    check_int(view->state, ==, WARP_SOURCE_ABSENT);
    check(!view->has_values);
    warp_source_look(view, "/nowhere/at/all");
    check_int(view->state, ==, WARP_SOURCE_ABSENT);
    warp_source_look(view, "/dev/null");
    check_int(view->state, ==, WARP_SOURCE_ABSENT);
    warp_source_destroy(&view);
}

WARP_TEST(source, running_then_closed_loses_no_count)
{
    struct warp_source_view *view = NULL;
    const char *directory = test_directory();
    struct host host;

    check_int(warp_source_create(&view), ==, 0);
    if (host_begin(&host, directory)) {
        host_do(&host, "pps");
        check(looks(view, directory, WARP_SOURCE_RUNNING));
        check_u64(puts_of(view), ==, 200);
        check_u64(view->reading.about.process.pid, ==, (uint64_t)host.pid);
        check_u64(view->age_ns, <, 60000000000u);
        /* What comes after the last snapshot is in the one that closing takes. */
        host_do(&host, "p");
        host_end(&host, 0);
        check(looks(view, directory, WARP_SOURCE_CLOSED));
        check_u64(puts_of(view), ==, 300);
    }
    warp_source_destroy(&view);
}

WARP_TEST(source, stopped_is_read_all_the_same)
{
    struct warp_source_view *view = NULL;
    const char *directory = test_directory();
    struct host host;
    int status;

    check_int(warp_source_create(&view), ==, 0);
    if (host_begin(&host, directory)) {
        host_do(&host, "ps");
        check_int(kill(host.pid, SIGSTOP), ==, 0);
        check_int(waitpid(host.pid, &status, WUNTRACED), ==, host.pid);
        check(looks(view, directory, WARP_SOURCE_STOPPED));
        check_u64(puts_of(view), ==, 100);
        support_sleep_ns(50000000);
        warp_source_look(view, directory);
        check_u64(view->age_ns, >=, 50000000);
        check_int(kill(host.pid, SIGCONT), ==, 0);
        host_do(&host, "ps");
        check(looks(view, directory, WARP_SOURCE_RUNNING));
        check_u64(puts_of(view), ==, 200);
        host_end(&host, 0);
    }
    warp_source_destroy(&view);
}

WARP_TEST(source, killed_keeps_what_was_published)
{
    struct warp_options options = fixture_options();
    struct warp_source_view *view = NULL;
    const char *directory = test_directory();
    struct host host;
    struct warp *db;

    check_int(warp_source_create(&view), ==, 0);
    if (host_begin(&host, directory)) {
        host_do(&host, "ppps");
        host_end(&host, SIGKILL);
        check(looks(view, directory, WARP_SOURCE_DIED));
        check_u64(puts_of(view), ==, 300);
        /* The next life begins a file of its own. */
        db = fixture_open(directory, &options);
        warp_source_look(view, directory);
        check_int(view->state, ==, WARP_SOURCE_RUNNING);
        check_u64(puts_of(view), ==, 0);
        check_u64(view->reading.about.process.pid, ==, (uint64_t)getpid());
        check_u64(warp_reading_value(&view->reading, "warp_records"), ==, 300);
        check_int(warp_close(&db), ==, 0);
    }
    warp_source_destroy(&view);
}

static const char *directory_of_opening;

static void progress_look(void *context, uint64_t done, uint64_t total, uint64_t records)
{
    enum warp_source_state *seen = context;
    struct warp_source_view *view = NULL;

    (void)done;
    (void)total;
    (void)records;
    if (warp_source_create(&view) == 0) {
        warp_source_look(view, directory_of_opening);
        *seen = view->has_values ? WARP_SOURCE_BROKEN : view->state;
        warp_source_destroy(&view);
    }
}

/* While it is recovered there is nothing to tell, and what another life counted is not told. */
WARP_TEST(source, being_opened_says_so)
{
    static uint8_t value[100000];
    struct warp_options options = fixture_options();
    struct warp_source_view *view = NULL;
    const char *directory = test_directory();
    enum warp_source_state seen = WARP_SOURCE_STATES;
    struct warp *db = fixture_open(directory, &options);
    char key[32];
    uint32_t i;

    check_int(warp_source_create(&view), ==, 0);
    for (i = 0; db != NULL && i < 300; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        warp_put(db, support_text(key), support_slice(value, sizeof(value)), NULL, NULL);
    }
    check_int(warp_close(&db), ==, 0);
    directory_of_opening = directory;
    options.progress = progress_look;
    options.progress_context = &seen;
    db = fixture_open(directory, &options);
    check_int(seen, ==, WARP_SOURCE_OPENING);
    check(looks(view, directory, WARP_SOURCE_RUNNING));
    check_int(warp_close(&db), ==, 0);
    /* Nor by who has it and does not want to publish. */
    options.progress = NULL;
    options.metrics_file = 2;
    db = fixture_open(directory, &options);
    check(looks(view, directory, WARP_SOURCE_OPENING));
    check(!view->has_values);
    check_int(warp_close(&db), ==, 0);
    check(looks(view, directory, WARP_SOURCE_ABSENT));
    warp_source_destroy(&view);
}

/* A file as this process would have written it, so long ago. */
static void write_file_of(const char *directory, const struct warp_process *process,
                          uint64_t age_ns)
{
    struct warp_snapshot_layout layout;
    struct warp_snapshot snapshot;
    char path[SUPPORT_PATH_BYTES];
    uint8_t *image;
    int file;

    memset(&snapshot, 0, sizeof(snapshot));
    warp_snapshot_layout(&layout, 0);
    image = calloc(1, layout.image_bytes);
    snapshot.about.sequence = 2;
    snapshot.about.state = WARP_SNAPSHOT_OPEN;
    snapshot.about.process = *process;
    snapshot.about.interval_ns = 1000000000;
    snapshot.about.published_ns = support_now_ns() - age_ns;
    snapshot.values.puts = 7;
    warp_snapshot_write_head(image, 0);
    (void)warp_snapshot_write_slot(image + layout.head_bytes, &snapshot);
    snprintf(path, sizeof(path), "%.400s/METRICS", directory);
    file = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    check(write(file, image, layout.image_bytes) == (ssize_t)layout.image_bytes);
    close(file);
    free(image);
}

/* What the lock, the process table and the age say, one beside the other. */
WARP_TEST(source, is_judged_by_lock_process_and_age)
{
    struct warp_options options = fixture_options();
    struct warp_source_view *view = NULL;
    const char *directory = test_directory();
    struct warp_process self, gone, elsewhere;
    struct warp *db;

    check_int(warp_source_create(&view), ==, 0);
    warp_process_self(&self);
    gone = elsewhere = self;
    gone.begun_ticks++; /* the number is used again */
    elsewhere.pid_namespace++;
    options.metrics_file = 2;
    db = fixture_open(directory, &options);
    write_file_of(directory, &self, 1000000);
    check(looks(view, directory, WARP_SOURCE_RUNNING));
    check_u64(puts_of(view), ==, 7);
    write_file_of(directory, &self, 60000000000);
    check(looks(view, directory, WARP_SOURCE_LATE));
    check_u64(puts_of(view), ==, 7);
    check_u64(view->age_ns, >=, 60000000000);
    write_file_of(directory, &gone, 1000000);
    check(looks(view, directory, WARP_SOURCE_OPENING)); /* somebody else has it */
    write_file_of(directory, &elsewhere, 1000000);
    check(looks(view, directory, WARP_SOURCE_RUNNING)); /* the lock says so */
    check_int(warp_close(&db), ==, 0);
    write_file_of(directory, &self, 1000000);
    check(looks(view, directory, WARP_SOURCE_DIED)); /* nobody holds the lock */
    write_file_of(directory, &elsewhere, 1000000);
    check(looks(view, directory, WARP_SOURCE_DIED));
    check_u64(puts_of(view), ==, 7);
    warp_source_destroy(&view);
}

/* Killed again and again, at any moment: whatever is there is whole, and never more than was done. */
WARP_TEST(source, killed_at_any_moment_is_whole)
{
    struct warp_source_view *view = NULL;
    const char *directory = test_directory();
    uint32_t round;

    check_int(warp_source_create(&view), ==, 0);
    for (round = 0; round < 15; round++) {
        struct host host;
        uint32_t i;

        if (!host_begin(&host, directory)) {
            break;
        }
        for (i = 0; i < round; i++) {
            host_do(&host, "p");
            support_sleep_ns(7000000);
        }
        host_end(&host, SIGKILL);
        if (looks(view, directory, WARP_SOURCE_DIED)) {
            check_u64(puts_of(view), <=, round * 100);
        }
    }
    warp_source_destroy(&view);
}

/* Somebody cuts the file short or removes it: the engine neither dies nor forgets. */
WARP_TEST(source, that_is_cut_short_heals)
{
    struct warp_options options = fixture_options();
    struct warp_source_view *view = NULL;
    const char *directory = test_directory();
    struct warp *db = fixture_open(directory, &options);
    char path[SUPPORT_PATH_BYTES];
    static const off_t lengths[] = {0, 100, 5000, 30000};
    size_t i;

    check_int(warp_source_create(&view), ==, 0);
    snprintf(path, sizeof(path), "%.400s/METRICS", directory);
    for (i = 0; db != NULL && i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        check_int(truncate(path, lengths[i]), ==, 0);
        fixture_put(db, "k", "v");
        warp_source_look(view, directory); /* whatever it sees, it comes back */
        check(looks(view, directory, WARP_SOURCE_RUNNING));
    }
    check_int(unlink(path), ==, 0);
    check(looks(view, directory, WARP_SOURCE_RUNNING));
    check_int(warp_close(&db), ==, 0);
    check(looks(view, directory, WARP_SOURCE_CLOSED));
    check_u64(puts_of(view), ==, 4);
    warp_source_destroy(&view);
}

WARP_TEST(source, that_is_no_file_of_ours_is_broken)
{
    struct warp_source_view *view = NULL;
    const char *directory = test_directory();
    char path[SUPPORT_PATH_BYTES];
    int file;

    check_int(warp_source_create(&view), ==, 0);
    snprintf(path, sizeof(path), "%.400s/METRICS", directory);
    check_int(mkfifo(path, 0600), ==,
              0); /* whoever opened it to read would wait for ever */
    warp_source_look(view, directory);
    check_int(view->state, ==, WARP_SOURCE_BROKEN);
    check_int(unlink(path), ==, 0);
    file = open(path, O_CREAT | O_WRONLY, 0600);
    check(write(file, "something else", 14) == 14);
    close(file);
    warp_source_look(view, directory);
    check_int(view->state, ==, WARP_SOURCE_BROKEN);
    check_int(truncate(path, 3 << 20), ==, 0);
    warp_source_look(view, directory);
    check_int(view->state, ==, WARP_SOURCE_BROKEN);
    check_int(unlink(path), ==, 0);
    check_int(symlink("/etc/passwd", path), ==, 0);
    warp_source_look(view, directory);
    check_int(view->state, ==, WARP_SOURCE_BROKEN);
    warp_source_destroy(&view);
}

WARP_TEST(source, is_not_made_when_it_is_not_wanted)
{
    struct warp_options options = fixture_options();
    const char *directory = test_directory();
    struct warp *db = fixture_open(directory, &options);
    char path[SUPPORT_PATH_BYTES];

    snprintf(path, sizeof(path), "%.400s/METRICS", directory);
    check_int(warp_close(&db), ==, 0);
    check_int(access(path, F_OK), ==, 0);
    options.open_flags =
        WARP_READ_ONLY; /* who only reads leaves what the last writer left */
    db = fixture_open(directory, &options);
    check_int(warp_close(&db), ==, 0);
    check_int(access(path, F_OK), ==, 0);
    options.open_flags = 0;
    options.metrics_file = 2;
    db = fixture_open(directory, &options);
    check_int(access(path, F_OK), !=, 0); /* nor is what nobody keeps up left lying about */
    check(fixture_metric(db, "warp_metrics_publishes_total") <= 0);
    check_int(warp_close(&db), ==, 0);
    options.metrics_file = 3;
    db = NULL;
    check_int(warp_open(directory, &options, &db), ==, WARP_EINVAL);
}

/* A disk without room for it: the database is opened, and says so. */
WARP_TEST(source, is_not_needed_to_open)
{
    struct warp_options options = fixture_options();
    struct warp_source_view *view = NULL;
    const char *directory = test_directory();
    char path[SUPPORT_PATH_BYTES], message[512];
    struct warp *db = NULL;
    int file;

    if (mount("tmpfs", directory, "tmpfs", 0, "size=12m") != 0) {
        test_skip("a small disk cannot be mounted: %s", strerror(errno));
        return;
    }
    check_int(warp_source_create(&view), ==, 0);
    snprintf(path, sizeof(path), "%.400s/db", directory);
    db = fixture_open(path, &options);
    fixture_put(db, "k", "v");
    check_int(warp_close(&db), ==, 0);
    snprintf(path, sizeof(path), "%.400s/db/METRICS", directory);
    check_int(unlink(path), ==, 0);
    snprintf(path, sizeof(path), "%.400s/filler", directory);
    file = open(path, O_CREAT | O_WRONLY, 0600);
    while (write(file, message, sizeof(message)) > 0) {
    }
    /* Room for a new MANIFEST, but not for this. */
    check_int(ftruncate(file, lseek(file, 0, SEEK_END) - 12288), ==, 0);
    snprintf(path, sizeof(path), "%.400s/db", directory);
    check_int(fixture_try(path, &options, &db, message), ==, 0);
    check(strstr(message, "without the file METRICS") != NULL);
    if (db != NULL) {
        check_int(fixture_put(db, "k", "w"), ==, 0);
        check(fixture_metric(db, "warp_metrics_publish_errors_total") > 0);
        warp_source_look(view, path);
        check_int(view->state, ==, WARP_SOURCE_OPENING);
        check(!view->has_values);
        /* There is room again: the file comes by itself. */
        check_int(ftruncate(file, 0), ==, 0);
        check(looks(view, path, WARP_SOURCE_RUNNING));
        check_int(warp_close(&db), ==, 0);
    }
    close(file);
    warp_source_destroy(&view);
    umount2(directory, MNT_DETACH);
}

/* Readers at full speed beside a writer at full speed: each finds a whole snapshot, and counts grow. */
WARP_TEST(source, is_whole_however_often_it_is_read)
{
    struct warp_source_view *view = NULL;
    const char *directory = test_directory();
    uint64_t until_ns, last = 0, sequence = 0;
    struct host host;
    uint32_t reads = 0;

    check_int(warp_source_create(&view), ==, 0);
    if (host_begin(&host, directory)) {
        until_ns = support_now_ns() + 1000000000u;
        while (support_now_ns() < until_ns) {
            host_do(&host, "p");
            warp_source_look(view, directory);
            if (!check_int(view->state, ==, WARP_SOURCE_RUNNING)) {
                break;
            }
            check_u64(puts_of(view), >=, last);
            check_u64(view->reading.about.sequence, >=, sequence);
            last = puts_of(view);
            sequence = view->reading.about.sequence;
            reads++;
        }
        check_u64(reads, >, 10);
        host_end(&host, 0);
    }
    warp_source_destroy(&view);
}
