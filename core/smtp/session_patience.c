/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_patience.c - how much of its time and of its commands a client may spend on nothing.
 *
 * Called by the session's other files; what reads the clock belongs to the loop. Only time that the
 * relay waits for the client counts: its own hooks, disk and delays must never be held against it.
 */
#include <core/smtp/server_shared.h>
#include <core/smtp/session_inner.h>

/* Before this share of the connections is taken, strangers need not hurry. */
#define BUSY_PARTS 3
#define BUSY_OF    4

static bool
is_body(const struct session *session)
{
	/* Bytes of a chunk that nobody asked for are no message. */
	return session->begun && (session->mode == MODE_DATA || session->mode == MODE_CHUNK);
}

/* Who has neither logged in nor a network here gives way to others when places become few. */
static bool
must_hurry(const struct session *session)
{
	const struct server *server = session->server;

	return !session->user && !session->begun && session->place != SESSION_TRUSTED &&
	       crowd_size(server_shared_crowd(server->parts.shared)) / BUSY_PARTS >=
		   server->limits.all / BUSY_OF;
}

static int64_t
lesser(int64_t one, int64_t two)
{
	return one < two ? one : two;
}

/* What is left of the time for all of a body: the slowest rate that is suffered. */
static int64_t
left_for_body(const struct session *session, const struct config_limits *limits)
{
	if (limits->data_rate == 0)
		return INT64_MAX;
	return limits->data_timeout + (int64_t)(session->received * 1000) / limits->data_rate -
	       session->body_waited;
}

int64_t
session_patience(const struct session *session)
{
	const struct config_limits *limits = session_limits(session);
	int64_t wait = limits->idle_timeout, left = limits->session_timeout - session->waited;

	if (is_body(session)) {
		wait = limits->data_timeout;
		left = left_for_body(session, limits);
	} else if (must_hurry(session)) {
		wait = lesser(wait, limits->busy_timeout);
	}
	return left > 0 ? lesser(wait, left) : 0;
}

int64_t
session_handshake_patience(const struct session *session)
{
	const struct config_limits *limits = session_limits(session);

	return must_hurry(session) ? lesser(limits->tls_timeout, limits->busy_timeout)
				   : limits->tls_timeout;
}

void
session_waits(struct session *session)
{
	if (session->since == 0)
		session->since = loop_now(session->server->parts.loop);
}

void
session_hears(struct session *session)
{
	int64_t waited;

	if (session->since == 0)
		return;
	waited = loop_now(session->server->parts.loop) - session->since;
	session->since = 0;
	if (is_body(session))
		session->body_waited += waited;
	else
		session->waited += waited;
}

void
session_thrives(struct session *session)
{
	session->errors = session->commands = 0;
	session->waited = 0;
}

bool
session_commands_spent(struct session *session)
{
	const struct config_limits *limits = session_limits(session);

	return ++session->commands > (uint64_t)(limits->commands + limits->recipients);
}

/* What fits no purpose but to keep us busy. */
enum session_step
session_send_away(struct session *session, const char *why, const char *text)
{
	session_log_refused(session, "session", 421, "4.7.0", NULL, why, NULL);
	session->offends = true;
	server_count(&session->server->sessions_cut);
	return session_bye(session, 421, "4.7.0", text);
}

enum session_step
session_fault(struct session *session, int code, const char *enhanced, const char *text)
{
	const struct config_limits *limits = session_limits(session);
	uint64_t most = (uint64_t)limits->command_errors;

	session_reply(session, code, enhanced, text);
	if (++session->errors >= most)
		return session_send_away(session, "too many errors", "Too many errors, closing");
	session->sluggish |= limits->error_delay > 0 && session->errors > most / 2;
	return STEP_GO;
}

/*
 * A client that pipelines has sent these before it read that MAIL or all recipients were refused
 * (RFC 2920 section 3.1): for one that may relay here that is no error.
 */
enum session_step
session_unwelcome(struct session *session, const char *text)
{
	if (!session_may_relay(session))
		return session_fault(session, 503, "5.5.1", text);
	session_reply(session, 503, "5.5.1", text);
	return STEP_GO;
}
