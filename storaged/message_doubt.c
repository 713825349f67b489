/* message_doubt.c: what follows for a copy of a message that was not given, not whole, or with other bytes. */
#include "storaged/message_get_parts.h"
#include "storaged/node.h"
#include "storaged/node_metrics.h"
#include "storaged/peers/suspect.h"

#include "proto/base/log.h"

void message_note_damaged(struct message_get *get)
{
    struct node_loop *loop = get->loop;
    char text[DIGEST_TEXT_SIZE];

    damaged_list_add(&loop->damaged, &get->digest, get->reader.peer,
                     get->reader.peer == NULL ? get->place.record : 0, uv_now(&loop->uv));
    metric_add(&metric_copies_damaged, 1);
    get->damaged = true;
    if (get->reader.peer != NULL)
        suspect_tell(loop, get->reader.peer, &get->digest);
    else
        store_suspect(loop->node->store, &get->run, &get->place);
    digest_print(&get->digest, text);
    log_msg(LOG_ERROR, "message.damaged", "%s does not have its digest on %s", text,
            get->reader.peer != NULL ? get->reader.peer->id : "this node");
}

void message_note_unreadable(struct message_get *get)
{
    get->damaged = true;
    store_suspect(get->loop->node->store, &get->run, &get->place);
}

void message_note_no(struct message_get *get, enum status status)
{
    const struct message_reader *reader = &get->reader;
    bool said_no = status == STATUS_NOT_FOUND || status_http(status) == 410;

    if (reader->file != NULL && (status == STATUS_IO || status == STATUS_CORRUPT))
        message_note_unreadable(get);
    else if (reader->file != NULL) /* no memory for it, say: it is here all the same */
        get->open_err = reader->err;
    if (reader->peer != NULL && !said_no)
        message_holders_no_answer(&get->holders, reader->peer);
}
