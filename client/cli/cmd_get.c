/* cmd_get.c: gribstore get: messages out of the store, checked. */
#include "client/cli/cmd_get.h"

#include "client/cli/cmd.h"
#include "client/cli/cmd_query.h"
#include "client/cli/progress.h"
#include "client/get.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct get_settings {
    struct common_settings common;
    struct ask_settings ask;
    char *output, *url, *range;
};

static const struct config_option get_options[] = {
    { NULL, "output", 'o', CONFIG_TEXT, offsetof(struct get_settings, output), "-", NULL, "FILE",
      "Where to write; it has its name only once it is whole. -: standard output." },
    ASK_OPTIONS(struct get_settings),
    { NULL, "url", 0, CONFIG_TEXT, offsetof(struct get_settings, url), NULL, NULL, "URL",
      "A data file, with --range: its bytes as they are." },
    { NULL, "range", 0, CONFIG_LIST, offsetof(struct get_settings, range), NULL, NULL,
      "OFFSET-LENGTH", "So many bytes from there; several are written one after the other." },
    COMMON_OPTIONS,
    { 0 },
};

/* ---- the output: a file under another name until it is whole ---- */

struct output {
    struct cli *cli;
    struct progress progress;
    const char *path;
    char *part_path; /* owned; NULL: standard output */
    int fd;
    uint64_t bytes;
    int error_number;
};

static bool output_is_file(const char *path)
{
    struct stat info;

    return stat(path, &info) != 0 || S_ISREG(info.st_mode); /* a device or a pipe is written to as it is */
}

static int output_open(struct output *output, struct cli *cli, const char *path)
{
    *output = (struct output){ .cli = cli, .path = path, .fd = STDOUT_FILENO };
    progress_init(&output->progress, cli);
    if (strcmp(path, "-") == 0)
        return GS_OK;
    if (output_is_file(path)) {
        size_t size = strlen(path) + sizeof ".part-XXXXXX";

        output->part_path = malloc(size);
        if (output->part_path == NULL)
            return GS_FAILED;
        snprintf(output->part_path, size, "%s.part-XXXXXX", path);
        output->fd = mkstemp(output->part_path);
    } else {
        output->fd = open(path, O_WRONLY | O_CLOEXEC);
    }
    if (output->fd >= 0)
        return GS_OK;
    fprintf(stderr, "gribstore get: %s: %s\n", path, strerror(errno));
    free(output->part_path);
    return GS_FAILED;
}

static int output_sink(void *user, const void *data, size_t size)
{
    struct output *output = user;
    char text[64];

    output->bytes += size;
    while (size > 0) {
        ssize_t put = write(output->fd, data, size);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0) {
            output->error_number = errno;
            return -1;
        }
        data = (const char *)data + put;
        size -= (size_t)put;
    }
    snprintf(text, sizeof text, "to %.40s", output->path);
    progress_show(&output->progress, output->bytes, 0, text);
    return 0;
}

/* The exit code: what it was, or that of what went wrong here. */
static int output_close(struct output *output, int code)
{
    mode_t mask = umask(0);

    umask(mask);
    progress_clear(&output->progress);
    if (output->error_number != 0)
        fprintf(stderr, "gribstore get: %s: %s\n", output->path, strerror(output->error_number));
    if (output->part_path == NULL) {
        if (output->fd != STDOUT_FILENO)
            close(output->fd);
        return code;
    }
    bool kept = code == GS_OK && fchmod(output->fd, 0666 & ~mask) == 0 && fsync(output->fd) == 0;
    kept = close(output->fd) == 0 && kept && rename(output->part_path, output->path) == 0;
    if (code == GS_OK && !kept) {
        fprintf(stderr, "gribstore get: %s: %s\n", output->path, strerror(errno));
        code = GS_FAILED;
    }
    if (!kept)
        unlink(output->part_path);
    free(output->part_path);
    return code;
}

/* ---- arguments ---- */

bool range_parse(const char **rest, uint64_t *offset, uint64_t *length)
{
    size_t size = strcspn(*rest, ",");
    const char *dash = memchr(*rest, '-', size);

    if (dash == NULL || decimal_parse(*rest, (size_t)(dash - *rest), INT64_MAX, offset) != 0 ||
        decimal_parse(dash + 1, size - (size_t)(dash + 1 - *rest), INT64_MAX, length) != 0 ||
        *length == 0)
        return false;
    *rest += size;
    *rest += **rest == ',';
    return true;
}

/* ---- the three ways ---- */

static int get_ranges(struct cli *cli, const struct get_settings *settings, struct output *output)
{
    const char *rest = settings->range != NULL ? settings->range : "";
    struct gs_error error;

    if (rest[0] == '\0')
        return cli_usage(cli, "--url needs at least one --range OFFSET-LENGTH");
    while (*rest != '\0') {
        uint64_t offset, length;

        if (!range_parse(&rest, &offset, &length))
            return cli_usage(cli, "--range %s is no OFFSET-LENGTH, as in --range 1024-500", rest);
        if (gs_get_range(cli->session, settings->url, offset, length, output_sink, output, &error) != GS_OK)
            return cli_fail(cli, &error);
    }
    return GS_OK;
}

static int get_digests(struct cli *cli, char **arguments, size_t count, struct output *output)
{
    struct gs_error error;

    for (size_t i = 0; i < count; i++) {
        if (gs_get_digest(cli->session, arguments[i], output_sink, output, &error) != GS_OK)
            return cli_fail(cli, &error);
    }
    return GS_OK;
}

static void get_say(struct cli *cli, struct output *output, const struct gs_get_summary *summary)
{
    char bytes[CLI_SIZE_TEXT];

    progress_clear(&output->progress);
    if (output->part_path != NULL && summary->messages > 0)
        cli_say(cli, "%" PRIu64 " messages, %s, every one checked", summary->messages,
                text_of_size(summary->bytes, bytes));
    if (summary->bad_copies > 0)
        cli_say(cli, "%" PRIu64 " copies had wrong bytes and were passed over", summary->bad_copies);
}

static int get_query(struct cli *cli, const struct get_settings *settings, char **arguments,
                     size_t count, struct output *output)
{
    struct gs_query_options options;
    struct gs_get_summary summary;
    struct gs_error error;
    char *request;

    int code = ask_options(cli, &settings->ask, &options, &request);
    if (code == GS_OK && gs_get_query(cli->session, (const char *const *)arguments, count, &options,
                                      output_sink, output, &summary, &error) != GS_OK)
        code = cli_fail(cli, &error);
    if (code == GS_OK) {
        get_say(cli, output, &summary);
        code = ask_judge(cli, &settings->ask, arguments, count, &options, summary.fields, false);
    }
    free(request);
    return code;
}

static int get_run(struct cli *cli, void *data, char **arguments, size_t count)
{
    struct get_settings *settings = data;
    struct digest digest;
    struct output output;
    uint64_t expected;
    bool any, all;

    if (count == 0 && settings->url == NULL && settings->ask.file == NULL)
        return cli_usage(cli, "say what to get: a digest, keys (param=msl), -f FILE, or --url with --range");
    if (settings->ask.expect != NULL && !expect_parse(settings->ask.expect, &any, &all, &expected))
        return cli_usage(cli, "--expect takes any, all or a number");
    if (cli->out_tty && strcmp(settings->output, "-") == 0)
        return cli_usage(cli, "GRIB is no text: give -o FILE, or send it on with | or >");
    int code = output_open(&output, cli, settings->output);
    if (code != GS_OK)
        return code;
    if (settings->url != NULL)
        code = get_ranges(cli, settings, &output);
    else if (count > 0 && digest_parse_text(arguments[0], &digest))
        code = get_digests(cli, arguments, count, &output);
    else
        code = get_query(cli, settings, arguments, count, &output);
    return output_close(&output, code);
}

const struct command command_get = {
    .name = "get",
    .arguments = "DIGEST... | KEY=VALUE... | -f FILE | --url URL --range OFFSET-LENGTH [options]",
    .summary = "Fetch messages, each checked against its digest",
    .examples = "  gribstore get param=msl base_time=20130408T0000Z step=0 --expect 1 -o msl.grib\n"
                "  gribstore get sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 > a.grib\n"
                "  gribstore get --url http://node:8410/data/hres/20130408T0000Z/0017-6f3a92c1d0e4b7a5.grib --range 0-4711 -o b.grib",
    .about = "By keys: the index says where each field's message is; it is read from the first place whose bytes\n"
             "have the digest. By digest: any node finds it. Wrong bytes are never written: when no copy is good the\n"
             "exit code is 7. A message that holds several of the fields is written once.",
    .options = get_options,
    .settings_size = sizeof(struct get_settings),
    .run = get_run,
};
