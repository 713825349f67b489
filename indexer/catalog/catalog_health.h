/* catalog_health.h: whether the database does what it is asked, told apart by what an operator has to do about it.
 *
 * The two databases tell of each failure and of what went well; metrics and /readyz ask. A process has one catalog. Any thread. */
#ifndef INDEXER_CATALOG_HEALTH_H
#define INDEXER_CATALOG_HEALTH_H

#include "proto/base/status.h"

#include <stdbool.h>

enum { CATALOG_TROUBLE_SIZE = 300 };

/* Registers the metrics; once. */
void catalog_health_start(void);

/* A call failed. FULL, READ_ONLY, FORBIDDEN and IO last until something was written, others until anything was done. */
void catalog_health_failed(enum status status, const char *text);
void catalog_health_read(void);
void catalog_health_wrote(void);

/* Whether the last of its kind failed, and not long ago; text says how. */
bool catalog_health_trouble(char text[CATALOG_TROUBLE_SIZE]);

#endif
