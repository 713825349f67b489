/* map_sync.h: somebody's map has a higher epoch: fetch it, from the other nodes or the indexers, until one has given it. */
#ifndef STORAGED_MAP_SYNC_H
#define STORAGED_MAP_SYNC_H

enum { MAP_SYNC_DELAY_MIN_MS = 200, MAP_SYNC_DELAY_MAX_MS = 10000 };

struct map_sync;
struct node_loop;

struct map_sync *map_sync_new(struct node_loop *loop);
void map_sync_go(struct map_sync *sync); /* on its loop: look whether there is anything to fetch */
void map_sync_stop(struct map_sync *sync); /* on its loop */
void map_sync_free(struct map_sync *sync); /* the loop has ended */

#endif
