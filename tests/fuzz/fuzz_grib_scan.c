/* fuzz_grib_scan.c: a body of any bytes, in pieces of any size.
 *
 * Input: cuts, then the body. However it is cut, a scan has to say the same, and what it says has to cover the body: messages
 * and stretches follow each other without a gap. */
#include "proto/grib_scan.h"
#include "tests/fuzz/fuzz.h"

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
        for (size_t i = 0; i < piece->data.size; i++)
            said->sum = said->sum * 31 + piece->data.data[i];
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

static void scan_piece(struct grib_scan *scan, const uint8_t *data, size_t size, struct said *said,
                       uint64_t *in_message)
{
    struct grib_piece piece;

    for (size_t used, at = 0; at < size && said->status == STATUS_OK; at += used) {
        said->status = grib_scan_next(scan, data + at, size - at, &used, &piece, &said->err);
        MUST(used <= size - at);
        if (said->status == STATUS_OK)
            hear(said, &piece, in_message);
    }
}

static void scan_all(const uint8_t *data, size_t size, struct fuzz_cuts cuts, struct said *said)
{
    struct grib_scan scan;
    struct grib_piece piece;
    uint64_t in_message = 0;

    *said = (struct said){ .status = STATUS_OK };
    error_init(&said->err);
    grib_scan_init(&scan);
    for (size_t at = 0; at < size && said->status == STATUS_OK;) {
        size_t next = fuzz_cut(&cuts, size - at);
        uint8_t *copy = fuzz_copy(data + at, next);
        scan_piece(&scan, copy, next, said, &in_message);
        free(copy);
        at += next;
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
    struct fuzz_input input = { data, size };
    struct fuzz_cuts cuts = fuzz_cuts(&input), none = { .count = 0 };
    struct said whole, parts;

    scan_all(input.data, input.size, none, &whole);
    scan_all(input.data, input.size, cuts, &parts);
    MUST(whole.status == parts.status && whole.messages == parts.messages);
    MUST(strcmp(whole.err.text, parts.err.text) == 0);
    if (whole.status == STATUS_OK)
        MUST(whole.sum == parts.sum);
    else
        MUST(whole.err.offset == parts.err.offset);
    return 0;
}
