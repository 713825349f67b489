/* cmd_cluster_change.c: gribstore cluster add, retire, evacuate, keep, replace, rename, remove, rebalance, pause, resume. */
#include "client/cli/cluster_go.h"
#include "client/cli/cmd.h"

static int change_run(struct cli *cli, const struct change_settings *settings,
                      enum cluster_action action, char **arguments, size_t count)
{
    struct change_plan plan;

    change_plan_init(&plan);
    int code = cluster_go_plan(cli, action, settings, arguments, count, &plan);
    if (code == GS_OK)
        code = cluster_go(cli, settings, &plan);
    change_plan_fini(&plan);
    return code;
}

#define CHANGE_RUN(name, action)                                                                   \
    static int name##_run(struct cli *cli, void *settings, char **arguments, size_t count)         \
    {                                                                                              \
        return change_run(cli, settings, action, arguments, count);                                \
    }

CHANGE_RUN(add, CLUSTER_ADD)
CHANGE_RUN(retire, CLUSTER_RETIRE)
CHANGE_RUN(evacuate, CLUSTER_EVACUATE)
CHANGE_RUN(keep, CLUSTER_KEEP)
CHANGE_RUN(replace, CLUSTER_REPLACE)
CHANGE_RUN(rename, CLUSTER_RENAME)
CHANGE_RUN(remove, CLUSTER_REMOVE)
CHANGE_RUN(rebalance, CLUSTER_REBALANCE)
CHANGE_RUN(pause, CLUSTER_PAUSE)
CHANGE_RUN(resume, CLUSTER_RESUME)

static const struct config_option add_options[] = { CHANGE_ALL_ERAS_OPTION, CHANGE_FROM_OPTION,
                                                    CHANGE_OPTIONS,         CHANGE_GO_OPTIONS,
                                                    COMMON_OPTIONS,         { 0 } };
static const struct config_option retire_options[] = {
    CHANGE_FROM_OPTION, CHANGE_OPTIONS, CHANGE_GO_OPTIONS, COMMON_OPTIONS, { 0 }
};
static const struct config_option change_options[] = {
    CHANGE_OPTIONS, CHANGE_GO_OPTIONS, COMMON_OPTIONS, { 0 }
};
static const struct config_option remove_options[] = {
    CHANGE_LOST_OPTION, CHANGE_OPTIONS, CHANGE_GO_OPTIONS, COMMON_OPTIONS, { 0 }
};
static const struct config_option rebalance_options[] = {
    CHANGE_WEIGHT_OPTION, CHANGE_OPTIONS, CHANGE_GO_OPTIONS, COMMON_OPTIONS, { 0 }
};

#define CHANGE_ABOUT                                                                                                                  \
    "What moves is shown first; then it asks, or goes on with --yes. It refuses, unless --force names the reason, what would\n"       \
    "leave fewer copies (fewer-copies), fill a node past its mark (high-water), is done while a node does not answer\n"               \
    "(not-reachable), or takes in a node that holds something (has-data). The form of --json: `gribstore cluster plan --help`;\n"     \
    "with --wait, lines {\"event\": \"progress\", \"pull_bytes_left\", \"give_up_bytes_left\", \"runs_leaving\", \"nodes_behind\", \"nodes_silent\",\n" \
    "\"nodes_busy\", \"seconds\", \"done\"} on standard error."

const struct command command_cluster_add = {
    .name = "cluster add",
    .arguments = "URL [options]",
    .summary = "Take a new node in",
    .examples = "  gribstore cluster add http://10.0.0.9:8410\n"
                "  gribstore cluster add http://10.0.0.9:8410 --all-eras --yes --wait",
    .about = "The node is started with a data directory of its own and nothing in it; its id, host, colo and weight are those that it\n"
             "was started with. It takes its share of runs from the next base time on, and nothing moves: it fills as old runs go.\n"
             "With --all-eras its share of what is there already moves to it now.\n" CHANGE_ABOUT,
    .options = add_options,
    .settings_size = sizeof(struct change_settings),
    .run = add_run,
};

const struct command command_cluster_retire = {
    .name = "cluster retire",
    .arguments = "NODE [options]",
    .summary = "Give a node no new runs: it is empty when the old ones are gone",
    .examples = "  gribstore cluster retire n3",
    .about = "Nothing moves. From the next base time on the other nodes own all shards; what it holds stays until it is purged. Then\n"
             "`gribstore cluster remove` takes it out of the map. Sources whose base times don't advance never leave it: evacuate.\n" CHANGE_ABOUT,
    .options = retire_options,
    .settings_size = sizeof(struct change_settings),
    .run = retire_run,
};

const struct command command_cluster_evacuate = {
    .name = "cluster evacuate",
    .arguments = "NODE [options]",
    .summary = "Move all that a node holds to others, now",
    .examples = "  gribstore cluster evacuate n3 --wait\n"
                "  gribstore cluster evacuate n3 --yes && gribstore cluster show",
    .about = "Others pull what it has; it serves all of it until they have it, and gives it up only then. When `cluster show` says that it\n"
             "holds nothing, `gribstore cluster remove` takes it out of the map.\n" CHANGE_ABOUT,
    .options = change_options,
    .settings_size = sizeof(struct change_settings),
    .run = evacuate_run,
};

const struct command command_cluster_keep = {
    .name = "cluster keep",
    .arguments = "NODE [options]",
    .summary = "Take back that a node was to go: retire, evacuate, remove --lost",
    .examples = "  gribstore cluster keep n3\n"
                "  gribstore cluster keep n3 --yes --wait",
    .about = "A node that is retiring gets its share of runs from the next base time on again, and nothing moves. One that is evacuating,\n"
             "or that is out and came back, gets its share of all that is there: it pulls what of that it has given up, or lacks. It need\n"
             "not be the shards that it had before.\n" CHANGE_ABOUT,
    .options = retire_options,
    .settings_size = sizeof(struct change_settings),
    .run = keep_run,
};

const struct command command_cluster_replace = {
    .name = "cluster replace",
    .arguments = "NODE URL [options]",
    .summary = "Put a new, empty node in the place of another one",
    .examples = "  gribstore cluster replace n3 http://10.0.0.9:8410 --wait",
    .about = "The new node owns exactly what the old one did, and pulls it from whoever has it. The old one is evacuating if it answers,\n"
             "else out. A machine that comes back with an empty disk under its old id and URL needs none of this: it is started\n"
             "with --join, and fills itself.\n" CHANGE_ABOUT,
    .options = change_options,
    .settings_size = sizeof(struct change_settings),
    .run = replace_run,
};

const struct command command_cluster_rename = {
    .name = "cluster rename",
    .arguments = "NODE URL [options]",
    .summary = "Give a node another URL",
    .examples = "  gribstore cluster rename n3 https://storage3.example.org:8410",
    .about = "The index gives its locations the new URL, and the node takes it from the map. Then it is started anew with --url URL (and\n"
             "--listen where it is another address); a node that was down meanwhile is simply started so, and asks the others.\n" CHANGE_ABOUT,
    .options = change_options,
    .settings_size = sizeof(struct change_settings),
    .run = rename_run,
};

const struct command command_cluster_remove = {
    .name = "cluster remove",
    .arguments = "NODE [options]",
    .summary = "Take a node out of the map that holds nothing, or is lost",
    .examples = "  gribstore cluster remove n3\n"
                "  gribstore cluster remove n3 --lost --wait",
    .about = "Without --lost it has to own and hold nothing: retire or evacuate it first. With --lost its shards go to others, who pull\n"
             "them from the copies that are left; it is *out*, and stays in the map until `gribstore cluster remove` without --lost.\n" CHANGE_ABOUT,
    .options = remove_options,
    .settings_size = sizeof(struct change_settings),
    .run = remove_run,
};

const struct command command_cluster_rebalance = {
    .name = "cluster rebalance",
    .arguments = "[options]",
    .summary = "Bring every node to its weight's share, in every era",
    .examples = "  gribstore cluster rebalance\n"
                "  gribstore cluster rebalance --weight n1=200,n2=100",
    .about = "With the least moves. Nodes that came in from a later era on get their share of the older ones too.\n" CHANGE_ABOUT,
    .options = rebalance_options,
    .settings_size = sizeof(struct change_settings),
    .run = rebalance_run,
};

const struct command command_cluster_pause = {
    .name = "cluster pause",
    .arguments = "[options]",
    .summary = "Stop nodes from pulling and from giving up",
    .examples = "  gribstore cluster pause --yes",
    .about = "PUTs, reads and purges go on; copies that a PUT can't place are made when it goes on. What was given up already stays so.\n" CHANGE_ABOUT,
    .options = change_options,
    .settings_size = sizeof(struct change_settings),
    .run = pause_run,
};

const struct command command_cluster_resume = {
    .name = "cluster resume",
    .arguments = "[options]",
    .summary = "Go on after `cluster pause`",
    .examples = "  gribstore cluster resume --yes --wait",
    .about = CHANGE_ABOUT,
    .options = change_options,
    .settings_size = sizeof(struct change_settings),
    .run = resume_run,
};
