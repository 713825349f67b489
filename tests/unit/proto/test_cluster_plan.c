/* test_cluster_plan.c: for proto/cluster_plan.c and its parts.
 *
 * Properties of plans for random clusters, checked by other means than those that made them: shares by pouring water in floating
 * point, conflicts and moves by counting. How few moves is few: in small clusters without colos at most one more than
 * the cheapest table with the same counts, and 1 % more in all; in larger ones at most 4 more than nodes have to gain; with
 * colos to be kept apart, a quarter more than that, and one a node. */
#include "proto/cluster_plan.h"

#include "tests/unit/proto/cmocka_all.h"
#include "tests/unit/proto/plan_oracle.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { NODES_MAX = 41, SHARDS_MAX = 1024, OWNERS_MAX = SHARDS_MAX * MAP_REPLICAS_MAX, ROUNDS = 40 };

struct cluster {
    struct cluster_map map;
    struct map_node nodes[NODES_MAX];
    bool take[NODES_MAX];
    unsigned colos;
};

static void cluster_node(struct cluster *cluster, unsigned i, unsigned hosts, unsigned weight_max)
{
    struct map_node *node = &cluster->nodes[i];
    unsigned host = random_below(hosts);

    *node = (struct map_node){ .weight = 1 + random_below(weight_max), .state = NODE_IN };
    snprintf(node->id, sizeof node->id, "n%u", i);
    snprintf(node->host, sizeof node->host, "h%u", host);
    snprintf(node->colo, sizeof node->colo, "c%u", host % cluster->colos); /* a host is in one place */
    cluster->take[i] = true;
}

static void cluster_make(struct cluster *cluster, unsigned nodes, unsigned shards,
                         unsigned replicas, unsigned hosts, unsigned colos, unsigned weight_max)
{
    *cluster = (struct cluster){ .colos = colos };
    cluster->map = (struct cluster_map){ .shards = shards, .replicas = replicas, .nodes = cluster->nodes };
    for (unsigned i = 0; i < nodes; i++)
        cluster_node(cluster, i, hosts, weight_max);
    cluster->map.nodes_count = nodes;
}

static void cluster_random(struct cluster *cluster, unsigned colos_max)
{
    unsigned nodes = 1 + random_below(NODES_MAX - 1);

    cluster_make(cluster, nodes, 1u << random_below(11), 1 + random_below(4),
                 1 + random_below(2 * nodes), 1 + random_below(colos_max), random_below(2) ? 1 : 100);
}

static unsigned cluster_hosts(const struct cluster *cluster)
{
    return hosts_taken(&cluster->map, cluster->take);
}

static unsigned cluster_taken(const struct cluster *cluster)
{
    unsigned taken = 0;

    for (unsigned i = 0; i < cluster->map.nodes_count; i++)
        taken += cluster->take[i];
    return taken;
}

/* `copies` different nodes that are taken, and nothing behind them. */
static void assert_shards_whole(const struct cluster *cluster, const uint16_t *owners, unsigned copies)
{
    const struct cluster_map *map = &cluster->map;

    for (unsigned shard = 0; shard < map->shards; shard++) {
        const uint16_t *of = owners + shard * map->replicas;
        for (unsigned i = 0; i < map->replicas; i++) {
            if (i >= copies) {
                assert_int_equal(of[i], NODE_NONE);
                continue;
            }
            assert_true(of[i] < map->nodes_count && cluster->take[of[i]]);
            for (unsigned k = 0; k < i; k++)
                assert_int_not_equal(of[i], of[k]);
        }
    }
}

/* Counts apart what the plan says of itself. */
static void assert_change_true(const struct cluster *cluster, const uint16_t *old,
                               const uint16_t *owners, const struct plan_change *change)
{
    const struct cluster_map *map = &cluster->map;
    uint64_t moved = 0, same_host = 0, same_colo = 0;

    for (unsigned shard = 0; shard < map->shards; shard++) {
        const uint16_t *of = owners + shard * map->replicas;
        bool host = false, colo = false;
        for (unsigned i = 0; i < map->replicas && of[i] != NODE_NONE; i++) {
            moved += old == NULL || !holds(map, old, shard, of[i]);
            for (unsigned k = 0; k < i; k++) {
                host = host || strcmp(map->nodes[of[i]].host, map->nodes[of[k]].host) == 0;
                colo = colo || strcmp(map->nodes[of[i]].colo, map->nodes[of[k]].colo) == 0;
            }
        }
        same_host += host;
        same_colo += colo;
    }
    assert_int_equal(change->moved, moved);
    assert_int_equal(change->same_host, same_host);
    assert_int_equal(change->same_colo, same_colo);
    if (cluster_hosts(cluster) >= map->replicas)
        assert_int_equal(same_host, 0);
}

static struct plan_change plan(const struct cluster *cluster, const uint16_t *old, uint16_t *owners)
{
    struct plan_change change;
    struct error err;
    double shares[NODES_MAX];
    unsigned taken = cluster_taken(cluster);
    unsigned copies = taken < cluster->map.replicas ? taken : cluster->map.replicas;

    error_init(&err);
    if (plan_owners(&cluster->map, old, cluster->take, owners, &change, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    assert_shards_whole(cluster, owners, copies);
    assert_change_true(cluster, old, owners, &change);
    oracle_shares(&cluster->map, cluster->take, copies, shares);
    for (unsigned i = 0; i < cluster->map.nodes_count; i++) {
        double off = count_of(&cluster->map, owners, i) - shares[i];
        if (fabs(off) >= 1 + 1e-6)
            fail_msg("node %u of %u is %f off its share of %f", i, cluster->map.nodes_count, off,
                     shares[i]);
    }
    return change;
}

static void shares_are_kept_and_copies_apart_in_random_clusters(void **state)
{
    (void)state;
    static uint16_t owners[OWNERS_MAX];

    random_state = 1;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct cluster cluster;
        cluster_random(&cluster, 4);
        plan(&cluster, NULL, owners);
    }
}

/* As few as the head of this file says. */
static void assert_moves_little(const struct cluster *cluster, const uint16_t *old,
                                const struct plan_change *change)
{
    double shares[NODES_MAX], least;

    oracle_shares(&cluster->map, cluster->take, cluster->map.replicas, shares);
    least = oracle_moves_min(&cluster->map, old, shares);
    if (cluster->colos == 1)
        assert_true((double)change->moved <= least + 4);
    else
        assert_true((double)change->moved <= least * 1.25 + cluster->map.nodes_count);
}

/* ---- the least moves there are ----
 *
 * A table with the same counts and fewer moves differs from this one by cycles: shard s gives node a up and takes node b, which
 * some other shard gives up, and so on. So there is a cheaper one exactly if this graph has a cycle of negative cost:
 * vertices are the shards, each shard's groups (hosts), and the nodes; what stands in the table runs backwards. */
enum {
    SMALL_NODES = 10,
    SMALL_SHARDS = 32,
    SMALL_VERTICES = SMALL_SHARDS * (1 + SMALL_NODES) + SMALL_NODES
};

struct edge {
    int from, to, cost;
    unsigned shard, node; /* node: NODE_NONE when the edge is between a shard and its group */
};

struct graph {
    struct edge edges[4 * SMALL_SHARDS * SMALL_NODES];
    int edges_count, vertices;
    int cost[SMALL_VERTICES], by[SMALL_VERTICES];
};

static int host_of(const struct cluster_map *map, unsigned node)
{
    unsigned first = 0;

    while (strcmp(map->nodes[first].host, map->nodes[node].host) != 0)
        first++;
    return (int)first;
}

static bool host_holds(const struct cluster_map *map, const uint16_t *owners, unsigned shard, int host)
{
    for (unsigned i = 0; i < map->replicas; i++) {
        if (host_of(map, owners[shard * map->replicas + i]) == host)
            return true;
    }
    return false;
}

static void graph_edge(struct graph *graph, bool there, int from, int to, int cost, unsigned shard,
                       unsigned node)
{
    graph->edges[graph->edges_count++] = there ? (struct edge){ to, from, -cost, shard, node }
                                               : (struct edge){ from, to, cost, shard, node };
}

static void graph_make(struct graph *graph, const struct cluster *cluster, const uint16_t *old,
                       const uint16_t *owners)
{
    const struct cluster_map *map = &cluster->map;
    int nodes = (int)map->nodes_count;

    graph->edges_count = 0;
    graph->vertices = nodes + (int)map->shards * (1 + nodes);
    for (unsigned shard = 0; shard < map->shards; shard++) {
        int at = nodes + (int)shard * (1 + nodes);
        for (unsigned node = 0; node < map->nodes_count; node++) {
            int host = host_of(map, node), group = at + 1 + host;
            if (cluster->take[node])
                graph_edge(graph, holds(map, owners, shard, node), group, (int)node,
                           !holds(map, old, shard, node), shard, node);
            if (host == (int)node)
                graph_edge(graph, host_holds(map, owners, shard, host), at, group, 0, shard, NODE_NONE);
        }
    }
}

/* Bellman and Ford: a vertex of a negative cycle's tail, or -1. */
static int graph_negative(struct graph *graph)
{
    int last = -1;

    memset(graph->cost, 0, sizeof graph->cost);
    for (int round = 0; round <= graph->vertices; round++) {
        last = -1;
        for (int i = 0; i < graph->edges_count; i++) {
            const struct edge *edge = &graph->edges[i];
            if (graph->cost[edge->from] + edge->cost < graph->cost[edge->to]) {
                graph->cost[edge->to] = graph->cost[edge->from] + edge->cost;
                graph->by[edge->to] = i;
                last = edge->to;
            }
        }
        if (last < 0)
            return -1;
    }
    return last;
}

static void replace(const struct cluster_map *map, uint16_t *owners, unsigned shard, unsigned from,
                    unsigned to)
{
    uint16_t *of = owners + shard * map->replicas;

    while (*of != from)
        of++;
    *of = (uint16_t)to;
}

/* Turns the cycle through `at` around: first all that is given up, then all that is taken. */
static void graph_turn(const struct graph *graph, const struct cluster_map *map, uint16_t *owners, int at)
{
    for (int i = 0; i < graph->vertices; i++)
        at = graph->edges[graph->by[at]].from; /* now on the cycle */
    for (int take = 0; take <= 1; take++) {
        int vertex = at;
        do {
            const struct edge *edge = &graph->edges[graph->by[vertex]];
            bool takes = edge->to < (int)map->nodes_count;
            if (edge->node != NODE_NONE && takes == (take == 1))
                replace(map, owners, edge->shard, takes ? NODE_NONE : edge->node,
                        takes ? edge->node : NODE_NONE);
            vertex = edge->from;
        } while (vertex != at);
    }
}

static uint64_t moves_of(const struct cluster_map *map, const uint16_t *old, const uint16_t *owners)
{
    uint64_t moves = 0;

    for (unsigned shard = 0; shard < map->shards; shard++) {
        for (unsigned i = 0; i < map->replicas; i++) {
            unsigned node = owners[shard * map->replicas + i];
            moves += node != NODE_NONE && !holds(map, old, shard, node);
        }
    }
    return moves;
}

/* The moves of the cheapest table with the counts of this one. */
static uint64_t least_moves(const struct cluster *cluster, const uint16_t *old, const uint16_t *owners)
{
    static struct graph graph;
    static uint16_t best[SMALL_SHARDS * MAP_REPLICAS_MAX];

    memcpy(best, owners, cluster->map.shards * cluster->map.replicas * sizeof best[0]);
    graph_make(&graph, cluster, old, best);
    for (int at = graph_negative(&graph); at >= 0; at = graph_negative(&graph)) {
        graph_turn(&graph, &cluster->map, best, at);
        graph_make(&graph, cluster, old, best);
    }
    return moves_of(&cluster->map, old, best);
}

static void small_clusters_move_as_little_as_can_be(void **state)
{
    (void)state;
    uint64_t moved = 0, least = 0;

    random_state = 3;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct cluster cluster;
        static uint16_t first[OWNERS_MAX], second[OWNERS_MAX];
        unsigned replicas = 1 + random_below(3),
                 nodes = replicas + 2 + random_below(SMALL_NODES - replicas - 1);
        do
            cluster_make(&cluster, nodes, SMALL_SHARDS, replicas, 2 * nodes, 1, random_below(2) ? 1 : 20);
        while (cluster_hosts(&cluster) < replicas + 1);
        cluster.take[0] = round % 2 == 0; /* comes, or */
        plan(&cluster, NULL, first);
        cluster.take[0] = !cluster.take[0]; /* goes */
        if (cluster_hosts(&cluster) < replicas)
            continue;
        uint64_t now = plan(&cluster, first, second).moved;
        uint64_t best = least_moves(&cluster, first, second);
        assert_in_range(now, best, best + 1);
        moved += now;
        least += best;
    }
    assert_true(least > ROUNDS);
    assert_true(moved <= least + least / 100 + 1);
}

/* A node comes, another goes, in a cluster with hosts enough to choose from. */
static void a_changed_cluster_moves_little(void **state)
{
    (void)state;
    static uint16_t first[OWNERS_MAX], second[OWNERS_MAX], third[OWNERS_MAX];

    random_state = 2;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct cluster cluster;
        unsigned replicas = 1 + random_below(3), colos = 1 + round % 3;
        unsigned nodes = 3 * replicas + 3 + random_below(NODES_MAX - 1 - 3 * replicas - 3);
        do
            cluster_make(&cluster, nodes, 1u << random_below(11), replicas, 3 * nodes, colos, 3);
        while (cluster_hosts(&cluster) < 2 * replicas + 1);
        plan(&cluster, NULL, first);
        cluster_node(&cluster, nodes, 3 * nodes, 3);
        cluster.map.nodes_count++;
        struct plan_change come = plan(&cluster, first, second);
        assert_moves_little(&cluster, first, &come);
        cluster.take[random_below(nodes)] = false;
        struct plan_change gone = plan(&cluster, second, third);
        assert_moves_little(&cluster, second, &gone);
    }
}

static void an_unchanged_cluster_moves_nothing(void **state)
{
    (void)state;
    static uint16_t first[OWNERS_MAX], second[OWNERS_MAX];

    random_state = 4;
    for (unsigned round = 0; round < ROUNDS / 4; round++) {
        struct cluster cluster;
        cluster_random(&cluster, 1);
        plan(&cluster, NULL, first);
        assert_int_equal(plan(&cluster, first, second).moved, 0);
        assert_memory_equal(first, second, cluster.map.shards * cluster.map.replicas * sizeof first[0]);
    }
}

static void the_same_input_gives_the_same_table(void **state)
{
    (void)state;
    static uint16_t first[OWNERS_MAX], again[OWNERS_MAX];
    struct cluster cluster;

    random_state = 5;
    cluster_make(&cluster, 13, SHARDS_MAX, 3, 9, 3, 100);
    plan(&cluster, NULL, first);
    plan(&cluster, NULL, again);
    assert_memory_equal(first, again, cluster.map.shards * cluster.map.replicas * sizeof first[0]);
}

/* Nine equal nodes on nine hosts, three a colo. */
static void cluster_even(struct cluster *cluster, unsigned shards, unsigned replicas)
{
    cluster_make(cluster, 9, shards, replicas, 1, 1, 1);
    for (unsigned i = 0; i < 9; i++) {
        snprintf(cluster->nodes[i].host, sizeof cluster->nodes[i].host, "h%u", i);
        snprintf(cluster->nodes[i].colo, sizeof cluster->nodes[i].colo, "c%u", i / 3);
    }
    cluster->colos = 3;
}

static void colos_are_kept_apart_where_balance_allows(void **state)
{
    (void)state;
    static uint16_t first[OWNERS_MAX], second[OWNERS_MAX];
    struct cluster cluster;

    for (unsigned replicas = 2; replicas <= 3; replicas++) {
        cluster_even(&cluster, SHARDS_MAX, replicas);
        assert_int_equal(plan(&cluster, NULL, first).same_colo, 0);
        /* From a table without a thought of colos: all are in one. */
        for (unsigned i = 0; i < 9; i++)
            snprintf(cluster.nodes[i].colo, sizeof cluster.nodes[i].colo, "c");
        assert_int_equal(plan(&cluster, NULL, first).same_colo, SHARDS_MAX);
        for (unsigned i = 0; i < 9; i++)
            snprintf(cluster.nodes[i].colo, sizeof cluster.nodes[i].colo, "c%u", i / 3);
        assert_int_equal(plan(&cluster, first, second).same_colo, 0);
    }
    /* Two nodes in one colo and one in the other: half of that one's shards can't be anywhere else. */
    cluster_make(&cluster, 4, SHARDS_MAX, 2, 1, 1, 1);
    for (unsigned i = 0; i < 4; i++) {
        snprintf(cluster.nodes[i].host, sizeof cluster.nodes[i].host, "h%u", i);
        snprintf(cluster.nodes[i].colo, sizeof cluster.nodes[i].colo, "c%u", i / 3);
    }
    assert_int_equal(plan(&cluster, NULL, first).same_colo, SHARDS_MAX / 2);
}

static void copies_share_a_host_only_where_hosts_are_fewer_than_copies(void **state)
{
    (void)state;
    static uint16_t owners[OWNERS_MAX];
    struct cluster cluster;

    cluster_make(&cluster, 4, SHARDS_MAX, 3, 1, 1, 1);
    for (unsigned i = 0; i < 4; i++)
        snprintf(cluster.nodes[i].host, sizeof cluster.nodes[i].host, "h%u", i / 2);
    assert_int_equal(plan(&cluster, NULL, owners).same_host, SHARDS_MAX);
    for (unsigned shard = 0; shard < SHARDS_MAX; shard++) { /* and even then not all of them */
        unsigned hosts = 0;
        for (unsigned i = 0; i < 3; i++)
            hosts |= 1u << owners[shard * 3 + i] / 2;
        assert_int_equal(hosts, 3);
    }
}

static void fewer_nodes_than_replicas_hold_all_there_is(void **state)
{
    (void)state;
    static uint16_t owners[OWNERS_MAX], more[OWNERS_MAX];
    struct cluster cluster;

    cluster_even(&cluster, 64, 3);
    for (unsigned i = 2; i < 9; i++)
        cluster.take[i] = false;
    plan(&cluster, NULL, owners); /* checks that the third is NODE_NONE */
    assert_int_equal(count_of(&cluster.map, owners, 0), 64);
    assert_int_equal(count_of(&cluster.map, owners, 1), 64);
    cluster.take[2] = true; /* the free entries are filled, nobody else moves */
    assert_int_equal(plan(&cluster, owners, more).moved, 64);
    for (unsigned shard = 0; shard < 64; shard++) {
        assert_memory_equal(more + shard * 3, owners + shard * 3, 2 * sizeof more[0]);
        assert_int_equal(more[shard * 3 + 2], 2);
    }
}

static void without_a_node_there_is_no_table(void **state)
{
    (void)state;
    uint16_t owners[8];
    struct plan_change change;
    struct cluster cluster;
    struct error err;

    cluster_make(&cluster, 3, 4, 2, 3, 1, 1);
    memset(cluster.take, 0, sizeof cluster.take);
    error_init(&err);
    assert_int_equal(plan_owners(&cluster.map, NULL, cluster.take, owners, &change, &err),
                     STATUS_BAD_VALUE);
    assert_non_null(strstr(err.text, "no node"));
}

/* Old tables may be anything: of a map with fewer nodes, with a node twice, with numbers that are none. */
static void nonsense_in_the_old_table_does_no_harm(void **state)
{
    (void)state;
    static uint16_t old[OWNERS_MAX], owners[OWNERS_MAX];

    random_state = 6;
    for (unsigned round = 0; round < ROUNDS / 4; round++) {
        struct cluster cluster;
        cluster_random(&cluster, 3);
        for (unsigned i = 0; i < cluster.map.shards * cluster.map.replicas; i++)
            old[i] = random_below(4) == 0 ? NODE_NONE
                                          : (uint16_t)random_below(cluster.map.nodes_count + 2);
        plan(&cluster, old, owners);
    }
}

/* Who fails together should not all hold the same shards: in a cluster of equals every node has every other as a partner. */
static void partners_are_mixed(void **state)
{
    (void)state;
    static uint16_t owners[OWNERS_MAX];
    struct cluster cluster;
    unsigned together[9][9] = { { 0 } };

    cluster_even(&cluster, SHARDS_MAX, 2);
    for (unsigned i = 0; i < 9; i++)
        snprintf(cluster.nodes[i].colo, sizeof cluster.nodes[i].colo, "c");
    plan(&cluster, NULL, owners);
    for (unsigned shard = 0; shard < SHARDS_MAX; shard++) {
        together[owners[2 * shard]][owners[2 * shard + 1]]++;
        together[owners[2 * shard + 1]][owners[2 * shard]]++;
    }
    for (unsigned i = 0; i < 9; i++) {
        for (unsigned k = 0; k < 9; k++)
            assert_in_range(together[i][k], i == k ? 0 : 14, i == k ? 0 : 50); /* 28 each, if it were dealt out */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_are_kept_and_copies_apart_in_random_clusters),
        cmocka_unit_test(small_clusters_move_as_little_as_can_be),
        cmocka_unit_test(a_changed_cluster_moves_little),
        cmocka_unit_test(an_unchanged_cluster_moves_nothing),
        cmocka_unit_test(the_same_input_gives_the_same_table),
        cmocka_unit_test(colos_are_kept_apart_where_balance_allows),
        cmocka_unit_test(copies_share_a_host_only_where_hosts_are_fewer_than_copies),
        cmocka_unit_test(fewer_nodes_than_replicas_hold_all_there_is),
        cmocka_unit_test(without_a_node_there_is_no_table),
        cmocka_unit_test(nonsense_in_the_old_table_does_no_harm),
        cmocka_unit_test(partners_are_mixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
