/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_auth.c - the AUTH exchange (RFC 4954): base64 and order are ours, who somebody is is
 * decided by the hooks of the `auth` stage.
 *
 * Called by session_command.c and, between the rounds, by session.c. What a client answers is kept
 * in `secret` for one call of the hooks and wiped behind it; no line of the log may have it.
 */
#include <core/base/text.h>
#include <core/smtp/session_inner.h>
#include <errno.h>
#include <stdlib.h>

#define NAME_MOST 255u

static enum session_step auth_ruled(struct session *session, const struct ruling *ruling);

static void
end_exchange(struct session *session)
{
	txn_auth_end(session->txn);
	buf_wipe(&session->secret);
	session_set(&session->attempt, NULL, 0);
	session->mode = MODE_COMMAND;
	if (!session->user) /* tries leave nothing behind that could grow */
		txn_reset(session->txn, session->generation);
}

/* RFC 5802 section 7: "n,,n=name,r=nonce"; before the name stand two commas. */
static bool
scram_name(struct pn_slice *text)
{
	const char *at = text->data, *end = text->data + text->len, *comma;

	for (int commas = 0; commas < 2; commas++) {
		at = memchr(at, ',', (size_t)(end - at));
		if (!at)
			return false;
		at++;
	}
	if (end - at <= 2 || memcmp(at, "n=", 2) != 0)
		return false;
	at += 2;
	comma = memchr(at, ',', (size_t)(end - at));
	*text = pn_slice(at, (size_t)((comma ? comma : end) - at));
	return text->len > 0;
}

/*
 * The name that somebody tries, for the log: of PLAIN what stands between its NULs (RFC 4616), of
 * LOGIN and EXTERNAL the first answer, of SCRAM what its first message says. Never anything of
 * another answer: it could be the password.
 */
static void
note_name(struct session *session)
{
	struct pn_slice text = buf_slice(&session->secret);
	const char *end;

	if (session->attempt || text.len == 0)
		return;
	if (strcmp(session->txn->mechanism, "PLAIN") == 0) {
		end = memchr(text.data, '\0', text.len);
		if (!end)
			return;
		text = pn_slice(end + 1, text.len - (size_t)(end + 1 - text.data));
		end = text.len > 0 ? memchr(text.data, '\0', text.len) : NULL;
		if (!end)
			return;
		text.len = (size_t)(end - text.data);
	} else if (strncmp(session->txn->mechanism, "SCRAM-", 6) == 0) {
		if (!scram_name(&text))
			return;
	} else if (strcmp(session->txn->mechanism, "LOGIN") != 0 &&
		   strcmp(session->txn->mechanism, "EXTERNAL") != 0) {
		return;
	}
	session_set(&session->attempt, text.data, text.len < NAME_MOST ? text.len : NAME_MOST);
}

/* Another round with what the client said; `text` is base64, or "=" for nothing. */
static enum session_step
ask(struct session *session, struct pn_slice text)
{
	struct pn_txn *txn = session->txn;

	buf_wipe(&session->secret);
	if (!pn_slice_equals(text, pn_slice_of("=")) &&
	    text_base64_decode(text, &session->secret) < 0) {
		end_exchange(session);
		return session_fault(session, 501, "5.5.2", "That is not base64");
	}
	/* An empty answer is an answer, and not NULL. */
	txn->response = pn_slice(
	    session->secret.len > 0 ? session->secret.data : "", session->secret.len);
	note_name(session);
	return session_ask(session, PN_STAGE_AUTH, auth_ruled);
}

static enum session_step
challenge(struct session *session, struct pn_slice bytes)
{
	struct buf text = BUF_INIT(2 * COMMAND_AUTH_MOST);
	int r = text_base64_encode(bytes, &text);

	buf_wipe(&session->secret);
	/* Not by session_reply(): a challenge is not wrapped, whatever its length. */
	if (r == 0)
		r = buf_printf(
		    &session->out, "334 %.*s\r\n", (int)text.len, text.data ? text.data : "");
	buf_free(&text);
	if (r < 0) {
		end_exchange(session);
		return session_bye(session, 421, "4.3.0", "The exchange is too long, closing");
	}
	session->mode = MODE_AUTH;
	return STEP_GO;
}

static enum session_step
succeed(struct session *session, const struct ruling *ruling)
{
	session_set(&session->user, ruling->text, strlen(ruling->text));
	session->facts.user = session->user;
	session_share_facts(session);
	session_log_auth(session, true, ruling);
	server_count(&session->server->auth_succeeded);
	end_exchange(session);
	session_reply(session, 235, "2.7.0", "Authentication successful");
	return STEP_GO;
}

static enum session_step
fail(struct session *session, const struct ruling *ruling)
{
	session_log_auth(session, false, ruling);
	server_count(&session->server->auth_failed);
	if (ruling->kind == RULING_DEFER) /* the fault is ours and counts against nobody */
		session_reply(session, ruling->code, ruling->enhanced, ruling->text);
	else if (ruling->kind == RULING_REJECT)
		session_fault(session, ruling->code, ruling->enhanced, ruling->text);
	else
		session_fault(session, 535, "5.7.8", "Authentication credentials invalid");
	end_exchange(session); /* and the ruling with it */
	return STEP_GO;
}

static enum session_step
auth_ruled(struct session *session, const struct ruling *ruling)
{
	if (ruling->kind == RULING_CHALLENGE)
		return challenge(session, ruling->challenge);
	if (ruling->kind == RULING_IDENTIFIED)
		return succeed(session, ruling);
	return fail(session, ruling);
}

/* RFC 9266: for the mechanisms that bind, and for no others, since it costs something. */
static void
bind_channel(struct session *session)
{
	struct pn_txn *txn = session->txn;
	size_t len = strlen(txn->mechanism);
	uint8_t bytes[TLS_BINDING_SIZE];

	if (len > 5 && strcmp(txn->mechanism + len - 5, "-PLUS") == 0 &&
	    tls_binding(session->stream.tls, bytes) == 0)
		txn->binding = pn_slice(
		    arena_copy(&txn->arena, bytes, sizeof(bytes)), sizeof(bytes));
}

/* ---- commands ---------------------------------------------------------------------------------
 */

/* The offered mechanism of that name, in upper case in the transaction's arena; NULL: not offered.
 */
static const char *
find_mechanism(struct session *session, struct pn_slice name)
{
	const char *at = session->mechanisms;

	while (*at) {
		size_t len = strcspn(at, " ");

		if (len > 0 && text_equals_nocase(pn_slice(at, len), name))
			return arena_slice(&session->txn->arena, pn_slice(at, len));
		at += len + (at[len] == ' ');
	}
	return NULL;
}

/* Whether AUTH may stand here at all; the reply is given where not. */
static bool
allowed(struct session *session)
{
	const struct config_listener *listener = session->listener;

	if (session->begun)
		session_fault(session, 503, "5.5.1", "Not within a mail transaction");
	else if (session->user)
		session_fault(session, 503, "5.5.1", "You have authenticated already");
	else if (listener->auth != CONFIG_AUTH_OFF && !session_in_tls(session) &&
		 !listener->auth_without_tls)
		session_fault(session, 538, "5.7.11", "AUTH needs TLS, issue STARTTLS first");
	else if (!session->helo || !session->facts.esmtp)
		session_fault(session, 503, "5.5.1", "Send EHLO first");
	else if (!session_may_auth(session))
		session_fault(session, 503, "5.5.1", "AUTH is not offered here");
	else
		return true;
	return false;
}

enum session_step
session_auth(struct session *session, const struct command *command)
{
	struct command_fault fault;
	struct command_auth auth;

	if (!allowed(session))
		return STEP_GO;
	if (command_auth(command->argument, &auth, &fault) < 0)
		return session_fault(session, fault.code, fault.enhanced, fault.text);
	session->txn->mechanism = find_mechanism(session, auth.mechanism);
	if (!session->txn->mechanism)
		return session_fault(session, 504, "5.5.4", "Mechanism not offered");
	bind_channel(session);
	if (auth.initial.data)
		return ask(session, auth.initial);
	session->txn->response = pn_slice(NULL, 0);
	return session_ask(session, PN_STAGE_AUTH, auth_ruled);
}

enum session_step
session_auth_response(struct session *session)
{
	struct pn_slice line;
	enum session_step step;
	size_t used;
	int r = session_line(session, COMMAND_AUTH_MOST, &line, &used);

	if (r == 0)
		return STEP_INPUT;
	if (r < 0) {
		stream_consume(&session->stream, used);
		end_exchange(session);
		return session_fault(session, 500, r == -E2BIG ? "5.5.6" : "5.5.2",
		    r == -E2BIG ? "AUTH exchange line too long" : "Lines end with CR LF");
	}
	if (pn_slice_equals(line, pn_slice_of("*"))) {
		end_exchange(session);
		step = session_fault(session, 501, "5.7.0", "Authentication cancelled");
	} else {
		step = ask(session, line);
	}
	stream_consume(&session->stream, used);
	return step;
}
