/* run_holdings.c: one scan of a run's documents; a digest that several fields of a message share counts once a node. */
#include "indexer/run_holdings.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct holding_seen {
    struct digest digest;
    uint32_t node; /* its place among the holdings */
};

struct holdings_reading {
    void (*on_file)(void *data, const char *node, const char *file);
    void *data;
    struct run_holdings *holdings;
    struct holding_seen *seen; /* owned */
    size_t count, size;
};

static uint32_t holdings_place(struct run_holdings *holdings, const char *node)
{
    for (size_t i = 0; i < holdings->count; i++)
        if (strcmp(holdings->items[i].node, node) == 0)
            return (uint32_t)i;
    holdings->items = realloc(holdings->items, (holdings->count + 1) * sizeof *holdings->items);
    assert(holdings->items != NULL);
    holdings->items[holdings->count] = (struct run_holding){ .set = { .count = 0 } };
    snprintf(holdings->items[holdings->count].node, sizeof holdings->items[0].node, "%s", node);
    return (uint32_t)holdings->count++;
}

static bool holdings_on_location(void *data, const char *node, const char *file,
                                 const struct digest *digest)
{
    struct holdings_reading *reading = data;

    if (reading->count == reading->size) {
        reading->size = reading->size == 0 ? 4096 : 2 * reading->size;
        reading->seen = realloc(reading->seen, reading->size * sizeof *reading->seen);
        assert(reading->seen != NULL);
    }
    reading->seen[reading->count++] = (struct holding_seen){
        .digest = *digest, .node = holdings_place(reading->holdings, node)
    };
    if (reading->on_file != NULL)
        reading->on_file(reading->data, node, file);
    return true;
}

static bool holdings_on_entry(void *data, const struct quarantine_entry *entry)
{
    for (unsigned i = 0; i < entry->locations_count; i++)
        holdings_on_location(data, entry->locations[i].node, entry->locations[i].file, &entry->digest);
    return true;
}

static int seen_compare(const void *left, const void *right)
{
    const struct holding_seen *a = left, *b = right;

    return a->node != b->node ? (a->node > b->node) - (a->node < b->node)
                              : digest_compare(&a->digest, &b->digest);
}

static void holdings_fold(struct holdings_reading *reading)
{
    if (reading->count > 0)
        qsort(reading->seen, reading->count, sizeof *reading->seen, seen_compare);
    for (size_t i = 0; i < reading->count; i++)
        if (i == 0 || seen_compare(&reading->seen[i - 1], &reading->seen[i]) != 0)
            digest_set_add(&reading->holdings->items[reading->seen[i].node].set, &reading->seen[i].digest);
}

enum status run_holdings_scan(struct catalog *catalog, const struct run_key *run,
                              void (*on_file)(void *data, const char *node, const char *file),
                              void *data, struct run_holdings *holdings, struct error *err)
{
    struct holdings_reading reading = { .on_file = on_file, .data = data, .holdings = holdings };

    *holdings = (struct run_holdings){ .count = 0 };
    enum status status = catalog_scan_files(catalog, run, holdings_on_location, &reading, err);
    if (status == STATUS_OK)
        status = catalog_quarantine_scan(catalog, run, holdings_on_entry, &reading, err);
    if (status == STATUS_OK)
        holdings_fold(&reading);
    free(reading.seen);
    return status;
}

void run_holdings_fini(struct run_holdings *holdings)
{
    free(holdings->items);
    *holdings = (struct run_holdings){ .count = 0 };
}

struct digest_set run_holdings_of(const struct run_holdings *holdings, const char *node)
{
    for (size_t i = 0; i < holdings->count; i++)
        if (strcmp(holdings->items[i].node, node) == 0)
            return holdings->items[i].set;
    return (struct digest_set){ .count = 0 };
}

bool run_holdings_same(const struct digest_set *a, const struct digest_set *b)
{
    return a->count == b->count && digest_compare(&a->sum, &b->sum) == 0;
}
