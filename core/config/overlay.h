/* SPDX-License-Identifier: Apache-2.0 */
/* overlay.h - the layers of scopes.h as trees: how they are read and laid over one another. */
#ifndef CORE_CONFIG_OVERLAY_H
#define CORE_CONFIG_OVERLAY_H

#include <core/config/option.h>
#include <core/config/scopes.h>

/*
 * Maps merge by key, anything else replaces; a map or list stays where nothing stands above it.
 * Either may be NULL. Shares what it does not change with both.
 */
const struct config_node *overlay_merge(
    struct arena *arena, const struct config_node *below, const struct config_node *above);

/* Splits a section into what is for all and, per scope, a layer; unsorted. */
void overlay_read(struct scopes *ret, struct config_node *section, struct diags *diags);

#endif
