/* fuzz_token_file.c: the token file (FORMATS.md section 11).
 *
 * Input: the file's text. A table that was made holds what may stand in it and finds each of its tokens; a text that is
 * refused is named by its line, and never by its hash. */
#include "proto/http/token.h"
#include "tests/fuzz/fuzz.h"

enum { ROLES_ALL = ROLE_READ | ROLE_INGEST | ROLE_ADMIN | ROLE_NODE };

static void check_name(const char *name)
{
    size_t size = strlen(name);

    MUST(size > 0 && size < TOKEN_NAME_SIZE);
    for (size_t i = 0; i < size; i++) {
        bool plain = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9');
        MUST(plain || (i > 0 && strchr("._-", name[i]) != NULL));
    }
}

static void check_token(struct token_table *table, unsigned at)
{
    struct token *token = token_table_at(table, at);

    check_name(token->name);
    MUST(token->roles != 0 && (token->roles & ~(unsigned)ROLES_ALL) == 0);
    MUST(token_may(token, token->roles) && token_may(token, ROLE_READ));
    MUST(token->sources != NULL || token_allows_source(token, slice_text("any")));
    MUST(token_table_find(table, &token->hash, token->of_certificate) == token);
    for (unsigned i = 0; i < at && at < 64; i++)
        MUST(strcmp(token_table_at(table, i)->name, token->name) != 0);
}

/* No 16 hex digits in a row of the text come back in an error: they may be of a hash. */
static void check_refusal(const char *text, const struct error *err)
{
    size_t digits = 0;

    MUST(err->text[0] != '\0');
    MUST(strstr(err->text, "line") != NULL || strstr(err->text, "larger") != NULL || text[0] == '\0');
    for (const char *at = err->text; *at != '\0'; at++) {
        bool hex = (*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'f');
        digits = hex ? digits + 1 : 0;
        MUST(digits < 64);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct token_table *table = NULL;
    char *text = fuzz_text(data, size);
    uint8_t *copy = fuzz_copy(size > 0 ? (const void *)data : "", size + (size == 0));
    struct error err;
    struct digest digest;

    error_init(&err);
    if (token_table_parse(slice_of(copy, size), &table, &err) == STATUS_OK) {
        for (unsigned i = 0; i < token_table_count(table); i++)
            check_token(table, i);
        token_table_unref(table);
    } else {
        check_refusal(text, &err);
    }
    if (token_text_valid(slice_of(copy, size)))
        token_hash(slice_of(copy, size), &digest);
    free(copy);
    free(text);
    return 0;
}
