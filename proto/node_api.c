/* node_api.c: the names of data files and their paths. */
#include "proto/node_api.h"

#include "proto/cluster_map.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

void data_file_name_print(unsigned shard, uint64_t birth, char name[DATA_FILE_NAME_SIZE])
{
    assert(shard < MAP_SHARDS_MAX && birth != 0);
    snprintf(name, DATA_FILE_NAME_SIZE, "%04u-%016" PRIx64 ".grib", shard, birth);
}

bool data_file_name_parse(struct slice name, unsigned *shard, uint64_t *birth)
{
    enum { TAIL_SIZE = 1 + 16 + 5 }; /* "-6f3a92c1d0e4b7a5.grib" */
    char again[DATA_FILE_NAME_SIZE];
    uint8_t id[8];
    uint64_t number;

    if (name.size < 4 + TAIL_SIZE || name.size > 5 + TAIL_SIZE)
        return false;
    size_t digits = name.size - TAIL_SIZE;
    const char *text = (const char *)name.data;
    if (decimal_parse(text, digits, MAP_SHARDS_MAX - 1, &number) != 0 || text[digits] != '-' ||
        hex_parse(text + digits + 1, 16, id, sizeof id) != 0 || get_u64(id) == 0)
        return false;
    *shard = (unsigned)number;
    *birth = get_u64(id);
    /* One name a file: what is not as we print it ("00017-...", another ending) is not ours. */
    data_file_name_print(*shard, *birth, again);
    return slice_equals(name, again);
}

void data_path_print(const struct run_key *run, unsigned shard, uint64_t birth, char path[DATA_PATH_SIZE])
{
    char text[RUN_TEXT_SIZE];
    char name[DATA_FILE_NAME_SIZE];

    run_key_print(run, text);
    data_file_name_print(shard, birth, name);
    snprintf(path, DATA_PATH_SIZE, "/data/%s/%s", text, name);
}
