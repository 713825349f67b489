/* output.c: data, talk and errors. */
#include "client/cli/output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int cli_write(const void *data, size_t size)
{
    while (size > 0) {
        ssize_t put = write(STDOUT_FILENO, data, size);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno == EPIPE)
            return GS_FAILED; /* who read has had enough */
        if (put < 0) {
            fprintf(stderr, "gribstore: standard output: %s\n", strerror(errno));
            return GS_FAILED;
        }
        data = (const char *)data + put;
        size -= (size_t)put;
    }
    return GS_OK;
}

int cli_print(struct buf *buf)
{
    if (buf_status(buf) != STATUS_OK) {
        fprintf(stderr, "gribstore: the output is too large\n");
        return GS_FAILED;
    }
    int code = cli_write(buf->data, buf->size);
    buf_clear(buf);
    return code;
}

void cli_say(const struct cli *cli, const char *format, ...)
{
    va_list list;

    if (cli->settings->quiet || cli->settings->json)
        return;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

void json_put_error(struct json_writer *json, const struct gs_error *error)
{
    json_object_begin(json);
    json_put_string(json, "status", gs_status_name(error->status));
    json_put_u64(json, "exit_code", error->status);
    json_put_string(json, "code", error->code);
    json_put_string(json, "detail", error->text);
    if (error->has_offset)
        json_put_u64(json, "offset", error->offset);
    if (error->next[0] != '\0')
        json_put_string(json, "next", error->next);
    json_object_end(json);
}

int cli_fail(const struct cli *cli, const struct gs_error *error)
{
    struct json_writer json;
    struct buf buf;

    if (!cli->settings->json) {
        const char *bold = cli->color ? "\033[1m" : "", *plain = cli->color ? "\033[0m" : "";

        fprintf(stderr, "%sgribstore %s: %s%s\n", bold, cli->command->name, error->text, plain);
        if (error->next[0] != '\0')
            fprintf(stderr, "  -> %s\n", error->next);
        return (int)error->status;
    }
    buf_init(&buf, 64 << 10);
    json_init(&json, &buf);
    json_object_begin(&json);
    json_key(&json, "error");
    json_put_error(&json, error);
    json_object_end(&json);
    fprintf(stderr, "%s\n", buf_string(&buf));
    buf_fini(&buf);
    return (int)error->status;
}

int cli_fail_status(const struct cli *cli, enum status status, const struct error *err)
{
    struct gs_error error;

    gs_error_fill(&error, status, err);
    return cli_fail(cli, &error);
}

int cli_usage(const struct cli *cli, const char *format, ...)
{
    struct gs_error error = { .status = GS_USAGE, .code = "usage" };
    va_list list;

    va_start(list, format);
    vsnprintf(error.text, sizeof error.text, format, list);
    va_end(list);
    snprintf(error.next, sizeof error.next, "`gribstore %s --help` shows examples", cli->command->name);
    return cli_fail(cli, &error);
}

const char *text_of_size(uint64_t size, char text[CLI_SIZE_TEXT])
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
    double value = (double)size;
    unsigned unit = 0;

    while (value >= 999.95 && unit + 1 < ARRAY_COUNT(units)) {
        value /= 1000;
        unit++;
    }
    snprintf(text, CLI_SIZE_TEXT, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return text;
}

const char *text_or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

const char *text_of_ms(uint64_t ms, char text[CLI_SIZE_TEXT])
{
    unsigned long long seconds = ms / 1000;

    if (ms < 60000)
        snprintf(text, CLI_SIZE_TEXT, "%.1f s", (double)ms / 1000);
    else if (seconds < 3600)
        snprintf(text, CLI_SIZE_TEXT, "%llu:%02llu", seconds / 60, seconds % 60);
    else
        snprintf(text, CLI_SIZE_TEXT, "%llu:%02llu:%02llu", seconds / 3600, seconds / 60 % 60,
                 seconds % 60);
    return text;
}

void json_put_seconds(struct json_writer *json, const char *key, uint64_t ms)
{
    json_put_double(json, key, (double)ms / 1000);
}

void json_put_run(struct json_writer *json, const struct gs_run *run)
{
    json_object_begin(json);
    json_put_string(json, "source", run->source);
    json_put_string(json, "base_time", run->base_time);
    json_put_string(json, "state", run->state);
    json_put_u64(json, "incarnation", run->incarnation);
    json_put_u64(json, "version", run->version);
    json_put_u64(json, "messages", run->messages);
    json_put_u64(json, "fields", run->fields);
    json_put_u64(json, "bytes", run->bytes);
    json_put_u64(json, "quarantined", run->quarantined);
    json_put_string(json, "fingerprint", run->fingerprint);
    json_object_end(json);
}
