/* release.h: may a node give up these files? POST /v1/releases (ARCHITECTURE.md, section 17).
 *
 * Nothing is granted from memory: run, map and cursor are read from the catalog, behind the lock; owners are asked now; the index is scanned now. Why nothing
 * is lost, whatever comes late, twice, or from a database of an earlier day:
 *
 * 1. A grant is good for 60 s from the asking, by the node's own monotonic clock, in one process, for the last asking alone: whatever an indexer that slept
 *    says after that is void. From before the asking until then the node calls the file `asked`; once it is dropped, `dropped`.
 * 2. Two files of a shard are never judged side by side: each needs the lock. What one judgement decided about a lock (a refusal gives it back, a holder that
 *    was done loses it) holds for that taking only: taken again since, by the same node too, it has another revision and stays. And a judgement is told only
 *    while its own taking still holds.
 * 3. Locks can be lost (a database of an earlier day; a node that was counted out and came back), maps and cursors with them. So an owner's copy counts only if its
 *    node, asked behind its /have, says `none` of the file: nobody can be giving it up. Two nodes that count on each other's copies have both
 *    asked before either was judged, or one asked when the other's copy was gone; either way one is refused. This holds without any lock.
 * 4. A catalog whose map is older than what this indexer, the node that asks, or any owner has shown grants nothing. One whose cursors or documents are older has read
 *    less: `behind`, `not-indexed`. One that names places that are gone names none that an owner does not confirm.
 * 5. A map that changes between judgement and drop changes nothing: the owners that were judged have the bytes and can't be granted theirs before this one is done
 *    (2, 3), and the new owners pull from them.
 * 6. A node that asks again voids what it was granted before, so a refusal may free the lock of an older grant of the same file.
 * 7. A refusal leaves no lock of its own. An indexer that dies in the middle leaves one: its holder asks again, or says `none` to who meets it. */
#ifndef INDEXER_RELEASE_H
#define INDEXER_RELEASE_H

#include "indexer/indexer.h"

enum {
    RELEASE_RUNNING_MAX = 2,  /* judged at once */
    RELEASE_WAITING_MAX = 16, /* one more is 503 */
    RELEASE_WAIT_MS_MAX = 20000,
    RELEASE_JUDGE_MS_MAX = 50000,   /* from the request on: a later grant would be void */
    RELEASE_BODIES_MAX = 160 << 20, /* bytes of all requests at once */
};

enum status releases_start(struct indexer *indexer, struct error *err);
void releases_stop(struct indexer *indexer); /* the server has drained */

void release_route(struct http_exchange *ex); /* POST /v1/releases */

#endif
