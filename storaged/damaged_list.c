/* damaged_list.c: a ring of copies. */
#include "storaged/damaged_list.h"

void damaged_list_add(struct damaged_list *list, const struct digest *digest, const void *where,
                      uint64_t now_ms)
{
    if (damaged_list_has(list, digest, where, now_ms))
        return;
    list->copies[list->next] = (struct damaged_copy){ .digest = *digest,
                                                      .where = where,
                                                      .until_ms = now_ms + DAMAGED_TIME_MS };
    list->next = (list->next + 1) % DAMAGED_COUNT;
}

bool damaged_list_has(const struct damaged_list *list, const struct digest *digest,
                      const void *where, uint64_t now_ms)
{
    for (unsigned i = 0; i < DAMAGED_COUNT; i++) {
        const struct damaged_copy *copy = &list->copies[i];
        if (copy->until_ms > now_ms && copy->where == where && digest_compare(&copy->digest, digest) == 0)
            return true;
    }
    return false;
}
