/* catalog.h: what a database must do for the index: fields, quarantine, cursors, runs, the cluster map, leases.
 *
 * Two behind it: MongoDB (catalog_mongo.c) and SQLite (catalog_sqlite.c); one suite tests both. Every call blocks: worker
 * threads only, any number at once. A write that returned OK is durable (majority and journal; WAL with full sync). All writes are idempotent: a
 * call whose outcome is unknown is made again. UNREACHABLE, TIMEOUT: the database does not answer, try later. */
#ifndef INDEXER_CATALOG_H
#define INDEXER_CATALOG_H

#include "indexer/field.h"
#include "proto/base/buf.h"

struct catalog;

/* "sqlite:FILE" or "mongodb://...": opened, schema and indexes made. No secret of the URI ever appears in err. */
enum status catalog_open(const char *uri, struct catalog **catalog, struct error *err);
void catalog_close(struct catalog *catalog);
/* Whether it answers, and is the database that was opened. NOT_FOUND: its file is not there any more; EXISTS: another lies there. Then
 * nothing is written until it is back, or opened anew. */
enum status catalog_ping(struct catalog *catalog, struct error *err);
const char *catalog_backend(const struct catalog *catalog); /* "sqlite", "mongodb" */

/* --- fields --- */
/* Applies events in order (several may concern one id; those of up to 5,000 ids are one transaction in SQLite, several where they have more than
 * 32 MiB): reads what is there, field_merge(), writes where (_id, rev) is as read, else reads again. Older issues that a document has no
 * room for leave. All or an error; on error some may have been applied: apply all again. TOO_LARGE: a current issue past what a document holds. */
enum status catalog_apply(struct catalog *catalog, const struct field_event *events, size_t count,
                          struct error *err);

/* Removes a node's locations in a run: all, or those of one file (file != NULL), or (keep_only != NULL) those in files that are
 * not in the list. Quarantine's too. */
enum status catalog_remove_locations(struct catalog *catalog, const struct run_key *run,
                                     const char *node, const char *file,
                                     const char *const *keep_only, struct error *err);

/* The same for a node that is no member any more, so nobody can be asked whether it holds what the index names there: what has a place
 * nowhere else keeps it, or its record would go with the last that is known of it. *kept: issues and messages in quarantine of which
 * that was so. file NULL: all files. */
enum status catalog_forget_node(struct catalog *catalog, const struct run_key *run, const char *node,
                                const char *file, size_t *kept, struct error *err);

/* Removes a node's locations of these messages in a run, quarantine's too: the run is read once, however many they are. */
enum status catalog_remove_messages(struct catalog *catalog, const struct run_key *run, const char *node,
                                    const struct digest *digests, size_t count, struct error *err);

/* The node goes by another URL: its locations in a run are given it, quarantine's too. *moved: documents and entries that were changed. */
enum status catalog_move_node(struct catalog *catalog, const struct run_key *run, const char *node,
                              const char *base_url, size_t *moved, struct error *err);

/* Deletes documents and quarantine entries of a run whose incarnation is at most this, at most limit of them; *removed:
 * how many went (< limit: all gone). */
enum status catalog_remove_run(struct catalog *catalog, const struct run_key *run,
                               uint64_t incarnation, size_t limit, size_t *removed, struct error *err);

/* --- queries --- */
enum {
    QUERY_TERMS_MAX = 32,
    QUERY_VALUES_MAX = 10000,
    QUERY_LIMIT_MAX = 10000,
    QUERY_SORTS_MAX = 4
};

enum query_type { QUERY_TEXT, QUERY_NUMBER, QUERY_TIME };
struct query_value {
    char *text;    /* QUERY_TEXT; owned by the query */
    double number; /* QUERY_NUMBER */
    int64_t time;  /* QUERY_TIME: seconds since 1970 */
};
struct query_term {
    const char *key; /* borrowed for good: a name of the table of keys (query.h) */
    enum query_type type;
    bool alternative; /* enough if this one or the term before it holds (param=2t/167: short names, ids) */
    size_t count; /* any of these */
    struct query_value *values;
};
/* A member's value, as a query would ask for it. */
struct catalog_value {
    enum {
        CATALOG_NONE,
        CATALOG_TEXT,
        CATALOG_NUMBER,
        CATALOG_TIME
    } kind;            /* NONE: the document lacks it */
    struct slice text; /* borrowed */
    double number;
    int64_t time;
};
struct query_sort {
    const char *key; /* borrowed for good */
    enum query_type type;
    bool descending;
    struct catalog_value after; /* of the document that `after` names; text is the query's owner's */
};
struct catalog_query {
    size_t terms_count;
    struct query_term terms[QUERY_TERMS_MAX]; /* all must hold; an absent key never matches */
    bool all;          /* older issues too, as documents of their own (same id) */
    uint64_t as_of_us; /* not 0: of each field the issue that was current then (stored at or before), and it alone has to match */
    size_t limit; /* 0: none. With all the last document's issues are given whole, so a few more may come */
    struct field_id after; /* size 0: from the beginning */
    /* By these keys of the current issue, then by id. What lacks a key comes first, with `descending` last. */
    size_t sorts_count;
    struct query_sort sorts[QUERY_SORTS_MAX];
};
/* Whether all that matches is of one run, and which. Pure. */
bool catalog_query_names_run(const struct catalog_query *query, struct run_key *run);
/* Whether none of its keys leads to an index, so that every document is looked at. Pure. */
bool catalog_query_reads_all(const struct catalog_query *query);
/* Documents in the catalog's order of ids, each to each(), which may stop it by returning false. The document is borrowed. */
enum status catalog_find(struct catalog *catalog, const struct catalog_query *query,
                         bool (*each)(void *data, const struct field_document *document),
                         void *data, struct error *err);
/* The same as text, without making trees of documents where the database can do without: several times as fast. */
struct catalog_row {
    struct slice id;   /* bytes of the _id */
    struct slice text; /* the document as a JSON object, without `id`; size 0 when not asked for */
    const struct catalog_value *values; /* of catalog_rows.keys, in their order */
};
struct catalog_rows {
    bool text;
    size_t keys_count; /* at most CATALOG_KEYS_MAX */
    const char *const *keys;
    bool (*each)(void *data, const struct catalog_row *row); /* false stops the reading; row is borrowed */
    void *data;
};
enum { CATALOG_KEYS_MAX = 48 };
enum status catalog_find_rows(struct catalog *catalog, const struct catalog_query *query,
                              const struct catalog_rows *rows, struct error *err);
/* How many documents match; all and as_of_us are not looked at, nor limit and after. */
enum status catalog_count(struct catalog *catalog, const struct catalog_query *query,
                          uint64_t *count, struct error *err);
/* Everything of a run, documents with all their issues. */
enum status catalog_scan_run(struct catalog *catalog, const struct run_key *run,
                             bool (*each)(void *data, const struct field_document *document),
                             void *data, struct error *err);

/* What a census needs of a document, without its keys: a third of the time of catalog_scan_run(). The current issue first. */
struct catalog_issue {
    struct digest digest;
    uint64_t length;
    unsigned nodes; /* distinct ones that hold it */
};
enum status catalog_scan_issues(struct catalog *catalog, const struct run_key *run,
                                bool (*each)(void *data, const struct catalog_issue *issues, unsigned count),
                                void *data, struct error *err);

/* Every location of the run's documents, as node and file, and whose it is; however often one comes; borrowed during the call. */
enum status catalog_scan_files(struct catalog *catalog, const struct run_key *run,
                               bool (*each)(void *data, const char *node, const char *file,
                                            const struct digest *digest),
                               void *data, struct error *err);

/* Every place that the run's documents name, document by document, of those behind `after` (size 0: all): false from each() ends it, and
 * behind that document's id it goes on. What the places point to is borrowed during the call. */
enum catalog_as { CATALOG_AS_FIELD, CATALOG_AS_OLDER, CATALOG_AS_QUARANTINE };
struct catalog_location {
    enum catalog_as as; /* the current issue's, or an older one's */
    struct digest digest;
    uint64_t length, stored_at_us, offset;
    const char *node, *file;
};
typedef bool catalog_locations_each(void *data, const struct field_id *id,
                                    const struct catalog_location *locations, size_t count);
enum status catalog_scan_locations(struct catalog *catalog, const struct run_key *run,
                                   const struct field_id *after, catalog_locations_each *each,
                                   void *data, struct error *err);

/* --- quarantine: messages that don't decode --- */
struct quarantine_entry {
    struct run_key run;
    uint64_t incarnation;
    struct digest digest;
    uint64_t length, stored_at_us;
    char reason[256];
    char eccodes[32]; /* the release that failed */
    unsigned form;    /* of our decoder (decode.h), with that release; 0: before it was told */
    unsigned locations_count;
    struct field_location *locations; /* owned */
};
enum status catalog_quarantine_put(struct catalog *catalog, const struct quarantine_entry *entry,
                                   struct error *err); /* union of locations, the newest reason */
/* The same of several at once, which may be of one message. */
enum status catalog_quarantine_put_all(struct catalog *catalog, const struct quarantine_entry *entries,
                                       size_t count, struct error *err);
enum status catalog_quarantine_remove(struct catalog *catalog, const struct run_key *run,
                                      const struct digest *digest, struct error *err);
/* One message's locations on one node; the entry too when no other holds it. */
enum status catalog_quarantine_remove_node(struct catalog *catalog, const struct run_key *run,
                                           const struct digest *digest, const char *node,
                                           struct error *err);
enum status catalog_quarantine_scan(struct catalog *catalog, const struct run_key *run, /* NULL: all */
                                    bool (*each)(void *data, const struct quarantine_entry *entry),
                                    void *data, struct error *err);
/* The entries behind this one, in the order of ids; behind one that is all zero: from the beginning. */
enum status catalog_quarantine_scan_behind(struct catalog *catalog, const struct quarantine_entry *last,
                                           bool (*each)(void *data, const struct quarantine_entry *entry),
                                           void *data, struct error *err);
/* The message decodes after all: its fields (the first is sub 1) are written as documents with all places that its entry has by then, and the
 * entry goes. *resolved false: there is none any more, or it is of another incarnation, and nothing was written. A crash half way leaves
 * the entry. */
struct quarantine_field {
    uint8_t identity[GRIB_IDENTITY_SIZE];
    struct field_keys *keys; /* borrowed */
};
enum status catalog_quarantine_resolve(struct catalog *catalog, const struct quarantine_entry *entry,
                                       const struct quarantine_field *fields, size_t count,
                                       bool *resolved, struct error *err);
/* It was tried again in vain: reason, release and form of the entry, if there is one of this incarnation. Its places are as they are. */
enum status catalog_quarantine_renew(struct catalog *catalog, const struct quarantine_entry *entry,
                                     struct error *err);
void quarantine_entry_fini(struct quarantine_entry *entry);

/* --- cursors: where tailing a run's journal on a node goes on --- */
struct catalog_cursor {
    char node[NODE_ID_SIZE_MAX + 1];
    struct run_key run;
    uint64_t journal_id;
    uint64_t record; /* the next to read */
    uint32_t check;  /* checksum of record - 1 */
    bool complete; /* a first reading of this journal reached its end and what it did not name was removed */
    uint64_t files; /* hash of the node's files that the run was last held against; 0: of none */
    uint64_t rev;   /* of the record; 0: it is not there */
};
/* Compare and set: written only if what is stored is `was` in all (rev 0: not there); CONFLICT otherwise. Being there already, as after an
 * answer that was lost, is as good. cursor->rev is what it has from now on. */
enum status catalog_cursor_put(struct catalog *catalog, struct catalog_cursor *cursor,
                               const struct catalog_cursor *was, struct error *err);
/* For who wrote something and then can't be sure that it was still his to write: is the cursor as he knew it when he began (`was`), all is
 * well. Otherwise it is set back, CONFLICT: to where the earlier of the two stands, or (whole, or another journal, or none stored) to the
 * beginning of was's journal, incomplete. Whoever reads the run now reads from there again, and so heals what was written late. */
enum status catalog_cursor_check(struct catalog *catalog, const struct catalog_cursor *was,
                                 bool whole, struct error *err);
/* What is stored; rev 0: nothing is. */
enum status catalog_cursor_get(struct catalog *catalog, const char *node, const struct run_key *run,
                               struct catalog_cursor *cursor, struct error *err);
enum status catalog_cursor_remove(struct catalog *catalog, const char *node, const struct run_key *run,
                                  struct error *err); /* node or run NULL: any */
enum status catalog_cursor_scan(struct catalog *catalog, const char *node, /* NULL: all */
                                bool (*each)(void *data, const struct catalog_cursor *cursor),
                                void *data, struct error *err);

/* --- runs --- */
struct catalog_run {
    struct run_key run;
    struct run_info info;
    uint64_t ready_at_us, retired_at_us, purged_at_us; /* 0: not */
    uint64_t grace_ms;                                 /* of its retirement */
    unsigned step;                                     /* of a retirement under way (run_state.h) */
};
enum status catalog_run_get(struct catalog *catalog, const struct run_key *run,
                            struct catalog_run *found, struct error *err); /* NOT_FOUND */
enum status catalog_run_scan(struct catalog *catalog,
                             bool (*each)(void *data, const struct catalog_run *run), void *data,
                             struct error *err);
/* The runs of one source (NULL: of all), ascending by source and base_time. */
enum status catalog_run_scan_source(struct catalog *catalog, const char *source,
                                    bool (*each)(void *data, const struct catalog_run *run),
                                    void *data, struct error *err);
/* Compare and set: written only if the stored (incarnation, version) is `was` (incarnation 0: not there); CONFLICT otherwise. */
enum status catalog_run_put(struct catalog *catalog, const struct catalog_run *run,
                            const struct run_info *was, struct error *err);
/* The same, and CONFLICT when the stored step is above step_max. (A step never goes back while the version stays: CONFLICT, too.) */
enum status catalog_run_put_before(struct catalog *catalog, const struct catalog_run *run,
                                   const struct run_info *was, unsigned step_max, struct error *err);

/* --- the cluster map, and leases --- */
enum status catalog_map_get(struct catalog *catalog, struct buf *json, struct error *err); /* NOT_FOUND */
/* Compare and set on epoch: was = epoch stored now (UINT64_MAX: none yet); STALE_EPOCH when there is a higher one. (A lower one, or none:
 * the database is of an earlier day, and takes it.) */
enum status catalog_map_put(struct catalog *catalog, const void *json, size_t size, uint64_t epoch,
                            uint64_t was, struct error *err);
/* Takes or renews; CONFLICT: somebody else holds it, `holder` (64 bytes) says who. Time is the database's where it has one. */
enum status catalog_lease_take(struct catalog *catalog, const char *name, const char *owner,
                               uint64_t ttl_ms, char holder[64], struct error *err);
enum status catalog_lease_release(struct catalog *catalog, const char *name, const char *owner,
                                  struct error *err);
/* All leases of an owner at once: those that have not run out are his for ttl_ms from now; all of them are given back. */
enum status catalog_lease_renew(struct catalog *catalog, const char *owner, uint64_t ttl_ms,
                                struct error *err);
enum status catalog_lease_release_all(struct catalog *catalog, const char *owner, struct error *err);
enum { LEASE_NAME_SIZE_MAX = 128 };
struct catalog_lease {
    char name[LEASE_NAME_SIZE_MAX + 1];
    char owner[64];
    int64_t left_ms; /* by the database's clock; not above 0: it has run out */
};
enum status catalog_lease_scan(struct catalog *catalog,
                               bool (*each)(void *data, const struct catalog_lease *lease),
                               void *data, struct error *err);
/* Locks: who does what nobody else may do meanwhile. No time makes one free: only whoever knows that its holder is done with it. Every taking gives
 * it another revision, so what was decided on one taking never ends a later one, by the same holder either. */
enum { LOCK_NAME_SIZE_MAX = 120, LOCK_HOLDER_SIZE_MAX = 127 };
struct catalog_lock {
    char name[LOCK_NAME_SIZE_MAX + 1]; /* visible ASCII */
    char holder[LOCK_HOLDER_SIZE_MAX + 1];
    uint64_t rev;
};
/* The holder's from now on, if it is free or his already: *lock is this taking. CONFLICT: another's, *lock says whose. */
enum status catalog_lock_take(struct catalog *catalog, const char *name, const char *holder,
                              struct catalog_lock *lock, struct error *err);
/* CONFLICT: it is not held by that taking any more; *now says by whom (rev 0: nobody). */
enum status catalog_lock_check(struct catalog *catalog, const struct catalog_lock *lock,
                               struct catalog_lock *now, struct error *err);
/* Free, if it is held by this holder, and (rev not 0) by that taking; also if it was free already. CONFLICT: it is not, and stays. */
enum status catalog_lock_release(struct catalog *catalog, const struct catalog_lock *lock, struct error *err);
/* Those whose names begin so. */
enum status catalog_lock_scan(struct catalog *catalog, const char *prefix,
                              bool (*each)(void *data, const struct catalog_lock *lock), void *data,
                              struct error *err);
enum status catalog_lock_remove(struct catalog *catalog, const char *prefix, struct error *err);
/* Whether several indexers may use it at once. */
bool catalog_is_shared(const struct catalog *catalog);

/* --- what the index remembers by name: small JSON texts, the last one to write holds --- */
enum { CATALOG_NOTE_SIZE_MAX = 4096 };
enum status catalog_note_get(struct catalog *catalog, const char *name,
                             char text[CATALOG_NOTE_SIZE_MAX], struct error *err); /* NOT_FOUND */
enum status catalog_note_put(struct catalog *catalog, const char *name, const char *text,
                             struct error *err);

#endif
