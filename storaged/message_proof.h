/* message_proof.h: the whole of a large message is read and hashed before a range of it leaves.
 *
 * Ranges come in the order asked, so they can't be cut out of one pass over the message. One of this node is read once and
 * hashed; its ranges are then served out of the data file. One of another node goes to an unnamed file of the store on its way
 * here, and is served out of that; of those a loop holds a limited number of bytes. */
#ifndef STORAGED_MESSAGE_PROOF_H
#define STORAGED_MESSAGE_PROOF_H

#include "storaged/message_reader.h"

#include "proto/digest.h"

enum { PROOF_SPOOL_MAX = 1 << 30 }; /* bytes of messages of other nodes in unnamed files, a loop */

struct message_proof {
    struct message_reader *reader; /* borrowed */
    int fd;                        /* owned: the unnamed file; -1: none */
    uint64_t reserved;             /* of the loop's PROOF_SPOOL_MAX */
    /* Later, once. OK: the message has its digest. DIGEST_MISMATCH: it has not. Else: it could not be read (kept false), or
     * not be kept (true). */
    void (*on_done)(struct message_proof *proof, enum status status, const struct error *err);
    bool keeping; /* what failed is the unnamed file */
    /* its own */
    struct digest_stream *digests;
    struct work work;
    enum status status;
    struct error err;
};

void message_proof_init(struct message_proof *proof, struct message_reader *reader);
void message_proof_fini(struct message_proof *proof); /* nothing is under way; safe twice */

/* False: this one has to be served whole, there is no room to keep it. */
bool message_proof_may(struct message_proof *proof);

/* reader has its first piece. On its way the pieces are hashed and given up. */
void message_proof_start(struct message_proof *proof);

/* After OK: where the message lies, and at which offset. */
int message_proof_file(const struct message_proof *proof, uint64_t *offset);

#endif
