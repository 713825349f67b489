/* command.c: the table, what finds a command in it, and its help. */
#include "client/cli/command.h"

#include "client/cli/cmd.h"

#include <stdio.h>
#include <string.h>

const struct command *const commands[] = {
    &command_put,
    &command_get,
    &command_query,
    &command_runs,
    &command_quarantine,
    &command_rotate,
    &command_purge,
    &command_reindex,
    &command_status,
    &command_cluster_show,
    &command_cluster_init,
    &command_cluster_plan,
    &command_cluster_apply,
    &command_cluster_add,
    &command_cluster_retire,
    &command_cluster_evacuate,
    &command_cluster_keep,
    &command_cluster_replace,
    &command_cluster_rename,
    &command_cluster_remove,
    &command_cluster_rebalance,
    &command_cluster_pause,
    &command_cluster_resume,
    &command_check,
    &command_mirror,
    &command_token,
    &command_help,
    NULL,
};

const struct command *command_find(char **words, size_t count, size_t *used)
{
    for (size_t i = 0; commands[i] != NULL; i++) {
        const char *name = commands[i]->name;
        const char *space = strchr(name, ' ');

        *used = space == NULL ? 1 : 2;
        if (count >= 1 && space == NULL && strcmp(words[0], name) == 0)
            return commands[i];
        if (count >= 2 && space != NULL && strlen(words[0]) == (size_t)(space - name) &&
            strncmp(words[0], name, (size_t)(space - name)) == 0 && strcmp(words[1], space + 1) == 0)
            return commands[i];
    }
    return NULL;
}

const char *command_nearest(const char *word)
{
    const char *names[ARRAY_COUNT(commands)];
    size_t count = 0;

    for (size_t i = 0; commands[i] != NULL; i++)
        names[count++] = commands[i]->name;
    names[count] = NULL;
    return config_nearest(word, names);
}

void command_print_second_words(const char *word, struct buf *buf)
{
    size_t size = strlen(word);

    for (size_t i = 0; commands[i] != NULL; i++) {
        const char *name = commands[i]->name;

        if (strncmp(name, word, size) == 0 && name[size] == ' ')
            buf_format(buf, "%s%s", buf->size > 0 ? ", " : "", name + size + 1);
    }
}

static void print_program(const struct command *command, const char *name,
                          void (*print)(const struct config_program *program, struct buf *buf),
                          struct buf *buf)
{
    struct buf synopsis, about;
    struct config_program program = { .name = name, .options = command->options };

    buf_init(&synopsis, 4096);
    buf_init(&about, 64 << 10);
    buf_format(&synopsis, "gribstore %s %s", command->name, command->arguments);
    buf_format(&about, "%s.\n\nExamples:\n%s\n\n%s", command->summary, command->examples, command->about);
    program.synopsis = buf_string(&synopsis);
    program.about = buf_string(&about);
    print(&program, buf);
    buf_fini(&synopsis);
    buf_fini(&about);
}

void command_print_help(const struct command *command, struct buf *buf)
{
    print_program(command, command->name, config_print_help, buf);
}

void command_print_man(const struct command *command, struct buf *buf)
{
    char name[64];

    snprintf(name, sizeof name, "gribstore-%s", command->name);
    for (char *at = name; *at != '\0'; at++)
        *at = *at == ' ' ? '-' : *at;
    print_program(command, name, config_print_man, buf);
}

/* The page of the whole: the commands, each with a page of its own. */
void command_print_man_list(struct buf *buf)
{
    static const struct config_option none[] = { { 0 } };
    struct config_program program = { .name = "gribstore", .synopsis = "gribstore COMMAND ...", .options = none };
    struct buf about;

    buf_init(&about, 64 << 10);
    buf_text(&about, "Store, find and fetch GRIB fields, and look after the cluster.\n\nCommands:\n");
    for (size_t i = 0; commands[i] != NULL; i++)
        buf_format(&about, "  %-18s %s\n", commands[i]->name, commands[i]->summary);
    buf_text(&about, "\nEach has a page: gribstore-put(1), gribstore-cluster-show(1), and so on.\n");
    program.about = buf_string(&about);
    config_print_man(&program, buf);
    buf_fini(&about);
}

void command_print_list(struct buf *buf)
{
    buf_text(buf, "Usage: gribstore COMMAND ...\n\n"
                  "Examples:\n"
                  "  gribstore put --source hres hres.grib     store a file's messages, those that are not there yet\n"
                  "  gribstore query param=msl step=0/to/24    which fields are there, and where\n"
                  "  gribstore get param=msl -o msl.grib       fetch them, checked\n\n"
                  "Commands:\n");
    for (size_t i = 0; commands[i] != NULL; i++)
        buf_format(buf, "  %-18s %s\n", commands[i]->name, commands[i]->summary);
    buf_text(buf, "\n`gribstore COMMAND --help` tells more; `gribstore help exit-codes` lists exit codes.\n");
}
