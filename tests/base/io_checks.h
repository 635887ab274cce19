/*
 * tests/base/io_checks.h - what every disk behind base/io.h must do, told once.
 *
 * Threads:   one; the interrupt checks start another for themselves.
 * Lifetime:  each check makes what it needs in a directory of its own.
 * Units:     none.
 * Ordering:  none.
 * Errors:    failed checks.
 * Cost:      milliseconds.
 */
#ifndef TESTS_BASE_IO_CHECKS_H
#define TESTS_BASE_IO_CHECKS_H

#include <stdint.h>

void io_check_write_and_read_back(uint32_t backend);
void io_check_names(uint32_t backend);
void io_check_lock(uint32_t backend);
void io_check_queue_keeps_many_in_flight(uint32_t backend);
void io_check_queue_errors(uint32_t backend);
void io_check_no_short_results(uint32_t backend);
void io_check_queue_changes_hands(uint32_t backend);
void io_check_interrupt(uint32_t backend);
void io_check_direct(uint32_t backend);
void io_check_memory_failures(uint32_t backend);

#endif
