/* load_check.c: is an answer what its request asked for? */
#include "load_check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CHECK_BLOCK_SIZE = 65536, BOUNDARY_SIZE_MAX = 70, RANGE_TEXT_SIZE = 80 };

uint64_t check_length_max(const struct load_options *options)
{
    return options->put ? 0 : options->ranges * (options->size + CHECK_PART_HEAD_MAX);
}

bool check_head(const struct load_request *request, const struct answer_head *head, struct gen_error *err)
{
    unsigned wanted = request->body == NULL ? 206 : 201;
    uint64_t least = request->ranges * request->size, most = least;

    if (head->status != wanted)
        return gen_fail(err, "status %u instead of %u", head->status, wanted);
    if (!head->has_length)
        return gen_fail(err, "no Content-Length");
    if (request->body != NULL)
        return true;
    if (request->ranges > 1)
        most += request->ranges * (uint64_t)CHECK_PART_HEAD_MAX;
    if (head->length < least || head->length > most)
        return gen_fail(err, "Content-Length is %" PRIu64 " for %u ranges of %" PRIu64 " bytes",
                        head->length, request->ranges, request->size);
    return true;
}

static bool check_range_field(const struct load_request *request, unsigned i, const char *head,
                              size_t head_size, struct gen_error *err)
{
    char wanted[RANGE_TEXT_SIZE];
    size_t size;
    const char *value = answer_field(head, head_size, "Content-Range", &size);
    int wanted_size = snprintf(wanted, sizeof wanted, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64,
                               request->offset[i], request->offset[i] + request->size - 1,
                               request->file->size);

    if (value == NULL || size != (size_t)wanted_size || memcmp(value, wanted, size) != 0)
        return gen_fail(err, "Content-Range '%.*s' instead of '%s'",
                        value == NULL ? 0 : (int)(size > 80 ? 80 : size),
                        value == NULL ? "" : value, wanted);
    return true;
}

static bool check_range_bytes(const struct load_request *request, unsigned i, const uint8_t *bytes,
                              struct gen_error *err)
{
    uint8_t block[CHECK_BLOCK_SIZE];

    for (uint64_t done = 0; done < request->size;) {
        uint64_t left = request->size - done, offset = request->offset[i] + done;
        ssize_t got = pread(request->file->fd, block, left < sizeof block ? left : sizeof block,
                            (off_t)offset);

        if (got <= 0)
            return gen_fail(err, "the local file: %s", got == 0 ? "it ends too early" : strerror(errno));
        if (memcmp(block, bytes + done, (size_t)got) != 0)
            return gen_fail(err, "wrong bytes at or behind offset %" PRIu64 " of %.100s", offset,
                            request->file->path);
        done += (uint64_t)got;
    }
    return true;
}

/* What is left of a multipart body. */
struct check_parts {
    const char *at, *end;
    char delimiter[BOUNDARY_SIZE_MAX + 5]; /* "--TOKEN" */
    size_t delimiter_size;
};

static bool parts_open(struct check_parts *parts, const char *head, size_t head_size,
                       const uint8_t *body, size_t body_size, struct gen_error *err)
{
    static const char type[] = "multipart/byteranges; boundary=";
    size_t size, type_size = sizeof type - 1;
    const char *value = answer_field(head, head_size, "Content-Type", &size);

    if (value == NULL || size <= type_size || size - type_size > BOUNDARY_SIZE_MAX ||
        memcmp(value, type, type_size) != 0) {
        gen_fail(err, "its Content-Type is not '%sTOKEN'", type);
        return false;
    }
    parts->at = (const char *)body;
    parts->end = parts->at + body_size;
    parts->delimiter_size = (size_t)snprintf(parts->delimiter, sizeof parts->delimiter, "--%.*s",
                                             (int)(size - type_size), value + type_size);
    return true;
}

/* Step over text that has to stand here. */
static bool parts_take(struct check_parts *parts, const char *text, size_t size)
{
    if ((size_t)(parts->end - parts->at) < size || memcmp(parts->at, text, size) != 0)
        return false;
    parts->at += size;
    return true;
}

static bool parts_check(struct check_parts *parts, const struct load_request *request, unsigned i,
                        struct gen_error *err)
{
    bool line = parts_take(parts, "\r\n", 2); /* before the first delimiter it may be left out */
    if ((!line && i > 0) || !parts_take(parts, parts->delimiter, parts->delimiter_size) ||
        !parts_take(parts, "\r\n", 2))
        return gen_fail(err, "no delimiter before the part");
    const char *head = parts->at, *end = memmem(head, (size_t)(parts->end - head), "\r\n\r\n", 4);
    if (end == NULL || (uint64_t)(parts->end - (end + 4)) < request->size)
        return gen_fail(err, "it is cut short");
    parts->at = end + 4 + request->size;
    return check_range_field(request, i, head, (size_t)(end - head), err) &&
           check_range_bytes(request, i, (const uint8_t *)end + 4, err);
}

static bool check_parts(const struct load_request *request, const char *head, size_t head_size,
                        const uint8_t *body, size_t body_size, struct gen_error *err)
{
    struct check_parts parts;

    if (!parts_open(&parts, head, head_size, body, body_size, err))
        return false;
    for (unsigned i = 0; i < request->ranges; i++)
        if (!parts_check(&parts, request, i, err))
            return gen_fail_in(err, "part", i + 1);
    if (!parts_take(&parts, "\r\n", 2) || !parts_take(&parts, parts.delimiter, parts.delimiter_size) ||
        !parts_take(&parts, "--\r\n", 4) || parts.at != parts.end)
        return gen_fail(err, "the closing delimiter is missing, or something stands behind it");
    return true;
}

bool check_bytes(const struct load_request *request, const char *head, size_t head_size,
                 const uint8_t *body, size_t body_size, struct gen_error *err)
{
    if (request->ranges > 1)
        return check_parts(request, head, head_size, body, body_size, err);
    if (body_size != request->size)
        return gen_fail(err, "%zu bytes instead of %" PRIu64, body_size, request->size);
    return check_range_field(request, 0, head, head_size, err) &&
           check_range_bytes(request, 0, body, err);
}
