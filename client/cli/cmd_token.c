/* cmd_token.c: gribstore token: makes a token and its line of a token file; checks such a file. */
#include "client/cli/cmd.h"
#include "client/cli/output.h"
#include "client/cli/table.h"

#include "proto/base/clock.h"
#include "proto/base/secret_file.h"
#include "proto/http/token.h"
#include "proto/run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

struct token_settings {
    struct common_settings common;
    char *name, *role, *source, *bytes, *expires, *append, *out, *check;
    uint64_t requests;
};

#define AT(member) offsetof(struct token_settings, member)

static const struct config_option token_options[] = {
    { NULL, "name", 0, CONFIG_TEXT, AT(name), NULL, NULL, "NAME",
      "Whose it is: what logs and metrics show. Default: the role and a random number." },
    { NULL, "role", 0, CONFIG_LIST, AT(role), NULL, NULL, "ROLE,...",
      "read, ingest, admin or node; each of them may read. A rotator has ingest,admin; the indexer node,admin; a node node." },
    { NULL, "source", 0, CONFIG_LIST, AT(source), NULL, NULL, "NAME,...", "Only for these sources." },
    { NULL, "requests", 0, CONFIG_COUNT, AT(requests), NULL, NULL, "N",
      "At most so many requests a second." },
    { NULL, "bytes", 0, CONFIG_TEXT, AT(bytes), NULL, NULL, "SIZE", "At most so many bytes a second." },
    { NULL, "expires", 0, CONFIG_TEXT, AT(expires), NULL, NULL, "TIME",
      "When it ends: 2027-01-31T00:00:00Z, or so long from now: 400d." },
    { NULL, "append", 0, CONFIG_TEXT, AT(append), NULL, NULL, "FILE",
      "The token file that gets the line; made if missing. Otherwise the line goes to standard output." },
    { NULL, "out", 0, CONFIG_TEXT, AT(out), NULL, NULL, "FILE",
      "A new file, readable by this user only, for the token. Otherwise it goes to standard output, before the line." },
    { NULL, "check", 0, CONFIG_TEXT, AT(check), NULL, NULL, "FILE",
      "Make nothing; read this token file as a server would, and list what it says." },
    COMMON_OPTIONS,
    { 0 },
};

/* --- a line --- */

/* "2027-01-31T00:00:00Z" as it is; "400d" from now. */
static enum status expires_print(const char *text, char printed[BASE_TIME_TEXT_SIZE], struct error *err)
{
    uint64_t ms;
    int64_t time;

    if (config_parse_duration(text, &ms) == 0 && ms / 1000 < INT32_MAX)
        time = (int64_t)(clock_wall_us() / 1000000 + ms / 1000);
    else if (base_time_parse(slice_text(text), &time, NULL) != STATUS_OK)
        return error_set(
            err, STATUS_BAD_VALUE,
            "--expires %s: neither a time such as 2027-01-31T00:00:00Z nor a duration such as 400d",
            text);
    if (!base_time_valid(time))
        return error_set(err, STATUS_BAD_VALUE, "--expires %s: too far away", text);
    base_time_print_rfc3339(time, printed);
    return STATUS_OK;
}

static void name_print(const struct token_settings *settings, struct buf *line)
{
    uint8_t number[4];
    char text[2 * sizeof number + 1];

    if (settings->name != NULL) {
        buf_text(line, settings->name);
        return;
    }
    random_bytes(number, sizeof number);
    hex_print(number, sizeof number, text);
    buf_format(line, "%.*s-%s", (int)strcspn(settings->role, ","), settings->role, text);
}

/* The line, proven by reading it as a server does. */
static enum status line_make(const struct token_settings *settings, const char *token,
                             struct buf *line, struct error *err)
{
    char expires[BASE_TIME_TEXT_SIZE], hash_text[DIGEST_TEXT_SIZE];
    struct token_table *table;
    struct digest hash;

    token_hash(slice_text(token), &hash);
    digest_print(&hash, hash_text);
    name_print(settings, line);
    buf_format(line, " sha256:%s %s", hash_text, settings->role);
    if (settings->source != NULL)
        buf_format(line, " sources=%s", settings->source);
    if (settings->requests > 0)
        buf_format(line, " requests=%" PRIu64, settings->requests);
    if (settings->bytes != NULL)
        buf_format(line, " bytes=%s", settings->bytes);
    if (settings->expires != NULL) {
        enum status status = expires_print(settings->expires, expires, err);
        if (status != STATUS_OK)
            return status;
        buf_format(line, " expires=%s", expires);
    }
    buf_text(line, "\n");
    enum status status = token_table_parse(slice_of(line->data, line->size), &table, err);
    token_table_unref(table);
    return status;
}

/* --- files --- */

static enum status write_all(int fd, const char *path, const void *data, size_t size, struct error *err)
{
    for (const char *at = data; size > 0;) {
        ssize_t put = write(fd, at, size);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return error_set_errno(err, errno, "%s", path);
        at += put;
        size -= (size_t)put;
    }
    return fsync(fd) == 0 ? STATUS_OK : error_set_errno(err, errno, "%s", path);
}

/* The whole file with the line behind it has to be one that a server reads; then only the line is written. */
static enum status append_checked(int fd, const char *path, const struct buf *line, struct error *err)
{
    struct token_table *table = NULL;
    struct buf text, whole;

    enum status status = secret_file_read(path, TOKEN_FILE_MAX, &text, err);
    if (status != STATUS_OK)
        return status;
    bool ended = text.size == 0 || text.data[text.size - 1] == '\n';
    buf_init(&whole, (size_t)TOKEN_FILE_MAX + TOKEN_LINE_MAX);
    buf_append(&whole, text.data, text.size);
    if (!ended)
        buf_text(&whole, "\n");
    buf_append(&whole, line->data, line->size);
    status = buf_status(&whole) == STATUS_OK
                 ? token_table_parse(slice_of(whole.data, whole.size), &table, err)
                 : error_set(err, STATUS_TOO_LARGE, "it is full");
    if (status == STATUS_OK) {
        token_table_unref(table);
        status = write_all(fd, path, whole.data + text.size, whole.size - text.size, err);
    } else {
        error_wrap(err, "%s", path);
    }
    buf_fini(&text);
    buf_fini(&whole);
    return status;
}

static enum status append_line(const char *path, const struct buf *line, struct error *err)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return error_set_errno(err, errno, "%s", path);
    enum status status = flock(fd, LOCK_EX) == 0 ? append_checked(fd, path, line, err)
                                                 : error_set_errno(err, errno, "%s", path);
    close(fd);
    return status;
}

/* Opened before anything else is done: a line without its token is good for nobody. */
static enum status out_open(const char *path, int *fd, struct error *err)
{
    *fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    return *fd >= 0 ? STATUS_OK : error_set_errno(err, errno, "%s", path);
}

/* --- make --- */

static enum status make_write(const struct token_settings *settings, const char *token,
                              const struct buf *line, struct error *err)
{
    int fd = STDOUT_FILENO;
    char text[TOKEN_TEXT_SIZE + 1];
    enum status status = STATUS_OK;

    snprintf(text, sizeof text, "%s\n", token);
    if (settings->out != NULL) {
        status = out_open(settings->out, &fd, err);
        if (status == STATUS_OK)
            status = write_all(fd, settings->out, text, strlen(text), err);
    }
    if (status == STATUS_OK && settings->append != NULL)
        status = append_line(settings->append, line, err);
    if (fd != STDOUT_FILENO && fd >= 0)
        close(fd);
    if (status != STATUS_OK && fd != STDOUT_FILENO && fd >= 0)
        unlink(settings->out);
    secret_wipe(text, sizeof text);
    return status;
}

static void make_print(const struct cli *cli, const struct token_settings *settings,
                       const char *token, const struct buf *line, struct buf *out)
{
    struct json_writer json;

    if (!cli->settings->json) {
        if (settings->out == NULL)
            buf_format(out, "%s\n", token);
        if (settings->append == NULL)
            buf_append(out, line->data, line->size);
        return;
    }
    json_init(&json, out);
    json_object_begin(&json);
    if (settings->out == NULL)
        json_put_string(&json, "token", token);
    json_key(&json, "line");
    json_format(&json, "%.*s", (int)line->size - 1, (const char *)line->data);
    json_object_end(&json);
    buf_text(out, "\n");
}

static int make_run(struct cli *cli, const struct token_settings *settings)
{
    static const char made_line[] = "line 1: "; /* there is only this one */
    char token[TOKEN_TEXT_SIZE];
    struct buf line, out;
    struct error err;
    int code = GS_OK;

    if (settings->role == NULL)
        return cli_usage(
            cli, "--role is missing: read, ingest, admin, node, or several with commas between them");
    error_init(&err);
    buf_init(&line, TOKEN_LINE_MAX + 1);
    buf_init(&out, CLI_OUTPUT_MAX);
    token_make(token);
    enum status status = line_make(settings, token, &line, &err);
    if (status == STATUS_BAD_VALUE) {
        bool numbered = strncmp(err.text, made_line, sizeof made_line - 1) == 0;
        code = cli_usage(cli, "%s", err.text + (numbered ? sizeof made_line - 1 : 0));
    } else if (status == STATUS_OK) {
        status = make_write(settings, token, &line, &err);
        if (status == STATUS_OK)
            make_print(cli, settings, token, &line, &out);
    }
    if (code == GS_OK)
        code = status == STATUS_OK ? cli_print(&out) : cli_fail_status(cli, status, &err);
    secret_wipe(token, sizeof token);
    secret_wipe(out.data, out.size);
    buf_fini(&line);
    buf_fini(&out);
    return code;
}

/* --- check --- */

static const struct table_column check_columns[] = {
    { "name", false },    { "roles", false }, { "sources", false },
    { "requests", true }, { "bytes", true },  { "expires", false },
};

static void check_print_roles(const struct token *token, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (unsigned role = ROLE_READ; role <= ROLE_NODE; role <<= 1)
        if ((token->roles & role) != 0)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used > 0 ? "," : "",
                                     token_role_name(role));
}

static void check_print_json(const struct token *token, struct buf *out)
{
    char text[64];
    struct json_writer json;

    json_init(&json, out);
    json_object_begin(&json);
    json_put_string(&json, "name", token->name);
    check_print_roles(token, text, sizeof text);
    json_put_string(&json, "roles", text);
    if (token->sources != NULL)
        json_put_string(&json, "sources", token->sources);
    if (token->requests > 0)
        json_put_u64(&json, "requests", token->requests);
    if (token->bytes > 0)
        json_put_u64(&json, "bytes", token->bytes);
    if (token->expires != INT64_MAX) {
        base_time_print_rfc3339(token->expires, text);
        json_put_string(&json, "expires", text);
    }
    json_put_bool(&json, "certificate", token->of_certificate);
    json_object_end(&json);
    buf_text(out, "\n");
}

static void check_print_row(const struct token *token, struct table *table)
{
    char text[64];

    check_print_roles(token, text, sizeof text);
    table_cell(table, token->name);
    table_cell(table, text);
    table_cell(table, token->sources);
    if (token->requests > 0)
        table_cellf(table, "%" PRIu64, token->requests);
    else
        table_cell(table, NULL);
    if (token->bytes > 0)
        table_cellf(table, "%" PRIu64, token->bytes);
    else
        table_cell(table, NULL);
    if (token->expires == INT64_MAX) {
        table_cell(table, NULL);
        return;
    }
    base_time_print_rfc3339(token->expires, text);
    table_cell(table, text);
}

static int check_run(struct cli *cli, const char *path)
{
    int64_t now = (int64_t)(clock_wall_us() / 1000000);
    struct token_table *tokens;
    struct table table;
    struct error err;
    struct buf out;

    error_init(&err);
    enum status status = token_table_load(path, &tokens, &err);
    if (status != STATUS_OK)
        return cli_fail_status(cli, status, &err);
    buf_init(&out, CLI_OUTPUT_MAX);
    table_init(&table, check_columns, ARRAY_COUNT(check_columns));
    for (unsigned i = 0; i < token_table_count(tokens); i++) {
        const struct token *token = token_table_at(tokens, i);

        if (cli->settings->json)
            check_print_json(token, &out);
        else
            check_print_row(token, &table);
        if (token->expires <= now)
            cli_say(cli, "%s has expired", token->name);
    }
    if (!cli->settings->json)
        table_print(&table, cli->out_tty, true, &out);
    table_fini(&table);
    token_table_unref(tokens);
    int code = cli_print(&out);
    buf_fini(&out);
    return code;
}

static int token_run(struct cli *cli, void *settings, char **arguments, size_t count)
{
    const struct token_settings *token = settings;

    if (count > 0)
        return cli_usage(cli, "'%s': token takes options only", arguments[0]);
    return token->check != NULL ? check_run(cli, token->check) : make_run(cli, token);
}

const struct command command_token = {
    .name = "token",
    .arguments = "--role ROLE[,ROLE] [--name NAME] [--source NAME] [--append FILE] [--out FILE] | --check FILE",
    .summary = "Make a token, and its line for a server's token file",
    .examples = "  gribstore token --role read --name plots --append /etc/gribstore/tokens\n"
                "  gribstore token --role ingest,admin --source hres --expires 400d --append tokens --out rotator.token\n"
                "  gribstore token --check /etc/gribstore/tokens",
    .about = "The token is 32 random bytes; the line holds its SHA-256 only, so who reads the file has no token. Give the token "
             "to whom it is for, the line to every node and indexer, and send those a SIGHUP. To take it away, take the line away "
             "and send a SIGHUP. The token is shown once: standard output gets it unless --out names a file.",
    .options = token_options,
    .settings_size = sizeof(struct token_settings),
    .run = token_run,
    .offline = true,
};
