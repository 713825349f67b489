/* http_head.c: line by line through a head; what one byte may be is a table. */
#include "proto/http/http_head.h"

#include <assert.h>

enum { VALUE = 1, TOKEN = 2, TARGET = 4, HOST = 8, ALL = 15 };

/* What a byte may be part of: a field's value, a token, a request target, the name in Host. */
static const uint8_t head_class[256] = {
    ['\t'] = VALUE,
    [' '] = VALUE,
    ['!'] = ALL,
    ['"'] = VALUE | TARGET,
    ['#'] = VALUE | TOKEN,
    ['$' ... '\''] = ALL,
    ['(' ... ')'] = VALUE | TARGET | HOST,
    ['*' ... '+'] = ALL,
    [','] = VALUE | TARGET | HOST,
    ['-' ... '.'] = ALL,
    ['/'] = VALUE | TARGET,
    ['0' ... '9'] = ALL,
    [':'] = VALUE | TARGET,
    [';'] = VALUE | TARGET | HOST,
    ['<'] = VALUE | TARGET,
    ['='] = VALUE | TARGET | HOST,
    ['>' ... '@'] = VALUE | TARGET,
    ['A' ... 'Z'] = ALL,
    ['[' ... ']'] = VALUE | TARGET,
    ['^'] = VALUE | TOKEN | TARGET,
    ['_'] = ALL,
    ['`'] = VALUE | TOKEN | TARGET,
    ['a' ... 'z'] = ALL,
    ['{'] = VALUE | TARGET,
    ['|'] = VALUE | TOKEN | TARGET,
    ['}'] = VALUE | TARGET,
    ['~'] = ALL,
    [0x80 ... 0xff] = VALUE,
};

static bool head_all(struct slice text, uint8_t class)
{
    uint8_t common = class;

    for (size_t i = 0; i < text.size; i++)
        common &= head_class[text.data[i]];
    return common == class;
}

bool http_token_byte(uint8_t byte)
{
    return (head_class[byte] & TOKEN) != 0;
}

bool http_value_byte(uint8_t byte)
{
    return (head_class[byte] & VALUE) != 0;
}

static uint8_t head_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

bool http_name_equals(struct slice name, const char *other)
{
    size_t i = 0;

    for (; i < name.size && other[i] != '\0'; i++)
        if (head_lower(name.data[i]) != head_lower((uint8_t)other[i]))
            return false;
    return i == name.size && other[i] == '\0';
}

static struct slice head_trim(struct slice text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

bool http_list_has(struct slice list, const char *token)
{
    while (list.size > 0) {
        const uint8_t *comma = memchr(list.data, ',', list.size);
        size_t size = comma != NULL ? (size_t)(comma - list.data) : list.size;

        if (http_name_equals(head_trim(slice_of(list.data, size)), token))
            return true;
        size += comma != NULL;
        list = slice_of(list.data + size, list.size - size);
    }
    return false;
}

void http_head_init(struct http_head *head)
{
    memset(head, 0, offsetof(struct http_head, fields)); /* the fields count from fields_count */
    memset((uint8_t *)head + offsetof(struct http_head, refuse), 0,
           sizeof *head - offsetof(struct http_head, refuse));
}

static enum status head_bad(struct http_head *head, const char *reason)
{
    head->reason = reason;
    return STATUS_BAD_REQUEST;
}

/* --- the request line --- */

static enum http_method head_method(struct slice name)
{
    static const struct {
        const char *name;
        enum http_method method;
    } methods[] = {
        { "GET", HTTP_GET_ },   { "HEAD", HTTP_HEAD_ },     { "PUT", HTTP_PUT_ },
        { "POST", HTTP_POST_ }, { "DELETE", HTTP_DELETE_ }, { "OPTIONS", HTTP_OPTIONS_ },
    };

    for (size_t i = 0; i < ARRAY_COUNT(methods); i++)
        if (slice_equals(name, methods[i].name))
            return methods[i].method;
    return (enum http_method)HTTP_METHOD_OTHER;
}

/* "http://host/path" is the same as "/path" (RFC 9112 section 3.2.2); returns how much to skip,
 * or SIZE_MAX. */
static size_t head_skip_authority(struct slice target)
{
    static const char *const schemes[] = { "http://", "https://" };

    for (size_t i = 0; i < ARRAY_COUNT(schemes); i++) {
        size_t at = strlen(schemes[i]);

        if (target.size <= at || !http_name_equals(slice_of(target.data, at), schemes[i]))
            continue;
        size_t first = at;
        while (at < target.size && target.data[at] != '/' && target.data[at] != '?') {
            if (!(head_class[target.data[at]] & HOST) && strchr(":[]", target.data[at]) == NULL)
                return SIZE_MAX;
            at++;
        }
        return at > first ? at : SIZE_MAX;
    }
    return SIZE_MAX;
}

static enum status head_target(struct http_head *head, const uint8_t *text)
{
    struct slice target = http_span_slice(text, head->target);
    size_t skip = 0;

    if (!head_all(target, TARGET))
        return head_bad(head, "a byte in the request target that may not be there");
    if (slice_equals(target, "*")) {
        if (head->method != HTTP_OPTIONS_)
            return head_bad(head, "only OPTIONS is about *");
        head->path = head->target;
        return STATUS_OK;
    }
    if (target.data[0] != '/') {
        skip = head_skip_authority(target);
        if (skip == SIZE_MAX)
            return head_bad(head, "the request target is neither a path nor an http URL");
    }
    const uint8_t *mark = memchr(target.data + skip, '?', target.size - skip);
    size_t path_size = (mark != NULL ? (size_t)(mark - target.data) : target.size) - skip;

    head->path.offset = head->target.offset + (uint32_t)skip;
    head->path.size = (uint32_t)path_size; /* 0 after "http://host": as "/" */
    if (mark != NULL) {
        head->query.offset = head->path.offset + (uint32_t)path_size + 1;
        head->query.size = (uint32_t)(target.size - skip - path_size - 1);
    }
    return STATUS_OK;
}

static enum status head_request_line(struct http_head *head, const uint8_t *text, size_t line,
                                     size_t size, const struct http_head_limits *limits)
{
    const uint8_t *first = text + line;
    const uint8_t *blank = memchr(first, ' ', size);
    size_t method_size = blank != NULL ? (size_t)(blank - first) : size;

    if (method_size == 0 || !head_all(slice_of(first, method_size), TOKEN))
        return head_bad(head, "the method is not a token");
    const uint8_t *target = first + method_size + 1;
    size_t rest = size > method_size ? size - method_size - 1 : 0;
    const uint8_t *end = rest > 0 ? memchr(target, ' ', rest) : NULL;

    if (end == NULL || end == target)
        return head_bad(head, "the request line is not METHOD TARGET VERSION");
    struct slice version = slice_of(end + 1, (size_t)(first + size - (end + 1)));
    if (!slice_equals(version, "HTTP/1.1") && !slice_equals(version, "HTTP/1.0"))
        return head_bad(head, "the version is neither HTTP/1.0 nor HTTP/1.1");
    head->minor = (unsigned)(version.data[7] - '0');
    head->method = head_method(slice_of(first, method_size));
    head->target.offset = (uint32_t)(target - text);
    head->target.size = (uint32_t)(end - target);
    head->has_line = true;
    if (head->target.size > limits->target_max) {
        head->refuse = STATUS_TARGET_TOO_LONG;
        head->reason = "the request target is too long";
    }
    if (slice_equals(slice_of(first, method_size), "CONNECT"))
        return head_bad(head, "CONNECT is not for here");
    return head_target(head, text);
}

/* --- fields --- */

static bool head_host_literal(struct slice host, size_t *used)
{
    const uint8_t *end = memchr(host.data, ']', host.size);

    if (end == NULL || end - host.data < 3)
        return false;
    for (const uint8_t *at = host.data + 1; at < end; at++)
        if (strchr("0123456789abcdefABCDEF:.", *at) == NULL)
            return false;
    *used = (size_t)(end + 1 - host.data);
    return true;
}

/* uri-host [ ":" port ] (RFC 9110 section 7.2), never empty. */
static bool head_host_valid(struct slice host)
{
    size_t at = 0;
    uint64_t port;

    if (host.size > 0 && host.data[0] == '[') {
        if (!head_host_literal(host, &at))
            return false;
    } else {
        while (at < host.size && (head_class[host.data[at]] & HOST))
            at++;
        if (at == 0)
            return false;
    }
    if (at == host.size)
        return true;
    if (host.data[at] != ':')
        return false;
    at++;
    return at == host.size ||
           decimal_parse((const char *)host.data + at, host.size - at, UINT16_MAX, &port) == 0;
}

static enum status head_host(struct http_head *head, struct slice value)
{
    if (head->hosts++ > 0)
        return head_bad(head, "more than one Host");
    if (!head_host_valid(value))
        return head_bad(head, "Host is not a name or address with an optional port");
    return STATUS_OK;
}

static enum status head_content_length(struct http_head *head, struct slice value)
{
    if (head->lengths++ > 0)
        return head_bad(head, "more than one Content-Length");
    if (value.size > 19 ||
        decimal_parse((const char *)value.data, value.size, UINT64_MAX, &head->content_length) != 0)
        return head_bad(head, "Content-Length is not 1 to 19 digits");
    head->has_length = true;
    return STATUS_OK;
}

static enum status head_transfer_encoding(struct http_head *head, struct slice value)
{
    if (head->codings++ > 0)
        return head_bad(head, "more than one Transfer-Encoding");
    if (!http_name_equals(value, "chunked"))
        return head_bad(head, "a Transfer-Encoding other than chunked");
    head->chunked = true;
    return STATUS_OK;
}

static enum status head_connection(struct http_head *head, struct slice value)
{
    head->connection_close |= http_list_has(value, "close");
    head->connection_keep |= http_list_has(value, "keep-alive");
    return STATUS_OK;
}

static enum status head_expect(struct http_head *head, struct slice value)
{
    if (http_name_equals(value, "100-continue"))
        head->expect_continue = true;
    else
        head->expect_other = true;
    return STATUS_OK;
}

static enum status head_content_encoding(struct http_head *head, struct slice value)
{
    head->content_encoding |= !http_name_equals(value, "identity");
    return STATUS_OK;
}

static enum status head_content_range(struct http_head *head, struct slice value)
{
    (void)value;
    head->content_range = true;
    return STATUS_OK;
}

/* The fields that decide about framing, and those that the server itself obeys. */
static enum status head_meaning(struct http_head *head, struct slice name, struct slice value)
{
    static const struct {
        size_t size;
        const char *name;
        enum status (*take)(struct http_head *head, struct slice value);
    } known[] = {
        { 4, "host", head_host },
        { 14, "content-length", head_content_length },
        { 17, "transfer-encoding", head_transfer_encoding },
        { 10, "connection", head_connection },
        { 6, "expect", head_expect },
        { 16, "content-encoding", head_content_encoding },
        { 13, "content-range", head_content_range },
    };

    for (size_t i = 0; i < ARRAY_COUNT(known); i++)
        if (name.size == known[i].size && http_name_equals(name, known[i].name))
            return known[i].take(head, value);
    return STATUS_OK;
}

static void head_keep(struct http_head *head, const uint8_t *text, struct slice name,
                      struct slice value, const struct http_head_limits *limits)
{
    if (head->fields_count >= limits->fields_max || head->fields_count >= HTTP_FIELDS_MAX) {
        if (head->refuse == STATUS_OK) {
            head->refuse = STATUS_HEAD_TOO_LARGE;
            head->reason = "too many header fields";
        }
        return;
    }
    struct http_field *field = &head->fields[head->fields_count++];
    field->name = (struct http_span){ (uint32_t)(name.data - text), (uint32_t)name.size };
    field->value = (struct http_span){ (uint32_t)(value.data - text), (uint32_t)value.size };
}

static enum status head_field(struct http_head *head, const uint8_t *text, size_t line, size_t size,
                              const struct http_head_limits *limits)
{
    const uint8_t *first = text + line;
    const uint8_t *colon = memchr(first, ':', size);

    if (*first == ' ' || *first == '\t')
        return head_bad(head, "a folded header line");
    if (colon == NULL)
        return head_bad(head, "a header line without a colon");
    struct slice name = slice_of(first, (size_t)(colon - first));
    struct slice value = slice_of(colon + 1, size - name.size - 1);

    if (name.size == 0 || !head_all(name, TOKEN))
        return head_bad(head, "a header name that is not a token");
    if (!head_all(value, VALUE))
        return head_bad(head, "a control character in a header value");
    value = head_trim(value);
    head_keep(head, text, name, value, limits);
    return head_meaning(head, name, value);
}

/* --- the whole --- */

static enum status head_finish(struct http_head *head)
{
    if (head->hosts == 0 && head->minor == 1)
        return head_bad(head, "no Host");
    if (head->chunked && head->has_length)
        return head_bad(head, "both Content-Length and Transfer-Encoding");
    if (head->chunked && head->minor == 0)
        return head_bad(head, "Transfer-Encoding in HTTP/1.0");
    head->close_asked = head->connection_close;
    head->keep_alive = !head->connection_close && (head->minor == 1 || head->connection_keep);
    if (head->minor == 0) /* RFC 9110 section 10.1.1: it can't mean it */
        head->expect_continue = head->expect_other = false;
    return STATUS_OK;
}

/* Does the line that begins at line, with end as the first byte behind what is there of it, fit?
 * OK or the status. */
static enum status head_fits(struct http_head *head, size_t line, size_t end,
                             const struct http_head_limits *limits)
{
    if (end - line > limits->line_max) {
        head->reason = head->has_line ? "a header line is too long" : "the request line is too long";
        return head->has_line ? STATUS_HEAD_TOO_LARGE : STATUS_TARGET_TOO_LONG;
    }
    if (end > limits->head_max) {
        head->reason = "the head is too large";
        return STATUS_HEAD_TOO_LARGE;
    }
    return STATUS_OK;
}

/* No end of line so far: may one still come? */
static enum status head_unfinished(struct http_head *head, const uint8_t *text, size_t size,
                                   const struct http_head_limits *limits)
{
    if (!head->has_line && head->line < size && text[head->line] != '\r' &&
        !(head_class[text[head->line]] & TOKEN))
        return head_bad(head, "the method is not a token"); /* TLS, say: no line end would ever come */
    enum status status = head_fits(head, head->line, size, limits);
    return status == STATUS_OK ? STATUS_MORE : status;
}

/* A line of size bytes, without its CRLF. MORE: the head goes on. */
static enum status head_line(struct http_head *head, const uint8_t *text, size_t line, size_t size,
                             const struct http_head_limits *limits)
{
    enum status status;

    if (size == 0 && !head->has_line) {
        if (head->start > 0)
            return head_bad(head, "more than one empty line in front of the request line");
        head->start = line + 2;
        return STATUS_MORE;
    }
    if (size == 0)
        return head_finish(head);
    if (memchr(text + line, '\r', size) != NULL)
        return head_bad(head, "a CR that does not end a line");
    if (!head->has_line)
        status = head_request_line(head, text, line, size, limits);
    else
        status = head_field(head, text, line, size, limits);
    return status == STATUS_OK ? STATUS_MORE : status;
}

enum status http_head_feed(struct http_head *head, const uint8_t *text, size_t size,
                           const struct http_head_limits *limits)
{
    assert(head->at <= size && limits->head_max <= UINT32_MAX / 2);
    while (head->at < size) {
        const uint8_t *end = memchr(text + head->at, '\n', size - head->at);
        size_t line = head->line;

        if (end == NULL)
            break;
        size_t next = (size_t)(end - text) + 1;
        if (next - line < 2 || end[-1] != '\r')
            return head_bad(head, "a line that does not end in CRLF");
        head->line = head->at = next;
        enum status status = head_fits(head, line, next, limits);
        if (status == STATUS_OK)
            status = head_line(head, text, line, next - line - 2, limits);
        if (status == STATUS_OK)
            head->size = next;
        if (status != STATUS_MORE)
            return status;
    }
    head->at = size;
    return head_unfinished(head, text, size, limits);
}
