/* main.c: the indexer's flags, signals and loop. */
#include "indexer/catalog_uri.h"
#include "indexer/indexer.h"
#include "indexer/lost_nodes.h"
#include "indexer/reindex_main.h"
#include "indexer/share.h"
#include "indexer/work.h"
#include "proto/base/config.h"
#include "proto/base/log.h"
#include "proto/base/process.h"

#include <curl/curlver.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAIN_LEASE_MS_MIN = 1000, MAIN_LEASE_MS_MAX = 3600000 };

#define AT(member) offsetof(struct settings, member)
#define AT_SECURITY(member) AT(security.member)
#define AT_HTTP(member) AT(http.member)

static const struct config_option main_options[] = {
    { "indexer", "listen", 0, CONFIG_TEXT, AT(listen), "127.0.0.1:8400", "GRIBSTORE_INDEXER_LISTEN",
      "HOST:PORT",
      "Address of the query and admin API. Off loopback it needs TLS and tokens, or --insecure." },
    { "indexer", "catalog", 0, CONFIG_TEXT, AT(catalog), "sqlite:gribstore-index.sqlite",
      "GRIBSTORE_CATALOG", "URI",
      "Where the records are kept: sqlite:FILE (one machine, one indexer) or mongodb://... (a replica set). A URI with a password "
      "belongs in a file or the environment, where other users can't read it." },
    { "indexer", "catalog-file", 0, CONFIG_TEXT, AT(catalog_file), NULL, "GRIBSTORE_CATALOG_FILE", "FILE",
      "The URI of the catalog is the first line of this file, in place of --catalog. Others than its owner and group may not read it." },
    { "indexer", "node", 0, CONFIG_LIST, AT(nodes), "http://127.0.0.1:8410", "GRIBSTORE_NODE", "URL",
      "A storage node to learn the cluster map from; several may be given. The map names the others." },
    { "indexer", "url", 0, CONFIG_TEXT, AT(url), NULL, NULL, "URL",
      "How others reach this indexer; http:// and the listen address otherwise." },
    { "indexer", "grace", 0, CONFIG_DURATION, AT(grace_ms), "60s", NULL, "TIME",
      "Between the removal of a retired run's records and the deletion of its files: what a reader may still do with a record it holds." },
    { "indexer", "name", 0, CONFIG_TEXT, AT(name), NULL, NULL, "NAME",
      "Which of the indexers of one database this is; by its url, or host and port, otherwise." },
    { "indexer", "lease", 0, CONFIG_DURATION, AT(lease_ms), "10s", NULL, "TIME",
      "How long nodes stay an indexer's that says nothing any more; then another one of the same database goes on." },
    { "indexer", "sweep", 0, CONFIG_DURATION, AT(sweep_ms), "24h", NULL, "TIME",
      "Between two searches for records of what no node has any more; 0: only when asked for (POST /v1/sweep)." },
    { "indexer", "out-after", 0, CONFIG_DURATION, AT(out_after_ms), "0", NULL, "TIME",
      "A node that neither this indexer nor any other node has heard for so long is counted out, and what it held is made whole elsewhere; one node in that "
      "time at most. 0: by hand only (gribstore cluster remove --lost)." },
    HTTP_OPTIONS(AT_HTTP),
    SECURITY_OPTIONS(AT_SECURITY),
    { "decode", "decoders", 0, CONFIG_COUNT, AT(decoders), "0", NULL, "N",
      "Children that run ecCodes; 0: one a core." },
    { "decode", "timeout", 0, CONFIG_DURATION, AT(decode_timeout_ms), "10s", NULL, "TIME",
      "How long one head may take before its decoder is killed." },
    { "decode", "decoder", 0, CONFIG_TEXT, AT(decoder), NULL, NULL, "FILE",
      "The gribstore-decoder to run; the one beside this program otherwise." },
    { "decode", "cache", 0, CONFIG_SIZE, AT(cache_size), "64MiB", NULL, "SIZE",
      "Decoded heads kept for the other copies of a message." },
    { "decode", "memo", 0, CONFIG_SIZE, AT(memo_size), "384MiB", NULL, "SIZE",
      "Memory for what heads decoded to, so that the same field of the next run costs no decode: at most some 1.1 KB a field. A run that does not fit is not remembered at all. 0: none." },
    { "decode", "memo-check", 0, CONFIG_COUNT, AT(memo_check), "1000", NULL, "N",
      "One in so many fields that are remembered is decoded all the same, and compared; 0: only the first of each kind." },
    { "log", "log-level", 0, CONFIG_TEXT, AT(log_level), "info", "GRIBSTORE_LOG_LEVEL", "LEVEL",
      "debug, info, warn or error." },
    { "log", "log-format", 0, CONFIG_TEXT, AT(log_format), "logfmt", NULL, "FORM", "logfmt or json." },
    { "log", "access-log", 0, CONFIG_BOOL, AT(access_log), "no", NULL, NULL, "One line a request." },
    { NULL, "config", 0, CONFIG_TEXT, AT(config), NULL, "GRIBSTORE_INDEXER_CONFIG", "FILE",
      "Settings, as ini: the options below are its keys." },
    { NULL, "reindex-names", 0, CONFIG_BOOL, AT(reindex_names), "no", NULL, NULL,
      "Make the names of all fields anew with this ecCodes, from what the index keeps of their heads, and leave. Beside running indexers with "
      "MongoDB; with SQLite the indexer has to be stopped. Ended half way, it goes on when started again." },
    { NULL, "check-config", 0, CONFIG_BOOL, AT(check_config), "no", NULL, NULL,
      "Read the settings, print them, and leave: 0 if they are sound." },
    { NULL, NULL, 0, CONFIG_TEXT, 0, NULL, NULL, NULL, NULL },
};

static const struct config_program main_program = {
    .name = "indexer",
    .synopsis = "indexer [--listen HOST:PORT] [--catalog URI] [--node URL ...] [--config FILE]",
    .about = "Keeps a record per GRIB field of what storage nodes hold, answers queries for them, and carries the states of runs "
             "(filling, ready, retired, purged) and the cluster map. It follows the nodes' journals: with its database down, "
             "storage goes on and the index catches up; with the database lost, it is read again from the nodes.",
    .epilog = "Examples:\n"
              "  indexer --catalog sqlite:/var/lib/gribstore/index.sqlite --node http://127.0.0.1:8410\n"
              "  indexer --catalog 'mongodb://db1,db2,db3/?replicaSet=rs0' --node http://127.0.0.1:8410\n"
              "  curl 'http://127.0.0.1:8400/v1/fields?param=msl&limit=1'\n"
              "\n"
              "SIGTERM finishes what is under way and leaves; a second one leaves at once.\n"
              "Exit: 0 after SIGTERM, 1 could not start or its database is another one now, 2 bad flags or settings.\n",
    .options = main_options,
};

struct main_signals {
    struct indexer *indexer;
    uv_signal_t term, interrupt, hangup;
    bool stopping;
};

static void main_on_stopped(struct indexer *indexer)
{
    (void)indexer;
}

static void main_on_signal(uv_signal_t *handle, int number)
{
    struct main_signals *signals = handle->data;

    if (number == SIGHUP) {
        indexer_reload(signals->indexer);
        return;
    }
    if (signals->stopping) {
        log_msg(LOG_WARN, "signal", "second %s: leaving at once", number == SIGINT ? "SIGINT" : "SIGTERM");
        _exit(1);
    }
    signals->stopping = true;
    log_msg(LOG_INFO, "signal", "%s: stopping", number == SIGINT ? "SIGINT" : "SIGTERM");
    /* The handles stay, unreferenced: a second signal must be seen while what is under way ends. */
    uv_unref((uv_handle_t *)&signals->term);
    uv_unref((uv_handle_t *)&signals->interrupt);
    uv_unref((uv_handle_t *)&signals->hangup);
    indexer_stop(signals->indexer, main_on_stopped);
}

static void main_close_signals(struct main_signals *signals, uv_loop_t *loop)
{
    uv_close((uv_handle_t *)&signals->term, NULL);
    uv_close((uv_handle_t *)&signals->interrupt, NULL);
    uv_close((uv_handle_t *)&signals->hangup, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
}

static void main_open_signals(struct main_signals *signals, struct indexer *indexer, uv_loop_t *loop)
{
    uv_signal_t *handles[] = { &signals->term, &signals->interrupt, &signals->hangup };
    const int numbers[] = { SIGTERM, SIGINT, SIGHUP };

    signals->indexer = indexer;
    signals->stopping = false;
    for (size_t i = 0; i < ARRAY_COUNT(handles); i++) {
        uv_signal_init(loop, handles[i]);
        handles[i]->data = signals;
        uv_signal_start(handles[i], main_on_signal, numbers[i]);
    }
    signal(SIGPIPE, SIG_IGN);
}

static bool main_name_holds(const char *name)
{
    for (const char *at = name; *at != '\0'; at++)
        if (*at <= ' ' || *at > '~')
            return false;
    return name[0] != '\0' && strlen(name) <= SHARE_NAME_MAX;
}

static enum status main_read_catalog(struct settings *settings, struct error *err)
{
    char *uri;
    enum status status = catalog_uri_read(settings->catalog_file, &uri, err);

    if (status != STATUS_OK)
        return error_wrap(err, "--catalog-file");
    free(settings->catalog);
    settings->catalog = uri;
    return STATUS_OK;
}

/* What flags and file can't say apart: values that must fit each other. */
static enum status main_check(struct settings *settings, struct error *err)
{
    char host[256];
    unsigned port;
    enum log_level level;

    if (!http_address_parse(settings->listen, host, sizeof host, &port))
        return error_set(err, STATUS_BAD_VALUE, "--listen %s: not HOST:PORT", settings->listen);
    enum status status = security_check(&settings->security, settings->listen, err);
    if (status == STATUS_OK)
        status = http_settings_check(&settings->http, err);
    if (status == STATUS_OK && settings->catalog_file != NULL)
        status = main_read_catalog(settings, err);
    if (status != STATUS_OK)
        return status;
    if (strncmp(settings->catalog, "sqlite:", 7) != 0 &&
        strncmp(settings->catalog, "mongodb://", 10) != 0 &&
        strncmp(settings->catalog, "mongodb+srv://", 14) !=
            0) /* only the scheme is shown: the rest may hold a password */
        return error_set(err, STATUS_BAD_VALUE, "--catalog %.*s...: neither sqlite:FILE nor mongodb://...",
                         (int)strcspn(settings->catalog, ":"), settings->catalog);
    if (settings->lease_ms < MAIN_LEASE_MS_MIN || settings->lease_ms > MAIN_LEASE_MS_MAX)
        return error_set(err, STATUS_BAD_VALUE, "--lease: 1 s to an hour");
    if (settings->out_after_ms != 0 &&
        (settings->out_after_ms < OUT_AFTER_MS_MIN || settings->out_after_ms > OUT_AFTER_MS_MAX))
        return error_set(err, STATUS_BAD_VALUE, "--out-after: 0, or 1 s to a day");
    if (settings->name != NULL && !main_name_holds(settings->name))
        return error_set(err, STATUS_BAD_VALUE, "--name: 1 to %d visible ASCII characters",
                         SHARE_NAME_MAX);
    if (log_level_parse(settings->log_level, &level) != 0)
        return error_set(err, STATUS_BAD_VALUE, "--log-level %s: debug, info, warn or error",
                         settings->log_level);
    if (strcmp(settings->log_format, "logfmt") != 0 && strcmp(settings->log_format, "json") != 0)
        return error_set(err, STATUS_BAD_VALUE, "--log-format %s: logfmt or json", settings->log_format);
    log_setup(level, strcmp(settings->log_format, "json") == 0 ? LOG_JSON : LOG_LOGFMT);
    return STATUS_OK;
}

static int main_print(void (*print)(const struct config_program *program, struct buf *buf))
{
    struct buf text;

    buf_init(&text, 1 << 20);
    print(&main_program, &text);
    fputs(buf_string(&text), stdout);
    buf_fini(&text);
    return 0;
}

/* The settings, if what they name can be used. */
static int main_check_files(const struct settings *settings)
{
    struct security security;
    struct error err;
    struct buf text;

    error_init(&err);
    if (security_open(&security, &settings->security, &err) != STATUS_OK) {
        fprintf(stderr, "indexer: %s\n", err.text);
        return 2;
    }
    security_close(&security);
    struct settings shown = *settings; /* borrows all but the catalog, which has no password here */
    char catalog[CATALOG_URI_SIZE_MAX + 1];
    catalog_uri_show(settings->catalog, catalog, sizeof catalog);
    shown.catalog = catalog;
    buf_init(&text, 1 << 20);
    config_print_settings(&main_program, &shown, &text);
    fputs(buf_string(&text), stdout);
    buf_fini(&text);
    return 0;
}

static int main_run(const struct settings *settings)
{
    struct main_signals signals;
    struct indexer indexer;
    struct error err;
    uv_loop_t loop;

    error_init(&err);
    process_raise_files();
    uv_loop_init(&loop);
    http_metrics_register();
    if (indexer_start(&indexer, settings, &loop, &err) != STATUS_OK) {
        log_msg(LOG_ERROR, "indexer.start", "%s", err.text);
        _exit(1); /* what was started before the failure ends with the process */
    }
    main_open_signals(&signals, &indexer, &loop);
    log_msg(LOG_INFO, "indexer.started", "listening on %s, catalog %s", settings->listen,
            catalog_backend(indexer.catalog));
    uv_run(&loop, UV_RUN_DEFAULT);
    work_stop(&loop);
    main_close_signals(&signals, &loop);
    uv_loop_close(&loop);
    return indexer.failed ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct settings settings = { 0 };
    enum config_asked asked;
    struct error err;
    int rest;

    error_init(&err);
    /* Documents are made on one thread and freed on another: with an arena a thread each keeps what the others gave back (199 MiB
     * in place of 90 after 20,000 fields). */
    mallopt(M_ARENA_MAX, 2);
    enum status status = config_load(&main_program, argc, argv, &settings, &rest, &asked, &err);
    if (status == STATUS_OK && asked == CONFIG_HELP)
        return main_print(config_print_help);
    if (status == STATUS_OK && asked == CONFIG_MAN)
        return main_print(config_print_man);
    if (status == STATUS_OK && asked == CONFIG_VERSION) {
        printf("indexer %s (libuv %s, libcurl %s)\n", GRIBSTORE_VERSION, uv_version_string(),
               LIBCURL_VERSION);
        return 0;
    }
    if (status == STATUS_OK && rest < argc)
        status = error_set(&err, STATUS_BAD_VALUE, "%s: no such argument", argv[rest]);
    bool hidden = catalog_uri_hide(argc, argv);
    if (status == STATUS_OK)
        status = main_check(&settings, &err);
    if (status == STATUS_OK && hidden)
        log_msg(LOG_WARN, "catalog.password",
                "it stood among the arguments, where other users may have read it: use --catalog-file");
    if (status != STATUS_OK) {
        fprintf(stderr, "indexer: %s\nTry indexer --help.\n", err.text);
        config_free(&main_program, &settings);
        return 2;
    }
    int code = settings.check_config    ? main_check_files(&settings)
               : settings.reindex_names ? reindex_main(&settings)
                                        : main_run(&settings);
    config_free(&main_program, &settings);
    return code;
}
