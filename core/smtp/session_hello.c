/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_hello.c - greeting, HELO and EHLO, STARTTLS: who are you, and what can we do.
 *
 * Called by session.c and session_command.c. What is advertised works, and nothing that does not
 * work is advertised. AUTH must never be offered in clear, unless the listener says so.
 */
#include <core/base/text.h>
#include <core/smtp/session_inner.h>

/* ---- what the session may do ------------------------------------------------------------------
 */

static bool
may_starttls(const struct session *session)
{
	return session->has_tls && !session_in_tls(session) &&
	       (session->listener->tls == CONFIG_TLS_STARTTLS ||
		   session->listener->tls == CONFIG_TLS_REQUIRED);
}

/*
 * Where a listener is on the network, its proxies see to TLS; who comes to it directly is not
 * covered by that.
 */
static bool
may_auth_in_clear(const struct session *session)
{
	const struct config_listener *listener = session->listener;

	return listener->auth_without_tls && (listener->proxy.count == 0 || session->proxied ||
						 address_is_loopback(session->peer));
}

bool
session_may_auth(const struct session *session)
{
	return session->listener->auth != CONFIG_AUTH_OFF && session->mechanisms &&
	       (session_in_tls(session) || may_auth_in_clear(session));
}

/* RFC 8689 section 2: the whole way is protected, and this was a part of it. */
bool
session_may_requiretls(const struct session *session)
{
	return session_in_tls(session) && session->facts.esmtp;
}

bool
session_needs_tls(const struct session *session)
{
	const struct config_listener *listener = session->listener;

	if (session_in_tls(session))
		return false;
	/* Requiring AUTH implies requiring TLS (SPEC A4). */
	return listener->tls == CONFIG_TLS_REQUIRED ||
	       (listener->tls == CONFIG_TLS_STARTTLS && listener->auth == CONFIG_AUTH_REQUIRED &&
		   !may_auth_in_clear(session));
}

bool
session_lacks_certificate(const struct session *session)
{
	return session->listener->client_certificate == CONFIG_ASKING_REQUIRED &&
	       session_in_tls(session) && !session->facts.certificate;
}

/* ---- greeting ---------------------------------------------------------------------------------
 */

static enum session_step
greeting_ruled(struct session *session, const struct ruling *ruling)
{
	const char *greeting = session->listener->greeting;
	struct buf text = BUF_INIT(2048);

	if (ruling->kind == RULING_REJECT || ruling->kind == RULING_DEFER) {
		session_log_refused(session, "connect", ruling->code, ruling->enhanced,
		    ruling->entry, ruling->text, NULL);
		server_count(&session->server->connections_refused);
		return session_bye(session, ruling->code, ruling->enhanced, ruling->text);
	}
	if (buf_printf(&text, "%s ESMTP %s", session_relay_name(session),
		greeting ? greeting : "Postern") < 0 ||
	    !buf_text(&text))
		session->closing = true;
	else
		session_reply(session, 220, NULL, buf_text(&text));
	buf_free(&text);
	session->mode = MODE_COMMAND;
	return STEP_GO;
}

enum session_step
session_greet(struct session *session)
{
	if (session->place == SESSION_OUTSIDE) {
		session_log_refused(
		    session, "connect", 554, "5.7.1", NULL, "not in networks", NULL);
		server_count(&session->server->connections_refused);
		return session_bye(session, 554, "5.7.1", "Your address may not use this service");
	}
	return session_ask(session, PN_STAGE_CONNECT, greeting_ruled);
}

/* ---- HELO, EHLO -------------------------------------------------------------------------------
 */

static int
advertise(struct session *session, struct buf *text)
{
	int r;

	r = buf_printf(text,
	    "%s\nPIPELINING\nSIZE "
	    "%lld\n8BITMIME\nSMTPUTF8\nCHUNKING\nBINARYMIME\nENHANCEDSTATUSCODES\nDSN",
	    session_relay_name(session), (long long)session_limits(session)->message_size);
	if (r == 0 && may_starttls(session))
		r = buf_add_text(text, "\nSTARTTLS");
	if (r == 0 && session_may_requiretls(session))
		r = buf_add_text(text, "\nREQUIRETLS");
	if (r == 0 && session_may_auth(session))
		r = buf_printf(text, "\nAUTH %s", session->mechanisms);
	return r;
}

static void
forget_hello(struct session *session)
{
	session_set(&session->helo, NULL, 0);
	session_set(&session->mechanisms, NULL, 0);
	session->facts.helo = "";
	session->facts.esmtp = false;
	session_share_facts(session);
}

/* No reply to HELO and EHLO has an enhanced code (RFC 2034 section 3). */
static enum session_step
hello_ruled(struct session *session, const struct ruling *ruling)
{
	struct pn_txn *txn = session->txn;
	struct buf text = BUF_INIT(4096);

	if (ruling->kind == RULING_REJECT || ruling->kind == RULING_DEFER) {
		session_log_refused(session, "helo", ruling->code, ruling->enhanced, ruling->entry,
		    ruling->text, NULL);
		session_reply(session, ruling->code, NULL, ruling->text);
		forget_hello(session);
		return STEP_GO;
	}
	if (txn->offers.len > 0)
		session_set(&session->mechanisms, txn->offers.data, txn->offers.len);
	if (!session->facts.esmtp)
		session_reply(session, 250, NULL, session_relay_name(session));
	else if (advertise(session, &text) == 0 && buf_text(&text))
		session_reply(session, 250, NULL, buf_text(&text));
	else
		session->closing = true;
	buf_free(&text);
	return STEP_GO;
}

enum session_step
session_hello(struct session *session, const struct command *command)
{
	if (!command_helo_valid(command->argument))
		return session_fault(session, 501, NULL, "Syntax: EHLO hostname");
	forget_hello(session);
	txn_reset(session->txn, session->generation); /* what earlier tries left */
	session_set(&session->helo, command->argument.data, command->argument.len);
	session->facts.helo = session->helo;
	session->facts.esmtp = command->verb == COMMAND_EHLO;
	session->chunk_failed = false;
	session_share_facts(session);
	buf_reset(&session->txn->offers);
	return session_ask(session, PN_STAGE_HELO, hello_ruled);
}

/* ---- STARTTLS ---------------------------------------------------------------------------------
 */

enum session_step
session_starttls(struct session *session, const struct command *command)
{
	if (command->argument.len > 0)
		return session_fault(session, 501, "5.5.4", "No argument is allowed here");
	if (session_in_tls(session))
		return session_fault(session, 503, "5.5.1", "TLS is active already");
	if (session->listener->tls == CONFIG_TLS_NONE)
		return session_fault(session, 502, "5.5.1", "STARTTLS is not offered here");
	if (!may_starttls(session))
		return session_fault(session, 454, "4.7.0", "TLS is not available just now");
	if (session->begun)
		return session_fault(session, 503, "5.5.1", "Not within a mail transaction");
	session_reply(session, 220, "2.0.0", "Ready to start TLS");
	return STEP_TLS;
}

void
session_secured(struct session *session)
{
	struct tls_facts tls;
	const char *fault;

	tls_facts_of(session->stream.tls, NULL, &tls);
	session->facts.tls_version = tls.version;
	session->facts.tls_cipher = tls.cipher;
	session->facts.tls_bits = tls.bits;
	session->facts.certificate = tls_client_certificate(
	    session->stream.tls, &session->arena, &fault);
	session_log_certificate(session, fault);
	session_set(&session->user, NULL, 0);
	session->facts.user = NULL;
	forget_hello(session);
}
