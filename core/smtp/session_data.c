/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_data.c - DATA and BDAT: bytes of a message, from the stream straight into place.
 *
 * Called by session_command.c and, while bytes come, by session.c. A refusal is told when all that
 * the client sends has been read: after the true end of DATA, after exactly the octets of a chunk
 * (RFC 3030 section 2). Bytes of a message must never be read as commands.
 */
#include <core/policy/intake.h>
#include <core/smtp/session_inner.h>
#include <stdio.h>

#define FIRST_LEAST    (8u * 1024)        /* room for a message of unknown size */
#define FIRST_MOST     (1u * 1024 * 1024) /* SIZE= is a hint and may lie */
#define UNWANTED_TIMES 4u   /* of the largest message: more of a refused one is not read */
#define CHUNK_LEAST    512u /* a smaller chunk counts as a command */
#define ADDED_ROOM     512u /* a message is often a little larger than it says */

/* Makes room and begins to scan. */
static void
begin_bytes(struct session *session, bool stuffed, uint64_t hint)
{
	const struct config_limits *limits = session_limits(session);
	size_t first = FIRST_LEAST;
	int r;

	if (hint > FIRST_LEAST)
		first = hint < FIRST_MOST ? (size_t)hint + ADDED_ROOM : FIRST_MOST;
	mail_bytes_release(&session->scanner.bytes);
	r = mail_bytes_new_message(first, MAIL_BYTES_LAZY, &session->scanner.bytes);
	session->scanner.most = (size_t)limits->message_size;
	session->scanner.line_most = (size_t)limits->line_length;
	session->scanner.stuffed = stuffed;
	session->scanner.binary = session->txn->facts.binary;
	session->scanner.normalize = session->listener->bare_newlines == CONFIG_BARE_NORMALIZE;
	dot_scanner_begin(&session->scanner);
	session->refusal = (struct session_refusal){ 0 };
	session->unwanted = session->received = 0;
	session->body_waited = 0;
	session->whole = false;
	if (r < 0) /* read to the end, stored nowhere */
		session->refusal = (struct session_refusal){ 452, "4.3.1",
			"Not enough memory, try again later" };
}

/* What overflows is written elsewhere; `all`: there comes no more. */
static bool
has_to_write(const struct session *session, bool all)
{
	const struct mail_bytes *bytes = session->scanner.bytes;

	return bytes && mail_bytes_is_due(bytes, all) && dot_scanner_fault(&session->scanner) == 0;
}

/* What is wrong with the bytes so far. */
static void
note_fault(struct session *session)
{
	struct ruling ruling;

	if (session->refusal.code)
		return;
	intake_bytes(dot_scanner_fault(&session->scanner), &ruling);
	session->refusal = (struct session_refusal){ ruling.code, ruling.enhanced, ruling.text };
}

static enum session_step
refuse_message(struct session *session)
{
	const struct session_refusal *refusal = &session->refusal;

	session_log_refused(
	    session, "message", refusal->code, refusal->enhanced, NULL, refusal->text, NULL);
	server_count(&session->server->messages_refused);
	session_reply(session, refusal->code, refusal->enhanced, refusal->text);
	return session_abandon(session);
}

/*
 * Bytes that are read only to find the end of what was refused. Who sends without end is told so
 * while sending: true when it is enough.
 */
static bool
too_much(struct session *session, size_t len)
{
	session->unwanted += len;
	return session->unwanted / UNWANTED_TIMES > (uint64_t)session_limits(session)->message_size;
}

static enum session_step
stop_reading(struct session *session)
{
	note_fault(session);
	session_log_refused(session, "message", session->refusal.code, session->refusal.enhanced,
	    NULL, session->refusal.text, NULL);
	server_count(&session->server->messages_refused);
	return session_bye(
	    session, session->refusal.code, session->refusal.enhanced, session->refusal.text);
}

/* ---- DATA -------------------------------------------------------------------------------------
 */

enum session_step
session_data(struct session *session, const struct command *command)
{
	if (command->argument.len > 0)
		return session_fault(session, 501, "5.5.4", "No argument is allowed here");
	if (!session->begun)
		return session_unwelcome(session, "Send MAIL first");
	if (session->chunking || session->chunk_failed)
		return session_fault(session, 503, "5.5.1", "BDAT was used in this transaction");
	/* RFC 3030 section 3 */
	if (session->txn->facts.binary)
		return session_fault(session, 503, "5.5.1", "BODY=BINARYMIME goes by BDAT alone");
	if (session->txn->envelope.count == 0)
		return session_unwelcome(session, "No valid recipients");
	begin_bytes(session, true, session->size_hint);
	if (session->refusal.code) {
		session_reply(session, session->refusal.code, session->refusal.enhanced,
		    session->refusal.text);
		return STEP_GO;
	}
	session_reply(session, 354, NULL, "End data with <CR><LF>.<CR><LF>");
	session->mode = MODE_DATA;
	return STEP_GO;
}

enum session_step
session_data_input(struct session *session)
{
	struct pn_slice in = stream_peek(&session->stream);
	size_t used = 0;

	if (has_to_write(session, session->whole))
		return STEP_WRITE;
	if (in.len == 0 && !session->whole)
		return STEP_INPUT;
	session->active = true;
	if (!session->whole) {
		session->whole = dot_scanner_feed(&session->scanner, in, &used);
		stream_consume(&session->stream, used);
		session->received += used;
		if (has_to_write(session, session->whole))
			return STEP_WRITE;
	}
	if (!session->whole) {
		if (dot_scanner_fault(&session->scanner) == 0)
			return STEP_GO;
		mail_bytes_release(&session->scanner.bytes);
		return too_much(session, used) ? stop_reading(session) : STEP_GO;
	}
	session->mode = MODE_COMMAND;
	note_fault(session);
	return session->refusal.code ? refuse_message(session) : session_message(session);
}

/* ---- BDAT -------------------------------------------------------------------------------------
 */

/* Whether the chunk is wanted; the refusal is told behind its bytes. */
static void
check_order(struct session *session)
{
	struct session_refusal *refusal = &session->refusal;

	*refusal = (struct session_refusal){ 0 };
	if (session_needs_tls(session))
		*refusal = (struct session_refusal){ 530, "5.7.0",
			"Must issue a STARTTLS command first" };
	else if (session->chunk_failed)
		*refusal = (struct session_refusal){ 503, "5.5.1",
			"An earlier chunk was refused, send RSET or MAIL" };
	else if (!session->begun)
		*refusal = (struct session_refusal){ 503, "5.5.1", "Send MAIL first" };
	else if (session->txn->envelope.count == 0)
		*refusal = (struct session_refusal){ 503, "5.5.1", "No valid recipients" };
}

enum session_step
session_bdat(struct session *session, const struct command *command)
{
	struct command_fault fault;
	struct command_bdat bdat;

	/* Without a size nobody knows where the chunk ends: what follows must not be a command. */
	if (command_bdat(command->argument, &bdat, &fault) < 0)
		return session_bye(session, fault.code, fault.enhanced, fault.text);
	check_order(session);
	if (!session->refusal.code && !session->chunking) {
		begin_bytes(session, false,
		    session->size_hint > bdat.size ? session->size_hint : bdat.size);
		session->chunking = true;
	}
	if (bdat.size >= CHUNK_LEAST && !session->refusal.code)
		session->commands--;
	session->chunk_left = session->chunk_size = bdat.size;
	session->chunk_last = bdat.last;
	session->mode = MODE_CHUNK;
	return STEP_GO;
}

/* All octets of the chunk are read. */
static enum session_step
chunk_complete(struct session *session)
{
	bool begun = session->begun && session->chunking;
	char text[64];

	session->mode = MODE_COMMAND;
	if (begun && session->chunk_last && !session->refusal.code)
		dot_scanner_end(&session->scanner);
	if (begun)
		note_fault(session);
	if (session->refusal.code) {
		session->chunk_failed = true;
		if (begun)
			return refuse_message(session);
		if (session->refusal.code == 503)
			return session_unwelcome(session, session->refusal.text);
		return session_fault(session, session->refusal.code, session->refusal.enhanced,
		    session->refusal.text);
	}
	if (session->chunk_last)
		return session_message(session);
	snprintf(
	    text, sizeof(text), "%llu octets received", (unsigned long long)session->chunk_size);
	session_reply(session, 250, "2.0.0", text);
	return STEP_GO;
}

enum session_step
session_chunk_input(struct session *session)
{
	struct pn_slice in;
	size_t used;

	if (has_to_write(session, session->chunk_left == 0 && session->chunk_last))
		return STEP_WRITE;
	if (session->chunk_left == 0)
		return chunk_complete(session);
	in = stream_peek(&session->stream);
	if (in.len == 0)
		return STEP_INPUT;
	session->active = true;
	if (in.len > session->chunk_left)
		in.len = (size_t)session->chunk_left;
	if (!session->refusal.code)
		dot_scanner_feed(&session->scanner, in, &used);
	session->chunk_left -= in.len;
	session->received += in.len;
	stream_consume(&session->stream, in.len);
	if (!session->refusal.code && dot_scanner_fault(&session->scanner) == 0)
		return STEP_GO;
	return too_much(session, in.len) ? stop_reading(session) : STEP_GO;
}
