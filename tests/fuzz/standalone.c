/*
 * A main for fuzz targets where there is no libFuzzer.
 *
 *     fuzz_scan [-runs=N] [-seed=S] [-max_len=BYTES] [FILE | DIRECTORY]...
 *
 * Runs the target on every file given; then, with -runs, on N random changes of those files
 * (or of nothing). The same seed makes the same inputs. A finding ends the process, as in
 * libFuzzer, and the input is left in crash-input.
 */
#include <dirent.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/random.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUTS_MAX 4096u

struct input {
    uint8_t *data;
    size_t bytes;
};

static struct input inputs[INPUTS_MAX];
static uint32_t input_count;
static uint64_t ran;

/* The input that runs now, for the signal handler. */
static const uint8_t *running;
static size_t running_bytes;

static void leave_input(int number)
{
    FILE *file = fopen("crash-input", "wb");

    if (file != NULL) {
        fwrite(running, 1, running_bytes, file);
        fclose(file);
    }
    signal(number, SIG_DFL);
    raise(number);
}

static void run(const uint8_t *data, size_t bytes)
{
    /* Its own block of its own size, so that a sanitizer sees a read past the end. */
    uint8_t *copy = malloc(bytes > 0 ? bytes : 1);

    if (copy == NULL) {
        abort();
    }
    if (bytes > 0) {
        memcpy(copy, data, bytes);
    }
    running = copy;
    running_bytes = bytes;
    LLVMFuzzerTestOneInput(copy, bytes);
    free(copy);
    ran++;
}

static void add_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct input *input;
    long size;

    if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(2);
    }
    rewind(file);
    if (input_count == INPUTS_MAX) {
        fclose(file);
        return;
    }
    input = &inputs[input_count++];
    input->bytes = (size_t)size;
    input->data = malloc(input->bytes > 0 ? input->bytes : 1);
    if (input->data == NULL || fread(input->data, 1, input->bytes, file) != input->bytes) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(2);
    }
    fclose(file);
}

static void add(const char *path)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    char name[4096];

    if (directory == NULL) {
        add_file(path);
        return;
    }
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.') {
            snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
            add_file(name);
        }
    }
    closedir(directory);
}

/* One to eight small changes. */
static size_t mutate(struct warp_random *random, uint8_t *data, size_t bytes, size_t max)
{
    uint64_t changes = 1 + warp_random_below(random, 8);

    while (changes-- > 0) {
        size_t at = bytes > 0 ? warp_random_below(random, bytes) : 0;
        size_t length, other;

        switch (warp_random_below(random, 7)) {
        case 0: /* flip a bit */
            if (bytes > 0) {
                data[at] ^= (uint8_t)(1u << warp_random_below(random, 8));
            }
            break;
        case 1: /* set a byte */
            if (bytes > 0) {
                data[at] = (uint8_t)warp_random_next(random);
            }
            break;
        case 2: /* an interesting number */
            if (bytes >= at + 4) {
                static const uint32_t numbers[] = {
                    0, 1, 0xffffffffu, 0x7fffffffu, 0x80000000u, 4096, 32};
                uint32_t number = numbers[warp_random_below(random, 7)];

                memcpy(data + at, &number, 4);
            }
            break;
        case 3: /* cut */
            bytes = at;
            break;
        case 4: /* append */
            length = warp_random_below(random, 64);
            while (length-- > 0 && bytes < max) {
                data[bytes++] = (uint8_t)warp_random_next(random);
            }
            break;
        case 5: /* copy a piece over another */
            if (bytes > 0) {
                other = warp_random_below(random, bytes);
                length = warp_random_below(random, 128);
                length = length < bytes - at ? length : bytes - at;
                length = length < bytes - other ? length : bytes - other;
                memmove(data + at, data + other, length);
            }
            break;
        default: /* zeros */
            length = warp_random_below(random, 64);
            length = length < bytes - at ? length : bytes - at;
            if (bytes > 0) {
                memset(data + at, 0, length);
            }
            break;
        }
    }
    return bytes;
}

int main(int argc, char **argv)
{
    uint64_t runs = 0, seed = 1, i;
    size_t max = 65536;
    struct warp_random random;
    uint8_t *data;
    int argument;

    for (argument = 1; argument < argc; argument++) {
        if (strncmp(argv[argument], "-runs=", 6) == 0) {
            runs = strtoull(argv[argument] + 6, NULL, 10);
        } else if (strncmp(argv[argument], "-seed=", 6) == 0) {
            seed = strtoull(argv[argument] + 6, NULL, 10);
        } else if (strncmp(argv[argument], "-max_len=", 9) == 0) {
            max = strtoull(argv[argument] + 9, NULL, 10);
        } else if (argv[argument][0] != '-') {
            add(argv[argument]);
        } /* other options are libFuzzer's */
    }
    signal(SIGABRT, leave_input);
    signal(SIGSEGV, leave_input);
    data = malloc(max > 0 ? max : 1);
    if (data == NULL) {
        return 2;
    }
    for (i = 0; i < input_count; i++) {
        run(inputs[i].data, inputs[i].bytes);
    }
    warp_random_init(&random, seed);
    for (i = 0; i < runs; i++) {
        size_t bytes = 0;

        if (input_count > 0) {
            const struct input *from = &inputs[warp_random_below(&random, input_count)];

            bytes = from->bytes < max ? from->bytes : max;
            memcpy(data, from->data, bytes);
        }
        bytes = mutate(&random, data, bytes, max);
        run(data, bytes);
    }
    printf("%llu inputs, no finding\n", (unsigned long long)ran);
    while (input_count > 0) {
        free(inputs[--input_count].data);
    }
    free(data);
    return 0;
}
