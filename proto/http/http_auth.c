/* http_auth.c: judges a request from its head, and answers for those that are refused. */
#include "proto/http/http_auth.h"

#include "proto/base/clock.h"
#include "proto/http/http_core.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { AUTH_NAMES_MAX = 200 }; /* tokens with metrics of their own; the others share one */
#define AUTH_REALM "Bearer realm=\"gribstore\""

/* What is counted of a token, by its name: for good, also when the token is gone. */
struct auth_name {
    struct auth_name *next;
    char labels[TOKEN_NAME_SIZE + 16];
    struct metric requests, bytes;
};

struct http_auth {
    char *path; /* owned */
    bool anonymous_read;
    pthread_mutex_t mutex;
    struct token_table *table; /* owned reference; guarded by the mutex */
};

/* --- what is counted --- */

enum auth_denied {
    AUTH_NO_TOKEN,
    AUTH_MALFORMED,
    AUTH_UNKNOWN,
    AUTH_EXPIRED,
    AUTH_ROLE,
    AUTH_SOURCE,
    AUTH_LIMITED,
    AUTH_DENIED_COUNT
};

#define AUTH_DENIED(reason)                                                                        \
    {                                                                                              \
        .name = "gribstore_http_denied_total",                                                     \
        .help = "Requests refused for want of a right, by reason.", .labels = reason,              \
        .kind = METRIC_COUNTER,                                                                    \
    }

static struct metric auth_denied[AUTH_DENIED_COUNT] = {
    [AUTH_NO_TOKEN] = AUTH_DENIED("reason=\"no-token\""),
    [AUTH_MALFORMED] = AUTH_DENIED("reason=\"malformed\""),
    [AUTH_UNKNOWN] = AUTH_DENIED("reason=\"unknown-token\""),
    [AUTH_EXPIRED] = AUTH_DENIED("reason=\"expired\""),
    [AUTH_ROLE] = AUTH_DENIED("reason=\"role\""),
    [AUTH_SOURCE] = AUTH_DENIED("reason=\"source\""),
    [AUTH_LIMITED] = AUTH_DENIED("reason=\"limited\""),
};

static pthread_mutex_t names_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct auth_name *names; /* guarded by the mutex; never freed: metrics are for good */
static unsigned names_count;

void http_auth_metrics_register(void)
{
    for (unsigned i = 0; i < AUTH_DENIED_COUNT; i++)
        metric_register(&auth_denied[i]);
}

static struct auth_name *name_make(const char *labels)
{
    struct auth_name *name = calloc(1, sizeof *name);

    if (name == NULL)
        return NULL;
    snprintf(name->labels, sizeof name->labels, "%s", labels);
    name->requests = (struct metric){ .name = "gribstore_http_token_requests_total",
                                      .help = "Requests by the name of their token.",
                                      .labels = name->labels,
                                      .kind = METRIC_COUNTER };
    name->bytes = (struct metric){ .name = "gribstore_http_token_bytes_total",
                                   .help = "Bytes of bodies either way, by the name of their token.",
                                   .labels = name->labels,
                                   .kind = METRIC_COUNTER };
    metric_register(&name->requests);
    metric_register(&name->bytes);
    name->next = names;
    names = name;
    names_count++;
    return name;
}

/* A name in parentheses is no token's. */
static struct auth_name *name_of(const char *text)
{
    char labels[TOKEN_NAME_SIZE + 16];
    struct auth_name *name;

    snprintf(labels, sizeof labels, "token=\"%s\"", text);
    for (name = names; name != NULL && strcmp(name->labels, labels) != 0;)
        name = name->next;
    if (name == NULL && names_count < AUTH_NAMES_MAX)
        name = name_make(labels);
    if (name == NULL && strcmp(text, "(others)") != 0)
        return name_of("(others)");
    return name;
}

static void table_name(struct token_table *table)
{
    pthread_mutex_lock(&names_mutex);
    if (names_count == 0)
        name_of("(others)");
    for (unsigned i = 0; i < token_table_count(table); i++)
        token_table_at(table, i)->user = name_of(token_table_at(table, i)->name);
    pthread_mutex_unlock(&names_mutex);
}

/* --- the table --- */

static struct token_table *auth_table(struct http_auth *auth)
{
    pthread_mutex_lock(&auth->mutex);
    struct token_table *table = auth->table;
    token_table_ref(table);
    pthread_mutex_unlock(&auth->mutex);
    return table;
}

enum status http_auth_open(const char *path, bool anonymous_read, struct http_auth **auth,
                           struct error *err)
{
    struct http_auth *made = calloc(1, sizeof *made);
    enum status status = STATUS_NO_MEMORY;

    *auth = NULL;
    if (made != NULL && (made->path = strdup(path)) != NULL)
        status = token_table_load(path, &made->table, err);
    if (status != STATUS_OK) {
        if (made != NULL)
            free(made->path);
        free(made);
        return status == STATUS_NO_MEMORY ? error_set(err, status, "tokens") : status;
    }
    pthread_mutex_init(&made->mutex, NULL);
    made->anonymous_read = anonymous_read;
    table_name(made->table);
    *auth = made;
    return STATUS_OK;
}

enum status http_auth_reload(struct http_auth *auth, struct error *err)
{
    struct token_table *table;
    enum status status = token_table_load(auth->path, &table, err);

    if (status != STATUS_OK)
        return status;
    table_name(table);
    pthread_mutex_lock(&auth->mutex);
    struct token_table *before = auth->table;
    token_table_inherit(table, before);
    auth->table = table;
    pthread_mutex_unlock(&auth->mutex);
    token_table_unref(before);
    return STATUS_OK;
}

unsigned http_auth_count(struct http_auth *auth)
{
    struct token_table *table = auth_table(auth);
    unsigned count = token_table_count(table);

    token_table_unref(table);
    return count;
}

void http_auth_close(struct http_auth *auth)
{
    if (auth == NULL)
        return;
    token_table_unref(auth->table);
    pthread_mutex_destroy(&auth->mutex);
    free(auth->path);
    free(auth);
}

/* --- refusals --- */

static bool auth_refuse(struct http_exchange *ex, enum auth_denied denied, enum status status,
                        const char *reason)
{
    struct error err;

    metric_add(&auth_denied[denied], 1);
    error_init(&err);
    error_set(&err, status, "%s", reason);
    http_reply_error(ex, status, &err, NULL);
    return false;
}

/* RFC 6750 section 3. */
static bool auth_challenge(struct http_exchange *ex, enum auth_denied denied, enum status status,
                           const char *error, const char *reason)
{
    if (error == NULL)
        http_reply_header(ex, "WWW-Authenticate", AUTH_REALM);
    else
        http_reply_header(ex, "WWW-Authenticate", AUTH_REALM ", error=\"%s\"", error);
    return auth_refuse(ex, denied, status, reason);
}

static bool auth_refuse_role(struct http_exchange *ex, unsigned roles)
{
    char needed[64] = "";
    size_t used = 0;

    for (unsigned role = ROLE_READ; role <= ROLE_NODE; role <<= 1)
        if ((roles & role) != 0)
            used += (size_t)snprintf(needed + used, sizeof needed - used, "%s%s",
                                     used > 0 ? " or " : "", token_role_name(role));
    struct error err;
    error_init(&err);
    error_set(&err, STATUS_FORBIDDEN, "the token %s has no right to this: it needs the role %s",
              http_caller(ex), needed);
    return auth_challenge(ex, AUTH_ROLE, STATUS_FORBIDDEN, "insufficient_scope", err.text);
}

static bool auth_refuse_source(struct http_exchange *ex)
{
    return auth_challenge(ex, AUTH_SOURCE, STATUS_FORBIDDEN, "insufficient_scope",
                          "the token is bound to other sources");
}

void http_refuse_source(struct http_exchange *ex)
{
    auth_refuse_source(ex);
}

static bool auth_refuse_limited(struct http_exchange *ex, uint64_t wait_ms, const char *reason)
{
    ex->reply.retry_after_s = wait_ms / 1000 + 1 < INT32_MAX ? (unsigned)(wait_ms / 1000 + 1) : INT32_MAX;
    return auth_refuse(ex, AUTH_LIMITED, STATUS_LIMITED, reason);
}

/* --- judging --- */

static unsigned auth_fields(const struct http_exchange *ex)
{
    unsigned count = 0;

    for (unsigned i = 0; i < ex->head->fields_count; i++)
        count += http_name_equals(http_span_slice(ex->text, ex->head->fields[i].name), "authorization");
    return count;
}

/* What stands behind a scheme's name and blanks; data NULL: another scheme. */
static struct slice auth_after_scheme(struct slice field)
{
    static const char scheme[] = "bearer";
    size_t size = sizeof scheme - 1;

    if (field.size < size || !http_name_equals(slice_of(field.data, size), scheme) ||
        (field.size > size && field.data[size] != ' '))
        return slice_of(NULL, 0);
    while (size < field.size && field.data[size] == ' ')
        size++;
    return slice_of(field.data + size, field.size - size);
}

static void auth_take(struct http_exchange *ex, struct token_table *table, struct token *token)
{
    if (token == NULL) {
        token_table_unref(table);
        return;
    }
    ex->auth.table = table;
    ex->auth.token = token;
}

/* Who shows no token may have shown a certificate. */
static void auth_identify_certificate(struct http_exchange *ex)
{
    struct digest fingerprint;

    if (!http_client_certificate(ex, fingerprint.bytes))
        return;
    struct token_table *table = auth_table(ex->server->options.auth);
    auth_take(ex, table, token_table_find(table, &fingerprint, true));
}

/* The caller's token, or none; false: replied. */
static bool auth_identify(struct http_exchange *ex, bool *shown)
{
    struct slice field = http_header(ex, "Authorization");
    struct digest hash;

    *shown = false;
    if (auth_fields(ex) > 1)
        return auth_challenge(ex, AUTH_MALFORMED, STATUS_BAD_REQUEST, "invalid_request",
                              "more than one Authorization field");
    struct slice text = auth_after_scheme(field);
    if (field.data == NULL || text.data == NULL) { /* nothing, or a scheme of which nothing is known here */
        auth_identify_certificate(ex);
        return true;
    }
    if (!token_text_valid(text))
        return auth_challenge(ex, AUTH_MALFORMED, STATUS_BAD_REQUEST, "invalid_request",
                              "Authorization: behind Bearer stands one token");
    *shown = true;
    token_hash(text, &hash);
    struct token_table *table = auth_table(ex->server->options.auth);
    auth_take(ex, table, token_table_find(table, &hash, false));
    return true;
}

static bool auth_check_token(struct http_exchange *ex, bool shown, unsigned roles)
{
    const struct token *token = ex->auth.token;

    if (token == NULL && shown)
        return auth_challenge(ex, AUTH_UNKNOWN, STATUS_UNAUTHORIZED, "invalid_token",
                              "the token is not known here");
    if (token == NULL && (roles & ROLE_READ) != 0 && ex->server->options.auth->anonymous_read)
        return true;
    if (token == NULL)
        return auth_challenge(ex, AUTH_NO_TOKEN, STATUS_UNAUTHORIZED, NULL,
                              "send a token: Authorization: Bearer ...");
    if (token->expires <= (int64_t)(clock_wall_us() / 1000000))
        return auth_challenge(ex, AUTH_EXPIRED, STATUS_UNAUTHORIZED, "invalid_token",
                              "the token has expired");
    return true;
}

static bool auth_check_rights(struct http_exchange *ex, unsigned roles)
{
    const struct token *token = ex->auth.token;
    struct slice source = http_param(ex, "source");

    if (token == NULL)
        return true;
    if (!token_may(token, roles))
        return auth_refuse_role(ex, roles);
    if (token->sources == NULL)
        return true;
    if (source.size > 0 ? !token_allows_source(token, source) : (roles & ROLE_BOUND) == 0)
        return auth_refuse_source(ex);
    return true;
}

static bool auth_check_rate(struct http_exchange *ex)
{
    struct token *token = ex->auth.token;
    uint64_t now_us = clock_monotonic_us(), wait_ms = 0;

    if (token == NULL)
        return true;
    if (token->bytes > 0 && !token_bucket_has(&token->byte_bucket, now_us, &wait_ms))
        return auth_refuse_limited(ex, wait_ms, "the token's bytes a second are used up");
    if (token->requests > 0 &&
        !token_bucket_take(&token->request_bucket, token->requests, now_us, &wait_ms))
        return auth_refuse_limited(ex, wait_ms, "the token's requests a second are used up");
    struct auth_name *name = token->user;
    if (name != NULL)
        metric_add(&name->requests, 1);
    return true;
}

/* What is there at all (404, 405) is for those who may read. How a path may be asked is not: browsers ask that before they
 * send a token (CORS), and it stands in openapi.json. */
static unsigned auth_roles(const struct http_exchange *ex)
{
    bool known = ex->match.allowed != 0 || slice_equals(http_path(ex), "*");

    if (ex->match.route != NULL)
        return ex->match.route->role;
    return ex->head->method == HTTP_OPTIONS_ && known ? ROLE_NONE : ROLE_READ | ROLE_BOUND;
}

bool http_auth_check(struct http_exchange *ex)
{
    unsigned roles = auth_roles(ex);
    bool shown;

    if (ex->server->options.auth == NULL || roles == ROLE_NONE)
        return true;
    if (!auth_identify(ex, &shown) || !auth_check_token(ex, shown, roles) ||
        !auth_check_rights(ex, roles) || !auth_check_rate(ex))
        return false;
    http_auth_charge(ex, ex->head->content_length);
    return true;
}

void http_auth_charge(struct http_exchange *ex, uint64_t bytes)
{
    struct token *token = ex->auth.token;

    if (token == NULL || bytes == 0)
        return;
    struct auth_name *name = token->user;
    if (name != NULL)
        metric_add(&name->bytes, (int64_t)bytes);
    if (token->bytes > 0)
        token_bucket_charge(&token->byte_bucket, token->bytes, bytes, clock_monotonic_us());
}

void http_auth_release(struct http_exchange *ex)
{
    token_table_unref(ex->auth.table);
    ex->auth = (struct http_caller){ 0 };
}

/* --- for conductors --- */

bool http_allows_source(const struct http_exchange *ex, struct slice source)
{
    return ex->auth.token == NULL || token_allows_source(ex->auth.token, source);
}

const char *http_bound_sources(const struct http_exchange *ex)
{
    return ex->auth.token != NULL ? ex->auth.token->sources : NULL;
}

bool http_is_public(const struct http_exchange *ex)
{
    const struct http_auth *auth = ex->server->options.auth;

    return auth == NULL || auth->anonymous_read;
}

const char *http_caller(const struct http_exchange *ex)
{
    return ex->auth.token != NULL ? ex->auth.token->name : "";
}

bool http_caller_has(const struct http_exchange *ex, unsigned roles)
{
    return ex->auth.token != NULL && (ex->auth.token->roles & roles) != 0;
}
