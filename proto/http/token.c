/* token.c: reads a token file line by line; finds tokens by hash; makes one. */
#include "proto/http/token.h"

#include "proto/base/config.h"
#include "proto/base/secret_file.h"
#include "proto/run.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

enum {
    TOKEN_BITS = 256, /* of randomness in one */
    TOKEN_KEY_MAX = 64,
    TOKEN_NO_NEXT = 0, /* else number + 1 */
};
#define TOKEN_PREFIX "gst_"

struct token_table {
    _Atomic unsigned references;
    struct token *tokens; /* owned */
    unsigned count, capacity;
    unsigned *buckets; /* owned: number + 1 of the first token; by the keyed hash of its hash */
    unsigned buckets_count; /* a power of two */
    uint64_t seed;
};

/* --- roles --- */

static const struct {
    unsigned role;
    const char *name;
} token_roles[] = {
    { ROLE_READ, "read" },
    { ROLE_INGEST, "ingest" },
    { ROLE_ADMIN, "admin" },
    { ROLE_NODE, "node" },
};

const char *token_role_name(unsigned role)
{
    for (size_t i = 0; i < ARRAY_COUNT(token_roles); i++)
        if (token_roles[i].role == role)
            return token_roles[i].name;
    return "";
}

static unsigned token_role_of(struct slice name)
{
    for (size_t i = 0; i < ARRAY_COUNT(token_roles); i++)
        if (slice_equals(name, token_roles[i].name))
            return token_roles[i].role;
    return ROLE_NONE;
}

/* The next item of a comma-separated list; false at its end. "a,,b" has an empty one. */
static bool token_next_item(struct slice *list, struct slice *item)
{
    if (list->data == NULL)
        return false;
    const uint8_t *comma = list->size > 0 ? memchr(list->data, ',', list->size) : NULL;
    size_t size = comma != NULL ? (size_t)(comma - list->data) : list->size;

    *item = slice_of(list->data, size);
    *list = comma != NULL ? slice_of(comma + 1, list->size - size - 1) : slice_of(NULL, 0);
    return true;
}

bool token_roles_parse(struct slice text, unsigned *roles)
{
    struct slice item;

    *roles = ROLE_NONE;
    while (token_next_item(&text, &item)) {
        unsigned role = token_role_of(item);

        if (role == ROLE_NONE)
            return false;
        *roles |= role;
    }
    return *roles != ROLE_NONE;
}

bool token_may(const struct token *token, unsigned roles)
{
    assert(token->roles != ROLE_NONE);
    return (roles & (token->roles | ROLE_READ)) != 0;
}

bool token_list_has(struct slice sources, struct slice source)
{
    struct slice item;

    while (token_next_item(&sources, &item))
        if (item.size == source.size && source.size > 0 &&
            memcmp(item.data, source.data, source.size) == 0)
            return true;
    return false;
}

bool token_allows_source(const struct token *token, struct slice source)
{
    return token->sources == NULL || token_list_has(slice_text(token->sources), source);
}

/* --- a token's text --- */

void token_hash(struct slice text, struct digest *hash)
{
    digest_of(text.data, text.size, hash);
}

bool token_text_valid(struct slice text)
{
    size_t i = 0;

    for (; i < text.size && text.data[i] != '='; i++) {
        uint8_t c = text.data[i];
        bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';

        if (!letter && !(c >= '0' && c <= '9') && (c == '\0' || strchr("-._~+/", c) == NULL))
            return false;
    }
    if (i == 0)
        return false;
    while (i < text.size && text.data[i] == '=')
        i++;
    return i == text.size;
}

void token_make(char text[TOKEN_TEXT_SIZE])
{
    uint8_t bytes[TOKEN_BITS / 8];
    unsigned char base64[48];

    random_bytes(bytes, sizeof bytes);
    int size = EVP_EncodeBlock(base64, bytes, sizeof bytes);
    assert(size == 44 && base64[43] == '=');
    for (int i = 0; i < size; i++)
        base64[i] = base64[i] == '+' ? '-' : base64[i] == '/' ? '_' : base64[i];
    snprintf(text, TOKEN_TEXT_SIZE, TOKEN_PREFIX "%.43s", (const char *)base64);
    secret_wipe(bytes, sizeof bytes);
    secret_wipe(base64, sizeof base64);
}

/* --- one line --- */

/* A word and what follows it; false: no word is left. */
static bool line_next_word(struct slice *line, struct slice *word)
{
    size_t at = 0, end;

    while (at < line->size && (line->data[at] == ' ' || line->data[at] == '\t'))
        at++;
    for (end = at; end < line->size && line->data[end] != ' ' && line->data[end] != '\t';)
        end++;
    *word = slice_of(line->data + at, end - at);
    *line = slice_of(line->data + end, line->size - end);
    return word->size > 0;
}

static enum status line_read_name(struct slice word, struct token *token, struct error *err)
{
    if (!source_valid(word))
        return error_set(
            err, STATUS_BAD_VALUE,
            "a token's name has 1 to 64 characters of a-z, 0-9, '.', '_', '-', the first a letter or digit");
    memcpy(token->name, word.data, word.size);
    token->name[word.size] = '\0';
    return STATUS_OK;
}

static bool slice_begins(struct slice text, const char *with)
{
    size_t size = strlen(with);

    return text.size >= size && memcmp(text.data, with, size) == 0;
}

static enum status line_read_hash(struct slice word, struct token *token, struct error *err)
{
    static const char plain[] = "sha256:", certificate[] = "cert:";
    size_t skip = slice_begins(word, plain)         ? sizeof plain - 1
                  : slice_begins(word, certificate) ? sizeof certificate - 1
                                                    : 0;

    token->of_certificate = skip == sizeof certificate - 1;
    if (skip == 0 || !digest_parse(slice_of(word.data + skip, word.size - skip), &token->hash))
        return error_set(err, STATUS_BAD_VALUE,
                         "behind the name stands sha256: or cert: and 64 lower-case hex digits (`gribstore token` "
                         "makes such a line)");
    return STATUS_OK;
}

static enum status line_read_sources(const char *value, struct token *token, struct error *err)
{
    struct slice list = slice_text(value), item;

    while (token_next_item(&list, &item))
        if (!source_valid(item))
            return error_set(err, STATUS_BAD_VALUE, "sources: names of sources with commas between them");
    token->sources = strdup(value);
    return token->sources != NULL ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "sources");
}

static enum status line_read_requests(const char *value, struct token *token, struct error *err)
{
    if (decimal_parse(value, strlen(value), UINT64_MAX, &token->requests) != 0 || token->requests == 0)
        return error_set(err, STATUS_BAD_VALUE, "requests: a number a second, at least 1");
    return STATUS_OK;
}

static enum status line_read_bytes(const char *value, struct token *token, struct error *err)
{
    if (config_parse_size(value, &token->bytes) != 0 || token->bytes == 0)
        return error_set(err, STATUS_BAD_VALUE, "bytes: a size a second: 4096, 64KiB, 16MiB, 5GiB");
    return STATUS_OK;
}

static enum status line_read_expires(const char *value, struct token *token, struct error *err)
{
    if (strlen(value) != 20 || base_time_parse(slice_text(value), &token->expires, NULL) != STATUS_OK)
        return error_set(err, STATUS_BAD_VALUE, "expires: a time such as 2027-01-31T00:00:00Z");
    return STATUS_OK;
}

static const struct {
    const char *key;
    enum status (*read)(const char *value, struct token *token, struct error *err);
} line_keys[] = {
    { "sources", line_read_sources },
    { "requests", line_read_requests },
    { "bytes", line_read_bytes },
    { "expires", line_read_expires },
};

static enum status line_unknown_key(const char *key, struct error *err)
{
    const char *names[ARRAY_COUNT(line_keys) + 1] = { NULL };

    for (size_t i = 0; i < ARRAY_COUNT(line_keys); i++)
        names[i] = line_keys[i].key;
    const char *nearest = config_nearest(key, names);
    if (nearest != NULL)
        return error_set(err, STATUS_UNKNOWN_KEY, "an unknown key; did you mean %s=?", nearest);
    return error_set(err, STATUS_UNKNOWN_KEY,
                     "an unknown key: there are sources=, requests=, bytes=, expires=");
}

/* KEY=VALUE, once each. What is wrong is named by its key, never by its text: a token may have been put here. */
static enum status line_read_pair(struct slice word, struct token *token, unsigned *seen,
                                  struct error *err)
{
    char text[TOKEN_LINE_MAX + 1];
    char *equals;

    memcpy(text, word.data, word.size);
    text[word.size] = '\0';
    equals = strchr(text, '=');
    if (equals == NULL || strlen(text) != word.size || equals - text >= TOKEN_KEY_MAX)
        return error_set(
            err, STATUS_BAD_VALUE,
            "behind the roles stand sources=, requests=, bytes=, expires=, with blanks between them");
    *equals = '\0';
    for (unsigned i = 0; i < ARRAY_COUNT(line_keys); i++) {
        if (strcmp(text, line_keys[i].key) != 0)
            continue;
        if ((*seen & 1u << i) != 0)
            return error_set(err, STATUS_BAD_VALUE, "%s is given twice", text);
        *seen |= 1u << i;
        return line_keys[i].read(equals + 1, token, err);
    }
    return line_unknown_key(text, err);
}

static enum status line_read(struct slice line, struct token *token, struct error *err)
{
    struct slice word;
    unsigned seen = 0;

    line_next_word(&line, &word);
    enum status status = line_read_name(word, token, err);
    if (status != STATUS_OK)
        return status;
    line_next_word(&line, &word);
    status = line_read_hash(word, token, err);
    if (status != STATUS_OK)
        return status;
    line_next_word(&line, &word);
    if (!token_roles_parse(word, &token->roles))
        return error_set(err, STATUS_BAD_VALUE,
                         "behind the hash stand roles with commas between them: read, ingest, admin, node");
    while (status == STATUS_OK && line_next_word(&line, &word))
        status = line_read_pair(word, token, &seen, err);
    return status;
}

/* --- the table --- */

static unsigned table_bucket(const struct token_table *table, const struct digest *hash)
{
    return (unsigned)XXH3_64bits_withSeed(hash->bytes, DIGEST_SIZE, table->seed) &
           (table->buckets_count - 1);
}

/* Compares without stopping early, and goes on behind a match. */
struct token *token_table_find(struct token_table *table, const struct digest *hash, bool of_certificate)
{
    struct token *found = NULL;
    unsigned at = table->buckets[table_bucket(table, hash)];

    while (at != TOKEN_NO_NEXT) {
        struct token *token = &table->tokens[at - 1];
        bool same = CRYPTO_memcmp(token->hash.bytes, hash->bytes, DIGEST_SIZE) == 0;

        if (same && token->of_certificate == of_certificate)
            found = token;
        at = token->next;
    }
    return found;
}

static enum status table_add(struct token_table *table, struct slice line, unsigned number,
                             struct error *err)
{
    if (table->count == table->capacity) {
        unsigned capacity = table->capacity == 0 ? 16 : 2 * table->capacity;
        struct token *tokens = realloc(table->tokens, capacity * sizeof *tokens);

        if (tokens == NULL)
            return error_set(err, STATUS_NO_MEMORY, "%u tokens", capacity);
        table->tokens = tokens;
        table->capacity = capacity;
    }
    struct token *token = &table->tokens[table->count];
    *token = (struct token){ .expires = INT64_MAX, .line = number };
    enum status status = line_read(line, token, err);
    if (status != STATUS_OK) {
        free(token->sources);
        return status;
    }
    table->count++;
    return STATUS_OK;
}

/* A line without its end; false: there are no more. */
static bool text_next_line(struct slice *text, struct slice *line)
{
    if (text->size == 0)
        return false;
    const uint8_t *end = memchr(text->data, '\n', text->size);
    size_t size = end != NULL ? (size_t)(end - text->data) : text->size;

    *line = slice_of(text->data, size);
    *text = end != NULL ? slice_of(end + 1, text->size - size - 1) : slice_of(NULL, 0);
    return true;
}

static enum status table_read_line(struct token_table *table, struct slice line, unsigned number,
                                   struct error *err)
{
    struct slice rest = line, word;

    if (number > TOKEN_LINES_MAX)
        return error_set(err, STATUS_BAD_VALUE, "more than %d lines", TOKEN_LINES_MAX);
    if (line.size > TOKEN_LINE_MAX)
        return error_set(err, STATUS_BAD_VALUE, "longer than %d bytes", TOKEN_LINE_MAX);
    if (!line_next_word(&rest, &word) || word.data[0] == '#')
        return STATUS_OK;
    return table_add(table, line, number, err);
}

struct token_line {
    const char *name; /* borrowed from its token */
    unsigned line;
};

/* Names sorted, so that two of one name stand side by side. */
static int compare_names(const void *a, const void *b)
{
    const struct token_line *left = a, *right = b;
    int order = strcmp(left->name, right->name);

    return order != 0 ? order : (int)left->line - (int)right->line;
}

static enum status table_check_names(const struct token_table *table, struct error *err)
{
    struct token_line *sorted = calloc(table->count + 1, sizeof *sorted);
    enum status status = STATUS_OK;

    if (sorted == NULL)
        return error_set(err, STATUS_NO_MEMORY, "%u tokens", table->count);
    for (unsigned i = 0; i < table->count; i++)
        sorted[i] = (struct token_line){ table->tokens[i].name, table->tokens[i].line };
    qsort(sorted, table->count, sizeof *sorted, compare_names);
    for (unsigned i = 1; i < table->count && status == STATUS_OK; i++)
        if (strcmp(sorted[i - 1].name, sorted[i].name) == 0)
            status = error_set(err, STATUS_BAD_VALUE, "line %u: the name %s stands on line %u already",
                               sorted[i].line, sorted[i].name, sorted[i - 1].line);
    free(sorted);
    return status;
}

/* Also finds two lines with one hash: whose would a request be? */
static enum status table_index(struct token_table *table, struct error *err)
{
    table->buckets_count = 16;
    while (table->buckets_count < 2 * table->count)
        table->buckets_count *= 2;
    table->buckets = calloc(table->buckets_count, sizeof *table->buckets);
    if (table->buckets == NULL)
        return error_set(err, STATUS_NO_MEMORY, "%u tokens", table->count);
    random_bytes(&table->seed, sizeof table->seed);
    for (unsigned i = 0; i < table->count; i++) {
        struct token *token = &table->tokens[i];
        const struct token *other = token_table_find(table, &token->hash, token->of_certificate);

        if (other != NULL)
            return error_set(err, STATUS_BAD_VALUE, "line %u: the same hash as %s on line %u",
                             token->line, other->name, other->line);
        unsigned *bucket = &table->buckets[table_bucket(table, &token->hash)];
        token->next = *bucket;
        *bucket = i + 1;
    }
    return STATUS_OK;
}

static enum status table_read(struct token_table *table, struct slice text, struct error *err)
{
    struct slice line;
    unsigned number = 0;

    while (text_next_line(&text, &line)) {
        number++;
        enum status status = table_read_line(table, line, number, err);
        if (status != STATUS_OK)
            return error_wrap(err, "line %u", number);
    }
    enum status status = table_check_names(table, err);
    return status == STATUS_OK ? table_index(table, err) : status;
}

enum status token_table_parse(struct slice text, struct token_table **table, struct error *err)
{
    struct token_table *made = calloc(1, sizeof *made);

    *table = NULL;
    if (made == NULL)
        return error_set(err, STATUS_NO_MEMORY, "tokens");
    atomic_init(&made->references, 1);
    enum status status = table_read(made, text, err);
    if (status != STATUS_OK) {
        token_table_unref(made);
        return status;
    }
    *table = made;
    return STATUS_OK;
}

enum status token_table_load(const char *path, struct token_table **table, struct error *err)
{
    struct buf text;

    *table = NULL;
    enum status status = secret_file_read(path, TOKEN_FILE_MAX, &text, err);
    if (status != STATUS_OK)
        return error_wrap(err, "tokens");
    status = token_table_parse(slice_of(text.data, text.size), table, err);
    buf_fini(&text);
    return status == STATUS_OK ? status : error_wrap(err, "tokens: %s", path);
}

void token_table_ref(struct token_table *table)
{
    atomic_fetch_add(&table->references, 1);
}

void token_table_unref(struct token_table *table)
{
    if (table == NULL || atomic_fetch_sub(&table->references, 1) > 1)
        return;
    for (unsigned i = 0; i < table->count; i++)
        free(table->tokens[i].sources);
    free(table->tokens);
    free(table->buckets);
    free(table);
}

unsigned token_table_count(const struct token_table *table)
{
    return table->count;
}

struct token *token_table_at(struct token_table *table, unsigned at)
{
    assert(at < table->count);
    return &table->tokens[at];
}

void token_table_inherit(struct token_table *table, struct token_table *before)
{
    for (unsigned i = 0; i < table->count; i++) {
        struct token *token = &table->tokens[i];
        const struct token *old = token_table_find(before, &token->hash, token->of_certificate);

        if (old == NULL)
            continue;
        atomic_store(&token->request_bucket.full_ns, atomic_load(&old->request_bucket.full_ns));
        atomic_store(&token->byte_bucket.full_ns, atomic_load(&old->byte_bucket.full_ns));
    }
}
