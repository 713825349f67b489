/* mirror_copy.h: messages of another cluster to the owners of this one, with the stamps that they have there.
 *
 *     window: which of its messages does each owner lack --/have--> those fetched, in ranges of files --> to each owner what it lacks, PUT /replica
 *
 * A stamp decides which of two issues of a field is the current one, so the order of issues is the other cluster's whatever the order in which they
 * arrive. Two windows are under way: one is fetched while one is sent. What was fetched has its digest, or is not sent.
 *
 * An owner that does not answer is left to sync, as long as min_replicas of a message's owners have it. */
#ifndef CLIENT_MIRROR_COPY_H
#define CLIENT_MIRROR_COPY_H

#include "client/mirror_list.h"

enum {
    MIRROR_WINDOW_MESSAGES = 750, /* stamps in one header, of 20 bytes at most: requests take 16 KiB a line */
    MIRROR_WINDOW_SIZE = 64 << 20, /* bytes; one larger message excepted */
    MIRROR_WINDOWS = 2,
    MIRROR_FETCHES = 16, /* messages fetched alone at a time */
    MIRROR_BATCHES = 4,  /* requests of many ranges */
};

struct mirror_copy {
    struct gs_session *from, *to; /* both have their maps */
    struct run_key run;
    const struct mirror_list *list; /* of `from` */
    const size_t *picks; /* indexes of its messages that may be lacking, in the order to be sent */
    size_t picks_count;
    void (*on_progress)(const struct mirror_copy *copy); /* may be NULL */
    void *user;
    /* so far */
    uint64_t messages, bytes; /* sent to one owner at least */
    uint64_t known;           /* that every owner had */
    uint64_t unread;          /* that no holder gave as they should be */
    uint64_t bad_copies;      /* copies with other bytes than their digest's */
    uint64_t too_few;         /* that fewer than all owners took */
    struct error unread_err;  /* of the last one unread */
};

/* OK: each message is with min_replicas of its owners, or unread. Otherwise what ended it; doing it again goes on. */
enum status mirror_copy_run(struct mirror_copy *copy, struct error *err);

#endif
