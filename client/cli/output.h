/* output.h: how the command speaks: data on standard output, talk on standard error, errors with what to do next. */
#ifndef CLIENT_CLI_OUTPUT_H
#define CLIENT_CLI_OUTPUT_H

#include "client/cli/command.h"
#include "client/session.h"
#include "proto/base/json_write.h"

struct cli {
    const struct command *command;
    const struct common_settings *settings;
    struct gs_session *session; /* NULL for an offline command */
    bool out_tty, err_tty, color;
};

enum { CLI_OUTPUT_MAX = 64 << 20, CLI_SIZE_TEXT = 32 };

/* To standard output, at once. Exit code 0, or 1 when it takes nothing more. */
int cli_write(const void *data, size_t size);
int cli_print(struct buf *buf); /* and clears it */

/* Talk, unless --quiet or --json. */
void cli_say(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Tells an error; the exit code that belongs to it. With --json as one line of JSON. */
int cli_fail(const struct cli *cli, const struct gs_error *error);
int cli_fail_status(const struct cli *cli, enum status status, const struct error *err);
int cli_usage(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "1.5 GB", "12.0 kB", "740 B"; "2:05", "1:02:03", "0.8 s". Pure. */
const char *text_of_size(uint64_t size, char text[CLI_SIZE_TEXT]);
const char *text_or_null(const char *text); /* NULL for "" */
const char *text_of_ms(uint64_t ms, char text[CLI_SIZE_TEXT]);

/* Members of a JSON object. */
void json_put_error(struct json_writer *json, const struct gs_error *error);
void json_put_seconds(struct json_writer *json, const char *key, uint64_t ms);
void json_put_run(struct json_writer *json, const struct gs_run *run); /* the run as one object */

#endif
