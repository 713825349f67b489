/* secret_file.h: a file that only its owner may change and others may not read: tokens, their hashes.
 *
 * It has to be a regular file of this process' user or of root, without any right for others and without writing for the
 * group (mode 0600 or 0640, or less). Whoever could read it has its secrets, whoever could write it makes his own. */
#ifndef PROTO_BASE_SECRET_FILE_H
#define PROTO_BASE_SECRET_FILE_H

#include "proto/base/buf.h"

/* The whole file, at most size_max bytes; text is initialised here and the caller's. Reads may wait for the disk.
 *   NOT_FOUND, IO  it can't be opened or read
 *   BAD_VALUE      it is no file, or not closed enough: err says what to change
 *   TOO_LARGE      more than size_max bytes */
enum status secret_file_read(const char *path, size_t size_max, struct buf *text, struct error *err);

void secret_wipe(void *data, size_t size); /* so that a core file does not show it */

#endif
