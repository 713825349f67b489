/* gribstore.h: the client library of gribstore: put, find, get and rotate GRIB fields.
 *
 * A session knows where indexer and nodes are. Everything runs in the caller's thread and returns when it is done; several
 * connections are used inside. Nothing is global, nothing aborts, nothing is printed: what happened is the returned status
 * and a struct gs_error, which says what went wrong and what to do next.
 *
 * Threads: a session is used by one thread at a time; different sessions are independent. gs_cancel() may be called from any
 * thread and from a signal handler. Signals: the library installs no handlers; a host that speaks https should ignore SIGPIPE.
 *
 * Memory: what a call takes is borrowed until it returns; what a callback is given is valid until the callback returns. Text
 * is UTF-8 and terminated. Base times are written 20130408T0000Z (or 2013-04-08T00:00:00Z), digests as 64 hex digits.
 *
 *     struct gs_session *session;
 *     struct gs_error error;
 *     if (gs_open(NULL, &session, &error) != GS_OK) ...
 *     const char *keys[] = { "param=msl", "base_time=20130408T0000Z" };
 *     gs_query(session, keys, 2, NULL, on_field, NULL, &error);
 *     gs_close(session); */
#ifndef GRIBSTORE_H
#define GRIBSTORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GS_EXPORT __attribute__((visibility("default")))

/* What became of a call; the command's exit codes are the same numbers. */
enum gs_status {
    GS_OK = 0,
    GS_FAILED = 1,    /* nothing else fits: bad GRIB, a file that can't be read, no memory */
    GS_USAGE = 2,     /* an argument is malformed */
    GS_PARTIAL = 3,   /* a part was done, another was not */
    GS_NOT_FOUND = 4, /* there is no such thing */
    GS_TEMPORARY = 5, /* nobody answered, or not now: the same call may succeed later */
    GS_REFUSED = 6, /* no right to it, a lock, a stale version, a run in another state, no space */
    GS_CORRUPT = 7, /* no good copy: the bytes don't have their digest */
    GS_CANCELLED = 130,
};

enum {
    GS_TEXT_SIZE = 512,
    GS_NEXT_SIZE = 256,
    GS_DIGEST_SIZE = 65,
    GS_BASE_TIME_SIZE = 24,
    GS_SOURCE_SIZE = 65
};

struct gs_error {
    enum gs_status status;
    char code[32]; /* stable: "bad-grib", "run-retired", ... */
    int has_offset;
    uint64_t offset;         /* in the file, where one is meant */
    char text[GS_TEXT_SIZE]; /* what went wrong, where */
    char next[GS_NEXT_SIZE]; /* what to do next; may be "" */
};

GS_EXPORT const char *gs_version(void);
GS_EXPORT const char *gs_status_name(enum gs_status status); /* "temporary" */

/* ---- sessions ---- */

struct gs_session;

struct gs_options {
    const char *indexers; /* URLs, comma-separated [http://127.0.0.1:8400] */
    const char *nodes; /* URLs of nodes to begin with; the others come from the cluster map [http://127.0.0.1:8410] */
    const char *token;   /* sent as a bearer token, over https or to loopback only [none] */
    const char *ca_file; /* PEM: whom to trust [the system's] */
    uint64_t retry_ms;   /* how long to try again what is temporary, as another rotation's lease is [60 s] */
    const char *cert_file, *key_file; /* PEM: what to show to who asks for a certificate [none] */
};

GS_EXPORT void gs_options_init(struct gs_options *options);

/* Opens no connection yet. options NULL: the defaults. *session is NULL on failure. */
GS_EXPORT enum gs_status gs_open(const struct gs_options *options, struct gs_session **session,
                                 struct gs_error *error);
GS_EXPORT void gs_close(struct gs_session *session); /* NULL is fine */

/* The call under way returns GS_CANCELLED soon, and so does every later one. */
GS_EXPORT void gs_cancel(struct gs_session *session);

/* ---- put ---- */

struct gs_input {
    const char *name; /* a path; or what to call it in errors when fd is given */
    int fd; /* -1: open name. A pipe is copied to an unnamed file in TMPDIR first. Not closed. */
};

struct gs_put_summary {
    uint64_t files;
    uint64_t messages;      /* found in the files */
    uint64_t stored;        /* that a node did not have */
    uint64_t known;         /* that all owners had already */
    uint64_t bytes;         /* of the messages */
    uint64_t bytes_pushed;  /* sent to nodes */
    uint64_t bytes_missing; /* of what was not there before */
    uint64_t skipped;       /* stretches between messages that are no GRIB */
    uint64_t bytes_skipped;
    uint64_t bytes_read, bytes_total; /* of the files: progress */
    uint64_t copies;                  /* of each message pushed, at least; 0: none was */
    uint64_t problems;                /* files that could not be read to their end */
    uint64_t retries;                 /* requests sent again */
    uint64_t waited_ms;               /* for nodes, with nothing left to read meanwhile */
    uint64_t took_ms;
};

/* How messages get to their nodes; what is stored is the same. */
enum gs_put_way {
    GS_PUT_BY_OWNER, /* a request to a node that owns its messages; that one sends the other copies */
    GS_PUT_DIRECT,   /* a request to each owner: what leaves here is as much as there are copies */
    GS_PUT_ANY,      /* a request to whichever node is least busy */
};

struct gs_put_options {
    const char *source;         /* "hres" */
    int dry_run;                /* ask only what is missing */
    uint64_t body_size_max;     /* bytes of a request, one larger message excepted [16 MiB] */
    unsigned body_messages_max; /* [4096] */
    unsigned parallel;          /* requests under way [8] */
    enum gs_put_way way;        /* [GS_PUT_BY_OWNER] */
    /* Called now and then; may be NULL. */
    void (*on_progress)(void *user, const struct gs_put_summary *summary);
    /* A file ended early: error names it and the byte offset. What was before it is stored, other files go on. */
    void (*on_problem)(void *user, const struct gs_error *error);
    /* Once a run, at the end: so many messages of it were in the files. */
    void (*on_run)(void *user, const char *source, const char *base_time, uint64_t messages,
                   uint64_t bytes);
    void *user;
};

GS_EXPORT void gs_put_options_init(struct gs_put_options *options);

/* Cuts files into messages, asks the cluster which it lacks, sends those. Calling it again is always safe and sends only
 * what is missing. OK; PARTIAL: a file had a problem, the rest is stored; others: see error. summary may be NULL. */
GS_EXPORT enum gs_status gs_put(struct gs_session *session, const struct gs_put_options *options,
                                const struct gs_input *inputs, size_t count,
                                struct gs_put_summary *summary, struct gs_error *error);

/* ---- query ---- */

/* A field's document, as the index has it. */
struct gs_field;

struct gs_location {
    const char *url;
    uint64_t offset, length;
};

GS_EXPORT const char *gs_field_json(const struct gs_field *field); /* the whole document, one line */
/* A key as text ("msl", "500", "2013-04-08T00:00:00Z"); NULL when the field lacks it. Until the callback returns. */
GS_EXPORT const char *gs_field_text(const struct gs_field *field, const char *key);
GS_EXPORT size_t gs_field_locations(const struct gs_field *field);
GS_EXPORT int gs_field_location(const struct gs_field *field, size_t index,
                                struct gs_location *location); /* 0 or -1 */

struct gs_query_options {
    uint64_t limit; /* at most so many fields [0: all] */
    int all;        /* older issues too */
    const char *as_of; /* each field as it was then: "2013-04-08T06:30:00Z" [now] */
    const char *sort;  /* "step,-levelist": source, base_time, valid_time, step, param, paramId, levelist, level, number, length, stored_at */
    const char *colo;  /* locations in this colo come first */
    const char *request; /* MARS requests as text ("retrieve, param=t, step=24"), or JSON; keys apply to each of them */
};

/* on_field returns 0 to go on, anything else to stop (the call then returns OK). keys are "key=value" in the MARS grammar:
 * "levelist=500/850", "step=0/to/24/by/6". options may be NULL. No field: OK without a call. */
GS_EXPORT enum gs_status gs_query(struct gs_session *session, const char *const *keys, size_t count,
                                  const struct gs_query_options *options,
                                  int (*on_field)(void *user, const struct gs_field *field),
                                  void *user, struct gs_error *error);

/* How many there are. */
GS_EXPORT enum gs_status gs_query_count(struct gs_session *session, const char *const *keys, size_t count,
                                        const struct gs_query_options *options, uint64_t *fields,
                                        struct gs_error *error);

/* Which values each key has among them, key by key, ascending. on_value returns 0 to go on. */
GS_EXPORT enum gs_status gs_query_axes(struct gs_session *session, const char *const *keys, size_t count,
                                       const struct gs_query_options *options, uint64_t *fields,
                                       int (*on_value)(void *user, const char *key, const char *value),
                                       void *user, struct gs_error *error);

/* What was asked for by value and is not there. Each callback may be NULL. */
struct gs_query_gaps {
    /* Requests in MARS form ("param=t,step=240/246"); the last is "..." where there are too many. */
    void (*on_missing)(void *user, const char *request);
    void (*on_hint)(void *user, const char *key, const char *value, const char *nearest); /* "2tt": "2t"? */
    void (*on_gone)(void *user, const char *source, const char *base_time, const char *state); /* purged */
    void *user;
};
GS_EXPORT enum gs_status gs_query_gaps(struct gs_session *session, const char *const *keys, size_t count,
                                       const struct gs_query_options *options, uint64_t *fields,
                                       const struct gs_query_gaps *gaps, struct gs_error *error);

/* The answer as the indexer gives it, as it comes in: format "ndjson" or "csv". on_data returns 0 to go on. */
GS_EXPORT enum gs_status gs_query_text(struct gs_session *session, const char *const *keys, size_t count,
                                       const struct gs_query_options *options, const char *format,
                                       int (*on_data)(void *user, const void *data, size_t size),
                                       void *user, struct gs_error *error);

/* ---- get ---- */

/* Takes the bytes of a whole, checked message (or of a range); 0 to go on, anything else to stop with GS_FAILED. */
typedef int (*gs_sink)(void *user, const void *data, size_t size);

struct gs_get_summary {
    uint64_t messages, bytes;
    uint64_t fields;     /* that a query found */
    uint64_t bad_copies; /* whose bytes were wrong: another one was taken */
};

/* The message with this digest ("sha256:..." or 64 hex digits), checked against it. CORRUPT: no copy is good. */
GS_EXPORT enum gs_status gs_get_digest(struct gs_session *session, const char *digest, gs_sink sink,
                                       void *user, struct gs_error *error);

/* The messages of all fields that a query finds, each once, in the query's order. */
GS_EXPORT enum gs_status gs_get_query(struct gs_session *session, const char *const *keys, size_t count,
                                      const struct gs_query_options *options, gs_sink sink, void *user,
                                      struct gs_get_summary *summary, struct gs_error *error);

/* A range of a data file. A range has no digest: the caller trusts the URL. */
GS_EXPORT enum gs_status gs_get_range(struct gs_session *session, const char *url, uint64_t offset,
                                      uint64_t length, gs_sink sink, void *user, struct gs_error *error);

/* ---- runs ---- */

struct gs_run {
    char source[GS_SOURCE_SIZE];
    char base_time[GS_BASE_TIME_SIZE];
    char state[16]; /* filling, ready, retired, purged */
    uint64_t incarnation, version;
    uint64_t messages, fields, bytes, quarantined;
    char fingerprint[96];
};

/* The runs of a source (NULL: of all), newest base_time last. */
GS_EXPORT enum gs_status gs_runs(struct gs_session *session, const char *source,
                                 int (*on_run)(void *user, const struct gs_run *run), void *user,
                                 struct gs_error *error);
GS_EXPORT enum gs_status gs_run(struct gs_session *session, const char *source,
                                const char *base_time, struct gs_run *run, struct gs_error *error);
GS_EXPORT enum gs_status gs_run_ready(struct gs_session *session, const char *source,
                                      const char *base_time, struct gs_run *run, struct gs_error *error);
/* Its records leave the index at once, its bytes after the grace; until then gs_run_ready() undoes it. */
GS_EXPORT enum gs_status gs_run_retire(struct gs_session *session, const char *source,
                                       const char *base_time, uint64_t grace_ms, struct gs_run *run,
                                       struct gs_error *error);

/* ---- rotate ---- */

enum gs_rotate_phase {
    GS_ROTATE_LEASE,
    GS_ROTATE_SPACE,
    GS_ROTATE_PUSH,
    GS_ROTATE_INDEX,
    GS_ROTATE_READY,
    GS_ROTATE_RETIRE
};

struct gs_rotate_options {
    struct gs_put_options put; /* source and the callbacks of the push */
    unsigned keep;             /* newest ready runs of the source that stay [2] */
    uint64_t grace_ms; /* between the end of a run's records and the end of its bytes [60 s] */
    uint64_t wait_ms;  /* how long the index may take, and the retirement [1 h each] */
    int dry_run;
    /* A phase begins, or text says how it goes on. May be NULL. */
    void (*on_phase)(void *user, enum gs_rotate_phase phase, const char *text);
    void (*on_ready)(void *user, const struct gs_run *run); /* or would be, in a dry run */
    void (*on_retired)(void *user, const struct gs_run *run); /* its retirement was asked for, or would be */
};

struct gs_rotate_report {
    struct gs_put_summary put;
    uint64_t runs_pushed, runs_ready, runs_retired, runs_purged;
    uint64_t quarantined;
    uint64_t lease_ms, space_ms, push_ms, index_ms, ready_ms, retire_ms, took_ms;
    char bound_by[64]; /* what most of the time went into */
};

GS_EXPORT void gs_rotate_options_init(struct gs_rotate_options *options);

/* Space, push, wait for the index, ready, retire what is past retention, wait until it is purged. Stopped anywhere, call it
 * again: it goes on and ends the same. Never retires a run that was in the inputs. */
GS_EXPORT enum gs_status gs_rotate(struct gs_session *session, const struct gs_rotate_options *options,
                                   const struct gs_input *inputs, size_t count,
                                   struct gs_rotate_report *report, struct gs_error *error);

#ifdef __cplusplus
}
#endif

#endif
