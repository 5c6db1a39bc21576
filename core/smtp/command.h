/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.h - the grammar of SMTP commands (RFC 5321 section 4.1 and its extensions).
 *
 * Pure functions over slices: what they return points into the line they were given. Any thread.
 */
#ifndef CORE_SMTP_COMMAND_H
#define CORE_SMTP_COMMAND_H

#include <core/base/buf.h>
#include <core/mail/envelope.h>

/*
 * Octets of a command with its CRLF. RFC 5321 section 4.5.3.1.4 says 512, and extensions add: 26
 * for SIZE, 17 for BODY, 500 for AUTH=, 110 for ENVID and RET, 28 and 500 for NOTIFY and ORCPT.
 */
#define COMMAND_LINE_MOST 2048u
#define COMMAND_AUTH_MOST 12288u /* RFC 4954 section 4: an AUTH command or response */

enum command_verb {
	COMMAND_UNKNOWN,
	COMMAND_HELO,
	COMMAND_EHLO,
	COMMAND_MAIL,
	COMMAND_RCPT,
	COMMAND_DATA,
	COMMAND_BDAT,
	COMMAND_RSET,
	COMMAND_NOOP,
	COMMAND_QUIT,
	COMMAND_VRFY,
	COMMAND_EXPN,
	COMMAND_HELP,
	COMMAND_AUTH,
	COMMAND_STARTTLS,
	COMMAND_COUNT
};

/* A reply to a command that cannot be understood; the texts are static. */
struct command_fault {
	int code;
	const char *enhanced, *text;
};

struct command {
	enum command_verb verb;
	struct pn_slice argument; /* behind the verb, without blanks around it */
};

/*
 * Takes a line off the front of `in`. 1: `*ret` is the line without CRLF. 0: no whole line yet.
 * -E2BIG: longer than `most` octets with its CRLF, and `*ret_used` covers what can be thrown away.
 * -EBADMSG: the line has a bare CR or a bare LF, or a NUL; it is used up too.
 */
int command_line(struct pn_slice in, size_t most, struct pn_slice *ret, size_t *ret_used);

/* Never fails: what is not known is COMMAND_UNKNOWN. */
void command_parse(struct pn_slice line, struct command *ret);

/* The name that a client gives itself: printable, without blanks, 255 octets at most. */
bool command_helo_valid(struct pn_slice name);

enum command_body {
	COMMAND_BODY_NONE,
	COMMAND_BODY_7BIT,
	COMMAND_BODY_8BITMIME,
	COMMAND_BODY_BINARYMIME
};

struct command_mail {
	struct pn_slice path; /* without brackets and source route; empty: the null sender */
	bool has_size;
	uint64_t size;
	enum command_body body;
	bool smtputf8, requiretls;
	enum mail_ret ret;
	struct pn_slice envid; /* xtext; `data` NULL: not given */
	struct pn_slice auth;  /* xtext or "<>"; `data` NULL: not given */
};
/* "FROM:<a@b> SIZE=..."; 0, or -EINVAL with the reply in `*ret_fault`. */
int command_mail(
    struct pn_slice argument, struct command_mail *ret, struct command_fault *ret_fault);

struct command_rcpt {
	struct pn_slice path;  /* never empty */
	uint32_t notify;       /* MAIL_NOTIFY_* */
	struct pn_slice orcpt; /* "type;xtext"; `data` NULL: not given */
};
int command_rcpt(
    struct pn_slice argument, struct command_rcpt *ret, struct command_fault *ret_fault);

struct command_bdat {
	uint64_t size;
	bool last;
};
int command_bdat(
    struct pn_slice argument, struct command_bdat *ret, struct command_fault *ret_fault);

struct command_auth {
	struct pn_slice mechanism;
	struct pn_slice initial; /* base64 or "="; `data` NULL: not given */
};
int command_auth(
    struct pn_slice argument, struct command_auth *ret, struct command_fault *ret_fault);

/* RFC 3461 section 4. Decoding appends to `ret`. -EINVAL, -E2BIG. */
bool command_xtext_valid(struct pn_slice text);
int command_xtext_decode(struct pn_slice text, struct buf *ret);

#endif
