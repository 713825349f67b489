/* replay.c: give a fuzz target every input of its corpus once, without libFuzzer.
 *
 * Usage: fuzz_X [DIRECTORY | FILE]... A directory that is not there holds no inputs. The empty input always comes first. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv); /* NULL: the target has none */

enum { REPLAY_PATH_SIZE = 4096 };

static int replay_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size + !size); /* exactly as large as the input: ASan sees the first byte too far */
    int rc = -1;

    if (file != NULL && data != NULL && fread(data, 1, size, file) == size) {
        LLVMFuzzerTestOneInput(data, size);
        rc = 0;
    } else {
        perror(path);
    }
    if (file != NULL)
        fclose(file);
    free(data);
    return rc;
}

static int replay_path(const char *path, size_t *count)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return 0;
    if (S_ISREG(info.st_mode)) {
        (*count)++;
        return replay_file(path, (size_t)info.st_size);
    }

    DIR *dir = opendir(path);
    int rc = 0;
    if (dir == NULL) {
        perror(path);
        return -1;
    }
    for (struct dirent *entry; rc == 0 && (entry = readdir(dir)) != NULL;) {
        char name[REPLAY_PATH_SIZE];
        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(name, sizeof name, "%s/%s", path, entry->d_name) >= (int)sizeof name)
            rc = -1;
        else
            rc = replay_path(name, count);
    }
    closedir(dir);
    return rc;
}

int main(int argc, char **argv)
{
    size_t count = 0;

    if (LLVMFuzzerInitialize != NULL)
        LLVMFuzzerInitialize(&argc, &argv);
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        if (replay_path(argv[i], &count) != 0)
            return 1;
    }
    printf("%zu inputs replayed\n", count);
    return 0;
}
