/* grib_scan.h: cut a stream into messages and what lies between them, by the rules of FORMATS.md section 1.
 *
 * The scan is fed chunks and hands back pieces in order: bytes that belong to a message, the end of a message, a stretch
 * that was skipped. It owns no memory and never allocates; a piece points into the chunk (or, for up to three bytes that
 * looked like the beginning of "GRIB" at a chunk's end, into the scan: valid until the next call). Pure.
 *
 *     grib_scan_init(&scan);
 *     for each chunk:
 *         while (chunk left) { status = grib_scan_next(&scan, data, size, &used, &piece, &err); ... }
 *     status = grib_scan_end(&scan, &piece, &err);
 *
 * With a message's last bytes *used is one less than their number: so there is chunk left to hand out its end by. */
#ifndef PROTO_GRIB_SCAN_H
#define PROTO_GRIB_SCAN_H

#include "proto/grib_frame.h"

enum {
    GRIB_SCAN_LEAD_MAX = 512,       /* bytes before the first message */
    GRIB_SCAN_SKIP_MAX = 64 * 1024, /* bytes between messages */
};

enum grib_piece_kind {
    GRIB_PIECE_NONE,  /* nothing to hand out yet; feed more */
    GRIB_PIECE_BEGIN, /* a message begins at offset; no data */
    GRIB_PIECE_DATA, /* bytes of the message under way; scan->frame.size: its size, 0 until known */
    GRIB_PIECE_END,  /* the message that began at offset is whole; length is its size; no data */
    GRIB_PIECE_SKIPPED, /* a stretch [offset, offset + length) that belonged to no message; no data */
};

struct grib_piece {
    enum grib_piece_kind kind;
    struct slice data;
    uint64_t offset;
    uint64_t length;
};

struct grib_scan {
    struct grib_frame frame;
    uint64_t offset;         /* of the next byte, in the stream */
    uint64_t message_offset; /* where the message under way began */
    uint64_t skip_offset;    /* where the stretch between messages began */
    uint64_t messages;       /* whole ones so far */
    uint64_t message_max; /* a longer one is TOO_LARGE; grib_scan_init() sets GRIB_MESSAGE_SIZE_MAX */
    uint8_t lead[16];     /* first bytes of the stream, to name what is no GRIB */
    uint8_t lead_size;
    uint8_t matched; /* bytes of "GRIB" matched so far, between messages */
    uint8_t state;
};

void grib_scan_init(struct grib_scan *scan);

/* One piece; *used bytes of the chunk are consumed (0 is possible with a piece). Errors carry the byte offset:
 *   STATUS_NOT_GRIB   the stream does not begin as GRIB may; the text names what it is
 *   STATUS_BAD_GRIB   a message is malformed, or more than GRIB_SCAN_SKIP_MAX bytes lie between two
 *   STATUS_TOO_LARGE  a message promises more than message_max
 * After an error the scan is spent. */
enum status grib_scan_next(struct grib_scan *scan, const uint8_t *chunk, size_t size, size_t *used,
                           struct grib_piece *piece, struct error *err);

/* The stream is over: OK (with a last SKIPPED piece or NONE), NOT_GRIB (no message at all; an empty body says so),
 * BAD_GRIB (it ended inside a message: how many bytes were there of how many). */
enum status grib_scan_end(struct grib_scan *scan, struct grib_piece *piece, struct error *err);

#endif
