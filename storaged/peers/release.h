/* release.h: copies that the map does not give to this node are given up, with proof. On loop 0. ARCHITECTURE.md section 17.
 *
 * Rounds: the plan is made (release_plan.h), then run by run, newest first, files are asked for (release_ask.h); a round ends, and
 * `release-period` later, or with another map, the next begins. Each file is asked for at most once a round. What was dropped goes its
 * way beside that (release_after.h), and first. One request is under way at a time, and after each this rests as long as
 * it took, so that what it costs indexers and owners is bounded whatever there is to give up.
 *
 * Of a run the first asking of a round is small; when all of it is refused the run has to wait for the next round. Files begin
 * at another place each time, so that one which stays refused holds up no other. While the map is paused, or does not have this node,
 * nothing is asked for; what was dropped goes on.
 *
 * Why nothing is lost by it: a file counts until its *dropped* record is flushed, and that is written only with a grant in hand,
 * in time, for a file that takes no more messages, all of whose digests were asked about. A crash before that leaves the file as it
 * was, and nobody who could use the grant; a crash behind it leaves a file that counts for nothing and is served. It is unlinked
 * only when the index has said twice that it names it no more, with the grace in between; what is said in another process's life
 * does not count. Who wants to know whether a grant may still be used is told `asked` from before the question leaves until the last
 * moment at which it could be: that is looked up first, and the store's state then, so that no moment lies between. */
#ifndef STORAGED_PEERS_RELEASE_H
#define STORAGED_PEERS_RELEASE_H

enum {
    RELEASE_TICK_MS = 500,    /* another map, a pause, are seen within so long */
    RELEASE_PROBE_FILES = 16, /* of a run's first asking in a round */
    RELEASE_REST_MIN_MS = 5,  /* between two requests */
    RELEASE_REST_MAX_MS = 10000,
};

struct http_exchange;
struct node_loop;
struct release;

struct release *release_start(struct node_loop *loop);
void release_stop(struct release *release); /* on its loop; a request under way ends soon. NULL is fine, and twice */
void release_free(struct release *release); /* the loop has ended; NULL is fine */

void release_handle(struct http_exchange *ex); /* GET /cluster/releases: what there is to give up, and how it goes */
/* GET /cluster/releases/{source}/{base_time}/{file}: none, asked, dropped or gone. */
void release_handle_file(struct http_exchange *ex);

#endif
