/* query_keys.h: the keys that a query may have: names of documents' members, how their values are written, what MARS calls them. Pure.
 *
 * Only what stands in this table reaches a database as a name. */
#ifndef INDEXER_QUERY_KEYS_H
#define INDEXER_QUERY_KEYS_H

#include "indexer/catalog/catalog.h"

/* How values are written. */
enum query_kind {
    KIND_NAME,   /* text as it is: source, param's name, units */
    KIND_WORD,   /* text in lower case: class, type, stream, levtype, domain */
    KIND_EXPVER, /* text, filled up with zeros to four characters */
    KIND_DIGEST, /* 64 hex digits */
    KIND_SOURCE, /* a source's name */
    KIND_NUMBER, /* a number */
    KIND_STEP, /* hours, or with units ("90m", "1h30m"); a range of hours ("0-24") asks for stepRange */
    KIND_PARAM, /* a short name; a number ("167") asks for paramId; id.table ("130.128") for paramId or idTable; three numbers for
                 * idCategoryDiscipline */
    KIND_MOMENT,  /* base_time, valid_time: compact or RFC 3339 */
    KIND_DATE,    /* YYYYMMDD, YYYY-MM-DD, YYYY-DDD, or 0, -1, -2...: today, yesterday */
    KIND_DAYTIME, /* "12", "1200", "12:00", "12:00:00": HHMM */
};

struct query_key {
    const char *name;
    enum query_kind kind;
    enum query_type type;
    double by; /* of ranges a/to/b, in the unit of the values (moments, times of day: hours); 0: no ranges */
    const char *aliases; /* other names, blanks between; NULL: none */
};

extern const struct query_key query_keys[]; /* ends with .name == NULL */

/* By name or alias, NULL when there is none. */
const struct query_key *query_key_find(struct slice name);
/* The known name that is most like this one; "" when none is near. */
const char *query_key_nearest(struct slice name);
/* How many letters have to be put in, left out or changed (Levenshtein); upper and lower case are alike. Words of QUERY_WORD_MAX. */
enum { QUERY_WORD_MAX = 32 };
size_t query_word_distance(struct slice a, const char *b);
/* A key of MARS that asks for other fields than the stored ones (grid, area...). */
bool query_key_is_post_processing(struct slice name);
/* Another spelling of a value in MARS ("analysis": "an"); NULL when it is none. */
const char *query_word_alias(const struct query_key *key, const char *word);

#endif
