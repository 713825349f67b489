/* open_files.c: a small table of open files with four places a path. */
#include "storaged/open_files.h"

#include "storaged/request.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

static void file_free(struct open_file *file)
{
    store_file_release(file->file);
    free(file);
}

static void places_remove(struct open_file **place)
{
    struct open_file *file = *place;

    *place = NULL;
    file->listed = false;
    if (file->users == 0)
        file_free(file);
}

/* A file grows, and its validators with it. */
static void file_look(struct open_files *files, struct open_file *file)
{
    uint64_t size = store_file_size(file->file);
    int64_t modified = store_file_modified(file->file);

    file->looked = ++files->looks;
    file->users++;
    if (size == file->entity.size && modified == file->entity.modified && file->entity.fields != NULL)
        return;
    file->entity = (struct range_entity){
        .content_type = TYPE_GRIB,
        .etag = file->etag,
        .cache_control = "no-cache",
        .modified = modified,
        .size = size,
    };
    snprintf(file->etag, sizeof file->etag, "\"%016" PRIx64 "-%" PRIu64 "\"", file->birth, size);
    file->entity.fields_size = range_print_fields(&file->entity, file->fields);
    file->entity.fields = file->fields;
}

struct open_file *open_files_find(struct open_files *files, struct slice path)
{
    uint64_t hash = XXH3_64bits(path.data, path.size);
    struct open_file **set = files->places[hash % OPEN_FILES_SETS];

    for (unsigned i = 0; i < OPEN_FILES_WAYS; i++) {
        struct open_file *file = set[i];

        if (file == NULL || file->hash != hash || file->path_size != path.size ||
            memcmp(file->path, path.data, path.size) != 0)
            continue;
        if (store_file_is_gone(file->file)) {
            places_remove(&set[i]);
            return NULL;
        }
        file_look(files, file);
        return file;
    }
    return NULL;
}

/* An empty place of the set, or that of the one least lately asked for. */
static struct open_file **set_room(struct open_file **set)
{
    struct open_file **room = &set[0];

    for (unsigned i = 1; i < OPEN_FILES_WAYS && *room != NULL; i++)
        if (set[i] == NULL || set[i]->looked < (*room)->looked)
            room = &set[i];
    return room;
}

struct open_file *open_files_add(struct open_files *files, struct slice path,
                                 struct store_file *store_file, uint64_t birth)
{
    struct open_file *file = calloc(1, sizeof *file + path.size);

    if (file == NULL)
        abort();
    file->file = store_file;
    file->birth = birth;
    file->hash = XXH3_64bits(path.data, path.size);
    file->path_size = path.size;
    memcpy(file->path, path.data, path.size);
    file_look(files, file);
    if (path.size > OPEN_FILES_PATH_MAX)
        return file;
    struct open_file **room = set_room(files->places[file->hash % OPEN_FILES_SETS]);
    if (*room != NULL)
        places_remove(room);
    *room = file;
    file->listed = true;
    return file;
}

void open_files_release(struct open_file *file)
{
    assert(file->users > 0);
    if (--file->users == 0 && !file->listed)
        file_free(file);
}

/* All that are gone, or all. */
static void places_sweep(struct open_files *files, bool all)
{
    for (unsigned i = 0; i < OPEN_FILES_SETS * OPEN_FILES_WAYS; i++) {
        struct open_file **place = &files->places[i / OPEN_FILES_WAYS][i % OPEN_FILES_WAYS];

        if (*place != NULL && (all || store_file_is_gone((*place)->file)))
            places_remove(place);
    }
}

void open_files_sweep(struct open_files *files, struct store *store)
{
    uint64_t gone = store_files_gone(store);

    if (gone == files->gone)
        return;
    files->gone = gone; /* as of before the look: what goes during it is told of again */
    places_sweep(files, false);
}

void open_files_clear(struct open_files *files)
{
    places_sweep(files, true);
}
