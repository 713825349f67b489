/* field_merge.c: what an event makes of a document. Pure.
 *
 * What holds after every merge:
 *   1. issues differ in (digest, sub) and stand newest first: by stored_at, then digest, the greater first;
 *   2. every issue has a location; its locations differ in (node, file, offset) and stand in that order;
 *   3. a digest's stamp is the greatest it was given, so one that was adopted (0) yields to any;
 *   4. all issues are of one incarnation, the highest that was seen. A run is reopened only after it was purged: what a lower
 *      incarnation named is gone, or will be.
 * Each of these is a union or a maximum, so additions may come in any order and any number of times. A removal takes
 * what one node said, and comes after it in that node's journal; nodes may interleave as they like. */
#include "indexer/field.h"

#include <assert.h>
#include <stdlib.h>

static int location_compare(const void *left, const void *right)
{
    const struct field_location *a = left, *b = right;
    int order = strcmp(a->node, b->node);

    if (order == 0)
        order = strcmp(a->file, b->file);
    if (order == 0)
        order = (a->offset > b->offset) - (a->offset < b->offset);
    return order;
}

static bool location_equal(const struct field_location *a, const struct field_location *b)
{
    return location_compare(a, b) == 0 && a->length == b->length && strcmp(a->url, b->url) == 0;
}

/* Newest first. Fields of one message that are alike to the last header byte differ in `sub` alone: the first stands first. */
static int issue_compare(const void *left, const void *right)
{
    const struct field_issue *a = left, *b = right;

    if (a->stored_at_us != b->stored_at_us)
        return a->stored_at_us > b->stored_at_us ? -1 : 1;
    int order = digest_compare(&b->digest, &a->digest);
    return order != 0 ? order : (a->sub > b->sub) - (a->sub < b->sub);
}

static void issues_sort(struct field_document *document)
{
    if (document->issues_count > 1)
        qsort(document->issues, document->issues_count, sizeof *document->issues, issue_compare);
}

static void issue_drop(struct field_document *document, unsigned i)
{
    field_issue_fini(&document->issues[i]);
    document->issues_count--;
    memmove(&document->issues[i], &document->issues[i + 1],
            (document->issues_count - i) * sizeof *document->issues);
}

static struct field_issue *issue_find(const struct field_document *document,
                                      const struct field_issue *like)
{
    for (unsigned i = 0; i < document->issues_count; i++) {
        struct field_issue *issue = &document->issues[i];
        if (issue->sub == like->sub && digest_compare(&issue->digest, &like->digest) == 0)
            return issue;
    }
    return NULL;
}

/* The event's keys hold where they differ: a newer release of ecCodes names things anew. */
static void issue_take_keys(struct field_issue *issue, struct field_keys *keys, bool *changed)
{
    assert(keys != NULL);
    if (issue->keys != NULL && field_keys_equal(issue->keys, keys))
        return;
    field_keys_unref(issue->keys);
    issue->keys = field_keys_ref(keys);
    *changed = true;
}

enum status field_location_add(struct field_location **locations, unsigned *count,
                               const struct field_location *location, bool *changed, struct error *err)
{
    unsigned at = 0;

    while (at < *count && location_compare(&(*locations)[at], location) < 0)
        at++;
    if (at < *count && location_compare(&(*locations)[at], location) == 0) {
        if (!location_equal(&(*locations)[at], location)) {
            (*locations)[at] = *location; /* the node goes by another URL now */
            *changed = true;
        }
        return STATUS_OK;
    }
    if (*count == FIELD_LOCATIONS_MAX)
        return error_set(err, STATUS_TOO_LARGE, "a message with more than %d locations",
                         FIELD_LOCATIONS_MAX);
    struct field_location *grown = realloc(*locations, (*count + 1) * sizeof *grown);
    if (grown == NULL)
        return error_set(err, STATUS_NO_MEMORY, "locations of a message");
    *locations = grown;
    memmove(&grown[at + 1], &grown[at], (*count - at) * sizeof *grown);
    grown[at] = *location;
    (*count)++;
    *changed = true;
    return STATUS_OK;
}

/* What is there of the digest, or a new issue without locations at the end. */
static struct field_issue *issue_place(struct field_document *document, const struct field_issue *like)
{
    struct field_issue *issue = issue_find(document, like);

    if (issue != NULL)
        return issue;
    struct field_issue *grown = realloc(document->issues, (document->issues_count + 1) * sizeof *grown);
    if (grown == NULL)
        return NULL;
    document->issues = grown;
    issue = &grown[document->issues_count++];
    *issue = (struct field_issue){ .digest = like->digest,
                                   .sub = like->sub,
                                   .stored_at_us = like->stored_at_us,
                                   .length = like->length,
                                   .incarnation = like->incarnation };
    return issue;
}

static void drop_what_is_over(struct field_document *document)
{
    while (document->issues_count > FIELD_ISSUES_MAX)
        issue_drop(document, document->issues_count - 1);
}

/* Numbers are kept as signed 64 bits by every database. */
static enum status add_check(const struct field_issue *issue, struct error *err)
{
    if (issue->stored_at_us > INT64_MAX || issue->length > INT64_MAX || issue->incarnation > INT64_MAX)
        return error_set(err, STATUS_BAD_VALUE, "a stamp, length or incarnation past 63 bits");
    if (issue->sub == 0 || issue->sub > GRIB_FIELDS_MAX)
        return error_set(err, STATUS_BAD_VALUE, "field %u of a message", issue->sub);
    for (unsigned i = 0; i < issue->locations_count; i++)
        if (issue->locations[i].offset > INT64_MAX || issue->locations[i].length > INT64_MAX)
            return error_set(err, STATUS_BAD_VALUE, "an offset or length past 63 bits");
    return STATUS_OK;
}

/* Invariant 4. false: the event is of an incarnation that is over. */
static bool incarnation_admits(struct field_document *document, uint64_t incarnation, bool *changed)
{
    if (document->issues_count == 0)
        return true;
    if (incarnation < document->issues[0].incarnation)
        return false;
    if (incarnation > document->issues[0].incarnation) {
        while (document->issues_count > 0)
            issue_drop(document, document->issues_count - 1);
        *changed = true;
    }
    return true;
}

static enum status merge_add(struct field_document *document, const struct field_issue *added,
                             bool *changed, struct error *err)
{
    enum status status = add_check(added, err);

    if (status != STATUS_OK)
        return status;
    if (added->locations_count == 0 || !incarnation_admits(document, added->incarnation, changed))
        return STATUS_OK;

    struct field_issue *issue = issue_place(document, added);
    if (issue == NULL)
        return error_set(err, STATUS_NO_MEMORY, "an issue of a field");
    issue_take_keys(issue, added->keys, changed);
    if (added->stored_at_us > issue->stored_at_us) {
        issue->stored_at_us = added->stored_at_us;
        *changed = true;
    }
    for (unsigned i = 0; i < added->locations_count; i++) {
        status = field_location_add(&issue->locations, &issue->locations_count,
                                    &added->locations[i], changed, err);
        if (status == STATUS_TOO_LARGE)
            document->dropped++; /* no reason to keep the others waiting: there are enough */
        else if (status != STATUS_OK)
            return status;
    }
    issues_sort(document);
    drop_what_is_over(document);
    return STATUS_OK;
}

static bool location_named(const struct field_location *location, const struct field_event *event)
{
    return strcmp(location->node, event->node) == 0 &&
           (event->file[0] == '\0' || strcmp(location->file, event->file) == 0);
}

static void issue_remove_locations(struct field_issue *issue, const struct field_event *event, bool *changed)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < issue->locations_count; i++)
        if (!location_named(&issue->locations[i], event))
            issue->locations[kept++] = issue->locations[i];
    if (kept == 0 && event->spare_last) /* nothing was overwritten */
        return;
    if (kept != issue->locations_count)
        *changed = true;
    issue->locations_count = kept;
}

bool field_locations_move(struct field_location *locations, unsigned count,
                          const struct run_key *run, const char *node, const char *base_url)
{
    char base_time[BASE_TIME_TEXT_SIZE], url[sizeof locations->url];
    bool changed = false;

    base_time_print(run->base_time, base_time);
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(locations[i].node, node) != 0)
            continue;
        snprintf(url, sizeof url, "%.*s/data/%s/%s/%s", URL_SIZE_MAX, base_url, run->source,
                 base_time, locations[i].file);
        changed = changed || strcmp(url, locations[i].url) != 0;
        memcpy(locations[i].url, url, sizeof url);
    }
    return changed;
}

static void merge_move(struct field_document *document, const struct field_event *event, bool *changed)
{
    for (unsigned i = 0; i < document->issues_count; i++)
        if (field_locations_move(document->issues[i].locations, document->issues[i].locations_count,
                                 &document->run, event->node, event->base_url))
            *changed = true;
}

static void merge_remove(struct field_document *document, const struct field_event *event, bool *changed)
{
    for (unsigned i = document->issues_count; i-- > 0;) {
        struct field_issue *issue = &document->issues[i];
        if (event->has_digest && digest_compare(&issue->digest, &event->digest) != 0)
            continue;
        issue_remove_locations(issue, event, changed);
        if (issue->locations_count == 0)
            issue_drop(document, i);
    }
}

/* Names alone: an issue that has gone meanwhile does not come back, and its locations are whatever they are by now. */
static void merge_rename(struct field_document *document, const struct field_issue *named, bool *changed)
{
    struct field_issue *issue = issue_find(document, named);

    if (issue == NULL)
        return;
    struct field_keys *keys = field_keys_renamed(issue->keys, named->keys);
    issue_take_keys(issue, keys, changed);
    field_keys_unref(keys);
}

enum status field_merge(struct field_document *document, const struct field_event *event,
                        bool *changed, struct error *err)
{
    assert(document->id.size == event->id.size);
    assert(memcmp(document->id.bytes, event->id.bytes, event->id.size) == 0);

    *changed = false;
    if (event->kind == FIELD_ADD)
        return merge_add(document, &event->issue, changed, err);
    if (event->kind == FIELD_RENAME)
        merge_rename(document, &event->issue, changed);
    else if (event->kind == FIELD_MOVE)
        merge_move(document, event, changed);
    else
        merge_remove(document, event, changed);
    return STATUS_OK;
}
