/* fuzz_http_head.c: the head's scan against llhttp: what we accept it has to read alike.
 *
 * Input: cuts, then what a client sends. Ours is fed what has come so far again and again, as the connection does. A second
 * llhttp, which knows nothing of ours, reads the head in the same pieces: method, target, version, each field, where the head
 * ends, how long the body is, whether the connection stays. Two readings of one head are how requests are smuggled. */
#include "proto/http/http_frame.h"
#include "tests/fuzz/fuzz.h"

#include <llhttp.h>

enum { HEAD_MAX = 4096, FIELDS_MAX = 20, OTHER_FIELDS_MAX = HEAD_MAX / 4 };

static const struct http_frame_limits frame_limits = { UINT64_MAX, 4096, 8192 };

static const struct http_head_limits limits = {
    .head_max = HEAD_MAX,
    .line_max = 2048,
    .target_max = 512,
    .fields_max = FIELDS_MAX,
};

/* --- ours --- */

static enum status scan(const uint8_t *text, size_t size, struct fuzz_cuts cuts, struct http_head *head)
{
    enum status status = STATUS_MORE;

    http_head_init(head);
    for (size_t at = 0; at < size && status == STATUS_MORE;) {
        at += fuzz_cut(&cuts, size - at);
        uint8_t *copy = fuzz_copy(text, at);
        status = http_head_feed(head, copy, at, &limits);
        free(copy);
        MUST(head->size <= at);
    }
    return status;
}

static void check_bounds(const struct http_head *head, size_t size)
{
    MUST(head->size <= size && head->size <= limits.head_max && head->start <= 2);
    MUST(head->fields_count <= limits.fields_max);
    MUST(head->refuse != STATUS_OK || head->target.size <= limits.target_max);
    MUST(head->target.offset + head->target.size <= head->size);
    MUST(head->path.offset + head->path.size <= head->target.offset + head->target.size);
    MUST(head->query.offset + head->query.size <= head->target.offset + head->target.size);
    for (unsigned i = 0; i < head->fields_count; i++) {
        const struct http_field *field = &head->fields[i];
        MUST(field->name.size > 0 && field->name.offset + field->name.size < field->value.offset + 1);
        MUST(field->value.offset + field->value.size <= head->size);
    }
}

/* --- llhttp's --- */

struct other {
    llhttp_t parser;
    llhttp_settings_t settings;
    char text[2 * HEAD_MAX]; /* method, target, then names and values one behind the other */
    size_t size;
    struct slice method, target, names[OTHER_FIELDS_MAX], values[OTHER_FIELDS_MAX];
    unsigned fields;
    bool in_value, complete;
    bool chunked, keep_alive;
    uint64_t content_length;
};

/* A part of a text; pieces come one behind the other. */
static void other_add(struct other *other, struct slice *to, const char *at, size_t size)
{
    if (to->data == NULL)
        to->data = (const uint8_t *)other->text + other->size;
    MUST(other->size + size <= sizeof other->text);
    memcpy(other->text + other->size, at, size);
    other->size += size;
    to->size += size;
}

static int other_on_method(llhttp_t *parser, const char *at, size_t size)
{
    struct other *other = parser->data;
    other_add(other, &other->method, at, size);
    return 0;
}

static int other_on_target(llhttp_t *parser, const char *at, size_t size)
{
    struct other *other = parser->data;
    other_add(other, &other->target, at, size);
    return 0;
}

static int other_on_name(llhttp_t *parser, const char *at, size_t size)
{
    struct other *other = parser->data;
    if (other->in_value || other->fields == 0)
        other->fields++;
    other->in_value = false;
    MUST(other->fields <= OTHER_FIELDS_MAX);
    other_add(other, &other->names[other->fields - 1], at, size);
    return 0;
}

static int other_on_value(llhttp_t *parser, const char *at, size_t size)
{
    struct other *other = parser->data;
    other->in_value = true;
    MUST(other->fields > 0);
    other_add(other, &other->values[other->fields - 1], at, size);
    return 0;
}

static int other_on_value_complete(llhttp_t *parser)
{
    ((struct other *)parser->data)->in_value = true;
    return 0;
}

static int other_on_complete(llhttp_t *parser)
{
    struct other *other = parser->data;
    other->complete = true;
    other->chunked = (parser->flags & F_CHUNKED) != 0;
    other->content_length = parser->content_length;
    other->keep_alive = llhttp_should_keep_alive(parser) != 0;
    return HPE_PAUSED;
}

static struct slice trimmed(struct slice text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = slice_of(text.data + 1, text.size - 1);
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

static bool same(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* False: it refuses these bytes. */
static bool other_read(struct other *other, const uint8_t *text, size_t size, struct fuzz_cuts cuts)
{
    memset(other, 0, sizeof *other);
    llhttp_settings_init(&other->settings);
    other->settings.on_method = other_on_method;
    other->settings.on_url = other_on_target;
    other->settings.on_header_field = other_on_name;
    other->settings.on_header_value = other_on_value;
    other->settings.on_header_value_complete = other_on_value_complete;
    other->settings.on_headers_complete = other_on_complete;
    llhttp_init(&other->parser, HTTP_REQUEST, &other->settings);
    other->parser.data = other;
    for (size_t at = 0; at < size && !other->complete;) {
        size_t piece = fuzz_cut(&cuts, size - at);
        uint8_t *copy = fuzz_copy(text + at, piece);
        llhttp_errno_t result = llhttp_execute(&other->parser, (const char *)copy, piece);
        const char *end = llhttp_get_error_pos(&other->parser);
        /* With the head's last byte it is through, and not before. */
        MUST(!other->complete || (at + piece == size && end == (const char *)copy + piece));
        free(copy);
        at += piece;
        if (result != HPE_OK && result != HPE_PAUSED)
            return false;
    }
    return other->complete;
}

static void compare(const uint8_t *text, const struct http_head *head, const struct other *other)
{
    static const char *const methods[] = { "GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS" };

    if (head->method != (enum http_method)HTTP_METHOD_OTHER)
        MUST(slice_equals(other->method, methods[head->method]));
    for (size_t i = 0; i < ARRAY_COUNT(methods); i++)
        MUST(head->method == (enum http_method)i || !slice_equals(other->method, methods[i]));
    MUST(same(other->target, http_span_slice(text, head->target)));
    MUST(other->parser.http_major == 1 && other->parser.http_minor == head->minor);
    MUST(head->refuse == STATUS_HEAD_TOO_LARGE || other->fields == head->fields_count);
    for (unsigned i = 0; i < head->fields_count && i < other->fields; i++) {
        MUST(same(other->names[i], http_span_slice(text, head->fields[i].name)));
        MUST(same(trimmed(other->values[i]), http_span_slice(text, head->fields[i].value)));
    }
    MUST(other->chunked == head->chunked);
    MUST(head->chunked || other->content_length == head->content_length);
    /* In 1.0 llhttp takes keep-alive beside close for it, and not with a tab behind it; we go by close, and trim both. */
    MUST(head->minor == 0 || !head->keep_alive || other->keep_alive);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_head whole, parts; /* large; and left as a connection leaves them */
    static struct other other;
    struct fuzz_input input = { data, size };
    struct fuzz_cuts cuts = fuzz_cuts(&input), none = { .count = 0 };
    struct http_frame frame;

    enum status status = scan(input.data, input.size, none, &whole);
    enum status in_parts = scan(input.data, input.size, cuts, &parts);
    if (status != STATUS_OK) {
        /* What is refused is refused; which reason shows first may depend on how much was there to look at. */
        MUST(status == STATUS_MORE ? in_parts == STATUS_MORE
                                   : in_parts != STATUS_MORE && in_parts != STATUS_OK);
        MUST(status == STATUS_MORE || (whole.reason != NULL && parts.reason != NULL));
        return 0;
    }
    MUST(in_parts == STATUS_OK);
    check_bounds(&whole, input.size);
    MUST(parts.size == whole.size && parts.fields_count == whole.fields_count &&
         parts.refuse == whole.refuse);
    const uint8_t *text = input.data + whole.start;
    bool alike = other_read(&other, text, whole.size - whole.start, cuts);
    bool begun = http_frame_begin(&frame, &whole, input.data, &frame_limits);
    /* Where the two divide the connection is told that the head is malformed. That is so with methods that llhttp does not
     * know, and with a tab behind a value, which it takes for a part of it. */
    MUST(alike || !begun);
    MUST(begun || whole.method == (enum http_method)HTTP_METHOD_OTHER ||
         memchr(text, '\t', whole.size - whole.start) != NULL);
    if (begun)
        compare(input.data, &whole, &other);
    return 0;
}
