/* config.c: reads settings as a table of options says, from the defaults, the file, the environment
 * and the flags.
 *
 * Each source is applied in that order and overwrites what the one before it said; within one,
 * the items of a list add up. The flags are looked at twice: first for --config, --help and
 * their own mistakes, last for their values. */
#include "proto/base/config.h"

#include "proto/base/config_value.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    CONFIG_OPTIONS_MAX = 128,
    CONFIG_LINE_MAX = 4096, /* bytes of a file's line, its end and the terminator included */
    CONFIG_NAME_MAX = 64,
    CONFIG_PLACE_SIZE = 384,
};

/* What getopt_long() returns for a long flag: above every letter. */
enum {
    CONFIG_GOT_HELP = 'h',
    CONFIG_GOT_VERSION = 256,
    CONFIG_GOT_MAN,
    CONFIG_GOT_OPTION = 0x1000, /* + index in the table */
    CONFIG_GOT_NO = 0x2000,     /* + index: --no-NAME */
};

struct config_loader {
    const struct config_program *program;
    void *settings;
    struct error *err;
    unsigned count;
    unsigned seen[CONFIG_OPTIONS_MAX]; /* by the source being applied: 0, or a line of the file */
    char place[CONFIG_PLACE_SIZE];     /* what errors begin with: "--listen", "node.conf:12" */
    /* the file */
    FILE *file;
    const char *path;
    unsigned line;
    enum status status; /* the first mistake in it */
    /* the flags: one letter has an optional colon; a bool has a second, --no-NAME */
    char letters[2 * CONFIG_OPTIONS_MAX + 3];
    char no_names[CONFIG_OPTIONS_MAX][CONFIG_NAME_MAX];
    struct option flags[2 * CONFIG_OPTIONS_MAX + 3];
};

/* --- values --- */

static void *config_member(void *settings, const struct config_option *option)
{
    return (char *)settings + option->offset;
}

/* One line of a settings file must be able to say it. */
static bool config_is_one_line(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

/* Takes over a copy of value; added behind the present one when append says so. */
static enum status config_store_text(struct config_loader *loader, char **member, const char *value,
                                     bool append)
{
    char *text = NULL;

    if (!config_is_one_line(value))
        return error_set(loader->err, STATUS_BAD_VALUE, "%s: holds a control character", loader->place);
    if (append && *member != NULL && (*member)[0] != '\0') {
        size_t size = strlen(*member) + 1 + strlen(value) + 1;

        text = malloc(size);
        if (text != NULL)
            snprintf(text, size, "%s,%s", *member, value);
    } else {
        text = strdup(value);
    }
    if (text == NULL)
        return error_set(loader->err, STATUS_NO_MEMORY, "%s: memory ran out", loader->place);
    free(*member);
    *member = text;
    return STATUS_OK;
}

static enum status config_store_number(struct config_loader *loader,
                                       const struct config_option *option, const char *value)
{
    void *member = config_member(loader->settings, option);
    const char *right = NULL;

    if (option->type == CONFIG_BOOL && config_parse_bool(value, member) != 0)
        right = "yes or no";
    if (option->type == CONFIG_COUNT && decimal_parse(value, strlen(value), UINT64_MAX, member) != 0)
        right = "a plain number";
    if (option->type == CONFIG_SIZE && config_parse_size(value, member) != 0)
        right = "a size: 4096, 64KiB, 16MiB, 5GiB, 1TiB";
    if (option->type == CONFIG_DURATION && config_parse_duration(value, member) != 0)
        right = "a duration: 500ms, 10s, 15min, 12h, 400d";
    if (right == NULL)
        return STATUS_OK;
    return error_set(loader->err, STATUS_BAD_VALUE, "%s: '%s' is not right here; give %s",
                     loader->place, value, right);
}

/* loader->place says where value stands. */
static enum status config_apply(struct config_loader *loader, unsigned index, const char *value)
{
    const struct config_option *option = &loader->program->options[index];
    bool again = loader->seen[index] != 0;

    loader->seen[index] = loader->line;
    if (config_is_text(option))
        return config_store_text(loader, config_member(loader->settings, option), value,
                                 option->type == CONFIG_LIST && again);
    return config_store_number(loader, option, value);
}

/* --- names --- */

/* "PLACE: no such WHAT 'NAME'; did you mean 'NEAREST'?" */
static enum status config_unknown(struct config_loader *loader, const char *what, const char *name,
                                  const char *const *names)
{
    const char *nearest = config_nearest(name, names);

    if (nearest == NULL)
        return error_set(loader->err, STATUS_UNKNOWN_KEY, "%s: no such %s '%s'", loader->place,
                         what, name);
    return error_set(loader->err, STATUS_UNKNOWN_KEY, "%s: no such %s '%s'; did you mean '%s'?",
                     loader->place, what, name, nearest);
}

static bool config_in_section(const struct config_option *option, const char *section)
{
    return option->section != NULL && strcmp(option->section, section) == 0;
}

static enum status config_unknown_key(struct config_loader *loader, const char *section, const char *name)
{
    const char *keys[CONFIG_OPTIONS_MAX + 1];
    const char *sections[CONFIG_OPTIONS_MAX + 1];
    unsigned keys_count = 0, sections_count = 0;

    for (unsigned i = 0; i < loader->count; i++) {
        const struct config_option *option = &loader->program->options[i];

        if (config_in_section(option, section))
            keys[keys_count++] = option->name;
        else if (option->section != NULL)
            sections[sections_count++] = option->section;
    }
    keys[keys_count] = sections[sections_count] = NULL;
    if (keys_count > 0)
        return config_unknown(loader, "key", name, keys);
    if (section[0] == '\0')
        return error_set(loader->err, STATUS_UNKNOWN_KEY, "%s: '%s' stands before any [section]",
                         loader->place, name);
    return config_unknown(loader, "section", section, sections);
}

/* --- the file --- */

static int config_on_pair(void *user, const char *section, const char *name, const char *value)
{
    struct config_loader *loader = user;

    if (loader->status != STATUS_OK)
        return 0; /* inih reads on to the end of the file; the first mistake is the one to tell */
    for (unsigned i = 0; i < loader->count; i++) {
        const struct config_option *option = &loader->program->options[i];

        if (!config_in_section(option, section) || strcmp(option->name, name) != 0)
            continue;
        snprintf(loader->place, sizeof loader->place, "%s:%u: [%s] %s", loader->path, loader->line,
                 section, name);
        if (loader->seen[i] != 0 && option->type != CONFIG_LIST)
            loader->status = error_set(loader->err, STATUS_BAD_VALUE, "%s: given on line %u already",
                                       loader->place, loader->seen[i]);
        else
            loader->status = config_apply(loader, i, value);
        return loader->status == STATUS_OK;
    }
    loader->status = config_unknown_key(loader, section, name);
    return 0;
}

/* inih's fgets(). inih would take a line longer than its buffer for two; and Debian builds it
 * without line numbers. */
static char *config_read_line(char *text, int size, void *user)
{
    struct config_loader *loader = user;

    if (loader->status != STATUS_OK || fgets(text, size, loader->file) == NULL)
        return NULL;
    loader->line++;
    snprintf(loader->place, sizeof loader->place, "%s:%u", loader->path, loader->line);
    size_t length = strlen(text);
    if (length == 0 || (text[length - 1] != '\n' && !feof(loader->file))) {
        loader->status = error_set(loader->err, STATUS_BAD_VALUE,
                                   "%s: the line is longer than %d bytes or holds a zero byte",
                                   loader->place, size - 2);
        return NULL;
    }
    return text;
}

/* What inih could not read ("[section", "no equals sign") may stand above what a reader of ours
 * refused. */
static enum status config_parse_file(struct config_loader *loader)
{
    ini_max_line = CONFIG_LINE_MAX;
    ini_allow_multiline = false; /* an indented key is a key, not more of the value above it */
    int bad_line = ini_parse_stream(config_read_line, loader, config_on_pair, loader);

    if (ferror(loader->file))
        return error_set_errno(loader->err, errno, "%s", loader->path);
    if (bad_line > 0 && (loader->status == STATUS_OK || (unsigned)bad_line < loader->line))
        loader->status = error_set(loader->err, STATUS_BAD_VALUE,
                                   "%s:%d: neither [section] nor key = value", loader->path, bad_line);
    return loader->status;
}

static enum status config_load_file(struct config_loader *loader, const char *path)
{
    loader->path = path;
    loader->line = 0;
    loader->status = STATUS_OK;
    memset(loader->seen, 0, sizeof loader->seen);
    loader->file = fopen(path, "re");
    if (loader->file == NULL)
        return error_set_errno(loader->err, errno, "%s", path);
    enum status status = config_parse_file(loader);
    fclose(loader->file);
    return status;
}

/* --- the defaults, the environment --- */

static enum status config_load_defaults(struct config_loader *loader)
{
    for (unsigned i = 0; i < loader->count; i++) {
        const struct config_option *option = &loader->program->options[i];

        if (option->missing == NULL)
            continue;
        snprintf(loader->place, sizeof loader->place, "default of %s", option->name);
        enum status status = config_apply(loader, i, option->missing);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status config_load_environment(struct config_loader *loader)
{
    memset(loader->seen, 0, sizeof loader->seen);
    for (unsigned i = 0; i < loader->count; i++) {
        const struct config_option *option = &loader->program->options[i];
        const char *value = option->env != NULL ? getenv(option->env) : NULL;

        if (value == NULL || value[0] == '\0')
            continue;
        snprintf(loader->place, sizeof loader->place, "environment variable %s", option->env);
        enum status status = config_apply(loader, i, value);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* --- the flags --- */

/* Fills getopt_long()'s tables from ours. */
static void config_prepare_flags(struct config_loader *loader)
{
    struct option *flag = loader->flags;
    char *letter = loader->letters;
    bool own_h = false;

    *letter++ = ':'; /* a missing value is ':' then, not '?' */
    for (unsigned i = 0; i < loader->count; i++) {
        const struct config_option *option = &loader->program->options[i];
        bool is_bool = option->type == CONFIG_BOOL;

        *flag++ = (struct option){ option->name, is_bool ? optional_argument : required_argument,
                                   NULL, CONFIG_GOT_OPTION + (int)i };
        if (config_is_on_by_default(option)) {
            snprintf(loader->no_names[i], CONFIG_NAME_MAX, "no-%s", option->name);
            *flag++ = (struct option){ loader->no_names[i], no_argument, NULL, CONFIG_GOT_NO + (int)i };
        }
        if (option->letter == 0)
            continue;
        own_h = own_h || option->letter == 'h';
        *letter++ = option->letter;
        if (!is_bool)
            *letter++ = ':';
    }
    if (!own_h)
        *letter++ = 'h';
    *letter = '\0';
    *flag++ = (struct option){ "help", no_argument, NULL, CONFIG_GOT_HELP };
    *flag++ = (struct option){ "man", no_argument, NULL, CONFIG_GOT_MAN };
    *flag++ = (struct option){ "version", no_argument, NULL, CONFIG_GOT_VERSION };
    *flag = (struct option){ 0 };
}

/* Which option a result of getopt_long() means, and its value; false for --help, --version and
 * mistakes. */
static bool config_flag_value(struct config_loader *loader, int got, unsigned *index, const char **value)
{
    if (got >= CONFIG_GOT_NO) {
        *index = (unsigned)(got - CONFIG_GOT_NO);
        *value = "no";
        snprintf(loader->place, sizeof loader->place, "--no-%s", loader->program->options[*index].name);
        return true;
    }
    if (got >= CONFIG_GOT_OPTION) {
        *index = (unsigned)(got - CONFIG_GOT_OPTION);
        *value = optarg != NULL ? optarg : "yes";
        snprintf(loader->place, sizeof loader->place, "--%s", loader->program->options[*index].name);
        return true;
    }
    for (unsigned i = 0; i < loader->count; i++) {
        if (got == 0 || loader->program->options[i].letter != got)
            continue;
        *index = i;
        *value = optarg != NULL ? optarg : "yes";
        snprintf(loader->place, sizeof loader->place, "-%c", got);
        return true;
    }
    return false;
}

/* The name after "--", up to a '='. */
static void config_flag_name(const char *argument, char name[CONFIG_NAME_MAX + 1])
{
    size_t size = strcspn(argument + 2, "=");

    if (size > CONFIG_NAME_MAX)
        size = CONFIG_NAME_MAX;
    memcpy(name, argument + 2, size);
    name[size] = '\0';
}

/* Is it the beginning of several names? getopt_long() reports that as unknown. */
static bool config_is_ambiguous(const struct config_loader *loader, const char *name)
{
    unsigned count = 0;

    for (const struct option *flag = loader->flags; flag->name != NULL; flag++)
        count += strncmp(flag->name, name, strlen(name)) == 0;
    return count > 1 && name[0] != '\0';
}

static enum status config_unknown_flag(struct config_loader *loader, const char *argument)
{
    const char *names[2 * CONFIG_OPTIONS_MAX + 3];
    char name[CONFIG_NAME_MAX + 1];
    unsigned count = 0;

    snprintf(loader->place, sizeof loader->place, "%s", loader->program->name);
    if (optopt != 0)
        return error_set(loader->err, STATUS_UNKNOWN_KEY, "%s: no such flag '-%c'", loader->place, optopt);
    config_flag_name(argument, name);
    if (config_is_ambiguous(loader, name))
        return error_set(loader->err, STATUS_UNKNOWN_KEY, "%s: '--%s' may mean several flags",
                         loader->place, name);
    for (const struct option *flag = loader->flags; flag->name != NULL; flag++)
        names[count++] = flag->name;
    names[count] = NULL;
    return config_unknown(loader, "flag", name, names);
}

/* What getopt_long() means by ':' and '?': optopt is the flag's value, its letter, or 0 for an
 * unknown name. */
static enum status config_bad_flag(struct config_loader *loader, int got, const char *argument)
{
    if (got == ':')
        return error_set(loader->err, STATUS_BAD_VALUE, "%s: '%s' needs a value",
                         loader->program->name, argument);
    if (optopt >= CONFIG_GOT_VERSION || (optopt == CONFIG_GOT_HELP && argument[1] == '-'))
        return error_set(loader->err, STATUS_BAD_VALUE, "%s: '%s' takes no value",
                         loader->program->name, argument);
    return config_unknown_flag(loader, argument);
}

/* getopt_long() keeps its place in globals: 0 starts it anew. */
static int config_next_flag(struct config_loader *loader, int argc, char **argv)
{
    return getopt_long(argc, argv, loader->letters, loader->flags, NULL);
}

static enum status config_check_flags(struct config_loader *loader, int argc, char **argv,
                                      const char **path, enum config_asked *asked)
{
    optind = opterr = 0;
    for (int got; (got = config_next_flag(loader, argc, argv)) != -1;) {
        const char *value;
        unsigned index;

        if (got == ':' || got == '?')
            return config_bad_flag(loader, got, argv[optind - 1]);
        if (config_flag_value(loader, got, &index, &value)) {
            if (strcmp(loader->program->options[index].name, "config") == 0)
                *path = value;
        } else if (*asked == CONFIG_RUN) {
            *asked = got == CONFIG_GOT_HELP  ? CONFIG_HELP
                     : got == CONFIG_GOT_MAN ? CONFIG_MAN
                                             : CONFIG_VERSION;
        }
    }
    return STATUS_OK;
}

static enum status config_load_flags(struct config_loader *loader, int argc, char **argv)
{
    loader->line = 1; /* so that seen[] tells the second time from the first */
    memset(loader->seen, 0, sizeof loader->seen);
    optind = opterr = 0;
    for (int got; (got = config_next_flag(loader, argc, argv)) != -1;) {
        const char *value;
        unsigned index;

        if (!config_flag_value(loader, got, &index, &value))
            continue;
        enum status status = config_apply(loader, index, value);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* --- all together --- */

static unsigned config_count(const struct config_program *program)
{
    unsigned count = 0;

    while (program->options[count].name != NULL) {
        assert(strlen(program->options[count].name) < CONFIG_NAME_MAX - 3); /* "no-" has room */
        count++;
    }
    assert(count <= CONFIG_OPTIONS_MAX);
    return count;
}

/* The environment's, when no flag named one. */
static const char *config_path_from_environment(const struct config_program *program)
{
    for (const struct config_option *option = program->options; option->name != NULL; option++)
        if (strcmp(option->name, "config") == 0 && option->env != NULL)
            return getenv(option->env);
    return NULL;
}

static enum status config_load_all(struct config_loader *loader, int argc, char **argv,
                                   enum config_asked *asked)
{
    const char *path = config_path_from_environment(loader->program);
    enum status status = config_check_flags(loader, argc, argv, &path, asked);

    if (status != STATUS_OK || *asked != CONFIG_RUN)
        return status;
    status = config_load_defaults(loader);
    if (status == STATUS_OK && path != NULL && path[0] != '\0')
        status = config_load_file(loader, path);
    if (status == STATUS_OK)
        status = config_load_environment(loader);
    if (status == STATUS_OK)
        status = config_load_flags(loader, argc, argv);
    return status;
}

enum status config_load(const struct config_program *program, int argc, char **argv, void *settings,
                        int *rest_index, enum config_asked *asked, struct error *err)
{
    struct config_loader *loader = calloc(1, sizeof *loader);

    *asked = CONFIG_RUN;
    *rest_index = argc;
    if (loader == NULL)
        return error_set(err, STATUS_NO_MEMORY, "%s: memory ran out", program->name);
    loader->program = program;
    loader->settings = settings;
    loader->err = err;
    loader->count = config_count(program);
    config_prepare_flags(loader);
    enum status status = config_load_all(loader, argc, argv, asked);
    if (status == STATUS_OK)
        *rest_index = optind;
    else
        config_free(program, settings);
    free(loader);
    return status;
}

void config_free(const struct config_program *program, void *settings)
{
    for (const struct config_option *option = program->options; option->name != NULL; option++) {
        if (!config_is_text(option))
            continue;
        char **member = config_member(settings, option);
        free(*member);
        *member = NULL;
    }
}
