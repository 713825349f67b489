/* fuzz_grib_scan.c: a body of any bytes, in chunks of any size.
 *
 * Input: one byte, the size of the chunks; then the body. However it is cut, a scan has to say the same, and what it says has to
 * cover the body: messages and stretches follow each other without a gap. */
#include "proto/grib_scan.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

/* What a scan said: how it ended, and a sum over its pieces. */
struct said {
    enum status status;
    uint64_t messages, covered, sum;
    struct error err;
};

static void hear(struct said *said, const struct grib_piece *piece, uint64_t *in_message)
{
    switch (piece->kind) {
    case GRIB_PIECE_NONE:
        return;
    case GRIB_PIECE_BEGIN:
        MUST(piece->offset == said->covered && *in_message == 0);
        return;
    case GRIB_PIECE_DATA:
        MUST(piece->data.size == piece->length && piece->length > 0);
        MUST(piece->offset == said->covered + *in_message);
        *in_message += piece->length;
        return;
    case GRIB_PIECE_END:
        MUST(piece->length == *in_message && piece->offset == said->covered);
        *in_message = 0;
        said->messages++;
        break;
    case GRIB_PIECE_SKIPPED:
        MUST(piece->offset == said->covered && piece->length > 0 && *in_message == 0);
        MUST(piece->length <= GRIB_SCAN_SKIP_MAX);
        break;
    }
    said->covered += piece->length;
    said->sum = said->sum * 31 + piece->offset * 7 + piece->length * 3 + (uint64_t)piece->kind;
}

static void scan(const uint8_t *data, size_t size, size_t chunk, struct said *said)
{
    struct grib_scan scan;
    struct grib_piece piece;
    uint64_t in_message = 0;

    *said = (struct said){ .status = STATUS_OK };
    error_init(&said->err);
    grib_scan_init(&scan);
    for (size_t used, at = 0; at < size && said->status == STATUS_OK; at += used) {
        size_t left = size - at < chunk ? size - at : chunk;
        said->status = grib_scan_next(&scan, data + at, left, &used, &piece, &said->err);
        MUST(used <= left);
        if (said->status == STATUS_OK)
            hear(said, &piece, &in_message);
    }
    if (said->status == STATUS_OK) {
        said->status = grib_scan_end(&scan, &piece, &said->err);
        if (said->status == STATUS_OK) {
            hear(said, &piece, &in_message);
            MUST(said->covered == size && said->messages > 0 && in_message == 0);
        }
    }
    MUST(said->status == STATUS_OK || (said->err.has_offset && said->err.offset <= size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct said whole, parts;

    if (size < 1)
        return 0;
    scan(data + 1, size - 1, SIZE_MAX, &whole);
    scan(data + 1, size - 1, data[0] + (size_t)1, &parts);
    MUST(whole.status == parts.status && whole.sum == parts.sum && whole.messages == parts.messages);
    MUST(strcmp(whole.err.text, parts.err.text) == 0);
    MUST(whole.status == STATUS_OK || whole.err.offset == parts.err.offset);
    return 0;
}
