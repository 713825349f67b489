/* command.h: the one table of commands. It finds them, parses their options, makes their help. */
#ifndef CLIENT_CLI_COMMAND_H
#define CLIENT_CLI_COMMAND_H

#include "client/gribstore.h"
#include "proto/base/config.h"

#include <stdbool.h>

/* What every command's settings begin with. */
struct common_settings {
    char *indexer, *node, *token_file, *ca_file, *cert, *key;
    uint64_t retry_ms;
    bool json, progress, quiet;
};

/* clang-format off */
#define COMMON_OPTIONS                                                                                                    \
    { NULL, "indexer", 0, CONFIG_LIST, offsetof(struct common_settings, indexer), "http://127.0.0.1:8400",               \
      "GRIBSTORE_INDEXER", "URL", "Where the indexer is; several: the next when one does not answer." },                 \
    { NULL, "node", 0, CONFIG_LIST, offsetof(struct common_settings, node), "http://127.0.0.1:8410", "GRIBSTORE_NODE",   \
      "URL", "A node to begin with; the others come from the cluster map." },                                            \
    { NULL, "token-file", 0, CONFIG_TEXT, offsetof(struct common_settings, token_file), NULL, "GRIBSTORE_TOKEN_FILE",    \
      "FILE", "Whose first line is the token to show." },                                                                \
    { NULL, "ca-file", 0, CONFIG_TEXT, offsetof(struct common_settings, ca_file), NULL, "GRIBSTORE_CA_FILE", "FILE",     \
      "Certificates to trust with https (PEM)." },                                                                       \
    { NULL, "cert", 0, CONFIG_TEXT, offsetof(struct common_settings, cert), NULL, "GRIBSTORE_CERT", "FILE",              \
      "The certificate to show where one is asked for (PEM)." },                                                         \
    { NULL, "key", 0, CONFIG_TEXT, offsetof(struct common_settings, key), NULL, "GRIBSTORE_KEY", "FILE",                 \
      "Its private key (PEM)." },                                                                                        \
    { NULL, "retry", 0, CONFIG_DURATION, offsetof(struct common_settings, retry_ms), "60s", "GRIBSTORE_RETRY",           \
      "TIME", "How long to try again what is temporary." },                                                              \
    { NULL, "json", 0, CONFIG_BOOL, offsetof(struct common_settings, json), NULL, NULL, NULL,                            \
      "Print JSON: one document, or a line each where there are many." },                                                \
    { NULL, "progress", 0, CONFIG_BOOL, offsetof(struct common_settings, progress), "yes", NULL, NULL,                   \
      "Show progress on standard error." },                                                                              \
    { NULL, "quiet", 'q', CONFIG_BOOL, offsetof(struct common_settings, quiet), NULL, NULL, NULL,                        \
      "Say nothing but errors." }
/* clang-format on */

struct cli;

struct command {
    const char *name;                    /* "put", "cluster init" */
    const char *arguments;               /* "FILE... --source NAME" */
    const char *summary;                 /* one line, without a full stop */
    const char *examples;                /* lines "  gribstore put ..." */
    const char *about;                   /* paragraphs */
    const struct config_option *options; /* ended by .name == NULL */
    size_t settings_size;
    /* The exit code. settings begin with struct common_settings; arguments are what the options left over. */
    int (*run)(struct cli *cli, void *settings, char **arguments, size_t count);
    bool offline; /* needs no session */
};

extern const struct command *const commands[]; /* ended by NULL */

/* The command that the first one or two words name, and how many words that took; NULL: none. */
const struct command *command_find(char **words, size_t count, size_t *used);
/* The name nearest to a mistyped one; NULL. */
const char *command_nearest(const char *word);

/* "show, init" for "cluster"; empty when no command begins with that word. */
void command_print_second_words(const char *word, struct buf *buf);

void command_print_help(const struct command *command, struct buf *buf);
void command_print_list(struct buf *buf);
void command_print_man(const struct command *command, struct buf *buf); /* gribstore-put(1) */
void command_print_man_list(struct buf *buf);                           /* gribstore(1) */

#endif
