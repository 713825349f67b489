/* load_options.c: the command line of httpload. */
#include "load_options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char load_help[] =
    "httpload: HTTP/1.1 load on 127.0.0.1, by one thread, with keep-alive; the result is a line of JSON\n"
    "\n"
    "  httpload get --port P --files LIST --size B [--ranges N] [options]    random ranges of files\n"
    "  httpload put --port P --path PATH --template GRIB [options]           distinct GRIB messages\n"
    "\n"
    "  --files LIST       lines of \"PATH LOCAL-FILE\": what a GET asks for, and the same bytes to compare with\n"
    "  --size B           bytes a range\n"
    "  --ranges N         ranges a request, ascending, at most 100 (default 1)\n"
    "  --path PATH        where a PUT goes; {n} becomes the message's number\n"
    "  --template GRIB    message n is a stamped copy (gribgen --stamp), its values turned by the seed\n"
    "  --bytes-max B      no further PUT after so many bytes of bodies\n"
    "  --connections N    (default 16)\n"
    "  --seconds S        the window that is measured (default 3)\n"
    "  --warmup S         the time before it (default 0.5)\n"
    "  --check-one-in N   compare every byte of one GET in N with the local file (default 256); 1: of each that\n"
    "                     finds none being compared\n"
    "  --pid PID          the server's process: its CPU time in the window is part of the result\n"
    "  --ca-file FILE     speak TLS 1.3 with AES-128-GCM; the server's certificate is checked by those of FILE\n"
    "  --seed S           other ranges, other messages (default 1)\n"
    "\n"
    "Status and Content-Length of every answer are checked. The first answer that is not as it should be ends it.\n"
    "Exit status: 0 measured, 1 failed, 2 usage.\n";

static bool parse_count(const char *name, const char *text, uint64_t least, uint64_t most,
                        uint64_t *out, struct gen_error *err)
{
    char *end;

    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || value < least || value > most)
        return gen_fail(err, "--%s: '%.60s' is not from %llu to %llu", name, text,
                        (unsigned long long)least, (unsigned long long)most);
    *out = value;
    return true;
}

static bool parse_seconds(const char *name, const char *text, double *out, struct gen_error *err)
{
    char *end;

    *out = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(*out) || *out < 0 || *out > 86400)
        return gen_fail(err, "--%s: '%.60s' is no number of seconds up to a day", name, text);
    return true;
}

enum {
    OPTION_PORT = 'a',
    OPTION_SECONDS,
    OPTION_WARMUP,
    OPTION_CONNECTIONS,
    OPTION_CHECK,
    OPTION_PID,
    OPTION_SEED,
    OPTION_FILES,
    OPTION_SIZE,
    OPTION_RANGES,
    OPTION_PATH,
    OPTION_TEMPLATE,
    OPTION_BYTES_MAX,
    OPTION_CA_FILE,
    OPTION_HELP,
};

static const struct option load_long[] = {
    { "port", required_argument, NULL, OPTION_PORT },
    { "seconds", required_argument, NULL, OPTION_SECONDS },
    { "warmup", required_argument, NULL, OPTION_WARMUP },
    { "connections", required_argument, NULL, OPTION_CONNECTIONS },
    { "check-one-in", required_argument, NULL, OPTION_CHECK },
    { "pid", required_argument, NULL, OPTION_PID },
    { "seed", required_argument, NULL, OPTION_SEED },
    { "files", required_argument, NULL, OPTION_FILES },
    { "size", required_argument, NULL, OPTION_SIZE },
    { "ranges", required_argument, NULL, OPTION_RANGES },
    { "path", required_argument, NULL, OPTION_PATH },
    { "template", required_argument, NULL, OPTION_TEMPLATE },
    { "bytes-max", required_argument, NULL, OPTION_BYTES_MAX },
    { "ca-file", required_argument, NULL, OPTION_CA_FILE },
    { "help", no_argument, NULL, OPTION_HELP },
    { 0 },
};

static bool load_option_count(struct load_options *options, int option, const char *name,
                              const char *text, struct gen_error *err)
{
    static const struct {
        int option;
        uint64_t least, most;
    } limits[] = {
        { OPTION_PORT, 1, UINT16_MAX },        { OPTION_CONNECTIONS, 1, LOAD_CONNECTIONS_MAX },
        { OPTION_CHECK, 1, UINT32_MAX },       { OPTION_PID, 1, INT32_MAX },
        { OPTION_SEED, 0, UINT64_MAX },        { OPTION_SIZE, 1, UINT64_C(1) << 40 },
        { OPTION_RANGES, 1, LOAD_RANGES_MAX }, { OPTION_BYTES_MAX, 1, UINT64_MAX },
    };
    uint64_t value = 0;

    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        if (limits[i].option == option &&
            !parse_count(name, text, limits[i].least, limits[i].most, &value, err))
            return false;
    switch (option) {
    case OPTION_PORT:
        options->port = (uint16_t)value;
        break;
    case OPTION_CONNECTIONS:
        options->connections = (unsigned)value;
        break;
    case OPTION_CHECK:
        options->check_one_in = (unsigned)value;
        break;
    case OPTION_PID:
        options->pid = (pid_t)value;
        break;
    case OPTION_SEED:
        options->seed = value;
        break;
    case OPTION_SIZE:
        options->size = value;
        break;
    case OPTION_RANGES:
        options->ranges = (unsigned)value;
        break;
    case OPTION_BYTES_MAX:
        options->bytes_max = value;
        break;
    default:
        return gen_fail(err, "an option that is not there; httpload --help lists them");
    }
    return true;
}

static bool load_option(struct load_options *options, int option, const char *name,
                        const char *text, struct gen_error *err)
{
    switch (option) {
    case OPTION_SECONDS:
        return parse_seconds(name, text, &options->seconds, err);
    case OPTION_WARMUP:
        return parse_seconds(name, text, &options->warmup, err);
    case OPTION_CA_FILE:
        options->ca_file = text;
        return true;
    case OPTION_FILES:
        options->files = text;
        return true;
    case OPTION_PATH:
        options->path = text;
        return true;
    case OPTION_TEMPLATE:
        options->template = text;
        return true;
    default:
        return load_option_count(options, option, name, text, err);
    }
}

static bool load_options_complete(const struct load_options *options, struct gen_error *err)
{
    if (options->port == 0 || options->seconds <= 0)
        return gen_fail(err, "it needs --port, and --seconds above 0");
    if (options->put && (options->path == NULL || options->template == NULL))
        return gen_fail(err, "put needs --path and --template");
    if (!options->put && (options->files == NULL || options->size == 0))
        return gen_fail(err, "get needs --files and --size");
    return true;
}

bool load_options_parse(struct load_options *options, int argc, char **argv, enum load_asked *asked,
                        struct gen_error *err)
{
    int option, index = 0;

    *asked = LOAD_RUN;
    *options = (struct load_options){
        .seconds = 3,
        .warmup = 0.5,
        .connections = 16,
        .check_one_in = 256,
        .seed = 1,
        .ranges = 1,
    };
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", load_long, &index)) != -1) {
        if (option == OPTION_HELP) {
            *asked = LOAD_HELP;
            return true;
        }
        if (option == '?')
            return gen_fail(err, "'%.60s' is no option, or lacks its value", argv[optind - 1]);
        if (!load_option(options, option, load_long[index].name, optarg, err))
            return false;
    }
    if (optind != argc - 1 || (strcmp(argv[optind], "get") != 0 && strcmp(argv[optind], "put") != 0))
        return gen_fail(err, "say get or put; httpload --help tells more");
    options->put = strcmp(argv[optind], "put") == 0;
    return load_options_complete(options, err);
}
