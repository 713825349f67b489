/* status_index.h: what indexers say of the index (/v1/status): the database, who is alive and tails which node, how far behind, sweeps. */
#ifndef CLIENT_CLI_STATUS_INDEX_H
#define CLIENT_CLI_STATUS_INDEX_H

#include "client/probe.h"
#include "proto/base/json_write.h"

/* For people: a table of nodes and who tails them, a line on the database and one on sweeps for each indexer that answers. Nothing
 * where none does. */
void status_index_print(const struct probes *probes, struct buf *buf);

/* For programs: the answer as it came, as member `index` of the object that is open. Nothing where it is no JSON object. */
void status_index_json(const struct probe *probe, struct json_writer *json);

#endif
