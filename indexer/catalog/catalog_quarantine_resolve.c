/* catalog_quarantine_resolve.c: messages of quarantine that are tried again. One that decodes: its documents are written, then its entry goes.
 *
 *   1. the entry is read, as it is now: its places are what the documents get;
 *   2. the documents are written (a union with what is there);
 *   3. the entry is deleted, if it is still the one that was read; otherwise from 1 on again, and what documents were given of places that the
 *      entry has not got any more is taken from them.
 *
 * A crash behind any of them leaves the entry, and the next attempt does the same. Whoever removes places takes them from quarantine
 * first and from documents then (catalog_remove.c): so a place that goes meanwhile is either missing in 3, or its removal still comes to the
 * documents written in 2. */
#include "indexer/catalog/catalog_quarantine.h"

#include <stdlib.h>
#include <string.h>

/* Places that documents were given here. */
struct resolving {
    struct catalog *catalog;
    const struct quarantine_entry *asked;
    struct field_location *given; /* owned */
    unsigned given_count;
    struct error *err;
};

static bool entry_has(const struct quarantine_entry *entry, const struct field_location *location)
{
    for (unsigned i = 0; i < entry->locations_count; i++) {
        const struct field_location *at = &entry->locations[i];
        if (strcmp(at->node, location->node) == 0 && strcmp(at->file, location->file) == 0 &&
            at->offset == location->offset)
            return true;
    }
    return false;
}

/* What was given and is not in the entry any more; the node's other places of the message are given again. */
static enum status resolving_take_back(struct resolving *resolving, const struct quarantine_entry *entry)
{
    enum status status = STATUS_OK;

    for (unsigned i = 0; i < resolving->given_count && status == STATUS_OK; i++)
        if (!entry_has(entry, &resolving->given[i]))
            status = catalog_remove_messages(resolving->catalog, &resolving->asked->run,
                                             resolving->given[i].node, &resolving->asked->digest, 1,
                                             resolving->err);
    return status;
}

static enum status resolving_keep_given(struct resolving *resolving, const struct quarantine_entry *entry)
{
    enum status status = STATUS_OK;
    bool changed;

    for (unsigned i = 0; i < entry->locations_count && status == STATUS_OK; i++)
        status = field_location_add(&resolving->given, &resolving->given_count,
                                    &entry->locations[i], &changed, resolving->err);
    return status;
}

static enum status event_make(const struct quarantine_entry *entry, const struct quarantine_field *field,
                              unsigned sub, struct field_event *event, struct error *err)
{
    *event = (struct field_event){ .kind = FIELD_ADD, .run = entry->run };
    field_id_make(&entry->run, field->identity, &event->id);
    event->issue = (struct field_issue){
        .digest = entry->digest,
        .sub = sub,
        .stored_at_us = entry->stored_at_us,
        .length = entry->length,
        .incarnation = entry->incarnation,
        .keys = field_keys_ref(field->keys),
        .locations_count = entry->locations_count,
        .locations = malloc(entry->locations_count * sizeof *entry->locations + 1),
    };
    if (event->issue.locations == NULL)
        return error_set(err, STATUS_NO_MEMORY, "places");
    memcpy(event->issue.locations, entry->locations, entry->locations_count * sizeof *entry->locations);
    return STATUS_OK;
}

static enum status resolving_write(struct resolving *resolving, const struct quarantine_entry *entry,
                                   const struct quarantine_field *fields, size_t count)
{
    struct field_event *events = calloc(count + 1, sizeof *events);
    enum status status = STATUS_OK;
    size_t made = 0;

    if (events == NULL)
        return error_set(resolving->err, STATUS_NO_MEMORY, "events of a message");
    while (made < count && status == STATUS_OK) {
        status = event_make(entry, &fields[made], (unsigned)made + 1, &events[made], resolving->err);
        made++;
    }
    if (status == STATUS_OK)
        status = resolving_keep_given(resolving, entry);
    if (status == STATUS_OK)
        status = catalog_apply(resolving->catalog, events, count, resolving->err);
    for (size_t i = 0; i < made; i++)
        field_event_fini(&events[i]);
    free(events);
    return status;
}

/* CONFLICT: the entry is another one by now. *gone: it is not there, or not of what was decoded. */
static enum status resolve_once(struct resolving *resolving, const struct quarantine_field *fields,
                                size_t count, bool *gone)
{
    struct quarantine_entry entry = { .length = 0 };
    struct record_id id;
    struct record found;

    record_id_quarantine(&id, &resolving->asked->run, &resolving->asked->digest);
    enum status status = record_read(resolving->catalog, CATALOG_QUARANTINE, &id, &found, resolving->err);
    if (status == STATUS_OK && found.doc != NULL)
        status = quarantine_entry_of(&found, &entry, resolving->err);
    *gone = found.doc == NULL || entry.incarnation != resolving->asked->incarnation;
    json_decref(found.doc);
    if (status == STATUS_OK && *gone) {
        quarantine_entry_fini(&entry);
        return resolving_take_back(resolving, &entry);
    }
    if (status == STATUS_OK)
        status = resolving_take_back(resolving, &entry);
    if (status == STATUS_OK)
        status = resolving_write(resolving, &entry, fields, count);
    if (status == STATUS_OK)
        status = record_write_one(resolving->catalog, CATALOG_QUARANTINE, &id, found.rev, NULL,
                                  resolving->err);
    quarantine_entry_fini(&entry);
    return status;
}

enum status catalog_quarantine_resolve(struct catalog *catalog, const struct quarantine_entry *entry,
                                       const struct quarantine_field *fields, size_t count,
                                       bool *resolved, struct error *err)
{
    struct error own;
    struct resolving resolving = { .catalog = catalog, .asked = entry, .err = err != NULL ? err : &own };
    enum status status = STATUS_CONFLICT;
    bool gone = true;

    for (int round = 0; status == STATUS_CONFLICT && round < CATALOG_ROUNDS_MAX; round++)
        status = resolve_once(&resolving, fields, count, &gone);
    free(resolving.given);
    *resolved = status == STATUS_OK && !gone;
    return status == STATUS_OK ? STATUS_OK : error_wrap(resolving.err, "quarantine");
}

/* --- in vain --- */

static enum status renew_once(struct catalog *catalog, const struct quarantine_entry *renewed,
                              struct error *err)
{
    struct quarantine_entry entry = { .length = 0 };
    struct record_id id;
    struct record found;

    record_id_quarantine(&id, &renewed->run, &renewed->digest);
    enum status status = record_read(catalog, CATALOG_QUARANTINE, &id, &found, err);
    if (status != STATUS_OK || found.doc == NULL)
        return status;
    status = quarantine_entry_of(&found, &entry, err);
    json_decref(found.doc);
    if (status == STATUS_OK && entry.incarnation == renewed->incarnation) {
        memcpy(entry.reason, renewed->reason, sizeof entry.reason);
        memcpy(entry.eccodes, renewed->eccodes, sizeof entry.eccodes);
        entry.form = renewed->form;
        json_t *doc = quarantine_entry_to_doc(&entry);
        status = doc == NULL ? error_set(err, STATUS_BAD_VALUE, "a reason that is not UTF-8")
                             : record_write_one(catalog, CATALOG_QUARANTINE, &id, found.rev, doc, err);
    }
    quarantine_entry_fini(&entry);
    return status;
}

enum status catalog_quarantine_renew(struct catalog *catalog, const struct quarantine_entry *entry,
                                     struct error *err)
{
    enum status status = STATUS_CONFLICT;

    for (int round = 0; status == STATUS_CONFLICT && round < CATALOG_ROUNDS_MAX; round++)
        status = renew_once(catalog, entry, err);
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "quarantine");
}
