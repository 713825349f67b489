/* catalog_uri.h: where the records are kept may hold a password: from where it comes, and that nobody sees it.
 *
 * Other users of the machine see a process's arguments; its environment and a file of its own they don't. */
#ifndef INDEXER_CATALOG_URI_H
#define INDEXER_CATALOG_URI_H

#include "proto/base/status.h"

#include <stddef.h>

enum { CATALOG_URI_SIZE_MAX = 8192 };

/* The first line of a file, as a string that the caller frees. FORBIDDEN: others than owner and group can read the file. BAD_VALUE: empty, or longer
 * than CATALOG_URI_SIZE_MAX. */
enum status catalog_uri_read(const char *path, char **uri, struct error *err);

/* The same with *** in place of a password, for people; cut to size. */
void catalog_uri_show(const char *uri, char *text, size_t size);

/* Overwrites passwords of URIs among arguments, where ps(1) reads them; true: there were some. */
bool catalog_uri_hide(int argc, char **argv);

#endif
