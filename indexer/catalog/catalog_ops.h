/* catalog_ops.h: what a database does behind the catalog: keep records, and nothing of what they mean. Private to this folder.
 *
 * A record is an id (bytes), a revision and a JSON object. Everything in the catalog is one: documents of fields, quarantine
 * entries, cursors, runs, settings. So merging, compare and set, unions and retries are written once, above
 * this table of functions, and a database only reads, writes by (id, rev), scans and answers queries.
 *
 * Ids of one kind in one run are a range: the run's bytes, then as many bytes as the kind has. */
#ifndef INDEXER_CATALOG_OPS_H
#define INDEXER_CATALOG_OPS_H

#include "indexer/catalog/catalog.h"
#include "proto/base/json_write.h"

#include <stdatomic.h>

enum catalog_table {
    CATALOG_FIELDS,     /* documents of fields (field_json.c, without `id`) */
    CATALOG_QUARANTINE, /* messages that don't decode */
    CATALOG_CURSORS,    /* id: node, 0x00, run */
    CATALOG_RUNS,       /* id: run */
    CATALOG_SETTINGS,   /* id: a name: "format", "map" */
    CATALOG_TABLES_COUNT
};

enum {
    RECORD_ID_SIZE_MAX = NODE_ID_SIZE_MAX + 1 + RUN_ID_SIZE_MAX,
    RECORD_TIME_SIZE = 8, /* a base_time in an id */
    CATALOG_FORMAT = 3,   /* of a database; one of a higher form is refused (catalog_format.c) */
    CATALOG_CHUNK_MAX = 5000,          /* documents merged and written at once */
    CATALOG_BATCH_SIZE_MAX = 32 << 20, /* bytes of documents that a batch holds at once: as read, as a bulk, as a transaction; by one document more */
    CATALOG_DOCUMENT_SIZE_MAX = 8 << 20, /* of a field: half of what MongoDB takes. Older issues that don't fit leave, the oldest first */
    CATALOG_ROUNDS_MAX = 100, /* so often is a lost race run again, then CONFLICT */
    LEASE_TTL_MS_MAX = 86400000,
};

struct record_id {
    size_t size;
    uint8_t bytes[RECORD_ID_SIZE_MAX];
};

struct record {
    struct record_id id;
    uint64_t rev;
    size_t size; /* bytes, as the database has it; of what was read */
    json_t *doc; /* in a callback: borrowed during the call (json_incref keeps it) */
    /* CATALOG_FIELDS: what was read may come so, without a tree; borrowed, or taken: then nothing is left in it. NULL: there is doc. */
    struct field_document *document;
};

/* each: false stops the reading, which is no error. */
typedef bool record_each(void *data, const struct record *record);

struct record_write {
    struct record_id id;
    uint64_t rev_was; /* 0: an insert; otherwise what the stored record has to have */
    uint64_t rev;     /* of the record from now on */
    json_t *doc;      /* owned by the caller; NULL: delete, unless there is a document */
    const struct field_document *document; /* CATALOG_FIELDS: in place of doc, so that no tree is made of it; borrowed */
    bool places_only; /* of document only locations and stamp of the only issue differ from what was read: the rest need not be written */
    bool lost;        /* out: not written, or perhaps not: the record is another one by now */
    bool too_large;   /* out: a document past CATALOG_DOCUMENT_SIZE_MAX; not written */
};

/* Ids from `from` (with it, or behind it) to `to` (with it). */
struct record_range {
    bool whole; /* the whole table: from and to don't count */
    bool behind;
    struct record_id from, to;
    /* Only records with a location on this node, in this file; NULL: any. A hint that saves reading: others may come too. */
    const char *node, *file;
    /* Of documents of fields only digest, length, locations and older are needed: others may be left out, and of locations all but node and file. */
    bool brief;
    bool places; /* with brief: offset and stored_at as well */
};

enum { CATALOG_HABITS = 64 };

struct catalog {
    const struct catalog_ops *ops;
    /* What a batch met lately, by a hash of what it was about (catalog_apply.c): most of its documents were there already. A guess that costs
     * time when it is wrong, and nothing else. */
    atomic_bool meets[CATALOG_HABITS];
};

struct catalog_ops {
    const char *name;
    enum status (*open)(const char *uri, struct catalog **catalog, struct error *err);
    void (*close)(struct catalog *catalog);
    /* The form of what is there; 0: nothing is. Changes nothing. */
    enum status (*format_read)(struct catalog *catalog, uint64_t *format, struct error *err);
    /* Where nothing is there: all as CATALOG_FORMAT has it. */
    enum status (*format_make)(struct catalog *catalog, struct error *err);
    /* From the form before to this one, with its number at the end. May be made again, and by several at once. */
    enum status (*format_step)(struct catalog *catalog, unsigned format, struct error *err);
    /* At every start, behind those: what belongs to the form but may have got lost (NULL: nothing). */
    enum status (*settle)(struct catalog *catalog, struct error *err);
    enum status (*ping)(struct catalog *catalog, struct error *err);
    /* Those of the ids that are there, in any order. */
    enum status (*read)(struct catalog *catalog, enum catalog_table table, const struct record_id *ids,
                        size_t count, record_each *each, void *data, struct error *err);
    /* Durable when it returns OK. Ids differ. What lost a race, or is too large, is marked and no error. More than CATALOG_BATCH_SIZE_MAX
     * go in several pieces; after a failure some may be there. */
    enum status (*write)(struct catalog *catalog, enum catalog_table table,
                         struct record_write *writes, size_t count, struct error *err);
    /* In the order of ids. */
    enum status (*scan)(struct catalog *catalog, enum catalog_table table,
                        const struct record_range *range, record_each *each, void *data,
                        struct error *err);
    /* Deletes records of a range with `incarnation` at most this, at most limit of them. */
    enum status (*remove)(struct catalog *catalog, enum catalog_table table,
                          const struct record_range *range, uint64_t incarnation, size_t limit,
                          size_t *removed, struct error *err);
    /* Documents that match the query, in the order of ids. With query->all: those with an older issue that may match too; limit is
     * then the caller's. */
    enum status (*find)(struct catalog *catalog, const struct catalog_query *query,
                        record_each *each, void *data, struct error *err);
    /* The same as rows (catalog.h); never with all or as_of_us. */
    enum status (*find_rows)(struct catalog *catalog, const struct catalog_query *query,
                             const struct catalog_rows *rows, struct error *err);
    enum status (*count)(struct catalog *catalog, const struct catalog_query *query,
                         uint64_t *count, struct error *err);
    enum status (*lease_take)(struct catalog *catalog, const char *name, const char *owner,
                              uint64_t ttl_ms, char holder[64], struct error *err);
    enum status (*lease_release)(struct catalog *catalog, const char *name, const char *owner,
                                 struct error *err);
    enum status (*lease_renew)(struct catalog *catalog, const char *owner, uint64_t ttl_ms,
                               struct error *err);
    enum status (*lease_release_all)(struct catalog *catalog, const char *owner, struct error *err);
    enum status (*lease_scan)(struct catalog *catalog,
                              bool (*each)(void *data, const struct catalog_lease *lease),
                              void *data, struct error *err);
    bool shared; /* by several processes at once */
};

extern const struct catalog_ops catalog_sqlite_ops;
extern const struct catalog_ops catalog_mongo_ops;

/* --- helpers of the files in this folder (catalog_record.c) --- */

void record_id_set(struct record_id *id, const void *bytes, size_t size);
int record_id_compare(const struct record_id *a, const struct record_id *b);
void record_id_run(struct record_id *id, const struct run_key *run);
void record_id_quarantine(struct record_id *id, const struct run_key *run, const struct digest *digest);

/* All ids of a run that have this many bytes behind the run's. */
void record_range_run(struct record_range *range, const struct run_key *run, size_t tail_size);

/* All ids of a source's runs, with as many bytes behind the run's. */
void record_range_source(struct record_range *range, struct slice source, size_t tail_size);

/* The revision of a record made now: random, so that a record deleted and made again is another one. */
uint64_t record_rev_new(void);

/* One record: *found.doc is a new reference, or NULL when it is not there. */
enum status record_read(struct catalog *catalog, enum catalog_table table,
                        const struct record_id *id, struct record *found, struct error *err);
/* One write, CONFLICT when it lost. Takes the reference of doc (NULL: delete). */
enum status record_write_one(struct catalog *catalog, enum catalog_table table,
                             const struct record_id *id, uint64_t rev_was, json_t *doc,
                             struct error *err);

/* The run that a record names by `source` and `base_time`. */
enum status record_run(const json_t *doc, struct run_key *run, struct error *err);

/* --- between the files above the databases --- */

/* A record of CATALOG_FIELDS as a document; CORRUPT: it is none. */
enum status catalog_document_of(const struct record *record, struct field_document *document,
                                struct error *err);

void catalog_apply_metrics(void); /* once */
/* A document as text: the shape of field_to_json() without `id` (catalog_document.c). */
void catalog_document_print(struct json_writer *json, const struct field_document *document);
/* Whether an older issue has to say this key of its own, as the current issue has it otherwise, or not. */
bool catalog_key_differs(const struct field_key *key, const struct field_keys *current);
/* Whether an older issue has to say that it lacks this key of the current one. */
bool catalog_key_lacks(const struct field_key *key, const struct field_keys *keys);

/* The database in the form that this program knows; UNSUPPORTED: it is of a higher one. */
enum status catalog_format_settle(struct catalog *catalog, struct error *err);

/* err is needed here. */
enum status catalog_scan_range(struct catalog *catalog, const struct record_range *range,
                               bool (*each)(void *data, const struct field_document *document),
                               void *data, struct error *err);
/* Whether catalog_remove_locations() with these arguments takes this one. */
bool catalog_location_goes(const struct field_location *location, const char *node,
                           const char *file, const char *const *keep_only);
/* Adds to *moved. */
enum status catalog_quarantine_move_node(struct catalog *catalog, const struct run_key *run,
                                         const char *node, const char *base_url, size_t *moved,
                                         struct error *err);
/* kept NULL: an entry without a place goes. Else it keeps those it has, and *kept counts it. */
enum status catalog_quarantine_remove_locations(struct catalog *catalog, const struct run_key *run,
                                                const char *node, const char *file,
                                                const char *const *keep_only, size_t *kept,
                                                struct error *err);

/* --- queries (catalog_match.c) --- */

/* Whether an issue of a document matches all terms. */
bool catalog_matches(const struct catalog_query *query, const struct field_document *document,
                     unsigned issue);
/* Whether an index finds what matches sooner than a range of ids does. */
bool catalog_query_is_sharp(const struct catalog_query *query);
/* Whether all that matches lies in a range of ids, of one run or one source. */
bool catalog_query_bounds(const struct catalog_query *query, struct record_range *range);
/* The same, and no index is sharper than that. */
bool catalog_query_range(const struct catalog_query *query, struct record_range *range);
bool catalog_query_has(const struct catalog_query *query, const char *key);

#endif
