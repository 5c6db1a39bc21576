/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route_index.h - which conditions can fit a recipient's mail at all, without looking at each.
 *
 * Made once for the conditions of a configuration's routes, asked for every recipient. Read-only,
 * any thread; asking allocates nothing.
 */
#ifndef CORE_QUEUE_ROUTE_INDEX_H
#define CORE_QUEUE_ROUTE_INDEX_H

#include <core/config/when.h>

struct route_index;

/* Of settled conditions, borrowed for as long as the index lives. */
struct route_index *route_index_new(const struct config_when *whens, size_t count);
/* The first in their order that fits; `count` of them: none does. */
size_t route_index_match(const struct route_index *index, const struct config_subject *subject);
void route_index_free(struct route_index **index);

#endif
