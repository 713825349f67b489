/* decoder_sandbox.h: what gribstore-decoder gives up before it reads a byte from outside.
 *
 * ecCodes fails on hostile messages, and might be made to do worse. So its process has limits (memory, CPU for its life, descriptors, no core
 * dump), dies with its parent, and after warming up may only read: no network, no new process, nothing opened for writing. */
#ifndef INDEXER_DECODER_SANDBOX_H
#define INDEXER_DECODER_SANDBOX_H

#include "proto/base/status.h"

#include <stdint.h>

/* First thing: limits, death with the parent, every descriptor but 0, 1 and 2 closed. memory_max 0: no limit (sanitizers
 * reserve terabytes of addresses; they have none anyhow). */
enum status sandbox_limit(uint64_t memory_max, struct error *err);

/* From now on so much by the clock before SIGALRM (0: no limit), and so much of CPU time before SIGPROF; cheap enough for every
 * head. */
void sandbox_allow_time(uint64_t clock_ms, uint64_t cpu_ms);

/* For good: the list of system calls. One that is not on it fails with EPERM and does nothing. Standard error goes to
 * /dev/null: ecCodes prints there at will. */
enum status sandbox_enter(struct error *err);

#endif
