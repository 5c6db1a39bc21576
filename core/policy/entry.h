/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry.h - one line of the pipeline on its way from YAML to running hooks.
 *
 * For generation.c. Each step reports to `diags`; the next one is for entries that had no errors.
 */
#ifndef CORE_POLICY_ENTRY_H
#define CORE_POLICY_ENTRY_H

#include <core/policy/generation.h>

struct entry_build {
	const struct generation_how *how;
	const struct generation *generation;
	const struct config_tree *tree;
	struct arena *arena;
	struct settings_secrets **secrets;
	struct diags *diags;
};

/*
 * Loads the module and fills the entry's section; then the module's own check and prepare. `known`:
 * the same entry of the generation that is made again; NULL: none.
 */
void entry_load(const struct entry_build *build, const struct config_entry *config,
    const struct chain_entry *known, struct chain_entry *ret);
/* The section, what the database has for it, and what scopes override; for entry_load(). */
void entry_read_settings(const struct entry_build *build, struct chain_entry *entry);
/* Switched on for anybody: by the section, or by a scope. */
bool entry_may_run(const struct chain_entry *entry);
/* Tables, then the state of the entry before, or a new one. 0, or negative after a complaint. */
int entry_start(
    const struct entry_build *build, struct chain_entry *entry, const struct chain_entry *before);
/* `stop`, once, however many generations share the state. */
void entry_stop(struct chain_entry *entry);
/* Gives derived data and the share in the state back; the last one stops. */
void entry_free(struct chain_entry *entry);

#endif
