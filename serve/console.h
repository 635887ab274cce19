/*
 * serve/console.h - the page for people, as bytes.
 *
 * serve/console/ has a page of HTML, its style and its script; they are part of the program, and sent as one
 * page that asks for nothing from anywhere but /events of who sent it.
 *
 * Threads:   any.
 * Lifetime:  what is returned is the caller's to free.
 * Units:     bytes.
 * Ordering:  none.
 * Errors:    NULL: no memory.
 * Cost:      a copy of some 40 KiB.
 */
#ifndef SERVE_CONSOLE_H
#define SERVE_CONSOLE_H

#include <stddef.h>

/* From malloc. */
char *warp_console_page(size_t *bytes);

#endif
