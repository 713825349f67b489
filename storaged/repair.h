/* repair.h: bad messages are stored anew from copies that other nodes hold good. On loop 0.
 *
 * What turns bad is told by the store (store_on_bad()) and begun at once; at the start, and after what did not work, the store
 * is asked which bad messages have no good copy (store_missing_each()), after a growing, bounded rest. REPAIR_QUEUE_MAX are
 * remembered; of more the store is asked again. A message of a run that is retired, purged or filled again as another
 * incarnation is given up. */
#ifndef STORAGED_REPAIR_H
#define STORAGED_REPAIR_H

#include <stddef.h>

enum {
    REPAIR_QUEUE_MAX = 4096,
    REPAIR_SLOTS = 2, /* messages under way */
    REPAIR_REST_MIN_MS = 1000,
    REPAIR_REST_MAX_MS = 600000,
};

struct node_loop;
struct repair;

struct repair *repair_start(struct node_loop *loop);
void repair_go(struct repair *repair);   /* on its loop: look whether there is anything to do */
void repair_stop(struct repair *repair); /* on its loop; what is under way is finished */
void repair_free(struct repair *repair); /* the loop has ended */

/* What is missing, as a sentence; "" when nothing is. From any loop. */
void repair_describe(const struct repair *repair, char *text, size_t size);

#endif
