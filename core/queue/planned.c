/* SPDX-License-Identifier: Apache-2.0 */
/*
 * planned.c - tells by which method each recipient's copy leaves, why, and why by no other.
 *
 * Called by the session when a message is durable, and by replan.c. Decides nothing.
 */
#include <core/base/log.h>
#include <core/queue/planned.h>
#include <stdio.h>

void
planned_log(const struct item *item, const char *id, const char *because)
{
	char number[16];

	if (!log_wanted(PN_LOG_NOTICE))
		return;
	for (size_t i = 0; i < item->envelope.count; i++) {
		const struct mail_plan *plan = &item->recipients[i].plan;

		if (!plan->entry && !plan->method && !plan->unserved)
			continue;
		snprintf(number, sizeof(number), "%u", plan->number ? (unsigned)plan->number : 1u);
		log_event(PN_LOG_NOTICE, "planned", "id", id, "to",
		    item->envelope.recipients[i].address, "method",
		    plan->unserved ? NULL : mail_plan_method(plan), "reply", plan->unserved, "plan",
		    number, "by", plan->entry, "reason", plan->reason, "passed", plan->passed,
		    "because", because, "item", because ? item->id : NULL, NULL);
	}
}
