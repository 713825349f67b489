/* cmd_query.c: gribstore query: which fields are there, and where. */
#include "client/cli/cmd_query.h"

#include "client/cli/cmd.h"
#include "client/cli/output.h"
#include "client/cli/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct query_settings {
    struct common_settings common;
    struct ask_settings ask;
    char *format;
    bool count, axes;
};

static const struct config_option query_options[] = {
    ASK_OPTIONS(struct query_settings),
    { NULL, "format", 0, CONFIG_TEXT, offsetof(struct query_settings, format), "table", NULL,
      "table|json|ndjson|csv", "How to print; json and ndjson: one document a line, as --json." },
    { NULL, "count", 0, CONFIG_BOOL, offsetof(struct query_settings, count), NULL, NULL, NULL,
      "Only how many there are." },
    { NULL, "axes", 0, CONFIG_BOOL, offsetof(struct query_settings, axes), NULL, NULL, NULL,
      "Only which values each key has among them." },
    COMMON_OPTIONS,
    { 0 },
};

static const struct table_column query_columns[] = {
    { "source", false }, { "base_time", false }, { "param", false }, { "levtype", false },
    { "level", true },   { "step", true },       { "number", true }, { "length", true },
    { "digest", false }, { "offset", true },     { "url", false },
};

enum { QUERY_ROWS = 200 /* columns are measured over so many rows */ };

struct query_talk {
    struct cli *cli;
    struct table table;
    struct buf buf;
    uint64_t fields;
    bool json, head_shown;
    int code;
};

static void query_flush(struct query_talk *talk)
{
    bool people = talk->cli->out_tty;

    if (talk->table.rows > 0)
        table_print(&talk->table, people, people && !talk->head_shown, &talk->buf);
    talk->head_shown = true;
    if (talk->code == GS_OK && talk->buf.size > 0)
        talk->code = cli_print(&talk->buf);
}

static void query_add_row(struct query_talk *talk, const struct gs_field *field)
{
    static const char *const keys[] = { "source", "base_time", "param", "levtype" };
    struct gs_location location = { 0 };
    const char *level = gs_field_text(field, "levelist"), *digest = gs_field_text(field, "digest");
    const char *step = gs_field_text(field, "stepRange");

    for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
        table_cell(&talk->table, gs_field_text(field, keys[i]));
    table_cell(&talk->table, level != NULL ? level : gs_field_text(field, "level"));
    table_cell(&talk->table, step != NULL ? step : gs_field_text(field, "step"));
    table_cell(&talk->table, gs_field_text(field, "number"));
    table_cell(&talk->table, gs_field_text(field, "length"));
    if (talk->cli->out_tty && digest != NULL)
        table_cellf(&talk->table, "%.12s", digest);
    else
        table_cell(&talk->table, digest);
    if (gs_field_location(field, 0, &location) == 0) {
        table_cellf(&talk->table, "%" PRIu64, location.offset);
        table_cell(&talk->table, location.url);
    } else {
        table_cell(&talk->table, NULL);
        table_cell(&talk->table, NULL);
    }
}

static int query_on_field(void *user, const struct gs_field *field)
{
    struct query_talk *talk = user;

    talk->fields++;
    if (talk->json) {
        buf_text(&talk->buf, gs_field_json(field));
        buf_text(&talk->buf, "\n");
        if (talk->buf.size >= 64 << 10)
            query_flush(talk);
    } else {
        query_add_row(talk, field);
        if (talk->table.rows >= QUERY_ROWS)
            query_flush(talk);
    }
    return talk->code != GS_OK;
}

/* ---- the ways to print ---- */

static int data_on_data(void *user, const void *data, size_t size)
{
    int *code = user;

    *code = cli_write(data, size);
    return *code != GS_OK;
}

static int query_pass_on(struct cli *cli, const char *format, char **arguments, size_t count,
                         const struct gs_query_options *options)
{
    struct gs_error error;
    int code = GS_OK;

    if (gs_query_text(cli->session, (const char *const *)arguments, count, options, format,
                      data_on_data, &code, &error) != GS_OK)
        return cli_fail(cli, &error);
    return code;
}

static int query_count_only(struct cli *cli, char **arguments, size_t count,
                            const struct gs_query_options *options, uint64_t *fields)
{
    struct gs_error error;
    struct buf buf;

    if (gs_query_count(cli->session, (const char *const *)arguments, count, options, fields, &error) != GS_OK)
        return cli_fail(cli, &error);
    buf_init(&buf, 100);
    buf_format(&buf, cli->settings->json ? "{\"count\":%" PRIu64 "}\n" : "%" PRIu64 "\n", *fields);
    int code = cli_print(&buf);
    buf_fini(&buf);
    return code;
}

struct axes_talk {
    struct cli *cli;
    struct buf buf;
    struct json_writer json;
    char key[64];
};

static int axes_on_value(void *user, const char *key, const char *value)
{
    struct axes_talk *talk = user;
    bool first = strcmp(talk->key, key) != 0;

    if (talk->cli->settings->json) {
        if (first && talk->key[0] != '\0')
            json_array_end(&talk->json);
        if (first) {
            json_key(&talk->json, key);
            json_array_begin(&talk->json);
        }
        json_text(&talk->json, value);
    } else if (first) {
        buf_format(&talk->buf, "%s%s=%s", talk->key[0] != '\0' ? "\n" : "", key, value);
    } else {
        buf_format(&talk->buf, "/%s", value);
    }
    snprintf(talk->key, sizeof talk->key, "%s", key);
    return 0;
}

static int query_axes_only(struct cli *cli, char **arguments, size_t count,
                           const struct gs_query_options *options, uint64_t *fields)
{
    struct axes_talk talk = { .cli = cli };
    struct gs_error error;

    buf_init(&talk.buf, CLI_OUTPUT_MAX);
    json_init(&talk.json, &talk.buf);
    if (cli->settings->json)
        json_object_begin(&talk.json);
    int code = gs_query_axes(cli->session, (const char *const *)arguments, count, options, fields,
                             axes_on_value, &talk, &error);
    if (code == GS_OK && cli->settings->json && talk.key[0] != '\0')
        json_array_end(&talk.json);
    if (code == GS_OK && cli->settings->json)
        json_object_end(&talk.json);
    if (code != GS_OK)
        code = cli_fail(cli, &error);
    else if (talk.buf.size > 0) {
        buf_text(&talk.buf, "\n");
        code = cli_print(&talk.buf);
    }
    buf_fini(&talk.buf);
    return code;
}

static int query_print_fields(struct cli *cli, const struct query_settings *settings, char **arguments,
                              size_t count, const struct gs_query_options *options, uint64_t *fields)
{
    struct query_talk talk = { .cli = cli };
    struct gs_error error;

    talk.json = cli->settings->json || strcmp(settings->format, "json") == 0 ||
                strcmp(settings->format, "ndjson") == 0;
    table_init(&talk.table, query_columns, ARRAY_COUNT(query_columns));
    buf_init(&talk.buf, CLI_OUTPUT_MAX);
    int code = gs_query(cli->session, (const char *const *)arguments, count, options,
                        query_on_field, &talk, &error);
    query_flush(&talk);
    if (code != GS_OK)
        cli_fail(cli, &error);
    else if (talk.code == GS_OK && cli->out_tty && !talk.json)
        cli_say(cli, "%" PRIu64 " fields", talk.fields);
    *fields = talk.fields;
    table_fini(&talk.table);
    buf_fini(&talk.buf);
    return code != GS_OK ? code : talk.code;
}

static int query_run_request(struct cli *cli, const struct query_settings *settings,
                             char **arguments, size_t count, const struct gs_query_options *options)
{
    uint64_t fields = 0;
    int code;

    if (settings->count)
        code = query_count_only(cli, arguments, count, options, &fields);
    else if (settings->axes)
        code = query_axes_only(cli, arguments, count, options, &fields);
    else if (strcmp(settings->format, "csv") == 0) {
        struct gs_error error;
        code = query_pass_on(cli, "csv", arguments, count, options);
        /* Lines are not counted: a value may hold some. */
        if (code == GS_OK && settings->ask.expect != NULL &&
            gs_query_count(cli->session, (const char *const *)arguments, count, options, &fields,
                           &error) != GS_OK)
            code = cli_fail(cli, &error);
        if (settings->ask.expect == NULL)
            return code;
    } else
        code = query_print_fields(cli, settings, arguments, count, options, &fields);
    return code != GS_OK ? code
                         : ask_judge(cli, &settings->ask, arguments, count, options, fields, true);
}

static int query_run_command(struct cli *cli, void *data, char **arguments, size_t count)
{
    static const char *const formats[] = { "table", "json", "ndjson", "csv" };
    struct query_settings *settings = data;
    struct gs_query_options options;
    char *request = NULL;
    bool known = false;

    for (size_t i = 0; i < ARRAY_COUNT(formats); i++)
        known = known || strcmp(settings->format, formats[i]) == 0;
    if (!known)
        return cli_usage(cli, "--format takes table, json, ndjson or csv");
    if (settings->count && settings->axes)
        return cli_usage(cli, "--count or --axes");
    int code = ask_options(cli, &settings->ask, &options, &request);
    if (code == GS_OK)
        code = query_run_request(cli, settings, arguments, count, &options);
    free(request);
    return code;
}

const struct command command_query = {
    .name = "query",
    .arguments = "KEY=VALUE... | -f FILE [options]",
    .summary = "List the fields that have these keys, and where they are",
    .examples = "  gribstore query param=msl base_time=20130408T0000Z\n"
                "  gribstore query param=t/z levelist=500/850 step=0/to/24/by/6 source=hres --expect all\n"
                "  gribstore query source=hres base_time=latest --axes\n"
                "  gribstore query -f request.mars --sort step,-levelist --format csv > fields.csv\n"
                "  gribstore query param=2t --json | jq -r '.locations[0].url'",
    .about = "Keys and lists of values are those of MARS; without keys all fields are listed; base_time=latest is the\n"
             "newest run that is ready, of each source. On a terminal the answer is a table. Elsewhere it is one line a\n"
             "field, without a head, values between tabs: source, base_time, param, levtype, level, step, number, length,\n"
             "digest, offset, url. With --json it is one document a line. What the lists name and is not there is said\n"
             "on standard error when nothing is found, or with --expect.",
    .options = query_options,
    .settings_size = sizeof(struct query_settings),
    .run = query_run_command,
};
