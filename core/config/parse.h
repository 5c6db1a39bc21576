/* SPDX-License-Identifier: Apache-2.0 */
/* parse.h - one YAML text as nodes. For tree.c and for defaults in tables; nobody else. */
#ifndef CORE_CONFIG_PARSE_H
#define CORE_CONFIG_PARSE_H

#include <core/config/tree.h>

/* Bounds on all files together: what an alias bomb or a machine-made file may cost. */
#define PARSE_NODES_MOST   200000u
#define PARSE_ALIASES_MOST 1000u
#define PARSE_DEPTH_MOST   64u

struct parse_budget {
	size_t nodes, aliases; /* used so far */
};

static inline bool
parse_budget_is_spent(const struct parse_budget *budget)
{
	return budget->nodes > PARSE_NODES_MOST || budget->aliases > PARSE_ALIASES_MOST;
}

/*
 * The text's only document, NULL where it is empty. `file` is for marks and lives as long as the
 * arena. What could be read before a mistake that stops libyaml comes back as well; `ret_whole`
 * says whether it is everything.
 */
struct config_node *parse_yaml(struct pn_slice text, const char *file, struct arena *arena,
    struct parse_budget *budget, struct diags *diags, bool *ret_whole);

/* A plain scalar with nothing in it, `~` or `null`: the key is there and has no value. */
bool config_node_is_null(const struct config_node *node);
/* Appends, growing in the arena; `key` is NULL for a list. */
void config_node_add(struct arena *arena, struct config_node *to, struct config_node *key,
    struct config_node *value);

#endif
