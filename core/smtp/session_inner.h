/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_inner.h - the session as its own files see it; nobody else includes it.
 *
 * session.c		what comes next; what the commands have in common
 * session_patience.c	what a client may spend: time, commands, errors
 * session_loop.c	life, the loop's events, the way to policy threads and back
 * session_left.c	what a hook keeps that does not return in time
 * session_command.c	command lines, dispatch, simple commands
 * session_hello.c	greeting, HELO, EHLO, STARTTLS
 * session_auth.c	AUTH
 * session_mail.c	MAIL, RCPT, the end of a transaction
 * session_data.c	DATA, BDAT, bytes of a message
 * session_message.c	a whole message: limits, policy, acceptance
 * session_log.c	its log lines
 *
 * Whoever runs session_step() owns the session, on the loop or on a policy thread; what only the
 * loop may do is a step that session_step() returns.
 */
#ifndef CORE_SMTP_SESSION_INNER_H
#define CORE_SMTP_SESSION_INNER_H

#include <core/net/stream.h>
#include <core/policy/away.h>
#include <core/smtp/command.h>
#include <core/smtp/dot.h>
#include <core/smtp/server_inner.h>
#include <core/smtp/session.h>

enum session_step {
	STEP_GO,     /* on with the next thing */
	STEP_INPUT,  /* nothing to do until bytes come */
	STEP_HOP,    /* the next hook may block */
	STEP_FLUSH,  /* many replies: send them first */
	STEP_DELAY,  /* too many errors: answer later */
	STEP_TLS,    /* begin the handshake */
	STEP_ACCEPT, /* `item` is for the queue */
	STEP_WRITE,  /* much of the message waits to leave memory */
	STEP_CLOSE,  /* say no more */
	STEP_GONE,   /* the session was taken away while a hook ran: it is not ours */
};

/* The first three stand at a command boundary. */
enum session_mode { MODE_GREETING, MODE_COMMAND, MODE_AUTH, MODE_DATA, MODE_CHUNK };

struct session;
typedef enum session_step session_ruled_fn(struct session *session, const struct ruling *ruling);

/* A refusal that is told later, when all of the client's bytes have been read. */
struct session_refusal {
	int code; /* 0: none */
	const char *enhanced, *text;
};

struct session {
	struct stream stream;
	struct server *server;
	struct session *next, **link;           /* the server's list */
	struct generation *generation;          /* held; taken anew between transactions */
	const struct config_listener *listener; /* in `generation` */
	struct address *peer;                   /* in `arena` */
	struct crowd_place *crowd;              /* NULL: counted by nothing of its own */
	struct pn_txn *txn;
	struct mail_facts facts;
	struct arena arena;             /* client's address as text */
	char *helo, *user, *mechanisms; /* owned; NULL: none */
	struct buf out;                 /* replies of this batch */

	/* the stage under way */
	struct chain_run run;
	enum pn_stage stage; /* PN_STAGE_END: none */
	session_ruled_fn *ruled;

	struct loop_timer soon; /* greet behind a handshake */
	enum session_step step; /* with which the policy thread ended */

	/* AUTH */
	struct buf secret; /* decoded response; wiped */
	char *attempt;     /* user name for the log */

	/* the message that is coming in */
	struct dot_scanner scanner;
	uint64_t size_hint, chunk_size, chunk_left;
	struct job write;  /* of STEP_WRITE */
	uint64_t unwanted; /* bytes read of a message or line that is refused already */
	uint64_t received; /* of the body */
	struct session_refusal refusal;
	struct item *item;

	/* what the client has spent since its last accepted message */
	uint32_t errors, commands;
	int64_t since;       /* when we began to wait for it; 0: we do not */
	int64_t waited;      /* for commands, ms */
	int64_t body_waited; /* for the body that is coming in, ms */

	uint8_t mode, place;
	bool begun;        /* MAIL was given: a transaction that ends in acceptance or `aborted` */
	bool served;       /* there was a transaction before */
	bool chunking;     /* the transaction uses BDAT */
	bool chunk_last;   /* the chunk under way is the last */
	bool chunk_failed; /* until RSET or MAIL */
	bool whole;        /* the end of DATA was read */
	bool skipping;     /* the rest of a line too long */
	bool closing;      /* nothing more is read */
	bool sluggish;     /* the next replies are delayed */
	bool offends;      /* sent away: its network pays for it */
	bool proxied;      /* came through a proxy, which sees to TLS */
	bool has_tls;      /* STARTTLS can be offered */
	/* the loop's own */
	bool away, waiting, delayed, submitting, handshaking, clogged, finishing, lost, broken,
	    paused, timed;
	bool active; /* something was read and done since the deadline was set */
};

/* ---- session.c ---- */
/* Goes on until something must be waited for, or done by the loop. */
enum session_step session_step(struct session *session, bool may_block);
/* Runs a stage's hooks next, and `ruled` with what came of it. */
enum session_step session_ask(
    struct session *session, enum pn_stage stage, session_ruled_fn *ruled);
/* The same in the run of the stage that has just passed: a refusal puts back both. */
enum session_step session_ask_on(
    struct session *session, enum pn_stage stage, session_ruled_fn *ruled);
void session_reply(struct session *session, int code, const char *enhanced, const char *text);
/* Says so and reads no more. */
enum session_step session_bye(
    struct session *session, int code, const char *enhanced, const char *text);
/* Replaces a text that the session owns. */
void session_set(char **field, const char *text, size_t len);
const struct config_limits *session_limits(const struct session *session);
const char *session_relay_name(const struct session *session);
/* Copies the session's facts to its transaction. */
void session_share_facts(struct session *session);
bool session_in_tls(const struct session *session);

/* ---- session_patience.c ---- */
/* A reply to something that no client should do; many are delayed, too many end the session. */
enum session_step session_fault(
    struct session *session, int code, const char *enhanced, const char *text);
/* 503 to what a client that pipelines sends behind a refusal; from strangers a fault. */
enum session_step session_unwelcome(struct session *session, const char *text);
/* 421, and its network is charged for it; `why` is for the log. */
enum session_step session_send_away(struct session *session, const char *why, const char *text);
/* How long the next wait for the client may be, ms; 0: it has had its time. */
int64_t session_patience(const struct session *session);
int64_t session_handshake_patience(const struct session *session);
/* The relay begins to wait for the client, and has something to do again. */
void session_waits(struct session *session);
void session_hears(struct session *session);
/* A message was taken: nothing before it counts. */
void session_thrives(struct session *session);
/* Counts a command: true, it was one too many. */
bool session_commands_spent(struct session *session);

/* ---- session_command.c ---- */
enum session_step session_command(struct session *session);
/*
 * The next line, at most `most` octets. 1; 0 where none is complete; -EBADMSG, -E2BIG: answered by
 * the caller, `*ret_used` is to be consumed.
 */
int session_line(struct session *session, size_t most, struct pn_slice *ret, size_t *ret_used);

/* ---- session_hello.c ---- */
enum session_step session_greet(struct session *session);
enum session_step session_hello(struct session *session, const struct command *command);
enum session_step session_starttls(struct session *session, const struct command *command);
/* The handshake is done: all that was known is forgotten (RFC 3207 section 4.2). */
void session_secured(struct session *session);
/* The client must not go on in clear. */
bool session_needs_tls(const struct session *session);
bool session_may_auth(const struct session *session);
/* In TLS that began before the listener required a certificate. */
bool session_lacks_certificate(const struct session *session);
bool session_may_requiretls(const struct session *session);

/* ---- session_auth.c ---- */
enum session_step session_auth(struct session *session, const struct command *command);
enum session_step session_auth_response(struct session *session);

/* ---- session_mail.c ---- */
/* It has logged in, or need not. */
bool session_may_relay(const struct session *session);
enum session_step session_mail(struct session *session, const struct command *command);
enum session_step session_rcpt(struct session *session, const struct command *command);
/* The transaction ends without acceptance: runs `aborted`, then all of it is gone. */
enum session_step session_abandon(struct session *session);
/* All of it is gone. */
void session_reset(struct session *session);

/* ---- session_data.c ---- */
enum session_step session_data(struct session *session, const struct command *command);
enum session_step session_bdat(struct session *session, const struct command *command);
enum session_step session_data_input(struct session *session);
enum session_step session_chunk_input(struct session *session);

/* ---- session_message.c ---- */
/* All bytes are in `scanner.bytes`. */
enum session_step session_message(struct session *session);
/* What the queue said. */
void session_accepted(struct session *session, int r, const struct item *item);

/* ---- session_left.c ---- */
/* As away_ops want it: a hook goes on reading what it was lent, the session has copies. */
void *session_leave(void *session);
void session_forget_left(void *left);

/* ---- session_log.c ---- */
/* A refusal by policy (`entry`) or by the core (NULL); `to` may be NULL. */
void session_log_refused(struct session *session, const char *what, int code, const char *enhanced,
    const char *entry, const char *text, const char *to);
void session_log_auth(struct session *session, bool succeeded, const struct ruling *ruling);
/* The client's certificate, if it has shown one; `fault`: why it is no good. */
void session_log_certificate(struct session *session, const char *fault);
void session_log_accepted(struct session *session, const struct item *item);
void session_log_trace(struct session *session);
void session_log_lost(struct session *session, const char *why);

#endif
