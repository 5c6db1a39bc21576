/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_mail.c - MAIL and RCPT, and how a transaction ends without a message.
 *
 * Called by session_command.c. Must never let a stranger relay: who is neither authenticated nor in
 * a listener's or an account's networks gets 530, whatever else is configured.
 */
#include <core/base/text.h>
#include <core/mail/address.h>
#include <core/policy/plans.h>
#include <core/smtp/session_inner.h>
#include <errno.h>
#include <stdio.h>

/* ---- the end of a transaction -----------------------------------------------------------------
 */

void
session_reset(struct session *session)
{
	mail_bytes_release(&session->scanner.bytes);
	txn_reset(session->txn, session->generation);
	session->served |= session->begun;
	if (session->begun)
		atomic_fetch_sub(&session->server->transactions, 1);
	session->begun = session->chunking = false;
	session->mode = MODE_COMMAND;
}

static enum session_step
aborted_ruled(struct session *session, const struct ruling *ruling)
{
	session_reset(session);
	return STEP_GO;
}

enum session_step
session_abandon(struct session *session)
{
	mail_bytes_release(&session->scanner.bytes);
	session->mode = MODE_COMMAND;
	if (session->begun && chain_has(session->txn->generation, PN_STAGE_ABORTED))
		return session_ask(session, PN_STAGE_ABORTED, aborted_ruled);
	session_reset(session);
	return STEP_GO;
}

/* ---- addresses --------------------------------------------------------------------------------
 */

static bool
is_ascii(struct pn_slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.data[i] >= 0x80)
			return false;
	return true;
}

/* RFC 6409 section 4.2: a name without a dot means something else at each hop. */
static bool
is_qualified(const struct session *session, const char *address)
{
	const char *domain = mail_address_domain(address);

	return !session->listener->fixups || *domain == '[' || strchr(domain, '.') ||
	       session->place == SESSION_TRUSTED;
}

/* The address of a path, checked, in `ret`. False: the reply is given. */
static bool
take_address(struct session *session, struct pn_slice path, bool utf8, const char *bad,
    char ret[MAIL_ADDRESS_SIZE])
{
	int r = mail_address_check(path, utf8, ret);

	if (r < 0 && !utf8 && !is_ascii(path))
		session_fault(session, 553, "5.6.7", "This address needs SMTPUTF8");
	else if (r < 0)
		session_fault(session, 501, bad,
		    r == -E2BIG ? "The address is too long" : "That is not an address");
	else
		return true;
	return false;
}

/* ---- MAIL -------------------------------------------------------------------------------------
 */

/* Of one of the accounts that the listener is for. */
static bool
has_trusted_certificate(const struct session *session)
{
	const struct pn_strings *accounts = &session->listener->accounts;
	const struct pn_account *account = roster_certificate_account(
	    generation_roster(session->generation), session->facts.certificate);

	for (size_t i = 0; account && i < accounts->count; i++)
		if (strcmp(accounts->items[i], account->name) == 0)
			return true;
	return account && accounts->count == 0;
}

bool
session_may_relay(const struct session *session)
{
	if (session->user)
		return true;
	return session->listener->auth != CONFIG_AUTH_REQUIRED &&
	       (session->place == SESSION_TRUSTED || has_trusted_certificate(session));
}

static enum session_step
mail_ruled(struct session *session, const struct ruling *ruling)
{
	if (ruling->kind == RULING_REJECT || ruling->kind == RULING_DEFER) {
		session_log_refused(session, "sender", ruling->code, ruling->enhanced,
		    ruling->entry, ruling->text, NULL);
		session_reply(session, ruling->code, ruling->enhanced, ruling->text);
		return session_abandon(session);
	}
	session_reply(session, 250, "2.1.0", "Ok");
	return STEP_GO;
}

static bool
mail_in_order(struct session *session)
{
	if (session->begun)
		session_fault(session, 503, "5.5.1", "MAIL was given already");
	else if (!session->helo)
		session_fault(session, 503, "5.5.1", "Send EHLO first");
	else if (!session_may_relay(session) && session->listener->auth != CONFIG_AUTH_OFF)
		session_fault(session, 530, "5.7.0", "Authentication required");
	else if (!session_may_relay(session))
		session_fault(session, 530, "5.7.0", "Your address may not relay here");
	else
		return true;
	return false;
}

static bool
mail_fits(struct session *session, const struct command_mail *mail)
{
	const struct config_limits *limits = session_limits(session);
	uint64_t most = limits->memory > 0 ? (uint64_t)limits->memory : UINT64_MAX;

	if (mail->has_size && mail->size > (uint64_t)limits->message_size)
		session_reply(session, 552, "5.3.4", "The message is larger than the limit");
	else if (mail_bytes_in_use() >= most ||
		 mail_bytes_need(mail->size) > most - mail_bytes_in_use())
		session_reply(session, 452, "4.3.1", "Not enough memory, try again later");
	else
		return true;
	return false;
}

/* RFC 4954 section 5: what an untrusted client says of its own authority is worth "<>". */
static const char *
auth_parameter(struct session *session, struct pn_slice text)
{
	struct buf plain = BUF_INIT(COMMAND_LINE_MOST);
	const char *auth = "<>";

	if (!text.data)
		return NULL;
	if (session->user && command_xtext_decode(text, &plain) == 0)
		auth = arena_slice(&session->txn->arena, buf_slice(&plain));
	buf_free(&plain);
	return auth;
}

static void
begin(struct session *session, const struct command_mail *mail, const char *sender)
{
	struct pn_txn *txn = session->txn;
	const struct config_limits *limits = session_limits(session);

	txn_begin(txn);
	txn->recipient_limit = (size_t)limits->recipients;
	txn->message_limit = (size_t)limits->message_size;
	txn->envelope.sender = arena_text(&txn->arena, sender);
	txn->envelope.original_sender = txn->envelope.sender;
	txn->envelope.ret = mail->ret;
	if (mail->envid.data)
		txn->envelope.envid = arena_slice(&txn->arena, mail->envid);
	txn->envelope.auth = auth_parameter(session, mail->auth);
	txn->facts.smtputf8 = mail->smtputf8;
	txn->facts.eightbit = mail->body == COMMAND_BODY_8BITMIME;
	txn->facts.binary = mail->body == COMMAND_BODY_BINARYMIME;
	txn->facts.requiretls = mail->requiretls;
	session->size_hint = mail->size;
	session->chunking = session->chunk_failed = false;
	session->begun = true;
	atomic_fetch_add(&session->server->transactions, 1);
}

enum session_step
session_mail(struct session *session, const struct command *command)
{
	char sender[MAIL_ADDRESS_SIZE] = "";
	struct command_fault fault;
	struct command_mail mail;

	if (!mail_in_order(session))
		return STEP_GO;
	if (command_mail(command->argument, &mail, &fault) < 0)
		return session_fault(session, fault.code, fault.enhanced, fault.text);
	if (mail.requiretls && !session_may_requiretls(session))
		return session_fault(session, 555, "5.5.4", "REQUIRETLS is offered in TLS alone");
	if (!mail_fits(session, &mail))
		return STEP_GO;
	if (mail.path.len > 0) { /* else the null sender */
		if (!take_address(session, mail.path, mail.smtputf8, "5.1.7", sender))
			return STEP_GO;
		if (!*mail_address_domain(sender) || !is_qualified(session, sender))
			return session_fault(
			    session, 504, "5.1.7", "The sender needs a fully qualified domain");
	}
	begin(session, &mail, sender);
	return session_ask(session, PN_STAGE_SENDER, mail_ruled);
}

/* ---- RCPT -------------------------------------------------------------------------------------
 */

/* What RCPT is answered. */
static enum session_step
answer_rcpt(struct session *session, const struct ruling *ruling)
{
	struct pn_txn *txn = session->txn;
	size_t index = (size_t)txn->recipient;

	txn->recipient = -1;
	if (ruling->kind == RULING_REJECT || ruling->kind == RULING_DEFER) {
		session_log_refused(session, "recipient", ruling->code, ruling->enhanced,
		    ruling->entry, ruling->text, txn->envelope.recipients[index].original);
		server_count(&session->server->recipients_refused);
		mail_envelope_remove(&txn->envelope, index);
		session_reply(session, ruling->code, ruling->enhanced, ruling->text);
		return STEP_GO;
	}
	session_reply(session, 250, "2.1.5", "Ok");
	return STEP_GO;
}

static enum session_step
selected(struct session *session, const struct ruling *ruling)
{
	struct ruling answer = *ruling;

	plans_early_take(session->txn, &session->run, &answer);
	return answer_rcpt(session, &answer);
}

/* Where protection is wanted already, a recipient whom nobody can serve is refused here. */
static enum session_step
rcpt_ruled(struct session *session, const struct ruling *ruling)
{
	struct ruling answer = *ruling;

	if (ruling->kind == RULING_PASS && plans_early(session->txn, &session->run, &answer))
		return session_ask_on(session, PN_STAGE_SELECT, selected);
	return answer_rcpt(session, &answer);
}

static bool
rcpt_in_order(struct session *session)
{
	if (!session->begun)
		session_unwelcome(session, "Send MAIL first");
	else if (session->chunking)
		session_fault(session, 503, "5.5.1", "Not between chunks");
	else if (session->txn->envelope.count >= (size_t)session_limits(session)->recipients)
		session_reply(session, 452, "4.5.3", "Too many recipients");
	else
		return true;
	return false;
}

static enum session_step
add_recipient(struct session *session, const struct command_rcpt *rcpt, const char *address)
{
	struct pn_txn *txn = session->txn;
	struct mail_recipient *recipient;

	if (mail_envelope_find(&txn->envelope, address) >= 0) { /* one copy is enough */
		session_reply(session, 250, "2.1.5", "Ok");
		return STEP_GO;
	}
	recipient = mail_envelope_add(&txn->envelope, &txn->arena, address);
	recipient->notify = rcpt->notify;
	if (rcpt->orcpt.data)
		recipient->orcpt = arena_slice(&txn->arena, rcpt->orcpt);
	txn->recipient = (int32_t)txn->envelope.count - 1;
	return session_ask(session, PN_STAGE_RECIPIENT, rcpt_ruled);
}

enum session_step
session_rcpt(struct session *session, const struct command *command)
{
	char address[MAIL_ADDRESS_SIZE], own[MAIL_ADDRESS_SIZE];
	struct command_fault fault;
	struct command_rcpt rcpt;

	if (!rcpt_in_order(session))
		return STEP_GO;
	if (command_rcpt(command->argument, &rcpt, &fault) < 0)
		return session_fault(session, fault.code, fault.enhanced, fault.text);
	if (!take_address(session, rcpt.path, session->txn->facts.smtputf8, "5.1.3", address))
		return STEP_GO;
	if (!*mail_address_domain(address)) { /* "postmaster", RFC 5321 section 4.5.1 */
		int n = snprintf(
		    own, sizeof(own), "%.64s@%s", address, session_relay_name(session));

		if (n < 0 || (size_t)n >= sizeof(own))
			return session_fault(session, 501, "5.1.3", "The address is too long");
		return add_recipient(session, &rcpt, own);
	}
	if (!is_qualified(session, address))
		return session_fault(
		    session, 504, "5.1.3", "The recipient needs a fully qualified domain");
	return add_recipient(session, &rcpt, address);
}
