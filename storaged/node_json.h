/* node_json.h: who this node is, kept in DATA_DIR/node.json (FORMATS.md section 7). */
#ifndef STORAGED_NODE_JSON_H
#define STORAGED_NODE_JSON_H

#include "proto/cluster_map.h"

struct settings;

struct node_json {
    char cluster[CLUSTER_ID_SIZE + 1];
    char id[NODE_ID_SIZE_MAX + 1];
    char url[URL_SIZE_MAX + 1];
    char host[NODE_ID_SIZE_MAX + 1];
    char colo[NODE_ID_SIZE_MAX + 1];
};

/* NOT_FOUND: a first start. CORRUPT or UNSUPPORTED name the member. [blocking] */
enum status node_json_load(const char *dir, struct node_json *self, struct error *err);
enum status node_json_save(const char *dir, const struct node_json *self, struct error *err);
bool node_json_equal(const struct node_json *a, const struct node_json *b);

/* The URL that the settings give the node: --url, or where it listens. */
enum { NODE_JSON_URL_SIZE = URL_SIZE_MAX + 64 };
void node_json_url(const struct settings *settings, const char *listen, char url[NODE_JSON_URL_SIZE]);

/* Who the node is by its settings and what it was before (known false: nothing): id and cluster are random where nobody
 * says, url follows listen. BAD_VALUE when another id or URL is asked for than the one kept: how to change it. */
enum status node_json_settle(const struct settings *settings, const char *listen, bool known,
                             struct node_json *self, struct error *err);

#endif
