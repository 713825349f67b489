/* real_files.h: where the real GRIB files are: GRIBSTORE_TEST_GRIB, else ../shared/grib beside the project. */
#ifndef TESTS_LIB_REAL_FILES_H
#define TESTS_LIB_REAL_FILES_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* NULL, said on standard output: there are none, and the test is to be skipped. */
static inline const char *real_files_folder(void)
{
    const char *given = getenv("GRIBSTORE_TEST_GRIB");
    const char *folder = given != NULL && *given != '\0' ? given : GRIBSTORE_SOURCE_DIR "/../shared/grib";
    struct stat info;

    if (stat(folder, &info) == 0 && S_ISDIR(info.st_mode))
        return folder;
    printf("no real GRIB files in %s (GRIBSTORE_TEST_GRIB)\n", folder);
    return NULL;
}

#endif
