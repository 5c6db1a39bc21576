/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_drain.c - posternctl drain and resume: no new mail is taken while the queue empties.
 *
 * Runs on the main loop. The lanes' servers look at a flag that they share; the master is told, so
 * that a relay that takes this one's place after a crash or an upgrade goes on the same way. Must
 * never touch mail: what waits goes on being delivered as ever.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/master/child.h>
#include <core/master/relay_state.h>
#include <core/store/audit.h>
#include <glib.h>

struct change {
	struct job audit; /* first */
	struct relay *relay;
	struct control_request *request;
	json_t *answer;
	char *who;
	bool closed, before;
	struct pn_error err;
	int r;
};

struct look {
	struct loop_task task; /* first */
	struct lane *lane;
};

static void
look(struct loop_task *task)
{
	struct look *look = (struct look *)task;

	server_look(lane_server(look->lane));
	g_free(look);
}

void
relay_drain_set(struct relay *relay, bool closed)
{
	relay->closed = closed;
	server_shared_close(relay->shared, closed);
	for (size_t i = 0; closed && i < relay->lane_count; i++) {
		struct look *there = g_new0(struct look, 1);

		there->task.run = look;
		there->lane = relay->lanes[i];
		loop_post(lane_loop(there->lane), &there->task);
	}
}

/* ---- the audit trail, then the answer ---- */

static const char *
state_word(bool closed)
{
	return closed ? "no new mail" : "taking mail";
}

static void
write_audit(struct job *job)
{
	struct change *change = (struct change *)job;
	struct audit_row row = {
		.who = change->who,
		.action = change->closed ? "drain" : "resume",
		.scope = "relay",
		.object = "intake",
		.before = state_word(change->before),
		.after = state_word(change->closed),
	};

	change->r = audit_add(change->relay->db, &row, &change->err);
}

static void
answer(struct change *change)
{
	control_reply(change->request, change->answer);
	g_free(change->who);
	g_free(change);
}

static void
audit_written(struct job *job)
{
	struct change *change = (struct change *)job;

	if (change->r < 0) {
		log_event(PN_LOG_ERROR, "audit-not-written", "reason", change->err.text, NULL);
		json_object_set_new(change->answer, "audit", json_string(change->err.text));
	}
	answer(change);
}

void
relay_drain_run(void *arg, struct control_request *request, json_t *body)
{
	struct relay *relay = arg;
	const char *who = json_string_value(json_object_get(body, "who"));
	bool closed = strcmp(json_string_value(json_object_get(body, "command")), "drain") == 0;
	struct change *change;

	if (!who) {
		control_refuse(request, "who asks for this?");
		return;
	}
	if (relay->draining || relay->reloading) {
		control_refuse(request, "a reload, an upgrade or a stop is under way: ask again");
		return;
	}
	change = g_new0(struct change, 1);
	change->relay = relay;
	change->request = request;
	change->who = g_strdup(who);
	change->closed = closed;
	change->before = relay->closed;
	change->answer = json_pack(
	    "{s:b, s:b}", "draining", closed, "changed", closed != change->before);
	if (closed == change->before) {
		answer(change);
		return;
	}
	relay_drain_set(relay, closed);
	channel_send(CHILD_CHANNEL, CHANNEL_CLOSED, pn_slice_of(closed ? "1" : "0"), NULL, 0);
	log_event(PN_LOG_NOTICE, closed ? "drain" : "resume", "by", who, NULL);
	change->audit = (struct job){
		.loop = relay->loop, .work = write_audit, .done = audit_written
	};
	jobs_submit(relay->jobs, &change->audit);
}
