/* token.h: who may do what: the roles, and the token file (FORMATS.md section 11). Pure, and without a loop: the client
 * checks such files too.
 *
 * A table is made from a file's text and never changed, but for its buckets, which are atomics. It is counted: a request
 * holds the one that it was judged by to its end, while a newer one is in use already. */
#ifndef PROTO_HTTP_TOKEN_H
#define PROTO_HTTP_TOKEN_H

#include "proto/base/buf.h"
#include "proto/digest.h"
#include "proto/http/token_bucket.h"

#include <stdbool.h>

/* What a route asks for (any of them), and what a token is. */
enum http_role {
    ROLE_NONE = 0, /* everybody, without a token */
    ROLE_READ = 1 << 0,
    ROLE_INGEST = 1 << 1,
    ROLE_ADMIN = 1 << 2,
    ROLE_NODE = 1 << 3,
    /* Of a route without {source} in its path: a token that is bound to sources may come, the conductor looks which
     * (http_allows_source()), or what it answers is of no source. Without this such a token is refused there. */
    ROLE_BOUND = 1 << 4,
};

enum {
    TOKEN_NAME_SIZE = 65,
    TOKEN_LINES_MAX = 10000,
    TOKEN_LINE_MAX = 4096,
    TOKEN_FILE_MAX = TOKEN_LINES_MAX * (TOKEN_LINE_MAX + 1),
    TOKEN_TEXT_SIZE = 48, /* "gst_", 43 characters, and the end */
};

struct token {
    char name[TOKEN_NAME_SIZE];
    struct digest hash; /* of the token's text, or of a certificate's DER form */
    bool of_certificate;
    unsigned roles;           /* as written */
    char *sources;            /* owned: "hres,gfs"; NULL: all */
    uint64_t requests, bytes; /* a second; 0: any */
    int64_t expires;          /* seconds since 1970; INT64_MAX: never */
    unsigned line;            /* where it stands */
    struct token_bucket request_bucket, byte_bucket;
    void *user;    /* the table's owner may keep something here */
    unsigned next; /* the table's */
};

struct token_table;

/* BAD_VALUE, UNKNOWN_KEY: err names the line, what is wrong and what would be right; nothing of a line's hash. */
enum status token_table_parse(struct slice text, struct token_table **table, struct error *err);
/* The same of a file (proto/base/secret_file.h says which are refused). [blocking] */
enum status token_table_load(const char *path, struct token_table **table, struct error *err);
void token_table_ref(struct token_table *table);
void token_table_unref(struct token_table *table); /* NULL is fine */

unsigned token_table_count(const struct token_table *table);
struct token *token_table_at(struct token_table *table, unsigned at);

/* The token with this hash; NULL. The time it takes tells nothing about the hashes that are there: which of them are
 * compared follows from a secret of the table, and each of those is compared to its last byte. */
struct token *token_table_find(struct token_table *table, const struct digest *hash, bool of_certificate);

/* Who was near a limit in the table before is as near in this one. */
void token_table_inherit(struct token_table *table, struct token_table *before);

/* May a token do what asks for any of these roles? read comes with each role; node may also push copies and ask what is
 * there, which is said by the route. */
bool token_may(const struct token *token, unsigned roles);
bool token_allows_source(const struct token *token, struct slice source);
bool token_list_has(struct slice sources, struct slice source); /* "hres,gfs" */

void token_hash(struct slice text, struct digest *hash);    /* of what was sent behind `Bearer ` */
bool token_text_valid(struct slice text);                   /* b64token of RFC 6750 section 2.1 */
bool token_roles_parse(struct slice text, unsigned *roles); /* "read,ingest" */
const char *token_role_name(unsigned role);                 /* of one: "read" */

void token_make(char text[TOKEN_TEXT_SIZE]); /* a new one, from the kernel's random bytes */

#endif
