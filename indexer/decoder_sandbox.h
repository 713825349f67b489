/* decoder_sandbox.h: what gribstore-decoder gives up before it reads a byte from outside.
 *
 * ecCodes fails on hostile messages, and might be made to do worse. So its process has limits (memory, CPU, descriptors, no core
 * dump), dies with its parent, and after warming up may only read: no network, no new process, nothing opened for writing. */
#ifndef INDEXER_DECODER_SANDBOX_H
#define INDEXER_DECODER_SANDBOX_H

#include "proto/base/status.h"

#include <stdint.h>

/* First thing: limits, death with the parent, every descriptor but 0, 1 and 2 closed. memory_max 0: no limit (sanitizers
 * reserve terabytes of addresses; they have none anyhow). */
enum status sandbox_limit(uint64_t memory_max, struct error *err);

/* From now on another `seconds` of CPU time before SIGXCPU; cheap enough for every head. */
enum status sandbox_allow_cpu(uint64_t seconds, struct error *err);

/* For good: the list of system calls. One that is not on it fails with EPERM and does nothing. Standard error goes to
 * /dev/null: ecCodes prints there at will. */
enum status sandbox_enter(struct error *err);

#endif
