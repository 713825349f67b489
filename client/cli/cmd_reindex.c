/* cmd_reindex.c: gribstore reindex: quarantine is tried again, and all names are made anew; how far that is, and its end. */
#include "client/call.h"
#include "client/cli/cmd.h"
#include "client/cli/output.h"
#include "client/indexer_api.h"
#include "proto/base/json_read.h"

#include <inttypes.h>
#include <stdlib.h>

struct reindex_settings {
    struct common_settings common;
    bool status, cancel;
};

#define AT(member) offsetof(struct reindex_settings, member)
static const struct config_option reindex_options[] = {
    COMMON_OPTIONS,
    { NULL, "status", 0, CONFIG_BOOL, AT(status), "no", NULL, NULL, "Begin nothing: say how far it is." },
    { NULL, "cancel", 0, CONFIG_BOOL, AT(cancel), "no", NULL, NULL,
      "End the one under way; what is done stays done." },
    { 0 },
};

static uint64_t number_of(const json_t *object, const char *key)
{
    uint64_t number;

    return json_opt_u64(object, key, INT64_MAX, 0, &number, NULL) == STATUS_OK ? number : 0;
}

static const char *state_of(const json_t *part)
{
    if (json_is_true(json_object_get(part, "running")))
        return "under way";
    return json_object_get(part, "ended_at") != NULL ? "ended" : "not begun";
}

static void reindex_print(const struct cli *cli, const json_t *answer, struct buf *buf)
{
    const json_t *quarantine = json_object_get(answer, "quarantine"),
                 *names = json_object_get(answer, "names");

    if (cli->settings->json) {
        char *line = json_dumps(answer, JSON_COMPACT | JSON_PRESERVE_ORDER);
        buf_text(buf, line != NULL ? line : "");
        buf_text(buf, "\n");
        free(line);
        return;
    }
    buf_format(buf,
               "quarantine: %s, %" PRIu64 " messages decode now, %" PRIu64
               " are refused again, %" PRIu64 " could not be read\n",
               state_of(quarantine), number_of(quarantine, "decoded"),
               number_of(quarantine, "refused"), number_of(quarantine, "unread"));
    buf_format(
        buf, "names: %s%s, %" PRIu64 " documents, %" PRIu64 " of %" PRIu64 " fields have new names\n",
        state_of(names), json_is_true(json_object_get(names, "cancelled")) ? " (cancelled)" : "",
        number_of(names, "documents"), number_of(names, "renamed"), number_of(names, "fields"));
}

static int reindex_run(struct cli *cli, void *settings, char **arguments, size_t count)
{
    const struct reindex_settings *asked = settings;
    struct call call = { .to = CALL_INDEXERS, .path = INDEXER_REINDEX_PATH };
    json_t *answer = NULL;
    struct error err;
    struct buf buf;

    if (count > 0)
        return cli_usage(cli, "%s: there is nothing to name", arguments[0]);
    if (asked->status && asked->cancel)
        return cli_usage(cli, "--status or --cancel");
    call.method = asked->status ? "GET" : asked->cancel ? "DELETE" : "POST";
    call.once = !asked->status; /* one indexer, not all of them in turn */
    error_init(&err);
    enum status status = call_json(cli->session, &call, &answer, &err);
    if (status != STATUS_OK)
        return cli_fail_status(cli, status, &err);
    buf_init(&buf, CLI_OUTPUT_MAX);
    reindex_print(cli, answer, &buf);
    json_decref(answer);
    int code = cli_print(&buf);
    buf_fini(&buf);
    return code;
}

const struct command command_reindex = {
    .name = "reindex",
    .arguments = "[--status | --cancel] [options]",
    .summary = "Try messages of quarantine again, and make all names anew",
    .examples = "  gribstore reindex\n"
                "  gribstore reindex --status\n"
                "  gribstore reindex --cancel\n",
    .about = "After another ecCodes release, or one repaired. It goes on in the indexer, beside everything else; --status says how\n"
             "far. Names come from what the index keeps of each field's head: no message is read for them. Done again it changes\n"
             "nothing.",
    .options = reindex_options,
    .settings_size = sizeof(struct reindex_settings),
    .run = reindex_run,
};
