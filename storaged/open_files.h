/* open_files.h: the data files that one loop has open, found by the path of a request.
 *
 * A client asks for many ranges of few files. Who asks again for a path finds its file here, held, with the header fields
 * of its answers printed: no lock, no allocation, no look at runs. A file that is purged or dropped is not found any more;
 * open_files_sweep() lets go of it. Each belongs to one loop and is used on its thread only. */
#ifndef STORAGED_OPEN_FILES_H
#define STORAGED_OPEN_FILES_H

#include "storaged/range_reply.h"
#include "storaged/store/store.h"

enum {
    OPEN_FILES_SETS = 64,
    OPEN_FILES_WAYS = 4, /* places for a path; the one least lately asked for makes room */
    OPEN_FILES_PATH_MAX = 1024,
    OPEN_FILES_ETAG_SIZE = 48,
};

struct open_file {
    struct store_file *file;    /* held */
    struct range_entity entity; /* as of the last look; points into this struct */
    uint64_t birth;
    uint64_t looked; /* the count of looks at the last one */
    uint64_t hash;
    unsigned users; /* requests under way */
    bool listed;    /* in a place: else the last user frees it */
    char etag[OPEN_FILES_ETAG_SIZE];
    char fields[RANGE_FIELDS_SIZE];
    size_t path_size;
    uint8_t path[];
};

struct open_files {
    struct open_file *places[OPEN_FILES_SETS][OPEN_FILES_WAYS]; /* owned */
    uint64_t looks;
    uint64_t gone; /* the store's count of files gone, at the last sweep */
};

/* The file of a path, for the caller until open_files_release(): its entity is the file's as of now. NULL: not here. */
struct open_file *open_files_find(struct open_files *files, struct slice path);

/* The same for one that was opened just now: takes the caller's hold of file. */
struct open_file *open_files_add(struct open_files *files, struct slice path,
                                 struct store_file *file, uint64_t birth);
void open_files_release(struct open_file *file);

/* Lets go of files that are gone. Cheap when there is none. */
void open_files_sweep(struct open_files *files, struct store *store);
void open_files_clear(struct open_files *files); /* of all; safe on zeroes */

#endif
