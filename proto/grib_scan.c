/* grib_scan.c: cut a stream into messages and what lies between them.
 *
 *     LEAD --GRIB--> BEGIN --> MESSAGE --whole--> END --> GAP --GRIB--> BEGIN ...
 *       '--not GRIB--> REFUSED
 *
 * A piece that follows another without bytes in between (BEGIN after SKIPPED, END after DATA) is handed out by the next
 * call. Callers loop while there is chunk left, so a message's last byte stays unconsumed, though handed out, until its END is;
 * BEGIN has the chunk's rest of "GRIB" behind it anyway.
 *
 * LEAD may have to refuse a stream on its first byte, and still wants sixteen to say what it is: hence REFUSED, which gathers. */
#include "proto/grib_scan.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>

enum { SCAN_LEAD, SCAN_REFUSED, SCAN_GAP, SCAN_BEGIN, SCAN_MESSAGE, SCAN_END };

static const uint8_t magic[4] = { 'G', 'R', 'I', 'B' };

void grib_scan_init(struct grib_scan *scan)
{
    *scan = (struct grib_scan){ .state = SCAN_LEAD, .message_max = GRIB_MESSAGE_SIZE_MAX };
    grib_frame_init(&scan->frame);
}

/* ---- what a stream is that is no GRIB ---- */

struct scan_form {
    const char *name;
    uint8_t size;
    bool any_case;
    uint8_t begins[10];
};

static const struct scan_form scan_forms[] = {
    { "an HTML page", 9, true, "<!doctype" },
    { "an HTML page", 5, true, "<html" },
    { "an HTML page", 5, true, "<head" },
    { "XML", 5, true, "<?xml" },
    { "gzip data", 2, false, { 0x1f, 0x8b } },
    { "a zip archive", 4, false, { 'P', 'K', 3, 4 } },
    { "a zip archive", 4, false, { 'P', 'K', 5, 6 } },
    { "a netCDF file", 4, false, { 'C', 'D', 'F', 1 } },
    { "a netCDF file", 4, false, { 'C', 'D', 'F', 2 } },
    { "a netCDF file", 4, false, { 'C', 'D', 'F', 5 } },
    { "an HDF5 file (netCDF-4 is one too)", 8, false, { 0x89, 'H', 'D', 'F', 13, 10, 26, 10 } },
    { "BUFR", 4, false, "BUFR" },
    { "bzip2 data", 3, false, "BZh" },
    { "xz data", 6, false, { 0xfd, '7', 'z', 'X', 'Z', 0 } },
    { "zstd data", 4, false, { 0x28, 0xb5, 0x2f, 0xfd } },
    { "XML", 1, false, "<" },
    { "JSON", 1, false, "{" },
    { "JSON", 1, false, "[" },
};

static uint8_t scan_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool scan_form_fits(const struct scan_form *form, const uint8_t *data, size_t size)
{
    if (size < form->size)
        return false;
    for (size_t i = 0; i < form->size; i++) {
        if ((form->any_case ? scan_lower(data[i]) : data[i]) != form->begins[i])
            return false;
    }
    return true;
}

static bool scan_is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* NULL when it is none that we know. */
static const char *scan_form_name(const uint8_t *data, size_t size)
{
    bool text = true;

    for (size_t i = 0; i < ARRAY_COUNT(scan_forms); i++) {
        if (scan_form_fits(&scan_forms[i], data, size))
            return scan_forms[i].name;
    }
    for (size_t i = 0; i < size; i++)
        text = text && (scan_is_blank(data[i]) || (data[i] >= 0x20 && data[i] != 0x7f));
    return text && size > 0 ? "plain text" : NULL;
}

/* Binary forms begin where the stream does; texts may have a byte order mark and blanks in front. */
static enum status scan_refuse(const struct grib_scan *scan, struct error *err)
{
    const uint8_t *lead = scan->lead;
    size_t size = scan->lead_size;
    char hex[2 * sizeof scan->lead + 1];

    const char *name = scan_form_name(lead, size);
    if (size >= 3 && memcmp(lead, "\xef\xbb\xbf", 3) == 0) {
        lead += 3;
        size -= 3;
    }
    while (size > 0 && scan_is_blank(*lead)) {
        lead++;
        size--;
    }
    if (size > 0 && (name == NULL || strcmp(name, "plain text") == 0))
        name = scan_form_name(lead, size);
    hex_print(scan->lead, scan->lead_size, hex);
    if (scan->lead_size == 0)
        error_set(err, STATUS_NOT_GRIB, "this is empty, not GRIB");
    else if (name != NULL)
        error_set(err, STATUS_NOT_GRIB, "this is %s, not GRIB", name);
    else
        error_set(err, STATUS_NOT_GRIB, "this is not GRIB: it begins with the bytes %s", hex);
    error_at(err, 0);
    return STATUS_NOT_GRIB;
}

/* ---- between messages ---- */

/* A WMO heading or white space: what may lie before the first message. */
static bool scan_lead_allows(uint8_t c)
{
    /* memchr and not strchr: the terminator counts too, as NUL may be there. */
    static const char others[] = "\001\003\r\n\t *#-.";

    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || memchr(others, c, sizeof others) != NULL;
}

static void scan_keep_lead(struct grib_scan *scan, const uint8_t *data, size_t size)
{
    size_t room = sizeof scan->lead - scan->lead_size;
    size_t kept = size < room ? size : room;

    if (scan->messages == 0 && kept > 0) {
        memcpy(scan->lead + scan->lead_size, data, kept);
        scan->lead_size = (uint8_t)(scan->lead_size + kept);
    }
}

/* What a stretch between messages has of "GRIB". */
struct scan_match {
    size_t at;        /* where in the chunk it begins, or goes on; the chunk's size when nowhere */
    unsigned matched; /* how many of the four bytes are there, those of earlier chunks included */
    unsigned carried; /* how many of them lie in earlier chunks */
};

static struct scan_match scan_find(const uint8_t *chunk, size_t size, unsigned carried)
{
    size_t rest = sizeof magic - carried < size ? sizeof magic - carried : size;

    if (carried > 0 && memcmp(chunk, magic + carried, rest) == 0)
        return (struct scan_match){ .matched = carried + (unsigned)rest, .carried = carried };
    /* No end of "GRI" is a beginning of it: what was carried belongs to no message. */
    for (size_t at = 0; at < size; at++) {
        const uint8_t *found = memchr(chunk + at, magic[0], size - at);
        if (found == NULL)
            break;
        at = (size_t)(found - chunk);
        rest = size - at < sizeof magic ? size - at : sizeof magic;
        if (memcmp(found, magic, rest) == 0)
            return (struct scan_match){ .at = at, .matched = (unsigned)rest };
    }
    return (struct scan_match){ .at = size };
}

/* skipped: so many bytes are now known to belong to no message. */
static enum status scan_check_gap(struct grib_scan *scan, uint64_t skipped, struct error *err)
{
    if (skipped <= GRIB_SCAN_SKIP_MAX)
        return STATUS_OK;
    error_set(err, STATUS_BAD_GRIB, "more than %d bytes without GRIB after message %" PRIu64,
              GRIB_SCAN_SKIP_MAX, scan->messages);
    error_at(err, scan->skip_offset);
    return STATUS_BAD_GRIB;
}

static bool scan_lead_holds(const uint8_t *data, size_t size, uint64_t skipped)
{
    for (size_t i = 0; i < size; i++) {
        if (!scan_lead_allows(data[i]))
            return false;
    }
    return skipped <= GRIB_SCAN_LEAD_MAX;
}

/* "GRIB" is there: its bytes in this chunk stay for the frame, how many lie in earlier ones is in scan->matched. */
static void scan_found(struct grib_scan *scan, struct grib_piece *piece)
{
    scan->message_offset = scan->offset - scan->matched;
    grib_frame_init(&scan->frame);
    scan->state = SCAN_BEGIN;
    if (scan->message_offset > scan->skip_offset) {
        *piece = (struct grib_piece){ .kind = GRIB_PIECE_SKIPPED,
                                      .offset = scan->skip_offset,
                                      .length = scan->message_offset - scan->skip_offset };
    }
}

static void scan_consume(struct grib_scan *scan, size_t size, size_t *used)
{
    scan->offset += size;
    *used = size;
}

static enum status scan_gap(struct grib_scan *scan, const uint8_t *chunk, size_t size, size_t *used,
                            struct grib_piece *piece, struct error *err)
{
    size_t limit = scan->state == SCAN_LEAD ? GRIB_SCAN_LEAD_MAX : GRIB_SCAN_SKIP_MAX;

    /* Not one byte is looked at beyond what the limit allows and the four that may follow. */
    if (size > limit + sizeof magic)
        size = limit + sizeof magic;
    struct scan_match match = scan_find(chunk, size, scan->matched);
    uint64_t skipped = scan->offset + match.at - match.carried - scan->skip_offset;

    scan_keep_lead(scan, chunk, size);
    if (scan->state == SCAN_LEAD && !scan_lead_holds(chunk, match.at, skipped)) {
        scan->state = SCAN_REFUSED;
        scan_consume(scan, size, used);
        return STATUS_OK;
    }
    if (scan->state == SCAN_GAP && scan_check_gap(scan, skipped, err) != STATUS_OK)
        return STATUS_BAD_GRIB;
    if (match.matched < sizeof magic) {
        scan->matched = (uint8_t)match.matched;
        scan_consume(scan, size, used);
        return STATUS_OK;
    }
    scan->matched = (uint8_t)match.carried;
    scan_consume(scan, match.at, used);
    scan_found(scan, piece);
    return STATUS_OK;
}

/* ---- messages ---- */

static enum status scan_feed(struct grib_scan *scan, const uint8_t *data, size_t size, size_t *took,
                             struct grib_piece *piece, struct error *err)
{
    uint64_t offset = scan->message_offset + scan->frame.seen;

    enum status status = grib_frame_feed(&scan->frame, data, size, took, err);
    if ((status == STATUS_OK || status == STATUS_MORE) && scan->frame.size > scan->message_max)
        status = error_set(err, STATUS_TOO_LARGE, "a message of %" PRIu64 " bytes, more than %" PRIu64,
                           scan->frame.size, scan->message_max);
    if (status != STATUS_OK && status != STATUS_MORE) {
        error_at(err, scan->message_offset);
        return status;
    }
    if (status == STATUS_OK)
        scan->state = SCAN_END;
    *piece = (struct grib_piece){
        .kind = GRIB_PIECE_DATA, .data = slice_of(data, *took), .offset = offset, .length = *took
    };
    return STATUS_OK;
}

static enum status scan_message(struct grib_scan *scan, const uint8_t *chunk, size_t size,
                                size_t *used, struct grib_piece *piece, struct error *err)
{
    size_t took;

    if (scan->matched > 0) { /* the beginning of GRIB, from an earlier chunk */
        size_t carried = scan->matched;
        scan->matched = 0;
        return scan_feed(scan, magic, carried, &took, piece, err);
    }
    enum status status = scan_feed(scan, chunk, size, &took, piece, err);
    if (status != STATUS_OK)
        return status;
    *used = scan->state == SCAN_END ? took - 1 : took;
    scan->offset += *used;
    return STATUS_OK;
}

static void scan_message_end(struct grib_scan *scan, size_t *used, struct grib_piece *piece)
{
    *used = 1;
    scan->offset++;
    *piece = (struct grib_piece){ .kind = GRIB_PIECE_END,
                                  .offset = scan->message_offset,
                                  .length = scan->frame.size };
    scan->messages++;
    scan->skip_offset = scan->offset;
    scan->matched = 0;
    scan->state = SCAN_GAP;
}

/* One step; it may leave piece as it is. */
static enum status scan_step(struct grib_scan *scan, const uint8_t *chunk, size_t size,
                             size_t *used, struct grib_piece *piece, struct error *err)
{
    switch (scan->state) {
    case SCAN_LEAD:
    case SCAN_GAP:
        return scan_gap(scan, chunk, size, used, piece, err);
    case SCAN_BEGIN:
        *piece = (struct grib_piece){ .kind = GRIB_PIECE_BEGIN, .offset = scan->message_offset };
        scan->state = SCAN_MESSAGE;
        return STATUS_OK;
    case SCAN_MESSAGE:
        return scan_message(scan, chunk, size, used, piece, err);
    case SCAN_END:
        scan_message_end(scan, used, piece);
        return STATUS_OK;
    default:
        assert(scan->state == SCAN_REFUSED);
        scan_keep_lead(scan, chunk, size);
        scan->offset += size;
        *used = size;
        return STATUS_OK;
    }
}

enum status grib_scan_next(struct grib_scan *scan, const uint8_t *chunk, size_t size, size_t *used,
                           struct grib_piece *piece, struct error *err)
{
    *used = 0;
    *piece = (struct grib_piece){ .kind = GRIB_PIECE_NONE };
    while (*used < size && piece->kind == GRIB_PIECE_NONE) {
        size_t step = 0;
        enum status status = scan_step(scan, chunk + *used, size - *used, &step, piece, err);
        *used += step;
        if (status != STATUS_OK)
            return status;
        if (scan->state == SCAN_REFUSED && scan->lead_size == sizeof scan->lead)
            return scan_refuse(scan, err);
    }
    return STATUS_OK;
}

/* The stream is over between two messages. */
static enum status scan_end_gap(struct grib_scan *scan, struct grib_piece *piece, struct error *err)
{
    uint64_t skipped = scan->offset - scan->skip_offset;

    if (scan_check_gap(scan, skipped, err) != STATUS_OK)
        return STATUS_BAD_GRIB;
    if (skipped > 0) {
        *piece = (struct grib_piece){ .kind = GRIB_PIECE_SKIPPED,
                                      .offset = scan->skip_offset,
                                      .length = skipped };
    }
    return STATUS_OK;
}

enum status grib_scan_end(struct grib_scan *scan, struct grib_piece *piece, struct error *err)
{
    uint64_t there = scan->offset - scan->message_offset;

    *piece = (struct grib_piece){ .kind = GRIB_PIECE_NONE };
    if (scan->state == SCAN_LEAD || scan->state == SCAN_REFUSED)
        return scan_refuse(scan, err);
    if (scan->state == SCAN_GAP)
        return scan_end_gap(scan, piece, err);
    if (scan->frame.size > 0)
        error_set(err, STATUS_BAD_GRIB,
                  "it ends inside a message: %" PRIu64 " of %" PRIu64 " bytes are there", there,
                  scan->frame.size);
    else
        error_set(err, STATUS_BAD_GRIB,
                  "it ends inside the head of a message: %" PRIu64 " bytes are there", there);
    error_at(err, scan->message_offset);
    return STATUS_BAD_GRIB;
}
