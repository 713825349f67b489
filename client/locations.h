/* locations.h: every place that an index names in a run, one by one. */
#ifndef CLIENT_LOCATIONS_H
#define CLIENT_LOCATIONS_H

#include "client/session.h"
#include "proto/digest.h"
#include "proto/run.h"

#include <jansson.h>

enum location_as { LOCATION_FIELD, LOCATION_OLDER, LOCATION_QUARANTINE };

struct location {
    struct digest digest;
    uint64_t length, stored_at_us;
    const char *node; /* borrowed during the call */
    unsigned shard;
    uint64_t birth, offset;
    enum location_as as;
};

/* One line of the answer. *end: it is the last one, and *count what it says. MALFORMED. Pure. */
enum status location_read(const json_t *line, struct location *location, bool *end, uint64_t *count,
                          struct error *err);

/* All of a run, of one of the session's indexers; begin() before the first, and again should another indexer be asked. OK only when the list
 * was whole. NOT_FOUND: the index does not know the run. What each() returns other than OK ends it. */
struct locations_taker {
    void (*begin)(void *user);
    enum status (*each)(void *user, const struct location *location, struct error *err);
    void *user;
};
enum status locations_get(struct gs_session *session, const struct run_key *run,
                          const struct locations_taker *taker, struct error *err);

#endif
