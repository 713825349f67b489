/* fuzz_dir.h: a directory for targets that read files, in memory where that can be had; removed when the process ends. */
#ifndef TESTS_FUZZ_FUZZ_DIR_H
#define TESTS_FUZZ_FUZZ_DIR_H

#include "tests/fuzz/fuzz.h"

enum { FUZZ_PATH_SIZE = 256 };

/* Made at the first call. */
const char *fuzz_dir(void);

/* A file below it, made anew with just these bytes. */
void fuzz_file(const char *name, const void *data, size_t size);

/* Everything below it goes; the directory stays. */
void fuzz_dir_clear(void);

#endif
