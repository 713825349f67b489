/* cmd_check.c: gribstore check: do index and nodes agree, and has every message its copies? */
#include "client/check.h"
#include "client/cli/cmd.h"
#include "client/cli/output.h"
#include "client/cli/progress.h"
#include "client/cli/run_name.h"
#include "client/cli/table.h"

#include "proto/base/clock.h"

#include <inttypes.h>
#include <stdio.h>

struct check_settings {
    struct common_settings common;
    char *source, *run;
    bool repair;
    uint64_t settle_ms, wait_ms;
};

static const struct config_option check_options[] = {
    { NULL, "source", 's', CONFIG_TEXT, offsetof(struct check_settings, source), NULL, NULL, "NAME",
      "Only runs of this source." },
    { NULL, "run", 0, CONFIG_TEXT, offsetof(struct check_settings, run), NULL, NULL,
      "SOURCE/BASE_TIME", "Only this run." },
    { NULL, "repair", 0, CONFIG_BOOL, offsetof(struct check_settings, repair), NULL, NULL, NULL,
      "Ask whoever is responsible to mend what differs, then check again." },
    { NULL, "settle", 0, CONFIG_DURATION, offsetof(struct check_settings, settle_ms), "3s", NULL,
      "TIME", "How long a difference has to last before it is one." },
    { NULL, "wait", 0, CONFIG_DURATION, offsetof(struct check_settings, wait_ms), "60s", NULL,
      "TIME", "How long the index may take to catch up, and what was asked for to be done." },
    COMMON_OPTIONS,
    { 0 },
};

static const struct table_column check_columns[] = {
    { "finding", false }, { "run", false },     { "node", false },
    { "messages", true }, { "example", false },
};

static const char *const weight_names[] = {
    [CHECK_NOTE] = "note", [CHECK_UNSEEN] = "unseen", [CHECK_DIFFERENCE] = "difference", [CHECK_LOSS] = "loss"
};

/* --- JSON --- */

static void put_run(struct json_writer *json, bool has_run, const struct run_key *run)
{
    char name[RUN_TEXT_SIZE];

    if (has_run)
        run_key_print(run, name);
    json_put_string(json, "run", has_run ? name : NULL);
}

static void put_finding(struct json_writer *json, const struct check_finding *finding)
{
    const struct check_kind_info *info = check_kind_info(finding->kind);
    char digest[DIGEST_TEXT_SIZE];

    json_object_begin(json);
    json_put_string(json, "finding", info->name);
    json_put_string(json, "weight", weight_names[info->weight]);
    put_run(json, finding->has_run, &finding->run);
    json_put_string(json, "node", text_or_null(finding->node));
    json_put_u64(json, "count", finding->count);
    json_key(json, "examples");
    json_array_begin(json);
    for (unsigned i = 0; i < finding->examples_count; i++) {
        digest_print(&finding->examples[i], digest);
        json_text(json, digest);
    }
    json_array_end(json);
    json_put_string(json, "explanation", info->explanation);
    json_put_string(json, "detail", text_or_null(finding->detail));
    json_put_string(json, "repair", info->repair);
    json_object_end(json);
}

static void put_action(struct json_writer *json, const struct check_action *action)
{
    json_object_begin(json);
    json_put_string(json, "action", action->name);
    put_run(json, action->has_run, &action->run);
    json_put_string(json, "node", text_or_null(action->node));
    json_put_string(json, "error", text_or_null(action->error));
    json_object_end(json);
}

static int print_json(const struct check_report *report)
{
    struct json_writer json;
    struct buf buf;

    buf_init(&buf, CLI_OUTPUT_MAX);
    json_init(&json, &buf);
    json_object_begin(&json);
    json_put_bool(&json, "clean", check_report_weight(report) == CHECK_NOTE);
    json_put_string(&json, "weight", weight_names[check_report_weight(report)]);
    json_put_u64(&json, "epoch", report->epoch);
    json_put_u64(&json, "runs", report->runs);
    json_put_u64(&json, "nodes", report->nodes);
    json_put_u64(&json, "nodes_listed", report->nodes_listed);
    json_put_u64(&json, "locations", report->locations);
    json_put_u64(&json, "copies", report->messages);
    json_key(&json, "findings");
    json_array_begin(&json);
    for (size_t i = 0; i < report->findings_count; i++)
        put_finding(&json, &report->findings[i]);
    json_array_end(&json);
    json_key(&json, "actions");
    json_array_begin(&json);
    for (size_t i = 0; i < report->actions_count; i++)
        put_action(&json, &report->actions[i]);
    json_array_end(&json);
    json_put_u64(&json, "mended", report->mended);
    json_put_seconds(&json, "seconds", report->took_ms);
    json_object_end(&json);
    buf_text(&buf, "\n");
    int code = cli_print(&buf);
    buf_fini(&buf);
    return code;
}

/* --- for people --- */

static void table_finding(struct table *table, const struct check_finding *finding)
{
    char run[RUN_TEXT_SIZE], digest[DIGEST_TEXT_SIZE];

    if (finding->has_run)
        run_key_print(&finding->run, run);
    if (finding->examples_count > 0)
        digest_print(&finding->examples[0], digest);
    table_cell(table, check_kind_info(finding->kind)->name);
    table_cell(table, finding->has_run ? run : NULL);
    table_cell(table, text_or_null(finding->node));
    if (finding->count > 0)
        table_cellf(table, "%" PRIu64, finding->count);
    else
        table_cell(table, NULL);
    table_cell(table, finding->examples_count > 0 ? digest : text_or_null(finding->detail));
}

/* What a name means is said once. */
static void say_kinds(const struct cli *cli, const struct check_report *report)
{
    bool said[CHECK_KINDS] = { false };

    for (size_t i = 0; i < report->findings_count; i++) {
        const struct check_kind_info *info = check_kind_info(report->findings[i].kind);
        if (said[report->findings[i].kind])
            continue;
        said[report->findings[i].kind] = true;
        cli_say(cli, "%s: %s%s%s", info->name, info->explanation,
                info->repair != NULL ? "; --repair: " : "", info->repair != NULL ? info->repair : "");
    }
}

static int print_people(struct cli *cli, const struct check_report *report)
{
    static const char *const words[] = {
        [CHECK_NOTE] = "clean", [CHECK_UNSEEN] = "what could be looked at is clean", [CHECK_DIFFERENCE] = "there are differences", [CHECK_LOSS] = "bytes are lost"
    };
    struct table table;
    struct buf buf;
    char took[CLI_SIZE_TEXT];

    buf_init(&buf, CLI_OUTPUT_MAX);
    table_init(&table, check_columns, ARRAY_COUNT(check_columns));
    for (size_t i = 0; i < report->findings_count; i++)
        table_finding(&table, &report->findings[i]);
    if (table.rows > 0)
        table_print(&table, cli->out_tty, cli->out_tty, &buf);
    int code = cli_print(&buf);
    say_kinds(cli, report);
    for (size_t i = 0; i < report->actions_count; i++)
        cli_say(cli, "asked: %s%s%s%s%s", report->actions[i].name,
                report->actions[i].node[0] != '\0' ? " " : "", report->actions[i].node,
                report->actions[i].error[0] != '\0' ? ": " : "", report->actions[i].error);
    cli_say(cli,
            "%" PRIu64 " runs, %" PRIu64 " copies on %" PRIu64 " of %" PRIu64 " nodes, %" PRIu64
            " places in the index, in %s: %s",
            report->runs, report->messages, report->nodes_listed, report->nodes, report->locations,
            text_of_ms(report->took_ms, took), words[check_report_weight(report)]);
    table_fini(&table);
    buf_fini(&buf);
    return code;
}

/* --- the command --- */

static int check_code(const struct check_report *report)
{
    static const int codes[] = {
        [CHECK_NOTE] = GS_OK, [CHECK_UNSEEN] = GS_TEMPORARY, [CHECK_DIFFERENCE] = GS_PARTIAL, [CHECK_LOSS] = GS_CORRUPT
    };

    return codes[check_report_weight(report)];
}

static int check_go(struct cli *cli, const struct check_options *options)
{
    struct check_report report;
    struct error err;

    error_init(&err);
    enum status status = check_cluster(cli->session, options, &report, &err);
    int code = status != STATUS_OK   ? cli_fail_status(cli, status, &err)
               : cli->settings->json ? print_json(&report)
                                     : print_people(cli, &report);
    if (status == STATUS_OK && code == GS_OK)
        code = check_code(&report);
    check_report_fini(&report);
    return code;
}

static int check_run(struct cli *cli, void *data, char **arguments, size_t count)
{
    const struct check_settings *settings = data;
    struct progress progress = { .cli = cli };
    struct check_options options = { .source = settings->source,
                                     .repair = settings->repair,
                                     .settle_ms = settings->settle_ms,
                                     .wait_ms = settings->wait_ms,
                                     .on_text = progress_step,
                                     .user = &progress };
    struct run_key run;

    (void)arguments;
    if (count > 0)
        return cli_usage(cli, "it takes no names: --run SOURCE/BASE_TIME checks one run");
    int code = run_name_choose(cli, settings->run, &run, &options.source, &options.run);
    return code == GS_OK ? check_go(cli, &options) : code;
}

const struct command command_check = {
    .name = "check",
    .arguments = "[--source NAME | --run SOURCE/BASE_TIME] [--repair] [options]",
    .summary = "Hold index and nodes against each other, and mend what differs",
    .examples = "  gribstore check\n"
                "  gribstore check --run hres/20130408T0000Z --json | jq '.findings[]'\n"
                "  gribstore check --repair --wait 10min\n",
    .about = "Every place that the index names is looked for in what the nodes list, every message that a node lists in the\n"
             "index, and every message on the nodes that own it. What differs is looked at twice; a node that does not\n"
             "answer is named, and nothing follows from it. --repair asks the index to read runs again, and nodes to look\n"
             "at each other now; it deletes nothing. It needs a token of an admin. Exit code 0: clean; 3: differences; 5: not\n"
             "all could be looked at; 7: messages are lost.",
    .options = check_options,
    .settings_size = sizeof(struct check_settings),
    .run = check_run,
};
