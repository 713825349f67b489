/* fuzz_sources_file.c: quotas and date windows a source (FORMATS.md section 12).
 *
 * Input: the file's text. A table that was made answers for any source, the same each time, and its windows let in what lies
 * in them and nothing else; a text that is refused says why. */
#include "storaged/sources.h"
#include "tests/fuzz/fuzz.h"

enum { NOW = 1365379200 };

static void check_window(const struct source_rules *rules)
{
    int64_t oldest = (int64_t)(rules->oldest_s < NOW ? rules->oldest_s : NOW);
    int64_t newest = (int64_t)(rules->newest_s < NOW ? rules->newest_s : NOW);

    MUST(source_rules_check_date(rules, NOW - (rules->has_oldest ? oldest : NOW), NOW, NULL) == STATUS_OK);
    MUST(source_rules_check_date(rules, NOW + (rules->has_newest ? newest : NOW), NOW, NULL) == STATUS_OK);
    if (rules->has_oldest && rules->oldest_s < NOW)
        MUST(source_rules_check_date(rules, NOW - oldest - 1, NOW, NULL) == STATUS_BAD_DATE);
    if (rules->has_newest && rules->newest_s < NOW)
        MUST(source_rules_check_date(rules, NOW + newest + 1, NOW, NULL) == STATUS_BAD_DATE);
}

static void check_source(const struct sources_table *table, const char *source)
{
    struct source_rules rules, again;
    struct error err;

    error_init(&err);
    enum status status = sources_table_get(table, source, &rules, &err);
    MUST(sources_table_get(table, source, &again, NULL) == status);
    if (status != STATUS_OK) {
        MUST(status == STATUS_FORBIDDEN && err.text[0] != '\0');
        return;
    }
    MUST(rules.run_bytes == again.run_bytes && rules.run_messages == again.run_messages);
    MUST(rules.has_oldest == again.has_oldest && rules.has_newest == again.has_newest);
    check_window(&rules);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sources_table *table = NULL;
    uint8_t *copy = fuzz_copy(size > 0 ? (const void *)data : "", size + (size == 0));
    struct error err;

    error_init(&err);
    if (sources_parse(slice_of(copy, size), &table, &err) == STATUS_OK) {
        check_source(table, "hres");
        check_source(table, "gfs");
        check_source(table, "nobody-knows-it");
        sources_table_free(table);
    } else {
        MUST(err.status != STATUS_OK && err.text[0] != '\0');
    }
    free(copy);
    return 0;
}
