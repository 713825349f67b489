/* message_proof.c: piece by piece: hash, keep if it is another node's, read the next. */
#include "storaged/message_proof.h"

#include "storaged/message_get.h"
#include "storaged/node.h"
#include "storaged/store/disk.h"

void message_proof_init(struct message_proof *proof, struct message_reader *reader)
{
    *proof = (struct message_proof){ .reader = reader, .fd = -1 };
    error_init(&proof->err);
}

void message_proof_fini(struct message_proof *proof)
{
    if (proof->digests != NULL)
        digest_stream_free(proof->digests);
    proof->digests = NULL;
    store_spool_close(proof->reader->loop->node->store, proof->fd);
    proof->fd = -1;
    proof->reader->loop->proof_spool -= proof->reserved;
    proof->reserved = 0;
}

bool message_proof_may(struct message_proof *proof)
{
    struct node_loop *loop = proof->reader->loop;
    uint64_t size = proof->reader->size;

    if (proof->reader->file != NULL)
        return true;
    if (size > PROOF_SPOOL_MAX - loop->proof_spool)
        return false;
    proof->reserved = size;
    loop->proof_spool += size;
    return true;
}

int message_proof_file(const struct message_proof *proof, uint64_t *offset)
{
    *offset = proof->fd >= 0 ? 0 : proof->reader->offset;
    return proof->fd >= 0 ? proof->fd : store_file_fd(proof->reader->file);
}

static void proof_next(struct message_proof *proof);

static void proof_end(struct message_proof *proof)
{
    struct digest digest;

    digest_stream_final(proof->digests, &digest);
    buf_fini(&proof->reader->piece);
    bool right = digest_compare(&digest, &proof->reader->digest) == 0;
    proof->on_done(proof, right ? STATUS_OK : STATUS_DIGEST_MISMATCH, &proof->err);
}

/* The piece is hashed and, if it has to be, kept. */
static void proof_go_on(struct message_proof *proof)
{
    if (proof->reader->at < proof->reader->size)
        proof_next(proof);
    else
        proof_end(proof);
}

/* The file is made for the first piece. */
static void keep_run(struct work *work)
{
    struct message_proof *proof = container_of(work, struct message_proof, work);
    const struct message_reader *reader = proof->reader;

    proof->status = STATUS_OK;
    if (proof->fd < 0)
        proof->status = store_spool_open(reader->loop->node->store, &proof->fd, &proof->err);
    if (proof->status == STATUS_OK)
        proof->status = disk_write(proof->fd, reader->at - reader->piece.size, reader->piece.data,
                                   reader->piece.size, &proof->err);
}

static void keep_done(struct work *work)
{
    struct message_proof *proof = container_of(work, struct message_proof, work);

    if (proof->status == STATUS_OK) {
        proof_go_on(proof);
        return;
    }
    proof->keeping = true;
    proof->on_done(proof, proof->status, &proof->err);
}

static void proof_take(struct message_proof *proof)
{
    struct message_reader *reader = proof->reader;

    digest_stream_update(proof->digests, reader->piece.data, reader->piece.size);
    if (reader->file == NULL)
        work_start_own(&proof->work, reader->loop, keep_run, keep_done);
    else
        proof_go_on(proof);
}

static void on_piece(struct message_reader *reader, enum status status, const struct error *err)
{
    struct message_proof *proof = reader->user;

    if (status == STATUS_OK && reader->piece.size > 0)
        proof_take(proof);
    else
        proof->on_done(proof, status == STATUS_OK ? STATUS_INTERNAL : status, err);
}

static void proof_next(struct message_proof *proof)
{
    proof->reader->user = proof;
    proof->reader->on_piece = on_piece;
    message_reader_next(proof->reader, MESSAGE_CHUNK_SIZE);
}

void message_proof_start(struct message_proof *proof)
{
    proof->digests = digest_stream_new();
    proof_take(proof);
}
