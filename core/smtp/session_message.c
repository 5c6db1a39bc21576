/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_message.c - a whole message: the core's limits, the message stage, plans and renderings,
 * and the queue's answer.
 *
 * Called by session_data.c when the last byte is there. Must never say 250 before the queue said
 * that the message is durable.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/policy/hold.h>
#include <core/policy/intake.h>
#include <core/policy/plans.h>
#include <core/smtp/session_inner.h>
#include <errno.h>
#include <stdio.h>

static enum session_step
refuse(struct session *session, int code, const char *enhanced, const char *text, const char *entry)
{
	session_log_refused(session, "message", code, enhanced, entry, text, NULL);
	session_log_trace(session);
	server_count(&session->server->messages_refused);
	session_reply(session, code, enhanced, text);
	return session_abandon(session);
}

static enum session_step
refuse_errno(struct session *session, int r)
{
	if (r == -ENOMEM)
		return refuse(session, 452, "4.3.1", "Not enough memory, try again later", NULL);
	return refuse(session, 451, "4.3.0", "Cannot take the message now, try again", NULL);
}

/* Trace header and fixups (SPEC R10). */
static struct mail_fixups
fixups(const struct session *session)
{
	return (struct mail_fixups){
		.relay_name = session_relay_name(session),
		.id = session->txn->id,
		.wall_us = clock_wall_us(),
		.submission = session->listener->fixups,
		.hide_client = session->listener->hide_client,
	};
}

static void
say_queued(struct session *session, bool held)
{
	char text[64];

	snprintf(text, sizeof(text), "Ok: %s as %s", held ? "held" : "queued", session->txn->id);
	session_reply(session, 250, "2.0.0", text);
}

/* Accepted and dropped: the client sees no difference. */
static enum session_step
discard(struct session *session, const char *entry)
{
	session_log_refused(session, "discard", 250, "2.0.0", entry, NULL, NULL);
	session_log_trace(session);
	say_queued(session, false);
	session_thrives(session);
	return session_abandon(session);
}

/* Accepted, and not to be sent before somebody releases it. */
static enum session_step
hold(struct session *session, const struct ruling *ruling)
{
	struct mail_fixups how = fixups(session);

	if (hold_is_exposed(session->txn))
		return refuse(session, 451, "4.7.1",
		    "Cannot be held, for want of relay.spool.encrypt_with", ruling->entry);
	session->item = hold_item(session->txn, ruling);
	if (!session->item)
		return refuse_errno(session, -ENOMEM);
	hold_keep_fixups(session->item, &how);
	return STEP_ACCEPT;
}

static session_ruled_fn plan_ruled;

/* The next stage of the way to a rendering for everybody; at its end the message is an item. */
static enum session_step
go_on(struct session *session)
{
	struct ruling refused;
	enum pn_stage stage;

	switch (plans_next(session->txn, &stage, &refused)) {
	case PLANS_ASK:
		return session_ask(session, stage, plan_ruled);
	case PLANS_REFUSED:
		return refuse(session, refused.code, refused.enhanced, refused.text, refused.entry);
	case PLANS_DONE:
		break;
	}
	session->item = txn_to_item(session->txn);
	return session->item ? STEP_ACCEPT : refuse_errno(session, -ENOMEM);
}

static enum session_step
plan_ruled(struct session *session, const struct ruling *ruling)
{
	plans_take(session->txn, &session->run, ruling);
	return go_on(session);
}

static enum session_step
message_ruled(struct session *session, const struct ruling *ruling)
{
	struct mail_fixups how;
	int r;

	if (ruling->kind == RULING_REJECT || ruling->kind == RULING_DEFER)
		return refuse(session, ruling->code, ruling->enhanced, ruling->text, ruling->entry);
	if (ruling->kind == RULING_DISCARD || session->txn->envelope.count == 0)
		return discard(session, ruling->entry);
	if (ruling->kind == RULING_HOLD)
		return hold(session, ruling);
	how = fixups(session);
	r = plans_begin(session->txn, &how);
	return r < 0 ? refuse_errno(session, r) : go_on(session);
}

enum session_step
session_message(struct session *session)
{
	struct mail_bytes *bytes = session->scanner.bytes;
	struct ruling ruling;

	session->scanner.bytes = NULL;
	if (bytes->rest)
		mail_bytes_trim(bytes);
	intake_message(session->txn, bytes, &ruling);
	if (ruling.kind != RULING_PASS)
		return refuse(session, ruling.code, ruling.enhanced, ruling.text, NULL);
	return session_ask(session, PN_STAGE_MESSAGE, message_ruled);
}

void
session_accepted(struct session *session, int r, const struct item *item)
{
	if (r == 0) {
		session_log_accepted(session, item);
		if (item->resume)
			log_event(PN_LOG_NOTICE, "held", "id", item->id, "by", item->resume,
			    "reason", item->recipients[0].hold->reason, NULL);
		session_log_trace(session);
		server_count(&session->server->messages);
		say_queued(session, item->resume != NULL);
		session_reset(session);
		session_thrives(session); /* a long session with good mail is no attack */
		return;
	}
	/* A full disk or a failed sync: the client keeps the message (SPEC R4). */
	if (r == -ENOSPC)
		refuse(session, 452, "4.3.1", "The disk is full, try again later", NULL);
	else
		refuse(session, 451, "4.3.0", "The message could not be stored, try again", NULL);
}
