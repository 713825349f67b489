/* release_judge.h: may these files be given up: what is known, and what follows from it. Pure: who finds it out is release.c.
 *
 * The conditions of ARCHITECTURE.md, section 17, file by file. A file is refused by the first that does not hold and keeps that verdict; what is
 * still to be granted goes on to the next question. Cells of `places` belong to one owner each, so answers of several owners may be taken in at once. */
#ifndef INDEXER_RELEASE_JUDGE_H
#define INDEXER_RELEASE_JUDGE_H

#include "indexer/catalog/catalog.h"
#include "indexer/release_request.h"
#include "proto/release_code.h"

struct release_verdict {
    enum release_code code; /* one of an answer */
    char why[256];
};

/* An owner, as far as it was asked. */
struct release_owner {
    uint16_t node;   /* in the map */
    uint32_t *asked; /* owned: places in the request's digests */
    uint8_t *column; /* owned: of each, which of its shard's owners this one is */
    size_t asked_count, asked_size;
    size_t told_count; /* of asked, from the first on, that it has answered about */
    uint64_t *births;  /* owned: its files that hold them */
    unsigned *shards;  /* owned: of those */
    size_t births_count, births_size;
    char failed[192]; /* it does not answer, or not as it should; "": all is well */
};

struct release_judge {
    const struct release_request *request; /* borrowed */
    struct cluster_map *map;               /* owned reference */
    struct release_verdict *verdicts;      /* owned; of the request's files */
    struct release_owner *owners;          /* owned; in no order */
    size_t owners_count;
    uint32_t *places; /* owned: of each digest and column 0, or 1 + the place of a birth in its owner's list */
    uint8_t *named; /* owned: of each digest bits of release_named */
};

/* The request has been parsed. */
void release_judge_init(struct release_judge *judge, const struct release_request *request);
void release_judge_fini(struct release_judge *judge);

bool release_judge_any(const struct release_judge *judge); /* one is still to be granted */
void release_refuse(struct release_judge *judge, size_t file, enum release_code code, const char *format,
                    ...) __attribute__((format(printf, 4, 5))); /* unless it is refused already */
void release_refuse_all(struct release_judge *judge, enum release_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* run: info.incarnation 0: the index has none. */
void release_judge_run(struct release_judge *judge, const struct catalog_run *run);
/* cursor: rev 0: there is none. */
void release_judge_cursor(struct release_judge *judge, const struct catalog_cursor *cursor);
/* The newest map, in place of one that was there before: a new reference is taken. */
void release_judge_map(struct release_judge *judge, struct cluster_map *map);

/* Whom to ask about what. */
void release_judge_share_out(struct release_judge *judge);
/* The question about the next of them: POST /have. */
enum { RELEASE_ASK_MAX = 5000 };
size_t release_owner_question(const struct release_judge *judge, const struct release_owner *owner,
                              struct buf *body);
/* The answer to it. BAD_VALUE: it is none. */
enum status release_owner_answer(struct release_judge *judge, struct release_owner *owner,
                                 size_t asked, struct slice answer, struct error *err);
/* What an owner's node says of one of its files (GET /cluster/releases): only a file that nobody gives up counts. BAD_VALUE: it says nothing. */
enum status release_owner_state(struct release_owner *owner, size_t birth, struct slice answer,
                                struct error *err);
/* All owners were asked. */
void release_judge_copies(struct release_judge *judge);

/* Of one document, or one entry of quarantine: the places that it names; then, of all of them, what follows. */
struct release_named_place {
    const struct digest *digest;
    const char *node, *file;
};
void release_judge_document(struct release_judge *judge, const struct release_named_place *places,
                            size_t count);
void release_judge_index(struct release_judge *judge);

/* {"state": "none"} -> "none"; NULL: no such answer. Borrowed for good. */
const char *release_state_parse(struct slice answer);

#endif
