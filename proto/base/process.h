/* process.h: what a daemon asks of the system for itself. */
#ifndef PROTO_BASE_PROCESS_H
#define PROTO_BASE_PROCESS_H

/* As many descriptors as we may have (the soft RLIMIT_NOFILE becomes the hard one): each connection and each open file is one. */
void process_raise_files(void);

#endif
