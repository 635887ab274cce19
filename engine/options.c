#include "engine/options.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/thread.h"

#define OPTIONS_MEMORY_MIN (UINT64_C(16) << 20)
/* Of log that a recovery surely replays in a millisecond: a quarter of what was measured on two cores
 * with records of 100 bytes. */
#define OPTIONS_RECOVERY_MS    2000u
#define OPTIONS_SPACE_PERMILLE 1200u

struct options_preset {
    const char *name;
    uint32_t log_buffer_bytes;
    uint32_t segment_bytes;
    uint32_t spin_us;
    uint32_t huge_pages;
    uint32_t drain_max;
};

static const struct options_preset options_presets[] = {
    {"balanced", 8u << 20, 64u << 20, 20, 1, 256},
    {"throughput", 32u << 20, 256u << 20, 50, 1, 1024},
    {"small", 1u << 20, 4u << 20, 1, 2, 64},
};

static const struct options_preset *options_find_preset(const char *name)
{
    size_t i;

    if (name == NULL) {
        return &options_presets[0];
    }
    for (i = 0; i < sizeof(options_presets) / sizeof(options_presets[0]); i++) {
        if (strcmp(name, options_presets[i].name) == 0) {
            return &options_presets[i];
        }
    }
    return NULL;
}

int warp_options_copy(void *known, size_t known_bytes, const void *given,
                      size_t least_bytes)
{
    size_t given_bytes, i;

    memcpy(&given_bytes, given, sizeof(given_bytes));
    /* 64 KiB: a struct never gets that big; an uninitialised size does. */
    if (given_bytes < least_bytes || given_bytes > 65536) {
        return WARP_EINVAL;
    }
    for (i = known_bytes; i < given_bytes; i++) {
        if (((const unsigned char *)given)[i] != 0) {
            return WARP_EINVAL;
        }
    }
    memcpy(known, given, given_bytes < known_bytes ? given_bytes : known_bytes);
    memcpy(known, &known_bytes, sizeof(known_bytes));
    return 0;
}

/* Three quarters of what the process may use: the cgroup's limit or the machine's memory. */
static uint64_t options_memory_limit(void)
{
    static const char *const files[] = {"/sys/fs/cgroup/memory.max",
                                        "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t limit = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes
                                                 : UINT64_C(1) << 30;
    size_t i;

    for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        FILE *file = fopen(files[i], "re");
        unsigned long long value;

        if (file != NULL) {
            if (fscanf(file, "%llu", &value) == 1 && value < limit) {
                limit = value;
            }
            (void)fclose(file);
        }
    }
    limit = limit / 4 * 3;
    return limit < OPTIONS_MEMORY_MIN ? OPTIONS_MEMORY_MIN : limit;
}

#define OPTIONS_REFUSE(...)                                                                \
    do {                                                                                   \
        (void)snprintf(message, message_bytes, __VA_ARGS__);                               \
        return WARP_EINVAL;                                                                \
    } while (0)

int warp_options_complete(const struct warp_options *given, struct warp_options *out,
                          char *message, size_t message_bytes)
{
    struct warp_options options = WARP_OPTIONS_INIT;
    const struct options_preset *preset;

    if (given != NULL && warp_options_copy(&options, sizeof(options), given,
                                           offsetof(struct warp_options, open_flags)) < 0) {
        OPTIONS_REFUSE(
            "options.size %zu is not that of struct warp_options (%zu), or fields "
            "this version does not know are set: use WARP_OPTIONS_INIT",
            given->size, sizeof(options));
    }
    preset = options_find_preset(options.preset);
    if (preset == NULL) {
        OPTIONS_REFUSE("options.preset \"%.32s\" is not balanced, throughput or small",
                       options.preset);
    }
    if (options.shard_count > WARP_SHARD_COUNT_MAX) {
        OPTIONS_REFUSE("options.shard_count %u is above %u", options.shard_count,
                       WARP_SHARD_COUNT_MAX);
    }
    if (options.shard_count == 0) {
        options.shard_count = warp_thread_cpus();
        if (options.shard_count > WARP_SHARD_COUNT_MAX) {
            options.shard_count = WARP_SHARD_COUNT_MAX;
        }
    }
    if (options.durability == WARP_DURABILITY_DEFAULT) {
        options.durability = WARP_COMMIT;
    }
    if (options.durability > WARP_COMMIT) {
        OPTIONS_REFUSE("options.durability %u is no enum warp_durability",
                       options.durability);
    }
    if (options.sync_interval_ms == 0) {
        options.sync_interval_ms = 100;
    }
    if (options.sync_interval_ms > 60000) {
        OPTIONS_REFUSE("options.sync_interval_ms %u is above 60000",
                       options.sync_interval_ms);
    }
    if (options.read_durable > WARP_READ_DURABLE_AUTO) {
        OPTIONS_REFUSE("options.read_durable %u is not 0, 1 or WARP_READ_DURABLE_AUTO",
                       options.read_durable);
    }
    if (options.read_durable == WARP_READ_DURABLE_AUTO) {
        options.read_durable = options.durability == WARP_COMMIT;
    }
    if (options.memory_bytes_max == 0) {
        options.memory_bytes_max = options_memory_limit();
    }
    if (options.memory_bytes_max < OPTIONS_MEMORY_MIN) {
        OPTIONS_REFUSE("options.memory_bytes_max %llu is below 16 MiB",
                       (unsigned long long)options.memory_bytes_max);
    }
    if (options.open_flags == 0) {
        options.open_flags = WARP_CREATE;
    }
    if ((options.open_flags &
         ~(WARP_CREATE | WARP_READ_ONLY | WARP_MUST_EXIST | WARP_MUST_BE_NEW)) != 0 ||
        ((options.open_flags & WARP_MUST_BE_NEW) != 0 &&
         (options.open_flags & (WARP_MUST_EXIST | WARP_READ_ONLY)) != 0)) {
        OPTIONS_REFUSE("options.open_flags %#x is no possible combination",
                       options.open_flags);
    }
    if (options.segment_bytes == 0) {
        options.segment_bytes = preset->segment_bytes;
    }
    if (!warp_is_power_of_two(options.segment_bytes) || options.segment_bytes < 1u << 20 ||
        options.segment_bytes > 1u << 30) {
        OPTIONS_REFUSE("options.segment_bytes %u is no power of two from 1 MiB to 1 GiB",
                       options.segment_bytes);
    }
    if (options.log_buffer_bytes == 0) {
        options.log_buffer_bytes = preset->log_buffer_bytes;
        while (options.log_buffer_bytes > 256u << 10 &&
               options.log_buffer_bytes > options.memory_bytes_max / 32) {
            options.log_buffer_bytes /= 2;
        }
    }
    if (!warp_is_power_of_two(options.log_buffer_bytes) ||
        options.log_buffer_bytes < 256u << 10 || options.log_buffer_bytes > 1u << 30) {
        OPTIONS_REFUSE(
            "options.log_buffer_bytes %u is no power of two from 256 KiB to 1 GiB",
            options.log_buffer_bytes);
    }
    if (options.spin_us == 0) {
        options.spin_us = preset->spin_us;
    }
    if (options.spin_us > 10000) {
        OPTIONS_REFUSE("options.spin_us %u is above 10000", options.spin_us);
    }
    if (options.io_backend > 2) {
        OPTIONS_REFUSE("options.io_backend %u is not 0, 1 or 2", options.io_backend);
    }
    if (options.huge_pages == 0) {
        options.huge_pages = preset->huge_pages;
    }
    if (options.recovery_threads == 0) {
        options.recovery_threads = warp_thread_cpus();
    }
    if (options.recovery_threads > WARP_SHARD_COUNT_MAX) {
        options.recovery_threads = WARP_SHARD_COUNT_MAX;
    }
    if (options.compaction == 0) {
        options.compaction = 1;
    }
    if (options.warm_up == 0) {
        options.warm_up = 1;
    }
    if (options.warm_up > 2) {
        OPTIONS_REFUSE("options.warm_up %u is not 0, 1 or 2", options.warm_up);
    }
    if (options.gravity == 0) {
        options.gravity = 2;
    }
    if (options.gravity > 2) {
        OPTIONS_REFUSE("options.gravity %u is not 0, 1 or 2", options.gravity);
    }
    if (options.wormholes == 0) {
        options.wormholes = 1;
    }
    if (options.wormholes > 2 || options.write_path > WARP_WRITE_MAILBOX) {
        OPTIONS_REFUSE("options.wormholes %u is not 0, 1 or 2, or write_path %u is no enum "
                       "warp_write_path",
                       options.wormholes, options.write_path);
    }
    if (options.wormholes == 2 && options.write_path == WARP_WRITE_ADAPTIVE) {
        options.write_path = WARP_WRITE_MAILBOX;
    }
    if (options.entanglement == 0) {
        options.entanglement = 2;
    }
    if (options.entanglement > 2) {
        OPTIONS_REFUSE("options.entanglement %u is not 0, 1 or 2", options.entanglement);
    }
    if (options.metrics_file == 0) {
        options.metrics_file = 1;
    }
    if (options.metrics_file > 2) {
        OPTIONS_REFUSE("options.metrics_file %u is not 0, 1 or 2", options.metrics_file);
    }
    if (options.timing == 0) {
        options.timing = 1;
    }
    if (options.timing > 3) {
        OPTIONS_REFUSE("options.timing %u is not 0, 1, 2 or 3", options.timing);
    }
    if (options.spare != 0) {
        OPTIONS_REFUSE("options.spare %u is not 0", options.spare);
    }
    if (options.hot_keys == 0) {
        options.hot_keys = 2;
    }
    if (options.hot_keys > 2 ||
        (options.hot_keys == 1 && options.timing == 2 && options.slow_ns == 0)) {
        OPTIONS_REFUSE("options.hot_keys %u is not 0, 1 or 2, or is 1 while no call is "
                       "timed",
                       options.hot_keys);
    }
    if (options.space_permille == 0) {
        options.space_permille = OPTIONS_SPACE_PERMILLE;
    }
    if (options.background_permille > 1000) {
        OPTIONS_REFUSE("options.background_permille %u is above 1000",
                       options.background_permille);
    }
    if (options.compaction > 2 || options.space_permille < 1050 ||
        options.space_permille > 1000000) {
        OPTIONS_REFUSE("options.compaction %u is not 0, 1 or 2, or space_permille %u is "
                       "not from 1050 to 1000000",
                       options.compaction, options.space_permille);
    }
    if (options.recovery_ms_max == 0) {
        options.recovery_ms_max = OPTIONS_RECOVERY_MS;
    }
    if (options.recovery_ms_max < 10 || options.recovery_ms_max > 3600000) {
        OPTIONS_REFUSE("options.recovery_ms_max %u is not from 10 to 3600000",
                       options.recovery_ms_max);
    }
    if (options.huge_pages > 2 || options.pin_threads > 1 || options.direct_io > 2 ||
        options.reserved != 0 || options.cache_policy > WARP_CACHE_SIEVE) {
        OPTIONS_REFUSE("options.huge_pages, pin_threads, direct_io, cache_policy or a "
                       "reserved field is out of range");
    }
    if (options.allocator != NULL &&
        (options.allocator->allocate == NULL || options.allocator->release == NULL)) {
        OPTIONS_REFUSE("options.allocator has no allocate or no release");
    }
    *out = options;
    return 0;
}

void warp_options_limits(const struct warp_options *options, struct warp_env *env)
{
    const struct options_preset *preset = options_find_preset(options->preset);

    if (env->segment_bytes == 0) {
        env->segment_bytes = options->segment_bytes;
    }
    if (env->log_buffer_bytes == 0) {
        env->log_buffer_bytes = options->log_buffer_bytes;
    }
    if (env->mailbox_capacity == 0) {
        env->mailbox_capacity = 256;
    }
    if (env->drain_max == 0) {
        env->drain_max = preset->drain_max;
    }
    if (env->flushes_in_flight_max == 0) {
        env->flushes_in_flight_max = 4;
    }
    if (env->flush_bytes_max == 0) {
        env->flush_bytes_max = 1u << 20;
    }
    if (env->compact_read_bytes == 0) {
        env->compact_read_bytes = 1u << 20;
    }
    if (env->reader_handles == 0) {
        env->reader_handles = 256;
    }
}
