/* mirror.c: a run after another: list, check, copy, wait for the index, compare, state. */
#include "client/mirror.h"

#include "client/call.h"
#include "client/indexer_api.h"
#include "client/mirror_copy.h"
#include "client/runs.h"
#include "proto/base/clock.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MIRROR_POLL_MIN_MS = 100,
    MIRROR_POLL_MAX_MS = 2000,
    MIRROR_ROUNDS = 3,
    MIRROR_SAY_MS = 1000
};

struct mirror {
    struct gs_session *from, *to;
    const struct mirror_options *options;
    struct mirror_report *report;
    struct mirror_run run_now, *run; /* the one under way */
    uint64_t said_ms;
};

const char *mirror_result_name(enum mirror_result result)
{
    static const char *const names[] = {
        [MIRROR_EQUAL] = "equal",     [MIRROR_LACKS] = "lacks",   [MIRROR_MOVES] = "moves",
        [MIRROR_DIFFERS] = "differs", [MIRROR_UNREAD] = "unread", [MIRROR_REFUSED] = "refused",
        [MIRROR_RETIRED] = "retired",
    };

    return names[result];
}

static void say(struct mirror *mirror, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct mirror *mirror, const char *format, ...)
{
    char text[GS_TEXT_SIZE], name[RUN_TEXT_SIZE];
    int used;
    va_list list;

    if (mirror->options->on_text == NULL)
        return;
    run_key_print(&mirror->run->run, name);
    used = snprintf(text, sizeof text, "%s: ", name);
    va_start(list, format);
    vsnprintf(text + used, sizeof text - (size_t)used, format, list);
    va_end(list);
    mirror->options->on_text(mirror->options->user, text);
}

static void on_copied(const struct mirror_copy *copy)
{
    struct mirror *mirror = copy->user;
    uint64_t now_ms = clock_monotonic_ms();

    if (now_ms - mirror->said_ms < MIRROR_SAY_MS)
        return;
    mirror->said_ms = now_ms;
    say(mirror, "%" PRIu64 " of %zu messages, %" PRIu64 " MB copied", copy->messages + copy->known,
        copy->picks_count, copy->bytes / 1000000);
}

/* --- states --- */

/* "": the index does not know the run. */
static enum status state_get(struct gs_session *session, const struct run_key *key, char state[16],
                             char fingerprint[96], struct error *err)
{
    struct gs_run run;
    enum status status = run_ask(session, key, NULL, &run, err);

    state[0] = fingerprint[0] = '\0';
    if (status == STATUS_NOT_FOUND)
        return STATUS_OK;
    if (status == STATUS_OK) {
        snprintf(state, 16, "%s", run.state);
        snprintf(fingerprint, 96, "%s", run.fingerprint);
    }
    return status;
}

static enum status states_get(struct mirror *mirror, struct error *err)
{
    struct mirror_run *run = mirror->run;
    enum status status = state_get(mirror->from, &run->run, run->state_there,
                                   run->fingerprint_there, err);

    if (status != STATUS_OK)
        return error_wrap(err, "the other cluster");
    return state_get(mirror->to, &run->run, run->state_here, run->fingerprint_here, err);
}

static bool takes_messages(const char *state)
{
    return strcmp(state, "filling") == 0 || strcmp(state, "ready") == 0;
}

/* --- what is lacking here --- */

static const struct mirror_message *picked(const struct mirror_list *list, const size_t *pick)
{
    return &list->messages[*pick];
}

struct pick {
    uint64_t stored_at_us;
    size_t message;
};

static int pick_compare(const void *a, const void *b)
{
    const struct pick *left = a, *right = b;

    if (left->stored_at_us != right->stored_at_us)
        return left->stored_at_us < right->stored_at_us ? -1 : 1;
    return left->message < right->message ? -1 : left->message > right->message;
}

/* Digests that the index here has not with all their copies, as indexes into the list, the oldest stamp first. */
static enum status picks_sort(const struct mirror_list *list, const struct digest *digests,
                              size_t count, size_t *picks, struct error *err)
{
    struct pick *sorted = calloc(count + 1, sizeof *sorted);

    if (sorted == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for messages");
    for (size_t i = 0; i < count; i++) {
        const struct mirror_message *message = mirror_list_find(list, &digests[i]);
        sorted[i] = (struct pick){ message->stored_at_us, (size_t)(message - list->messages) };
    }
    qsort(sorted, count, sizeof *sorted, pick_compare);
    for (size_t i = 0; i < count; i++)
        picks[i] = sorted[i].message;
    free(sorted);
    return STATUS_OK;
}

/* *count: how many. A run that is not known here lacks them all. */
static enum status lacking(struct mirror *mirror, const struct mirror_list *list, size_t *picks,
                           size_t *count, struct error *err)
{
    struct digest *digests = calloc(list->count + 1, sizeof *digests);
    enum status status = STATUS_OK;

    if (digests == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for messages");
    for (size_t i = 0; i < list->count; i++)
        digests[i] = list->messages[i].digest;
    *count = list->count;
    if (mirror->run->state_here[0] != '\0')
        status = run_check(mirror->to, &mirror->run->run, digests, count, err);
    if (status == STATUS_OK)
        status = picks_sort(list, digests, *count, picks, err);
    free(digests);
    return status;
}

/* --- until the index here has it --- */

static enum status await_index(struct mirror *mirror, const struct mirror_list *list, struct error *err)
{
    uint64_t until_ms = clock_monotonic_ms() + mirror->options->wait_ms, pause_ms = MIRROR_POLL_MIN_MS;
    size_t *picks = calloc(list->count + 1, sizeof *picks), left = list->count;
    enum status status = picks != NULL ? STATUS_OK
                                       : error_set(err, STATUS_NO_MEMORY, "no memory for messages");
    char state[16], fingerprint[96];

    while (status == STATUS_OK && left > 0) {
        status = state_get(mirror->to, &mirror->run->run, state, fingerprint, err);
        if (status == STATUS_OK && state[0] != '\0') {
            snprintf(mirror->run->state_here, sizeof mirror->run->state_here, "%s", state);
            status = lacking(mirror, list, picks, &left, err);
        }
        if (status != STATUS_OK || left <= mirror->run->unread)
            break;
        if (clock_monotonic_ms() >= until_ms) {
            status = error_set(err, STATUS_TIMEOUT,
                               "%zu of %zu messages are not in the index with all their copies yet",
                               left, list->count);
            break;
        }
        say(mirror, "the index here has %zu of %zu", list->count - left, list->count);
        status = session_wait(mirror->to, pause_ms, err);
        pause_ms = pause_ms * 3 / 2 < MIRROR_POLL_MAX_MS ? pause_ms * 3 / 2 : MIRROR_POLL_MAX_MS;
    }
    free(picks);
    return status;
}

/* --- the same? --- */

/* Do index and nodes here agree on the run? */
static enum status nodes_agree(struct mirror *mirror, bool *agree, struct error *err)
{
    char name[RUN_TEXT_SIZE], path[sizeof INDEXER_RUNS_PATH + RUN_TEXT_SIZE + 16];
    const struct call call = { .to = CALL_INDEXERS, .method = "GET", .path = path };
    json_t *json = NULL;

    run_key_print(&mirror->run->run, name);
    snprintf(path, sizeof path, INDEXER_RUNS_PATH "/%s?fingerprint=1", name);
    enum status status = call_json(mirror->to, &call, &json, err);
    *agree = status == STATUS_OK &&
             json_is_true(json_object_get(json_object_get(json, "nodes"), "equal"));
    json_decref(json);
    return status;
}

/* Copies that are on their way, or that a node just took in for another, are waited for. */
static enum status await_nodes(struct mirror *mirror, struct error *err)
{
    uint64_t until_ms = clock_monotonic_ms() + mirror->options->wait_ms;
    bool agree = false;
    enum status status = nodes_agree(mirror, &agree, err);

    while (status == STATUS_OK && !agree && clock_monotonic_ms() < until_ms) {
        status = session_wait(mirror->to, MIRROR_POLL_MAX_MS / 4, err);
        if (status == STATUS_OK)
            status = nodes_agree(mirror, &agree, err);
    }
    if (status != STATUS_OK || agree)
        return status;
    mirror->run->result = MIRROR_DIFFERS;
    snprintf(mirror->run->detail, sizeof mirror->run->detail,
             "the indexes are equal, but index and nodes here are not: gribstore check");
    return STATUS_OK;
}

/* What is on one side only, and what is the current issue of something on one side only. */
static void compare_lists(struct mirror_run *run, const struct mirror_list *there,
                          const struct mirror_list *here)
{
    uint64_t common = 0;

    run->only_here = run->other_current = 0;
    for (size_t i = 0; i < here->count; i++) {
        const struct mirror_message *other = mirror_list_find(there, &here->messages[i].digest);
        common += other != NULL;
        if (other != NULL && other->current != here->messages[i].current)
            run->other_current++;
    }
    run->only_here = here->count - common;
}

static bool sets_equal(const struct digest_set *a, const struct digest_set *b)
{
    return a->count == b->count && digest_compare(&a->sum, &b->sum) == 0;
}

static enum status compare(struct mirror *mirror, const struct mirror_list *there, bool *equal,
                           struct error *err)
{
    struct mirror_run *run = mirror->run;
    struct mirror_list here;
    enum status status = mirror_list_get(mirror->to, &run->run, &here, err);

    if (status == STATUS_NOT_FOUND) /* nothing of it was to be copied */
        status = STATUS_OK;
    if (status == STATUS_OK)
        compare_lists(run, there, &here);
    *equal = status == STATUS_OK && sets_equal(&there->all, &here.all) &&
             sets_equal(&there->current, &here.current);
    mirror_list_fini(&here);
    if (status == STATUS_OK)
        status = states_get(mirror, err);
    if (status == STATUS_OK && *equal && strcmp(run->fingerprint_there, run->fingerprint_here) != 0)
        *equal = false; /* it has moved since it was listed */
    return status;
}

static void differs(struct mirror_run *run)
{
    run->result = MIRROR_DIFFERS;
    if (run->only_here > 0)
        snprintf(run->detail, sizeof run->detail,
                 "%" PRIu64 " messages are here and not there: nothing is deleted by a mirror",
                 run->only_here);
    else if (run->other_current > 0)
        snprintf(run->detail, sizeof run->detail,
                 "%" PRIu64
                 " messages are a field's current issue on one side only: they came to both clusters apart, with other stamps",
                 run->other_current);
    else
        snprintf(run->detail, sizeof run->detail, "the fingerprints differ: it is written to");
}

/* --- one run --- */

static enum status copy_what_is_lacking(struct mirror *mirror, const struct mirror_list *list,
                                        struct error *err)
{
    struct mirror_run *run = mirror->run;
    struct mirror_copy copy = { .from = mirror->from,
                                .to = mirror->to,
                                .run = run->run,
                                .list = list,
                                .on_progress = on_copied,
                                .user = mirror };
    size_t *picks = calloc(list->count + 1, sizeof *picks);
    enum status status = picks != NULL ? lacking(mirror, list, picks, &copy.picks_count, err)
                                       : error_set(err, STATUS_NO_MEMORY, "no memory for messages");

    copy.picks = picks;
    run->lacking = copy.picks_count;
    for (size_t i = 0; status == STATUS_OK && mirror->options->dry_run && i < copy.picks_count; i++)
        run->bytes += picked(list, &picks[i])->length;
    if (status == STATUS_OK && !mirror->options->dry_run && copy.picks_count > 0) {
        status = mirror_copy_run(&copy, err);
        run->copied += copy.messages;
        run->bytes += copy.bytes;
        run->bad_copies += copy.bad_copies;
        run->too_few += copy.too_few;
        run->unread = copy.unread;
        if (copy.unread > 0)
            snprintf(run->detail, sizeof run->detail, "%.*s", MIRROR_DETAIL_SIZE - 1,
                     copy.unread_err.text);
    }
    free(picks);
    return status;
}

/* Listed, copied, indexed, compared. */
static enum status round_of(struct mirror *mirror, bool *equal, struct error *err)
{
    struct mirror_run *run = mirror->run;
    struct mirror_list there;
    enum status status = mirror_list_get(mirror->from, &run->run, &there, err);

    *equal = false;
    if (status != STATUS_OK)
        return error_wrap(err, "the other cluster");
    run->messages = there.count;
    run->size = there.bytes;
    status = copy_what_is_lacking(mirror, &there, err);
    if (status == STATUS_OK && !mirror->options->dry_run)
        status = await_index(mirror, &there, err);
    if (status == STATUS_OK)
        status = compare(mirror, &there, equal, err);
    mirror_list_fini(&there);
    return status;
}

/* Ready here as it is there. */
static enum status follow_state(struct mirror *mirror, struct error *err)
{
    struct mirror_run *run = mirror->run;
    struct gs_run now;

    if (mirror->options->dry_run || strcmp(run->state_there, "ready") != 0 ||
        strcmp(run->state_here, "filling") != 0)
        return STATUS_OK;
    enum status status = run_ask(mirror->to, &run->run, "ready", &now, err);
    if (status == STATUS_OK)
        snprintf(run->state_here, sizeof run->state_here, "%s", now.state);
    return status;
}

static enum status judge(struct mirror *mirror, bool equal, struct error *err)
{
    struct mirror_run *run = mirror->run;

    if (run->unread > 0) {
        run->result = MIRROR_UNREAD;
    } else if (equal) {
        run->result = MIRROR_EQUAL;
        enum status status = mirror->options->dry_run || run->messages == 0 ? STATUS_OK
                                                                            : await_nodes(mirror, err);
        return status == STATUS_OK && run->result == MIRROR_EQUAL ? follow_state(mirror, err) : status;
    } else if (mirror->options->dry_run && run->lacking > 0) {
        run->result = MIRROR_LACKS;
    } else {
        differs(run);
        if (run->only_here == 0 && run->other_current == 0 && strcmp(run->state_there, "filling") == 0)
            run->result = MIRROR_MOVES;
    }
    return STATUS_OK;
}

static enum status mirror_one(struct mirror *mirror, struct error *err)
{
    struct mirror_run *run = mirror->run;
    enum status status = states_get(mirror, err);
    bool equal = false;

    if (status != STATUS_OK)
        return status;
    if (run->state_here[0] != '\0' && !takes_messages(run->state_here)) {
        run->result = MIRROR_REFUSED;
        snprintf(run->detail, sizeof run->detail,
                 "it is %.15s here: `gribstore runs`, then reopen or undo it", run->state_here);
        return STATUS_OK;
    }
    /* What came meanwhile is in the next round; a run that is filled without end is left after some. */
    for (unsigned i = 0; i < MIRROR_ROUNDS; i++) {
        status = round_of(mirror, &equal, err);
        if (status != STATUS_OK || equal || mirror->options->dry_run || run->unread > 0 ||
            run->only_here > 0 || run->other_current > 0)
            break;
    }
    return status == STATUS_OK ? judge(mirror, equal, err) : status;
}

/* It is on its way out there, or gone. */
static enum status retire_one(struct mirror *mirror, struct error *err)
{
    struct mirror_run *run = mirror->run;
    struct gs_run now;
    enum status status = states_get(mirror, err);

    run->result = MIRROR_RETIRED;
    if (status != STATUS_OK || !takes_messages(run->state_here))
        return status;
    if (!mirror->options->dry_run)
        status = run_ask(mirror->to, &run->run, "retire", &now, err);
    if (status == STATUS_OK && !mirror->options->dry_run)
        snprintf(run->state_here, sizeof run->state_here, "%s", now.state);
    return status;
}

/* --- all runs --- */

static void report_add(struct mirror_report *report, const struct mirror_run *run)
{
    static const unsigned heaviness[] = {
        [MIRROR_EQUAL] = 0,   [MIRROR_LACKS] = 0,   [MIRROR_RETIRED] = 0, [MIRROR_MOVES] = 1,
        [MIRROR_DIFFERS] = 2, [MIRROR_REFUSED] = 2, [MIRROR_UNREAD] = 3
    };

    report->runs++;
    report->equal += run->result == MIRROR_EQUAL;
    report->copied += run->result == MIRROR_LACKS ? run->lacking : run->copied;
    report->bytes += run->bytes;
    report->unread += run->unread;
    if (heaviness[run->result] > heaviness[report->worst])
        report->worst = run->result;
}

static bool is_wanted(const struct mirror *mirror, const struct gs_run *run, const struct run_key *key)
{
    const struct mirror_options *options = mirror->options;

    if (options->run != NULL && run_key_compare(options->run, key) != 0)
        return false;
    if (!takes_messages(run->state))
        return options->retire;
    return !options->ready_only || strcmp(run->state, "ready") == 0;
}

/* A run that is retired there and unknown here is no business of ours. */
static enum status mirror_run_of(struct mirror *mirror, const struct gs_run *there, struct error *err)
{
    bool retired = !takes_messages(there->state);
    struct mirror_run *run = &mirror->run_now;

    *run = (struct mirror_run){ .result = MIRROR_EQUAL };
    mirror->run = run;
    enum status status = run_key_parse(slice_text(there->source), slice_text(there->base_time),
                                       &run->run, err);
    if (status != STATUS_OK || !is_wanted(mirror, there, &run->run))
        return status;
    status = retired ? retire_one(mirror, err) : mirror_one(mirror, err);
    if (status != STATUS_OK || (retired && run->state_here[0] == '\0'))
        return status;
    report_add(mirror->report, run);
    if (mirror->options->on_run != NULL)
        mirror->options->on_run(mirror->options->user, run);
    return STATUS_OK;
}

/* Of the indexer that was named: a node that stands in the settings may be the other cluster's. */
static enum status take_map(struct gs_session *session, struct error *err)
{
    const struct call call = {
        .to = CALL_INDEXERS, .method = "GET", .path = INDEXER_MAP_PATH, .answer_max = INDEXER_ANSWER_MAX
    };
    struct call_answer answer;
    enum status status = call_run(session, &call, &answer, err);

    if (status == STATUS_OK) {
        map_unref(session->map);
        session->map = map_parse(answer.body.data, answer.body.size, err);
        status = session->map != NULL ? nodes_from_map(&session->nodes, session->map, answer.url, err)
                                      : error_of_answer(STATUS_BAD_VALUE, err, answer.url);
    }
    call_answer_fini(&answer);
    return status;
}

enum status mirror_cluster(struct gs_session *to, const struct mirror_options *options,
                           struct mirror_report *report, struct error *err)
{
    struct mirror mirror = { .from = options->from, .to = to, .options = options, .report = report };
    uint64_t started_ms = clock_monotonic_ms();
    struct run_list runs = { .count = 0 };

    *report = (struct mirror_report){ .worst = MIRROR_EQUAL };
    enum status status = take_map(options->from, err);
    if (status != STATUS_OK)
        return error_wrap(err, "the other cluster");
    status = take_map(to, err);
    assert(status != STATUS_OK || (options->from->map != NULL && to->map != NULL));
    if (status == STATUS_OK && strcmp(options->from->map->cluster, to->map->cluster) == 0)
        status = error_set(err, STATUS_BAD_VALUE, "both are the same cluster, %s", to->map->cluster);
    if (status == STATUS_OK)
        status = run_list_get(options->from, options->source, &runs, err);
    for (size_t i = 0; status == STATUS_OK && i < runs.count; i++)
        status = mirror_run_of(&mirror, &runs.items[i], err);
    run_list_fini(&runs);
    report->took_ms = clock_monotonic_ms() - started_ms;
    return status;
}
