/* cmd_query.h: what `query` and `get` are asked alike: options, a request from a file, what was expected. */
#ifndef CLIENT_CLI_CMD_QUERY_H
#define CLIENT_CLI_CMD_QUERY_H

#include "client/cli/output.h"

struct ask_settings {
    char *file, *sort, *colo, *as_of, *expect;
    uint64_t limit;
    bool all;
};

/* clang-format off */
#define ASK_OPTIONS(settings)                                                                                              \
    { NULL, "file", 'f', CONFIG_TEXT, offsetof(settings, ask.file), NULL, NULL, "FILE",                                   \
      "MARS requests (retrieve, param=t, step=24), or JSON, from a file; -: standard input. Keys apply to each." },       \
    { NULL, "limit", 'l', CONFIG_COUNT, offsetof(settings, ask.limit), "0", NULL, "N", "At most so many fields; 0: all." }, \
    { NULL, "all", 0, CONFIG_BOOL, offsetof(settings, ask.all), NULL, NULL, NULL, "Older issues of a field too." },       \
    { NULL, "as-of", 0, CONFIG_TEXT, offsetof(settings, ask.as_of), NULL, NULL, "TIME",                                   \
      "Each field as it was then, 2013-04-08T06:30:00Z." },                                                               \
    { NULL, "sort", 0, CONFIG_TEXT, offsetof(settings, ask.sort), NULL, NULL, "KEY,...",                                  \
      "The order, as in step,-levelist: source, base_time, valid_time, step, param, paramId, levelist, level, number, "   \
      "length, stored_at." },                                                                                             \
    { NULL, "colo", 0, CONFIG_TEXT, offsetof(settings, ask.colo), NULL, "GRIBSTORE_COLO", "NAME",                         \
      "Places in this colo first." },                                                                                     \
    { NULL, "expect", 0, CONFIG_TEXT, offsetof(settings, ask.expect), NULL, NULL, "any|N|all",                            \
      "N: exactly so many fields; all: every one that the lists name; any: none is fine too. Otherwise exit code 4." }
/* clang-format on */

/* The library's options; `request` is the file's text, owned by the caller (free). Exit code; what is wrong was said. */
int ask_options(const struct cli *cli, const struct ask_settings *settings,
                struct gs_query_options *options, char **request);

/* Whether what was found is what was expected; says what is missing where it is not, or where nothing was found. Exit code. */
int ask_judge(struct cli *cli, const struct ask_settings *settings, char **arguments, size_t count,
              const struct gs_query_options *options, uint64_t found, bool none_is_fine);

/* "any", "all" or a number. Pure. */
bool expect_parse(const char *text, bool *any, bool *all, uint64_t *count);

#endif
