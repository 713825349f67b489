/* query_text.c: requests in the language of MARS, as metkit's parser reads them.
 *
 *     requests = { verb { "," key "=" value { "/" value } } [ "." ] }
 *
 * A bare word is made of letters, digits and _:.@+*- ; words with single blanks between are one value ("model levels"). A "." that ends a
 * word ends the request. Between everything there may be white space and comments. */
#include "indexer/query_body.h"
#include "indexer/query_values.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { TEXT_KEYS_MAX = 64, TEXT_WORD_MAX = 256 };

/* What was said so far: a later request of the text inherits it. */
struct said {
    char key[TEXT_WORD_MAX];
    char *list; /* owned: the value as it stands in a query */
    size_t size;
};

struct text {
    struct query_body *body;
    struct slice in;
    size_t at, line;
    bool ended; /* the last word had a "." behind it */
    size_t said_count;
    struct said said[TEXT_KEYS_MAX];
    struct error *err;
};

static int text_peek(const struct text *text)
{
    return text->at < text->in.size ? text->in.data[text->at] : -1;
}

static enum status text_bad(struct text *text, const char *what)
{
    return error_set(text->err, STATUS_BAD_VALUE, "line %zu: %s", text->line, what);
}

static void text_skip(struct text *text)
{
    for (int c = text_peek(text); c >= 0; c = text_peek(text)) {
        if (c == '#')
            while (text_peek(text) >= 0 && text_peek(text) != '\n')
                text->at++;
        else if (isspace(c))
            text->line += text->in.data[text->at++] == '\n';
        else
            return;
    }
}

static bool is_word(int c)
{
    return c > 0 && (isalnum(c) || strchr("_:.@+*-", c) != NULL);
}

/* A "." by itself: the end of the request. */
static bool is_end(const struct text *text, size_t at)
{
    return at < text->in.size && text->in.data[at] == '.' &&
           (at + 1 == text->in.size || isspace(text->in.data[at + 1]) || text->in.data[at + 1] == '#');
}

/* --- words and quotes, appended to `out` --- */

static enum status text_quoted(struct text *text, struct buf *out)
{
    int quote = text_peek(text);

    for (text->at++; text_peek(text) >= 0 && text_peek(text) != quote; text->at++) {
        int c = text_peek(text);
        if (c == '\\') {
            static const char letters[] = "\"'\\/bfnrt", meant[] = "\"'\\/\b\f\n\r\t";
            text->at++;
            const char *found = text_peek(text) > 0 ? strchr(letters, text_peek(text)) : NULL;
            if (found == NULL)
                return text_bad(text, "an unknown escape in a quoted value");
            c = meant[found - letters];
        }
        if (c == '\n')
            text->line++;
        uint8_t byte = c == '/' ? QUERY_SLASH : (uint8_t)c;
        buf_append(out, &byte, 1);
    }
    if (text_peek(text) < 0)
        return text_bad(text, "a quote that does not end");
    text->at++;
    return STATUS_OK;
}

static enum status text_bare(struct text *text, struct buf *out)
{
    size_t first = text->at;

    if (!is_word(text_peek(text)))
        return text_bad(text, "a word or a quoted value was expected");
    while (is_word(text_peek(text)))
        text->at++;
    size_t size = text->at - first;
    int next = text_peek(text);
    text->ended = text->in.data[first + size - 1] == '.' && (next < 0 || isspace(next) || next == '#');
    if (text->ended && size == 1)
        return text_bad(text, "a \".\" where a word was expected");
    buf_append(out, text->in.data + first, size - text->ended);
    return STATUS_OK;
}

static enum status text_value(struct text *text, struct buf *out)
{
    size_t was = out->size;
    enum status status;

    if (text_peek(text) == '"' || text_peek(text) == '\'') {
        status = text_quoted(text, out);
        if (status == STATUS_OK && out->size == was)
            status = text_bad(text, "an empty value");
        return status;
    }
    status = text_bare(text, out);
    /* Single blanks join words. */
    while (status == STATUS_OK && !text->ended && text_peek(text) == ' ' && text->at + 1 < text->in.size &&
           is_word(text->in.data[text->at + 1]) && !is_end(text, text->at + 1)) {
        text->at++;
        buf_text(out, " ");
        status = text_bare(text, out);
    }
    return status;
}

/* --- what is said --- */

/* Names of MARS and their aliases are in lower case; those of documents are not all. */
static const struct query_key *key_find(struct slice name)
{
    const struct query_key *found = query_key_find(name);
    char lower[TEXT_WORD_MAX];

    for (size_t i = 0; i < name.size; i++)
        lower[i] = (char)tolower(name.data[i]);
    if (found == NULL)
        found = query_key_find(slice_of(lower, name.size));
    for (const struct query_key *key = query_keys; found == NULL && key->name != NULL; key++)
        if (strlen(key->name) == name.size &&
            strncasecmp((const char *)name.data, key->name, name.size) == 0)
            found = key;
    return found;
}

/* What the client does with the fields is no business of the index. */
static bool key_is_clients(const char *key)
{
    static const char *const keys[] = { "target",     "expect",   "database",
                                        "dbase",      "use",      "process",
                                        "duplicates", "fieldset", "number_of_fields" };

    for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
        if (strcmp(keys[i], key) == 0)
            return true;
    return false;
}

static bool list_is_off(const struct buf *list)
{
    return list->size == 3 && strncasecmp((const char *)list->data, "off", 3) == 0;
}

static enum status said_put(struct text *text, const char *key, struct buf *list)
{
    size_t i = 0;

    while (i < text->said_count && strcmp(text->said[i].key, key) != 0)
        i++;
    if (i == TEXT_KEYS_MAX)
        return text_bad(text, "too many keys");
    if (i == text->said_count)
        text->said[text->said_count++].list = NULL;
    snprintf(text->said[i].key, sizeof text->said[i].key, "%s", key);
    free(text->said[i].list);
    text->said[i].list = (char *)buf_take(list, &text->said[i].size);
    return STATUS_OK;
}

static enum status text_take(struct text *text, char *key, struct buf *list)
{
    struct slice name = slice_text(key);
    const struct query_key *known = key_find(name);
    char lower[TEXT_WORD_MAX];

    if (known != NULL)
        return said_put(text, known->name, list);
    for (size_t i = 0; i <= name.size; i++)
        lower[i] = (char)tolower((unsigned char)key[i]);
    if (key_is_clients(lower)) {
        buf_format(&text->body->ignored, "%s%s", text->body->ignored.size > 0 ? ", " : "", lower);
        return STATUS_OK;
    }
    if (query_key_is_post_processing(slice_text(lower)) || strcmp(lower, "format") == 0) {
        if (list_is_off(list))
            return STATUS_OK;
        return error_set(text->err, STATUS_UNKNOWN_KEY,
                         "line %zu: %s: fields are given as they were stored", text->line, lower);
    }
    if (query_key_is_of_answer(name))
        return error_set(text->err, STATUS_UNKNOWN_KEY,
                         "line %zu: %s is said in the URL's query, not in the text", text->line, key);
    const char *nearest = query_key_nearest(name);
    return error_set(text->err, STATUS_UNKNOWN_KEY, "line %zu: %.60s is no key%s%s%s", text->line,
                     key, nearest[0] != '\0' ? "; did you mean " : "", nearest,
                     nearest[0] != '\0' ? "?" : "");
}

/* --- the grammar --- */

static enum status text_word(struct text *text, char word[TEXT_WORD_MAX])
{
    struct buf buf;

    buf_init(&buf, TEXT_WORD_MAX - 1);
    enum status status = text_bare(text, &buf);
    if (status == STATUS_OK && (buf_status(&buf) != STATUS_OK || buf.size == 0))
        status = text_bad(text, "a word that is too long");
    if (status == STATUS_OK) {
        memcpy(word, buf.data, buf.size);
        word[buf.size] = '\0';
    }
    buf_fini(&buf);
    return status;
}

static enum status text_list(struct text *text, struct buf *list)
{
    enum status status = text_value(text, list);

    while (status == STATUS_OK && !text->ended) {
        text_skip(text);
        if (text_peek(text) != '/')
            break;
        text->at++;
        buf_text(list, "/");
        text_skip(text);
        status = text_value(text, list);
    }
    if (status == STATUS_OK && buf_status(list) != STATUS_OK)
        status = text_bad(text, "a list that is too long");
    return status;
}

static enum status text_pair(struct text *text)
{
    char key[TEXT_WORD_MAX];
    struct buf list;

    text_skip(text);
    enum status status = text_word(text, key);
    if (status == STATUS_OK) {
        text_skip(text);
        if (text->ended || text_peek(text) != '=')
            status = text_bad(text, "\"=\" was expected behind a key");
    }
    if (status != STATUS_OK)
        return status;
    text->at++;
    text_skip(text);
    buf_init(&list, QUERY_LIST_MAX);
    status = text_list(text, &list);
    if (status == STATUS_OK)
        status = text_take(text, key, &list);
    buf_fini(&list);
    return status;
}

static enum status text_verb(struct text *text)
{
    static const char *const verbs[] = { "retrieve", "r", "ret", "retr", "list", "l" };
    char verb[TEXT_WORD_MAX];
    enum status status = text_word(text, verb);

    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++)
        if (strcasecmp(verb, verbs[i]) == 0)
            return STATUS_OK;
    return error_set(text->err, STATUS_BAD_VALUE,
                     "line %zu: %.40s: only retrieve and list are served", text->line, verb);
}

static enum status text_request_end(struct text *text)
{
    struct query_request *request = query_body_add(text->body, text->err);
    enum status status = request != NULL ? STATUS_OK : text->err->status;

    for (size_t i = 0; status == STATUS_OK && i < text->said_count; i++) {
        const struct said *said = &text->said[i];
        status = query_add(request, slice_text(said->key), slice_of(said->list, said->size), text->err);
    }
    return status == STATUS_OK
               ? STATUS_OK
               : error_wrap(text->err, "the request that ends in line %zu", text->line);
}

static enum status text_request(struct text *text)
{
    text->ended = false;
    enum status status = text_verb(text);
    while (status == STATUS_OK && !text->ended) {
        text_skip(text);
        if (text_peek(text) != ',')
            break;
        text->at++;
        status = text_pair(text);
    }
    if (status == STATUS_OK && !text->ended && text_peek(text) == '.')
        text->at++;
    return status == STATUS_OK ? text_request_end(text) : status;
}

enum status query_body_text(struct query_body *body, struct slice in, struct error *err)
{
    struct text *text = calloc(1, sizeof *text);
    enum status status = STATUS_OK;

    if (text == NULL)
        return error_set(err, STATUS_NO_MEMORY, "a request");
    text->body = body;
    text->in = in;
    text->line = 1;
    text->err = err;
    if (in.size > 0 && memchr(in.data, '\0', in.size) != NULL)
        status = text_bad(text, "a zero byte");
    for (text_skip(text); status == STATUS_OK && text_peek(text) >= 0; text_skip(text))
        status = text_request(text);
    if (status == STATUS_OK && body->count == 0)
        status = text_bad(text, "no request; write retrieve, param=t, step=24");
    for (size_t i = 0; i < text->said_count; i++)
        free(text->said[i].list);
    free(text);
    return status;
}
