/* main.c: gribstore <command>: finds the command, opens the session, prints its errors. */
#include "client/cli/command.h"
#include "client/cli/output.h"
#include "client/cli/token_file.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- signals: the first one ends the work in order, the second one at once ---- */

static struct gs_session *volatile signal_session;
static volatile sig_atomic_t signal_got;

static void on_signal(int number)
{
    if (signal_got != 0 || signal_session == NULL)
        _exit(128 + number);
    signal_got = number;
    gs_cancel(signal_session);
}

static void catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal };

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN; /* a connection over https that breaks, a reader that left: writing fails, and that is seen */
    sigaction(SIGPIPE, &action, NULL);
}

/* ---- the session ---- */

static void say_retry(void *data, const char *why, uint64_t retry_ms)
{
    char text[CLI_SIZE_TEXT];

    cli_say(data, "%s; trying again for %s (--retry)", why, text_of_ms(retry_ms, text));
}

static int run_with_session(struct cli *cli, void *settings, char **arguments, size_t count)
{
    const struct common_settings *common = settings;
    struct gs_options options;
    struct gs_error error;
    char token[TOKEN_SIZE_MAX];

    int code = token_file_read(cli, common->token_file, token);
    if (code != GS_OK)
        return code;
    gs_options_init(&options);
    options.indexers = common->indexer;
    options.nodes = common->node;
    options.token = token;
    options.ca_file = common->ca_file;
    options.cert_file = common->cert;
    options.key_file = common->key;
    options.retry_ms = common->retry_ms;
    if (gs_open(&options, &cli->session, &error) != GS_OK)
        return cli_fail(cli, &error);
    cli->session->on_retry = say_retry;
    cli->session->retry_data = cli;
    signal_session = cli->session;
    catch_signals();
    code = cli->command->run(cli, settings, arguments, count);
    signal_session = NULL;
    gs_close(cli->session);
    return signal_got != 0 && code != GS_OK ? 128 + signal_got : code;
}

/* ---- the command ---- */

static int print_text(void (*print)(const struct command *command, struct buf *buf),
                      const struct command *command)
{
    struct buf buf;

    buf_init(&buf, CLI_OUTPUT_MAX);
    print(command, &buf);
    int code = cli_print(&buf);
    buf_fini(&buf);
    return code;
}

static void print_list(const struct command *command, struct buf *buf)
{
    (void)command;
    command_print_list(buf);
}

static void print_man_list(const struct command *command, struct buf *buf)
{
    (void)command;
    command_print_man_list(buf);
}

static void print_version(const struct command *command, struct buf *buf)
{
    (void)command;
    buf_format(buf, "gribstore %s\n", gs_version());
}

/* Options that can't be read leave no settings; but who asked for JSON gets the error as JSON. */
static bool asks_json(char **arguments, int count)
{
    for (int i = 0; i < count && strcmp(arguments[i], "--") != 0; i++) {
        if (strcmp(arguments[i], "--json") == 0)
            return true;
    }
    return false;
}

static int run_command(const struct command *command, int argc, char **argv)
{
    struct config_program program = { .name = command->name, .options = command->options };
    struct common_settings none = { 0 };
    struct cli cli = { .command = command,
                       .settings = &none,
                       .out_tty = isatty(STDOUT_FILENO),
                       .err_tty = isatty(STDERR_FILENO) };
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    enum config_asked asked = CONFIG_RUN;
    struct error err;
    int rest = 1, code;

    cli.color = cli.err_tty && (no_color == NULL || no_color[0] == '\0') &&
                (term == NULL || strcmp(term, "dumb") != 0);
    void *settings = calloc(1, command->settings_size);
    if (settings == NULL)
        return GS_FAILED;
    error_init(&err);
    if (config_load(&program, argc, argv, settings, &rest, &asked, &err) != STATUS_OK) {
        free(settings);
        none.json = asks_json(argv + 1, argc - 1);
        return cli_usage(&cli, "%s", err.text);
    }
    cli.settings = settings;
    if (asked == CONFIG_HELP)
        code = print_text(command_print_help, command);
    else if (asked == CONFIG_MAN)
        code = print_text(command_print_man, command);
    else if (asked == CONFIG_VERSION)
        code = print_text(print_version, NULL);
    else if (command->offline)
        code = command->run(&cli, settings, argv + rest, (size_t)(argc - rest));
    else
        code = run_with_session(&cli, settings, argv + rest, (size_t)(argc - rest));
    config_free(&program, settings);
    free(settings);
    return code;
}

/* word is the first, second the one behind it or NULL. */
static int refuse_word(const char *word, const char *second)
{
    struct buf more, both;

    buf_init(&more, 1000);
    buf_init(&both, 1000);
    buf_format(&both, "%.100s%s%.100s", word, second != NULL ? " " : "", second != NULL ? second : "");
    const char *nearest = command_nearest(word);
    if (nearest == NULL && second != NULL)
        nearest = command_nearest(buf_string(&both));
    command_print_second_words(word, &more);
    if (more.size > 0 && second != NULL && second[0] != '-')
        fprintf(stderr, "gribstore: `%s` is followed by one of: %s; not by %s\n", word,
                buf_string(&more), second);
    else if (more.size > 0)
        fprintf(stderr, "gribstore: `%s` needs another word: %s\n", word, buf_string(&more));
    else if (nearest != NULL)
        fprintf(stderr, "gribstore: no such command: %s; did you mean `gribstore %s`?\n", word, nearest);
    else
        fprintf(stderr, "gribstore: no such command: %s\n", word);
    fprintf(stderr, "  -> `gribstore --help` lists them\n");
    buf_fini(&more);
    buf_fini(&both);
    return GS_USAGE;
}

int main(int argc, char **argv)
{
    const struct command *command;
    size_t used = 0;

    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_text(print_list, NULL) != GS_OK || argc < 2 ? GS_USAGE : GS_OK;
    if (strcmp(argv[1], "--man") == 0)
        return print_text(print_man_list, NULL);
    if (strcmp(argv[1], "--version") == 0)
        return print_text(print_version, NULL);
    command = command_find(argv + 1, (size_t)argc - 1, &used);
    if (command != NULL)
        return run_command(command, argc - (int)used, argv + used);
    return refuse_word(argv[1], argc > 2 ? argv[2] : NULL);
}
