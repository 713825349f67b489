/* input.c: names of files as inputs. */
#include "client/cli/input.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct gs_input *inputs_of(char **names, size_t count)
{
    struct gs_input *inputs = calloc(count + 1, sizeof *inputs);

    for (size_t i = 0; inputs != NULL && i < count; i++) {
        bool standard = strcmp(names[i], "-") == 0;

        inputs[i].name = standard ? "standard input" : names[i];
        inputs[i].fd = standard ? STDIN_FILENO : -1;
    }
    return inputs;
}

void inputs_free(struct gs_input *inputs)
{
    free(inputs);
}
