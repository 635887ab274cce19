#include "serve/console.h"

#include <stdlib.h>
#include <string.h>

/* The files as they are, between two names; make knows that they are part of this. */
#define CONSOLE_FILE(name, path)                                                           \
    __asm__(".pushsection .rodata\n"                                                       \
            ".balign 16\n"                                                                 \
            "console_" #name "_begin:\n"                                                   \
            ".incbin \"serve/console/" path "\"\n"                                         \
            "console_" #name "_end:\n"                                                     \
            ".byte 0\n"                                                                    \
            ".popsection\n");                                                              \
    extern const char console_##name##_begin[] __attribute__((visibility("hidden")));      \
    extern const char console_##name##_end[] __attribute__((visibility("hidden")))

CONSOLE_FILE(html, "index.html");
CONSOLE_FILE(css, "console.css");
CONSOLE_FILE(js, "console.js");

/* Where the other two go in the page. */
static const char console_css_here[] = "/* console.css */";
static const char console_js_here[] = "/* console.js */";

static char *console_put(char *at, const char *begin, const char *end)
{
    memcpy(at, begin, (size_t)(end - begin));
    return at + (end - begin);
}

char *warp_console_page(size_t *bytes)
{
    const char *css = strstr(console_html_begin, console_css_here);
    const char *js = css == NULL ? NULL : strstr(css, console_js_here);
    char *page, *at;

    if (js == NULL) {
        return NULL; /* not the page that it was written for; a test looks */
    }
    page = malloc((size_t)(console_html_end - console_html_begin) +
                  (size_t)(console_css_end - console_css_begin) +
                  (size_t)(console_js_end - console_js_begin) + 1);
    if (page == NULL) {
        return NULL;
    }
    at = console_put(page, console_html_begin, css);
    at = console_put(at, console_css_begin, console_css_end);
    at = console_put(at, css + sizeof(console_css_here) - 1, js);
    at = console_put(at, console_js_begin, console_js_end);
    at = console_put(at, js + sizeof(console_js_here) - 1, console_html_end);
    *at = '\0';
    *bytes = (size_t)(at - page);
    return page;
}
