/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.h - which waiting recipients somebody means: names, values, and how they match.
 *
 * The table is what posternctl's help and man page say. All that is added must match. A filter is
 * not changed while it is used, so any thread may use it.
 */
#ifndef CORE_QUEUE_FILTER_H
#define CORE_QUEUE_FILTER_H

#include <core/queue/item.h>

struct filter;

struct filter_kind {
	const char *name, *argument, *help; /* NULL ends the table */
};
extern const struct filter_kind filter_kinds[];

struct filter *filter_new(void);
void filter_free(struct filter **filter);
/* -EINVAL, with what would be right. */
int filter_add(struct filter *filter, const char *name, const char *value, struct pn_error *err);
/* One of these has to be the message's; also where none was added to anything else. */
int filter_add_id(struct filter *filter, const char *id, struct pn_error *err);
bool filter_is_empty(const struct filter *filter);
/* Is a recipient's route asked for? To find it costs more than all the rest. */
bool filter_needs_route(const struct filter *filter);

struct filter_view {
	const struct item *item;
	int64_t now;
	/* filter_recipient() only */
	uint32_t index;
	const char *state, *route; /* queue_state_name(); NULL where it is not needed, or none */
};
/* What is the same for all its recipients. */
bool filter_message(const struct filter *filter, const struct filter_view *view);
bool filter_recipient(const struct filter *filter, const struct filter_view *view);

#endif
