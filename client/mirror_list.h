/* mirror_list.h: what a cluster's index has of a run, as messages: each digest once, with its stamp and where it lies. */
#ifndef CLIENT_MIRROR_LIST_H
#define CLIENT_MIRROR_LIST_H

#include "client/session.h"
#include "proto/digest.h"
#include "proto/run.h"

/* A copy; the nodes are of session->map. */
struct mirror_place {
    uint64_t birth, offset;
    uint16_t node;
};

struct mirror_message {
    struct digest digest;
    uint64_t length, stored_at_us;
    size_t first_place; /* index into places */
    unsigned places_count;
    bool current; /* of a field, or in quarantine: not an older issue alone */
};

struct mirror_list {
    struct mirror_message *messages; /* owned; by digest */
    size_t count;
    struct mirror_place *places; /* owned */
    size_t places_count;
    struct digest_set all, current; /* of the digests */
    uint64_t bytes;
};

/* The session's map is taken if it was not asked for yet. NOT_FOUND: the index does not know the run: an empty list. */
enum status mirror_list_get(struct gs_session *session, const struct run_key *run,
                            struct mirror_list *list, struct error *err);
void mirror_list_fini(struct mirror_list *list);
const struct mirror_message *mirror_list_find(const struct mirror_list *list, const struct digest *digest);

#endif
