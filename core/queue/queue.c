/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.c - accepted items: made durable, sent, waited for, finished.
 *
 * Called by sessions (queue_accept), by start-up (queue_restore) and by its own timer. Must never
 * free an item that the spool still needs for somebody, and never answer before the spool did.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/queue/inside.h>
#include <errno.h>
#include <stdlib.h>

/* Due items that are taken up in one turn of the loop. */
#define TURN_MOST 500u
/* The clock may be set: look again after so long at the latest. */
#define LOOK_AGAIN_MS 60000

/* ---- bytes and counts -------------------------------------------------------------------------
 */

void
queue_set_bytes(struct queued *queued, struct mail_bytes *bytes)
{
	queued->item->bytes = bytes;
	queued->queue->resident += queued->item->size;
}

void
queue_drop_bytes(struct queued *queued)
{
	if (!queued->item->bytes || queued->pins > 0)
		return;
	queued->queue->resident -= queued->item->size;
	mail_bytes_release(&queued->item->bytes);
}

void
queue_pin(struct delivery *delivery)
{
	if (!delivery->pinned)
		delivery->owner->pins++;
	delivery->pinned = true;
}

void
queue_unpin(struct delivery *delivery)
{
	if (delivery->pinned)
		delivery->owner->pins--;
	delivery->pinned = false;
}

static void
drain_fire(struct loop_timer *timer)
{
	struct queue *queue = (struct queue *)(void *)((char *)timer -
						       offsetof(struct queue, drain_timer));

	void (*drained)(void *arg) = queue->drained;

	if (queue->under_way > 0 || !drained || !connections_end(queue))
		return;
	queue->drained = NULL;
	drained(queue->drained_arg);
}

void
queue_begin(struct queue *queue)
{
	queue->under_way++;
}

void
queue_end(struct queue *queue)
{
	queue->under_way--;
	queue_look_again(queue);
}

void
queue_look_again(struct queue *queue)
{
	if (queue->under_way == 0 && queue->draining)
		loop_timer_set(queue->parts.loop, &queue->drain_timer, 0);
}

/* ---- items ------------------------------------------------------------------------------------
 */

static struct queued *
link_item(struct queue *queue, struct item *item)
{
	struct queued *queued = g_new0(struct queued, 1);

	(void)queue_now(queue); /* what is here moves before this one comes */
	queued->queue = queue;
	queued->item = item;
	queued->next = queue->items;
	queued->link = &queue->items;
	if (queue->items)
		queue->items->link = &queued->next;
	queue->items = queued;
	item->queue = queued;
	queue->count++;
	if (item->bytes)
		queue->resident += item->size;
	return queued;
}

static void
unlink_item(struct queued *queued)
{
	for (struct queue_walk *walk = queued->queue->walks; walk; walk = walk->others)
		if (walk->next == queued)
			walk->next = queued->next;
	change_forget(queued);
	schedule_remove(&queued->queue->schedule, &queued->entry);
	notice_free(&queued->notice);
	notice_free(&queued->notice_sent);
	replan_free_all(queued);
	queued->queue->count--;
	*queued->link = queued->next;
	if (queued->next)
		queued->next->link = queued->link;
	queued->pins = 0;
	queue_drop_bytes(queued);
	item_free(&queued->item);
	g_free(queued);
}

static void
arm(struct queue *queue)
{
	struct schedule_entry *first = schedule_first(&queue->schedule);
	int64_t ms;

	if (!first || queue->draining || first->due_us >= queue->armed_us)
		return;
	queue->armed_us = first->due_us;
	ms = (first->due_us - queue_now(queue)) / 1000 + 1;
	loop_timer_set(queue->parts.loop, &queue->timer,
	    ms < 0               ? 0
	    : ms > LOOK_AGAIN_MS ? LOOK_AGAIN_MS
				 : ms);
}

void
queue_wait_for_due(struct queued *queued)
{
	const struct item *item = queued->item;
	int64_t due = INT64_MAX;

	for (size_t i = 0; i < item->envelope.count; i++)
		if (item->recipients[i].state == ITEM_WAITING)
			due = MIN(due, change_due(&item->recipients[i]));
	if (due == INT64_MAX) {
		schedule_remove(&queued->queue->schedule, &queued->entry);
		return;
	}
	schedule_put(&queued->queue->schedule, &queued->entry, due);
	arm(queued->queue);
}

/* Nobody looks at the item, and it has time: it may move. */
static void
pack(struct queued *queued)
{
	if (!queued->grown || queued->deliveries > 0 || queued->pins > 0 || queued->load ||
	    queued->notice || queued->notice_sent || queued->replans || queued->committing ||
	    queued->accepting || queued->item->bytes)
		return;
	item_pack(&queued->item);
	queued->grown = false;
}

void
queue_settle(struct queued *queued)
{
	struct item *item = queued->item;

	if (queued->deliveries == 0 && queued->notice && !queued->notice_sent) {
		notice_send(queued);
		return;
	}
	if (item->unfinished == 0 && queued->deliveries == 0 && !queued->notice &&
	    !queued->notice_sent && !queued->committing && !queued->accepting) {
		spool_finish(queued->queue->parts.spool, item);
		unlink_item(queued);
		return;
	}
	if (queued->deliveries == 0 && !queued->accepting)
		queue_drop_bytes(queued);
	pack(queued);
	queue_wait_for_due(queued);
}

/* ---- sending ----------------------------------------------------------------------------------
 */

static struct delivery *
new_delivery(struct queued *queued, struct destination *destination, size_t index)
{
	const struct item *item = queued->item;
	const struct mail_plan *plan = &item->recipients[index].plan;
	struct mail_rendering rendering = item_rendering(item, (uint32_t)index);
	size_t room = item->envelope.count - index,
	       size = sizeof(struct delivery) +
		      room * (sizeof(struct courier_result) + sizeof(uint32_t));
	struct delivery *delivery = g_malloc0(size);

	delivery->owner = queued;
	delivery->destination = destination;
	delivery->indices = (uint32_t *)(void *)&delivery->results[room];
	delivery->letter = (struct courier_letter){
		.envelope = &item->envelope,
		.arena = &delivery->arena,
		.indices = delivery->indices,
		.results = delivery->results,
		.needs_utf8 = rendering.needs_utf8,
		.has_eightbit = rendering.has_eightbit,
		.binary = rendering.binary,
		.may_convert = rendering.has_eightbit || rendering.binary,
		.offset = rendering.offset,
		.len = rendering.len,
		.sender = rendering.sender,
		.demand = plan->demand,
		.requiretls = item->facts.requiretls,
	};
	delivery->need = queue_need(item, index);
	delivery->rendering = plan->rendering;
	if (queued->deliveries++ == 0)
		queued->queue->figures.sending++;
	return delivery;
}

const struct route *
queue_route(
    const struct queue *queue, const struct item *item, size_t index, const char **ret_refusal)
{
	const struct mail_recipient *recipient = item->recipients[index].envelope;
	struct config_subject subject = {
		.facts = &item->facts,
		.sender = item->envelope.sender,
		.original_sender = item->envelope.original_sender,
		.recipient = recipient->address,
		.user_relay = recipient->added ? NULL : item->envelope.user_relay,
		.tags = item->tags,
		.tag_count = item->tag_count,
		.size = item_rendering(item, (uint32_t)index).len,
	};

	return routes_find(queue->routes, &subject, ret_refusal);
}

/* RFC 8689 section 5: a report is better sent than lost, so it takes what there is. */
enum route_need
queue_need(const struct item *item, size_t index)
{
	const char *sender = item_rendering(item, (uint32_t)index).sender;
	const struct mail_demand *demand = &item->recipients[index].plan.demand;

	if (item->facts.requiretls && *(sender ? sender : item->envelope.sender))
		return ROUTE_REQUIRETLS;
	/* A demand that only the domain's own word can meet is not met where that is not heard. */
	if (item->facts.tls_optional && demand->level <= PN_TLS_NAME)
		return ROUTE_RELAXED;
	return item->facts.requiretls || mail_demand_is_any(demand) ? ROUTE_DEMANDED : ROUTE_AS_SET;
}

/* One letter has one destination, one body and one demand. */
static bool
belongs(const struct delivery *delivery, const struct destination *destination, const char *refusal,
    const struct mail_plan *plan)
{
	if (!destination)
		return !delivery->destination && strcmp(delivery->refusal, refusal) == 0;
	return delivery->destination == destination && delivery->rendering == plan->rendering &&
	       mail_demand_equal(&delivery->letter.demand, &plan->demand);
}

static void
add_recipient(struct queued *queued, struct delivery **list, size_t index)
{
	struct item *item = queued->item;
	const struct mail_plan *plan = &item->recipients[index].plan;
	const char *refusal = plan->unserved;
	const struct route *route = refusal ? NULL
					    : queue_route(queued->queue, item, index, &refusal);
	struct destination *destination = NULL;
	struct delivery *delivery = *list;
	char domain[MAIL_DOMAIN_MOST + 1];
	bool by_domain = route && route->kind == ROUTE_MX;

	if (by_domain && routes_domain(item->recipients[index].envelope->address, domain) < 0)
		refusal = "550 5.1.2 the address has no domain that mail can go to";
	else if (route)
		destination = destination_get(
		    queued->queue, route, queue_need(item, index), by_domain ? domain : NULL);
	while (delivery && !belongs(delivery, destination, refusal, plan))
		delivery = delivery->next;
	if (!delivery) {
		delivery = new_delivery(queued, destination, index);
		delivery->refusal = refusal;
		delivery->priority = route ? route->priority : 0;
		delivery->next = *list;
		*list = delivery;
	}
	if (route && route->priority > delivery->priority)
		delivery->priority = route->priority;
	item->recipients[index].state = ITEM_SENDING;
	delivery->indices[delivery->count++] = (uint32_t)index;
	delivery->letter.count = delivery->count;
}

bool
queue_is_due(const struct item_recipient *recipient, int64_t now)
{
	return recipient->state == ITEM_WAITING && !recipient->hold && recipient->due_us <= now;
}

/*
 * Recipients that are due are grouped by destination, rendering and demand, and handed over. The
 * item may be gone after.
 */
static void
send_due(struct queued *queued)
{
	struct item *item = queued->item;
	struct delivery *list = NULL, *next;
	int64_t now = queue_now(queued->queue);

	schedule_remove(&queued->queue->schedule, &queued->entry);
	change_expire(queued, now);
	for (size_t i = 0; i < item->envelope.count; i++)
		if (!item->resume && queue_is_due(&item->recipients[i], now))
			add_recipient(queued, &list, i);
	if (item->resume && replan_resume(queued, now))
		return;
	if (!list)
		queue_settle(queued);
	for (struct delivery *delivery = list; delivery; delivery = next) {
		next = delivery->next;
		delivery->next = NULL;
		if (delivery->destination) {
			destination_push(delivery->destination, delivery);
		} else {
			outcome_settle(delivery,
			    *delivery->refusal == '4' ? COURIER_DEFERRED : COURIER_FAILED,
			    delivery->refusal);
			outcome_note(delivery);
		}
	}
}

static void
due_fire(struct loop_timer *timer)
{
	struct queue *queue = (struct queue *)(void *)((char *)timer -
						       offsetof(struct queue, timer));
	int64_t now = queue_now(queue);
	struct schedule_entry *first;

	queue->armed_us = INT64_MAX;
	for (unsigned i = 0; i < TURN_MOST && !queue->draining; i++) {
		first = schedule_first(&queue->schedule);
		if (!first || first->due_us > now)
			break;
		send_due((struct queued *)(void *)first);
	}
	arm(queue);
}

/* ---- accepting --------------------------------------------------------------------------------
 */

struct acceptance {
	struct spool_request request; /* first */
	struct queued *queued;
	int64_t clock_offset_us;
	queue_accepted_fn *done;
	void *arg;
};

static void
run_committed(struct queued *queued)
{
	struct queue *queue = queued->queue;

	if (queued->item->effects_done)
		return;
	if (!queue->parts.committed) {
		queued->item->effects_done = true;
		return;
	}
	queued->committing = true;
	queue->parts.committed(queue->parts.arg, queue, queued->item);
}

static void
accepted(struct spool_request *request, int r)
{
	struct acceptance *acceptance = (struct acceptance *)(void *)request;
	struct queued *queued = acceptance->queued;
	struct queue *queue = queued->queue;

	queue->accepting--;
	steady_accepted(queued, acceptance->clock_offset_us);
	acceptance->done(acceptance->arg, r, queued->item);
	g_free(acceptance);
	if (r < 0) {
		unlink_item(queued);
	} else {
		queue->figures.accepted++;
		change_count(queued);
		run_committed(queued);
		queued->accepting = false;
		if (queue->draining)
			queue_settle(queued);
		else
			send_due(queued);
	}
	queue_end(queue);
}

void
queue_accept(struct queue *queue, struct item *item, queue_accepted_fn *done, void *arg)
{
	struct acceptance *acceptance = g_new0(struct acceptance, 1);

	acceptance->queued = link_item(queue, item);
	acceptance->queued->accepting = acceptance->queued->grown = true;
	acceptance->clock_offset_us = queue->clock_offset_us;
	acceptance->done = done;
	acceptance->arg = arg;
	acceptance->request = (struct spool_request){
		.loop = queue->parts.loop,
		.done = accepted,
		.item = item,
	};
	queue->accepting++;
	queue_begin(queue);
	spool_append(queue->parts.spool, &acceptance->request);
}

void
queue_restore(struct queue *queue, struct item *item)
{
	struct queued *queued;

	steady_restored(queue, item);
	queued = link_item(queue, item);
	for (size_t i = 0; i < item->envelope.count; i++)
		if (item->recipients[i].state == ITEM_SENDING)
			item->recipients[i].state = ITEM_WAITING;
	change_count(queued);
	queued->accepting = true;
	run_committed(queued);
	queued->accepting = false;
	queue_settle(queued);
}

void
queue_effects_done(struct queue *queue, struct item *item, bool ran)
{
	struct queued *queued = item->queue;

	if (!queued->committing)
		return;
	queued->committing = false;
	item->effects_done = true;
	if (ran)
		spool_mark_effects(queue->parts.spool, item);
	if (!queued->accepting)
		queue_settle(queued);
}

/* ---- life -------------------------------------------------------------------------------------
 */

int
queue_new(const struct queue_parts *parts, struct queue **ret, struct pn_error *err)
{
	struct queue *queue = g_new0(struct queue, 1);

	queue->parts = *parts;
	queue->armed_us = INT64_MAX;
	queue->timer.fire = due_fire;
	queue->drain_timer.fire = drain_fire;
	queue->destinations = g_hash_table_new(g_str_hash, g_str_equal);
	queue->meetings = g_hash_table_new(g_str_hash, g_str_equal);
	g_queue_init(&queue->loads);
	connections_begin(queue);
	*ret = queue;
	return 0;
}

static gboolean
drop_unused(gpointer key, gpointer value, gpointer arg)
{
	if (!destination_is_unused(value))
		return FALSE;
	destination_free(value);
	return TRUE;
}

void
queue_configure(struct queue *queue, const struct queue_settings *settings, struct routes *routes)
{
	struct routes *old = queue->routes;
	char *name = g_strdup(settings->relay_name);

	queue->routes = routes_hold(routes);
	queue->settings = *settings;
	queue->settings.relay_name = name;
	queue->generation++;
	shaping_configure(
	    queue->shaping, settings->connections ? settings->connections : UINT32_MAX);
	g_free(queue->relay_name);
	queue->relay_name = name;
	g_hash_table_foreach_remove(queue->destinations, drop_unused, NULL);
	routes_release(&old);
}

static void
drain_one(gpointer key, gpointer value, gpointer arg)
{
	destination_drain(value);
}

void
queue_drain(struct queue *queue, void (*drained)(void *arg), void *arg)
{
	queue->draining = true;
	queue->drained = drained;
	queue->drained_arg = arg;
	loop_timer_cancel(queue->parts.loop, &queue->timer);
	load_cancel_waiting(queue);
	g_hash_table_foreach(queue->destinations, drain_one, NULL);
	queue_look_again(queue);
}

static gboolean
drop_destination(gpointer key, gpointer value, gpointer arg)
{
	destination_free(value);
	return TRUE;
}

void
queue_free(struct queue **queue_at)
{
	struct queue *queue = *queue_at;

	if (!queue)
		return;
	*queue_at = NULL;
	queue->draining = true;
	loop_timer_cancel(queue->parts.loop, &queue->timer);
	loop_timer_cancel(queue->parts.loop, &queue->drain_timer);
	g_hash_table_foreach_remove(queue->destinations, drop_destination, NULL);
	g_hash_table_destroy(queue->destinations);
	g_hash_table_destroy(queue->meetings);
	(void)connections_end(queue);
	shaping_release(&queue->shaping);
	while (queue->items)
		unlink_item(queue->items);
	schedule_free(&queue->schedule);
	routes_release(&queue->routes);
	g_free(queue->relay_name);
	g_free(queue);
}

void
queue_figures(const struct queue *queue, struct queue_figures *ret)
{
	*ret = queue->figures;
	ret->waiting = queue->count - queue->accepting - queue->figures.sending;
}
