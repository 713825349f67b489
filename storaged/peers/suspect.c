/* suspect.c: HEAD /sha256/ of a peer, with Gribstore-Suspect. */
#include "storaged/peers/suspect.h"

#include "storaged/node.h"
#include "storaged/peers/peer_request.h"

#include "proto/node_api.h"

#include <stdio.h>
#include <stdlib.h>

struct suspect {
    struct node_loop *loop;
    struct peer *peer;
    struct cluster_view *view;
    struct transfer_request request;
    char url[URL_SIZE_MAX + 96];
};

static void on_answer(struct transfer_request *request, enum status status, const struct error *failure)
{
    struct suspect *suspect = request->user;
    struct node_loop *loop = suspect->loop;
    struct error err;

    error_init(&err);
    peer_request_done(&loop->node->cluster, suspect->peer, request, status, failure, &err);
    transfer_request_fini(request);
    cluster_view_release(suspect->view);
    free(suspect);
    node_loop_end(loop);
}

void suspect_tell(struct node_loop *loop, struct peer *peer, const struct digest *digest)
{
    struct suspect *suspect = calloc(1, sizeof *suspect);
    char text[DIGEST_TEXT_SIZE];

    if (suspect == NULL)
        abort();
    suspect->loop = loop;
    suspect->peer = peer;
    suspect->view = cluster_view(&loop->node->cluster);
    struct transfer_request *request = &suspect->request;
    unsigned headers = peer_request_init(request, suspect->view);
    request->headers[headers++] = (struct transfer_header){ HEADER_HOP, "1" };
    request->headers[headers] = (struct transfer_header){ HEADER_SUSPECT, "1" };
    digest_print(digest, text);
    snprintf(suspect->url, sizeof suspect->url, "%s/sha256/%s", peer->url, text);
    request->method = "HEAD";
    request->url = suspect->url;
    request->answer_max = 1;
    request->on_done = on_answer;
    request->user = suspect;
    node_loop_begin(loop);
    transfer_start(loop->transfer, request);
}
