/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_control.c - what a running relay answers to posternctl.
 *
 * Runs on the main loop; what belongs to a lane is asked of it by a task and comes back by another.
 */
#include <core/base/clock.h>
#include <core/ctl/recent.h>
#include <core/master/child.h>
#include <core/master/relay_metrics.h>
#include <core/master/relay_ways.h>
#include <core/master/survey.h>
#include <core/policy/crash.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void
reply_control(void *request, json_t *answer)
{
	control_reply(request, answer);
}

static void
add_numbers(json_t *into, json_t *part)
{
	const char *name;
	json_t *value;

	json_object_foreach(part, name, value)
	{
		json_int_t sum = json_integer_value(json_object_get(into, name)) +
				 json_integer_value(value);

		json_object_set_new(into, name, json_integer(sum));
	}
}

static void
set(json_t *object, const char *name, uint64_t value)
{
	json_object_set_new(object, name, json_integer((json_int_t)value));
}

/* ---- status ---- */

static void
ask_status(struct lane *lane, const json_t *question, json_t *ret)
{
	struct queue_figures queue;
	struct server_figures server;

	queue_figures(lane_queue(lane), &queue);
	server_figures(lane_server(lane), &server);
	set(ret, "sessions", server.open);
	set(ret, "transactions", server.transactions);
	set(ret, "connections", server.connections);
	set(ret, "connections_refused", server.connections_refused);
	set(ret, "auth_succeeded", server.auth_succeeded);
	set(ret, "auth_failed", server.auth_failed);
	set(ret, "sessions_cut", server.sessions_cut);
	set(ret, "replies_delayed", server.delayed);
	set(ret, "accepted", queue.accepted);
	set(ret, "messages_refused", server.messages_refused);
	set(ret, "recipients_refused", server.recipients_refused);
	set(ret, "waiting", queue.waiting);
	set(ret, "sending", queue.sending);
	set(ret, "held_recipients", queue.held);
	set(ret, "delivered", queue.delivered);
	set(ret, "deferred", queue.deferred);
	set(ret, "replanned", queue.replanned);
	set(ret, "failed", queue.failed);
	set(ret, "deleted", queue.deleted);
}

static void
add_name(void *arg, const char *entry)
{
	struct buf *names = arg;

	if (buf_printf(names, "%s%s", names->len ? " " : "", entry) < 0)
		return; /* there are many already */
}

/* Entries that are not run any more; nothing is said where all are. */
static void
add_disabled(json_t *answer)
{
	struct buf names = BUF_INIT(4096);

	crash_each_disabled(add_name, &names);
	if (names.len > 0)
		json_object_set_new(
		    answer, "disabled_entries", json_stringn(names.data, names.len));
	buf_free(&names);
}

static void
finish_status(struct survey *survey)
{
	struct relay *relay = survey->relay;
	struct spool_figures spool;

	spool_figures(relay->spool, &spool);
	set(survey->answer, "spool_commits", spool.commits);
	set(survey->answer, "spool_segments", spool.segments);
	set(survey->answer, "spool_live_bytes", spool.live_bytes);
	set(survey->answer, "spool_sync_failures", spool.sync_failures);
	json_object_set_new(survey->answer, "spool_loading", json_boolean(survey->loading));
	json_object_set_new(survey->answer, "draining", json_boolean(relay->closed));
	set(survey->answer, "message_memory", mail_bytes_in_use());
	set(survey->answer, "generation", generation_number(relay->generation));
	set(survey->answer, "stuck_hooks", jobs_lost(relay->jobs));
	json_object_set_new(
	    survey->answer, "dnssec", json_string(dns_validation_text(dns_validation(relay->dns))));
	add_disabled(survey->answer);
	relay_served_status(relay, survey->answer);
	if (relay->changed_code)
		json_object_set_new(
		    survey->answer, "changed_code", json_string(relay->changed_code));
	set(survey->answer, "pid", (uint64_t)getpid());
	set(survey->answer, "uptime_seconds",
	    (uint64_t)((clock_wall_us() - relay->started_us) / 1000000));
}

static void
ask_all(struct relay *relay, void (*reply)(void *request, json_t *answer), void *request,
    void (*finish)(struct survey *survey))
{
	struct survey *survey = survey_new(relay, reply, request);

	survey->finish = finish;
	survey_start(survey, ask_status, add_numbers);
}

static void
run_status(void *arg, struct control_request *request, json_t *body)
{
	ask_all(arg, reply_control, request, finish_status);
}

/* ---- metrics ---- */

static void
finish_metrics(struct survey *survey)
{
	json_t *status = survey->answer;

	finish_status(survey);
	survey->answer = relay_metrics_text(status);
	json_decref(status);
}

static void
run_metrics(void *arg, struct control_request *request, json_t *body)
{
	ask_all(arg, reply_control, request, finish_metrics);
}

void
relay_ask_metrics(struct relay *relay, void (*reply)(void *request, json_t *answer), void *request)
{
	ask_all(relay, reply, request, finish_metrics);
}

static void
finish_samples(struct survey *survey)
{
	json_t *status = survey->answer;

	finish_status(survey);
	survey->answer = relay_metrics_samples(status);
	json_decref(status);
}

static void
run_samples(void *arg, struct control_request *request, json_t *body)
{
	ask_all(arg, reply_control, request, finish_samples);
}

/* ---- trace ---- */

static void
run_trace(void *arg, struct control_request *request, json_t *body)
{
	const char *id = json_string_value(json_object_get(body, "id"));
	struct buf found = BUF_INIT(16u * 1024 * 1024);
	json_t *lines = json_array();

	if (id && recent_find(id, &found) == 0) {
		for (size_t at = 0; at < found.len;) {
			size_t len = (size_t)((char *)memchr(
						  found.data + at, '\n', found.len - at) -
					      (found.data + at));

			json_array_append_new(lines, json_stringn(found.data + at, len));
			at += len + 1;
		}
	}
	buf_free(&found);
	control_reply(request, json_pack("{s:o}", "lines", lines));
}

/* ---- reload ---- */

static void
ask_master(struct relay *relay, struct control_request *request, enum channel_type what)
{
	if (relay->reloading || relay->draining) {
		control_refuse(request, "a reload, an upgrade or a stop is under way");
		return;
	}
	relay->reloading = request;
	if (channel_send(CHILD_CHANNEL, what, pn_slice("", 0), NULL, 0) < 0)
		relay_control_outcome(
		    relay, "{\"ok\": false, \"text\": \"the master does not answer\"}");
}

static void
run_reload(void *arg, struct control_request *request, json_t *body)
{
	ask_master(arg, request, CHANNEL_RELOAD);
}

static void
run_upgrade(void *arg, struct control_request *request, json_t *body)
{
	ask_master(arg, request, CHANNEL_UPGRADE);
}

void
relay_control_outcome(struct relay *relay, const char *json)
{
	struct control_request *request = relay->reloading;
	json_t *outcome;

	relay->reloading = NULL;
	if (!request)
		return; /* it was asked for by a signal */
	outcome = json_loads(json, 0, NULL);
	control_reply(request, outcome ? outcome : json_object());
}

/* ---- settings and mail in the database ---- */

static void
run_settings(void *arg, struct control_request *request, json_t *body)
{
	relay_overrides_look(arg);
	relay_outbox_look(arg);
	relay_sts_look(arg);
	control_reply(request, json_object());
}

const struct control_command relay_commands[] = {
	{ "status", run_status },
	{ "metrics", run_metrics },
	{ "metrics samples", run_samples },
	{ "queue list", relay_queue_run },
	{ "queue show", relay_queue_run },
	{ "queue hold", relay_queue_run },
	{ "queue release", relay_queue_run },
	{ "queue retry", relay_queue_run },
	{ "queue delete", relay_queue_run },
	{ "drain", relay_drain_run },
	{ "resume", relay_drain_run },
	{ "route", relay_ways_run },
	{ "trace", run_trace },
	{ "reload", run_reload },
	{ "upgrade", run_upgrade },
	{ "settings", run_settings },
	{ NULL, NULL },
};
