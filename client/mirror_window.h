/* mirror_window.h: a window of messages on its way, between the files of mirror_copy.c. Private to them.
 *
 *     mirror_have.c    which owner lacks what      mirror_fetch.c    from the holders there
 *     mirror_send.c    to each owner here          mirror_copy.c     two windows through all of it */
#ifndef CLIENT_MIRROR_WINDOW_H
#define CLIENT_MIRROR_WINDOW_H

#include "client/batch.h"
#include "client/mirror_copy.h"

enum { MIRROR_RETRY_MS = 500 };

struct mirror_window;

/* What one owner is sent of a window. */
struct mirror_send {
    struct mirror_window *window;
    uint16_t node;
    unsigned *items; /* owned: indexes into the window's messages */
    unsigned count, at;
    uint64_t at_offset, size;
    uint64_t failed_since_ms, retry_at_ms; /* 0: did not fail */
    bool done;
    struct transfer_request request;
    struct watch watch; /* of it */
    struct buf stamps;
    char url[URL_SIZE_MAX + SOURCE_SIZE_MAX + 16];
};

struct mirror_item {
    const struct mirror_message *message;
    struct fetch *fetch;     /* owned; NULL: every owner has it */
    unsigned owners, copies; /* that there are; that have it */
    bool lacking;
};

enum mirror_stage { WINDOW_FREE, WINDOW_FETCH, WINDOW_SEND };

struct mirror_window {
    struct mirroring *mirroring;
    enum mirror_stage stage;
    struct mirror_item items[MIRROR_WINDOW_MESSAGES];
    unsigned count;
    struct list batches;
    struct mirror_send *sends; /* owned: one a node of the map */
};

struct mirroring {
    struct mirror_copy *copy;
    size_t next; /* of the picks */
    struct mirror_window windows[MIRROR_WINDOWS];
    uint64_t *down_until_ms; /* owned: of each node here */
    enum status status;      /* the first failure that ends it */
    struct error err;
};

/* The first failure is what ends it all. */
void mirror_fail(struct mirroring *mirroring, enum status status, const struct error *err);

/* Asks each owner; window->sends has what each lacks. One that does not answer now has nothing, and is sent nothing. */
enum status mirror_have(struct mirror_window *window, struct error *err);

/* What some owner lacks is fetched from now on; false: no memory. */
bool mirror_fetch_start(struct mirror_window *window);
/* true: each came, or could not be read. */
bool mirror_fetch_step(struct mirror_window *window);

/* What came is sent from now on. What could not be read is counted, and sent to nobody. */
void mirror_send_start(struct mirror_window *window);
/* true: each owner has taken what it lacked, or is left to sync. */
bool mirror_send_step(struct mirror_window *window);

#endif
