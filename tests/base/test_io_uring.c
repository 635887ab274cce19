#include "base/io_uring.h"

#include "tests/base/io_checks.h"
#include "tests/lib/test.h"

WARP_TEST(io_uring, what_was_written_is_read_back)
{
    io_check_write_and_read_back(WARP_IO_BACKEND_URING);
}

WARP_TEST(io_uring, names_appear_change_and_disappear)
{
    io_check_names(WARP_IO_BACKEND_URING);
}

WARP_TEST(io_uring, a_second_user_is_told_who_the_first_one_is)
{
    io_check_lock(WARP_IO_BACKEND_URING);
}

WARP_TEST(io_uring, a_queue_has_many_requests_in_flight)
{
    io_check_queue_keeps_many_in_flight(WARP_IO_BACKEND_URING);
}

WARP_TEST(io_uring, a_queue_reports_errors)
{
    io_check_queue_errors(WARP_IO_BACKEND_URING);
}

WARP_TEST(io_uring, a_short_write_goes_on_or_is_an_error)
{
    io_check_no_short_results(WARP_IO_BACKEND_URING);
}

WARP_TEST(io_uring, a_queue_outlives_the_thread_that_made_it)
{
    io_check_queue_changes_hands(WARP_IO_BACKEND_URING);
}

WARP_TEST(io_uring, an_interrupt_ends_a_wait)
{
    io_check_interrupt(WARP_IO_BACKEND_URING);
}

WARP_TEST(io_uring, direct_files_work_or_fall_back)
{
    io_check_direct(WARP_IO_BACKEND_URING);
}

WARP_TEST(io_uring, without_memory_opening_fails_cleanly)
{
    io_check_memory_failures(WARP_IO_BACKEND_URING);
}

WARP_TEST(io_uring, auto_takes_it_when_the_system_allows)
{
    struct warp_memory memory;
    struct warp_disk disk;

    check_int(warp_memory_init(&memory, NULL), ==, 0);
    check_int(warp_disk_open_directory(test_directory(), &memory, WARP_IO_BACKEND_AUTO,
                                       false, &disk, NULL, 0),
              ==, 0);
    check_str(disk.ops->name(disk.context),
              warp_io_uring_probe() == 0 ? "io_uring" : "plain");
    warp_disk_close(&disk);
    warp_memory_fini(&memory);
}
