/* config.h: one table of options serves the file, the flags, --help, --check-config and the man
 * page.
 *
 * Precedence: flags, then GRIBSTORE_* environment (where the option has one), then the file,
 * then the default. A file is ini (inih): section = option.section, name = option.name; '#' or
 * ';' begins a comment line, and " ;" one behind a value. An unknown section or key, or one
 * given twice, is an error that names the file, the line and the nearest known key. Flags:
 * --name=VALUE, --name VALUE, -l VALUE; a bool is --name, --name=no, and --no-name where its
 * default is yes. Not thread-safe (getopt): for main(). */
#ifndef PROTO_BASE_CONFIG_H
#define PROTO_BASE_CONFIG_H

#include "proto/base/buf.h"
#include "proto/base/status.h"

#include <stdbool.h>
#include <stddef.h>

enum config_type {
    CONFIG_TEXT,  /* char *, owned by the settings struct */
    CONFIG_LIST,  /* char *: comma-separated; given several times in a file or in flags: joined */
    CONFIG_BOOL,  /* bool: yes/no/true/false/1/0; as a flag without value: true */
    CONFIG_COUNT, /* uint64_t: plain number */
    CONFIG_SIZE,  /* uint64_t bytes: 4096, 64KiB, 16MiB, 5GiB, 1TiB (also K M G T) */
    CONFIG_DURATION, /* uint64_t ms: 500ms, 10s, 15min, 12h, 400d; a bare number: seconds */
};

struct config_option {
    const char *section; /* of the file: "node", "http", ...; NULL: a flag only */
    const char *name;    /* "listen": --listen and, in the file, listen = */
    char letter;         /* short flag or 0 */
    enum config_type type;
    size_t offset;       /* of the member in the settings struct */
    const char *missing; /* the default, as text; NULL: none (text stays NULL, numbers 0) */
    const char *env;     /* environment variable or NULL */
    const char *value;   /* what --help calls the value: "HOST:PORT"; NULL for CONFIG_BOOL */
    const char *doc;     /* one or two sentences */
};

struct config_program {
    const char *name;                    /* "storaged" */
    const char *synopsis;                /* "storaged --data DIR [options]" */
    const char *about;                   /* a paragraph or several, printed above the options */
    const char *epilog;                  /* examples, exit codes; may be NULL */
    const struct config_option *options; /* ended by .name == NULL */
};

/* Reads defaults, file (when an option named "config" was given), environment and flags into
 * settings, which the caller has zeroed. Left-over arguments: *rest_index (index into argv,
 * which is reordered). --help, --man and --version are handled by the caller through the results HELP,
 * MAN and VERSION in *asked; nothing else is read then. BAD_VALUE or UNKNOWN_KEY name flag or
 * file:line, what is wrong and what would be right; NOT_FOUND, IO: the file can't be read. After
 * an error settings hold nothing to free. */
enum config_asked { CONFIG_RUN, CONFIG_HELP, CONFIG_MAN, CONFIG_VERSION };
enum status config_load(const struct config_program *program, int argc, char **argv, void *settings,
                        int *rest_index, enum config_asked *asked, struct error *err);
void config_free(const struct config_program *program, void *settings); /* the text members */

void config_print_help(const struct config_program *program, struct buf *buf);
void config_print_man(const struct config_program *program, struct buf *buf); /* roff, man(7) */

/* As a file that config_load() reads back; options of no section are left out. */
void config_print_settings(const struct config_program *program, const void *settings, struct buf *buf);

/* The pieces, for others that read such values. -1 when malformed or out of range. */
int config_parse_size(const char *text, uint64_t *size);
int config_parse_duration(const char *text, uint64_t *ms);

/* The name in names (ended by NULL) nearest to text: an edit distance of at most 2, or of a
 * third of text's length if that is more, and less than all of it. NULL if none. */
const char *config_nearest(const char *text, const char *const *names);

#endif
