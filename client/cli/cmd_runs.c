/* cmd_runs.c: gribstore runs: which runs there are, in which state. */
#include "client/cli/cmd.h"
#include "client/cli/output.h"
#include "client/cli/run_name.h"
#include "client/cli/table.h"

#include <inttypes.h>

struct runs_settings {
    struct common_settings common;
};

static const struct config_option runs_options[] = { COMMON_OPTIONS, { 0 } };

static const struct table_column runs_columns[] = {
    { "source", false }, { "base_time", false }, { "state", false },      { "messages", true },
    { "fields", true },  { "bytes", true },      { "quarantined", true }, { "fingerprint", false },
};

struct runs_talk {
    struct cli *cli;
    struct table table;
    struct buf buf;
};

static int runs_on_run(void *user, const struct gs_run *run)
{
    struct runs_talk *talk = user;
    struct json_writer json;
    char bytes[CLI_SIZE_TEXT];

    if (talk->cli->settings->json) {
        json_init(&json, &talk->buf);
        json_put_run(&json, run);
        buf_text(&talk->buf, "\n");
        return 0;
    }
    table_cell(&talk->table, run->source);
    table_cell(&talk->table, run->base_time);
    table_cell(&talk->table, run->state);
    table_cellf(&talk->table, "%" PRIu64, run->messages);
    table_cellf(&talk->table, "%" PRIu64, run->fields);
    if (talk->cli->out_tty)
        table_cell(&talk->table, text_of_size(run->bytes, bytes));
    else
        table_cellf(&talk->table, "%" PRIu64, run->bytes);
    table_cellf(&talk->table, "%" PRIu64, run->quarantined);
    if (talk->cli->out_tty)
        table_cellf(&talk->table, "%.20s...", run->fingerprint);
    else
        table_cell(&talk->table, run->fingerprint);
    return 0;
}

static enum gs_status runs_ask(struct cli *cli, const char *name, struct runs_talk *talk,
                               struct gs_error *error)
{
    struct run_name parts;
    struct gs_run run;

    if (name == NULL || strchr(name, '/') == NULL)
        return gs_runs(cli->session, name, runs_on_run, talk, error);
    run_name_split(name, &parts);
    enum gs_status status = gs_run(cli->session, parts.source, parts.base_time, &run, error);
    if (status == GS_OK)
        runs_on_run(talk, &run);
    return status;
}

static int runs_run(struct cli *cli, void *settings, char **arguments, size_t count)
{
    struct runs_talk talk = { .cli = cli };
    struct gs_error error;

    (void)settings;
    if (count > 1)
        return cli_usage(cli, "name one source or one run, as in hres or hres/20130408T0000Z");
    table_init(&talk.table, runs_columns, ARRAY_COUNT(runs_columns));
    buf_init(&talk.buf, CLI_OUTPUT_MAX);
    int code = runs_ask(cli, count == 1 ? arguments[0] : NULL, &talk, &error);
    if (code != GS_OK) {
        cli_fail(cli, &error);
    } else {
        if (talk.table.rows > 0)
            table_print(&talk.table, cli->out_tty, cli->out_tty, &talk.buf);
        code = cli_print(&talk.buf);
    }
    table_fini(&talk.table);
    buf_fini(&talk.buf);
    return code;
}

const struct command command_runs = {
    .name = "runs",
    .arguments = "[SOURCE[/BASE_TIME]] [options]",
    .summary = "List runs: source, base_time, state, what they hold",
    .examples = "  gribstore runs\n"
                "  gribstore runs hres\n"
                "  gribstore runs hres/20130408T0000Z --json | jq .state",
    .about = "A run is all that a source has for one base_time: filling, then ready, at last retired and purged.\n"
             "Two clusters hold the same run exactly when its fingerprints agree. Off a terminal it is one line a run,\n"
             "without a head, values between tabs; with --json one document a line.",
    .options = runs_options,
    .settings_size = sizeof(struct runs_settings),
    .run = runs_run,
};
