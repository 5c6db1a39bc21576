/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.h - how each recipient's copy leaves: wanting protection, choosing a method, providing it,
 * sealing the result, and hearing what became of it.
 *
 * The way of a message behind PN_STAGE_MESSAGE:
 *
 *	PN_STAGE_SELECT   once per recipient for whom protection is wanted: the first entry that
 *	                  answers pn_choose() has chosen. Choosing is policy, applying is not.
 *	PN_STAGE_PROTECT  once per group of recipients with the same method, and for each Bcc
 *	                  recipient alone: the provider of that method writes the group's message.
 *	PN_STAGE_SEAL     once per rendering, also for what the relay itself writes: headers only.
 *	                  Eight-bit and binary parts have been made 7-bit safe before, so that
 *	                  nothing changes behind a seal; what could not be (signed parts, fields in
 *	                  UTF-8) is as it came, and goes to no next hop that cannot take it.
 *	PN_STAGE_OUTCOME  each delivery attempt's result, per recipient.
 *
 * A plan is (id, recipient, plan number). Where TLS that a plan counts on is not to be had at
 * delivery, the queue asks again from the next PN_STAGE_SELECT entry on, with a greater number:
 * PN_STAGE_SELECT and PN_STAGE_PROTECT hooks run then without a session, on the facts of the spool.
 *
 * Lifetime and threads as in txn.h. Changing calls: 0; -EINVAL at another stage or for a bad
 * argument; -EPERM where the module's flags do not allow it; -ECANCELED as everywhere.
 */
#ifndef POSTERN_PLAN_H
#define POSTERN_PLAN_H

#include <postern/base.h>
#include <postern/settings.h>
#include <postern/verdict.h>

struct pn_call;
struct pn_txn;

/* ---- wanting and demanding ------------------------------------------------------------------- */

/*
 * Protection is wanted: at PN_STAGE_SENDER and PN_STAGE_MESSAGE for every recipient, at
 * PN_STAGE_RECIPIENT for the subject. `why` goes to the trace and the log ("rule health record").
 * The module says PN_WANTS in its flags, else -EPERM.
 */
PN_PUBLIC int pn_want_protection(struct pn_call *call, const char *why);
/*
 * The sender has opted this message (or, at PN_STAGE_RECIPIENT, this recipient) out. It silences
 * what was wanted at the same and at earlier stages.
 * Whether the sender may is the caller's to know.
 */
PN_PUBLIC int pn_opt_out(struct pn_call *call, const char *why);
/* Of the subject recipient where there is one, else of any. */
PN_PUBLIC bool pn_txn_protection_wanted(const struct pn_txn *txn);
PN_PUBLIC bool pn_txn_opted_out(const struct pn_txn *txn);

/* What TLS to the next hop must show. Each level includes the ones above it. */
enum pn_tls_level {
	PN_TLS_NONE = 0,      /* no demand */
	PN_TLS_ENCRYPTED = 1, /* any certificate */
	PN_TLS_TRUSTED = 2,   /* a chain to a trusted root */
	PN_TLS_NAME = 3,      /* and the name of the next hop in the certificate */
	/*
	 * since ABI 6: and the recipient's domain says itself that this is its next hop, by an
	 * enforced policy (MTA-STS, RFC 8461), or by what is stronger:
	 */
	PN_TLS_STS = 4,
	/* since ABI 6: by the certificate's key in the DNS, signed (DANE, RFC 7672). */
	PN_TLS_DANE = 5,
};
/*
 * since ABI 5: added to a level. Where the demand is not met and nothing else is to be tried, the
 * mail is deferred (403 4.7.0) until it is too old, instead of failing at once (503 5.7.0).
 */
#define PN_TLS_WAIT 0x100
/*
 * A demand on the subject's delivery, whether or not protection is wanted: at least `bits` (0, 112,
 * 128, 256) and `level`, or it is not delivered there. Demands add up: the strongest of each
 * counts, and PN_TLS_WAIT only where all of them say so; bits without a level demand
 * PN_TLS_ENCRYPTED. At PN_STAGE_RECIPIENT and PN_STAGE_SELECT.
 */
PN_PUBLIC int pn_demand_tls(struct pn_call *call, int bits, enum pn_tls_level level);

#define PN_TLS_1_2 0x0303
#define PN_TLS_1_3 0x0304
/* since ABI 6. Zeroed but for what is demanded; it only grows. */
struct pn_tls_terms {
	uint32_t size;   /* sizeof(struct pn_tls_terms) */
	int32_t bits;    /* 0, 112, 128, 256 */
	int32_t level;   /* enum pn_tls_level, with PN_TLS_WAIT or without */
	int32_t version; /* at least: PN_TLS_1_2, PN_TLS_1_3; 0: any */
	/*
	 * The connection has one of these, by OpenSSL's names, as logs have them:
	 * "TLS_AES_256_GCM_SHA384". Empty: any.
	 */
	struct pn_strings ciphers;
	/*
	 * The next hop's own certificate has one of these keys, "sha256/" and the digest of the
	 * SubjectPublicKeyInfo, or is one of these certificates: "cert-sha256/". Digests are in
	 * base64 or hexadecimal, with colons or without. Empty: any.
	 */
	struct pn_strings pins;
};
#define PN_TLS_TERMS_MOST 32u /* ciphers, and pins, of one demand */
/*
 * The same with more to demand; adding up, each of several lists counts. Anything demanded but
 * waiting demands PN_TLS_ENCRYPTED. -EINVAL: what pn_tls_terms_check() tells.
 */
PN_PUBLIC int pn_demand_tls_terms(struct pn_call *call, const struct pn_tls_terms *terms);
/* since ABI 6. Is that a demand? For a module's check; 0 or -EINVAL. */
PN_PUBLIC int pn_tls_terms_check(const struct pn_tls_terms *terms, struct pn_error *err);

/* ---- PN_STAGE_SELECT ------------------------------------------------------------------------- */

/*
 * Chooses `method` for the subject: "tls" and "none" are the core's, others are registered by
 * providers. `choice` (8 KiB at most, copied) is for the method's provider, as a certificate or the
 * name of a key; that of "tls" may be PN_CHOICE_EXCLUSIVE (since ABI 5): where TLS is not to be
 * had, nobody is asked again. An unknown method is a fault. `format`: why, for trace, log and
 * reports.
 */
#define PN_CHOICE_EXCLUSIVE "exclusive"
PN_PUBLIC struct pn_verdict pn_choose(struct pn_call *call, const char *method,
    struct pn_slice choice, const char *format, ...) PN_PRINTF(4, 5);
/*
 * since ABI 6. Whether an entry of the pipeline provides the method, so that choosing it is no
 * fault. In commands, too.
 */
PN_PUBLIC bool pn_method_provided(const struct pn_call *call, const char *method);
/*
 * True while the message is not known: at RCPT, where protection is wanted already, selection runs
 * to refuse early; nothing it chooses stands. pn_pass() means "not by me, as far as I can see now".
 */
PN_PUBLIC bool pn_txn_is_provisional(const struct pn_txn *txn);
/* 1 for the first plan of a recipient; greater: chosen again, for this reason (else NULL). */
PN_PUBLIC int pn_txn_plan_number(const struct pn_txn *txn);
PN_PUBLIC const char *pn_txn_replan_reason(const struct pn_txn *txn);
/*
 * What the last session with the subject's next hop showed: bits of TLS, 0 for a next hop that
 * offered none, -ENOENT where none was seen yet. Memory only; nothing is probed.
 */
PN_PUBLIC int pn_recipient_tls_bits(const struct pn_call *call);

/* ---- PN_STAGE_PROTECT: providers --------------------------------------------------------------
 */

/* A provider renders one message for each recipient instead of one for the group. */
#define PN_ONE_PER_RECIPIENT 0x01u

struct pn_provider {
	const char *method; /* [a-z0-9-], 32 at most; NULL ends the table */
	uint32_t flags;
	uint32_t reserved;
	/*
	 * pn_pass() behind pn_render_*(); any refusal or fault: this group is not served. What is
	 * wrong with one member alone is for pn_group_refuse().
	 */
	struct pn_verdict (*render)(struct pn_call *call, struct pn_txn *txn);
};

PN_PUBLIC size_t pn_group_count(const struct pn_txn *txn);
/* `index` below the count, else NULL. */
PN_PUBLIC const char *pn_group_recipient(const struct pn_txn *txn, size_t index);
/*
 * Counts the groups of a message that providers render, from 1; 0 for the one that "none" and "tls"
 * share. Effects that a provider stages for a group need it in their names. At PN_STAGE_SEAL, too,
 * the group is that of the rendering.
 */
PN_PUBLIC size_t pn_group_number(const struct pn_txn *txn);
PN_PUBLIC const char *pn_group_method(const struct pn_txn *txn);
/*
 * since ABI 6. In a provider: this member cannot be served by it (a key that is of no use), the
 * others are: the rendering is then for those who are left. For the refused one, selection goes on
 * behind the entry that chose. A provider that refuses all of them renders nothing and passes.
 * `format`: why, in words, for the trace, the log and reports. -EINVAL: no such member.
 */
PN_PUBLIC int pn_group_refuse(struct pn_call *call, size_t index, const char *format, ...)
    PN_PRINTF(3, 4);
/* What pn_choose() was given for it. */
PN_PUBLIC struct pn_slice pn_group_choice(const struct pn_txn *txn, size_t index);

/*
 * Writes the rendering, a whole message, piece by piece: header fields, then body. pn_txn_bytes()
 * is the one clear original of every group. CRLF only; what is written is copied.
 *
 * Copies the original's fields but those named in `less` (NULL-ended, without case; NULL: all).
 */
PN_PUBLIC int pn_render_copy_header(struct pn_call *call, const char *const *less);
PN_PUBLIC int pn_render_header(struct pn_call *call, const char *name, const char *value);
/* The first call ends the header with its empty line. */
PN_PUBLIC int pn_render_body(struct pn_call *call, struct pn_slice bytes);
/* The return path of this rendering instead of the envelope's; "" for null. */
PN_PUBLIC int pn_render_sender(struct pn_call *call, const char *address);

/* ---- PN_STAGE_OUTCOME ------------------------------------------------------------------------ */

enum pn_fate {
	PN_FATE_DELIVERED, /* the next hop has taken it */
	PN_FATE_DEFERRED,  /* to be tried again */
	PN_FATE_FAILED,    /* for good; the sender hears of it */
	PN_FATE_REPLANNED, /* TLS was not to be had: the next plan takes over */
};

/* One recipient's result of one attempt. Valid until the hook returns; it only grows. */
struct pn_outcome {
	uint32_t size; /* of the struct, as the relay knows it */
	int32_t fate;  /* enum pn_fate */
	const char *recipient;
	const char *method;   /* "none", "opt-out", "tls", "smime" ... */
	const char *reply;    /* "250 2.0.0 queued", or what the relay says in its place */
	const char *next_hop; /* "mx.example[192.0.2.1]:25"; NULL: none was reached */
	const char *tls_version, *tls_cipher; /* NULL: in clear */
	int32_t tls_bits;
	int32_t tls_level; /* enum pn_tls_level that was reached */
	uint32_t attempt, plan;
	int64_t at_us; /* microseconds since 1970 */
};
/* NULL at other stages. A crash may repeat an outcome, or lose those that no hook has heard of yet.
 */
PN_PUBLIC const struct pn_outcome *pn_txn_outcome(const struct pn_txn *txn);

#endif
