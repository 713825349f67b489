/* settings.c: the table of a node's options, and what follows from them. */
#include "storaged/settings.h"

#include "proto/base/log.h"
#include "proto/cluster_map.h"
#include "proto/grib_frame.h"
#include "proto/http/http_range.h"
#include "proto/http/http_server.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    LOOPS_MAX = 64,
    LOOPS_DEFAULT_MAX = 4,
    POOL_THREADS_MAX = 1024, /* libuv's own limit */
    BODY_MEMORY_MIN = 8 << 20,
    BODY_MEMORY_LOOP_MIN = 2 << 20, /* of a loop: its quarter for replicas holds a chunk of a large message */
    BODY_MEMORY_SHARE = 4, /* of the machine's memory: one part in so many */
};

#define AT(member) offsetof(struct settings, member)
#define AT_SECURITY(member) AT(security.member)
#define AT_HTTP(member) AT(http.member)

static const struct config_option options[] = {
    { "node", "data", 'd', CONFIG_TEXT, AT(data), NULL, "GRIBSTORE_DATA", "DIR",
      "Where messages, journals and the node's name are kept. Made if missing; one process at a time." },
    { "node", "listen", 'l', CONFIG_TEXT, AT(listen), "127.0.0.1:8410", NULL, "HOST:PORT",
      "Address to serve on. Off loopback it needs TLS and tokens, or --insecure." },
    { "node", "id", 0, CONFIG_TEXT, AT(id), NULL, NULL, "NAME",
      "The node's name in the cluster map. Default: random; it is kept in DIR/node.json." },
    { "node", "url", 0, CONFIG_TEXT, AT(url), NULL, NULL, "URL",
      "What others call this node by, and what locations in the index begin with. Default: http://LISTEN, or https:// with TLS. It is kept, and "
      "changed only by `gribstore cluster rename`." },
    { "node", "host", 0, CONFIG_TEXT, AT(host), NULL, NULL, "NAME",
      "The machine: copies of a message lie on different ones. Default: the host's name." },
    { "node", "colo", 0, CONFIG_TEXT, AT(colo), "default", NULL, "NAME",
      "The site: copies of a message lie on different ones while there are enough." },
    { "node", "weight", 0, CONFIG_COUNT, AT(weight), "100", NULL, "N",
      "The node's share of the data, against the weights of the others." },
    { "node", "join", 0, CONFIG_LIST, AT(join), NULL, NULL, "URL,...",
      "Nodes of the cluster to belong to. With an empty disk the node takes no PUT until it has the map and the runs' states "
      "from one of them." },
    { "node", "shards", 0, CONFIG_COUNT, AT(shards), "32", NULL, "N",
      "Slices of the digest space when this node begins a cluster of its own: a power of two, 8 to 64 a node." },
    { "node", "loops", 0, CONFIG_COUNT, AT(loops), NULL, NULL, "N",
      "Event loops, a thread each. Default: one a core, at most 4." },
    { "node", "pool-threads", 0, CONFIG_COUNT, AT(pool_threads), "16", NULL, "N",
      "Threads for what may wait for the disk: cold reads, feeds, heads." },
    { "node", "redirect", 0, CONFIG_BOOL, AT(redirect), "no", NULL, NULL,
      "Answer /sha256/ for messages that lie on another node with a 307 instead of passing them through." },

    { "store", "body-memory", 0, CONFIG_SIZE, AT(body_memory), NULL, NULL, "SIZE",
      "Memory for bodies under way; when it is used up, reading stops until some is free. Default: a quarter of the machine's." },
    { "store", "reserve", 0, CONFIG_SIZE, AT(reserve), NULL, NULL, "SIZE",
      "Disk space kept free; a PUT into it is 507. Default: the larger of 5 % and 5 GiB." },
    { "store", "high-water", 0, CONFIG_COUNT, AT(high_water), "90", NULL, "PERCENT",
      "Of the disk: who has more in use says so, and nothing is planned to move there. PUTs are taken on, up to the reserve." },
    { "store", "low-water", 0, CONFIG_COUNT, AT(low_water), "85", NULL, "PERCENT",
      "Of the disk: below it a node that was above the high-water mark is as any other." },
    { "store", "batch-size", 0, CONFIG_SIZE, AT(batch_size), "64MiB", NULL, "SIZE",
      "Bytes written before a flush, at most." },
    { "store", "flush-threads", 0, CONFIG_COUNT, AT(flush_threads), "4", NULL, "N",
      "Threads that write and flush data files in parallel." },
    { "store", "direct-size", 0, CONFIG_SIZE, AT(direct_size), "64KiB", NULL, "SIZE",
      "A data file's share of a batch from which on it is written around the page cache; 0: always through it." },
    { "store", "message-max", 0, CONFIG_SIZE, AT(message_max), "1GiB", NULL, "SIZE",
      "The largest GRIB message; more is 413." },
    { "store", "scrub-rate", 0, CONFIG_SIZE, AT(scrub_rate), "20MiB", NULL, "SIZE",
      "Bytes a second that are read again and hashed, to find what the disk damaged; 0: none." },
    { "store", "sync-period", 0, CONFIG_DURATION, AT(sync_period_ms), "60s", NULL, "TIME",
      "How often another node is asked what it has of this one's shards; what is missing here is fetched. 0: never." },
    { "store", "sync-rate", 0, CONFIG_SIZE, AT(sync_rate), "100MiB", NULL, "SIZE",
      "Bytes a second that are fetched so, at most; 0: no limit." },
    { "store", "release-period", 0, CONFIG_DURATION, AT(release_period_ms), "60s", NULL, "TIME",
      "How often an indexer is asked whether data files that the map does not give to this node may go. 0: never." },
    { "store", "release-grace", 0, CONFIG_DURATION, AT(release_grace_ms), "10min", NULL, "TIME",
      "How long such a file is served yet after the index has forgotten it." },
    { "store", "run-memory", 0, CONFIG_DURATION, AT(run_memory_ms), "400d", NULL, "TIME",
      "How long purged runs are remembered." },

    HTTP_OPTIONS(AT_HTTP),
    { "http", "ranges-max", 0, CONFIG_COUNT, AT(ranges_max), "1000", NULL, "N",
      "Ranges in a request; with more of them the Range header is ignored." },

    SECURITY_OPTIONS(AT_SECURITY),
    { "security", "sources", 0, CONFIG_TEXT, AT(sources), NULL, NULL, "FILE",
      "Quotas and date windows, a section a source; read again on SIGHUP." },

    { "log", "log-level", 0, CONFIG_TEXT, AT(log_level), "info", "GRIBSTORE_LOG_LEVEL", "LEVEL",
      "debug, info, warn or error." },
    { "log", "log-format", 0, CONFIG_TEXT, AT(log_format), "logfmt", "GRIBSTORE_LOG_FORMAT", "FORM",
      "logfmt for people, json for machines." },
    { "log", "access-log", 0, CONFIG_BOOL, AT(access_log), "no", NULL, NULL, "A line for each request." },

    { NULL, "fsck", 0, CONFIG_BOOL, AT(fsck), "no", NULL, NULL,
      "Check every record, digest and data file under --data while no node runs on it, say what was found, and leave: 0 sound, 7 damaged. "
      "Nothing is changed." },
    { NULL, "json", 0, CONFIG_BOOL, AT(json), "no", NULL, NULL, "With --fsck: JSON lines." },
    { NULL, "config", 'c', CONFIG_TEXT, AT(config), NULL, "GRIBSTORE_STORAGED_CONFIG", "FILE",
      "Settings as an ini file; flags win over it." },
    { NULL, "check-config", 0, CONFIG_BOOL, AT(check_config), "no", NULL, NULL,
      "Say what the settings come to, or what is wrong with them, and leave." },
    { 0 },
};

const struct config_program settings_program = {
    .name = "storaged",
    .synopsis = "storaged --data DIR [options]",
    .about = "A storage node of gribstore: takes GRIB messages by HTTP PUT, keeps each once under its SHA-256 on its "
             "owners' disks, and serves byte ranges of plain GRIB files.",
    .epilog = "Try it:\n"
              "  storaged --data /tmp/n1\n"
              "  curl -T file.grib http://127.0.0.1:8410/ingest/demo/\n"
              "  curl http://127.0.0.1:8410/cluster/runs\n"
              "The answer to the PUT names each message's URL, offset and length; the whole API is at /openapi.json.\n"
              "\n"
              "Signals: SIGTERM and SIGINT finish what is under way and leave; a second one leaves at once.\n"
              "Exit codes: 0 left in good order, 1 failed, 2 wrong flags or settings.\n",
    .options = options,
};

static enum status check_text(const char *name, const char *value, bool valid, const char *wanted,
                              struct error *err)
{
    if (valid)
        return STATUS_OK;
    return error_set(err, STATUS_BAD_VALUE, "--%s: '%s' is not %s", name, value, wanted);
}

static enum status check_count(const char *name, uint64_t value, uint64_t least, uint64_t most,
                               struct error *err)
{
    if (value >= least && value <= most)
        return STATUS_OK;
    return error_set(err, STATUS_BAD_VALUE, "--%s: %llu is not from %llu to %llu", name,
                     (unsigned long long)value, (unsigned long long)least, (unsigned long long)most);
}

/* Defaults that depend on the machine. */
static void settings_complete(struct settings *settings)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_size = sysconf(_SC_PAGESIZE);

    if (settings->loops == 0)
        settings->loops = cores < 1                   ? 1
                          : cores > LOOPS_DEFAULT_MAX ? LOOPS_DEFAULT_MAX
                                                      : (uint64_t)cores;
    if (settings->body_memory == 0 && pages > 0 && page_size > 0)
        settings->body_memory = (uint64_t)pages * (uint64_t)page_size / BODY_MEMORY_SHARE;
    if (settings->body_memory == 0)
        settings->body_memory = BODY_MEMORY_MIN;
    if (settings->host == NULL) {
        char name[HOST_NAME_MAX + 1] = "localhost";
        gethostname(name, sizeof name - 1);
        settings->host = strdup(name);
    }
}

static enum status settings_check_names(const struct settings *settings, struct error *err)
{
    char host[256];
    unsigned port;
    enum status status = STATUS_OK;

    /* The unit gives --data; who looks at the file beside it may leave it out. */
    if (!settings->check_config && (settings->data == NULL || settings->data[0] == '\0'))
        return error_set(err, STATUS_BAD_VALUE,
                         "--data DIR is missing: say where messages are to be kept");
    status = check_text("listen", settings->listen,
                        http_address_parse(settings->listen, host, sizeof host, &port),
                        "HOST:PORT or [V6]:PORT", err);
    if (status == STATUS_OK && settings->id != NULL)
        status = check_text("id", settings->id, node_id_valid(settings->id),
                            "a node's name (a-z, 0-9, '.', '_', '-', at most 64 characters)", err);
    if (status == STATUS_OK && settings->url != NULL)
        status = check_text("url", settings->url, node_url_valid(settings->url),
                            "http://HOST:PORT or https://HOST:PORT without a path", err);
    if (status == STATUS_OK)
        status = check_text("host", settings->host,
                            settings->host != NULL && strlen(settings->host) <= NODE_ID_SIZE_MAX,
                            "at most 64 characters", err);
    if (status == STATUS_OK)
        status = check_text("colo", settings->colo, strlen(settings->colo) <= NODE_ID_SIZE_MAX,
                            "at most 64 characters", err);
    return status;
}

static enum status settings_check_counts(const struct settings *settings, struct error *err)
{
    const struct {
        const char *name;
        uint64_t value, least, most;
    } counts[] = {
        { "weight", settings->weight, 1, 1000000 },
        { "shards", settings->shards, 1, MAP_SHARDS_MAX },
        { "loops", settings->loops, 1, LOOPS_MAX },
        { "pool-threads", settings->pool_threads, 1, POOL_THREADS_MAX },
        { "body-memory", settings->body_memory, BODY_MEMORY_MIN, UINT64_MAX },
        { "batch-size", settings->batch_size, 1, UINT64_MAX },
        { "flush-threads", settings->flush_threads, 1, 64 },
        { "message-max", settings->message_max, 64, GRIB_MESSAGE_SIZE_MAX },
        { "high-water", settings->high_water, 1, 100 },
        { "low-water", settings->low_water, 1, settings->high_water },
        { "ranges-max", settings->ranges_max, 1, HTTP_RANGES_MAX },
    };

    for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
        enum status status = check_count(counts[i].name, counts[i].value, counts[i].least,
                                         counts[i].most, err);
        if (status != STATUS_OK)
            return status;
    }
    enum status http = http_settings_check(&settings->http, err);
    if (http != STATUS_OK)
        return http;
    if (settings->body_memory / settings->loops < BODY_MEMORY_LOOP_MIN)
        return error_set(err, STATUS_BAD_VALUE, "--body-memory: %llu loops need at least 2 MiB each",
                         (unsigned long long)settings->loops);
    if ((settings->shards & (settings->shards - 1)) != 0)
        return error_set(err, STATUS_BAD_VALUE, "--shards: %llu is not a power of two",
                         (unsigned long long)settings->shards);
    return STATUS_OK;
}

static enum status settings_check_log(const struct settings *settings, struct error *err)
{
    enum log_level level;
    const char *format = settings->log_format;

    if (log_level_parse(settings->log_level, &level) != 0)
        return check_text("log-level", settings->log_level, false, "debug, info, warn or error", err);
    return check_text("log-format", format, strcmp(format, "logfmt") == 0 || strcmp(format, "json") == 0,
                      "logfmt or json", err);
}

/* A URL that others call: not "all addresses of this machine". */
static enum status settings_check_url(const struct settings *settings, struct error *err)
{
    char host[256];
    unsigned port;

    if (settings->url != NULL || !http_address_parse(settings->listen, host, sizeof host, &port))
        return STATUS_OK;
    if (strcmp(host, "0.0.0.0") != 0 && strcmp(host, "::") != 0)
        return STATUS_OK;
    return error_set(
        err, STATUS_BAD_VALUE,
        "--listen %s means every address: say by which one others call this node, --url http://HOST:%u",
        settings->listen, port);
}

static enum status settings_check_join(const struct settings *settings, struct error *err)
{
    const char *at = settings->join;

    while (at != NULL && *at != '\0') {
        char url[URL_SIZE_MAX + 1];
        size_t size = strcspn(at, ",");

        if (size > URL_SIZE_MAX)
            return error_set(err, STATUS_BAD_VALUE, "--join: a URL is longer than %d characters",
                             URL_SIZE_MAX);
        memcpy(url, at, size);
        url[size] = '\0';
        if (!node_url_valid(url))
            return check_text("join", url, false,
                              "http://HOST:PORT or https://HOST:PORT without a path", err);
        at += size + (at[size] == ',');
    }
    return STATUS_OK;
}

enum status settings_load(struct settings *settings, int argc, char **argv,
                          enum config_asked *asked, struct error *err)
{
    int rest = argc;

    *settings = (struct settings){ 0 };
    enum status status = config_load(&settings_program, argc, argv, settings, &rest, asked, err);
    if (status != STATUS_OK || *asked != CONFIG_RUN)
        return status;
    if (rest < argc)
        return error_set(err, STATUS_BAD_VALUE, "'%s' is no flag; storaged --help lists them",
                         argv[rest]);
    settings_complete(settings);
    status = settings_check_names(settings, err);
    if (status == STATUS_OK)
        status = settings_check_counts(settings, err);
    if (status == STATUS_OK)
        status = settings_check_log(settings, err);
    if (status == STATUS_OK)
        status = settings_check_join(settings, err);
    if (status == STATUS_OK)
        status = security_check(&settings->security, settings->listen, err);
    if (status == STATUS_OK)
        status = settings_check_url(settings, err);
    return status;
}

void settings_free(struct settings *settings)
{
    config_free(&settings_program, settings);
    *settings = (struct settings){ 0 };
}
