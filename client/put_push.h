/* put_push.h: one window of messages: which of them does the cluster lack, and those to its nodes.
 *
 * A window asks one node per run (`/have?scope=cluster`), makes bodies of what is missing, sends them to whichever node is up,
 * again elsewhere when that fails for a while, and checks that the answers name the digests that were meant. */
#ifndef CLIENT_PUT_PUSH_H
#define CLIENT_PUT_PUSH_H

#include "client/put_scan.h"
#include "client/session.h"

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
    unsigned windows;   /* not done yet */
    enum status status; /* the first failure that no retry cures */
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
