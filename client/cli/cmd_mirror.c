/* cmd_mirror.c: gribstore mirror: this cluster is brought to another one's runs. */
#include "client/cli/cmd.h"
#include "client/cli/output.h"
#include "client/cli/progress.h"
#include "client/cli/run_name.h"
#include "client/cli/table.h"
#include "client/cli/token_file.h"
#include "client/mirror.h"

#include <inttypes.h>
#include <stdio.h>

struct mirror_settings {
    struct common_settings common;
    char *from, *from_token_file, *source, *run;
    bool follow, dry_run, retire, ready;
    uint64_t wait_ms, every_ms;
};

#define AT(member) offsetof(struct mirror_settings, member)
static const struct config_option mirror_options[] = {
    { NULL, "from", 0, CONFIG_LIST, AT(from), NULL, "GRIBSTORE_FROM", "URL",
      "The other cluster's indexer. Needed." },
    { NULL, "from-token-file", 0, CONFIG_TEXT, AT(from_token_file), NULL, "GRIBSTORE_FROM_TOKEN_FILE",
      "FILE", "Whose first line is the token to show there; it needs `read`." },
    { NULL, "source", 's', CONFIG_TEXT, AT(source), NULL, NULL, "NAME", "Only runs of this source." },
    { NULL, "run", 0, CONFIG_TEXT, AT(run), NULL, NULL, "SOURCE/BASE_TIME", "Only this run." },
    { NULL, "ready", 0, CONFIG_BOOL, AT(ready), NULL, NULL, NULL, "Only runs that are ready there." },
    { NULL, "retire", 0, CONFIG_BOOL, AT(retire), NULL, NULL, NULL,
      "Retire here what is retired or purged there." },
    { NULL, "follow", 0, CONFIG_BOOL, AT(follow), NULL, NULL, NULL,
      "Go on: again and again, until it is stopped." },
    { NULL, "every", 0, CONFIG_DURATION, AT(every_ms), "30s", NULL, "TIME", "With --follow: the pause." },
    { NULL, "wait", 0, CONFIG_DURATION, AT(wait_ms), "10min", NULL, "TIME",
      "How long the index here may take for a run." },
    { NULL, "dry-run", 'n', CONFIG_BOOL, AT(dry_run), NULL, NULL, NULL, "Only say what is lacking here." },
    COMMON_OPTIONS,
    { 0 },
};

static const struct table_column mirror_columns[] = {
    { "run", false },     { "result", false }, { "there", false }, { "here", false },
    { "messages", true }, { "copied", true },  { "bytes", true },  { "detail", false },
};

struct mirror_talk {
    struct cli *cli;
    const struct mirror_settings *settings;
    struct table table;
    struct buf buf;
    struct progress progress;
};

static void mirror_on_text(void *user, const char *text)
{
    struct mirror_talk *talk = user;

    progress_step(&talk->progress, text);
}

static void print_json(struct mirror_talk *talk, const struct mirror_run *run)
{
    struct json_writer json;
    char name[RUN_TEXT_SIZE];

    run_key_print(&run->run, name);
    json_init(&json, &talk->buf);
    json_object_begin(&json);
    json_put_string(&json, "run", name);
    json_put_string(&json, "result", mirror_result_name(run->result));
    json_put_string(&json, "state_there", text_or_null(run->state_there));
    json_put_string(&json, "state_here", text_or_null(run->state_here));
    json_put_string(&json, "fingerprint_there", text_or_null(run->fingerprint_there));
    json_put_string(&json, "fingerprint_here", text_or_null(run->fingerprint_here));
    json_put_u64(&json, "messages", run->messages);
    json_put_u64(&json, "size", run->size);
    json_put_u64(&json, "lacking", run->lacking);
    json_put_u64(&json, "copied", run->copied);
    json_put_u64(&json, "bytes", run->bytes);
    json_put_u64(&json, "unread", run->unread);
    json_put_u64(&json, "bad_copies", run->bad_copies);
    json_put_u64(&json, "too_few_copies", run->too_few);
    json_put_u64(&json, "only_here", run->only_here);
    json_put_u64(&json, "other_current", run->other_current);
    json_put_string(&json, "detail", text_or_null(run->detail));
    json_object_end(&json);
    buf_text(&talk->buf, "\n");
}

static void table_run(struct mirror_talk *talk, const struct mirror_run *run)
{
    char name[RUN_TEXT_SIZE];
    bool dry = talk->settings->dry_run;

    run_key_print(&run->run, name);
    table_cell(&talk->table, name);
    table_cell(&talk->table, mirror_result_name(run->result));
    table_cell(&talk->table, text_or_null(run->state_there));
    table_cell(&talk->table, text_or_null(run->state_here));
    table_cellf(&talk->table, "%" PRIu64, run->messages);
    table_cellf(&talk->table, "%" PRIu64, dry ? run->lacking : run->copied);
    table_cellf(&talk->table, "%" PRIu64, run->bytes);
    table_cell(&talk->table, text_or_null(run->detail));
}

/* A line each as it ends, but for people: they get a table with columns. */
static void mirror_on_run(void *user, const struct mirror_run *run)
{
    struct mirror_talk *talk = user;

    if (talk->cli->settings->json) {
        print_json(talk, run);
    } else {
        table_run(talk, run);
        if (talk->cli->out_tty)
            return;
        table_print(&talk->table, false, false, &talk->buf);
    }
    cli_print(&talk->buf);
}

static int mirror_code(enum mirror_result worst)
{
    static const int codes[] = {
        [MIRROR_EQUAL] = GS_OK,        [MIRROR_LACKS] = GS_OK,        [MIRROR_RETIRED] = GS_OK,
        [MIRROR_MOVES] = GS_TEMPORARY, [MIRROR_DIFFERS] = GS_PARTIAL, [MIRROR_REFUSED] = GS_PARTIAL,
        [MIRROR_UNREAD] = GS_CORRUPT
    };

    return codes[worst];
}

static void say_report(struct mirror_talk *talk, const struct mirror_report *report)
{
    char bytes[CLI_SIZE_TEXT], took[CLI_SIZE_TEXT];

    if (talk->table.rows > 0) {
        table_print(&talk->table, true, true, &talk->buf);
        cli_print(&talk->buf);
    }
    cli_say(talk->cli, "%" PRIu64 " runs, %" PRIu64 " of them equal; %s %s in %" PRIu64 " messages, in %s",
            report->runs, report->equal, text_of_size(report->bytes, bytes),
            talk->settings->dry_run ? "lacking" : "copied", report->copied,
            text_of_ms(report->took_ms, took));
}

static int mirror_once(struct mirror_talk *talk, const struct mirror_options *options)
{
    struct mirror_report report;
    struct error err;

    error_init(&err);
    enum status status = mirror_cluster(talk->cli->session, options, &report, &err);
    if (status == STATUS_OK || report.runs > 0)
        say_report(talk, &report);
    return status == STATUS_OK ? mirror_code(report.worst) : cli_fail_status(talk->cli, status, &err);
}

/* Each time anew, whatever came of the time before. */
static int mirror_follow(struct mirror_talk *talk, const struct mirror_options *options)
{
    struct error err;
    int code;

    do {
        code = mirror_once(talk, options);
        if (code == GS_USAGE || code == GS_REFUSED)
            return code;
    } while (talk->settings->follow &&
             session_wait(talk->cli->session, talk->settings->every_ms, &err) == STATUS_OK);
    return code;
}

/* A signal ends the one session; the other one looks whether it has. */
static void from_on_tick(struct gs_session *session, void *data)
{
    const struct gs_session *to = data;

    if (atomic_load(&to->cancelled))
        gs_cancel(session);
}

static int from_open(struct mirror_talk *talk, struct gs_session **from)
{
    const struct mirror_settings *settings = talk->settings;
    struct gs_options options;
    struct gs_error error;
    char token[TOKEN_SIZE_MAX];

    int code = token_file_read(talk->cli, settings->from_token_file, token);
    if (code != GS_OK)
        return code;
    gs_options_init(&options);
    options.indexers = options.nodes = settings->from; /* its nodes are the map's */
    options.token = token;
    options.ca_file = settings->common.ca_file;
    options.cert_file = settings->common.cert;
    options.key_file = settings->common.key;
    options.retry_ms = settings->common.retry_ms;
    if (gs_open(&options, from, &error) != GS_OK)
        return cli_fail(talk->cli, &error);
    (*from)->on_tick = from_on_tick;
    (*from)->tick_data = talk->cli->session;
    return GS_OK;
}

static int mirror_open(struct mirror_talk *talk, struct mirror_options *options)
{
    int code = from_open(talk, &options->from);

    if (code != GS_OK)
        return code;
    table_init(&talk->table, mirror_columns, ARRAY_COUNT(mirror_columns));
    buf_init(&talk->buf, CLI_OUTPUT_MAX);
    code = mirror_follow(talk, options);
    table_fini(&talk->table);
    buf_fini(&talk->buf);
    gs_close(options->from);
    return code;
}

static int mirror_run(struct cli *cli, void *data, char **arguments, size_t count)
{
    const struct mirror_settings *settings = data;
    struct mirror_talk talk = { .cli = cli, .settings = settings, .progress = { .cli = cli } };
    struct mirror_options options = { .source = settings->source,
                                      .ready_only = settings->ready,
                                      .dry_run = settings->dry_run,
                                      .retire = settings->retire,
                                      .wait_ms = settings->wait_ms,
                                      .on_text = mirror_on_text,
                                      .on_run = mirror_on_run,
                                      .user = &talk };
    struct run_key run;

    (void)arguments;
    if (settings->from == NULL)
        return cli_usage(cli, "--from says which cluster's runs are wanted, as in --from http://other:8400");
    if (count > 0)
        return cli_usage(cli, "it takes no names: --run SOURCE/BASE_TIME mirrors one run");
    int code = run_name_choose(cli, settings->run, &run, &options.source, &options.run);
    return code == GS_OK ? mirror_open(&talk, &options) : code;
}

const struct command command_mirror = {
    .name = "mirror",
    .arguments = "--from URL [--source NAME | --run SOURCE/BASE_TIME] [options]",
    .summary = "Bring this cluster to another one's runs",
    .examples = "  gribstore mirror --from http://production:8400 --dry-run\n"
                "  gribstore mirror --from http://production:8400 --source hres --ready\n"
                "  gribstore mirror --from https://production:8400 --from-token-file there.token --follow --retire\n",
    .about = "Of each run there, the oldest first: what the index here lacks is fetched from the nodes there, checked by\n"
             "its digest, and put on its owners here, with the stamp it has there, so that the current issue of a field is the\n"
             "same; then the index here is waited for, fingerprints are compared, and the run is made ready when it is ready\n"
             "there and equal. Messages that do not decode come too. Nothing is deleted. Stopped anywhere, run it again: it goes\n"
             "on. It needs `read` there, `ingest` and `admin` here. Exit code 0: equal; 3: something differs, or a run here takes\n"
             "nothing; 5: a run there is still being filled, or not now; 7: messages that no holder there could give.",
    .options = mirror_options,
    .settings_size = sizeof(struct mirror_settings),
    .run = mirror_run,
};
