/* put_place.h: which messages travel together, by the map: those of one run that one node is to have. Pure.
 *
 * A message's owners are ranked as the map lists them; the first gives the stamp, so that all copies of a message have one, whoever
 * else pushes the same message at that moment. */
#ifndef CLIENT_PUT_PLACE_H
#define CLIENT_PUT_PLACE_H

#include "client/put_scan.h"
#include "proto/placement.h"

enum {
    PUT_STAMPS_MAX = 512,       /* of a body of copies: each is up to 17 bytes of one header line */
    PUT_PLACE_NONE = NODE_NONE, /* nobody in particular */
};

/* The owner of that rank, as an index into map->nodes; PUT_PLACE_NONE: it has not so many. */
unsigned put_place_owner(const struct cluster_map *map, const struct put_message *message, unsigned rank);
unsigned put_place_owners(const struct cluster_map *map, const struct put_message *message); /* how many */

/* Sorts picks (indexes into messages) by base_time, then by the owner of that rank, then as they are in the input. */
enum status put_place_sort(const struct cluster_map *map, const struct put_message *messages,
                           uint32_t *picks, size_t count, unsigned rank, struct error *err);

/* How many of the first picks (sorted, of one rank) one body takes: of one run and one owner; copies (rank > 0) of one
 * incarnation too, and at most PUT_STAMPS_MAX of them. map NULL: whoever owns them, and of any run. At least 1; *size is theirs. */
size_t put_place_body(const struct cluster_map *map, const struct put_message *messages,
                      const uint32_t *picks, size_t count, unsigned rank, size_t count_max,
                      uint64_t size_max, uint64_t *size);

/* "T1,T2,...": what Gribstore-Stored-At says of these; stamps that count up by 1 to the end are left out. */
void put_place_stamps(const struct put_message *messages, const uint32_t *picks, size_t count,
                      struct buf *buf);

#endif
