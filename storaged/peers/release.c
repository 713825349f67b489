/* release.c: rounds, and what is told of them. */
#include "storaged/peers/release.h"

#include "storaged/node.h"
#include "storaged/node_metrics.h"
#include "storaged/peers/release_after.h"
#include "storaged/peers/release_ask.h"
#include "storaged/peers/release_plan.h"
#include "storaged/request.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/node_api.h"

#include <inttypes.h>
#include <stdlib.h>

enum { RELEASE_REPLY_MAX = 64 << 10 };

/* What any loop prints. */
struct release_progress {
    uint64_t files, bytes; /* that are to be given up yet */
    uint64_t grace_files, grace_bytes;
    uint64_t refused[RELEASE_CODES]; /* files, of the last round, or of the first so far */
    uint64_t planned_us;             /* wall clock of the last plan; 0: none yet */
    bool paused;
    char error[256]; /* the last refusal or failure of that round */
};

struct release {
    struct node_loop *loop;
    uv_timer_t timer;
    bool stopped;
    uint64_t epoch; /* of the map that the round goes by */
    /* the round */
    bool in_round;
    uint64_t round_due_ms; /* the next one */
    struct release_plan plan;
    size_t run, taken; /* the run that is asked for, and how many of its files were */
    size_t shift;      /* where its files begin */
    bool granted;      /* some of it was */
    uint64_t refused[RELEASE_CODES];
    char error[256];
    /* the plan being made */
    bool planning;
    struct work work;
    struct cluster_view *view;
    struct release_plan made;
    struct store_dropped *dropped; /* owned */
    size_t dropped_count;
    /* requests */
    bool asking;
    uint64_t begun_ms; /* of the loop: how long it takes */
    struct release_indexers indexers;
    struct release_ask ask;
    struct release_plan_file asked_files[RELEASE_FILES_MAX]; /* as planned: sizes and counts */
    struct release_after after;
    uv_mutex_t mutex; /* of what follows */
    struct release_progress progress;
    bool has_asked;
    struct run_key asked_run;
    unsigned asked_count;
    struct store_drop_file asked[RELEASE_FILES_MAX];
};

static void release_turn(struct release *release);

static void on_timer(uv_timer_t *timer)
{
    release_turn(container_of(timer, struct release, timer));
}

static void release_rest(struct release *release, uint64_t ms)
{
    if (!release->stopped)
        uv_timer_start(&release->timer, on_timer, ms, 0);
}

/* Behind a request: as long as it took. */
static void release_rest_as_long(struct release *release)
{
    uint64_t took_ms = uv_now(&release->loop->uv) - release->begun_ms;

    if (took_ms < RELEASE_REST_MIN_MS)
        took_ms = RELEASE_REST_MIN_MS;
    release_rest(release, took_ms < RELEASE_REST_MAX_MS ? took_ms : RELEASE_REST_MAX_MS);
}

/* --- what is told --- */

static void progress_set(struct release *release)
{
    struct release_progress *progress = &release->progress;

    uv_mutex_lock(&release->mutex);
    progress->grace_files = release->after.count;
    progress->grace_bytes = release->after.bytes;
    uv_mutex_unlock(&release->mutex);
    metric_set(&metric_release_left, (int64_t)progress->bytes);
}

static void progress_take_plan(struct release *release, bool paused)
{
    uv_mutex_lock(&release->mutex);
    release->progress.files = release->made.files_total;
    release->progress.bytes = release->made.bytes_total;
    release->progress.planned_us = clock_wall_us();
    release->progress.paused = paused;
    uv_mutex_unlock(&release->mutex);
    progress_set(release);
}

static void progress_take_round(struct release *release)
{
    uv_mutex_lock(&release->mutex);
    memcpy(release->progress.refused, release->refused, sizeof release->refused);
    memcpy(release->progress.error, release->error, sizeof release->error);
    uv_mutex_unlock(&release->mutex);
}

static void progress_dropped(struct release *release, const struct release_plan_file *file)
{
    struct release_progress *progress = &release->progress;

    metric_add(&metric_released, (int64_t)file->count);
    metric_add(&metric_released_bytes, (int64_t)file->size);
    uv_mutex_lock(&release->mutex);
    progress->files -= progress->files > 0;
    progress->bytes -= progress->bytes < file->size ? progress->bytes : file->size;
    uv_mutex_unlock(&release->mutex);
}

/* --- the plan --- */

static void plan_run(struct work *work)
{
    struct release *release = container_of(work, struct release, work);
    struct node *node = release->loop->node;
    uint64_t settle_s = node->settings->release_period_ms / 1000;

    release_plan_make(&release->made, node->store, release->view->map, release->view->self, settle_s);
    store_list_dropped(node->store, &release->dropped, &release->dropped_count);
}

/* Nothing more is asked for in this round: it would be refused alike. */
static void round_give_up(struct release *release, enum release_code code)
{
    for (; release->run < release->plan.runs_count; release->run++) {
        release->refused[code] += release->plan.runs[release->run].count - release->taken;
        release->taken = 0;
    }
}

static void round_begin(struct release *release)
{
    release_plan_free(&release->plan);
    release->plan = release->made;
    release->made = (struct release_plan){ 0 };
    release->run = release->taken = 0;
    random_bytes(&release->shift, sizeof release->shift);
    release->shift %= RELEASE_PLAN_FILES_MAX;
    release->granted = false;
    memset(release->refused, 0, sizeof release->refused);
    release->error[0] = '\0';
    release->in_round = true;
}

static void plan_done(struct work *work)
{
    struct release *release = container_of(work, struct release, work);
    struct node_loop *loop = release->loop;
    bool paused = release->view->map->paused;

    release->planning = false;
    release->epoch = release->view->map->epoch;
    release->round_due_ms = clock_monotonic_ms() + loop->node->settings->release_period_ms;
    release_after_take(&release->after, release->dropped, release->dropped_count);
    free(release->dropped);
    release->dropped = NULL;
    progress_take_plan(release, paused);
    if (!paused)
        round_begin(release);
    if (!paused && release->view->self == NODE_NONE)
        round_give_up(release, RELEASE_NOT_FOUND);
    release_plan_free(&release->made);
    cluster_view_release(release->view);
    release_rest(release, RELEASE_REST_MIN_MS);
    node_loop_end(loop);
}

static void plan_start(struct release *release)
{
    release->planning = true;
    release->view = cluster_view(&release->loop->node->cluster);
    node_loop_begin(release->loop);
    work_start_own(&release->work, release->loop, plan_run, plan_done);
}

/* --- a round --- */

static void round_refuse(struct release *release, enum release_code code, uint64_t files)
{
    release->refused[code] += files;
    metric_add(&metric_release_refused[code], (int64_t)files);
}

static void round_end(struct release *release)
{
    release->in_round = false;
    release_plan_free(&release->plan);
    progress_take_round(release);
}

/* What is left of the run waits for the next round, for the same reason. */
static void round_next_run(struct release *release, enum release_code code)
{
    const struct release_plan_run *run = &release->plan.runs[release->run];

    release->refused[code] += run->count - release->taken;
    release->run++;
    release->taken = 0;
    release->granted = false;
}

static void ask_note(struct release *release, unsigned *granted, enum release_code *code)
{
    struct release_ask *ask = &release->ask;

    *granted = 0;
    for (unsigned i = 0; i < ask->count; i++) {
        const struct release_plan_file *planned = release->asked_files;

        while (planned->birth != ask->files[i].birth)
            planned++; /* it was planned: ask->files are some of them, in their order */
        if (!ask->verdicts[i].granted) {
            *code = ask->verdicts[i].code;
            round_refuse(release, *code, 1);
            continue;
        }
        ++*granted;
        release_after_add(&release->after, ask, i, planned->size);
        progress_dropped(release, planned);
    }
}

static void ask_log(const struct release *release, unsigned granted)
{
    const struct release_ask *ask = &release->ask;
    char run[RUN_TEXT_SIZE];
    struct log_line line;

    if (ask->count == 0)
        return;
    run_key_print(&ask->run, run);
    log_begin(&line, granted > 0 ? LOG_INFO : LOG_DEBUG, "release");
    log_str(&line, "run", run);
    log_u64(&line, "files", ask->count);
    log_u64(&line, "dropped", granted);
    if (ask->why[0] != '\0')
        log_str(&line, "refused", ask->why);
    log_end(&line);
}

static void on_asked(struct release_ask *ask)
{
    struct release *release = ask->user;
    enum release_code code = RELEASE_FAILED;
    unsigned granted;

    ask_note(release, &granted, &code);
    ask_log(release, granted);
    uv_mutex_lock(&release->mutex);
    release->has_asked = false; /* behind the store's state: see release_handle_file() */
    uv_mutex_unlock(&release->mutex);
    release->asking = false;
    if (ask->why[0] != '\0')
        memcpy(release->error, ask->why, sizeof release->error);
    release->taken += ask->count; /* what did not fit into the question is next */
    release->granted |= granted > 0;
    if (ask->count > 0 && granted == 0 && !release->granted)
        round_next_run(release, code);
    else if (ask->count == 0)
        round_next_run(release, RELEASE_FAILED);
    if (code == RELEASE_UNREACHABLE || code == RELEASE_PAUSED)
        round_give_up(release, code);
    progress_set(release);
    release_rest_as_long(release);
}

/* The next files of the run under way, into the asking. */
static void ask_fill(struct release *release, const struct release_plan_run *run)
{
    struct release_ask *ask = &release->ask;
    size_t most = release->granted ? RELEASE_FILES_MAX : RELEASE_PROBE_FILES;
    uint64_t messages = 0;

    ask->count = 0;
    for (size_t i = release->taken; i < run->count && ask->count < most; i++) {
        const struct release_plan_file *file = &release->plan.files[run->first + (i + release->shift) % run->count];

        messages += file->count;
        if (ask->count > 0 && messages > RELEASE_DIGESTS_MAX)
            break;
        release->asked_files[ask->count] = *file;
        ask->files[ask->count++] = (struct store_drop_file){ .shard = file->shard, .birth = file->birth };
    }
}

static void ask_start(struct release *release, const struct release_plan_run *run)
{
    struct release_ask *ask = &release->ask;

    ask_fill(release, run);
    ask->loop = release->loop;
    ask->indexers = &release->indexers;
    ask->run = run->run;
    ask->on_done = on_asked;
    ask->user = release;
    uv_mutex_lock(&release->mutex);
    release->has_asked = true;
    release->asked_run = run->run;
    release->asked_count = ask->count;
    memcpy(release->asked, ask->files, ask->count * sizeof *ask->files);
    uv_mutex_unlock(&release->mutex);
    release->asking = true;
    release->begun_ms = uv_now(&release->loop->uv);
    release_ask_start(ask);
}

static void round_step(struct release *release)
{
    while (release->run < release->plan.runs_count &&
           release->taken >= release->plan.runs[release->run].count)
        round_next_run(release, RELEASE_FAILED); /* nothing is left of it */
    if (release->run < release->plan.runs_count &&
        release->after.count + RELEASE_FILES_MAX <= RELEASE_GRACE_FILES_MAX)
        ask_start(release, &release->plan.runs[release->run]);
    else
        round_end(release);
}

/* --- turns --- */

static void on_after(struct release_after *after)
{
    struct release *release = after->user;

    progress_set(release);
    release_rest_as_long(release);
}

/* Another map, or a pause, ends the round. */
static void turn_look_at_map(struct release *release, uint64_t now_ms)
{
    struct cluster_view *view = cluster_view(&release->loop->node->cluster);

    if (view->map->epoch != release->epoch) {
        if (release->in_round)
            round_end(release);
        release->round_due_ms = now_ms;
    }
    cluster_view_release(view);
}

/* Until something is due; another map may come before. */
static void turn_rest(struct release *release, uint64_t now_ms)
{
    uint64_t due_ms = release_after_due_ms(&release->after);

    if (release->round_due_ms < due_ms)
        due_ms = release->round_due_ms;
    uint64_t rest_ms = due_ms > now_ms ? due_ms - now_ms : RELEASE_TICK_MS;
    release_rest(release, rest_ms < RELEASE_TICK_MS ? rest_ms : RELEASE_TICK_MS);
}

/* What is most wanted; the timer is set again where nothing was begun, else by what it ends with. */
static void release_turn(struct release *release)
{
    struct node *node = release->loop->node;
    uint64_t now_ms = clock_monotonic_ms();

    if (release->stopped || release->planning || release->asking || release->after.busy)
        return;
    bool may = node_phase(node) == NODE_SERVING && !node_loop_stats(release->loop)->read_only;
    if (may)
        turn_look_at_map(release, now_ms);
    if (may && release_after_due_ms(&release->after) <= now_ms) {
        release->begun_ms = uv_now(&release->loop->uv);
        release_after_go(&release->after);
    } else if (may && release->in_round) {
        round_step(release);
    } else if (may && release->round_due_ms <= now_ms) {
        plan_start(release);
    }
    if (!release->planning && !release->asking && !release->after.busy &&
        !uv_is_active((uv_handle_t *)&release->timer))
        turn_rest(release, now_ms);
}

/* --- start and stop --- */

struct release *release_start(struct node_loop *loop)
{
    struct release *release;

    if (loop->node->settings->release_period_ms == 0)
        return NULL;
    release = calloc(1, sizeof *release);
    if (release == NULL || uv_mutex_init(&release->mutex) != 0)
        abort();
    release->loop = loop;
    release_after_init(&release->after, loop, loop->node->settings->release_grace_ms);
    release->after.on_done = on_after;
    release->after.user = release;
    uv_timer_init(&loop->uv, &release->timer);
    release_rest(release, RELEASE_REST_MIN_MS);
    return release;
}

void release_stop(struct release *release)
{
    if (release == NULL || release->stopped)
        return;
    release->stopped = true;
    uv_close((uv_handle_t *)&release->timer, NULL);
    if (release->asking)
        release_ask_cancel(&release->ask);
    if (release->after.busy)
        release_after_cancel(&release->after);
}

void release_free(struct release *release)
{
    if (release == NULL)
        return;
    release_after_fini(&release->after);
    release_plan_free(&release->plan);
    uv_mutex_destroy(&release->mutex);
    free(release);
}

/* --- GET /cluster/releases --- */

static void print_progress(struct json_writer *json, struct release *release)
{
    uv_mutex_lock(&release->mutex);
    struct release_progress progress = release->progress;
    bool asking = release->has_asked;
    uv_mutex_unlock(&release->mutex);
    json_put_u64(json, "files", progress.files);
    json_put_u64(json, "bytes", progress.bytes);
    json_put_u64(json, "grace_files", progress.grace_files);
    json_put_u64(json, "grace_bytes", progress.grace_bytes);
    json_key(json, "refused");
    json_object_begin(json);
    for (unsigned code = 0; code < RELEASE_CODES; code++)
        if (progress.refused[code] > 0)
            json_put_u64(json, release_code_name(code), progress.refused[code]);
    json_object_end(json);
    json_put_bool(json, "asking", asking);
    json_put_bool(json, "paused", progress.paused);
    json_put_time(json, "planned_at", progress.planned_us);
    json_put_string(json, "error", progress.error[0] != '\0' ? progress.error : NULL);
}

void release_handle(struct http_exchange *ex)
{
    static const char *const keys[] = { NULL };
    struct node *node = request_loop(ex)->node;
    struct json_writer json;
    struct buf body;

    if (!request_keys_known(ex, keys))
        return;
    buf_init(&body, RELEASE_REPLY_MAX);
    json_init(&json, &body);
    json_object_begin(&json);
    json_key(&json, "period_seconds");
    json_double(&json, (double)node->settings->release_period_ms / 1000);
    json_key(&json, "grace_seconds");
    json_double(&json, (double)node->settings->release_grace_ms / 1000);
    if (node->release != NULL)
        print_progress(&json, node->release);
    json_object_end(&json);
    http_reply_header(ex, "Cache-Control", "no-store");
    request_reply_json(ex, 200, &body);
}

/* --- GET /cluster/releases/{source}/{base_time}/{file} --- */

static bool release_is_asked(struct release *release, const struct run_key *run, unsigned shard,
                             uint64_t birth)
{
    bool is_asked = false;

    if (release == NULL)
        return false;
    uv_mutex_lock(&release->mutex);
    if (release->has_asked && run_key_compare(&release->asked_run, run) == 0)
        for (unsigned i = 0; i < release->asked_count; i++)
            is_asked |= release->asked[i].birth == birth && release->asked[i].shard == shard;
    uv_mutex_unlock(&release->mutex);
    return is_asked;
}

/* Asked first, the store's state then: what is dropped in between is told either way. */
static const char *release_state(struct node *node, const struct run_key *run, unsigned shard,
                                 uint64_t birth)
{
    if (release_is_asked(node->release, run, shard, birth))
        return "asked";
    switch (store_file_state(node->store, run, shard, birth)) {
    case STORE_FILE_COUNTS:
        return "none";
    case STORE_FILE_DROPPED:
        return "dropped";
    default:
        return "gone";
    }
}

void release_handle_file(struct http_exchange *ex)
{
    static const char *const keys[] = { NULL };
    struct node *node = request_loop(ex)->node;
    struct json_writer json;
    struct run_key run;
    struct buf body;
    unsigned shard;
    uint64_t birth;

    if (!request_keys_known(ex, keys) || !request_run(ex, &run))
        return;
    if (!data_file_name_parse(http_param(ex, "file"), &shard, &birth)) {
        request_fail_with(ex, STATUS_NOT_FOUND, "that is no data file's name");
        return;
    }
    buf_init(&body, RELEASE_REPLY_MAX);
    json_init(&json, &body);
    json_object_begin(&json);
    json_put_string(&json, "state", release_state(node, &run, shard, birth));
    json_object_end(&json);
    http_reply_header(ex, "Cache-Control", "no-store");
    request_reply_json(ex, 200, &body);
}
