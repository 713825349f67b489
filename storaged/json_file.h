/* json_file.h: a small file in the data directory, read whole and replaced whole: another name, flush, rename, flush of
 * the directory. [blocking] */
#ifndef STORAGED_JSON_FILE_H
#define STORAGED_JSON_FILE_H

#include "proto/base/buf.h"

/* *text is the caller's. NOT_FOUND; TOO_LARGE; IO. */
enum status json_file_read(const char *dir, const char *name, size_t size_max, struct buf *text,
                           struct error *err);
enum status json_file_write(const char *dir, const char *name, const struct buf *text, struct error *err);
/* Gone, and that is on disk; OK when it was not there. */
enum status json_file_remove(const char *dir, const char *name, struct error *err);

#endif
