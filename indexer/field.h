/* field.h: a field's document: identity, keys, locations, and how issues of it supersede each other. Pure.
 *
 * A document is one field of one run: `_id` = source, base_time, identity (FORMATS.md section 9). Its current issue is the
 * newest by (stored_at, digest) that has a location; the others stand in `older`. An issue without locations leaves, a
 * document without issues is deleted. Documents are changed only by field_merge(), written only where (`_id`, `rev`) is as
 * it was read. A document owns all it points to. */
#ifndef INDEXER_FIELD_H
#define INDEXER_FIELD_H

#include "indexer/field_keys.h"
#include "proto/base/json_write.h"
#include "proto/cluster_map.h"
#include "proto/digest.h"
#include "proto/grib_head.h"
#include "proto/node_api.h"
#include "proto/run.h"

#include <jansson.h>

enum {
    FIELD_ID_SIZE_MAX = RUN_ID_SIZE_MAX + GRIB_IDENTITY_SIZE,
    FIELD_ISSUES_MAX = 64,    /* in one document; the oldest beyond leave */
    FIELD_LOCATIONS_MAX = 64, /* of one issue; one more is refused */
};

struct field_id {
    size_t size;
    uint8_t bytes[FIELD_ID_SIZE_MAX];
};

struct field_location {
    char url[URL_SIZE_MAX + DATA_PATH_SIZE];
    char node[NODE_ID_SIZE_MAX + 1];
    char file[DATA_FILE_NAME_SIZE];
    uint64_t offset, length;
};

struct field_issue {
    struct digest digest;
    unsigned sub;          /* number of the field in its message, from 1 */
    uint64_t stored_at_us; /* 0: adopted */
    uint64_t length;
    uint64_t incarnation;
    struct field_keys *keys; /* a reference: what the decoder said; with "eccodes": its release */
    unsigned locations_count;
    struct field_location *locations; /* owned; ordered by node, file, offset; unique in these */
};

struct field_document {
    struct field_id id;
    uint64_t rev; /* 0: not in the catalog */
    struct run_key run;
    unsigned issues_count;      /* issues[0] is the current one, then newest first */
    struct field_issue *issues; /* owned */
    unsigned dropped;           /* locations that merging found no room for, since it was read */
};

/* What happened to a field. */
enum field_event_kind {
    FIELD_ADD,    /* issue with its locations: a union with what is there */
    FIELD_REMOVE, /* these locations go: of one node, or of one file of it */
    FIELD_MOVE,   /* the node's locations, as they are by then, lie below base_url from now on */
    FIELD_RENAME, /* the issue of this digest and sub, if it is there, has issue.keys as its names from now on */
};
struct field_event {
    struct field_id id;
    struct run_key run;
    struct field_issue issue; /* ADD; RENAME: digest, sub and keys; owned by the event */
    enum field_event_kind kind;
    char node[NODE_ID_SIZE_MAX + 1]; /* REMOVE */
    char file[DATA_FILE_NAME_SIZE];  /* REMOVE; "": all of the node's */
    bool spare_last; /* REMOVE: an issue that would have no location left keeps those it has */
    const char *base_url;            /* MOVE; borrowed */
    bool has_digest;                 /* REMOVE: only of this digest (a bad message) */
    struct digest digest;
};

/* Lists of locations as issues and quarantine entries have them: ordered by node, file, offset; unique in these. Adding one that
 * is there takes over its URL and length. TOO_LARGE past FIELD_LOCATIONS_MAX. The JSON is the member `locations` of an object;
 * read from it, the list is the caller's to free, after a failure too. */
enum status field_location_add(struct field_location **locations, unsigned *count,
                               const struct field_location *location, bool *changed, struct error *err);
/* The node's locations get URLs below base_url. true: there was another one. */
bool field_locations_move(struct field_location *locations, unsigned count,
                          const struct run_key *run, const char *node, const char *base_url);
json_t *field_locations_to_json(const struct field_location *locations, unsigned count);
enum status field_locations_from_json(const json_t *object, struct field_location **locations,
                                      unsigned *count, struct error *err);

/* The document after the event. *changed: whether anything is to be written; no issues left: it is to be deleted. After
 * a failure the document is spent. */
enum status field_merge(struct field_document *document, const struct field_event *event,
                        bool *changed, struct error *err);

/* The keys of a field named anew: of `named` all but what it says of grid and packing, which stay as in keys. A new reference. */
struct field_keys *field_keys_renamed(const struct field_keys *keys, const struct field_keys *named);
bool field_key_is_unnamed(const char *key); /* of grid or packing */

void field_id_make(const struct run_key *run, const uint8_t identity[GRIB_IDENTITY_SIZE],
                   struct field_id *id);
bool field_id_parse(const uint8_t *bytes, size_t size, struct field_id *id, struct run_key *run);

void field_issue_fini(struct field_issue *issue);
enum status field_issue_copy(const struct field_issue *from, struct field_issue *to);
void field_event_fini(struct field_event *event);
void field_document_init(struct field_document *document, const struct field_id *id,
                         const struct run_key *run);
void field_document_fini(struct field_document *document);

/* The shape of a document in answers and in catalogs (contracts: Fields): keys of the current issue at the top level, then
 * source, base_time, valid_time, incarnation, digest, sub, length, stored_at, locations, older (same shape as the top, without what is common). A new
 * reference; NULL when memory runs out. Parsing back what was printed gives the same document but for `rev`, which is the
 * catalog's; without `id` the document's id stays empty. */
json_t *field_to_json(const struct field_document *document);
/* "locations": [...], in the same shape. */
void field_locations_put(struct json_writer *json, const struct field_location *locations, size_t count);
enum status field_from_json(const json_t *json, struct field_document *document, struct error *err);

/* Keys of ours: no decoder's key may have these names. Ended by NULL. */
extern const char *const field_own_keys[];

#endif
