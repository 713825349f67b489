/* reindex.c: names made anew.
 *
 *     READ -> DECODE -> WRITE -> READ ... -> DONE
 */
#include "indexer/reindex.h"

#include "indexer/grib_octets.h"
#include "indexer/work.h"
#include "proto/base/base64.h"
#include "proto/base/fsm.h"

#include <assert.h>
#include <stdlib.h>

enum {
    REINDEX_DOCUMENTS = 500, /* read at once */
    REINDEX_ITEMS_MAX = REINDEX_DOCUMENTS * FIELD_ISSUES_MAX,
    REINDEX_HEADS_SIZE_MAX = REINDEX_ITEMS_MAX * (GRIB_OCTETS_SIZE_MAX + 256),
};

enum reindex_step { REINDEX_READ, REINDEX_DECODE, REINDEX_WRITE, REINDEX_DONE };

/* An issue whose octets are kept. */
struct reindex_item {
    struct field_id id;
    struct run_key run;
    struct digest digest;
    unsigned sub;
    struct field_keys *keys; /* a reference: as they were read */
    size_t head, size;       /* in heads */
};

struct reindex {
    struct fsm fsm;
    struct reindex_options options;
    struct run_key run;  /* of options */
    struct run_key last; /* whose documents were read last */
    struct reindex_count count;
    struct field_id after;
    size_t documents; /* of this piece */
    struct buf heads;
    struct reindex_item *items; /* owned; REINDEX_ITEMS_MAX */
    size_t items_count;
    struct decode_item *decodes; /* owned */
    struct decode_batch batch;
    struct work work;
    bool cancelled;
};

static void reindex_drop(struct reindex *reindex)
{
    for (size_t i = 0; i < reindex->items_count; i++)
        field_keys_unref(reindex->items[i].keys);
    for (size_t i = 0; reindex->decodes != NULL && i < reindex->items_count; i++)
        free(reindex->decodes[i].keys);
    free(reindex->decodes);
    reindex->decodes = NULL;
    reindex->items_count = 0;
    buf_clear(&reindex->heads);
}

/* --- READ --- */

/* False: no octets are kept, or none that a head can be made of. */
static bool reindex_make_head(struct reindex *reindex, const struct run_key *run,
                              const struct field_keys *keys)
{
    uint8_t octets[BASE64_DATA_SIZE(BASE64_TEXT_SIZE(GRIB_OCTETS_SIZE_MAX))];
    size_t size, before = reindex->heads.size;
    struct field_key text, step_key;
    struct error err;

    if (!field_keys_find(keys, slice_text("octets"), &text) || text.type != FIELD_KEY_TEXT ||
        text.value.size >= BASE64_TEXT_SIZE(GRIB_OCTETS_SIZE_MAX) ||
        base64_parse((const char *)text.value.data, text.value.size, octets, &size) != 0)
        return false;
    bool stepped = field_keys_find(keys, slice_text("step_seconds"), &step_key) &&
                   step_key.type == FIELD_KEY_INTEGER;
    int64_t step = stepped ? field_key_integer(&step_key) : 0;
    if (grib_octets_to_head(octets, size, run->base_time, run->base_time + step, &reindex->heads,
                            &err) == STATUS_OK)
        return true;
    reindex->heads.size = before;
    return false;
}

static void reindex_take_issue(struct reindex *reindex, const struct field_document *document,
                               const struct field_issue *issue)
{
    size_t before = reindex->heads.size;

    reindex->count.issues++;
    if (!reindex_make_head(reindex, &document->run, issue->keys)) {
        reindex->count.unkept++;
        return;
    }
    reindex->items[reindex->items_count++] = (struct reindex_item){
        .id = document->id,
        .run = document->run,
        .digest = issue->digest,
        .sub = issue->sub,
        .keys = field_keys_ref(issue->keys),
        .head = before,
        .size = reindex->heads.size - before,
    };
}

static bool reindex_on_document(void *data, const struct field_document *document)
{
    struct reindex *reindex = data;

    assert(document->issues_count <= FIELD_ISSUES_MAX && reindex->documents < REINDEX_DOCUMENTS);
    for (unsigned i = 0; i < document->issues_count; i++)
        reindex_take_issue(reindex, document, &document->issues[i]);
    reindex->after = document->id;
    reindex->last = document->run;
    reindex->count.documents++;
    reindex->documents++;
    return true;
}

static void reindex_read_run(struct work *work)
{
    struct reindex *reindex = container_of(work, struct reindex, work);
    struct query_value source = { .text = reindex->run.source };
    struct query_value base_time = { .time = reindex->run.base_time };
    struct catalog_query query = { .limit = REINDEX_DOCUMENTS, .after = reindex->after };

    if (reindex->options.run != NULL) {
        query.terms[0] = (struct query_term){
            .key = "source", .type = QUERY_TEXT, .count = 1, .values = &source
        };
        query.terms[1] = (struct query_term){
            .key = "base_time", .type = QUERY_TIME, .count = 1, .values = &base_time
        };
        query.terms_count = 2;
    }
    reindex->documents = 0;
    work->status = catalog_find(reindex->options.catalog, &query, reindex_on_document, reindex,
                                &work->err);
    if (work->status == STATUS_OK && buf_status(&reindex->heads) != STATUS_OK)
        work->status = error_set(&work->err, buf_status(&reindex->heads), "heads of kept octets");
}

static void reindex_on_work(struct work *work)
{
    fsm_resume(&container_of(work, struct reindex, work)->fsm, work->status, &work->err);
}

static enum fsm_next reindex_read(struct fsm *fsm)
{
    struct reindex *reindex = container_of(fsm, struct reindex, fsm);

    reindex_drop(reindex);
    if (reindex->cancelled)
        return fsm_fail(fsm, STATUS_CANCELLED, NULL);
    work_start(reindex->options.loop, &reindex->work, reindex_read_run, reindex_on_work);
    return fsm_wait(fsm, 1, REINDEX_DECODE);
}

/* --- DECODE --- */

static void reindex_on_decoded(struct decode_batch *batch, enum status status)
{
    fsm_resume(&container_of(batch, struct reindex, batch)->fsm, status, NULL);
}

static enum fsm_next reindex_decode(struct fsm *fsm)
{
    struct reindex *reindex = container_of(fsm, struct reindex, fsm);

    if (reindex->cancelled) /* the decoders may be gone */
        return fsm_fail(fsm, STATUS_CANCELLED, NULL);
    if (reindex->documents == 0)
        return fsm_go(fsm, REINDEX_DONE);
    if (reindex->items_count == 0)
        return fsm_go(fsm, REINDEX_WRITE);
    reindex->decodes = calloc(reindex->items_count, sizeof *reindex->decodes);
    assert(reindex->decodes != NULL);
    for (size_t i = 0; i < reindex->items_count; i++) {
        reindex->decodes[i].head = reindex->heads.data + reindex->items[i].head;
        reindex->decodes[i].size = reindex->items[i].size;
    }
    reindex->batch = (struct decode_batch){ .items = reindex->decodes,
                                            .count = reindex->items_count,
                                            .on_done = reindex_on_decoded };
    decoders_submit(reindex->options.decoders, &reindex->batch);
    return fsm_wait(fsm, 1, REINDEX_WRITE);
}

/* --- WRITE --- */

static bool reindex_differs(const struct reindex_item *item, const struct field_keys *named)
{
    struct field_keys *renamed = field_keys_renamed(item->keys, named);

    bool differs = !field_keys_equal(renamed, item->keys);
    field_keys_unref(renamed);
    return differs;
}

/* An event if there is something to write: names that hold already cost no write. */
static enum status reindex_make_event(struct reindex *reindex, size_t i, struct field_event *events,
                                      size_t *count, struct error *err)
{
    const struct reindex_item *item = &reindex->items[i];
    const struct decode_item *decode = &reindex->decodes[i];
    struct field_keys *named;

    if (decode->keys == NULL) {
        reindex->count.refused++;
        return STATUS_OK;
    }
    enum status status = field_keys_parse(decode->keys, decode->keys_size, &named, err);
    if (status != STATUS_OK)
        return status;
    if (!reindex_differs(item, named)) {
        field_keys_unref(named);
        return STATUS_OK;
    }
    events[(*count)++] = (struct field_event){
        .kind = FIELD_RENAME,
        .id = item->id,
        .run = item->run,
        .issue = { .digest = item->digest, .sub = item->sub, .keys = named },
    };
    return STATUS_OK;
}

static void reindex_write_run(struct work *work)
{
    struct reindex *reindex = container_of(work, struct reindex, work);
    struct field_event *events = calloc(reindex->items_count + 1, sizeof *events);
    size_t count = 0;

    assert(events != NULL);
    for (size_t i = 0; i < reindex->items_count && work->status == STATUS_OK; i++)
        work->status = reindex_make_event(reindex, i, events, &count, &work->err);
    if (work->status == STATUS_OK && count > 0)
        work->status = catalog_apply(reindex->options.catalog, events, count, &work->err);
    if (work->status == STATUS_OK)
        reindex->count.renamed += count;
    for (size_t i = 0; i < count; i++)
        field_event_fini(&events[i]);
    free(events);
}

static void reindex_on_written(struct work *work)
{
    struct reindex *reindex = container_of(work, struct reindex, work);

    if (work->status == STATUS_OK && reindex->options.on_progress != NULL)
        reindex->options.on_progress(reindex->options.data, &reindex->last, &reindex->count);
    fsm_resume(&reindex->fsm, work->status, &work->err);
}

static enum fsm_next reindex_write(struct fsm *fsm)
{
    struct reindex *reindex = container_of(fsm, struct reindex, fsm);

    work_start(reindex->options.loop, &reindex->work, reindex_write_run, reindex_on_written);
    return fsm_wait(fsm, 1, REINDEX_READ);
}

/* --- DONE --- */

static enum fsm_next reindex_done(struct fsm *fsm)
{
    struct reindex *reindex = container_of(fsm, struct reindex, fsm);
    struct reindex_options options = reindex->options;
    struct reindex_count count = reindex->count;
    enum status status = fsm->status;
    struct error err = fsm->err;

    reindex_drop(reindex);
    buf_fini(&reindex->heads);
    free(reindex->items);
    free(reindex);
    options.on_done(options.data, status, &count, &err);
    return FSM_END;
}

#define TO(step) (1u << REINDEX_##step)
static const struct fsm_step reindex_steps[] = {
    [REINDEX_READ] = { "read", reindex_read, TO(DECODE) },
    [REINDEX_DECODE] = { "decode", reindex_decode, TO(WRITE) | TO(DONE) },
    [REINDEX_WRITE] = { "write", reindex_write, TO(READ) },
    [REINDEX_DONE] = { "done", reindex_done, 0 },
};

void reindex_cancel(struct reindex *reindex)
{
    reindex->cancelled = true;
}

struct reindex *reindex_start(const struct reindex_options *options)
{
    struct reindex *reindex = calloc(1, sizeof *reindex);

    assert(reindex != NULL);
    reindex->options = *options;
    if (options->run != NULL)
        reindex->run = *options->run;
    reindex->items = malloc(REINDEX_ITEMS_MAX * sizeof *reindex->items);
    assert(reindex->items != NULL);
    buf_init(&reindex->heads, REINDEX_HEADS_SIZE_MAX);
    fsm_start(&reindex->fsm, "reindex", reindex_steps, ARRAY_COUNT(reindex_steps), REINDEX_READ,
              REINDEX_DONE);
    return reindex;
}
