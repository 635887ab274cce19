#include "base/assert.h"

#include <signal.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/test.h"

WARP_TEST(assert, a_broken_assertion_names_its_line_and_aborts)
{
    char text[512] = "";
    char expected[512];
    int line = 0;
    int status = 0;
    int channel[2];
    ssize_t got;
    pid_t child;

    check_int(pipe(channel), ==, 0);
    line = __LINE__ + 5;
    child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(channel[1], STDERR_FILENO);
        warp_assert(1 + 1 == 3);
        _exit(0);
    }
    close(channel[1]);
    check_int(waitpid(child, &status, 0), ==, child);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    got = read(channel[0], text, sizeof(text) - 1);
    close(channel[0]);
    check_int(got, >, 0);
    snprintf(expected, sizeof(expected), "%s:%d: assertion failed: 1 + 1 == 3\n", __FILE__,
             line);
    check_str(text, expected);
}

WARP_TEST(assert, planted_bugs_are_constants)
{
    check(WARP_PLANTED(ACK_BEFORE_SYNC) == (WARP_PLANT_ACK_BEFORE_SYNC != 0));
    check(WARP_PLANTED(SKIP_CRC) == (WARP_PLANT_SKIP_CRC != 0));
    check(WARP_PLANTED(DROP_EPOCH) == (WARP_PLANT_DROP_EPOCH != 0));
    check(WARP_PLANTED(SEAL_UNSYNCED) == (WARP_PLANT_SEAL_UNSYNCED != 0));
    check(WARP_PLANTED(REMOVE_EARLY) == (WARP_PLANT_REMOVE_EARLY != 0));
    check(WARP_PLANTED(INSTALL_BLIND) == (WARP_PLANT_INSTALL_BLIND != 0));
    check(WARP_PLANTED(CHECKPOINT_EARLY) == (WARP_PLANT_CHECKPOINT_EARLY != 0));
    check(WARP_PLANTED(REPLAY_LATE) == (WARP_PLANT_REPLAY_LATE != 0));
    check(WARP_PLANTED(EVICT_EARLY) == (WARP_PLANT_EVICT_EARLY != 0));
    check(WARP_PLANTED(MASS_COUNTS) == (WARP_PLANT_MASS_COUNTS != 0));
    check(WARP_PLANTED(GRAVITY_UPHILL) == (WARP_PLANT_GRAVITY_UPHILL != 0));
    check(WARP_PLANTED(ENTROPY_CONSTANT) == (WARP_PLANT_ENTROPY_CONSTANT != 0));
}
