/* cmd_rotate.c: gribstore rotate: new runs in, old runs out. */
#include "client/cli/cmd.h"
#include "client/cli/input.h"
#include "client/cli/progress.h"

#include "proto/base/clock.h"

#include <inttypes.h>
#include <stdio.h>

struct rotate_settings {
    struct common_settings common;
    char *source;
    uint64_t keep, grace_ms, wait_ms, parallel;
    bool dry_run;
};

static const struct config_option rotate_options[] = {
    { NULL, "source", 's', CONFIG_TEXT, offsetof(struct rotate_settings, source), NULL,
      "GRIBSTORE_SOURCE", "NAME", "Whose runs are rotated. Needed." },
    { NULL, "keep", 'k', CONFIG_COUNT, offsetof(struct rotate_settings, keep), "2", NULL, "N",
      "The newest N ready runs stay." },
    { NULL, "grace", 0, CONFIG_DURATION, offsetof(struct rotate_settings, grace_ms), "60s", NULL,
      "TIME", "From the end of a run's records to the end of its bytes: so long readers may go on." },
    { NULL, "wait", 0, CONFIG_DURATION, offsetof(struct rotate_settings, wait_ms), "1h", NULL,
      "TIME", "How long the index may take, and the purge." },
    { NULL, "parallel", 0, CONFIG_COUNT, offsetof(struct rotate_settings, parallel), "8", NULL, "N",
      "Requests under way at a time, over all nodes." },
    { NULL, "dry-run", 'n', CONFIG_BOOL, offsetof(struct rotate_settings, dry_run), NULL, NULL,
      NULL, "Only say what would be sent, made ready and retired." },
    COMMON_OPTIONS,
    { 0 },
};

struct rotate_talk {
    struct cli *cli;
    const struct rotate_settings *settings;
    struct progress progress;
    uint64_t said_ms;
    enum gs_rotate_phase phase;
    bool began;
    char told[GS_TEXT_SIZE]; /* the last problem: not to be told again at the end */
};

static const char *const phase_names[] = {
    [GS_ROTATE_LEASE] = "lease", [GS_ROTATE_SPACE] = "space", [GS_ROTATE_PUSH] = "push",
    [GS_ROTATE_INDEX] = "index", [GS_ROTATE_READY] = "ready", [GS_ROTATE_RETIRE] = "retire",
};

/* Every phase is said once; how it goes on every ten seconds at most. */
static void rotate_on_phase(void *user, enum gs_rotate_phase phase, const char *text)
{
    struct rotate_talk *talk = user;
    uint64_t now_ms = clock_monotonic_ms();

    if (talk->cli->settings->json ||
        (talk->began && talk->phase == phase && now_ms - talk->said_ms < 10000))
        return;
    talk->began = true;
    talk->phase = phase;
    talk->said_ms = now_ms;
    progress_clear(&talk->progress);
    cli_say(talk->cli, "%-7s %s", phase_names[phase], text);
}

static void rotate_on_progress(void *user, const struct gs_put_summary *summary)
{
    struct rotate_talk *talk = user;

    progress_show_put(&talk->progress, summary);
}

static void rotate_on_problem(void *user, const struct gs_error *error)
{
    struct rotate_talk *talk = user;

    progress_clear(&talk->progress);
    cli_fail(talk->cli, error);
    snprintf(talk->told, sizeof talk->told, "%s", error->text);
}

static void rotate_on_ready(void *user, const struct gs_run *run)
{
    struct rotate_talk *talk = user;

    if (!talk->cli->settings->json)
        cli_say(talk->cli, "ready   %s/%s%s", run->source, run->base_time,
                talk->settings->dry_run ? " (would be)" : "");
}

static void rotate_on_retired(void *user, const struct gs_run *run)
{
    struct rotate_talk *talk = user;
    char bytes[CLI_SIZE_TEXT];

    if (!talk->cli->settings->json)
        cli_say(talk->cli, "retire  %s/%s: %" PRIu64 " messages, %s%s", run->source, run->base_time,
                run->messages, text_of_size(run->bytes, bytes),
                talk->settings->dry_run ? " (would be)" : "");
}

static int rotate_print_json(const struct gs_rotate_report *report, const char *source, bool dry_run)
{
    struct json_writer json;
    struct buf buf;

    buf_init(&buf, CLI_OUTPUT_MAX);
    json_init(&json, &buf);
    json_object_begin(&json);
    json_put_string(&json, "source", source);
    json_put_bool(&json, "dry_run", dry_run);
    json_key(&json, "push");
    json_object_begin(&json);
    json_put_summary(&json, &report->put);
    json_object_end(&json);
    json_put_u64(&json, "runs_pushed", report->runs_pushed);
    json_put_u64(&json, "runs_ready", report->runs_ready);
    json_put_u64(&json, "runs_retired", report->runs_retired);
    json_put_u64(&json, "runs_purged", report->runs_purged);
    json_put_u64(&json, "quarantined", report->quarantined);
    json_put_seconds(&json, "push_seconds", report->push_ms);
    json_put_seconds(&json, "index_seconds", report->index_ms);
    json_put_seconds(&json, "ready_seconds", report->ready_ms);
    json_put_seconds(&json, "retire_seconds", report->retire_ms);
    json_put_seconds(&json, "seconds", report->took_ms);
    json_put_string(&json, "bound_by", report->bound_by);
    json_object_end(&json);
    buf_text(&buf, "\n");
    int code = cli_print(&buf);
    buf_fini(&buf);
    return code;
}

static void rotate_say_dry_report(const struct cli *cli, const struct gs_rotate_report *report)
{
    char bytes[CLI_SIZE_TEXT], missing[CLI_SIZE_TEXT];

    cli_say(cli,
            "%" PRIu64 " messages, %s: %" PRIu64 " are there, %s would be sent; %" PRIu64
            " runs would be ready, %" PRIu64 " retired",
            report->put.messages, text_of_size(report->put.bytes, bytes), report->put.known,
            text_of_size(report->put.bytes_missing, missing), report->runs_ready, report->runs_retired);
}

static void rotate_say_report(const struct cli *cli, const struct gs_rotate_report *report)
{
    char bytes[CLI_SIZE_TEXT], push[CLI_SIZE_TEXT], index[CLI_SIZE_TEXT], ready[CLI_SIZE_TEXT],
        retire[CLI_SIZE_TEXT], all[CLI_SIZE_TEXT];

    cli_say(cli,
            "%" PRIu64 " messages, %s: %" PRIu64 " new, %" PRIu64 " known; %" PRIu64
            " runs ready, %" PRIu64 " retired",
            report->put.messages, text_of_size(report->put.bytes, bytes), report->put.stored,
            report->put.known, report->runs_ready, report->runs_retired);
    if (report->quarantined > 0)
        cli_say(cli, "%" PRIu64 " messages could not be decoded: they are stored, but no query finds them",
                report->quarantined);
    cli_say(cli, "push %s, index %s, ready %s, retire %s: %s in all, most of it for %s",
            text_of_ms(report->push_ms, push), text_of_ms(report->index_ms, index),
            text_of_ms(report->ready_ms, ready), text_of_ms(report->retire_ms, retire),
            text_of_ms(report->took_ms, all), report->bound_by);
}

static int rotate_go(struct rotate_talk *talk, const struct gs_rotate_options *options,
                     char **arguments, size_t count)
{
    struct gs_input *inputs = inputs_of(arguments, count);
    struct gs_rotate_report report;
    struct gs_error error;

    if (inputs == NULL)
        return GS_FAILED;
    int code = gs_rotate(talk->cli->session, options, inputs, count, &report, &error);
    progress_clear(&talk->progress);
    if (talk->cli->settings->json)
        rotate_print_json(&report, options->put.source, talk->settings->dry_run);
    else if (report.put.messages > 0 && talk->settings->dry_run)
        rotate_say_dry_report(talk->cli, &report);
    else if (report.put.messages > 0)
        rotate_say_report(talk->cli, &report);
    if (code != GS_OK && strcmp(error.text, talk->told) != 0)
        cli_fail(talk->cli, &error);
    inputs_free(inputs);
    return code;
}

static int rotate_run(struct cli *cli, void *data, char **arguments, size_t count)
{
    struct rotate_settings *settings = data;
    struct rotate_talk talk = { .cli = cli, .settings = settings };
    struct gs_rotate_options options;

    if (settings->source == NULL)
        return cli_usage(cli, "--source says whose runs are rotated, as in --source hres");
    if (count == 0)
        return cli_usage(cli, "no FILE is named");
    if (settings->keep == 0 || settings->keep > UINT32_MAX)
        return cli_usage(cli, "--keep takes a number from 1 on: `gribstore purge` removes single runs");
    gs_rotate_options_init(&options);
    options.put.source = settings->source;
    options.put.parallel = (unsigned)settings->parallel;
    options.put.on_progress = rotate_on_progress;
    options.put.on_problem = rotate_on_problem;
    options.put.user = &talk;
    options.keep = (unsigned)settings->keep;
    options.grace_ms = settings->grace_ms;
    options.wait_ms = settings->wait_ms;
    options.dry_run = settings->dry_run;
    options.on_phase = rotate_on_phase;
    options.on_ready = rotate_on_ready;
    options.on_retired = rotate_on_retired;
    progress_init(&talk.progress, cli);
    return rotate_go(&talk, &options, arguments, count);
}

const struct command command_rotate = {
    .name = "rotate",
    .arguments = "FILE... --source NAME [options]",
    .summary = "Push new runs, switch to them, retire old ones",
    .examples = "  gribstore rotate --source hres /data/hres/20130408T00/*.grib\n"
                "  gribstore rotate --source hres --keep 3 --dry-run new/*.grib\n"
                "  gribstore rotate --source gfs --grace 10min new/*.grib2",
    .about = "In order: is there space; push what is not there yet; wait until the index has every message with\n"
             "all its copies; mark the runs ready, which is the moment at which readers of the newest run switch;\n"
             "retire the runs past retention, and wait until their bytes are gone. Stopped anywhere, run it again: it\n"
             "goes on and ends the same. A run that is among the files is never retired by the same call. One rotation of a\n"
             "source runs at a time: a second one waits a little, then ends with 6.",
    .options = rotate_options,
    .settings_size = sizeof(struct rotate_settings),
    .run = rotate_run,
};
