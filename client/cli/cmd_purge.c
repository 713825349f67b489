/* cmd_purge.c: gribstore purge: one run out of the store, with a way back. */
#include "client/cli/cmd.h"
#include "client/cli/output.h"
#include "client/runs.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

struct purge_settings {
    struct common_settings common;
    uint64_t grace_ms;
    bool yes, force, undo;
};

static const struct config_option purge_options[] = {
    { NULL, "yes", 'y', CONFIG_BOOL, offsetof(struct purge_settings, yes), NULL, NULL, NULL,
      "Do it without asking." },
    { NULL, "grace", 0, CONFIG_DURATION, offsetof(struct purge_settings, grace_ms), "15min", NULL,
      "TIME", "How long --undo brings it back." },
    { NULL, "force", 0, CONFIG_BOOL, offsetof(struct purge_settings, force), NULL, NULL, NULL,
      "Even the newest ready run of its source." },
    { NULL, "undo", 0, CONFIG_BOOL, offsetof(struct purge_settings, undo), NULL, NULL, NULL,
      "Bring a run back whose grace is not over." },
    COMMON_OPTIONS,
    { 0 },
};

/* Is it the newest ready run of its source? */
static enum status purge_is_newest(struct gs_session *session, const struct gs_run *run,
                                   bool *newest, struct error *err)
{
    struct run_list list;

    *newest = false;
    enum status status = run_list_get(session, run->source, &list, err);
    for (size_t i = 0; status == STATUS_OK && i < list.count; i++) {
        if (strcmp(list.items[i].state, "ready") == 0)
            *newest = strcmp(list.items[i].base_time, run->base_time) ==
                      0; /* the last one stands: ordered by base_time */
    }
    run_list_fini(&list);
    return status;
}

static int purge_print(const struct cli *cli, const struct gs_run *run)
{
    struct json_writer json;
    struct buf buf;

    if (!cli->settings->json)
        return GS_OK;
    buf_init(&buf, CLI_OUTPUT_MAX);
    json_init(&json, &buf);
    json_put_run(&json, run);
    buf_text(&buf, "\n");
    int code = cli_print(&buf);
    buf_fini(&buf);
    return code;
}

static bool purge_asked(const struct cli *cli, const struct gs_run *run)
{
    char answer[64] = "";

    if (!cli->err_tty || !isatty(STDIN_FILENO))
        return false;
    fprintf(stderr, "Purge %s/%s? Type the base_time to go on: ", run->source, run->base_time);
    if (fgets(answer, sizeof answer, stdin) == NULL)
        return false;
    answer[strcspn(answer, "\r\n")] = '\0';
    return strcmp(answer, run->base_time) == 0;
}

static int purge_refuse(const struct cli *cli, const char *text, const char *next)
{
    struct gs_error error = { .status = GS_REFUSED, .code = "refused" };

    snprintf(error.text, sizeof error.text, "%s", text);
    snprintf(error.next, sizeof error.next, "%s", next);
    return cli_fail(cli, &error);
}

/* OK: go on. */
static int purge_check(struct cli *cli, const struct purge_settings *settings, const struct gs_run *run)
{
    struct error err;
    bool newest;

    error_init(&err);
    enum status status = purge_is_newest(cli->session, run, &newest, &err);
    if (status != STATUS_OK)
        return cli_fail_status(cli, status, &err);
    if (newest && !settings->force)
        return purge_refuse(cli, "this is the newest ready run of its source: readers use it now",
                            "make a newer run ready first, or say --force");
    if (settings->yes || purge_asked(cli, run))
        return GS_OK;
    return purge_refuse(cli, "nothing was done: purging needs a yes", "say --yes");
}

static int purge_undo(struct cli *cli, const char *source, const char *base_time)
{
    char text[GS_TEXT_SIZE];
    struct gs_error error;
    struct gs_run run;

    if (gs_run(cli->session, source, base_time, &run, &error) != GS_OK)
        return cli_fail(cli, &error);
    if (strcmp(run.state, "retired") != 0) { /* ready would be a run that nobody has finished filling */
        snprintf(text, sizeof text, "%s/%s is %s: there is nothing to undo", run.source,
                 run.base_time, run.state);
        return purge_refuse(cli, text, "`gribstore runs` lists which runs are retired");
    }
    if (gs_run_ready(cli->session, source, base_time, &run, &error) != GS_OK)
        return cli_fail(cli, &error);
    cli_say(cli, "%s/%s is %s again", run.source, run.base_time, run.state);
    return purge_print(cli, &run);
}

static int purge_run(struct cli *cli, void *data, char **arguments, size_t count)
{
    struct purge_settings *settings = data;
    struct gs_error error;
    struct gs_run run;
    char text[CLI_SIZE_TEXT];

    if (count != 2)
        return cli_usage(cli, "name a source and a base_time, as in hres 20130408T0000Z");
    if (settings->undo)
        return purge_undo(cli, arguments[0], arguments[1]);
    if (gs_run(cli->session, arguments[0], arguments[1], &run, &error) != GS_OK)
        return cli_fail(cli, &error);
    cli_say(cli, "%s/%s is %s: %" PRIu64 " messages, %" PRIu64 " fields, %s", run.source,
            run.base_time, run.state, run.messages, run.fields, text_of_size(run.bytes, text));
    int code = purge_check(cli, settings, &run);
    if (code != GS_OK)
        return code;
    if (gs_run_retire(cli->session, arguments[0], arguments[1], settings->grace_ms, &run, &error) != GS_OK)
        return cli_fail(cli, &error);
    cli_say(cli, "its records leave the index now, its bytes in %s; until then `gribstore purge --undo %s %s` brings it back",
            text_of_ms(settings->grace_ms, text), run.source, run.base_time);
    return purge_print(cli, &run);
}

const struct command command_purge = {
    .name = "purge",
    .arguments = "SOURCE BASE_TIME [--yes] [options]",
    .summary = "Remove one run, with a while to undo it",
    .examples = "  gribstore purge hres 20130407T1200Z                  say what it holds, and ask\n"
                "  gribstore purge hres 20130407T1200Z --yes --grace 1h\n"
                "  gribstore purge hres 20130407T1200Z --undo",
    .about = "The run's records leave the index at once, so that no query finds it; its bytes follow when the\n"
             "grace is over. Off a terminal nothing happens without --yes. The newest ready run of a source is refused without\n"
             "--force. `gribstore rotate` does this for runs past retention.",
    .options = purge_options,
    .settings_size = sizeof(struct purge_settings),
    .run = purge_run,
};
