/* message_get_parts.h: what a GET /sha256/ is made of; for message_get.c, which finds the message, message_doubt.c, for
 * copies of it that are none, and message_answer.c, which sends what was found. */
#ifndef STORAGED_MESSAGE_GET_PARTS_H
#define STORAGED_MESSAGE_GET_PARTS_H

#include "storaged/message_get.h"
#include "storaged/message_holders.h"
#include "storaged/message_proof.h"
#include "storaged/message_reader.h"
#include "storaged/message_stream.h"
#include "storaged/open_files.h"
#include "storaged/range_reply.h"

#include "proto/base/fsm.h"

struct message_get {
    struct fsm fsm;
    struct http_exchange *ex;
    struct node_loop *loop;
    struct digest digest;
    bool hop, redirect;
    bool suspected;     /* a peer got other bytes of it from here */
    char *sources;      /* owned: what the caller may see, "hres,gfs"; NULL: all */
    struct slice asked; /* a node asks for somebody who may see these; data NULL: all */
    /* this node */
    struct work work;
    struct file_wait opening;
    struct error open_err; /* why it could not be found, opened or read, when it may be another time */
    struct run_key run;
    struct store_place place;
    enum status find_status;
    struct error find_err;
    /* the others */
    struct message_holders holders;
    /* the source under way */
    struct message_reader reader;
    enum status read_status;
    bool found, damaged; /* damaged: a copy was seen that is */
    struct message_proof proof;
    bool proven;
    uint64_t memory; /* of the loop's message_memory */
    /* the answer */
    char etag[DIGEST_TEXT_SIZE + 2];
    struct range_entity entity;
    struct message_stream stream;
};

/* message_doubt.c */

/* The copy under way has another digest: it is tried last from now on, and its holder looks at it again. */
void message_note_damaged(struct message_get *get);
/* This node's copy can't be read: it looks at it again. */
void message_note_unreadable(struct message_get *get);
/* The source under way did not give it: has it not, can't read it, or does not answer. */
void message_note_no(struct message_get *get, enum status status);

/* message_answer.c */

/* Once, at the end: what was found, from its reader, its proof or streamed; or why there is nothing. */
void message_answer_send(struct message_get *get);

#endif
