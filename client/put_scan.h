/* put_scan.h: a file, read once from its beginning to its end, as a row of messages: where each lies, its digest, its
 * base_time. */
#ifndef CLIENT_PUT_SCAN_H
#define CLIENT_PUT_SCAN_H

#include "client/gribstore.h"
#include "proto/digest.h"
#include "proto/grib_head.h"
#include "proto/grib_scan.h"

struct put_file {
    const char *name; /* borrowed */
    int fd;
    bool owned; /* close it */
    uint64_t size;
    bool read_all;  /* its messages are known */
    size_t pending; /* those that may still have to be sent */
};

struct put_message {
    struct digest digest;
    int64_t base_time;
    uint64_t offset, size;
    uint32_t file; /* index into the files of the put */
    bool missing;  /* the cluster lacks it */
    /* of a missing one that is on its way (put_push.h) */
    bool is_new;    /* a node did not have it */
    bool by_others; /* a node that was to have it did not take it: it goes by way of a coordinator */
    uint8_t copies;                     /* that are durable */
    uint8_t awaited;                    /* further owners that have not answered */
    uint64_t stored_at_us, incarnation; /* as the first owner has it */
};

enum { PUT_SCAN_CHUNK_SIZE = 1 << 20 };

struct put_scan {
    const struct put_file *file; /* borrowed until put_scan_end */
    struct grib_scan scan;
    struct digest_stream *stream; /* owned, kept between files */
    uint8_t *chunk;               /* owned, kept between files */
    size_t chunk_size, chunk_used;
    uint64_t read; /* bytes of the file so far */
    uint8_t prefix[GRIB_BASE_TIME_PREFIX];
    size_t prefix_size;
    bool ended;
    uint64_t skipped, bytes_skipped;
};

enum { PUT_FILE_COPY_WAIT_MS = 100 };

/* Opens the file or copies a pipe to an unnamed one. on_copy (may be NULL) is called after each piece of a pipe, and every
 * PUT_FILE_COPY_WAIT_MS while it brings nothing; other than OK ends the copy. NOT_FOUND: no such file; IO: another failure here. */
enum status put_file_open(struct put_file *file, const struct gs_input *input,
                          enum status (*on_copy)(void *user, struct error *err), void *user,
                          struct error *err);
void put_file_close(struct put_file *file);
void put_file_settle(struct put_file *file); /* closes it when nobody needs it any more */

/* Bytes of the file at offset: all of size, or IO. */
enum status put_file_read(const struct put_file *file, uint64_t offset, void *data, size_t size,
                          struct error *err);

enum status put_scan_init(struct put_scan *scan, struct error *err);
void put_scan_fini(struct put_scan *scan);
void put_scan_begin(struct put_scan *scan, const struct put_file *file);

/*   OK         a message is whole: *message, but for its file
 *   MORE       a piece was read, no message ended in it; call again
 *   NOT_FOUND  the file is over
 * Others end the file; err names it and the byte offset. */
enum status put_scan_next(struct put_scan *scan, struct put_message *message, struct error *err);

#endif
