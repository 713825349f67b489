/* cmd_quarantine.c: gribstore quarantine: which messages don't decode, and why. */
#include "client/call.h"
#include "client/cli/cmd.h"
#include "client/cli/output.h"
#include "client/cli/run_name.h"
#include "client/cli/table.h"
#include "client/indexer_api.h"
#include "proto/base/json_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { QUARANTINE_PAGE = 1000, QUARANTINE_PATH_MAX = 1024 };

struct quarantine_settings {
    struct common_settings common;
    char *kind;
};

#define AT(member) offsetof(struct quarantine_settings, member)
static const struct config_option quarantine_options[] = {
    COMMON_OPTIONS,
    { NULL, "class", 0, CONFIG_TEXT, AT(kind), NULL, NULL, "CLASS",
      "Only of this kind: refused, died, timed-out, garbage or no-heads." },
    { 0 },
};

static const struct table_column quarantine_columns[] = {
    { "source", false },  { "base_time", false }, { "class", false },
    { "eccodes", false }, { "digest", false },    { "reason", false },
};

struct quarantine_talk {
    struct cli *cli;
    const struct quarantine_settings *settings;
    struct run_name run;
    bool has_source;
    struct table table;
    struct buf buf;
    json_t *page; /* owned: the last answer */
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text;

    return json_opt_string(object, key, "", &text, NULL) == STATUS_OK ? text : "";
}

static void quarantine_print_entry(struct quarantine_talk *talk, const json_t *entry)
{
    static const char *const keys[] = { "source",  "base_time", "class",
                                        "eccodes", "digest",    "reason" };

    if (talk->cli->settings->json) {
        char *line = json_dumps(entry, JSON_COMPACT | JSON_PRESERVE_ORDER);
        if (line != NULL) {
            buf_text(&talk->buf, line);
            buf_text(&talk->buf, "\n");
        }
        free(line);
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
        table_cell(&talk->table, text_of(entry, keys[i]));
}

/* What is asked was written by the user: only characters that stand for themselves in a URL. */
static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/-", *text) == NULL)
            return false;
    return true;
}

static enum status quarantine_page(struct quarantine_talk *talk, const char *cursor, struct error *err)
{
    char path[QUARANTINE_PATH_MAX];
    struct call call = { .to = CALL_INDEXERS, .method = "GET", .path = path, .answer_max = INDEXER_ANSWER_MAX };
    json_t *page = NULL;
    int used = snprintf(path, sizeof path, INDEXER_QUARANTINE_PATH "?limit=%d", QUARANTINE_PAGE);

    if (talk->has_source)
        used += snprintf(path + used, sizeof path - (size_t)used, "&source=%s", talk->run.source);
    if (talk->has_source && talk->run.base_time[0] != '\0')
        used += snprintf(path + used, sizeof path - (size_t)used, "&base_time=%s", talk->run.base_time);
    if (talk->settings->kind != NULL)
        used += snprintf(path + used, sizeof path - (size_t)used, "&class=%.32s", talk->settings->kind);
    if (cursor != NULL)
        snprintf(path + used, sizeof path - (size_t)used, "&cursor=%.300s", cursor);
    if (!is_plain(cursor != NULL ? cursor : ""))
        return error_set(err, STATUS_MALFORMED, "the indexer's answer: next");
    enum status status = call_json(talk->cli->session, &call, &page, err);
    json_decref(talk->page);
    talk->page = page;
    return status;
}

static enum status quarantine_all(struct quarantine_talk *talk, struct error *err)
{
    enum status status = quarantine_page(talk, NULL, err);

    while (status == STATUS_OK) {
        json_t *entries, *entry;
        size_t i;
        status = json_get_array(talk->page, "entries", &entries, err);
        if (status != STATUS_OK)
            break;
        json_array_foreach (entries, i, entry)
            quarantine_print_entry(talk, entry);
        json_t *next = json_incref(json_object_get(talk->page, "next"));
        bool more = json_is_string(next) && i > 0;
        if (more)
            status = quarantine_page(talk, json_string_value(next), err);
        json_decref(next);
        if (!more)
            break;
    }
    return status;
}

/* Of all kinds, whatever was asked: on standard error, so that lines are entries alone. */
static void quarantine_tell_counts(const struct quarantine_talk *talk)
{
    json_t *classes = json_object_get(talk->page, "classes"), *count;
    const char *name;

    if (talk->cli->settings->quiet || talk->cli->settings->json)
        return;
    fprintf(stderr, "%" JSON_INTEGER_FORMAT " messages in quarantine",
            json_integer_value(json_object_get(talk->page, "count")));
    json_object_foreach (classes, name, count) {
        if (json_integer_value(count) > 0 && is_plain(name))
            fprintf(stderr, ", %" JSON_INTEGER_FORMAT " %s", json_integer_value(count), name);
    }
    fputc('\n', stderr);
}

static int quarantine_run(struct cli *cli, void *settings, char **arguments, size_t count)
{
    struct quarantine_talk talk = { .cli = cli, .settings = settings, .has_source = count == 1 };
    struct error err;

    if (count > 1 || (count == 1 && !is_plain(arguments[0])))
        return cli_usage(cli, "name one source or one run, as in hres or hres/20130408T0000Z");
    if (talk.settings->kind != NULL && !is_plain(talk.settings->kind))
        return cli_usage(cli, "--class: refused, died, timed-out, garbage or no-heads");
    if (count == 1)
        run_name_split(arguments[0], &talk.run);
    table_init(&talk.table, quarantine_columns, ARRAY_COUNT(quarantine_columns));
    buf_init(&talk.buf, CLI_OUTPUT_MAX);
    error_init(&err);
    enum status status = quarantine_all(&talk, &err);
    int code = GS_OK;
    if (status != STATUS_OK) {
        code = cli_fail_status(cli, status, &err);
    } else {
        if (talk.table.rows > 0)
            table_print(&talk.table, cli->out_tty, cli->out_tty, &talk.buf);
        code = cli_print(&talk.buf);
        quarantine_tell_counts(&talk);
    }
    json_decref(talk.page);
    table_fini(&talk.table);
    buf_fini(&talk.buf);
    return code;
}

const struct command command_quarantine = {
    .name = "quarantine",
    .arguments = "[SOURCE[/BASE_TIME]] [options]",
    .summary = "List messages that don't decode, and why",
    .examples = "  gribstore quarantine\n"
                "  gribstore quarantine hres/20130408T0000Z --class died\n"
                "  gribstore quarantine --json | jq -r .digest\n",
    .about = "A message that ecCodes refuses, or that kills or hangs it, is stored and readable by its digest, and is no field in\n"
             "the index. Another ecCodes release tries such messages again by itself when the indexer starts with it; `gribstore\n"
             "reindex` tries them at once. Off a terminal it is one line a message, values between tabs; how many of each kind\n"
             "there are is said on standard error.",
    .options = quarantine_options,
    .settings_size = sizeof(struct quarantine_settings),
    .run = quarantine_run,
};
