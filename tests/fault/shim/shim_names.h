/* shim_names.h: where a name stands: the directory's inode, and the last part of the path. */
#ifndef TESTS_FAULT_SHIM_NAMES_H
#define TESTS_FAULT_SHIM_NAMES_H

#include "tests/fault/shim/shim_files.h"

struct shim_place {
    uint64_t dir;
    char path[SHIM_PATH_SIZE]; /* whole */
    const char *name;          /* in path */
};

/* false: it is not below the root. */
bool shim_place_of(int dir_fd, const char *path, struct shim_place *place);

#endif
