/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_command.c - takes command lines off the stream, checks what may stand where, and answers
 * the simple ones.
 *
 * Called by session.c whenever the session waits for a command. Must never let a command run that
 * was read in the same breath as a STARTTLS before it.
 */
#include <core/base/text.h>
#include <core/smtp/session_inner.h>
#include <errno.h>

#define SKIP_MOST (256u * 1024) /* of a line too long: what comes then is no command */

/* Throws away what belongs to a line too long. False: its end has not come yet. */
static bool
skip_line(struct session *session)
{
	struct pn_slice in = stream_peek(&session->stream);
	const char *end = in.len > 0 ? memchr(in.data, '\n', in.len) : NULL;

	session->unwanted += in.len;
	stream_consume(&session->stream, end ? (size_t)(end - in.data) + 1 : in.len);
	session->skipping = end == NULL;
	return end != NULL;
}

int
session_line(struct session *session, size_t most, struct pn_slice *ret, size_t *ret_used)
{
	int r;

	*ret_used = 0;
	if (session->skipping && !skip_line(session))
		return 0;
	r = command_line(stream_peek(&session->stream), most, ret, ret_used);
	if (r != 0)
		session->active = true;
	if (r == -E2BIG) {
		session->unwanted = 0;
		session->skipping = stream_peek(&session->stream).data[*ret_used - 1] != '\n';
	}
	return r;
}

static enum session_step
no_argument(struct session *session, const struct command *command,
    enum session_step (*then)(struct session *))
{
	if (command->argument.len > 0)
		return session_fault(session, 501, "5.5.4", "No argument is allowed here");
	return then(session);
}

static enum session_step
rset(struct session *session)
{
	session->chunk_failed = false;
	session_reply(session, 250, "2.0.0", "Ok");
	return session_abandon(session);
}

static enum session_step
quit(struct session *session)
{
	return session_bye(session, 221, "2.0.0", "Bye");
}

static enum session_step
on_rset(struct session *session, const struct command *command)
{
	return no_argument(session, command, rset);
}

static enum session_step
on_quit(struct session *session, const struct command *command)
{
	return no_argument(session, command, quit);
}

static enum session_step
on_noop(struct session *session, const struct command *command)
{
	session_reply(session, 250, "2.0.0", "Ok");
	return STEP_GO;
}

static enum session_step
on_vrfy(struct session *session, const struct command *command)
{
	if (command->argument.len == 0)
		return session_fault(session, 501, "5.5.4", "Syntax: VRFY address");
	session_reply(session, 252, "2.5.0", "Cannot verify, send mail and see");
	return STEP_GO;
}

static enum session_step
on_expn(struct session *session, const struct command *command)
{
	return session_fault(session, 502, "5.5.1", "EXPN is not implemented");
}

static enum session_step
on_help(struct session *session, const struct command *command)
{
	session_reply(session, 214, "2.0.0", "Commands: see RFC 5321 and RFC 6409");
	return STEP_GO;
}

static enum session_step
on_unknown(struct session *session, const struct command *command)
{
	return session_fault(session, 500, "5.5.2", "Command not recognized");
}

#define BEFORE_TLS 0x1u /* allowed while the client still has to say STARTTLS */
static const struct {
	enum session_step (*run)(struct session *, const struct command *);
	unsigned flags;
} handlers[COMMAND_COUNT] = {
	[COMMAND_UNKNOWN] = { on_unknown, 0 },
	[COMMAND_HELO] = { session_hello, BEFORE_TLS },
	[COMMAND_EHLO] = { session_hello, BEFORE_TLS },
	[COMMAND_MAIL] = { session_mail, 0 },
	[COMMAND_RCPT] = { session_rcpt, 0 },
	[COMMAND_DATA] = { session_data, 0 },
	[COMMAND_BDAT] = { session_bdat, BEFORE_TLS }, /* its bytes are read before it is refused */
	[COMMAND_RSET] = { on_rset, 0 },
	[COMMAND_NOOP] = { on_noop, BEFORE_TLS },
	[COMMAND_QUIT] = { on_quit, BEFORE_TLS },
	[COMMAND_VRFY] = { on_vrfy, 0 },
	[COMMAND_EXPN] = { on_expn, 0 },
	[COMMAND_HELP] = { on_help, 0 },
	[COMMAND_AUTH] = { session_auth, 0 },
	[COMMAND_STARTTLS] = { session_starttls, BEFORE_TLS },
};

static enum session_step
bad_line(struct session *session, int r, bool auth)
{
	if (r == -EBADMSG)
		return session_fault(
		    session, 500, "5.5.2", "Lines end with CR LF, and neither stands alone");
	if (auth) /* RFC 4954 section 4 */
		return session_fault(session, 500, "5.5.6", "AUTH exchange line too long");
	return session_fault(session, 500, "5.5.2", "Command line too long");
}

static enum session_step
endless(struct session *session)
{
	return session_send_away(session, "endless line", "This line has no end, closing");
}

static enum session_step
run(struct session *session, const struct command *command)
{
	if (session_needs_tls(session) && !(handlers[command->verb].flags & BEFORE_TLS))
		return session_fault(session, 530, "5.7.0", "Must issue a STARTTLS command first");
	return handlers[command->verb].run(session, command);
}

static bool
is_auth(struct pn_slice in)
{
	return in.len >= 5 && text_is(pn_slice(in.data, 5), "AUTH ");
}

enum session_step
session_command(struct session *session)
{
	bool auth = is_auth(stream_peek(&session->stream));
	struct command command;
	enum session_step step;
	struct pn_slice line;
	size_t used;
	int r;

	r = session_line(session, auth ? COMMAND_AUTH_MOST : COMMAND_LINE_MOST, &line, &used);
	if (r == 0)
		return session->skipping && session->unwanted > SKIP_MOST ? endless(session)
									  : STEP_INPUT;
	if (session_commands_spent(session))
		return session_send_away(
		    session, "too many commands", "Too many commands without a message, closing");
	if (r < 0) {
		stream_consume(&session->stream, used);
		return bad_line(session, r, auth);
	}
	command_parse(line, &command);
	/* EHLO ends a transaction (RFC 5321 section 4.1.4): first that, then the same line again.
	 */
	if (session->begun && (command.verb == COMMAND_EHLO || command.verb == COMMAND_HELO))
		return session_abandon(session);
	step = run(session, &command);
	stream_consume(&session->stream, used);
	return step;
}
