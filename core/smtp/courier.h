/* SPDX-License-Identifier: Apache-2.0 */
/*
 * courier.h - the sending side of SMTP: one connection to one next hop, letters one after another.
 *
 * Belongs to a destination of the queue and is driven by its loop. It connects as soon as it is
 * made, says `ready`, takes letters one at a time, and says `ended` exactly once, whatever the next
 * hop does. It never loses a recipient: each of a letter's results is set when `finished` is
 * called.
 */
#ifndef CORE_SMTP_COURIER_H
#define CORE_SMTP_COURIER_H

#include <core/mail/envelope.h>
#include <core/mail/message.h>
#include <core/mail/plan.h>
#include <core/net/hop_terms.h>
#include <core/net/jobs.h>
#include <core/net/resolve.h>
#include <core/net/tls.h>

#define COURIER_TEXT 512u /* of a reply as results carry it, with its NUL */

struct buf;

/* Where to, and how. Lives as long as every courier made with it. */
struct courier_target {
	const char *host; /* of a unix socket: "localhost" */
	uint16_t port;
	/* Known already, with ports: not looked up; `address_count` 0: `host` is. */
	const struct address *addresses;
	size_t address_count;
	struct address local;   /* the unix socket; `len` 0: `host` is looked up */
	bool lmtp;              /* RFC 2033: one reply for each recipient after the message */
	bool implicit_tls;      /* RFC 8314 section 3: from the first byte on, and never in clear */
	struct hop_terms terms; /* what the recipient's domain demands; `level` is not below it */
	bool requiretls; /* no letter goes where REQUIRETLS is not offered; `level` is verify */
	enum tls_level level;
	SSL_CTX *tls;             /* NULL at TLS_LEVEL_NONE */
	const char *user;         /* NULL: no AUTH */
	struct pn_slice password; /* a secret */
	/*
	 * Somebody's own server: the name there, NUL and the password come from here when they are
	 * needed, and are wiped; `user` is NULL. 0, or negative: they are not to be had. NULL: as
	 * above.
	 */
	int (*login)(const void *login_of, struct buf *ret);
	const void *login_of;
	size_t refused_count;
	const struct network *refused;   /* nothing is connected to there */
	struct address source4, source6; /* to send from; `len` 0: the system chooses */
	enum address_prefer prefer;
};

enum courier_outcome {
	COURIER_OPEN,      /* not decided yet */
	COURIER_DELIVERED, /* the next hop has taken it */
	COURIER_FAILED,    /* refused for good */
	COURIER_DEFERRED,  /* try again later */
	COURIER_WEAK,      /* the letter's demand is not met; nothing of it was sent */
};

struct courier_result {
	enum courier_outcome outcome;
	uint32_t stage;    /* the courier's own */
	const char *reply; /* "250 2.0.0 queued", in the letter's arena; made here for faults */
};

/* One message for some of its recipients. The owner keeps everything in place until `finished`. */
struct courier_letter {
	const struct mail_envelope *envelope;
	struct mail_bytes *bytes;
	struct arena *arena; /* takes the texts of the results */
	const uint32_t *indices;
	size_t count;
	struct courier_result *results; /* `count` of them, zeroed by the owner */
	/* needs_utf8: for its header fields; what addresses need is seen in them. */
	bool needs_utf8, has_eightbit, binary;
	bool may_convert; /* the owner can make seven bits of it: see `unfit` */
	/*
	 * RFC 8689: goes by a target with `requiretls`, but for one without a return path, which
	 * asks for it where that can be had. `validated`: the DNS could not have named another.
	 */
	bool requiretls, validated;
	/*
	 * The part of `bytes` that is sent, and its return path. What TLS must show before MAIL;
	 * otherwise every result is COURIER_WEAK, with "503 5.7.0 encryption too weak 0 less than
	 * 112" or the like (SPEC T3) as its reply. Looked at for each letter: a next hop may lose
	 * STARTTLS from one connection to the next.
	 */
	size_t offset, len;
	const char *sender; /* NULL: the envelope's */
	struct mail_demand demand;
	/* Set by the courier. */
	const char *remote;   /* "mx.example[192.0.2.1]:25", in the arena */
	struct tls_facts tls; /* of the connection */
	/*
	 * A connection that had been used before broke before the next hop answered anything of
	 * this letter: it had gone away while idle. The owner may try at once on another one.
	 */
	bool stale;
	/*
	 * Nothing was sent, no result set: the next hop lacks 8BITMIME or BINARYMIME, and the owner
	 * may send it again, converted.
	 */
	bool unfit;
	bool relayed;    /* it went to another server, which is not the end of its way */
	bool dsn_passed; /* the next hop took over the duty of RFC 3461 */
};

/* What of the bytes is sent, where all of it is in memory. */
static inline struct pn_slice
courier_letter_body(const struct courier_letter *letter)
{
	return pn_slice(letter->bytes->data + letter->offset, letter->len);
}
/* enum pn_tls_level that a connection of these facts reaches. */
static inline int32_t
courier_level(const struct tls_facts *tls)
{
	return !tls->version   ? PN_TLS_NONE
	       : tls->dane     ? PN_TLS_DANE
	       : tls->sts      ? PN_TLS_STS
	       : tls->verified ? PN_TLS_NAME
	       : tls->trusted  ? PN_TLS_TRUSTED
			       : PN_TLS_ENCRYPTED;
}

/* In the words of demands; points into the facts. */
static inline struct mail_shown
tls_shown(const struct tls_facts *tls)
{
	return (struct mail_shown){
		.bits = tls->bits,
		.level = courier_level(tls),
		.version = tls->protocol,
		.cipher = tls->cipher,
		.key = tls->has_digests ? tls->key : NULL,
		.certificate = tls->has_digests ? tls->certificate : NULL,
	};
}

struct courier;
struct courier_events {
	/* Connected, greeted, secured and authenticated: fit for the first letter. */
	void (*ready)(struct courier *courier);
	/* Results are complete; unless it is ending, the courier may be given the next letter. */
	void (*finished)(struct courier *courier, struct courier_letter *letter);
	/*
	 * Nothing more will come; to be freed now or later. `reason` is NULL after a good end, else
	 * a text as a result's reply: "451 4.4.1 mx.example[192.0.2.1]:25: connection refused".
	 */
	void (*ended)(struct courier *courier, const char *reason);
};

/* How long we wait, in ms: RFC 5321 section 4.5.3.2. */
struct courier_limits {
	int64_t connect, greeting, hello, handshake, mail, rcpt, data, block, final, quit;
};
extern const struct courier_limits courier_limits_standard;

struct courier_parts {
	struct loop *loop;
	struct resolver *resolver;
	struct jobs *jobs; /* reads what has overflowed of letters */
	const struct courier_target *target;
	const struct courier_limits *limits;
	const char *relay_name; /* said in EHLO; copied */
	int64_t idle_ms;        /* QUIT after so long without a letter */
	const struct courier_events *events;
	void *arg;
};

/* Begins to connect. No event is called before it returns. */
int courier_new(const struct courier_parts *parts, struct courier **ret);
/* Breaks the connection off without events; a letter under way stays undecided. */
void courier_free(struct courier **courier);
void *courier_arg(const struct courier *courier);
/* May courier_send() be called? */
bool courier_is_ready(const struct courier *courier);
/*
 * Sends a letter. False: the results are there already, without a word to the next hop (it lacks
 * an extension that the message needs: see `unfit`, or TLS does not show what the letter demands);
 * `finished` is not called.
 */
bool courier_send(struct courier *courier, struct courier_letter *letter);
/* True after an end for want of something on this machine: descriptors, ports, memory. */
bool courier_is_local_fault(const struct courier *courier);
/* True after an end for want of verified TLS, or of REQUIRETLS, where the target asks for that. */
bool courier_is_unprotected(const struct courier *courier);
/*
 * True after an end where no address that was tried has said a byte; one that took the connection
 * had its full time for that.
 */
bool courier_is_unheard(const struct courier *courier);
/*
 * True after an end of somebody's own server that another attempt will hardly change: it wants
 * nothing of the login, or all its addresses are refused ones.
 */
bool courier_is_turned_away(const struct courier *courier);
/* Not `ready` yet and not worth waiting for: `ended` is called soon, with that reason. */
void courier_abandon(struct courier *courier, const char *why);
/* Says QUIT once no letter is under way, then `ended`. */
void courier_quit(struct courier *courier);
/* Everyone of the letter without a result gets this one; `text` is copied. */
void courier_settle_open(
    struct courier_letter *letter, enum courier_outcome outcome, const char *text);
/* Of the connection as it is now. */
const struct tls_facts *courier_tls(const struct courier *courier);
/* For who looks closer; NULL in clear. */
const SSL *courier_ssl(const struct courier *courier);
/* "mx.example[192.0.2.1]:25" */
const char *courier_remote(const struct courier *courier);
/*
 * What of TLS has failed on the way to `ready`, in the words of RFC 8460 section 4.3; NULL:
 * nothing, or nothing came as far as that. Also where it went on in clear.
 */
const char *courier_tls_fault(const struct courier *courier);
/* Addresses of both ends of its last connection, without ports; "": there was none. */
void courier_ends(
    const struct courier *courier, char ret_own[ADDRESS_TEXT], char ret_peer[ADDRESS_TEXT]);
/* Letters sent on this connection so far, that under way included. */
uint32_t courier_letters(const struct courier *courier);

#endif
