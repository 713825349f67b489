/* cmd_help.c: gribstore help: of a command, and what exit codes mean. */
#include "client/cli/cmd.h"
#include "client/cli/output.h"

struct help_settings {
    struct common_settings common;
};

static const struct config_option help_options[] = { COMMON_OPTIONS, { 0 } };

static const char help_exit_codes[] = "  0  ok\n"
                                      "  1  failed\n"
                                      "  2  usage: an argument is wrong\n"
                                      "  3  partial: a part was done, another was not\n"
                                      "  4  not found\n"
                                      "  5  temporary: try again\n"
                                      "  6  refused: rights, a lock, a stale version, another state, no space\n"
                                      "  7  data corrupt: no good copy\n"
                                      "130  interrupted (143: terminated)\n"
                                      "\n"
                                      "`gribstore status` ends with the health instead: 0 OK, 1 WARN, 2 ERR.\n";

static int help_run(struct cli *cli, void *settings, char **arguments, size_t count)
{
    struct buf buf;
    size_t used;

    (void)settings;
    const struct command *command = count > 0 ? command_find(arguments, count, &used) : NULL;
    buf_init(&buf, CLI_OUTPUT_MAX);
    if (count == 0)
        command_print_list(&buf);
    else if (command != NULL)
        command_print_help(command, &buf);
    else if (strcmp(arguments[0], "exit-codes") == 0)
        buf_text(&buf, help_exit_codes);
    int code = buf.size > 0 ? cli_print(&buf) : cli_usage(cli, "no such command: %s", arguments[0]);
    buf_fini(&buf);
    return code;
}

const struct command command_help = {
    .name = "help",
    .arguments = "[COMMAND | exit-codes]",
    .summary = "Explain a command, or the exit codes",
    .examples = "  gribstore help put\n"
                "  gribstore help exit-codes",
    .about = "The same as gribstore COMMAND --help.",
    .options = help_options,
    .settings_size = sizeof(struct help_settings),
    .run = help_run,
    .offline = true,
};
