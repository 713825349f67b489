/* damaged_list.c: a ring of copies. */
#include "storaged/damaged_list.h"

void damaged_list_add(struct damaged_list *list, const struct digest *digest, const void *where,
                      uint64_t copy, uint64_t now_ms)
{
    if (damaged_list_has(list, digest, where, copy, now_ms))
        return;
    list->copies[list->next] = (struct damaged_copy){
        .digest = *digest, .where = where, .copy = copy, .until_ms = now_ms + DAMAGED_TIME_MS
    };
    list->next = (list->next + 1) % DAMAGED_COUNT;
}

bool damaged_list_has(const struct damaged_list *list, const struct digest *digest,
                      const void *where, uint64_t copy, uint64_t now_ms)
{
    for (unsigned i = 0; i < DAMAGED_COUNT; i++) {
        const struct damaged_copy *one = &list->copies[i];
        if (one->until_ms > now_ms && one->where == where && one->copy == copy &&
            digest_compare(&one->digest, digest) == 0)
            return true;
    }
    return false;
}
