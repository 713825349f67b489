/* release_dropped.h: POST /v1/releases/dropped: files that a node has dropped are gone from the index (ARCHITECTURE.md, section 17).
 *
 * A file counts as gone once the stored cursor has passed its *dropped* record: what the record asks for was done before the cursor was written; its lock
 * goes then: nobody counts on what is dropped. With `final` it is removed once more, by name; of a node that is *out*, of which nothing is read, it is removed by name both times; what may be done again any number of times. A file whose locations are named still, or whose journal
 * is another, is not in the answer: the node asks again later. */
#ifndef INDEXER_RELEASE_DROPPED_H
#define INDEXER_RELEASE_DROPPED_H

#include "indexer/indexer.h"

enum { RELEASE_DROPPED_MAX = 16 }; /* requests at once; one more is 503 */

void release_dropped_route(struct http_exchange *ex);

#endif
