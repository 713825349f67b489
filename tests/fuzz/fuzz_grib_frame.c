/* fuzz_grib_frame.c: the framer, fed any bytes in pieces of any size.
 *
 * Input: cuts, then a stream that begins with a message, perhaps. */
#include "proto/grib_frame.h"
#include "tests/fuzz/fuzz.h"

struct framed {
    enum status status;
    uint64_t used;
    struct grib_frame frame;
    struct error err;
};

static void feed(const uint8_t *data, size_t size, struct fuzz_cuts cuts, struct framed *framed)
{
    *framed = (struct framed){ .status = STATUS_MORE };
    error_init(&framed->err);
    grib_frame_init(&framed->frame);
    while (framed->status == STATUS_MORE && framed->used < size) {
        size_t piece = fuzz_cut(&cuts, size - framed->used), used = SIZE_MAX;
        uint8_t *copy = fuzz_copy(data + framed->used, piece);
        framed->status = grib_frame_feed(&framed->frame, copy, piece, &used, &framed->err);
        free(copy);
        MUST(framed->status == STATUS_OK || framed->status == STATUS_MORE ||
             framed->status == STATUS_BAD_GRIB || framed->status == STATUS_TOO_LARGE);
        if (framed->status != STATUS_OK && framed->status != STATUS_MORE)
            return;
        MUST(used <= piece && (framed->status == STATUS_OK || used == piece));
        framed->used += used;
        MUST(framed->frame.seen == framed->used);
    }
}

/* What the octets themselves say of a message that was found whole. */
static void check_whole(const uint8_t *data, size_t size, const struct framed *framed)
{
    const struct grib_frame *frame = &framed->frame;

    MUST(framed->used == frame->size && frame->size <= size && frame->size >= 8 + 4);
    MUST(frame->size <= GRIB_MESSAGE_SIZE_MAX);
    MUST(memcmp(data, "GRIB", 4) == 0 && memcmp(data + frame->size - 4, "7777", 4) == 0);
    MUST(frame->edition == data[7]);
    if (frame->edition == 2)
        MUST(get_u64(data + 8) == frame->size);
    else if ((data[4] & 0x80) == 0)
        MUST(get_u24(data + 4) == frame->size);
    else
        MUST(frame->edition == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };
    struct fuzz_cuts cuts = fuzz_cuts(&input), none = { .count = 0 };
    struct framed whole, parts;

    feed(input.data, input.size, none, &whole);
    feed(input.data, input.size, cuts, &parts);
    MUST(whole.status == parts.status && strcmp(whole.err.text, parts.err.text) == 0);
    if (whole.status == STATUS_OK || whole.status == STATUS_MORE)
        MUST(whole.used == parts.used && whole.frame.size == parts.frame.size);
    if (whole.status == STATUS_OK)
        check_whole(input.data, input.size, &whole);
    return 0;
}
