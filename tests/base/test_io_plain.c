#include "base/io_plain.h"

#include "tests/base/io_checks.h"
#include "tests/lib/test.h"

WARP_TEST(io_plain, what_was_written_is_read_back)
{
    io_check_write_and_read_back(WARP_IO_BACKEND_PLAIN);
}

WARP_TEST(io_plain, names_appear_change_and_disappear)
{
    io_check_names(WARP_IO_BACKEND_PLAIN);
}

WARP_TEST(io_plain, a_second_user_is_told_who_the_first_one_is)
{
    io_check_lock(WARP_IO_BACKEND_PLAIN);
}

WARP_TEST(io_plain, a_queue_has_many_requests_in_flight)
{
    io_check_queue_keeps_many_in_flight(WARP_IO_BACKEND_PLAIN);
}

WARP_TEST(io_plain, a_queue_reports_errors)
{
    io_check_queue_errors(WARP_IO_BACKEND_PLAIN);
}

WARP_TEST(io_plain, a_short_write_goes_on_or_is_an_error)
{
    io_check_no_short_results(WARP_IO_BACKEND_PLAIN);
}

WARP_TEST(io_plain, a_queue_outlives_the_thread_that_made_it)
{
    io_check_queue_changes_hands(WARP_IO_BACKEND_PLAIN);
}

WARP_TEST(io_plain, an_interrupt_ends_a_wait)
{
    io_check_interrupt(WARP_IO_BACKEND_PLAIN);
}

WARP_TEST(io_plain, direct_files_work_or_fall_back)
{
    io_check_direct(WARP_IO_BACKEND_PLAIN);
}

WARP_TEST(io_plain, without_memory_opening_fails_cleanly)
{
    io_check_memory_failures(WARP_IO_BACKEND_PLAIN);
}
