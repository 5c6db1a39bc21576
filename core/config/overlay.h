/* SPDX-License-Identifier: Apache-2.0 */
/* overlay.h - the layers of scopes.h as trees: how they are read and laid over one another. */
#ifndef CORE_CONFIG_OVERLAY_H
#define CORE_CONFIG_OVERLAY_H

#include <core/config/fill.h>
#include <core/config/scopes.h>

/*
 * Maps merge by key, anything else replaces; a map or list stays where nothing stands above it.
 * Either may be NULL. Shares what it does not change with both.
 */
const struct config_node *overlay_merge(
    struct arena *arena, const struct config_node *below, const struct config_node *above);

/* The section with a stack's layers over it; NULL where there is nothing at all. */
const struct config_node *scopes_merge(
    const struct scopes *scopes, const struct scope_stack *stack, struct arena *arena);
/* Lays what is stored over section and layers, of which there may be new ones; unsorted. */
void stored_read(struct scopes *ret, struct diags *diags);
/* A new layer, all zero; `scopes->layers` may move. */
struct scope_layer *overlay_new_layer(struct scopes *scopes);
/* What may not be overridden by `map`; says so. */
void overlay_check_keys(const struct fill *fill, const struct pn_option *rows,
    const struct config_node *map, enum config_scope_kind kind);

/* Splits a section into what is for all and, per scope, a layer; unsorted. */
void overlay_read(struct scopes *ret, struct config_node *section, struct diags *diags);

#endif
