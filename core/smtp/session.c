/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.c - what a session does next, and what its commands have in common.
 *
 * Called by session_loop.c on the loop and on policy threads: whoever steps a session owns it. Must
 * touch nothing of the loop's: what only the loop may do is a step that is returned.
 */
#include <core/smtp/reply.h>
#include <core/smtp/server_shared.h>
#include <core/smtp/session_inner.h>
#include <stdlib.h>

#define OUT_FLUSH (16u * 1024) /* a longer batch of replies is sent in pieces */

/* ---- what the other files use -----------------------------------------------------------------
 */

const struct config_limits *
session_limits(const struct session *session)
{
	return &generation_core(session->generation)->relay.limits;
}

const char *
session_relay_name(const struct session *session)
{
	return generation_core(session->generation)->relay.hostname; /* never NULL */
}

void
session_share_facts(struct session *session)
{
	session->txn->facts = session->facts;
}

bool
session_in_tls(const struct session *session)
{
	return session->facts.tls_version != NULL;
}

void
session_set(char **field, const char *text, size_t len)
{
	char *copy = NULL;

	if (text) {
		copy = strndup(text, len);
		if (!copy)
			abort();
	}
	free(*field);
	*field = copy;
}

void
session_reply(struct session *session, int code, const char *enhanced, const char *text)
{
	bool utf8 = session->txn->facts.smtputf8;

	if (reply_format(&session->out, code, enhanced, text, utf8) < 0)
		session->closing = true;
}

enum session_step
session_bye(struct session *session, int code, const char *enhanced, const char *text)
{
	session_reply(session, code, enhanced, text);
	session->closing = true;
	return STEP_GO;
}

/* ---- stepping: on the loop or on a policy thread ----------------------------------------------
 */

enum session_step
session_ask(struct session *session, enum pn_stage stage, session_ruled_fn *ruled)
{
	session->run = (struct chain_run){ .guard = session->run.guard };
	session->stage = stage;
	session->ruled = ruled;
	return STEP_GO;
}

enum session_step
session_ask_on(struct session *session, enum pn_stage stage, session_ruled_fn *ruled)
{
	session->stage = stage;
	session->ruled = ruled;
	return STEP_GO;
}

static enum session_step
ask_chain(struct session *session, bool may_block)
{
	struct ruling ruling = { .kind = RULING_PASS };

	switch (chain_run(&session->run, session->txn, session->stage, may_block, &ruling)) {
	case CHAIN_HOP:
		return STEP_HOP;
	case CHAIN_GONE:
		return STEP_GONE;
	case CHAIN_DONE:
		break;
	}
	session->stage = PN_STAGE_END;
	return session->ruled(session, &ruling);
}

/*
 * Nobody goes within a transaction while no new mail is taken; and while the server only leaves,
 * for another that serves, nobody goes before the first one either.
 */
static bool
has_to_go(const struct session *session)
{
	const struct server *server = session->server;

	return atomic_load_explicit(&server->draining, memory_order_relaxed) ||
	       (!session->begun && server_shared_is_closed(server->parts.shared)) ||
	       (session->served && !session->begun && session->mode == MODE_COMMAND &&
		   atomic_load_explicit(&server->leaving, memory_order_relaxed));
}

static enum session_step
step_once(struct session *session)
{
	if (session->closing)
		return session->begun ? session_abandon(session) : STEP_CLOSE;
	if (session->sluggish) {
		session->sluggish = false;
		return STEP_DELAY;
	}
	if (session->out.len > OUT_FLUSH)
		return STEP_FLUSH;
	if (session->mode <= MODE_AUTH && has_to_go(session))
		return session_bye(session, 421, "4.3.2", "The relay is going down, try again");
	switch ((enum session_mode)session->mode) {
	case MODE_GREETING:
		return session_greet(session);
	case MODE_COMMAND:
		return session_command(session);
	case MODE_AUTH:
		return session_auth_response(session);
	case MODE_DATA:
		return session_data_input(session);
	case MODE_CHUNK:
		return session_chunk_input(session);
	}
	return STEP_CLOSE;
}

enum session_step
session_step(struct session *session, bool may_block)
{
	enum session_step step = STEP_GO;

	while (step == STEP_GO)
		step = session->stage != PN_STAGE_END ? ask_chain(session, may_block)
						      : step_once(session);
	return step;
}
