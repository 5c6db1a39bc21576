/* SPDX-License-Identifier: Apache-2.0 */
/*
 * courier_parts.h - what the files of the courier share; nobody else includes it.
 *
 *	courier.c           connection: addresses, deadlines, replies to handlers, the end
 *	courier_address.c   which addresses of the host, and which of ours to send from
 *	courier_greet.c     greeting, EHLO, STARTTLS, up to `ready`
 *	courier_auth.c      AUTH
 *	courier_envelope.c  MAIL and RCPT lines with their parameters
 *	courier_letter.c    transactions: MAIL to the final reply, results
 *	courier_body.c      the bytes of a letter
 */
#ifndef CORE_SMTP_COURIER_PARTS_H
#define CORE_SMTP_COURIER_PARTS_H

#include <core/net/stream.h>
#include <core/smtp/courier.h>
#include <core/smtp/dot.h>
#include <core/smtp/reply.h>

/* From COURIER_GREETING on each state is the reply that is awaited, but for HANDSHAKE and READY. */
enum courier_state {
	COURIER_RESOLVING,
	COURIER_PAUSED, /* the next connection begins when the stack is empty */
	COURIER_CONNECTING,
	COURIER_GREETING,
	COURIER_EHLO, /* or LHLO */
	COURIER_HELO,
	COURIER_STARTTLS,
	COURIER_HANDSHAKE,
	COURIER_AUTH_PLAIN,
	COURIER_AUTH_LOGIN,
	COURIER_AUTH_USER,
	COURIER_AUTH_PASSWORD,
	COURIER_READY, /* no letter */
	COURIER_RSET,
	COURIER_MAIL,
	COURIER_RCPT,
	COURIER_DATA,
	COURIER_FINAL,
	COURIER_QUIT,
	COURIER_ENDED, /* `ended` will be or was called */
	COURIER_STATES
};

#define COURIER_OFFERS_PIPELINING 0x001u
#define COURIER_OFFERS_8BITMIME   0x002u
#define COURIER_OFFERS_SMTPUTF8   0x004u
#define COURIER_OFFERS_DSN        0x008u
#define COURIER_OFFERS_CHUNKING   0x010u
#define COURIER_OFFERS_BINARYMIME 0x020u
#define COURIER_OFFERS_STARTTLS   0x040u
#define COURIER_OFFERS_AUTH       0x080u
#define COURIER_OFFERS_PLAIN      0x100u
#define COURIER_OFFERS_LOGIN      0x200u
#define COURIER_OFFERS_SIZE       0x400u
#define COURIER_OFFERS_REQUIRETLS 0x800u

/* courier_result.stage of a recipient in the transaction under way. */
enum courier_stage {
	COURIER_UNASKED,
	COURIER_ASKED,    /* its RCPT belongs to this transaction */
	COURIER_ACCEPTED, /* RCPT said 2yz: the final reply decides */
};

/* The name look-up may have to outlive a courier that is freed early. */
struct courier_lookup {
	struct resolve_request request;
	struct courier *courier; /* NULL: nobody waits for it */
	bool pending;
};

struct courier {
	struct stream stream;
	struct loop_timer step; /* what must not happen inside an event of the stream */
	struct courier_parts parts;
	char *relay_name;
	enum courier_state state;
	struct courier_lookup *lookup;
	size_t address_at; /* of the look-up's addresses: the one in use */
	struct reply_parser parser;
	struct tls_facts tls;
	uint32_t offers;    /* COURIER_OFFERS_ */
	uint64_t size_most; /* SIZE; 0: no limit known */
	uint32_t letters;
	bool in_clear;    /* TLS did not work at level may: this address goes without */
	bool quitting;    /* QUIT as soon as no letter is under way */
	bool needs_reset; /* the last transaction was left open */
	bool was_ready;
	bool spoke;        /* something was said since the last reply */
	bool ahead;        /* then the next reply was there already: it answers nothing */
	bool turned_away;  /* see courier_is_turned_away() */
	bool unprotected;  /* the last connection was not what `requiretls` wants */
	bool tried, heard; /* an address; of one of them a byte */
	bool met;          /* one of them took the connection */
	bool abandoned;    /* before its time was up */
	bool local_fault;  /* the last connection came to nothing through no fault of the host's */
	size_t unsent;     /* at the last deadline: what has gone since is progress */
	const char *tls_fault;                      /* see courier_tls_fault() */
	char own[ADDRESS_TEXT], peer[ADDRESS_TEXT]; /* addresses of the connection; "": none yet */
	char remote[ADDRESS_TEXT + 280];
	char reason[COURIER_TEXT]; /* why it ends, or why the last address did not do */

	/* The letter under way. */
	struct courier_letter *letter;
	size_t at;              /* the recipient whose RCPT is answered next */
	size_t accepted;        /* recipients in this transaction that RCPT said 2yz to */
	bool answered;          /* a reply to this letter was read */
	bool utf8;              /* MAIL said SMTPUTF8 */
	bool chunked;           /* BDAT, not DATA */
	bool body_written;      /* BDAT and the body went together with MAIL and RCPT */
	const char *mail_reply; /* MAIL was refused with it, and so is everyone */
	enum courier_outcome mail_outcome;
	struct dot_writer writer;      /* the rest of the body, where it does not fit into one go */
	bool writing;                  /* body_go_on() is on the stack */
	struct courier_window *window; /* being read; NULL: none */
	struct mail_bytes *part;       /* the last one; NULL: the letter's bytes are in memory */
	size_t loaded;                 /* octets of the body up to its end */
};

/* ---- courier.c ---- */
/* Queues a command; what cannot be queued breaks the connection. */
void courier_say(struct courier *courier, const char *format, ...) PN_PRINTF(2, 3);
/* Sends what was queued. */
void courier_flush(struct courier *courier);
/* The reply awaited from now on, and for how long. */
void courier_expect(struct courier *courier, enum courier_state state, int64_t ms);
/*
 * This connection is over. Open recipients of a letter are deferred with the text; before `ready`
 * the next address gets its turn. `format` makes what stands behind the remote's name in a reply
 * such as "451 4.4.2 mx.example[192.0.2.1]:25: ...".
 */
void courier_break(struct courier *courier, const char *code, const char *format, ...)
    PN_PRINTF(3, 4);
/* The same, by the next hop's own words. */
void courier_break_on(struct courier *courier, const struct reply *reply);
/* As break, but no other address is tried. */
void courier_give_up(struct courier *courier, const char *code, const char *format, ...)
    PN_PRINTF(3, 4);
/* TLS did not work: the same address once more, in clear. */
void courier_again_in_clear(struct courier *courier, const char *why);
void courier_say_quit(struct courier *courier);
static inline bool
courier_is_secure(const struct courier *courier)
{
	return courier->tls.version != NULL;
}

static inline bool
courier_logs_in(const struct courier_target *target)
{
	return target->user || target->login;
}

/* ---- courier_address.c ---- */
/* The host's addresses that may be tried, in that order; NULL, or why none is left. */
const char *courier_choose_addresses(
    const struct courier_target *target, struct resolve_request *request);
/* Without those in networks that are refused. False: there were only such. */
bool courier_drop_refused(const struct courier_target *target, struct resolve_request *request);
/* NULL: any of ours. */
const struct address *courier_source(
    const struct courier_target *target, const struct address *address);
/* Of the connection that there is now. */
void courier_note_ends(struct courier *courier);
/* Is it this machine that lacks something? */
bool courier_is_local(int error);

/* ---- courier_greet.c ---- */
/* Connected; where TLS comes first, it begins. */
void courier_on_connected(struct courier *courier);
void courier_on_greeting(struct courier *courier, const struct reply *reply);
void courier_on_ehlo(struct courier *courier, const struct reply *reply);
void courier_on_helo(struct courier *courier, const struct reply *reply);
void courier_on_starttls(struct courier *courier, const struct reply *reply);
void courier_on_secured(struct courier *courier, const struct pn_error *err);
/* All is said and done before the first letter. */
void courier_become_ready(struct courier *courier);

/* ---- courier_auth.c ---- */
void courier_begin_auth(struct courier *courier);
void courier_on_auth(struct courier *courier, const struct reply *reply);

/* ---- courier_envelope.c ---- */
/* What this next hop cannot take, as a reply; NULL: nothing. */
const char *courier_objection(const struct courier *courier, const struct courier_letter *letter);
/* It would have to be seven bits and whole lines here, and is not. */
bool courier_is_unfit(const struct courier *courier, const struct courier_letter *letter);
/* What TLS here does not show and the letter demands, as a reply in its arena; NULL: nothing. */
const char *courier_weakness(const struct courier *courier, const struct courier_letter *letter);
/* May MAIL say REQUIRETLS here? */
bool courier_may_requiretls(const struct courier *courier, const struct courier_letter *letter);
/* What stands in the way of an address on a line of this connection, as a reply; NULL: nothing. */
const char *courier_address_fault(
    const struct courier *courier, struct courier_letter *letter, const char *address);
void courier_say_mail(struct courier *courier);
void courier_say_rcpt(struct courier *courier, size_t index);

/* ---- courier_letter.c ---- */
void courier_on_rset(struct courier *courier, const struct reply *reply);
void courier_on_mail(struct courier *courier, const struct reply *reply);
void courier_on_rcpt(struct courier *courier, const struct reply *reply);
void courier_on_data(struct courier *courier, const struct reply *reply);
void courier_on_final(struct courier *courier, const struct reply *reply);
/* A reply made no sense: refusals of the transaction under way are taken back. */
void courier_doubt(struct courier *courier);
/* Hands the letter, all settled, back to its owner. */
void courier_hand_back(struct courier *courier);

/* ---- courier_body.c ---- */
/* 354 was said: the body, stuffed. */
void courier_body_begin(struct courier *courier);
/* May BDAT go with the envelope? */
bool courier_body_may_be_early(const struct courier *courier);
/* BDAT and the body, or as much of it as is in memory: courier_body_go_on() sends the rest. */
void courier_body_chunk(struct courier *courier);
/* What was written has gone: the next part of the body. */
void courier_body_go_on(struct courier *courier);
/* The letter is over. */
void courier_body_end(struct courier *courier);
void courier_expect_final(struct courier *courier);

#endif
