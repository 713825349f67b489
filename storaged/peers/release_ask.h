/* release_ask.h: files of one run are given up, or are not: sealed, asked about, dropped. On loop 0.
 *
 *     SEAL --> LIST their digests (pool) --> ASK an indexer, the next one while none answers --> DROP what it granted --> done
 *
 * A grant is used by the asking that it answers and by nothing else: it lies in this struct, between one answer and the
 * store's writer, which drops a piece of it at a time and looks at the clock for each, and dies with it (another asking, a
 * stop, the end of the process). RELEASE_GRANT_US count from before the first byte of the question leaves, by the monotonic
 * clock; the writer looks at them last (store/drop.h). A transfer ends before that. So once on_done() was called no grant for
 * these files can be used any more. */
#ifndef STORAGED_PEERS_RELEASE_ASK_H
#define STORAGED_PEERS_RELEASE_ASK_H

#include "storaged/cluster.h"
#include "storaged/peers/release_words.h"
#include "storaged/work.h"

#include "proto/transfer/transfer.h"

enum {
    RELEASE_FILES_MAX = 512, /* of an asking */
    RELEASE_ASK_TIMEOUT_MS = 50000,
    RELEASE_DROP_MESSAGES = 16384, /* that the writer drops at once, or one file */
    RELEASE_URL_SIZE = URL_SIZE_MAX + 32,
};
#define RELEASE_GRANT_US UINT64_C(60000000)

struct node_loop;

/* Requests to one indexer of the map after another, beginning with the one that answered last. */
struct release_indexers {
    unsigned next;  /* that is asked first; kept from request to request */
    unsigned tried; /* in this request */
};

struct release_ask {
    /* in */
    struct node_loop *loop;
    struct release_indexers *indexers; /* borrowed */
    struct run_key run;
    struct store_drop_file files[RELEASE_FILES_MAX];
    unsigned count; /* at the end: of those that were asked about, the first ones */
    void (*on_done)(struct release_ask *ask);
    void *user;
    bool stop; /* set by the owner, who then calls release_ask_cancel() */
    /* out: of each file its state or why not */
    struct release_verdict verdicts[RELEASE_FILES_MAX]; /* granted: dropped */
    uint64_t incarnation, journal_id, records;          /* records: behind the *dropped* records */
    char why[256]; /* of the first refusal, or what failed; "": nothing was */
    /* the asking's */
    struct cluster_view *view;
    struct store_drop drop;
    struct store_drop_file dropped[RELEASE_FILES_MAX];
    unsigned dropped_at[RELEASE_FILES_MAX]; /* theirs among files */
    unsigned next; /* of files: the first that the writer was not asked about */
    size_t messages[RELEASE_FILES_MAX]; /* of files: what they hold */
    struct work work;
    struct transfer_request request;
    bool asking; /* the request is under way */
    struct buf body;
    struct digest *digests; /* owned while it is listed */
    struct release_digest_of *listed;
    size_t listed_count, listed_capacity;
    enum status status;
    struct error err;
    char url[RELEASE_URL_SIZE];
};

void release_ask_start(struct release_ask *ask); /* on_done() follows, later */
void release_ask_cancel(struct release_ask *ask); /* on_done() follows soon: nothing more is dropped */

/* Starts request, whose method is POST, at the next indexer that was not tried; false: there is none. body and on_done are
 * the caller's, view too. */
bool release_indexers_post(struct release_indexers *indexers, struct node_loop *loop,
                           const struct cluster_view *view, const char *path,
                           char url[RELEASE_URL_SIZE], struct transfer_request *request);
/* What the answer is worth: OK, 200. Else the next one is tried. Takes note of its epoch either way. */
enum status release_indexers_answer(struct release_indexers *indexers, struct node_loop *loop,
                                    const struct transfer_request *request, enum status status,
                                    const struct error *failure, struct error *err);

#endif
