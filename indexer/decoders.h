/* decoders.h: the children that decode: feed, time out, restart; results in the order asked.
 *
 * Each child is `gribstore-decoder` on a pair of pipes (FORMATS.md section 10), limited in memory and CPU, without network.
 * A batch is cut into jobs of some heads, each for one child. A head that kills or hangs ecCodes is found out by the child itself, which
 * answers for it and goes on (decoder_parent.h): it gets a refusal with the reason ("decoder died: signal 6 (abort)", "decoder timed out
 * after 1 s of CPU time"), the rest their keys. When a child as a whole dies or stands still, it is replaced and the heads that had no
 * answer are tried one by one, each in a fresh or idle child; refused is only what killed a fresh one.
 *
 * What a head like this one decoded to before is remembered (decode_memo.h), and no child is asked. */
#ifndef INDEXER_DECODERS_H
#define INDEXER_DECODERS_H

#include "indexer/decode_memo.h"
#include "proto/base/list.h"
#include "proto/base/status.h"
#include "proto/grib_head.h"

#include <stdbool.h>
#include <uv.h>

struct decoders;

struct decoders_options {
    uv_loop_t *loop;
    const char *program;       /* path of gribstore-decoder; NULL: beside the running executable */
    unsigned children;         /* [number of cores] */
    uint64_t timeout_ms;       /* a head may take so long [10 s] */
    uint64_t memory_max;       /* RLIMIT_AS [1 GiB] */
    unsigned queue_max;        /* batches waiting [64] */
    size_t memo_size;          /* bytes of memory for what was decoded [0: nothing is remembered] */
    uint64_t memo_check_every; /* hits, then one is decoded in full as well [0: never] */
    uint64_t heads_max; /* of one child, then it is replaced: ecCodes keeps memory of heads that it gives up on [200,000] */
};

struct decode_item {
    const uint8_t *head; /* borrowed until on_done */
    size_t size;
    /* out */
    char *keys; /* owned by the item: a JSON object as text; NULL: refused */
    size_t keys_size;
    char reason[256];
};

struct decode_batch {
    struct decode_item *items; /* borrowed */
    size_t count;
    void (*on_done)(struct decode_batch *batch, enum status status); /* OK; OVERLOADED, CANCELLED */
    void *user;
    /* the decoders' */
    struct list list;
    size_t next, left; /* to be handed out; without a result */
    uint64_t checks;   /* of the memo when it was submitted */
    enum status status;
};

/* Where the values of a message's only field lie, which no head tells by itself: members at the end of its keys. */
void decode_item_put_place(struct decode_item *item, const struct grib_head *head);

/* Starts the children and waits for none; decoders_ready() when one has warmed up. */
enum status decoders_start(const struct decoders_options *options, struct decoders **decoders,
                           struct error *err);
bool decoders_ready(const struct decoders *decoders);
const char *decoders_release(const struct decoders *decoders); /* ecCodes' release, "" until ready */
unsigned decoders_form(const struct decoders *decoders); /* of our part of the decoder (decode.h); 0 until ready */
void decoders_submit(struct decoders *decoders, struct decode_batch *batch);
void decoders_stop(struct decoders *decoders, void (*on_stopped)(void *data), void *data); /* frees */

struct decoders_stats {
    uint64_t decoded, refused, deaths, timeouts; /* decoded: by a child */
    unsigned alive, busy;
    struct decode_memo_stats memo;
};
void decoders_stats(const struct decoders *decoders, struct decoders_stats *stats);

#endif
