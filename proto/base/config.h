/* config.h: one table of options serves the file, the flags, --help, --check-config and the man page.
 *
 * Precedence: flags, then GRIBSTORE_* environment (where the option has one), then the file, then the default.
 * A file is ini (inih): section = option.section, name = option.name. An unknown section or key is an error that names
 * the file, the line and the nearest known key. */
#ifndef PROTO_BASE_CONFIG_H
#define PROTO_BASE_CONFIG_H

#include "proto/base/buf.h"
#include "proto/base/status.h"

#include <stdbool.h>
#include <stddef.h>

enum config_type {
    CONFIG_TEXT,     /* char *, owned by the settings struct */
    CONFIG_LIST,     /* char *: comma-separated in a file; in flags the option may be given several times (joined by commas) */
    CONFIG_BOOL,     /* bool: yes/no/true/false/1/0; as a flag without value: true */
    CONFIG_COUNT,    /* uint64_t: plain number */
    CONFIG_SIZE,     /* uint64_t bytes: 4096, 64KiB, 16MiB, 5GiB, 1TiB (also K M G T) */
    CONFIG_DURATION, /* uint64_t milliseconds: 500ms, 10s, 15min, 12h, 400d; a bare number is seconds */
};

struct config_option {
    const char *section;  /* of the file: "node", "http", ...; NULL: a flag only */
    const char *name;     /* "listen": --listen and, in the file, listen = */
    char letter;          /* short flag or 0 */
    enum config_type type;
    size_t offset;        /* of the member in the settings struct */
    const char *missing;  /* the default, as text; NULL: none (text stays NULL, numbers 0) */
    const char *env;      /* environment variable or NULL */
    const char *value;    /* what --help calls the value: "HOST:PORT"; NULL for CONFIG_BOOL */
    const char *doc;      /* one or two sentences */
};

struct config_program {
    const char *name;     /* "storaged" */
    const char *synopsis; /* "storaged --data DIR [options]" */
    const char *about;    /* a paragraph or several, printed above the options */
    const char *epilog;   /* examples, exit codes; may be NULL */
    const struct config_option *options; /* ended by .name == NULL */
};

/* Reads defaults, file (when an option named "config" was given), environment and flags into settings, which the
 * caller has zeroed. Left-over arguments: *rest_index (index into argv). --help and --version are handled by the
 * caller through the results HELP and VERSION in *asked. BAD_VALUE or UNKNOWN_KEY name flag or file:line, what is
 * wrong and what would be right. */
enum config_asked { CONFIG_RUN, CONFIG_HELP, CONFIG_VERSION };
enum status config_load(const struct config_program *program, int argc, char **argv, void *settings,
                        int *rest_index, enum config_asked *asked, struct error *err);
void config_free(const struct config_program *program, void *settings); /* the text members */

void config_print_help(const struct config_program *program, struct buf *buf);
void config_print_man(const struct config_program *program, struct buf *buf);      /* roff, man(7) */
void config_print_settings(const struct config_program *program, const void *settings, struct buf *buf); /* as a file */

/* The pieces, for others that read such values. -1 when malformed or out of range. */
int config_parse_size(const char *text, uint64_t *size);
int config_parse_duration(const char *text, uint64_t *ms);

/* The name in names (ended by NULL) nearest to text (edit distance at most 2, or a third of its length); NULL if none. */
const char *config_nearest(const char *text, const char *const *names);

#endif
