/* config_value.h: what config.c and config_print.c share about a value. */
#ifndef PROTO_BASE_CONFIG_VALUE_H
#define PROTO_BASE_CONFIG_VALUE_H

#include "proto/base/config.h"

/* yes, true, 1, no, false, 0; -1 otherwise. */
int config_parse_bool(const char *text, bool *value);

/* A bool whose default is yes: it has a flag --no-NAME. */
bool config_is_on_by_default(const struct config_option *option);

static inline bool config_is_text(const struct config_option *option)
{
    return option->type == CONFIG_TEXT || option->type == CONFIG_LIST;
}

#endif
