/* release.c: a request for releases, from its body to its answer.
 *
 *     parse -> look -> take -> holders -> take -> look -> owners -> scan -> give back -> answer
 *
 * The first look saves locks: most refusals are known by then. What counts is the second, behind the locks. Failures lead to giving back,
 * of all locks taken here. Two requests run, some wait in a queue; a request that waited too long is told to come again. */
#include "indexer/release.h"

#include "indexer/map_authority.h"
#include "indexer/release_ask.h"
#include "proto/base/clock.h"
#include "proto/base/fsm.h"
#include "proto/base/json_write.h"
#include "proto/base/log.h"
#include "proto/base/metric.h"
#include "proto/http/http_auth.h"
#include "proto/node_api.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum release_step {
    RELEASE_STEP_PARSE,
    RELEASE_STEP_LOOK,
    RELEASE_STEP_TAKE,
    RELEASE_STEP_HOLDERS,
    RELEASE_STEP_TAKE_AGAIN,
    RELEASE_STEP_LOOK_AGAIN,
    RELEASE_STEP_OWNERS,
    RELEASE_STEP_SCAN,
    RELEASE_STEP_GIVE_BACK,
    RELEASE_STEP_ANSWER,
};

struct release {
    struct fsm fsm;
    struct list list;
    struct indexer *indexer;
    struct http_exchange *exchange;
    struct buf body; /* as it came */
    uint64_t reserved, came_ms, epoch;
    bool refused; /* the token is of other sources */
    struct release_request request;
    struct release_judge judge;
    struct release_hold *holds; /* owned; NULL until parsed */
    struct work work;
};

struct releases {
    struct list waiting;
    unsigned running, waiting_count, gathering;
    uint64_t reserved; /* bytes of bodies */
};

static struct metric release_metrics[RELEASE_ANSWERS];
static char release_labels[RELEASE_ANSWERS][40];

static void releases_next(struct indexer *indexer);

/* --- steps on the pool --- */

static struct release *release_of(struct fsm *fsm)
{
    return container_of(fsm, struct release, fsm);
}

static void release_on_work(struct work *work)
{
    struct release *release = container_of(work, struct release, work);
    fsm_resume(&release->fsm, work->status, &work->err);
}

static enum fsm_next release_work(struct release *release, void (*run)(struct work *work), unsigned next)
{
    error_init(&release->work.err);
    work_start(release->indexer->loop, &release->work, run, release_on_work);
    return fsm_wait(&release->fsm, 1, next);
}

static void parse_run(struct work *work)
{
    struct release *release = container_of(work, struct release, work);

    work->status = release_request_parse(slice_of(release->body.data, release->body.size),
                                         &release->request, &work->err);
    release->refused = work->status == STATUS_OK &&
                       !http_allows_source(release->exchange, slice_text(release->request.run.source));
    if (release->refused)
        work->status = STATUS_FORBIDDEN;
    if (work->status != STATUS_OK)
        return;
    release_judge_init(&release->judge, &release->request);
    release->holds = calloc(release->request.files_count, sizeof *release->holds);
    assert(release->holds != NULL);
}

static enum fsm_next release_parse(struct fsm *fsm)
{
    return release_work(release_of(fsm), parse_run, RELEASE_STEP_LOOK);
}

static void look_run(struct work *work)
{
    struct release *release = container_of(work, struct release, work);

    work->status = release_look(release->indexer->catalog, &release->judge, release->epoch, &work->err);
}

static enum fsm_next release_look_first(struct fsm *fsm)
{
    struct release *release = release_of(fsm);
    const struct cluster_map *map = map_authority_map(release->indexer);

    buf_fini(&release->body);
    if (map != NULL && map->epoch > release->epoch)
        release->epoch = map->epoch;
    return release_work(release, look_run, RELEASE_STEP_TAKE);
}

static void take_run(struct work *work)
{
    struct release *release = container_of(work, struct release, work);

    work->status = release_take(release->indexer->catalog, &release->judge, release->holds, &work->err);
}

static enum fsm_next release_take_first(struct fsm *fsm)
{
    if (!release_judge_any(&release_of(fsm)->judge))
        return fsm_go(fsm, RELEASE_STEP_ANSWER);
    return release_work(release_of(fsm), take_run, RELEASE_STEP_HOLDERS);
}

static void release_on_holders(void *data)
{
    struct release *release = data;
    fsm_resume(&release->fsm, STATUS_OK, NULL);
}

static enum fsm_next release_holders(struct fsm *fsm)
{
    struct release *release = release_of(fsm);

    release_ask_holders(release->indexer, &release->judge, release->holds, release_on_holders, release);
    return fsm_wait(fsm, 1, RELEASE_STEP_TAKE_AGAIN);
}

static enum fsm_next release_take_again(struct fsm *fsm)
{
    struct release *release = release_of(fsm);

    for (size_t i = 0; i < release->request.files_count; i++)
        if (release->holds[i].met && !release->holds[i].freed)
            release_refuse(&release->judge, i, RELEASE_LOCKED, "%s is giving up its copy",
                           release->holds[i].lock.holder);
    return release_work(release, take_run, RELEASE_STEP_LOOK_AGAIN);
}

static enum fsm_next release_look_again(struct fsm *fsm)
{
    struct release *release = release_of(fsm);

    for (size_t i = 0; i < release->request.files_count; i++)
        if (!release->holds[i].taken)
            release_refuse(&release->judge, i, RELEASE_LOCKED, "%s was faster",
                           release->holds[i].lock.holder);
    return release_work(release, look_run, RELEASE_STEP_OWNERS);
}

/* --- the owners --- */

static void release_on_owners(void *data, uint64_t epoch)
{
    struct release *release = data;
    struct error err;

    error_init(&err);
    if (epoch > release->judge.map->epoch)
        error_set(&err, STATUS_NOT_READY,
                  "the index has the map of epoch %" PRIu64 ", an owner shows %" PRIu64,
                  release->judge.map->epoch, epoch);
    fsm_resume(&release->fsm, err.status, &err);
}

static enum fsm_next release_owners(struct fsm *fsm)
{
    struct release *release = release_of(fsm);

    if (!release_judge_any(&release->judge))
        return fsm_go(fsm, RELEASE_STEP_GIVE_BACK);
    release_judge_share_out(&release->judge);
    release_ask_owners(release->indexer, &release->judge, release->came_ms + RELEASE_JUDGE_MS_MAX,
                       release_on_owners, release);
    return fsm_wait(fsm, 1, RELEASE_STEP_SCAN);
}

/* --- the index --- */

static void scan_run(struct work *work)
{
    struct release *release = container_of(work, struct release, work);

    release_judge_copies(&release->judge);
    work->status = STATUS_OK;
    if (release_judge_any(&release->judge))
        work->status = release_scan(release->indexer->catalog, &release->judge, &work->err);
}

static enum fsm_next release_scan_index(struct fsm *fsm)
{
    return release_work(release_of(fsm), scan_run, RELEASE_STEP_GIVE_BACK);
}

/* --- the end --- */

static void give_back_run(struct work *work)
{
    struct release *release = container_of(work, struct release, work);

    struct catalog *catalog = release->indexer->catalog;
    bool failed = release->fsm.status != STATUS_OK;
    struct error err;

    work->status = failed ? STATUS_OK
                          : release_confirm(catalog, &release->judge, release->holds, &work->err);
    failed = failed || work->status != STATUS_OK;
    enum status status = release_give_back(catalog, &release->judge, release->holds, failed, &err);
    if (work->status == STATUS_OK && status != STATUS_OK)
        work->status = error_set(&work->err, status, "%s", err.text);
}

static enum fsm_next release_give_back_step(struct fsm *fsm)
{
    struct release *release = release_of(fsm);
    struct error err;

    if (release->holds == NULL)
        return fsm_go(fsm, RELEASE_STEP_ANSWER);
    error_init(&err);
    if (fsm->status == STATUS_OK &&
        uv_now(release->indexer->loop) > release->came_ms + RELEASE_JUDGE_MS_MAX) {
        fsm->status = error_set(&err, STATUS_OVERLOADED, "it took too long: a grant would be void");
        fsm->err = err;
    }
    return release_work(release, give_back_run, RELEASE_STEP_ANSWER);
}

static void answer_print(const struct release *release, struct buf *body)
{
    const struct release_request *request = &release->request;
    struct json_writer json;

    json_init(&json, body);
    json_object_begin(&json);
    json_key(&json, "granted");
    json_array_begin(&json);
    for (size_t i = 0; i < request->files_count; i++)
        if (release->judge.verdicts[i].code == RELEASE_GRANTED)
            json_format(&json, "%016" PRIx64, request->files[i].birth);
    json_array_end(&json);
    json_key(&json, "refused");
    json_array_begin(&json);
    for (size_t i = 0; i < request->files_count; i++) {
        const struct release_verdict *verdict = &release->judge.verdicts[i];
        if (verdict->code == RELEASE_GRANTED)
            continue;
        json_object_begin(&json);
        json_key(&json, "birth");
        json_format(&json, "%016" PRIx64, request->files[i].birth);
        json_put_string(&json, "code", release_code_name(verdict->code));
        json_put_string(&json, "why", verdict->why);
        json_object_end(&json);
    }
    json_array_end(&json);
    json_object_end(&json);
}

static void answer_count(const struct release *release)
{
    char run[RUN_TEXT_SIZE], file[DATA_FILE_NAME_SIZE];

    run_key_print(&release->request.run, run);
    for (size_t i = 0; i < release->request.files_count; i++) {
        const struct release_verdict *verdict = &release->judge.verdicts[i];
        metric_add(&release_metrics[verdict->code], 1);
        data_file_name_print(release->request.files[i].shard, release->request.files[i].birth, file);
        log_msg(verdict->code == RELEASE_GRANTED ? LOG_INFO : LOG_DEBUG, "release",
                "%s %s/%s: %s%s%s", release->request.node, run, file,
                release_code_name(verdict->code), verdict->why[0] != '\0' ? ": " : "", verdict->why);
    }
}

static void release_fail(const struct release *release)
{
    struct error shown;

    if (release->refused) {
        http_refuse_source(release->exchange);
        return;
    }
    error_init(&shown);
    enum status status = work_status_shown(release->fsm.status, &release->fsm.err, &shown);
    http_reply_error(release->exchange, status, &shown, NULL);
}

static void release_free(struct release *release)
{
    struct indexer *indexer = release->indexer;

    indexer->releases->reserved -= release->reserved;
    if (release->holds != NULL)
        release_judge_fini(&release->judge);
    free(release->holds);
    release_request_fini(&release->request);
    buf_fini(&release->body);
    free(release);
}

static enum fsm_next release_answer(struct fsm *fsm)
{
    struct release *release = release_of(fsm);
    struct indexer *indexer = release->indexer;
    struct buf body;

    if (fsm->status != STATUS_OK) {
        release_fail(release);
    } else {
        answer_count(release);
        buf_init(&body, RELEASE_FILES_MAX * 512);
        answer_print(release, &body);
        http_reply_header(release->exchange, "Cache-Control", "no-store");
        http_reply(release->exchange, 200, "application/json", &body);
    }
    release_free(release);
    indexer->releases->running--;
    releases_next(indexer);
    return FSM_END;
}

#define TO(step) (1u << RELEASE_STEP_##step)
static const struct fsm_step release_steps[] = {
    [RELEASE_STEP_PARSE] = { "parse", release_parse, TO(LOOK) },
    [RELEASE_STEP_LOOK] = { "look", release_look_first, TO(TAKE) },
    [RELEASE_STEP_TAKE] = { "take", release_take_first, TO(HOLDERS) | TO(ANSWER) },
    [RELEASE_STEP_HOLDERS] = { "holders", release_holders, TO(TAKE_AGAIN) },
    [RELEASE_STEP_TAKE_AGAIN] = { "take-again", release_take_again, TO(LOOK_AGAIN) },
    [RELEASE_STEP_LOOK_AGAIN] = { "look-again", release_look_again, TO(OWNERS) },
    [RELEASE_STEP_OWNERS] = { "owners", release_owners, TO(SCAN) | TO(GIVE_BACK) },
    [RELEASE_STEP_SCAN] = { "scan", release_scan_index, TO(GIVE_BACK) },
    [RELEASE_STEP_GIVE_BACK] = { "give-back", release_give_back_step, TO(ANSWER) },
    [RELEASE_STEP_ANSWER] = { "answer", release_answer, 0 },
};

/* --- the queue --- */

static void release_start(struct release *release)
{
    struct indexer *indexer = release->indexer;
    struct error err;

    error_init(&err);
    indexer->releases->running++;
    fsm_start(&release->fsm, "release", release_steps, ARRAY_COUNT(release_steps),
              RELEASE_STEP_PARSE, RELEASE_STEP_GIVE_BACK);
}

static bool release_too_late(struct release *release)
{
    struct error err;

    if (!release->indexer->draining && !http_gone(release->exchange) &&
        uv_now(release->indexer->loop) - release->came_ms <= RELEASE_WAIT_MS_MAX)
        return false;
    error_init(&err);
    error_set(&err, STATUS_OVERLOADED, "others were judged for too long");
    http_reply_error(release->exchange,
                     release->indexer->draining ? STATUS_DRAINING : STATUS_OVERLOADED, &err, NULL);
    release_free(release);
    return true;
}

static void releases_next(struct indexer *indexer)
{
    struct releases *releases = indexer->releases;

    while (releases->running < RELEASE_RUNNING_MAX && !list_empty(&releases->waiting)) {
        struct release *release = list_first(&releases->waiting, struct release, list);
        list_remove(&release->list);
        releases->waiting_count--;
        if (!release_too_late(release))
            release_start(release);
    }
}

static void release_on_body(struct http_exchange *ex, enum status status, struct slice body)
{
    struct release *release = http_user(ex);
    struct releases *releases = release->indexer->releases;
    struct error err;

    http_set_user(ex, NULL, NULL);
    releases->gathering--;
    error_init(&err);
    buf_append(&release->body, body.data, status == STATUS_OK ? body.size : 0);
    if (status != STATUS_OK)
        error_set(&err, status, "the request: %s", status_title(status));
    if (status != STATUS_OK) {
        http_reply_error(ex, status, &err, NULL);
        release_free(release);
        return;
    }
    release->came_ms = uv_now(release->indexer->loop);
    list_append(&releases->waiting, &release->list);
    releases->waiting_count++;
    releases_next(release->indexer);
}

/* By the highest epoch that who asks has seen. */
static uint64_t release_epoch(const struct http_exchange *ex)
{
    struct slice text = http_header(ex, HEADER_EPOCH);
    uint64_t epoch;

    if (text.data == NULL || decimal_parse((const char *)text.data, text.size, UINT64_MAX, &epoch) != 0)
        return 0;
    return epoch;
}

void release_route(struct http_exchange *ex)
{
    struct indexer *indexer = http_context(ex);
    struct releases *releases = indexer->releases;
    uint64_t size = http_content_length(ex);
    struct error err;

    /* The body lies here twice, as gathered and as kept, only for a moment. */
    uint64_t reserved = size == HTTP_LENGTH_UNKNOWN || size > RELEASE_BODY_MAX ? RELEASE_BODY_MAX : size;
    if (releases->waiting_count + releases->gathering >= RELEASE_WAITING_MAX ||
        releases->reserved + reserved > RELEASE_BODIES_MAX) {
        error_init(&err);
        error_set(&err, STATUS_OVERLOADED, "%u requests for releases are judged, %u wait",
                  releases->running, releases->waiting_count + releases->gathering);
        http_reply_error(ex, STATUS_OVERLOADED, &err, NULL);
        return;
    }
    struct release *release = calloc(1, sizeof *release);
    assert(release != NULL);
    release->indexer = indexer;
    release->exchange = ex;
    release->epoch = release_epoch(ex);
    release->reserved = reserved;
    releases->reserved += reserved;
    releases->gathering++;
    buf_init(&release->body, RELEASE_BODY_MAX);
    http_set_user(ex, release, NULL);
    http_body_gather(ex, RELEASE_BODY_MAX, release_on_body);
}

enum status releases_start(struct indexer *indexer, struct error *err)
{
    indexer->releases = calloc(1, sizeof *indexer->releases);
    if (indexer->releases == NULL)
        return error_set(err, STATUS_NO_MEMORY, "releases");
    list_init(&indexer->releases->waiting);
    for (unsigned code = 0; code < RELEASE_ANSWERS; code++) {
        snprintf(release_labels[code], sizeof release_labels[code], "outcome=\"%s\"",
                 release_code_name(code));
        release_metrics[code] = (struct metric){ .name = "gribstore_releases_total",
                                                 .help = "Files that nodes asked to give up, by what was answered.",
                                                 .labels = release_labels[code],
                                                 .kind = METRIC_COUNTER };
        metric_register(&release_metrics[code]);
    }
    return STATUS_OK;
}

void releases_stop(struct indexer *indexer)
{
    if (indexer->releases == NULL)
        return;
    assert(indexer->releases->running == 0 && list_empty(&indexer->releases->waiting));
    free(indexer->releases);
    indexer->releases = NULL;
}
