/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.h - how one recipient's copy leaves: chosen by policy, kept in the spool, carried out by the
 * queue, replaced by a plan with a greater number where TLS is not to be had.
 *
 * All zero is the plan of mail for which nobody wants protection: method "none", the first
 * rendering, no demand. Strings belong to whoever owns the recipient (a txn's or an item's arena).
 */
#ifndef CORE_MAIL_PLAN_H
#define CORE_MAIL_PLAN_H

#include <postern/plan.h>

/* Who wants protection: the last stage (enum pn_stage) at which that was said; 0: at none. */
struct mail_want {
	int32_t wanted, opted_out;
	const char *why; /* the last one given */
};

struct mail_demand {
	int32_t bits;  /* 0: none */
	int32_t level; /* enum pn_tls_level */
	bool waits;    /* not met: deferred until the mail is too old, instead of failed */
};

struct mail_plan {
	uint32_t number;    /* 0 and 1: the first */
	uint32_t rendering; /* index into the item's */
	const char *method; /* NULL: "none" */
	const char *entry;  /* who chose; NULL: nobody was asked */
	const char *reason; /* why this one; NULL: none given */
	const char *passed; /* why not those asked before: "pki: no key; book: no entry"; or NULL */
	/*
	 * For "tls": the id of the entry from which selection goes on where TLS is not to be had.
	 * NULL, or "" where nobody is left to ask: a demand that is not met fails the recipient.
	 */
	const char *next;
	/*
	 * Nobody serves this recipient, while others of the message are served: the reply with
	 * which the queue fails it at once, as if a next hop had said so ("550 5.7.1 ..."). NULL:
	 * it is to be delivered.
	 */
	const char *unserved;
	struct mail_demand demand;
};

static inline bool
mail_demand_is_any(const struct mail_demand *demand)
{
	return demand->bits > 0 || demand->level > 0;
}

/* The strongest of both; it waits only if each of them does. */
static inline void
mail_demand_add(struct mail_demand *demand, struct mail_demand more)
{
	if (mail_demand_is_any(&more))
		demand->waits = more.waits && (demand->waits || !mail_demand_is_any(demand));
	demand->bits = demand->bits > more.bits ? demand->bits : more.bits;
	demand->level = demand->level > more.level ? demand->level : more.level;
}

static inline bool
mail_demand_equal(const struct mail_demand *one, const struct mail_demand *other)
{
	return one->bits == other->bits && one->level == other->level && one->waits == other->waits;
}

/* "none" and so on. */
static inline const char *
mail_plan_method(const struct mail_plan *plan)
{
	return plan->method ? plan->method : "none";
}

/*
 * One body of an item, for one group of recipients: a part of the item's bytes. Every plan that is
 * served names one, where there are any.
 */
struct mail_rendering {
	size_t offset, len;
	const char *sender; /* return path of this rendering; NULL: the envelope's */
	bool needs_utf8, has_eightbit;
	bool binary; /* bare CR, LF or lines without end: only a client's BINARYMIME, unchanged */
};

#endif
