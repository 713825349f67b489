/* indexer.c: what the indexer owns, in the order it starts; it stops in the reverse. */
#include "indexer/indexer.h"

#include "indexer/catalog_watch.h"
#include "indexer/census.h"
#include "indexer/lost_nodes.h"
#include "indexer/map_authority.h"
#include "indexer/node_request.h"
#include "indexer/quarantine_retry.h"
#include "indexer/query_axes.h"
#include "indexer/reindex_job.h"
#include "indexer/release.h"
#include "indexer/retire.h"
#include "indexer/routes.h"
#include "indexer/run_state.h"
#include "indexer/share.h"
#include "indexer/sweep.h"
#include "indexer/tail.h"
#include "indexer/upsert.h"
#include "proto/base/log.h"

enum { INDEXER_CONNECTIONS_PER_NODE = 8, INDEXER_CATALOG_RETRY_MS = 1000 };

/* A database that does not answer is waited for, with a word in the log each time: machines that start together need no order. Whatever
 * else is wrong with it ends the start. Nothing is listened on before; a signal ends the process at once. */
static enum status indexer_open_catalog(struct indexer *indexer, struct error *err)
{
    for (;;) {
        enum status status = catalog_open(indexer->settings->catalog, &indexer->catalog, err);
        if (status != STATUS_UNREACHABLE && status != STATUS_TIMEOUT)
            return status;
        log_msg(LOG_WARN, "catalog.wait", "%s; trying again", err->text);
        error_init(err);
        uv_sleep(INDEXER_CATALOG_RETRY_MS);
    }
}

static enum status indexer_start_engines(struct indexer *indexer, struct error *err)
{
    const struct settings *settings = indexer->settings;
    struct decoders_options decoders = {
        .loop = indexer->loop,
        .program = settings->decoder,
        .children = (unsigned)settings->decoders,
        .timeout_ms = settings->decode_timeout_ms,
        .memo_size = settings->memo_size,
        .memo_check_every = settings->memo_check,
    };
    struct transfer_options transfer = {
        .connections_max = 1024,
        .connections_per_host_max = INDEXER_CONNECTIONS_PER_NODE,
        .user_agent = "gribstore-indexer",
    };

    security_sign(&indexer->security, &transfer);
    enum status status = indexer_open_catalog(indexer, err);
    if (status != STATUS_OK)
        return error_wrap(err, "catalog");
    status = catalog_watch_start(indexer, err);
    if (status != STATUS_OK)
        return status;
    status = decoders_start(&decoders, &indexer->decoders, err);
    if (status != STATUS_OK)
        return error_wrap(err, "decoders");
    status = transfer_uv_new(&transfer, indexer->loop, &indexer->transfer, err);
    if (status == STATUS_OK)
        status = censuses_start(indexer, err);
    if (status == STATUS_OK)
        status = upserts_start(indexer, err);
    return status;
}

enum status indexer_start(struct indexer *indexer, const struct settings *settings, uv_loop_t *loop,
                          struct error *err)
{
    *indexer = (struct indexer){ .loop = loop, .settings = settings };
    list_init(&indexer->until_stop);
    enum status status = security_open(&indexer->security, &settings->security, err);
    struct http_server_options server = {
        .loop = loop,
        .listen = settings->listen,
        .limits = http_settings_limits(&settings->http),
        .tls = indexer->security.tls,
        .auth = indexer->security.auth,
        .routes = indexer_routes,
        .context = indexer,
        .server_name = "gribstore-indexer",
        .access_log = settings->access_log,
        .before = indexer_routes_before,
    };

    if (status == STATUS_OK)
        status = indexer_start_engines(indexer, err);
    if (status == STATUS_OK)
        status = run_states_start(indexer, err);
    if (status == STATUS_OK)
        status = tails_start(indexer, err);
    if (status == STATUS_OK)
        status = share_start(indexer, err);
    if (status == STATUS_OK)
        status = sweeps_start(indexer, err);
    if (status == STATUS_OK)
        status = quarantine_retries_start(indexer, err);
    if (status == STATUS_OK)
        status = reindex_job_start(indexer, err);
    if (status == STATUS_OK)
        status = releases_start(indexer, err);
    if (status == STATUS_OK)
        status = map_authority_start(indexer, err);
    if (status == STATUS_OK)
        status = lost_nodes_start(indexer, err);
    if (status == STATUS_OK)
        status = http_server_start(&server, &indexer->server, err);
    return status; /* a failed start ends the process: nothing is undone */
}

void indexer_reload(struct indexer *indexer)
{
    security_reload(&indexer->security);
    log_msg(LOG_INFO, "indexer.reload", "%s: other settings take a restart", indexer->settings->listen);
}

/* Stopping, one after another. */
static void (*indexer_on_stopped)(struct indexer *indexer);

static void indexer_on_transfer_closed(void *data)
{
    struct indexer *indexer = data;

    upserts_stop(indexer);
    censuses_stop(indexer);
    catalog_close(indexer->catalog);
    releases_stop(indexer);
    axes_cache_free(indexer->axes_cache);
    http_server_free(indexer->server);
    security_close(&indexer->security);
    log_msg(LOG_INFO, "indexer.stopped", "clean");
    indexer_on_stopped(indexer);
}

static void indexer_on_watch_stopped(struct indexer *indexer)
{
    transfer_uv_close(indexer->transfer, indexer_on_transfer_closed, indexer);
}

static void indexer_on_map_stopped(struct indexer *indexer)
{
    catalog_watch_stop(indexer, indexer_on_watch_stopped);
}

static void indexer_on_states_stopped(struct indexer *indexer)
{
    map_authority_stop(indexer, indexer_on_map_stopped);
}

static void indexer_on_lost_nodes_stopped(struct indexer *indexer)
{
    run_states_stop(indexer, indexer_on_states_stopped);
}

static void indexer_on_retires_stopped(struct indexer *indexer)
{
    lost_nodes_stop(indexer, indexer_on_lost_nodes_stopped);
}

static void indexer_on_sweeps_stopped(struct indexer *indexer)
{
    retire_stop_all(indexer, indexer_on_retires_stopped);
}

static void indexer_on_share_stopped(struct indexer *indexer)
{
    sweeps_stop(indexer, indexer_on_sweeps_stopped);
}

static void indexer_on_retries_stopped(struct indexer *indexer)
{
    share_stop(indexer, indexer_on_share_stopped);
}

static void indexer_on_reindex_stopped(struct indexer *indexer)
{
    quarantine_retries_stop(indexer, indexer_on_retries_stopped);
}

static void indexer_on_tails_or_decoders_stopped(struct indexer *indexer)
{
    if (indexer->tails == NULL && indexer->decoders == NULL)
        reindex_job_stop(indexer, indexer_on_reindex_stopped);
}

static void indexer_on_decoders_stopped(void *data)
{
    struct indexer *indexer = data;

    indexer->decoders = NULL; /* what is to be decoded from here on is given up */
    indexer_on_tails_or_decoders_stopped(indexer);
}

/* Tails and decoders at once: a tail waits for the heads it has handed out, and decoders that never come up give none back. */
static void indexer_on_drained(struct http_server *server, void *data)
{
    struct indexer *indexer = data;

    (void)server;
    reindex_job_leave(indexer);
    decoders_stop(indexer->decoders, indexer_on_decoders_stopped, indexer);
    tails_stop(indexer, indexer_on_tails_or_decoders_stopped);
}

void indexer_stop(struct indexer *indexer, void (*on_stopped)(struct indexer *indexer))
{
    indexer->draining = true;
    indexer_on_stopped = on_stopped;
    share_leave(indexer);
    node_requests_give_up(indexer); /* a request of ours may wait for one of a node that hangs */
    http_server_drain(indexer->server, indexer_on_drained, indexer);
}
