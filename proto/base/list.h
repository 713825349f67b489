/* list.h: the intrusive doubly linked list; a head and its members are the same struct. Not
 * thread-safe. */
#ifndef PROTO_BASE_LIST_H
#define PROTO_BASE_LIST_H

#include "proto/base/bytes.h"

#include <stdbool.h>

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *head)
{
    head->next = head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_append(struct list *head, struct list *item)
{
    item->prev = head->prev;
    item->next = head;
    head->prev->next = item;
    head->prev = item;
}

/* Leaves item empty: removing it twice is harmless. */
static inline void list_remove(struct list *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}

/* All of from goes to the end of to; from is empty then. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define list_first(head, type, member) container_of((head)->next, type, member)
#define list_last(head, type, member) container_of((head)->prev, type, member)
#define list_for_each(item, head)                                                                  \
    for (struct list *item = (head)->next; item != (head); item = item->next)
#define list_for_each_safe(item, after, head)                                                      \
    for (struct list *item = (head)->next, *after = item->next; item != (head);                    \
         item = after, after = item->next)

#endif
