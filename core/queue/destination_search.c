/* SPDX-License-Identifier: Apache-2.0 */
/*
 * destination_search.c - which hosts a destination's mail goes to.
 *
 * Called by destination.c before connections are opened. Where the DNS names them it is asked when
 * there is mail, and again when its answer is too old; what it says for good ends what waits here,
 * what it cannot say for now defers it. Must never hold up mail that connections can take already.
 */
#include <core/queue/destination.h>

static void
use(struct destination *destination, struct hops *hops)
{
	connections_stop_waiting(destination); /* for a place at the old ones */
	hops_inherit(hops, destination->hops);
	hops_release(&destination->hops);
	destination->hops = hops;
	destination->limits = hops->hops->limits;
}

/* RFC 8689 section 4.2.1: who forges an answer of the DNS would be sent what has to be protected.
 */
static void
refuse_unvalidated(const struct destination *destination, struct mx_list *list)
{
	if (list->refusal || destination->need != ROUTE_REQUIRETLS || hops_list_is_validated(list))
		return;
	g_snprintf(list->text, sizeof(list->text),
	    "550 5.7.10 REQUIRETLS: the mail exchangers of %s are not signed by DNSSEC",
	    list->domain);
	list->refusal = list->text;
}

static void
on_found(void *arg, struct mx_list *list)
{
	struct destination *destination = arg;
	struct mx_policy policy = routes_mx_policy(destination->routes, destination->route);
	struct hops *hops = NULL;

	destination->search = NULL;
	policy.relaxed = destination->need == ROUTE_RELAXED;
	mx_judge(list, &policy);
	refuse_unvalidated(destination, list);
	if (!list->refusal)
		hops = hops_of_list(destination->queue, destination->routes, destination->route,
		    destination->need, list);
	if (hops && hops->count > 0) {
		use(destination, hops);
	} else if (!list->refusal) {
		hops_release(&hops);
		destination_back_off(destination, "451 4.3.5 the route's hosts cannot be used");
	} else if (*list->refusal == '4') {
		destination_back_off(destination, list->refusal);
	} else {
		destination_forget_hops(destination);
		destination_settle_all(destination, COURIER_FAILED, list->refusal);
	}
	mx_list_free(&list);
	destination_pump(destination);
}

static void
search(struct destination *destination)
{
	struct queue *queue = destination->queue;

	if (destination->search || destination_is_blocked(destination))
		return;
	if (!queue->parts.dns) {
		destination_back_off(destination, "451 4.3.5 this relay has no DNS");
		return;
	}
	destination->search = mx_search_start(queue->parts.dns, queue->parts.loop,
	    destination->domain, destination->route->hosts->ways[ROUTE_AS_SET].target.port,
	    on_found, destination);
}

bool
destination_has_hops(struct destination *destination)
{
	int64_t now = loop_now(destination->queue->parts.loop);

	if (destination->hops && destination->hops->expires_ms > now)
		return true;
	if (destination->domain)
		search(destination);
	else
		use(destination, hops_of_route(destination->queue, destination->routes,
				     destination->route, destination->need));
	return !destination->domain;
}

void
destination_forget_hops(struct destination *destination)
{
	mx_search_cancel(&destination->search);
	connections_stop_waiting(destination);
	hops_release(&destination->hops);
	if (destination->lineup.count > 0)
		destination_pump_in(destination, 0);
}
