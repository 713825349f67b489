/* health.h: from what servers say of themselves to one word, and coded checks that say why. Pure. */
#ifndef CLIENT_HEALTH_H
#define CLIENT_HEALTH_H

#include "client/probe.h"

enum health { HEALTH_OK, HEALTH_WARN, HEALTH_ERR };

enum { HEALTH_CHECKS_MAX = 64, HEALTH_TEXT_SIZE = 512 };

struct health_check {
    const char *code; /* stable: NODE_DOWN, NEARFULL, ... */
    enum health health;
    char text[HEALTH_TEXT_SIZE];
};

struct health_report {
    enum health health; /* the worst */
    unsigned count;
    struct health_check checks[HEALTH_CHECKS_MAX];
    unsigned more; /* checks beyond the limit */
};

void health_judge(const struct probes *probes, const struct cluster_map *map,
                  struct health_report *report);
const char *health_name(enum health health); /* "HEALTH_WARN" */

#endif
