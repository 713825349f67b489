/* config_print.c: the table of options as --help, as a manual page and as a file of settings. */
#include "proto/base/config.h"

#include "proto/base/config_value.h"

#include <inttypes.h>

enum {
    CONFIG_HELP_WIDTH = 80,
    CONFIG_HELP_INDENT = 28,
};

/* --- --help --- */

/* Text in lines of at most CONFIG_HELP_WIDTH, each but the first indented; column is where the
 * first one begins. */
static void config_wrap(struct buf *buf, const char *text, size_t indent, size_t column)
{
    while (*text != '\0') {
        size_t word = strcspn(text, " \n");

        if (column > indent && column + 1 + word > CONFIG_HELP_WIDTH) {
            buf_format(buf, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            buf_text(buf, " ");
            column++;
        }
        buf_append(buf, text, word);
        column += word;
        text += word;
        text += strspn(text, " \n");
    }
}

static const char *config_value_word(const struct config_option *option)
{
    return option->value != NULL ? option->value : "VALUE";
}

/* "Where the data lies. (default: /var/lib; GRIBSTORE_DATA)" in the column of descriptions. */
static void config_help_doc(struct buf *buf, const struct config_option *option)
{
    struct buf text;

    buf_init(&text, buf->size_max);
    buf_text(&text, option->doc);
    if (option->missing != NULL && option->env != NULL)
        buf_format(&text, " (default: %s; environment: %s)", option->missing, option->env);
    else if (option->missing != NULL)
        buf_format(&text, " (default: %s)", option->missing);
    else if (option->env != NULL)
        buf_format(&text, " (environment: %s)", option->env);
    config_wrap(buf, buf_string(&text), CONFIG_HELP_INDENT, CONFIG_HELP_INDENT);
    buf_fini(&text);
}

/* What --help puts in front of the name of an option that can be turned off. */
static const char *config_no(const struct config_option *option)
{
    return config_is_on_by_default(option) ? "[no-]" : "";
}

static void config_help_option(struct buf *buf, const struct config_option *option)
{
    size_t start = buf->size;

    if (option->letter != 0)
        buf_format(buf, "  -%c, ", option->letter);
    else
        buf_text(buf, "      ");
    buf_format(buf, "--%s%s", config_no(option), option->name);
    if (option->type != CONFIG_BOOL)
        buf_format(buf, " %s", config_value_word(option));
    size_t width = buf->size - start;
    if (width + 2 > CONFIG_HELP_INDENT) {
        buf_text(buf, "\n");
        width = 0;
    }
    buf_format(buf, "%*s", (int)(CONFIG_HELP_INDENT - width), "");
    config_help_doc(buf, option);
    buf_text(buf, "\n");
}

static bool config_has_letter(const struct config_program *program, char letter)
{
    for (const struct config_option *option = program->options; option->name != NULL; option++)
        if (option->letter == letter)
            return true;
    return false;
}

static const struct config_option config_asking[] = {
    { .name = "help", .letter = 'h', .type = CONFIG_BOOL, .doc = "Print this and stop." },
    { .name = "man", .type = CONFIG_BOOL, .doc = "Print the manual page (roff) and stop." },
    { .name = "version", .type = CONFIG_BOOL, .doc = "Print the version and stop." },
};

/* --help without its letter where the program has given that to an option of its own. */
static struct config_option config_asking_option(const struct config_program *program, unsigned i)
{
    struct config_option option = config_asking[i];

    if (option.letter != 0 && config_has_letter(program, option.letter))
        option.letter = 0;
    return option;
}

void config_print_help(const struct config_program *program, struct buf *buf)
{
    buf_format(buf, "Usage: %s\n\n%s\n\nOptions:\n", program->synopsis, program->about);
    for (const struct config_option *option = program->options; option->name != NULL; option++)
        config_help_option(buf, option);
    for (unsigned i = 0; i < ARRAY_COUNT(config_asking); i++) {
        struct config_option option = config_asking_option(program, i);

        config_help_option(buf, &option);
    }
    if (program->epilog != NULL)
        buf_format(buf, "\n%s\n", program->epilog);
}

/* --- the manual page --- */

/* Roff reads backslashes anywhere, dots and quotes at the start of a line; a bare '-' may become
 * a hyphen. */
static void config_roff(struct buf *buf, const char *text, size_t size, bool starts_line)
{
    if (starts_line && size > 0 && (text[0] == '.' || text[0] == '\''))
        buf_text(buf, "\\&");
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\\')
            buf_text(buf, "\\e");
        else if (text[i] == '-')
            buf_text(buf, "\\-");
        else
            buf_append(buf, text + i, 1);
    }
}

static void config_roff_text(struct buf *buf, const char *text)
{
    config_roff(buf, text, strlen(text), false);
}

/* Blank lines part paragraphs; lines that begin with a blank (examples, tables) stay as they
 * are. */
static void config_roff_paragraphs(struct buf *buf, const char *text)
{
    bool as_is = false;

    while (*text != '\0') {
        size_t size = strcspn(text, "\n");
        bool indented = text[0] == ' ';

        if (indented != as_is)
            buf_text(buf, indented ? ".nf\n" : ".fi\n");
        as_is = indented;
        if (size == 0)
            buf_text(buf, ".PP");
        else
            config_roff(buf, text, size, true);
        buf_text(buf, "\n");
        text += size;
        text += *text == '\n';
    }
    if (as_is)
        buf_text(buf, ".fi\n");
}

static void config_man_option(struct buf *buf, const struct config_option *option)
{
    buf_text(buf, ".TP\n");
    if (option->letter != 0)
        buf_format(buf, "\\fB\\-%c\\fR, ", option->letter);
    buf_text(buf, "\\fB\\-\\-");
    config_roff_text(buf, config_no(option));
    config_roff_text(buf, option->name);
    buf_text(buf, "\\fR");
    if (option->type != CONFIG_BOOL) {
        buf_text(buf, " \\fI");
        config_roff_text(buf, config_value_word(option));
        buf_text(buf, "\\fR");
    }
    buf_text(buf, "\n");
    config_roff(buf, option->doc, strlen(option->doc), true);
    buf_text(buf, "\n");
    if (option->missing != NULL) {
        buf_text(buf, "Default: ");
        config_roff_text(buf, option->missing);
        buf_text(buf, ".\n");
    }
    if (option->env != NULL)
        buf_format(buf, "Environment: \\fB%s\\fR.\n", option->env);
    if (option->section != NULL) {
        buf_format(buf, "In the file: \\fB%s\\fR under [%s].\n", option->name, option->section);
    }
}

/* The first sentence of what it is about, for whatis(1). */
static void config_man_name(struct buf *buf, const struct config_program *program)
{
    buf_text(buf, ".SH NAME\n");
    config_roff_text(buf, program->name);
    buf_text(buf, " \\- ");
    config_roff(buf, program->about, strcspn(program->about, ".\n"), false);
    buf_text(buf, "\n");
}

void config_print_man(const struct config_program *program, struct buf *buf)
{
    buf_text(buf, ".TH \"");
    config_roff_text(buf, program->name);
    buf_text(buf, "\" 1 \"\" \"gribstore\"\n");
    config_man_name(buf, program);
    buf_text(buf, ".SH SYNOPSIS\n");
    config_roff(buf, program->synopsis, strlen(program->synopsis), true);
    buf_text(buf, "\n.SH DESCRIPTION\n");
    config_roff_paragraphs(buf, program->about);
    buf_text(buf, ".SH OPTIONS\n");
    for (const struct config_option *option = program->options; option->name != NULL; option++)
        config_man_option(buf, option);
    for (unsigned i = 0; i < ARRAY_COUNT(config_asking); i++) {
        struct config_option option = config_asking_option(program, i);

        config_man_option(buf, &option);
    }
    if (program->epilog != NULL) {
        buf_text(buf, ".SH NOTES\n");
        config_roff_paragraphs(buf, program->epilog);
    }
}

/* --- the settings --- */

/* In the largest unit that divides it. */
static void config_print_units(struct buf *buf, uint64_t value, const uint64_t *factors,
                               const char *const *names)
{
    unsigned i = 0;

    while (factors[i] > 1 && (value == 0 || value % factors[i] != 0))
        i++;
    buf_decimal(buf, value / factors[i]);
    buf_text(buf, names[i]);
}

static void config_print_value(struct buf *buf, const struct config_option *option, const void *member)
{
    static const uint64_t sizes[] = { UINT64_C(1) << 40, 1 << 30, 1 << 20, 1 << 10, 1 };
    static const char *const size_names[] = { "TiB", "GiB", "MiB", "KiB", "" };
    static const uint64_t durations[] = { 86400000, 3600000, 60000, 1000, 1 };
    static const char *const duration_names[] = { "d", "h", "min", "s", "ms" };

    switch (option->type) {
    case CONFIG_TEXT:
    case CONFIG_LIST:
        buf_text(buf, *(char *const *)member);
        break;
    case CONFIG_BOOL:
        buf_text(buf, *(const bool *)member ? "yes" : "no");
        break;
    case CONFIG_COUNT:
        buf_decimal(buf, *(const uint64_t *)member);
        break;
    case CONFIG_SIZE:
        config_print_units(buf, *(const uint64_t *)member, sizes, size_names);
        break;
    case CONFIG_DURATION:
        config_print_units(buf, *(const uint64_t *)member, durations, duration_names);
        break;
    }
}

static void config_print_setting(struct buf *buf, const struct config_option *option, const void *settings)
{
    const void *member = (const char *)settings + option->offset;

    if (config_is_text(option) && *(char *const *)member == NULL) {
        buf_format(buf, "# %s =\n", option->name); /* not given */
        return;
    }
    /* Behind a blank a ';' would begin a comment. */
    bool is_bare = config_is_text(option) && (*(char *const *)member)[0] == ';';
    buf_format(buf, is_bare ? "%s =" : "%s = ", option->name);
    config_print_value(buf, option, member);
    buf_text(buf, "\n");
}

/* The first option of a section prints all of it, wherever in the table the others are. */
static bool config_opens_section(const struct config_program *program, const struct config_option *option)
{
    if (option->section == NULL)
        return false;
    for (const struct config_option *at = program->options; at != option; at++)
        if (at->section != NULL && strcmp(at->section, option->section) == 0)
            return false;
    return true;
}

void config_print_settings(const struct config_program *program, const void *settings, struct buf *buf)
{
    const char *gap = "";

    for (const struct config_option *first = program->options; first->name != NULL; first++) {
        if (!config_opens_section(program, first))
            continue;
        buf_format(buf, "%s[%s]\n", gap, first->section);
        gap = "\n";
        for (const struct config_option *option = first; option->name != NULL; option++)
            if (option->section != NULL && strcmp(option->section, first->section) == 0)
                config_print_setting(buf, option, settings);
    }
}
