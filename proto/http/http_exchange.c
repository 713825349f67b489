/* http_exchange.c: the request as conductors see it; exchanges are taken from a pool and go back
 * to it. */
#include "proto/http/http_core.h"

#include "proto/http/http_conn.h"

#include <assert.h>
#include <stdlib.h>

struct joined {
    struct list item; /* in ex->joined */
    size_t size;
    uint8_t text[];
};

/* --- take and release --- */

/* Room for the head, and behind it for what is decoded of its target, which is never longer. */
static bool exchange_reserve(struct http_exchange *ex, size_t size)
{
    if (size * 2 <= ex->text_capacity)
        return true;
    uint8_t *text = malloc(size * 2);
    if (text == NULL)
        return false;
    free(ex->text);
    ex->text = text;
    ex->text_capacity = size * 2;
    return true;
}

static void exchange_free(struct http_exchange *ex)
{
    free(ex->text);
    buf_fini(&ex->reply.fields);
    buf_fini(&ex->reply.head);
    buf_fini(&ex->reply.file.text);
    free(ex->reply.file.pieces);
    free(ex);
}

static struct http_exchange *exchange_spare(struct http_server *server)
{
    if (list_empty(&server->exchanges)) {
        struct http_exchange *ex = calloc(1, sizeof *ex);

        if (ex == NULL)
            return NULL;
        buf_init(&ex->reply.fields, HTTP_REPLY_HEAD_MAX);
        buf_init(&ex->reply.head, 2 * HTTP_REPLY_HEAD_MAX);
        list_init(&ex->joined);
        return ex;
    }
    struct http_exchange *ex = list_first(&server->exchanges, struct http_exchange, item);
    list_remove(&ex->item);
    server->exchanges_count--;
    return ex;
}

/* splitmix64: a step of a counter, well mixed; unique in a process, and random from one to the
 * next. */
static uint64_t exchange_next_id(struct http_server *server)
{
    uint64_t x = server->id_state += 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static bool exchange_id_good(struct slice id)
{
    if (id.size == 0 || id.size >= HTTP_IDS_SIZE)
        return false;
    for (size_t i = 0; i < id.size; i++) {
        uint8_t c = id.data[i];
        bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';

        if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

static void exchange_make_id(struct http_exchange *ex)
{
    struct slice sent = http_header(ex, "X-Request-Id");
    uint8_t bytes[8];

    if (exchange_id_good(sent)) {
        memcpy(ex->id, sent.data, sent.size);
        ex->id[sent.size] = '\0';
        return;
    }
    put_u64(bytes, exchange_next_id(ex->server));
    hex_print(bytes, sizeof bytes, ex->id);
}

struct http_exchange *http_exchange_take(struct http_conn *conn, const uint8_t *text, size_t size)
{
    struct http_exchange *ex = exchange_spare(conn->server);

    if (ex == NULL)
        return NULL;
    if (!exchange_reserve(ex, size)) {
        exchange_free(ex);
        return NULL;
    }
    ex->conn = conn;
    ex->server = conn->server;
    ex->head = &conn->head;
    if (size > 0)
        memcpy(ex->text, text, size);
    ex->started_us = http_server_now_us(conn->server);
    ex->expect = ex->head->expect_continue;
    exchange_make_id(ex);
    return ex;
}

static void exchange_free_joined(struct http_exchange *ex)
{
    list_for_each_safe (item, after, &ex->joined) {
        list_remove(item);
        free(container_of(item, struct joined, item));
    }
}

/* Everything back to the start but the buffers, which are kept while they are small. */
static void exchange_reset(struct http_exchange *ex)
{
    struct http_reply reply = ex->reply;
    uint8_t *text = ex->text;
    size_t text_capacity = ex->text_capacity;

    http_reply_reset(&reply);
    buf_clear(&reply.fields);
    memset(ex, 0, sizeof *ex);
    list_init(&ex->joined);
    ex->text = text;
    ex->text_capacity = text_capacity;
    ex->reply = reply;
}

void http_exchange_release(struct http_exchange *ex)
{
    struct http_server *server = ex->server;
    size_t kept = ex->text_capacity + ex->reply.fields.capacity + ex->reply.head.capacity;

    exchange_free_joined(ex);
    http_auth_release(ex);
    http_file_clear(ex);
    buf_fini(&ex->body.gathered);
    buf_fini(&ex->reply.body);
    buf_fini(&ex->reply.stream.data);
    if (kept > 3 * HTTP_TEXT_KEPT_MAX || server->exchanges_count == HTTP_POOL_MAX) {
        exchange_free(ex);
        return;
    }
    exchange_reset(ex);
    list_append(&server->exchanges, &ex->item);
    server->exchanges_count++;
}

void http_exchanges_free(struct http_server *server)
{
    while (!list_empty(&server->exchanges)) {
        struct http_exchange *ex = list_first(&server->exchanges, struct http_exchange, item);

        list_remove(&ex->item);
        exchange_free(ex);
    }
}

/* --- the request --- */

enum http_method http_method(const struct http_exchange *ex)
{
    return ex->head->method;
}

struct slice http_path(const struct http_exchange *ex)
{
    if (ex->head->path.size == 0)
        return slice_of("/", 1); /* "http://host" */
    return http_span_slice(ex->text, ex->head->path);
}

static int exchange_hex(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes a part of the target to the same place in the second half of the text: doing it again
 * changes nothing. A '%' without two digits stays what it is. */
static struct slice exchange_decode(const struct http_exchange *ex, struct slice raw, bool plus_is_blank)
{
    uint8_t *first = ex->text + ex->head->size + (raw.data - ex->text);
    uint8_t *at = first;

    if (memchr(raw.data, '%', raw.size) == NULL &&
        (!plus_is_blank || memchr(raw.data, '+', raw.size) == NULL))
        return raw;
    for (size_t i = 0; i < raw.size; i++) {
        int high = raw.data[i] == '%' && i + 2 < raw.size ? exchange_hex(raw.data[i + 1]) : -1;
        int low = high >= 0 ? exchange_hex(raw.data[i + 2]) : -1;

        if (low >= 0) {
            *at++ = (uint8_t)(high << 4 | low);
            i += 2;
        } else {
            *at++ = plus_is_blank && raw.data[i] == '+' ? ' ' : raw.data[i];
        }
    }
    return slice_of(first, (size_t)(at - first));
}

void http_exchange_decode_params(struct http_exchange *ex)
{
    for (unsigned i = 0; i < ex->match.params_count; i++)
        ex->params[i] = exchange_decode(ex, ex->match.params[i].value, false);
}

struct slice http_param(const struct http_exchange *ex, const char *name)
{
    for (unsigned i = 0; i < ex->match.params_count; i++)
        if (slice_equals(slice_of(ex->match.params[i].name, ex->match.params[i].name_size), name))
            return ex->params[i];
    return slice_of(NULL, 0);
}

bool http_query_next(struct http_exchange *ex, size_t *at, struct slice *key, struct slice *value)
{
    struct slice query = http_span_slice(ex->text, ex->head->query);

    while (*at < query.size && query.data[*at] == '&')
        ++*at;
    if (*at >= query.size)
        return false;
    const uint8_t *first = query.data + *at;
    const uint8_t *end = memchr(first, '&', query.size - *at);
    size_t size = end != NULL ? (size_t)(end - first) : query.size - *at;
    const uint8_t *equals = memchr(first, '=', size);
    size_t key_size = equals != NULL ? (size_t)(equals - first) : size;

    *key = exchange_decode(ex, slice_of(first, key_size), true);
    *value = exchange_decode(
        ex, slice_of(first + key_size + (equals != NULL), size - key_size - (equals != NULL)), true);
    *at += size;
    return true;
}

struct slice http_query(struct http_exchange *ex, const char *key)
{
    struct slice name, value;

    for (size_t at = 0; http_query_next(ex, &at, &name, &value);)
        if (slice_equals(name, key))
            return value;
    return slice_of(NULL, 0);
}

struct slice http_header(const struct http_exchange *ex, const char *name)
{
    size_t size = strlen(name);

    for (unsigned i = 0; i < ex->head->fields_count; i++) {
        const struct http_field *field = &ex->head->fields[i];

        if (field->name.size == size && http_name_equals(http_span_slice(ex->text, field->name), name))
            return http_span_slice(ex->text, field->value);
    }
    return slice_of(NULL, 0);
}

bool http_is_conditional(const struct http_exchange *ex)
{
    for (unsigned i = 0; i < ex->head->fields_count; i++) {
        const uint8_t *name = ex->text + ex->head->fields[i].name.offset;

        if (ex->head->fields[i].name.size > 3 && (name[0] | 0x20) == 'i' && (name[1] | 0x20) == 'f' &&
            name[2] == '-')
            return true;
    }
    return false;
}

/* The sum of sizes, and with text given the text: each field of that name, joined by ", ". */
static size_t exchange_join(const struct http_exchange *ex, const char *name, uint8_t *text)
{
    size_t used = 0;

    for (unsigned i = 0; i < ex->head->fields_count; i++) {
        const struct http_field *field = &ex->head->fields[i];

        if (!http_name_equals(http_span_slice(ex->text, field->name), name))
            continue;
        if (used > 0 && text != NULL)
            memcpy(text + used, ", ", 2);
        used += used > 0 ? 2 : 0;
        if (text != NULL)
            memcpy(text + used, ex->text + field->value.offset, field->value.size);
        used += field->value.size;
    }
    return used;
}

struct slice http_header_joined(struct http_exchange *ex, const char *name)
{
    struct slice first = http_header(ex, name);

    if (first.data == NULL)
        return first;
    size_t size = exchange_join(ex, name, NULL);
    if (size == first.size)
        return first;
    struct joined *joined = malloc(sizeof *joined + size);
    if (joined == NULL)
        return first;
    joined->size = exchange_join(ex, name, joined->text);
    list_append(&ex->joined, &joined->item);
    return slice_of(joined->text, joined->size);
}

uint64_t http_content_length(const struct http_exchange *ex)
{
    return ex->head->chunked ? HTTP_LENGTH_UNKNOWN : ex->head->content_length;
}

const char *http_request_id(const struct http_exchange *ex)
{
    return ex->id;
}

bool http_gone(const struct http_exchange *ex)
{
    return ex->conn->dead || ex->conn->eof;
}

void *http_context(const struct http_exchange *ex)
{
    return ex->server->options.context;
}

bool http_client_certificate(const struct http_exchange *ex, uint8_t fingerprint[32])
{
    return http_socket_certificate(ex->conn, fingerprint);
}

uv_loop_t *http_loop(const struct http_exchange *ex)
{
    return ex->server->options.loop;
}

struct http_server *http_exchange_server(const struct http_exchange *ex)
{
    return ex->server;
}

void http_set_user(struct http_exchange *ex, void *user, void (*on_over)(struct http_exchange *ex))
{
    ex->user = user;
    ex->on_over = on_over;
}

void *http_user(const struct http_exchange *ex)
{
    return ex->user;
}
