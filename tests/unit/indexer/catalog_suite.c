/* catalog_suite.c: a new catalog for each case, and what the cases share. */
#include "catalog_suite.h"

#include "catalog_file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void (*suite_make_uri)(char uri[SUITE_URI_SIZE]);
void (*suite_forget)(const char *uri);
struct run_key suite_run;
struct error suite_err;

int suite_setup(void **state)
{
    struct catalog_fixture *fixture = calloc(1, sizeof *fixture);
    struct error err;

    suite_run = make_run("hres", "20130408T0000Z");
    suite_make_uri(fixture->uri);
    *state = fixture;
    if (catalog_open(fixture->uri, &fixture->catalog, &err) == STATUS_OK)
        return 0;
    print_error("%s\n", err.text);
    return -1;
}

int suite_teardown(void **state)
{
    struct catalog_fixture *fixture = *state;

    catalog_close(fixture->catalog);
    suite_forget(fixture->uri);
    free(fixture);
    return 0;
}

void suite_reopen(struct catalog_fixture *fixture)
{
    catalog_close(fixture->catalog);
    assert_ok(catalog_open(fixture->uri, &fixture->catalog, &suite_err));
}

void suite_apply(struct catalog *catalog, struct field_event *events, size_t count)
{
    assert_ok(catalog_apply(catalog, events, count, &suite_err));
    for (size_t i = 0; i < count; i++)
        field_event_fini(&events[i]);
}

void suite_apply_one(struct catalog *catalog, struct field_event event)
{
    suite_apply(catalog, &event, 1);
}

void suite_add_fields(struct catalog *catalog, const struct run_key *run, unsigned first,
                      unsigned count, const char *node, unsigned file)
{
    struct field_event *events = calloc(count, sizeof *events);

    for (unsigned i = 0; i < count; i++)
        events[i] = make_add(run, first + i, 1, 1000, node, file);
    suite_apply(catalog, events, count);
    free(events);
}

static bool count_document(void *data, const struct field_document *document)
{
    struct suite_counts *counts = data;

    counts->documents++;
    counts->issues += document->issues_count;
    for (unsigned i = 0; i < document->issues_count; i++)
        counts->locations += document->issues[i].locations_count;
    return true;
}

struct suite_counts suite_count(struct catalog *catalog, const struct run_key *run)
{
    struct suite_counts counts = { 0 };

    assert_ok(catalog_scan_run(catalog, run, count_document, &counts, &suite_err));
    return counts;
}

struct search {
    struct field_id id;
    json_t *found;
    uint64_t rev;
};

static bool search_document(void *data, const struct field_document *document)
{
    struct search *search = data;

    if (document->id.size != search->id.size ||
        memcmp(document->id.bytes, search->id.bytes, search->id.size) != 0)
        return true;
    search->found = field_to_json(document);
    search->rev = document->rev;
    return false;
}

json_t *suite_document(struct catalog *catalog, const struct run_key *run, unsigned field, uint64_t *rev)
{
    struct search search = { .found = NULL };

    make_field_id(run, field, &search.id);
    assert_ok(catalog_scan_run(catalog, run, search_document, &search, &suite_err));
    if (rev != NULL)
        *rev = search.rev;
    return search.found;
}

void suite_forget_sqlite(const char *uri)
{
    catalog_file_remove(uri + strlen("sqlite:"));
}
