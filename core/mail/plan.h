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

#include <core/base/arena.h>
#include <postern/plan.h>

/* Who wants protection: the last stage (enum pn_stage) at which that was said; 0: at none. */
struct mail_want {
	int32_t wanted, opted_out;
	const char *why; /* the last one given */
};

struct mail_demand {
	int32_t bits;    /* 0: none */
	int32_t level;   /* enum pn_tls_level */
	bool waits;      /* not met: deferred until the mail is too old, instead of failed */
	int32_t version; /* of TLS, at least: 0x0304; 0: any */
	/*
	 * Lists of words, of each of which one must be there: "a b;c" is a or b, and c. Ciphers by
	 * name; keys and certificates as mail_demand_pin() writes them. NULL: any.
	 */
	const char *ciphers, *pins;
};

/* What a connection has to show, in the words of a demand. */
struct mail_shown {
	int32_t bits, level, version; /* 0: no TLS */
	const char *cipher;
	const unsigned char *key, *certificate; /* SHA-256 of both; NULL: none was shown */
};

#define MAIL_DIGEST_SIZE 32u
#define MAIL_PIN_SIZE    (6 + 2 * MAIL_DIGEST_SIZE) /* "key=" or "cert=", digits, NUL */

/* ---- demand.c ---- */
bool mail_demand_is_any(const struct mail_demand *demand);
bool mail_demand_equal(const struct mail_demand *one, const struct mail_demand *other);
/* Strings are copied into `arena`. */
struct mail_demand mail_demand_copy(const struct mail_demand *demand, struct arena *arena);
/* The strongest of both, in `arena`; it waits only if each of them does. */
void mail_demand_add(
    struct mail_demand *demand, const struct mail_demand *more, struct arena *arena);
/*
 * What of the demand is not met, as a reply in `arena`; NULL: nothing. `host`: the next hop, for
 * people. A demand that waits says 403 4.7.0, another 503 5.7.0.
 */
const char *mail_demand_unmet(const struct mail_demand *demand, const struct mail_shown *shown,
    const char *host, struct arena *arena);
/* "sha256/..." or "cert-sha256/..." (postern/plan.h) as demands have it; -EINVAL. */
int mail_demand_pin(const char *text, char ret[MAIL_PIN_SIZE]);
/* For people: "TLS of 112 bits at level 1, TLSv1.3, one of ..."; "" for none. In `arena`. */
const char *mail_demand_text(const struct mail_demand *demand, struct arena *arena);

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
