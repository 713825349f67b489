/* medium.h: a file's bytes as the disk has them, not as the page cache remembers them.
 *
 * Where the file system takes it the file is opened with O_DIRECT. Where it does not (tmpfs, some network file systems)
 * the page cache is asked to forget the bytes first (posix_fadvise), which costs readers what was cached. Read through a
 * window, so that small messages side by side cost one read; for one thread. */
#ifndef STORAGED_STORE_MEDIUM_H
#define STORAGED_STORE_MEDIUM_H

#include "proto/base/status.h"
#include "proto/digest.h"

enum { MEDIUM_ALIGN = 4096, MEDIUM_WINDOW = 1 << 20 };

struct medium {
    int fd; /* owned; -1: none */
    bool direct;
    uint8_t *window; /* owned: MEDIUM_WINDOW bytes, aligned */
    uint64_t window_offset;
    size_t window_size;
    struct digest_stream *hash; /* owned */
    /* Behind each read, with the bytes that it brought; may be NULL. False: stop, the call fails with CANCELLED. */
    bool (*on_read)(void *user, size_t size);
    void *user;
};

void medium_init(struct medium *medium);
void medium_fini(struct medium *medium);

/* NOT_FOUND, OVERLOADED (no descriptors), IO. The one that was open is closed. */
enum status medium_open(struct medium *medium, int dir_fd, const char *name, struct error *err);
void medium_close(struct medium *medium);

/* Exactly size bytes. IO; CORRUPT: the file ends before; CANCELLED. */
enum status medium_read(struct medium *medium, uint64_t offset, uint8_t *data, size_t size,
                        struct error *err);
/* The digest of length bytes. */
enum status medium_digest(struct medium *medium, uint64_t offset, uint64_t length,
                          struct digest *digest, struct error *err);

/* What was read of these bytes is to be read again, by everybody. */
void medium_forget(struct medium *medium, uint64_t offset, uint64_t length);

#endif
