/* rebuild.h: a run's journal made anew from its data files, when the old one is damaged.
 *
 * Each data file is searched for whole messages; each that belongs to the file's shard gets a *stored* record with stamp
 * 0: adopted. A message that bit rot has touched either does not frame or, but for one in as many as there are shards,
 * falls into another shard and is left out. Nothing is cut here; a file in which nothing is whole is renamed to
 * {name}.damaged and stays.
 *
 * What the damaged journal says of dropped files is kept, record by record as far as they hold: such a file is dropped in the new
 * journal as well. Where that can't be read a dropped file that still lies there is adopted like any, and given up again. */
#ifndef STORAGED_STORE_REBUILD_H
#define STORAGED_STORE_REBUILD_H

#include "proto/base/status.h"

#include <stdint.h>

/* In the open directory dir_fd: a new journal under another name, flushed, then in the place of the old one, the
 * directory flushed. */
enum status rebuild_journal(int dir_fd, uint64_t incarnation, unsigned shards, struct error *err);

#endif
