/* shim_files.h: which descriptors lie below the root, and by which path they were opened.
 *
 * A path is what it was when opened: a directory that was renamed since keeps its old one here. It serves to tell files
 * apart in rules, and to know what is below the root; the log goes by inodes. */
#ifndef TESTS_FAULT_SHIM_FILES_H
#define TESTS_FAULT_SHIM_FILES_H

#include <stdbool.h>
#include <stdint.h>

enum { SHIM_PATH_SIZE = 1000 };

struct shim_file {
    _Atomic bool is_tracked;
    bool is_dir;
    bool is_sync; /* O_SYNC or O_DSYNC: a write is flushed when it returns */
    uint64_t ino;
    char path[SHIM_PATH_SIZE];
};

void shim_files_open(void); /* GRIBSTORE_SHIM_ROOT */
/* NULL: the descriptor is none of ours. */
struct shim_file *shim_file_of(int fd);
void shim_file_track(int fd, const char *path, int flags);
void shim_file_copy(int from, int to);
void shim_file_forget(int fd);
/* The whole path of a name; false: it does not lie below the root (nor is the root). */
bool shim_path_of(int dir_fd, const char *name, char path[SHIM_PATH_SIZE]);

#endif
