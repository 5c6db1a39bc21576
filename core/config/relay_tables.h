/* SPDX-License-Identifier: Apache-2.0 */
/* relay_tables.h - the core's tables and the steps of reading them. For relay*.c and pipeline.c. */
#ifndef CORE_CONFIG_RELAY_TABLES_H
#define CORE_CONFIG_RELAY_TABLES_H

#include <core/config/relay.h>
#include <core/net/address.h>

extern const struct pn_choice config_route_kinds[];
extern const struct pn_option config_relay_options[];
extern const struct pn_option config_routes_options[];       /* one bare row: struct pn_list */
extern const struct pn_option config_destinations_options[]; /* as config_routes_options */
extern const struct pn_option config_user_relays_options[];
extern const struct pn_option config_mta_sts_options[];
extern const struct pn_option config_database_options[]; /* one bare row: int */
extern const struct pn_option config_entry_options[];    /* struct config_entry */

/* What the steps of config_core_fill() work on. */
struct core_fill {
	const struct config_tree *tree;
	struct arena *arena;
	struct settings_secrets **secrets;
	struct diags *diags;
	struct config_core *core;
};

void pipeline_fill(const struct core_fill *fill);
void relay_check(const struct core_fill *fill);
/* Nobody or everybody may send, or clients do not know how to begin; `address`: NULL, unknown. */
void senders_check(struct pn_check *check, const struct config_directory *directory,
    const struct config_listener *listener, size_t index, const struct address *address);
/* More of the internet than anybody owns. */
bool senders_are_everybody(const char *network);
void user_relays_check(const struct core_fill *fill, struct pn_check *check);
void mta_sts_check(const struct core_fill *fill, struct pn_check *check);
void dns_check(const struct core_fill *fill, struct pn_check *check);
void routes_check(const struct core_fill *fill);
void destinations_check(const struct core_fill *fill);
/* Complains about what `when` names and nobody has: listeners. */
void when_check(const struct core_fill *fill, struct pn_check *check, const char *path,
    const struct config_when *when);

#endif
