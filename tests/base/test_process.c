#include "base/process.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/test.h"

/* A child that says who it is and then sleeps. */
static pid_t child_begin(struct warp_process *child)
{
    int tell[2];
    pid_t pid;

    check_int(pipe(tell), ==, 0);
    pid = fork();
    if (pid == 0) {
        struct warp_process self;

        warp_process_self(&self);
        if (write(tell[1], &self, sizeof(self)) != sizeof(self)) {
            _exit(1);
        }
        for (;;) {
            pause();
        }
    }
    check(read(tell[0], child, sizeof(*child)) == (ssize_t)sizeof(*child));
    close(tell[0]);
    close(tell[1]);
    return pid;
}

WARP_TEST(process, itself_is_running)
{
    struct warp_process self;

    warp_process_self(&self);
    check_u64(self.pid, ==, (uint64_t)getpid());
    check_u64(self.begun_ticks, >, 0);
    check_u64(self.pid_namespace, >, 0);
    check_int(warp_process_look(&self), ==, WARP_PROCESS_RUNNING);
}

WARP_TEST(process, is_seen_running_stopped_dead_and_buried)
{
    struct warp_process child;
    pid_t pid = child_begin(&child);
    int status;

    check_int(warp_process_look(&child), ==, WARP_PROCESS_RUNNING);
    check_int(kill(pid, SIGSTOP), ==, 0);
    check_int(waitpid(pid, &status, WUNTRACED), ==, pid);
    check(WIFSTOPPED(status));
    check_int(warp_process_look(&child), ==, WARP_PROCESS_STOPPED);
    check_int(kill(pid, SIGCONT), ==, 0);
    check_int(waitpid(pid, &status, WCONTINUED), ==, pid);
    check_int(warp_process_look(&child), ==, WARP_PROCESS_RUNNING);
    check_int(kill(pid, SIGKILL), ==, 0);
    /* Dead, but not yet waited for: a zombie does nothing any more. */
    {
        siginfo_t info;

        check_int(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), ==, 0);
    }
    check_int(warp_process_look(&child), ==, WARP_PROCESS_GONE);
    check_int(waitpid(pid, &status, 0), ==, pid);
    check_int(warp_process_look(&child), ==, WARP_PROCESS_GONE);
}

WARP_TEST(process, of_the_same_number_is_not_the_same)
{
    struct warp_process self, other;

    warp_process_self(&self);
    other = self;
    other.begun_ticks++;
    check_int(warp_process_look(&other), ==, WARP_PROCESS_GONE);
    other = self;
    other.boot_id[3] ^= 1;
    check_int(warp_process_look(&other), ==, WARP_PROCESS_GONE);
}

WARP_TEST(process, that_cannot_be_known_is_not_guessed_at)
{
    struct warp_process self, other;

    warp_process_self(&self);
    other = self;
    other.pid_namespace++;
    check_int(warp_process_look(&other), ==, WARP_PROCESS_UNKNOWN);
    other = self;
    memset(other.boot_id, 0, sizeof(other.boot_id));
    check_int(warp_process_look(&other), ==, WARP_PROCESS_UNKNOWN);
    other = self;
    other.begun_ticks = 0;
    check_int(warp_process_look(&other), ==, WARP_PROCESS_UNKNOWN);
}
