/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_log.c - the log lines of a session: one per accepted message, per refusal, per AUTH.
 *
 * Called by the session's other files. Never a body, never what a client answered in AUTH.
 */
#include <core/base/log.h>
#include <core/queue/planned.h>
#include <core/smtp/session_inner.h>
#include <stdio.h>

static const char *
id_of(const struct session *session)
{
	return session->txn->id[0] ? session->txn->id : NULL;
}

/* Who repeats himself: a user by name, many may share his address; a stranger by network. */
static const char *
who(const struct session *session)
{
	return session->facts.user ? session->facts.user : session->facts.client_address;
}

/* What becomes of a whole message is always told. */
void
session_log_refused(struct session *session, const char *what, int code, const char *enhanced,
    const char *entry, const char *text, const char *to)
{
	const struct mail_facts *facts = &session->facts;
	bool about_message = strcmp(what, "message") == 0 || strcmp(what, "discard") == 0;
	char number[32], reason[64];

	snprintf(
	    number, sizeof(number), "%d%s%s", code, enhanced ? " " : "", enhanced ? enhanced : "");
	snprintf(reason, sizeof(reason), "%s %s", what, number);
	if (!about_message && !log_repeats(PN_LOG_NOTICE, "refused", reason, who(session)))
		return;
	log_event(PN_LOG_NOTICE, "refused", "id", id_of(session), "what", what, "code", number,
	    "entry", entry, "text", text, "client", facts->client_address, "listener",
	    facts->listener, "user", facts->user, "from",
	    session->begun ? session->txn->envelope.sender : NULL, "to", to, "tls",
	    facts->tls_version, "uid", facts->client_uid, "pid", facts->client_pid, NULL);
}

void
session_log_auth(struct session *session, bool succeeded, const struct ruling *ruling)
{
	const struct mail_facts *facts = &session->facts;
	bool deferred = ruling->kind == RULING_DEFER;
	const char *event = succeeded ? "auth-ok" : deferred ? "auth-deferred" : "auth-failed";

	if (!succeeded && !log_repeats(PN_LOG_NOTICE, event, ruling->entry, facts->client_address))
		return;
	log_event(succeeded ? PN_LOG_INFO : PN_LOG_NOTICE, event, "client", facts->client_address,
	    "user", succeeded ? facts->user : session->attempt, "mechanism",
	    session->txn->mechanism, "entry", ruling->entry, "listener", facts->listener, "tls",
	    facts->tls_version, NULL);
}

void
session_log_certificate(struct session *session, const char *fault)
{
	const struct mail_facts *facts = &session->facts;
	const struct certificate *certificate = facts->certificate;

	if (certificate)
		log_event(PN_LOG_INFO, "certificate", "client", facts->client_address, "listener",
		    facts->listener, "subject", certificate->subject, "fingerprint",
		    certificate->fingerprint, NULL);
	else if (fault && log_repeats(PN_LOG_NOTICE, "certificate-refused", fault, who(session)))
		log_event(PN_LOG_NOTICE, "certificate-refused", "client", facts->client_address,
		    "listener", facts->listener, "why", fault, NULL);
}

void
session_log_accepted(struct session *session, const struct item *item)
{
	const struct mail_facts *facts = &session->facts;
	char size[32], recipients[32];

	snprintf(size, sizeof(size), "%zu", mail_bytes_size(session->txn->view));
	snprintf(recipients, sizeof(recipients), "%zu", session->txn->envelope.count);
	log_event(PN_LOG_NOTICE, "accepted", "id", item->id, "from", session->txn->envelope.sender,
	    "recipients", recipients, "size", size, "client", facts->client_address, "listener",
	    facts->listener, "user", facts->user, "tls", facts->tls_version, "uid",
	    facts->client_uid, "pid", facts->client_pid, NULL);
	planned_log(item, item->id, NULL);
}

void
session_log_trace(struct session *session)
{
	const char *text = log_wanted(PN_LOG_INFO) ? chain_trace_text(session->txn) : NULL;

	if (text && *text)
		log_event(PN_LOG_INFO, "trace", "id", id_of(session), "text", text, NULL);
}

void
session_log_lost(struct session *session, const char *why)
{
	if (!id_of(session) && !log_repeats(PN_LOG_INFO, "lost", why, who(session)))
		return;
	log_event(PN_LOG_INFO, "lost", "id", id_of(session), "client",
	    session->facts.client_address, "listener", session->facts.listener, "why", why, NULL);
}
