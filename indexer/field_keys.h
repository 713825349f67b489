/* field_keys.h: what a decoder said of a field: plain names with plain values, as compact JSON text that never changes. Pure.
 *
 * Millions of fields pass from decoder to database: a tree of fifty members costs more to make and to free than all else that is done with
 * one. So the text is looked through once, when it comes from outside, and is from then on what a database gets:
 * SQLite as it is, MongoDB as BSON made of it member by member. A tree is made for what happens seldom.
 *
 * What holds of every text: names are letters, digits and underscores, begin with a letter, differ, and none is of field_own_keys; values are
 * texts, numbers, true or false; no white space; UTF-8. A number with a point or an exponent is real, and stays so. */
#ifndef INDEXER_FIELD_KEYS_H
#define INDEXER_FIELD_KEYS_H

#include "proto/base/json_write.h"
#include "proto/base/status.h"

#include <jansson.h>

enum {
    FIELD_KEYS_SIZE_MAX = 16 << 20
}; /* what a database takes; a decoder's answer is at most 1 MiB (decoder_pipe.h) */

struct field_keys; /* counted, by any thread */

/* Of an object as text, from outside; what a document must not hold is left out. BAD_VALUE: no object; TOO_LARGE. */
enum status field_keys_parse(const void *text, size_t size, struct field_keys **keys, struct error *err);
/* The same of a tree. NULL: too large. */
struct field_keys *field_keys_of_json(const json_t *object);
/* Of members that a database kept of such a text: commas between them, no braces. Nothing is looked at. */
struct field_keys *field_keys_of_members(struct slice members);

struct field_keys *field_keys_ref(struct field_keys *keys); /* NULL: NULL */
void field_keys_unref(struct field_keys *keys);

/* The members with commas between them, as the keys have them, without braces. */
struct slice field_keys_members(const struct field_keys *keys);
json_t *field_keys_to_json(const struct field_keys *keys); /* a new reference */

enum field_key_type { FIELD_KEY_TEXT, FIELD_KEY_INTEGER, FIELD_KEY_REAL, FIELD_KEY_BOOL };
struct field_key {
    struct slice name;
    struct slice value; /* as JSON; of a text what is between its quotes */
    enum field_key_type type;
    bool escaped; /* a text with escapes in it */
};
/* The member at *at, which moves to the next; from 0 on. Borrowed from keys. */
bool field_keys_next(const struct field_keys *keys, size_t *at, struct field_key *key);
bool field_keys_find(const struct field_keys *keys, struct slice name, struct field_key *key);

int64_t field_key_integer(const struct field_key *key);
double field_key_number(const struct field_key *key); /* of an integer, too */
bool field_key_is_true(const struct field_key *key);
/* The text without escapes, in at most key->value.size bytes; returns how many. */
size_t field_key_text(const struct field_key *key, void *text);

/* By values: 0.10 and 1e-1 are equal, 1 and 1.0 are not, nor does the order of members count. */
bool field_key_equal(const struct field_key *a, const struct field_key *b);
bool field_keys_equal(const struct field_keys *a, const struct field_keys *b);

/* A name that a document may hold: plain, and none of field_own_keys. */
bool field_key_name_permitted(const char *name);

/* One member into an object that is being written. */
void field_key_put(struct json_writer *json, const struct field_key *key);
void field_key_put_none(struct json_writer *json, const struct field_key *key); /* null in place of its value */
/* A real number that is read as one again, 1.0 too. */
void field_real_put(struct json_writer *json, double value);

#endif
