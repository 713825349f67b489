/* main.c: flags, then a node until it leaves. */
#include "storaged/fsck.h"
#include "storaged/node.h"
#include "storaged/node_metrics.h"

#include "proto/base/json_read.h"
#include "proto/base/log.h"
#include "proto/base/metric.h"
#include "proto/base/process.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef GRIBSTORE_VERSION
#define GRIBSTORE_VERSION "0"
#endif

enum { EXIT_USAGE = 2 };

static struct metric build_info = {
    .name = "gribstore_build_info",
    .help = "The program's version; always 1.",
    .labels = "version=\"" GRIBSTORE_VERSION "\"",
    .kind = METRIC_GAUGE,
    .value = 1,
};

static int print(struct buf *text)
{
    fputs(buf_string(text), stdout);
    buf_fini(text);
    return EXIT_SUCCESS;
}

static int answer_question(enum config_asked asked)
{
    struct buf text;

    buf_init(&text, 1 << 20);
    if (asked == CONFIG_HELP)
        config_print_help(&settings_program, &text);
    else if (asked == CONFIG_MAN)
        config_print_man(&settings_program, &text);
    else
        buf_format(&text, "storaged %s\n", GRIBSTORE_VERSION);
    return print(&text);
}

static enum status check_files(const struct settings *settings, struct error *err)
{
    struct sources *sources = NULL;
    struct security security;

    enum status status = security_open(&security, &settings->security, err);
    if (status == STATUS_OK && settings->sources != NULL)
        status = sources_open(settings->sources, &sources, err);
    security_close(&security);
    sources_close(sources);
    return status;
}

static int check_config(const struct settings *settings)
{
    struct error err;
    struct buf text;

    error_init(&err);
    if (check_files(settings, &err) != STATUS_OK) {
        fprintf(stderr, "storaged: %s\n", err.text);
        return EXIT_USAGE;
    }
    buf_init(&text, 1 << 20);
    config_print_settings(&settings_program, settings, &text);
    return print(&text);
}

/* Before any thread or loop. Messages of some MiB come and go: their memory stays in the heap rather than being mapped,
 * touched and unmapped each time. */
static void setup_process(const struct settings *settings)
{
    enum log_level level = LOG_INFO;
    char threads[24];

    log_level_parse(settings->log_level, &level);
    log_setup(level, strcmp(settings->log_format, "json") == 0 ? LOG_JSON : LOG_LOGFMT);
    signal(SIGPIPE, SIG_IGN);
    process_raise_files(); /* two a run are held, and one a connection */
    snprintf(threads, sizeof threads, "%llu", (unsigned long long)settings->pool_threads);
    setenv("UV_THREADPOOL_SIZE", threads, 1);
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    json_end_without_memory();
    metric_register(&build_info);
    http_metrics_register();
    store_metrics_register();
    node_metrics_register();
}

static int serve(const struct settings *settings)
{
    enum node_result result;

    do {
        struct error err;
        struct node *node;

        error_init(&err);
        enum status status = node_open(settings, &node, &err);
        if (status != STATUS_OK) {
            fprintf(stderr, "storaged: %s\n", err.text);
            return status == STATUS_BAD_VALUE ? EXIT_USAGE : EXIT_FAILURE;
        }
        result = node_run(node);
        node_close(node);
    } while (result == NODE_AGAIN);
    log_msg(LOG_INFO, "node.left", "all that was acknowledged is on disk");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct settings settings;
    enum config_asked asked;
    struct error err;
    int code;

    error_init(&err);
    enum status status = settings_load(&settings, argc, argv, &asked, &err);
    if (status != STATUS_OK) {
        /* Errors of flags name the program already. */
        bool named = strncmp(err.text, "storaged: ", strlen("storaged: ")) == 0;
        fprintf(stderr, "%s%s\nstoraged --help lists the options.\n",
                named ? "" : "storaged: ", err.text);
        code = EXIT_USAGE;
    } else if (asked != CONFIG_RUN) {
        code = answer_question(asked);
    } else if (settings.check_config) {
        code = check_config(&settings);
    } else if (settings.fsck) {
        process_raise_files();
        code = fsck_run(&settings);
    } else {
        setup_process(&settings);
        code = serve(&settings);
    }
    settings_free(&settings);
    return code;
}
