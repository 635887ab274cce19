/*
 * tests/lib/runner.c - runs the tests that registered themselves.
 *
 *     test_base [pattern] [--list] [--fork] [--verbose]
 *
 * pattern is a part of "module.sentence". One line per failed check on standard error; the
 * last line on standard output is exactly "N passed, N failed"; the exit status is 1 when
 * any failed. With --fork every test has a process of its own, so that a crash fails one
 * test only.
 */
#include "tests/lib/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNNER_SECONDS_MAX     120u
#define RUNNER_DIRECTORIES_MAX 16u
#define RUNNER_LINES_MAX       20u

static struct test_case *runner_first;
static struct test_case *runner_current;
static atomic_uint runner_failures; /* of the current test */
static char runner_directories[RUNNER_DIRECTORIES_MAX][256];
static unsigned runner_directory_count;

static int runner_order(const struct test_case *a, const struct test_case *b)
{
    int order = strcmp(a->file, b->file);

    return order != 0 ? order : a->line - b->line;
}

void test_register(struct test_case *test)
{
    struct test_case **at = &runner_first;

    while (*at != NULL && runner_order(*at, test) < 0) {
        at = &(*at)->next;
    }
    test->next = *at;
    *at = test;
}

void test_fail(const char *file, int line, const char *format, ...)
{
    unsigned before = atomic_fetch_add(&runner_failures, 1);
    char text[1024];
    va_list arguments;

    if (before >= RUNNER_LINES_MAX) {
        return; /* the first lines say it all */
    }
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s:%d: %s.%s: %s\n", file, line,
            runner_current != NULL ? runner_current->module : "?",
            runner_current != NULL ? runner_current->sentence : "?", text);
}

void test_skip(const char *format, ...)
{
    char text[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    printf("skipped %s.%s: %s\n", runner_current->module, runner_current->sentence, text);
}

unsigned test_failures(void)
{
    return atomic_load(&runner_failures);
}

uint64_t test_seed(void)
{
    const char *text = getenv("WARP_TEST_SEED");

    return text != NULL ? strtoull(text, NULL, 0) : UINT64_C(0x57617270);
}

const char *test_directory(void)
{
    const char *parent = getenv("TMPDIR");
    char *path;

    if (runner_directory_count == RUNNER_DIRECTORIES_MAX) {
        fprintf(stderr, "a test asks for more than %u directories\n",
                RUNNER_DIRECTORIES_MAX);
        abort();
    }
    path = runner_directories[runner_directory_count];
    snprintf(path, sizeof(runner_directories[0]), "%s/warp-test-XXXXXX",
             parent != NULL && parent[0] != '\0' ? parent : "/tmp");
    if (mkdtemp(path) == NULL) {
        fprintf(stderr, "cannot make %s: %s\n", path, strerror(errno));
        abort();
    }
    runner_directory_count++;
    return path;
}

/* Removes the directory `name` below the directory parent, and all in it. */
static void runner_remove(int parent, const char *name)
{
    int directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream;
    struct dirent *entry;

    if (directory < 0) {
        return;
    }
    if (fchmod(directory, 0700) != 0) {
        /* Not ours to change: the removals below say the same with their own failure. */
    }
    stream = fdopendir(directory);
    if (stream == NULL) {
        close(directory);
        return;
    }
    while ((entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        if (unlinkat(dirfd(stream), entry->d_name, 0) != 0) {
            runner_remove(dirfd(stream), entry->d_name);
        }
    }
    closedir(stream);
    unlinkat(parent, name, AT_REMOVEDIR);
}

static void runner_remove_directories(void)
{
    while (runner_directory_count > 0) {
        runner_directory_count--;
        runner_remove(AT_FDCWD, runner_directories[runner_directory_count]);
    }
}

bool test_compare_str(const char *file, int line, const char *text, const char *a,
                      const char *b)
{
    if (a == b || (a != NULL && b != NULL && strcmp(a, b) == 0)) {
        return true;
    }
    test_fail(file, line, "%s: \"%.200s\", \"%.200s\"", text, a != NULL ? a : "(null)",
              b != NULL ? b : "(null)");
    return false;
}

bool test_compare_bytes(const char *file, int line, const char *text, const void *a,
                        size_t a_bytes, const void *b, size_t b_bytes)
{
    const unsigned char *left = a;
    const unsigned char *right = b;

    if (a_bytes != b_bytes) {
        test_fail(file, line, "%s: %zu bytes, %zu bytes", text, a_bytes, b_bytes);
        return false;
    }
    for (size_t at = 0; at < a_bytes; at++) {
        if (left[at] != right[at]) {
            test_fail(file, line, "%s: byte %zu of %zu: 0x%02x, 0x%02x", text, at, a_bytes,
                      left[at], right[at]);
            return false;
        }
    }
    return true;
}

/* Says which test it was, with nothing but calls that a signal handler may make. */
static void runner_on_signal(int number)
{
    static const char dead[] = "aborted: ";
    static const char hung[] = "still running after 120 s: ";
    const char *what = number == SIGALRM ? hung : dead;
    size_t ignored = 0;

    ignored += (size_t)write(STDERR_FILENO, what, strlen(what));
    if (runner_current != NULL) {
        ignored += (size_t)write(STDERR_FILENO, runner_current->module,
                                 strlen(runner_current->module));
        ignored += (size_t)write(STDERR_FILENO, ".", 1);
        ignored += (size_t)write(STDERR_FILENO, runner_current->sentence,
                                 strlen(runner_current->sentence));
    }
    ignored += (size_t)write(STDERR_FILENO, "\n", 1);
    (void)ignored;
    signal(number, SIG_DFL);
    raise(number);
}

static bool runner_run(struct test_case *test)
{
    runner_current = test;
    atomic_store(&runner_failures, 0);
    alarm(RUNNER_SECONDS_MAX);
    test->run();
    alarm(0);
    runner_remove_directories();
    return atomic_load(&runner_failures) == 0;
}

static bool runner_run_forked(struct test_case *test)
{
    int status = 0;
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child < 0) {
        fprintf(stderr, "cannot fork: %s\n", strerror(errno));
        return false;
    }
    if (child == 0) {
        bool passed = runner_run(test);

        fflush(NULL);
        exit(passed ? 0 : 1); /* not _exit: leaks are looked for at exit */
    }
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            fprintf(stderr, "cannot wait: %s\n", strerror(errno));
            return false;
        }
    }
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "%s:%d: %s.%s: ended by signal %d\n", test->file, test->line,
                test->module, test->sentence, WTERMSIG(status));
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(int argument_count, char **arguments)
{
    const char *pattern = NULL;
    bool list = false;
    bool forks = false;
    bool verbose = false;
    unsigned passed = 0;
    unsigned failed = 0;

    for (int index = 1; index < argument_count; index++) {
        if (strcmp(arguments[index], "--list") == 0) {
            list = true;
        } else if (strcmp(arguments[index], "--fork") == 0) {
            forks = true;
        } else if (strcmp(arguments[index], "--verbose") == 0) {
            verbose = true;
        } else if (arguments[index][0] != '-' && pattern == NULL) {
            pattern = arguments[index];
        } else {
            fprintf(stderr, "usage: %s [pattern] [--list] [--fork] [--verbose]\n",
                    arguments[0]);
            return 2;
        }
    }
    signal(SIGABRT, runner_on_signal);
    signal(SIGALRM, runner_on_signal);
    for (struct test_case *test = runner_first; test != NULL; test = test->next) {
        char name[512];

        snprintf(name, sizeof(name), "%s.%s", test->module, test->sentence);
        if (pattern != NULL && strstr(name, pattern) == NULL) {
            continue;
        }
        if (list) {
            puts(name);
            continue;
        }
        if (verbose) {
            printf("%s\n", name);
            fflush(stdout);
        }
        if (forks ? runner_run_forked(test) : runner_run(test)) {
            passed++;
        } else {
            failed++;
            fprintf(stderr, "failed: %s\n", name);
        }
    }
    if (!list) {
        printf("%u passed, %u failed\n", passed, failed);
    }
    return failed > 0 ? 1 : 0;
}
