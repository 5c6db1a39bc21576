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

void
destination_use_found(struct destination *destination)
{
	struct mx_policy policy = routes_mx_policy(destination->routes, destination->route);
	struct mx_list *list = g_steal_pointer(&destination->found);
	struct hops *hops = NULL;

	if (!list)
		return; /* it is still searched for */
	policy.relaxed = destination_is_relaxed(destination);
	destination_apply_policy(destination, list);
	mx_judge(list, &policy);
	destination_judge_policy(destination, list);
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
on_found(void *arg, struct mx_list *list)
{
	struct destination *destination = arg;

	destination->search = NULL;
	destination->found = list;
	if (!destination->sts_request)
		destination_use_found(destination);
}

static void
search(struct destination *destination)
{
	struct queue *queue = destination->queue;

	if (destination->search || destination->found || destination_is_blocked(destination))
		return;
	if (!queue->parts.dns) {
		destination_back_off(destination, "451 4.3.5 this relay has no DNS");
		return;
	}
	destination->search = mx_search_start(queue->parts.dns, queue->parts.loop,
	    destination->domain, destination->route->hosts->ways[ROUTE_AS_SET].target.port,
	    on_found, destination);
	destination_ask_policy(destination);
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
	destination_drop_policy(destination);
	connections_stop_waiting(destination);
	hops_release(&destination->hops);
	if (destination->lineup.count > 0)
		destination_pump_in(destination, 0);
}
