/* purge.c: hands the purge to the store's writer and answers when the names are gone for good. */
#include "storaged/purge.h"

#include "storaged/node.h"
#include "storaged/request.h"

#include "proto/base/log.h"

#include <stdlib.h>

struct purge {
    struct run_change change;
    struct http_exchange *ex;
    struct node_loop *loop;
};

static void log_purge(const struct run_change *change, enum status status)
{
    struct log_line line;
    char run[RUN_TEXT_SIZE];

    run_key_print(&change->run, run);
    log_begin(&line, LOG_INFO, "run.purge");
    log_str(&line, "run", run);
    log_u64(&line, "incarnation", change->info.incarnation);
    log_u64(&line, "version", change->info.version);
    log_str(&line, "result", status_code(status));
    log_end(&line);
}

static void on_purged(struct run_change *change, enum status status)
{
    struct purge *purge = container_of(change, struct purge, change);
    struct node_loop *loop = purge->loop;

    log_purge(change, status);
    if (status == STATUS_OK)
        http_reply(purge->ex, 204, NULL, NULL);
    else
        request_fail_run(purge->ex, status, &change->err, &change->run, &change->info);
    free(purge);
    node_loop_end(loop);
}

void purge_handle(struct http_exchange *ex)
{
    static const char *const keys[] = { "incarnation", "version", NULL };
    struct run_info info = { .state = RUN_RETIRED };
    struct run_key run;

    if (!request_keys_known(ex, keys) || !request_run(ex, &run) ||
        !request_query_u64(ex, "incarnation", UINT64_MAX, &info.incarnation) ||
        !request_query_u64(ex, "version", UINT64_MAX, &info.version))
        return;
    if (info.incarnation == UINT64_MAX || info.version == UINT64_MAX) {
        request_fail_with(
            ex, STATUS_BAD_REQUEST,
            "say which run is meant: ?incarnation=I&version=V, as it is retired (GET /cluster/runs)");
        return;
    }
    struct purge *purge = calloc(1, sizeof *purge);
    if (purge == NULL)
        abort();
    purge->ex = ex;
    purge->loop = request_loop(ex);
    purge->change.run = run;
    purge->change.info = info;
    purge->change.port = &purge->loop->port;
    purge->change.on_done = on_purged;
    error_init(&purge->change.err);
    node_loop_begin(purge->loop);
    store_run_purge(purge->loop->node->store, &purge->change);
}
