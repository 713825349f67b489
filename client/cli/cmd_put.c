/* cmd_put.c: gribstore put: files into the store. */
#include "client/cli/cmd.h"
#include "client/cli/input.h"
#include "client/cli/progress.h"

#include <inttypes.h>
#include <stdio.h>

struct put_settings {
    struct common_settings common;
    char *source;
    uint64_t parallel, body_size;
    char *way;
    bool dry_run;
};

static const struct config_option put_options[] = {
    { NULL, "source", 's', CONFIG_TEXT, offsetof(struct put_settings, source), NULL,
      "GRIBSTORE_SOURCE", "NAME", "Where the messages come from: hres, gfs, ... Needed." },
    { NULL, "dry-run", 'n', CONFIG_BOOL, offsetof(struct put_settings, dry_run), NULL, NULL, NULL,
      "Only say what is missing; send nothing." },
    { NULL, "parallel", 0, CONFIG_COUNT, offsetof(struct put_settings, parallel), "8", NULL, "N",
      "Requests under way at a time, over all nodes." },
    { NULL, "body-size", 0, CONFIG_SIZE, offsetof(struct put_settings, body_size), "16MiB", NULL,
      "SIZE", "Messages are sent together, up to this size." },
    { NULL, "way", 0, CONFIG_TEXT, offsetof(struct put_settings, way), "by-owner", NULL, "WAY",
      "by-owner: a request to a node that owns its messages, which sends the other copies; direct: a request to each owner; "
      "any: to whichever node is least busy." },
    COMMON_OPTIONS,
    { 0 },
};

static bool put_way_parse(const char *text, enum gs_put_way *way)
{
    static const char *const names[] = {
        [GS_PUT_BY_OWNER] = "by-owner", [GS_PUT_DIRECT] = "direct", [GS_PUT_ANY] = "any"
    };

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        *way = (enum gs_put_way)i;
        if (strcmp(text, names[i]) == 0)
            return true;
    }
    return false;
}

struct put_talk {
    struct cli *cli;
    struct progress progress;
    struct json_writer json;
    struct buf problems, runs; /* JSON values, comma-separated */
    char told[GS_TEXT_SIZE];   /* the last problem: not to be told again at the end */
};

static void put_on_progress(void *user, const struct gs_put_summary *summary)
{
    struct put_talk *talk = user;

    progress_show_put(&talk->progress, summary);
}

static void put_on_problem(void *user, const struct gs_error *error)
{
    struct put_talk *talk = user;
    struct json_writer json;

    progress_clear(&talk->progress);
    if (!talk->cli->settings->json)
        cli_fail(talk->cli, error);
    snprintf(talk->told, sizeof talk->told, "%s", error->text);
    if (talk->problems.size > 0)
        buf_text(&talk->problems, ",");
    json_init(&json, &talk->problems);
    json_put_error(&json, error);
}

static void put_on_run(void *user, const char *source, const char *base_time, uint64_t messages,
                       uint64_t bytes)
{
    struct put_talk *talk = user;
    struct json_writer json;

    if (talk->runs.size > 0)
        buf_text(&talk->runs, ",");
    json_init(&json, &talk->runs);
    json_object_begin(&json);
    json_put_string(&json, "source", source);
    json_put_string(&json, "base_time", base_time);
    json_put_u64(&json, "messages", messages);
    json_put_u64(&json, "bytes", bytes);
    json_object_end(&json);
}

static void json_put_list(struct json_writer *json, const char *key, const struct buf *values)
{
    struct buf list;

    buf_init(&list, CLI_OUTPUT_MAX);
    buf_text(&list, "[");
    buf_append(&list, values->data, values->size);
    buf_text(&list, "]");
    json_key(json, key);
    json_raw(json, list.data, list.size);
    buf_fini(&list);
}

void json_put_summary(struct json_writer *json, const struct gs_put_summary *summary)
{
    json_put_u64(json, "files", summary->files);
    json_put_u64(json, "messages", summary->messages);
    json_put_u64(json, "stored", summary->stored);
    json_put_u64(json, "known", summary->known);
    json_put_u64(json, "bytes", summary->bytes);
    json_put_u64(json, "bytes_missing", summary->bytes_missing);
    json_put_u64(json, "bytes_pushed", summary->bytes_pushed);
    json_put_u64(json, "skipped", summary->skipped);
    json_put_u64(json, "bytes_skipped", summary->bytes_skipped);
    json_put_u64(json, "copies", summary->copies);
    json_put_u64(json, "retries", summary->retries);
    json_put_seconds(json, "seconds", summary->took_ms);
}

static int put_print_json(struct put_talk *talk, const char *source, const struct gs_put_summary *summary)
{
    struct json_writer json;
    struct buf buf;

    buf_init(&buf, CLI_OUTPUT_MAX);
    json_init(&json, &buf);
    json_object_begin(&json);
    json_put_string(&json, "source", source);
    json_put_summary(&json, summary);
    json_put_list(&json, "runs", &talk->runs);
    json_put_list(&json, "problems", &talk->problems);
    json_object_end(&json);
    buf_text(&buf, "\n");
    int code = cli_print(&buf);
    buf_fini(&buf);
    return code;
}

static void put_say_summary(const struct put_talk *talk, const struct put_settings *settings,
                            const struct gs_put_summary *summary)
{
    char bytes[CLI_SIZE_TEXT], pushed[CLI_SIZE_TEXT], took[CLI_SIZE_TEXT];

    if (settings->dry_run) {
        cli_say(talk->cli, "%" PRIu64 " messages, %s: %" PRIu64 " are there, %s would be sent",
                summary->messages, text_of_size(summary->bytes, bytes), summary->known,
                text_of_size(summary->bytes_missing, pushed));
        return;
    }
    cli_say(talk->cli, "%" PRIu64 " messages, %s: %" PRIu64 " new, %" PRIu64 " known; %s sent in %s",
            summary->messages, text_of_size(summary->bytes, bytes), summary->stored, summary->known,
            text_of_size(summary->bytes_pushed, pushed), text_of_ms(summary->took_ms, took));
    if (summary->copies > 0)
        cli_say(talk->cli, "%" PRIu64 " %s of each, durable", summary->copies,
                summary->copies == 1 ? "copy" : "copies");
    if (summary->skipped > 0)
        cli_say(talk->cli, "%" PRIu64 " stretches between messages were no GRIB and skipped (%s)",
                summary->skipped, text_of_size(summary->bytes_skipped, bytes));
}

static int put_run(struct cli *cli, void *data, char **arguments, size_t count)
{
    struct put_settings *settings = data;
    struct put_talk talk = { .cli = cli };
    struct gs_put_options options;
    struct gs_put_summary summary;
    struct gs_error error;

    if (settings->source == NULL)
        return cli_usage(cli, "--source says where the messages come from, as in --source hres");
    if (count == 0)
        return cli_usage(cli, "no FILE is named; - is standard input");
    gs_put_options_init(&options);
    if (!put_way_parse(settings->way, &options.way))
        return cli_usage(cli, "--way is by-owner, direct or any");
    struct gs_input *inputs = inputs_of(arguments, count);
    if (inputs == NULL)
        return GS_FAILED;
    options.source = settings->source;
    options.parallel = (unsigned)settings->parallel;
    options.body_size_max = settings->body_size;
    options.dry_run = settings->dry_run;
    options.on_progress = put_on_progress;
    options.on_problem = put_on_problem;
    options.on_run = put_on_run;
    options.user = &talk;
    progress_init(&talk.progress, cli);
    buf_init(&talk.problems, CLI_OUTPUT_MAX);
    buf_init(&talk.runs, CLI_OUTPUT_MAX);
    int code = gs_put(cli->session, &options, inputs, count, &summary, &error);
    progress_clear(&talk.progress);
    if (settings->common.json)
        put_print_json(&talk, settings->source, &summary);
    else if (summary.messages > 0)
        put_say_summary(&talk, settings, &summary);
    if (code != GS_OK && strcmp(error.text, talk.told) != 0)
        cli_fail(cli, &error);
    buf_fini(&talk.problems);
    buf_fini(&talk.runs);
    inputs_free(inputs);
    return code;
}

const struct command command_put = {
    .name = "put",
    .arguments = "FILE... --source NAME [options]",
    .summary = "Store the messages of files, those that are not there yet",
    .examples = "  gribstore put --source hres hres-20130408.grib\n"
                "  gribstore put --source gfs --dry-run *.grib2\n"
                "  curl -s https://example.org/a.grib | gribstore put --source test -",
    .about = "Each file is cut into messages; the cluster is asked which of them it lacks, and only those are\n"
             "sent, to whichever nodes answer. A message counts as stored once it is durable on its nodes. Doing it\n"
             "again is always safe and sends only what is missing: that is how to go on after an interruption.\n"
             "A file that is malformed is named with the byte offset; what is before it is stored, other files go\n"
             "on, and the exit code is 3.",
    .options = put_options,
    .settings_size = sizeof(struct put_settings),
    .run = put_run,
};
