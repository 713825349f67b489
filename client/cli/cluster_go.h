/* cluster_go.h: what the commands that change a cluster do alike: the wish's plan, shown, asked about, put, waited for. */
#ifndef CLIENT_CLI_CLUSTER_GO_H
#define CLIENT_CLI_CLUSTER_GO_H

#include "client/cli/cluster_plan_text.h"

struct change_settings {
    struct common_settings common;
    char *from, *force, *output, *weights;
    bool all_eras, lost, yes, wait;
    uint64_t timeout_ms;
};

/* clang-format off */
#define CHANGE_OPTIONS                                                                                                       \
    { NULL, "force", 0, CONFIG_LIST, offsetof(struct change_settings, force), NULL, NULL, "REASON,...",                      \
      "Do it though: fewer-copies, high-water, not-reachable, has-data." }
#define CHANGE_GO_OPTIONS                                                                                                    \
    { NULL, "yes", 'y', CONFIG_BOOL, offsetof(struct change_settings, yes), NULL, NULL, NULL,                                \
      "Don't ask: for scripts." },                                                                                           \
    { NULL, "wait", 'w', CONFIG_BOOL, offsetof(struct change_settings, wait), NULL, NULL, NULL,                              \
      "Until nothing is left to pull or to give up." },                                                                      \
    { NULL, "timeout", 0, CONFIG_DURATION, offsetof(struct change_settings, timeout_ms), "7d", NULL, "TIME",                 \
      "How long to wait at most; then exit code 5. Moving goes on." }
#define CHANGE_FROM_OPTION                                                                                                   \
    { NULL, "from", 0, CONFIG_TEXT, offsetof(struct change_settings, from), NULL, NULL, "BASE_TIME",                         \
      "Where the new era begins; behind the newest base time held where nothing is said." }
#define CHANGE_ALL_ERAS_OPTION                                                                                               \
    { NULL, "all-eras", 0, CONFIG_BOOL, offsetof(struct change_settings, all_eras), NULL, NULL, NULL,                        \
      "Into every era: its share of what is there already moves to it." }
#define CHANGE_LOST_OPTION                                                                                                   \
    { NULL, "lost", 0, CONFIG_BOOL, offsetof(struct change_settings, lost), NULL, NULL, NULL,                                \
      "It will not come back: its shards are made whole elsewhere." }
#define CHANGE_WEIGHT_OPTION                                                                                                 \
    { NULL, "weight", 0, CONFIG_LIST, offsetof(struct change_settings, weights), NULL, NULL, "NODE=N,...",                   \
      "Give these nodes another weight first." }
/* clang-format on */

/* The plan of a wish; arguments as the action has them (NODE, URL). The exit code; plan is to be ended in any case. */
int cluster_go_plan(struct cli *cli, enum cluster_action action, const struct change_settings *settings,
                    char **arguments, size_t count, struct change_plan *plan);

/* Refused unless forced; shown; asked about; put; waited for. */
int cluster_go(struct cli *cli, const struct change_settings *settings, struct change_plan *plan);

/* Says what differs between the map that a plan was made for and the one that holds. Exit code 6. */
int cluster_go_differs(struct cli *cli, const struct cluster_map *before, const struct cluster_map *now);

#endif
