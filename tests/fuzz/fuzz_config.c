/* fuzz_config.c: values of settings, and a node's settings file as a whole.
 *
 * Input: a byte (bit 0: a file), then the text. Sizes and durations are worked out a second time in more digits; a file that
 * is taken is printed and read again alike. */
#include "proto/base/config_value.h"
#include "storaged/settings.h"
#include "tests/fuzz/fuzz.h"

#include <getopt.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PRINTED_MAX = 1 << 20 };

struct unit {
    const char *name;
    uint64_t factor;
};

/* -1, or the value; unsigned __int128 holds whatever 19 digits and a tebibyte make. */
static int worked_out(const char *text, const struct unit *units, size_t count, uint64_t *value)
{
    unsigned __int128 number = 0;
    size_t digits = 0;

    for (; text[digits] >= '0' && text[digits] <= '9'; digits++) {
        number = number * 10 + (unsigned)(text[digits] - '0');
        if (number > UINT64_MAX)
            return -1;
    }
    for (size_t i = 0; i < count && digits > 0; i++) {
        if (strcmp(text + digits, units[i].name) != 0)
            continue;
        number *= units[i].factor;
        *value = (uint64_t)number;
        return number <= UINT64_MAX ? 0 : -1;
    }
    return -1;
}

static void check_value(const char *text)
{
    static const struct unit sizes[] = {
        { "", 1 },
        { "B", 1 },
        { "K", 1 << 10 },
        { "KiB", 1 << 10 },
        { "M", 1 << 20 },
        { "MiB", 1 << 20 },
        { "G", 1 << 30 },
        { "GiB", 1 << 30 },
        { "T", UINT64_C(1) << 40 },
        { "TiB", UINT64_C(1) << 40 },
    };
    static const struct unit times[] = { { "", 1000 },     { "ms", 1 },      { "s", 1000 },
                                         { "min", 60000 }, { "h", 3600000 }, { "d", 86400000 } };
    static const char *const names[] = { "listen", "line-max", "log-level", "node-token", NULL };
    uint64_t value = 0, right = 0;
    bool on;

    int rc = worked_out(text, sizes, ARRAY_COUNT(sizes), &right);
    MUST(config_parse_size(text, &value) == rc && (rc != 0 || value == right));
    rc = worked_out(text, times, ARRAY_COUNT(times), &right);
    MUST(config_parse_duration(text, &value) == rc && (rc != 0 || value == right));
    config_parse_bool(text, &on);
    const char *nearest = config_nearest(text, names);
    for (size_t i = 0; names[i] != NULL; i++)
        MUST(strcmp(text, names[i]) != 0 || nearest == names[i]);
}

/* Reads a file of just this text. */
static enum status load(const void *text, size_t size, struct settings *settings)
{
    int fd = memfd_create("settings", MFD_CLOEXEC);
    char name[] = "storaged", option[64], *arguments[] = { name, option, NULL };
    enum config_asked asked;
    struct error err;

    MUST(fd >= 0 && write(fd, text, size) == (ssize_t)size);
    snprintf(option, sizeof option, "--config=/proc/self/fd/%d", fd);
    *settings = (struct settings){ .config = NULL };
    optind = 0;
    error_init(&err);
    enum status status = settings_load(settings, 2, arguments, &asked, &err);
    MUST(status == STATUS_OK || err.text[0] != '\0');
    close(fd);
    return status;
}

static void check_file(const void *text, size_t size)
{
    struct settings settings, again;
    struct buf first, second;

    if (load(text, size, &settings) == STATUS_OK) {
        buf_init(&first, PRINTED_MAX);
        buf_init(&second, PRINTED_MAX);
        config_print_settings(&settings_program, &settings, &first);
        MUST(buf_status(&first) == STATUS_OK);
        MUST(load(first.data, first.size, &again) == STATUS_OK);
        config_print_settings(&settings_program, &again, &second);
        MUST(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
        settings_free(&again);
        buf_fini(&first);
        buf_fini(&second);
    }
    settings_free(&settings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };
    bool file = (fuzz_byte(&input) & 1) != 0;

    if (file) {
        check_file(input.data, input.size);
    } else {
        char *text = fuzz_text(input.data, input.size);
        check_value(text);
        free(text);
    }
    return 0;
}
