/* put_push.h: one window of messages: which of them does the cluster lack, and those to its nodes.
 *
 * A window asks one node per run (`/have?scope=cluster`) and makes bodies of what is missing. How they go is an option:
 *
 *   by owner  each to an owner of its messages, as coordinator: it keeps one copy and sends the others. To another node when that
 *             one is away. Each byte leaves here once, and no node passes on what it does not keep
 *   any       to whichever node is least busy: as a client would that knows no map
 *   direct    to the first owner for itself (/replica), which gives the stamps; then with these to the other owners. What an
 *             owner does not take, for whatever reason, goes by way of a coordinator, which knows of handoffs and run states;
 *             so does what a node took whose map is newer than ours, and then that map is fetched
 *
 * Each way a message counts as pushed when all its owners have it, or a coordinator says so. A body is sent again elsewhere when
 * it fails for a while; answers have to name the digests that were meant. */
#ifndef CLIENT_PUT_PUSH_H
#define CLIENT_PUT_PUSH_H

#include "client/put_job.h"

enum {
    PUT_BODY_SIZE_MAX = 16 << 20,
    PUT_BODY_MESSAGES_MAX = 4096,
    PUT_PARALLEL = 8,
    PUT_PARALLEL_MAX = 64,
    PUT_WINDOW_MESSAGES_MAX = 8192,
    PUT_WINDOW_SIZE_MAX = 512 << 20,
    PUT_WINDOW_FILES_MAX = 64, /* open until the window is done: with all windows a third of the usual limit */
    PUT_WINDOWS_MAX = 4,
    PUT_STALL_MS = 60000,
    PUT_COPY_STALL_MS = 20000, /* an owner that takes so long: a coordinator knows better whom to ask */
    PUT_ANSWER_MAX = 64 << 20,
};

/* A push: what the windows of one put share. */
struct put_push {
    struct gs_session *session;
    const struct gs_put_options *options; /* complete: no zero limits */
    struct put_file *files;               /* borrowed; alive until the push has ended */
    struct gs_put_summary *summary;
    struct list jobs; /* put_job: asks and bodies that wait to be sent */
    struct list sent; /* under way */
    unsigned sent_count;
    bool stale;    /* a node has a newer map: it is fetched when nothing is under way */
    bool map_lost; /* it could not be had: what is left is placed by coordinators */
    char newer_url[URL_SIZE_MAX + 1]; /* whose it is */
    unsigned windows;                 /* not done yet */
    enum status status;               /* the first failure that no retry cures */
    struct error err;
};

void put_push_init(struct put_push *push, struct gs_session *session, const struct gs_put_options *options,
                   struct put_file *files, struct gs_put_summary *summary);

/* Takes over the messages (malloc'ed) and frees them when the window is done. Calls nothing back: look at push. */
void put_push_window(struct put_push *push, struct put_message *messages, size_t count);

/* Sends what may be sent now. Returns how long to wait at most before calling again (UINT64_MAX: until something comes back). */
uint64_t put_push_pump(struct put_push *push);
bool put_push_idle(const struct put_push *push);

/* Cancels and frees all that is left. */
void put_push_fini(struct put_push *push);

#endif
