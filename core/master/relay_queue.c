/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_queue.c - posternctl queue list, show, hold, release, retry, delete, in the relay.
 *
 * Runs on the main loop; the lanes do the work (sweep.c). A change is answered when it is on disk,
 * with the state read back, and stands in the audit trail. Must never change all mail there is
 * because a filter was forgotten.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/ctl/recent.h>
#include <core/master/relay_ways.h>
#include <core/master/sweep.h>
#include <core/store/audit.h>
#include <errno.h>
#include <inttypes.h>

#define LIMIT_LISTED 1000
#define LIMIT_SHOWN  20
#define PROGRESS_MS  500
#define SCOPE_MOST   4096

struct errand {
	struct job audit; /* first */
	struct loop_timer progress;
	struct relay *relay;
	struct control_request *request;
	struct sweep *sweep;
	json_t *answer;
	char *scope;   /* the filter in words */
	char *outcome; /* for the audit trail */
	const char *command;
	struct pn_error err;
	int r;
	bool loading; /* when it began: a lane that was done may have got more since */
};

static const char *const verbs[] = {
	[SWEEP_LIST] = "queue list",
	[SWEEP_SHOW] = "queue show",
	[SWEEP_HOLD] = "queue hold",
	[SWEEP_RELEASE] = "queue release",
	[SWEEP_RETRY] = "queue retry",
	[SWEEP_DELETE] = "queue delete",
};

/* ---- the answer ---- */

static void
set(json_t *object, const char *name, uint64_t value)
{
	json_object_set_new(object, name, json_integer((json_int_t)value));
}

static gboolean
add_rows(gpointer key, gpointer value, gpointer arg)
{
	json_t *answer = arg;

	json_array_extend(json_object_get(answer, "recipients"), value);
	json_object_set_new(answer, "next", json_string(key));
	return FALSE;
}

static void
add_log(json_t *lines, const char *id)
{
	struct buf found = BUF_INIT(16u * 1024 * 1024);

	if (recent_find(id, &found) < 0)
		found.len = 0;
	for (size_t at = 0; at < found.len;) {
		const char *end = memchr(found.data + at, '\n', found.len - at);
		size_t len = end ? (size_t)(end - (found.data + at)) : found.len - at;

		json_array_append_new(lines, json_stringn(found.data + at, len));
		at += len + 1;
	}
	buf_free(&found);
}

/* What the log remembers of each: every attempt, with time and reply. */
static void
add_history(json_t *answer)
{
	json_t *history = json_object(), *row;
	size_t i;

	json_array_foreach(json_object_get(answer, "recipients"), i, row)
	{
		const char *id = json_string_value(json_object_get(row, "id"));
		json_t *lines;

		if (json_object_get(history, id))
			continue;
		lines = json_array();
		add_log(lines, id);
		json_object_set_new(history, id, lines);
	}
	json_object_set_new(answer, "history", history);
}

static json_t *
make_answer(const struct errand *errand)
{
	const struct sweep_result *result = &errand->sweep->result;
	json_t *answer = json_pack("{s:[]}", "recipients");

	set(answer, "messages", result->messages);
	set(answer, "matching_recipients", result->recipients);
	if (sweep_changes(errand->sweep)) {
		set(answer, "changed", result->changed);
		set(answer, "unchanged", result->unchanged);
		set(answer, "busy", result->busy);
		json_object_set_new(answer, "durable", json_boolean(result->r == 0));
	}
	g_tree_foreach(result->rows, add_rows, answer);
	if (!result->more) /* that was the last page */
		json_object_set_new(answer, "next", json_null());
	json_object_set_new(answer, "loading", json_boolean(errand->loading));
	if (errand->sweep->order.verb == SWEEP_SHOW)
		add_history(answer);
	return answer;
}

static void
finish(struct errand *errand)
{
	if (errand->r < 0)
		json_object_set_new(errand->answer, "audit", json_string(errand->err.text));
	control_reply(errand->request, errand->answer);
	sweep_free(&errand->sweep);
	g_free(errand->scope);
	g_free(errand->outcome);
	g_free(errand);
}

/* ---- the audit trail ---- */

static void
write_audit(struct job *job)
{
	struct errand *errand = (struct errand *)job;
	const struct sweep_order *order = &errand->sweep->order;
	struct audit_row row = {
		.at_us = clock_wall_us(),
		.who = order->who,
		.action = errand->command,
		.scope = errand->scope,
		.object = order->reason   ? order->reason
			  : order->bounce ? "with reports"
					  : "",
		.after = errand->outcome,
	};

	errand->r = audit_add(errand->relay->db, &row, &errand->err);
}

static void
audit_written(struct job *job)
{
	struct errand *errand = (struct errand *)job;

	if (errand->r < 0)
		log_event(PN_LOG_ERROR, "audit-not-written", "reason", errand->err.text, NULL);
	finish(errand);
}

/* ---- the next hops ---- */

/* Each once, of all rows. */
static json_t *
way_keys(json_t *answer)
{
	json_t *seen = json_object(), *keys = json_array(), *row;
	size_t i;

	json_array_foreach(json_object_get(answer, "recipients"), i, row)
	{
		json_t *key = json_object_get(row, SWEEP_WAY);

		if (!json_is_string(key) || json_object_get(seen, json_string_value(key)))
			continue;
		json_object_set_new(seen, json_string_value(key), json_true());
		json_array_append(keys, key);
	}
	json_decref(seen);
	return keys;
}

/* What the next hop is doing, and what it may be asked for. */
static void
tell_way(json_t *row, json_t *way)
{
	static const char *const dates[] = { "blocked_until", "next_turn" };
	json_t *told;

	if (!way) {
		json_object_set_new(row, "destination", json_null());
		return;
	}
	told = json_copy(way);
	json_object_del(told, "hosts");
	for (size_t i = 0; i < sizeof(dates) / sizeof(*dates); i++)
		json_object_set_new(
		    told, dates[i], relay_ways_date(json_object_get(way, dates[i])));
	json_object_update_new(row, told);
}

static void
on_ways(void *arg, json_t *ways)
{
	struct errand *errand = arg;
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(errand->answer, "recipients"), i, row)
	{
		const char *key = json_string_value(json_object_get(row, SWEEP_WAY));

		tell_way(row, key ? json_object_get(ways, key) : NULL);
		json_object_del(row, SWEEP_WAY);
	}
	json_decref(ways);
	finish(errand);
}

static void
on_swept(struct sweep *sweep)
{
	struct errand *errand = sweep->arg;
	const struct sweep_result *result = &sweep->result;

	loop_timer_cancel(errand->relay->loop, &errand->progress);
	errand->answer = make_answer(errand);
	if (sweep->order.verb == SWEEP_SHOW) {
		relay_ways_ask(errand->relay, way_keys(errand->answer), on_ways, errand);
		return;
	}
	if (!sweep_changes(sweep)) {
		finish(errand);
		return;
	}
	errand->outcome = g_strdup_printf(
	    "%" PRIu64 " of %" PRIu64 " recipients, %" PRIu64 " messages%s", result->changed,
	    result->recipients, result->messages, result->r < 0 ? "; not known to be on disk" : "");
	log_event(PN_LOG_NOTICE, "queue-command", "command", errand->command, "by",
	    sweep->order.who, "filter", errand->scope, "changed", errand->outcome, NULL);
	errand->audit = (struct job){
		.loop = errand->relay->loop, .work = write_audit, .done = audit_written
	};
	jobs_submit(errand->relay->jobs, &errand->audit);
}

static void
tell_progress(struct loop_timer *timer)
{
	struct errand *errand = (struct errand *)((char *)timer -
						  offsetof(struct errand, progress));
	control_progress(
	    errand->request, json_pack("{s:I, s:I}", "done", (json_int_t)errand->sweep->seen, "of",
				 (json_int_t)errand->sweep->total));
	loop_timer_set(errand->relay->loop, timer, PROGRESS_MS);
}

/* ---- the question ---- */

static void
add_scope(struct buf *scope, const char *name, const char *value)
{
	int r = name ? buf_printf(scope, "%s--%s %s", scope->len ? " " : "", name, value)
		     : buf_printf(scope, "%s%s", scope->len ? " " : "", value);

	if (r < 0) /* long lists of ids are cut */
		scope->len = scope->len < SCOPE_MOST - 4 ? scope->len : SCOPE_MOST - 4;
}

static int
read_filter(json_t *body, struct filter *filter, struct buf *scope, struct pn_error *err)
{
	json_t *value;
	size_t i;
	int r = 0;

	json_array_foreach(json_object_get(body, "filters"), i, value)
	{
		const char *name = json_string_value(json_array_get(value, 0));
		const char *text = json_string_value(json_array_get(value, 1));

		if (r == 0)
			r = name && text ? filter_add(filter, name, text, err)
					 : pn_error_set(err, -EINVAL, "a filter without a value");
		if (r == 0)
			add_scope(scope, name, text);
	}
	json_array_foreach(json_object_get(body, "ids"), i, value)
	{
		const char *id = json_string_value(value);

		if (r == 0)
			r = filter_add_id(filter, id ? id : "", err);
		if (r == 0)
			add_scope(scope, NULL, id);
	}
	return r;
}

static char *
copy_text(json_t *body, const char *name)
{
	return g_strdup(json_string_value(json_object_get(body, name)));
}

static int
read_end(json_t *body, enum item_hold_end *ret, struct pn_error *err)
{
	const char *word = json_string_value(json_object_get(body, "then"));

	*ret = ITEM_HOLD_BOUNCE;
	if (!word || strcmp(word, "bounce") == 0)
		return 0;
	*ret = strcmp(word, "release") == 0 ? ITEM_HOLD_RELEASE : ITEM_HOLD_DELETE;
	if (strcmp(word, "release") == 0 || strcmp(word, "delete") == 0)
		return 0;
	return pn_error_set(
	    err, -EINVAL, "--then: \"%s\" is none of bounce, release, delete", word);
}

static int
read_order(json_t *body, struct sweep_order *order, struct buf *scope, struct pn_error *err)
{
	const char *after = json_string_value(json_object_get(body, "after"));
	json_t *limit = json_object_get(body, "limit");
	int64_t now = clock_wall_us(),
		hold_ms = json_integer_value(json_object_get(body, "for_ms"));
	int r = read_filter(body, order->filter, scope, err);

	if (r == 0)
		r = read_end(body, &order->hold.end, err);
	if (r < 0)
		return r;
	order->limit = order->verb == SWEEP_SHOW ? LIMIT_SHOWN : LIMIT_LISTED;
	if (json_is_integer(limit) && json_integer_value(limit) >= 0)
		order->limit = (size_t)json_integer_value(limit);
	g_strlcpy(order->after, after ? after : "", sizeof(order->after));
	order->who = copy_text(body, "who");
	order->reason = copy_text(body, "reason");
	order->bounce = json_is_true(json_object_get(body, "bounce"));
	order->hold.owner = order->who;
	order->hold.reason = order->reason;
	order->hold.since_us = now;
	order->hold.until_us = item_hold_end(now, hold_ms);
	return 0;
}

static int
check_order(const struct sweep *sweep, json_t *body, struct pn_error *err)
{
	const struct sweep_order *order = &sweep->order;

	if (!sweep_changes(sweep))
		return 0;
	if (!order->who)
		return pn_error_set(err, -EINVAL, "who asks for this?");
	if (filter_is_empty(order->filter) && !json_is_true(json_object_get(body, "all")))
		return pn_error_set(err, -EINVAL,
		    "which messages? Give ids or filters, or --all for every one in the queue");
	return 0;
}

void
relay_queue_run(void *arg, struct control_request *request, json_t *body)
{
	struct relay *relay = arg;
	const char *command = json_string_value(json_object_get(body, "command"));
	struct errand *errand = g_new0(struct errand, 1);
	struct buf scope = BUF_INIT(SCOPE_MOST);
	struct pn_error err = { 0 };
	int r;

	errand->relay = relay;
	errand->loading = atomic_load(&relay->loading) > 0;
	errand->request = request;
	errand->sweep = sweep_new(relay->loop, relay->spool);
	errand->sweep->done = on_swept;
	errand->sweep->arg = errand;
	while (strcmp(verbs[errand->sweep->order.verb], command) != 0)
		errand->sweep->order.verb++;
	errand->command = verbs[errand->sweep->order.verb];
	r = read_order(body, &errand->sweep->order, &scope, &err);
	if (r == 0)
		r = check_order(errand->sweep, body, &err);
	errand->scope = g_strndup(scope.len ? scope.data : "--all", scope.len ? scope.len : 5);
	buf_free(&scope);
	if (r < 0) {
		control_refuse(request, err.text);
		sweep_free(&errand->sweep);
		g_free(errand->scope);
		g_free(errand);
		return;
	}
	errand->progress.fire = tell_progress;
	loop_timer_set(relay->loop, &errand->progress, PROGRESS_MS);
	sweep_start(errand->sweep, relay->lanes, relay->lane_count);
}
