/* SPDX-License-Identifier: Apache-2.0 */
/* lineup.c - deliveries in line for a next hop. Called by destination.c. */
#include <core/queue/inside.h>
#include <core/queue/lineup.h>

static unsigned
level_of(const struct delivery *delivery)
{
	return (unsigned)(CLAMP(delivery->priority, -LINEUP_PRIORITY_MOST, LINEUP_PRIORITY_MOST) +
			  LINEUP_PRIORITY_MOST);
}

static unsigned
highest(const struct lineup *lineup)
{
	return 31 - (unsigned)__builtin_clz(lineup->used);
}

void
lineup_add_last(struct lineup *lineup, struct delivery *delivery)
{
	unsigned level = level_of(delivery);

	delivery->next = NULL;
	if (!lineup->levels[level].head)
		lineup->levels[level].tail = &lineup->levels[level].head;
	*lineup->levels[level].tail = delivery;
	lineup->levels[level].tail = &delivery->next;
	lineup->used |= 1u << level;
	lineup->count++;
}

void
lineup_add_first(struct lineup *lineup, struct delivery *delivery)
{
	unsigned level = level_of(delivery);

	delivery->next = lineup->levels[level].head;
	if (!delivery->next)
		lineup->levels[level].tail = &delivery->next;
	lineup->levels[level].head = delivery;
	lineup->used |= 1u << level;
	lineup->count++;
}

struct delivery *
lineup_first(const struct lineup *lineup)
{
	return lineup->used ? lineup->levels[highest(lineup)].head : NULL;
}

struct delivery *
lineup_take(struct lineup *lineup)
{
	unsigned level = highest(lineup);
	struct delivery *delivery = lineup->levels[level].head;

	lineup->levels[level].head = delivery->next;
	if (!delivery->next)
		lineup->used &= ~(1u << level);
	lineup->count--;
	return delivery;
}
