/* field.c: ids, and the memory of issues, events and documents. Merging is field_merge.c's, the JSON form field_json.c's. */
#include "indexer/field.h"

#include <assert.h>
#include <stdlib.h>

const char *const field_own_keys[] = {
    "_id", "id",     "rev",       "source",    "base_time", "incarnation", "digest",
    "sub", "length", "stored_at", "locations", "older",     NULL,
};

void field_id_make(const struct run_key *run, const uint8_t identity[GRIB_IDENTITY_SIZE],
                   struct field_id *id)
{
    *id = (struct field_id){ .size = 0 };
    size_t size = run_id_print(run, id->bytes);

    memcpy(id->bytes + size, identity, GRIB_IDENTITY_SIZE);
    id->size = size + GRIB_IDENTITY_SIZE;
}

bool field_id_parse(const uint8_t *bytes, size_t size, struct field_id *id, struct run_key *run)
{
    size_t used;

    *id = (struct field_id){ .size = 0 };
    if (size > FIELD_ID_SIZE_MAX || !run_id_parse(slice_of(bytes, size), run, &used) ||
        size - used != GRIB_IDENTITY_SIZE)
        return false;
    memcpy(id->bytes, bytes, size);
    id->size = size;
    return true;
}

void field_issue_fini(struct field_issue *issue)
{
    field_keys_unref(issue->keys);
    free(issue->locations);
    *issue = (struct field_issue){ .sub = 0 };
}

enum status field_issue_copy(const struct field_issue *from, struct field_issue *to)
{
    *to = *from;
    to->locations = NULL;
    to->keys = field_keys_ref(from->keys);
    if (from->locations_count > 0) {
        to->locations = calloc(from->locations_count, sizeof *to->locations);
        if (to->locations == NULL) {
            field_issue_fini(to);
            return STATUS_NO_MEMORY;
        }
        memcpy(to->locations, from->locations, from->locations_count * sizeof *to->locations);
    }
    return STATUS_OK;
}

void field_event_fini(struct field_event *event)
{
    field_issue_fini(&event->issue);
}

void field_document_init(struct field_document *document, const struct field_id *id,
                         const struct run_key *run)
{
    *document = (struct field_document){ .id = *id, .run = *run };
}

void field_document_fini(struct field_document *document)
{
    for (unsigned i = 0; i < document->issues_count; i++)
        field_issue_fini(&document->issues[i]);
    free(document->issues);
    document->issues = NULL;
    document->issues_count = 0;
}
