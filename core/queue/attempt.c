/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attempt.c - tells what an attempt came to: log lines, and the outcome hooks.
 *
 * Called by outcome.c and replan.c, once for each recipient and result. Decides nothing.
 */
#include <core/base/log.h>
#include <core/queue/inside.h>
#include <stdio.h>

static const char *const events[] = {
	[PN_FATE_DELIVERED] = "delivered",
	[PN_FATE_DEFERRED] = "deferred",
	[PN_FATE_FAILED] = "bounced",
	[PN_FATE_REPLANNED] = "replanned",
};

static void
log_result(const struct attempt *attempt, const struct item_recipient *recipient, enum pn_fate fate)
{
	const struct item *item = attempt->queued->item;
	const struct mail_plan *plan = &recipient->plan;
	const struct tls_facts *tls = &attempt->tls;
	bool planned = plan->method && strcmp(plan->method, "none") != 0;
	char delay[32], number[16];

	if (!log_wanted(PN_LOG_NOTICE))
		return;
	snprintf(delay, sizeof(delay), "%.3f", (double)(attempt->now - item->accepted_us) / 1e6);
	snprintf(number, sizeof(number), "%u", plan->number ? (unsigned)plan->number : 1u);
	log_event(PN_LOG_NOTICE, attempt->deleted ? "deleted" : events[fate], "id",
	    item_log_id(item), "to", recipient->envelope->address, "route", attempt->route,
	    "remote", attempt->remote, "reply", recipient->last_reply, "method",
	    planned ? plan->method : NULL, "plan", planned || plan->number > 1 ? number : NULL,
	    "tls", tls->version, "cipher", tls->cipher, "verified",
	    tls->version ? (tls->verified ? "yes" : "no") : NULL, "by",
	    tls->dane  ? "dane"
	    : tls->sts ? "mta-sts"
		       : NULL,
	    "delay", delay, NULL);
}

void
attempt_tell(struct attempt *attempt, uint32_t index, enum pn_fate fate)
{
	const struct item *item = attempt->queued->item;
	const struct item_recipient *recipient = &item->recipients[index];
	const struct tls_facts *tls = &attempt->tls;
	struct queue_outcome outcome = { .item = item, .index = index };

	log_result(attempt, recipient, fate);
	if (!attempt->queued->queue->parts.outcome)
		return;
	outcome.result = (struct pn_outcome){
		.size = sizeof(struct pn_outcome),
		.fate = fate,
		.recipient = recipient->envelope->address,
		.method = mail_plan_method(&recipient->plan),
		.reply = recipient->last_reply,
		.next_hop = attempt->remote,
		.tls_version = tls->version,
		.tls_cipher = tls->cipher,
		.tls_bits = tls->bits,
		.tls_level = courier_level(tls),
		.attempt = recipient->attempts,
		.plan = recipient->plan.number ? recipient->plan.number : 1,
		.at_us = attempt->now,
	};
	if (!attempt->outcomes)
		attempt->outcomes = g_array_new(FALSE, FALSE, sizeof(struct queue_outcome));
	g_array_append_val(attempt->outcomes, outcome);
}

void
attempt_end(struct attempt *attempt)
{
	const struct queue_parts *parts = &attempt->queued->queue->parts;
	GArray *outcomes = attempt->outcomes;

	attempt->outcomes = NULL;
	if (!outcomes)
		return;
	parts->outcome(
	    parts->arg, (const struct queue_outcome *)(const void *)outcomes->data, outcomes->len);
	g_array_free(outcomes, TRUE);
}
