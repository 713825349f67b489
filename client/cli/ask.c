/* ask.c: what `query` and `get` are asked alike. */
#include "client/cli/cmd_query.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ASK_FILE_MAX = 1 << 20 };

bool expect_parse(const char *text, bool *any, bool *all, uint64_t *count)
{
    *count = 0;
    *any = strcmp(text, "any") == 0;
    *all = strcmp(text, "all") == 0;
    return *any || *all || decimal_parse(text, strlen(text), UINT32_MAX, count) == 0;
}

/* ---- the request ---- */

static int ask_read(const struct cli *cli, const char *path, char **request)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    size_t size = 0;

    *request = file != NULL ? malloc(ASK_FILE_MAX + 1) : NULL;
    if (*request != NULL)
        size = fread(*request, 1, ASK_FILE_MAX + 1, file);
    int failed = file == NULL || *request == NULL || ferror(file) != 0 ? errno : 0;
    bool read = file != NULL && *request != NULL && ferror(file) == 0;
    if (file != NULL && file != stdin)
        fclose(file);
    if (!read)
        return cli_usage(cli, "%s: %s", path, strerror(failed));
    if (size > ASK_FILE_MAX)
        return cli_usage(cli, "%s: a request is at most 1 MiB", path);
    if (size == 0 || memchr(*request, '\0', size) != NULL)
        return cli_usage(cli, "%s: is no request", path);
    (*request)[size] = '\0';
    return GS_OK;
}

int ask_options(const struct cli *cli, const struct ask_settings *settings,
                struct gs_query_options *options, char **request)
{
    uint64_t expected;
    bool any, all;

    *request = NULL;
    *options = (struct gs_query_options){
        .limit = settings->limit,
        .all = settings->all,
        .as_of = settings->as_of,
        .sort = settings->sort,
        .colo = settings->colo,
    };
    if (settings->expect != NULL && !expect_parse(settings->expect, &any, &all, &expected))
        return cli_usage(cli, "--expect takes any, all or a number");
    if (settings->file == NULL)
        return GS_OK;
    int code = ask_read(cli, settings->file, request);
    options->request = *request;
    return code;
}

/* ---- what was asked for and is not there ---- */

struct gaps_talk {
    struct cli *cli;
    uint64_t missing;
};

static void gaps_on_missing(void *user, const char *request)
{
    struct gaps_talk *talk = user;

    talk->missing++;
    cli_say(talk->cli, "missing: %s", request);
}

static void gaps_on_hint(void *user, const char *key, const char *value, const char *nearest)
{
    struct gaps_talk *talk = user;

    cli_say(talk->cli, "no %s is %s; did you mean %s?", key, value, nearest);
}

static void gaps_on_gone(void *user, const char *source, const char *base_time, const char *state)
{
    struct gaps_talk *talk = user;

    cli_say(talk->cli, "the run %s %s is %s", source, base_time, state);
}

static int gaps_ask(struct cli *cli, char **arguments, size_t count,
                    const struct gs_query_options *options, uint64_t *missing)
{
    struct gaps_talk talk = { .cli = cli };
    struct gs_query_gaps gaps = { gaps_on_missing, gaps_on_hint, gaps_on_gone, &talk };
    struct gs_error error;
    uint64_t fields;

    if (gs_query_gaps(cli->session, (const char *const *)arguments, count, options, &fields, &gaps,
                      &error) != GS_OK)
        return cli_fail(cli, &error);
    *missing = talk.missing;
    return GS_OK;
}

int ask_judge(struct cli *cli, const struct ask_settings *settings, char **arguments, size_t count,
              const struct gs_query_options *options, uint64_t found, bool none_is_fine)
{
    bool any = settings->expect == NULL && none_is_fine, all = false;
    uint64_t expected = 0, missing = 0;
    struct error err;

    if (settings->expect != NULL)
        expect_parse(settings->expect, &any, &all, &expected);
    bool number = settings->expect != NULL && !any && !all;
    if (number ? found == expected : found > 0 && !all)
        return GS_OK;
    int code = gaps_ask(cli, arguments, count, options, &missing);
    if (code != GS_OK || any)
        return code;
    if (number)
        error_set(&err, STATUS_NOT_FOUND, "%" PRIu64 " fields were found, %" PRIu64 " expected",
                  found, expected);
    else if (found == 0)
        error_set(&err, STATUS_NOT_FOUND, "no field has these keys (--expect any, if that is fine)");
    else if (missing > 0)
        error_set(&err, STATUS_NOT_FOUND,
                  "%" PRIu64 " fields were found, but not all that were asked for", found);
    else
        return GS_OK;
    return cli_fail_status(cli, STATUS_NOT_FOUND, &err);
}
