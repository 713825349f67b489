/* cmd_query.c: gribstore query: which fields are there, and where. */
#include "client/cli/cmd.h"
#include "client/cli/output.h"
#include "client/cli/table.h"

#include <inttypes.h>
#include <stdio.h>

struct query_settings {
    struct common_settings common;
    uint64_t limit;
    bool all;
};

static const struct config_option query_options[] = {
    { NULL, "limit", 'l', CONFIG_COUNT, offsetof(struct query_settings, limit), "0", NULL, "N",
      "At most so many fields; 0: all." },
    { NULL, "all", 0, CONFIG_BOOL, offsetof(struct query_settings, all), NULL, NULL, NULL,
      "Older issues of a field too." },
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
    bool head_shown;
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
    if (talk->cli->settings->json) {
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

static int query_run_command(struct cli *cli, void *data, char **arguments, size_t count)
{
    struct query_settings *settings = data;
    struct gs_query_options options = { .limit = settings->limit, .all = settings->all };
    struct query_talk talk = { .cli = cli };
    struct gs_error error;

    table_init(&talk.table, query_columns, ARRAY_COUNT(query_columns));
    buf_init(&talk.buf, CLI_OUTPUT_MAX);
    int code = gs_query(cli->session, (const char *const *)arguments, count, &options,
                        query_on_field, &talk, &error);
    query_flush(&talk);
    if (code != GS_OK)
        cli_fail(cli, &error);
    else if (talk.code == GS_OK && cli->out_tty && !settings->common.json)
        cli_say(cli, "%" PRIu64 " fields", talk.fields);
    table_fini(&talk.table);
    buf_fini(&talk.buf);
    return code != GS_OK ? code : talk.code;
}

const struct command command_query = {
    .name = "query",
    .arguments = "KEY=VALUE... [options]",
    .summary = "List the fields that have these keys, and where they are",
    .examples = "  gribstore query param=msl base_time=20130408T0000Z\n"
                "  gribstore query param=t/z levelist=500/850 step=0/to/24/by/6 source=hres\n"
                "  gribstore query param=2t --json | jq -r '.locations[0].url'",
    .about = "Keys and lists of values are those of MARS; without keys all fields are listed. On a terminal the\n"
             "answer is a table. Elsewhere it is one line a field, without a head, values between tabs: source, base_time,\n"
             "param, levtype, level, step, number, length, digest, offset, url. With --json it is one document a line.",
    .options = query_options,
    .settings_size = sizeof(struct query_settings),
    .run = query_run_command,
};
