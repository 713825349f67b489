/* lease.c: a named lease at the indexer. */
#include "client/lease.h"

#include "client/call.h"
#include "client/indexer_api.h"
#include "proto/base/clock.h"

#include <stdio.h>
#include <unistd.h>

enum { LEASE_WAIT_MS = INDEXER_LEASE_TTL_MS + 5000, LEASE_ASK_MS = 1000 };

/* "host:pid:random": who it is, and never the same twice. */
static void lease_name_owner(struct lease *lease)
{
    char host[33] = "host";
    uint32_t unique;

    if (gethostname(host, sizeof host - 1) != 0)
        snprintf(host, sizeof host, "host");
    host[sizeof host - 1] = '\0';
    for (char *at = host; *at != '\0'; at++) {
        if (*at <= ' ' || *at > '~' || *at == '"' || *at == '\\' || *at == '&' || *at == '%')
            *at = '-';
    }
    random_bytes(&unique, sizeof unique);
    snprintf(lease->owner, sizeof lease->owner, "%s:%ld:%08x", host, (long)getpid(), unique);
}

static enum status lease_ask(struct lease *lease, struct error *err)
{
    struct call call = {
        .to = CALL_INDEXERS, .method = "POST", .path = lease->path, .body = slice_text(lease->body)
    };
    struct call_answer answer;

    enum status status = call_run(lease->session, &call, &answer, err);
    if (answer.http_status == 409) {
        status = STATUS_LOCKED;
        err->status = status;
    }
    call_answer_fini(&answer);
    return status;
}

static void lease_on_renewed(struct transfer_request *request, enum status status, const struct error *err)
{
    struct lease *lease = container_of(request, struct lease, request);

    (void)status, (void)err; /* the next time, or another indexer; losing it costs only work done twice */
    lease->turn++;
}

static void lease_on_tick(struct gs_session *session, void *data)
{
    struct lease *lease = data;
    uint64_t now_ms = clock_monotonic_ms();

    if (now_ms < lease->renew_at_ms || lease->request.transfer != NULL)
        return;
    lease->renew_at_ms = now_ms + INDEXER_LEASE_TTL_MS / 3;
    transfer_request_fini(&lease->request);
    transfer_request_init(&lease->request);
    snprintf(lease->url, sizeof lease->url, "%s%s",
             session->indexers.items[lease->turn % session->indexers.count].url, lease->path);
    lease->request.method = "POST";
    lease->request.url = lease->url;
    lease->request.body = slice_text(lease->body);
    lease->request.headers[0] = (struct transfer_header){ "Content-Type", "application/json" };
    lease->request.timeout_ms = INDEXER_LEASE_TTL_MS / 3;
    lease->request.on_done = lease_on_renewed;
    if (session_sign(session, &lease->request, NULL) == STATUS_OK)
        transfer_start(session->transfer, &lease->request);
}

enum status lease_take(struct lease *lease, struct gs_session *session, const char *name,
                       struct error *err)
{
    uint64_t wait_ms = session->retry_ms < LEASE_WAIT_MS ? session->retry_ms : LEASE_WAIT_MS;
    uint64_t until_ms = clock_monotonic_ms() + wait_ms;

    *lease = (struct lease){ .session = session };
    transfer_request_init(&lease->request);
    lease_name_owner(lease);
    snprintf(lease->path, sizeof lease->path, INDEXER_LEASES_PATH "/%s", name);
    snprintf(lease->body, sizeof lease->body, "{\"owner\":\"%s\",\"ttl_ms\":%d}", lease->owner,
             INDEXER_LEASE_TTL_MS);
    for (;;) {
        enum status status = lease_ask(lease, err);

        if (status == STATUS_OK) {
            lease->renew_at_ms = clock_monotonic_ms() + INDEXER_LEASE_TTL_MS / 3;
            session->on_tick = lease_on_tick;
            session->tick_data = lease;
            return STATUS_OK;
        }
        if (status != STATUS_LOCKED || clock_monotonic_ms() >= until_ms)
            return status;
        status = session_wait(session, LEASE_ASK_MS, err);
        if (status != STATUS_OK)
            return status;
    }
}

void lease_release(struct lease *lease)
{
    struct gs_session *session = lease->session;
    struct call call = { .to = CALL_INDEXERS, .method = "DELETE", .once = true };
    char path[LEASE_PATH_SIZE + LEASE_OWNER_SIZE + 16];
    struct call_answer answer;

    if (session == NULL)
        return;
    session->on_tick = NULL;
    while (lease->request.transfer != NULL) {
        transfer_cancel(&lease->request);
        transfer_run(session->transfer, 0);
    }
    transfer_request_fini(&lease->request);
    snprintf(path, sizeof path, "%s?owner=%s", lease->path, lease->owner);
    call.path = path;
    bool cancelled = atomic_exchange(&session->cancelled, false); /* this much is still said */
    (void)call_run(session, &call, &answer, NULL); /* it runs out by itself otherwise */
    call_answer_fini(&answer);
    if (cancelled)
        atomic_store(&session->cancelled, true);
    lease->session = NULL;
}
