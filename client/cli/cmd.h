/* cmd.h: the commands, one file each (cmd_*.c); command.c's table is made of them. */
#ifndef CLIENT_CLI_CMD_H
#define CLIENT_CLI_CMD_H

#include "client/cli/command.h"

extern const struct command command_put, command_get, command_query, command_runs, command_quarantine,
    command_rotate, command_purge, command_reindex, command_status, command_cluster_show,
    command_cluster_init, command_cluster_plan, command_cluster_apply, command_cluster_add,
    command_cluster_retire, command_cluster_evacuate, command_cluster_keep, command_cluster_replace,
    command_cluster_rename, command_cluster_remove, command_cluster_rebalance, command_cluster_pause,
    command_cluster_resume, command_check, command_mirror, command_token, command_help;

#endif
