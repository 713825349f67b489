/* space_watch.h: asks the disk each second how much is free, on the thread pool: a file system that hangs keeps no loop; what it says is
 * taken into the node's capacity (capacity.h). On loop 0. */
#ifndef STORAGED_SPACE_WATCH_H
#define STORAGED_SPACE_WATCH_H

struct node_loop;
struct space_watch;

enum { SPACE_WATCH_MS = 1000 };

struct space_watch *space_watch_start(struct node_loop *loop);
void space_watch_stop(struct space_watch *watch); /* NULL is fine */
void space_watch_free(struct space_watch *watch); /* its loop has ended; NULL is fine */

#endif
