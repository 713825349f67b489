/* data_file.h: one plain GRIB file: open while somebody holds it, read up to its flushed size, written by its maker.
 *
 * A `struct store_file` is what the store knows of a data file; its run owns one reference, each holder another. The
 * descriptor is opened for the first holder and stays a while after the last (file_cache), since the next reader often
 * wants the same. After a purge no new holder gets in; those there read on, and the last one's descriptor goes to the
 * unlinker, which frees a large file in steps.
 *
 * Only the process that made a file appends to it, and only its writer thread: `written` is the writer's, `size` is what
 * others may see. */
#ifndef STORAGED_STORE_DATA_FILE_H
#define STORAGED_STORE_DATA_FILE_H

#include "proto/base/list.h"
#include "proto/base/status.h"
#include "storaged/store/damage_ranges.h"

#include <stdatomic.h>
#include <uv.h>

enum { FILE_CACHE_IDLE_MAX = 512, DATA_FILE_NAME_SIZE = 32 };

struct unlinker;

struct file_cache {
    uv_mutex_t mutex; /* over descriptors, holders, references and damage of all files */
    struct list idle; /* open files that nobody holds, the longest idle first */
    unsigned idle_count;
    _Atomic uint64_t gone;     /* files that were purged, ever */
    struct unlinker *unlinker; /* borrowed: takes descriptors of purged files */
};
void file_cache_init(struct file_cache *cache, struct unlinker *unlinker);
void file_cache_fini(struct file_cache *cache); /* no file is left */

/* A store has hundreds of thousands of them: what few need lies elsewhere, and nothing is padded. */
struct store_file {
    struct file_cache *cache; /* borrowed: the store's */
    uint64_t birth;
    struct store_file *previous; /* of its shard, made before; borrowed: lives as long as the run's directory */
    uint64_t written;         /* the writer's: where its next message goes */
    _Atomic uint64_t size;    /* flushed bytes */
    _Atomic int64_t modified; /* of the last flush, seconds since 1970 */
    uint32_t record;          /* number of its *file* record */
    uint32_t count;           /* good messages; the run's lock */
    uint16_t shard;
    bool own;            /* made by this process: may be written */
    bool direct_refused; /* the writer's: its file system has no writes around the page cache */
    bool is_void : 1;    /* dropped, missing or empty; the run's lock */
    bool is_dropped : 1, in_grace : 1; /* in_grace: dropped, and served until it is unlinked; the run's lock */
    _Atomic bool is_damaged; /* damaged is worth a look */
    _Atomic bool is_gone;    /* as purged, read without the mutex */
    /* under the cache's mutex */
    bool purged;
    struct damage_ranges *damaged; /* owned: where bad messages lie; NULL: there are none */
    int fd;                        /* owned; -1: closed */
    int direct_fd; /* owned; -1: none: the writer's, for writes around the page cache; open while fd is */
    unsigned holders;
    unsigned references;
    struct list idle;
};
_Static_assert(sizeof(struct store_file) <= 104,
               "of 5,000 messages in 32 files each costs 16 bytes at most");

/* One reference, the caller's. */
struct store_file *data_file_new(struct file_cache *cache, unsigned shard, uint64_t birth);
void data_file_unref(struct store_file *file);

void data_file_name(unsigned shard, uint64_t birth, char name[DATA_FILE_NAME_SIZE]);
bool data_file_parse_name(const char *name, unsigned *shard, uint64_t *birth);

/* Make it on disk, held by the caller (data_file_release()). The directory is not flushed. EXISTS, FULL, IO. */
enum status data_file_make(struct store_file *file, int dir_fd, struct error *err);

/* Hold it, opened where it is not. PURGED; NOT_FOUND: its file is missing; IO. */
enum status data_file_hold(struct store_file *file, int dir_fd, struct error *err);
/* Hold it if it is open. MORE: it has to be opened; PURGED. */
enum status data_file_try_hold(struct store_file *file, struct error *err);
/* Of an own file that is held, by the writer: the descriptor for writes around the page cache; -1: there are none. */
int data_file_direct(struct store_file *file, int dir_fd);
void data_file_release(struct store_file *file); /* and the reference that came with the hold */

/* No new holder from now on; where there are some, the unlinker is told to wait for the descriptor. */
void data_file_purge(struct store_file *file);

void data_file_add_damage(struct store_file *file, uint64_t offset, uint64_t length);

#endif
