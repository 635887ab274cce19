#include "base/notice.h"

#include <stdio.h>
#include <string.h>

#include "tests/lib/test.h"

struct heard {
    unsigned count;
    char last[600];
};

static void hear(void *context, const char *text)
{
    struct heard *heard = context;

    heard->count++;
    snprintf(heard->last, sizeof(heard->last), "%s", text);
}

WARP_TEST(notice, says_one_sentence_per_interval_and_counts_the_rest)
{
    struct warp_clock_fake fake;
    struct warp_notice notice;
    struct heard heard = {0, ""};

    warp_clock_fake_init(&fake, 1000, 0);
    warp_notice_init(&notice, &fake.clock, 100, hear, &heard);
    warp_notice_say(&notice, "disk %d is slow", 1);
    warp_notice_say(&notice, "disk %d is slow", 2);
    warp_notice_say(&notice, "disk %d is slow", 3);
    check_u64(heard.count, ==, 1);
    check_str(heard.last, "disk 1 is slow");
    check_u64(warp_notice_left_out(&notice), ==, 2);
    warp_clock_fake_advance(&fake, 100);
    warp_notice_say(&notice, "disk %d is slow", 4);
    check_u64(heard.count, ==, 2);
    check_str(heard.last, "disk 4 is slow (2 more were left out before)");
    check_u64(warp_notice_left_out(&notice), ==, 0);
}

WARP_TEST(notice, long_sentences_are_cut_and_no_sink_is_silence)
{
    struct warp_clock_fake fake;
    struct warp_notice notice;
    struct heard heard = {0, ""};
    char text[1000];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    warp_clock_fake_init(&fake, 1000, 0);
    warp_notice_init(&notice, &fake.clock, 0, hear, &heard);
    warp_notice_say(&notice, "%s", text);
    check_u64(strlen(heard.last), ==, 511);
    warp_notice_init(&notice, &fake.clock, 0, NULL, NULL);
    warp_notice_say(&notice, "%s", text);
    check_u64(warp_notice_left_out(&notice), ==, 1);
}
