/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sweep.c - a queue command on the lanes' loops.
 *
 * Called by relay_queue.c. Must never keep a lane from its mail for longer than a step, hold on to
 * an item between steps, or tell a state that is not on disk.
 */
#include <core/base/clock.h>
#include <core/ctl/console.h>
#include <core/master/sweep.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define STEP_US 2000

/* A message to be told of. */
struct chosen {
	char id[ITEM_ID_SIZE];
	char *log_id, *from; /* NULL where nothing is changed: then it may just as well be gone */
	GArray *indices;     /* of recipients that matched */
	GPtrArray *to;       /* their addresses, as log_id */
	json_t *rows;        /* NULL: it has left the queue */
};

struct sweep_lane {
	struct loop_task task; /* first */
	struct sweep *sweep;
	struct lane *lane;
	struct queue_walk walk;
	struct spool_request synced;
	GTree *chosen; /* by id, the smallest of those that match */
	struct sweep_result result;
	int64_t now;
};

bool
sweep_changes(const struct sweep *sweep)
{
	return sweep->order.verb != SWEEP_LIST && sweep->order.verb != SWEEP_SHOW;
}

/* ---- choosing whom to tell of ---- */

static void
free_chosen(gpointer data)
{
	struct chosen *chosen = data;

	g_free(chosen->log_id);
	g_free(chosen->from);
	g_array_free(chosen->indices, TRUE);
	g_ptr_array_free(chosen->to, TRUE);
	json_decref(chosen->rows);
	g_free(chosen);
}

static gint
compare_ids(gconstpointer a, gconstpointer b, gpointer arg)
{
	return strcmp(a, b);
}

static struct chosen *
new_chosen(const struct sweep *sweep, const struct item *item)
{
	struct chosen *chosen = g_new0(struct chosen, 1);

	memcpy(chosen->id, item->id, ITEM_ID_SIZE);
	chosen->indices = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	chosen->to = g_ptr_array_new_with_free_func(g_free);
	if (sweep_changes(sweep)) {
		chosen->log_id = g_strdup(item_log_id(item));
		chosen->from = g_strdup(item->envelope.sender);
	}
	return chosen;
}

/* NULL: there are enough before it. */
static struct chosen *
choose(struct sweep_lane *part, const struct item *item)
{
	const struct sweep_order *order = &part->sweep->order;
	struct chosen *chosen;
	const char *last;

	if (strcmp(item->id, order->after) <= 0)
		return NULL;
	if ((size_t)g_tree_nnodes(part->chosen) >= order->limit) {
		part->result.more = true;
		if (order->limit == 0)
			return NULL;
		last = g_tree_node_key(g_tree_node_last(part->chosen));
		if (strcmp(item->id, last) > 0)
			return NULL;
		g_tree_remove(part->chosen, last);
	}
	chosen = new_chosen(part->sweep, item);
	g_tree_insert(part->chosen, chosen->id, chosen);
	return chosen;
}

/* ---- matching and changing ---- */

static void
change(struct sweep_lane *part, struct item *item, uint32_t index)
{
	const struct sweep_order *order = &part->sweep->order;
	struct queue *queue = lane_queue(part->lane);
	enum queue_change change = QUEUE_UNCHANGED;

	if (order->verb == SWEEP_HOLD)
		change = queue_hold(queue, item, index, &order->hold);
	else if (order->verb == SWEEP_RELEASE)
		change = queue_release(queue, item, index);
	else if (order->verb == SWEEP_RETRY)
		change = queue_retry(queue, item, index);
	else if (order->verb == SWEEP_DELETE)
		change = queue_delete(queue, item, index, order->bounce, order->who);
	part->result.changed += change == QUEUE_CHANGED;
	part->result.unchanged += change == QUEUE_UNCHANGED;
	part->result.busy += change == QUEUE_BUSY;
}

static bool
matches(const struct sweep_lane *part, struct filter_view *view)
{
	const struct filter *filter = part->sweep->order.filter;
	const struct item_recipient *recipient = &view->item->recipients[view->index];

	if (item_is_final(recipient->state))
		return false;
	view->state = queue_state_name(recipient);
	view->route = filter_needs_route(filter)
			  ? queue_route_name(lane_queue(part->lane), view->item, view->index)
			  : NULL;
	return filter_recipient(filter, view);
}

static void
take_up(void *arg, struct item *item)
{
	struct sweep_lane *part = arg;
	struct sweep *sweep = part->sweep;
	struct filter_view view = { .item = item, .now = part->now };
	struct chosen *chosen = NULL;
	uint64_t before = part->result.recipients;

	sweep->seen++;
	if (!filter_message(sweep->order.filter, &view))
		return;
	for (; view.index < item->envelope.count; view.index++) {
		if (!matches(part, &view))
			continue;
		if (part->result.recipients++ == before)
			chosen = choose(part, item);
		if (chosen)
			g_array_append_val(chosen->indices, view.index);
		if (chosen && sweep_changes(sweep))
			g_ptr_array_add(
			    chosen->to, g_strdup(item->envelope.recipients[view.index].address));
		if (sweep_changes(sweep))
			change(part, item, view.index);
	}
	part->result.messages += part->result.recipients > before;
	if (sweep_changes(sweep))
		queue_changed(lane_queue(part->lane), item);
}

/* ---- telling ---- */

static json_t *
date(int64_t us)
{
	char text[CLOCK_DATE_SIZE];

	if (us == 0)
		return json_null();
	clock_log_date(us, text);
	return json_string(text);
}

static const char *
name_of_end(enum item_hold_end end)
{
	return end == ITEM_HOLD_RELEASE ? "release" : end == ITEM_HOLD_DELETE ? "delete" : "bounce";
}

static void
tell_hold(json_t *row, const struct item_hold *hold)
{
	bool ends = hold && hold->until_us;

	json_object_update_new(
	    row, json_pack("{s:o, s:o, s:o, s:o, s:s?}", "held_by",
		     console_text(hold ? hold->owner : NULL), "reason",
		     console_text(hold ? hold->reason : NULL), "held_since",
		     date(hold ? hold->since_us : 0), "held_until", date(hold ? hold->until_us : 0),
		     "then", ends ? name_of_end(hold->end) : NULL));
}

static void
tell_more(json_t *row, const struct item *item, const struct item_recipient *recipient)
{
	const struct mail_facts *facts = &item->facts;
	json_t *tags = json_array();

	for (size_t i = 0; i < item->tag_count; i++)
		json_array_append_new(tags, console_text(item->tags[i]));
	json_object_set_new(row, "tags", tags);
	json_object_update_new(row, json_pack("{s:s?}", "goes_on_behind", item->resume));
	json_object_update_new(row,
	    json_pack("{s:s?, s:o, s:s?, s:s?, s:o, s:o, s:i, s:s?, s:o, s:o, s:o, s:o}", "client",
		facts->client_address, "helo", console_text(facts->helo), "listener",
		facts->listener, "tls", facts->tls_version, "original_sender",
		console_text(item->envelope.original_sender), "original_recipient",
		console_text(recipient->envelope->original), "plan",
		recipient->plan.number ? (int)recipient->plan.number : 1, "planned_by",
		recipient->plan.entry, "because", console_text(recipient->plan.reason),
		"passed_before", console_text(recipient->plan.passed), "last_attempt",
		date(recipient->last_attempt_us), "remote", console_text(recipient->last_remote)));
}

static json_t *
tell(const struct sweep_lane *part, const struct item *item, uint32_t index)
{
	const struct item_recipient *recipient = &item->recipients[index];
	json_t *row;
	char *key;

	row = json_pack("{s:s, s:s, s:o, s:o, s:s, s:o, s:I, s:o, s:o, s:s, s:i, s:o, s:o}", "id",
	    item_log_id(item), "item", item->id, "from", console_text(item->envelope.sender), "to",
	    console_text(item->envelope.recipients[index].address), "state",
	    queue_state_name(recipient), "accepted", date(item->accepted_us), "size",
	    (json_int_t)item->size, "user", console_text(item->facts.user), "route",
	    console_text(queue_route_name(lane_queue(part->lane), item, index)), "method",
	    mail_plan_method(&recipient->plan), "attempts", (int)recipient->attempts, "due",
	    recipient->hold ? json_null() : date(recipient->due_us), "reply",
	    console_text(recipient->last_reply));
	tell_hold(row, recipient->hold);
	if (part->sweep->order.verb != SWEEP_SHOW)
		return row;
	tell_more(row, item, recipient);
	key = queue_way_key(lane_queue(part->lane), item, index);
	json_object_set_new(row, SWEEP_WAY, console_text(key));
	g_free(key);
	return row;
}

static void
read_back(void *arg, struct item *item)
{
	struct sweep_lane *part = arg;
	struct chosen *chosen = g_tree_lookup(part->chosen, item->id);

	if (!chosen)
		return;
	chosen->rows = json_array();
	for (guint i = 0; i < chosen->indices->len; i++)
		json_array_append_new(
		    chosen->rows, tell(part, item, g_array_index(chosen->indices, uint32_t, i)));
}

/* All of its recipients are final, on disk too. */
static json_t *
tell_gone(const struct chosen *chosen)
{
	json_t *rows = json_array();

	for (guint i = 0; i < chosen->to->len; i++)
		json_array_append_new(rows,
		    json_pack("{s:s, s:s, s:s, s:s}", "id", chosen->log_id, "from", chosen->from,
			"to", g_ptr_array_index(chosen->to, i), "state", "gone"));
	return rows;
}

/* ---- the way of a lane's part ---- */

static gboolean
collect(gpointer key, gpointer value, gpointer arg)
{
	struct chosen *chosen = value;
	struct sweep *sweep = arg;
	json_t *rows = chosen->rows ? json_incref(chosen->rows) : tell_gone(chosen);

	g_tree_insert(sweep->result.rows, g_strdup(chosen->id), rows);
	return FALSE;
}

/* All lanes' messages, and of these again the first ones. */
static void
merge(struct sweep *sweep, const struct sweep_lane *part)
{
	struct sweep_result *into = &sweep->result;

	into->messages += part->result.messages;
	into->recipients += part->result.recipients;
	into->changed += part->result.changed;
	into->unchanged += part->result.unchanged;
	into->busy += part->result.busy;
	into->more |= part->result.more;
	if (into->r == 0)
		into->r = part->result.r;
	g_tree_foreach(part->chosen, collect, sweep);
	while ((size_t)g_tree_nnodes(into->rows) > sweep->order.limit) {
		into->more = true;
		g_tree_remove(into->rows, g_tree_node_key(g_tree_node_last(into->rows)));
	}
}

static void
come_back(struct loop_task *task)
{
	struct sweep_lane *part = (struct sweep_lane *)task;
	struct sweep *sweep = part->sweep;

	merge(sweep, part);
	if (--sweep->due == 0)
		sweep->done(sweep);
}

static void
end(struct sweep_lane *part)
{
	part->task.run = come_back;
	loop_post(part->sweep->loop, &part->task);
}

static void
tell_step(struct loop_task *task)
{
	struct sweep_lane *part = (struct sweep_lane *)task;

	if (queue_walk_step(&part->walk, STEP_US, read_back, part))
		loop_post(lane_loop(part->lane), &part->task);
	else
		end(part);
}

static void
tell_all(struct sweep_lane *part)
{
	if (g_tree_nnodes(part->chosen) == 0) {
		end(part);
		return;
	}
	part->task.run = tell_step;
	queue_walk_start(lane_queue(part->lane), &part->walk);
	tell_step(&part->task);
}

static void
on_synced(struct spool_request *request, int r)
{
	struct sweep_lane *part = (struct sweep_lane *)((char *)request -
							offsetof(struct sweep_lane, synced));

	part->result.r = r;
	tell_all(part);
}

static void
take_up_step(struct loop_task *task)
{
	struct sweep_lane *part = (struct sweep_lane *)task;

	if (queue_walk_step(&part->walk, STEP_US, take_up, part)) {
		loop_post(lane_loop(part->lane), &part->task);
		return;
	}
	if (part->result.changed == 0) {
		tell_all(part);
		return;
	}
	part->synced = (struct spool_request){ .loop = lane_loop(part->lane), .done = on_synced };
	spool_sync(part->sweep->spool, &part->synced);
}

static void
begin(struct loop_task *task)
{
	struct sweep_lane *part = (struct sweep_lane *)task;

	struct queue_figures figures;

	queue_figures(lane_queue(part->lane), &figures);
	part->sweep->total += figures.waiting + figures.sending;
	part->now = clock_wall_us();
	part->task.run = take_up_step;
	queue_walk_start(lane_queue(part->lane), &part->walk);
	take_up_step(task);
}

/* ---- life ---- */

static void
free_rows(gpointer rows)
{
	json_decref(rows);
}

struct sweep *
sweep_new(struct loop *loop, struct spool *spool)
{
	struct sweep *sweep = g_new0(struct sweep, 1);

	sweep->loop = loop;
	sweep->spool = spool;
	sweep->order.filter = filter_new();
	sweep->result.rows = g_tree_new_full(compare_ids, NULL, g_free, free_rows);
	return sweep;
}

void
sweep_start(struct sweep *sweep, struct lane *const *lanes, size_t count)
{
	sweep->lanes = g_new0(struct sweep_lane, count);
	sweep->lane_count = sweep->due = count;
	for (size_t i = 0; i < count; i++) {
		struct sweep_lane *part = &sweep->lanes[i];

		part->task.run = begin;
		part->sweep = sweep;
		part->lane = lanes[i];
		part->chosen = g_tree_new_full(compare_ids, NULL, NULL, free_chosen);
		loop_post(lane_loop(lanes[i]), &part->task);
	}
}

void
sweep_free(struct sweep **sweep_at)
{
	struct sweep *sweep = *sweep_at;

	*sweep_at = NULL;
	for (size_t i = 0; i < sweep->lane_count; i++)
		g_tree_destroy(sweep->lanes[i].chosen);
	g_free(sweep->lanes);
	g_tree_destroy(sweep->result.rows);
	filter_free(&sweep->order.filter);
	g_free(sweep->order.who);
	g_free(sweep->order.reason);
	g_free(sweep);
}
