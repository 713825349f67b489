/* decode_memo.c: entries by key, segments by text, kinds; all in hash tables, entries in a list by use. */
#include "indexer/decode_memo.h"

#include "indexer/decode_memo_key.h"
#include "indexer/decode_memo_text.h"
#include "proto/base/list.h"
#include "proto/base/log.h"

#include <assert.h>
#include <stdlib.h>
#include <uthash.h>

enum {
    KINDS_MAX = 100 * 1000, /* beyond, heads of new kinds are not remembered */
    TEXT_SIZE_MAX = 64 << 10,
    LOGGED_SIZE_MAX = 4096,
    PIECE_SIZE = 16,  /* what malloc keeps beside a piece */
    MEMBER_SIZE = 16, /* what uthash keeps a member in its table of buckets */
};

/* A part of texts, as often as it is used. */
struct memo_segment {
    unsigned references;
    unsigned size;
    UT_hash_handle hh;
    char text[];
};

struct memo_kind {
    uint64_t kind;
    bool proven; /* a hit of it was decoded in full, and agreed */
    bool banned; /* one did not agree */
    UT_hash_handle hh;
};

struct memo_entry {
    struct digest key;
    struct memo_kind *kind;
    struct memo_segment *segment[MEMO_SEGMENTS]; /* NULL: empty */
    uint8_t group[MEMO_GROUPS];
    uint8_t groups_count;
    struct list list; /* by use */
    UT_hash_handle hh;
};

struct decode_memo {
    size_t size_max, size;
    uint64_t check_every, unchecked; /* hits since the last check */
    struct memo_entry *entries;
    struct memo_segment *segments;
    struct memo_kind *kinds;
    struct list oldest_first;
    struct digest_stream *stream; /* owned */
    struct memo_groups groups;
    struct decode_memo_stats stats;
};

/* ---- segments ---- */

static size_t segment_size(const struct memo_segment *segment)
{
    return sizeof *segment + segment->size + PIECE_SIZE + MEMBER_SIZE;
}

static struct memo_segment *segment_take(struct decode_memo *memo, struct slice text)
{
    struct memo_segment *segment;

    if (text.size == 0)
        return NULL;
    HASH_FIND(hh, memo->segments, text.data, text.size, segment);
    if (segment == NULL) {
        segment = malloc(sizeof *segment + text.size);
        assert(segment != NULL);
        *segment = (struct memo_segment){ .size = (unsigned)text.size };
        memcpy(segment->text, text.data, text.size);
        HASH_ADD_KEYPTR(hh, memo->segments, segment->text, text.size, segment);
        memo->size += segment_size(segment);
    }
    segment->references++;
    return segment;
}

static void segment_release(struct decode_memo *memo, struct memo_segment *segment)
{
    if (segment == NULL || --segment->references > 0)
        return;
    memo->size -= segment_size(segment);
    HASH_DEL(memo->segments, segment); /* NOLINT(clang-analyzer-core.NullDereference): it does not follow uthash's links */
    free(segment);
}

/* ---- entries ---- */

static size_t entry_size(void)
{
    return sizeof(struct memo_entry) + PIECE_SIZE + MEMBER_SIZE;
}

static void entry_remove(struct decode_memo *memo, struct memo_entry *entry)
{
    for (unsigned i = 0; i < MEMO_SEGMENTS; i++)
        segment_release(memo, entry->segment[i]);
    HASH_DEL(memo->entries, entry); /* NOLINT(clang-analyzer-core.NullDereference): it does not follow uthash's links */
    list_remove(&entry->list);
    memo->size -= entry_size();
    memo->stats.entries--;
    free(entry);
}

static struct memo_entry *entry_find(struct decode_memo *memo, const struct digest *key)
{
    struct memo_entry *entry;

    HASH_FIND(hh, memo->entries, key, sizeof *key, entry);
    return entry;
}

static void entry_add(struct decode_memo *memo, const struct decode_memo_key *key,
                      struct memo_kind *kind, const struct memo_parts *parts)
{
    struct memo_entry *entry = calloc(1, sizeof *entry);

    assert(entry != NULL);
    entry->key = key->key;
    entry->kind = kind;
    entry->groups_count = (uint8_t)parts->groups_count;
    memcpy(entry->group, parts->group, sizeof entry->group);
    for (unsigned i = 0; i <= parts->groups_count; i++)
        entry->segment[i] = segment_take(memo, parts->segment[i]);
    HASH_ADD(hh, memo->entries, key, sizeof entry->key, entry);
    list_append(&memo->oldest_first, &entry->list);
    memo->size += entry_size();
    memo->stats.entries++;
    while (memo->size > memo->size_max && !list_empty(&memo->oldest_first))
        entry_remove(memo, list_first(&memo->oldest_first, struct memo_entry, list));
}

static bool entry_join(const struct decode_memo *memo, const struct memo_entry *entry, struct buf *text)
{
    struct memo_parts parts = { .groups_count = entry->groups_count };

    memcpy(parts.group, entry->group, sizeof parts.group);
    for (unsigned i = 0; i <= parts.groups_count; i++)
        if (entry->segment[i] != NULL)
            parts.segment[i] = slice_of(entry->segment[i]->text, entry->segment[i]->size);
    return memo_parts_join(&parts, &memo->groups, text);
}

/* ---- kinds ---- */

/* NULL: there are too many. */
static struct memo_kind *kind_take(struct decode_memo *memo, uint64_t number)
{
    struct memo_kind *kind;

    HASH_FIND(hh, memo->kinds, &number, sizeof number, kind);
    if (kind != NULL || HASH_COUNT(memo->kinds) >= KINDS_MAX)
        return kind;
    kind = calloc(1, sizeof *kind);
    assert(kind != NULL);
    kind->kind = number;
    HASH_ADD(hh, memo->kinds, kind, sizeof kind->kind, kind);
    memo->size += sizeof *kind + PIECE_SIZE + MEMBER_SIZE;
    return kind;
}

/* ---- finding ---- */

/* The key of a usual head, and its groups. */
static bool memo_read(struct decode_memo *memo, const uint8_t *data, size_t size,
                      struct decode_memo_key *key)
{
    struct grib_head head;
    int64_t base_time;

    if (memo->size_max == 0 || grib_head_parse(data, size, &head, NULL) != STATUS_OK ||
        grib_base_time(data, size, &base_time, NULL) != STATUS_OK ||
        !decode_memo_key(&head, base_time, memo->stream, key))
        return false;
    memo_groups_make(&memo->groups, &head, base_time);
    return true;
}

static bool wants_check(struct decode_memo *memo, const struct memo_entry *entry)
{
    bool turn = memo->check_every > 0 && ++memo->unchecked >= memo->check_every;

    if (turn)
        memo->unchecked = 0;
    return turn || !entry->kind->proven;
}

bool decode_memo_find(struct decode_memo *memo, const uint8_t *head, size_t size, struct buf *keys)
{
    struct decode_memo_key key;
    struct memo_entry *entry = memo_read(memo, head, size, &key) ? entry_find(memo, &key.key) : NULL;

    assert(keys->size == 0);
    if (entry == NULL || wants_check(memo, entry) || !entry_join(memo, entry, keys)) {
        memo->stats.misses++;
        return false;
    }
    list_remove(&entry->list);
    list_append(&memo->oldest_first, &entry->list);
    memo->stats.hits++;
    return true;
}

/* ---- learning ---- */

/* This kind is not to be trusted: all of it goes, and never comes back. */
static void memo_ban(struct decode_memo *memo, struct memo_kind *kind)
{
    kind->banned = true;
    list_for_each_safe (at, after, &memo->oldest_first) {
        struct memo_entry *entry = container_of(at, struct memo_entry, list);
        if (entry->kind == kind)
            entry_remove(memo, entry);
    }
}

/* A line each: two would not fit one. */
static void memo_report(const char *event, struct slice text)
{
    char copy[LOGGED_SIZE_MAX] = "refused";
    size_t size = text.size < sizeof copy ? text.size : sizeof copy - 1;

    if (text.data != NULL) {
        memcpy(copy, text.data, size);
        copy[size] = '\0';
    }
    log_msg(LOG_ERROR, event, "%s", copy);
}

/* An entry is there, and a full decode of its head. */
static void memo_check(struct decode_memo *memo, struct memo_entry *entry, struct slice keys)
{
    struct buf text;

    buf_init(&text, TEXT_SIZE_MAX);
    if (entry_join(memo, entry, &text)) { /* else it would not have been a hit */
        memo->stats.checks++;
        if (keys.size == text.size && memcmp(keys.data, text.data, text.size) == 0) {
            entry->kind->proven = true;
        } else {
            memo->stats.mismatches++;
            memo_report("decode_memo.mismatch.decoded", keys);
            memo_report("decode_memo.mismatch.remembered", slice_of(text.data, text.size));
            memo_ban(memo, entry->kind);
        }
    }
    buf_fini(&text);
}

static bool memo_keep(struct decode_memo *memo, const struct decode_memo_key *key, struct slice keys)
{
    struct memo_kind *kind = kind_take(memo, key->kind);
    struct memo_parts parts;

    if (kind == NULL || kind->banned || !memo_parts_take(keys, &memo->groups, &parts))
        return false;
    entry_add(memo, key, kind, &parts);
    return true;
}

void decode_memo_learn(struct decode_memo *memo, const uint8_t *head, size_t size, struct slice keys)
{
    struct decode_memo_key key;
    bool usual = memo_read(memo, head, size, &key);
    struct memo_entry *entry = usual ? entry_find(memo, &key.key) : NULL;

    if (entry != NULL)
        memo_check(memo, entry, keys);
    else if (keys.data != NULL && (!usual || keys.size > TEXT_SIZE_MAX || !memo_keep(memo, &key, keys)))
        memo->stats.unusual++;
}

/* ---- the whole ---- */

void decode_memo_clear(struct decode_memo *memo)
{
    while (!list_empty(&memo->oldest_first))
        entry_remove(memo, list_first(&memo->oldest_first, struct memo_entry, list));
}

struct decode_memo *decode_memo_new(size_t size_max, uint64_t check_every)
{
    struct decode_memo *memo = calloc(1, sizeof *memo);

    assert(memo != NULL);
    memo->size_max = size_max;
    memo->check_every = check_every;
    memo->stream = digest_stream_new();
    list_init(&memo->oldest_first);
    memo_groups_init(&memo->groups);
    return memo;
}

void decode_memo_free(struct decode_memo *memo)
{
    struct memo_kind *kind, *after;

    decode_memo_clear(memo);
    HASH_ITER(hh, memo->kinds, kind, after)
    {
        HASH_DEL(memo->kinds, kind);
        free(kind);
    }
    memo_groups_fini(&memo->groups);
    digest_stream_free(memo->stream);
    free(memo);
}

void decode_memo_stats(const struct decode_memo *memo, struct decode_memo_stats *stats)
{
    *stats = memo->stats;
    stats->bytes = memo->size;
}
