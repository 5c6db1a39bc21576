/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn.h - a transaction as policy sees it: the opaque `struct pn_txn` of the module contract.
 *
 * Owned by its session, on whichever thread owns the session; lent to a hook while it runs. Counted
 * by reference because an abandoned hook may outlive it.
 */
#ifndef CORE_POLICY_TXN_H
#define CORE_POLICY_TXN_H

#include <core/mail/envelope.h>
#include <core/mail/facts.h>
#include <core/mail/message.h>
#include <core/mail/part.h>
#include <core/policy/generation.h>
#include <core/policy/reading.h>
#include <core/queue/item.h>

/* One verdict of one entry, kept for the trace. */
struct trace_line {
	const char *entry;
	int32_t stage;
	const char *recipient; /* NULL: not about one */
	const char *verdict;   /* "pass", "reject" ...; static */
	const char *reason;    /* NULL: none */
	const char *scope;     /* whose overrides held, NULL: nobody's */
};

struct plans;
struct plan_group;

struct pn_txn {
	uint32_t references; /* atomic: its owner, a hook that was left behind, forks of it */
	struct pn_txn
	    *before; /* held: what this one was forked from, whose memory it goes on using */
	struct arena arena;
	struct generation *generation; /* held */
	char id[ITEM_ID_SIZE];         /* "" before MAIL */
	struct mail_facts facts;       /* strings belong to the session, which outlives us */
	struct mail_envelope envelope;
	size_t recipient_limit, message_limit; /* 0: none */

	struct mail_bytes *original; /* held; NULL before the message is in hand */
	struct mail_bytes *view;     /* held; the original until something is edited */
	struct mail_header header;   /* of the view */
	struct reading *reading;     /* of the two, for hooks; own */
	uint64_t fingerprint;        /* crash.h; 0: not asked for yet */
	struct mail_parts *parts;    /* held; of the view, once a hook has asked */
	size_t size;     /* of the message where only the spool has its bytes (view is NULL) */
	int64_t hook_ms; /* spent in hooks since MAIL: the chain has one deadline for them all */

	size_t tag_count;
	const char **tags;
	size_t effect_count;
	struct item_effect *effects;
	size_t effect_bytes;

	/* whose mail it is, once anybody asked, and the sender that this was found for */
	struct config_scope *scope;
	const char *scope_sender;

	struct trace_line *trace;
	size_t trace_count, trace_capacity;

	struct mail_want want;     /* of every recipient; his own stands in the envelope */
	bool somebody_wants;       /* protection was asked for, whoever opted out since */
	uint32_t plan_number;      /* 0 and 1: the first plans; greater: chosen again, for: */
	const char *replan_reason; /* NULL: none */
	struct plans *plans;       /* behind the message stage, where anything is to be planned */

	/* subject of the running stage */
	int32_t recipient;  /* index, -1: none */
	size_t first;       /* entry at which the stage begins */
	size_t early_trace; /* lines before a provisional selection */
	bool provisional;   /* PN_STAGE_SELECT before the message is known: nothing stands */
	const struct plan_group *group; /* of PN_STAGE_PROTECT and PN_STAGE_SEAL; NULL: none */
	const struct pn_outcome *outcome;
	/* AUTH */
	const char *mechanism;
	struct pn_slice response;
	struct pn_slice binding; /* of the connection, where the mechanism wants it; else empty */
	void *kept;
	void (*drop)(void *kept);
	size_t challenger; /* 1 + index of the entry that challenged and goes on; 0: none */
	struct buf offers; /* mechanisms offered at the last HELO, separated by blanks */
};

struct pn_txn *txn_new(struct generation *generation, const struct mail_facts *facts);
/* Gives a reference back. */
void txn_free(struct pn_txn **txn);
/*
 * The same transaction once more, for its owner to go on with while a hook goes on reading the old
 * one, which nobody changes from then on. Rows that are changed in place are copied, all other
 * memory stays that of the old one. What an AUTH hook kept, and the parts, stay there.
 */
struct pn_txn *txn_fork(struct pn_txn *txn);
/* MAIL begins: a fresh id. */
void txn_begin(struct pn_txn *txn);
/*
 * RSET, after a message, after EHLO: everything of the transaction goes, session facts and the
 * mechanisms offered stay. The newest generation is taken (SPEC P5).
 */
void txn_reset(struct pn_txn *txn, struct generation *newest);
/*
 * The whole message is in hand; takes the reference, also on failure. -E2BIG: too many header
 * fields.
 */
int txn_set_message(struct pn_txn *txn, struct mail_bytes *bytes, size_t most_fields);
/* Core's own edits (trace header, fixups): after the message stage. */
int txn_apply(struct pn_txn *txn, const struct mail_edits *edits);
/*
 * The accepted message as an item, its recipients prepared: facts, envelope, tags and effects are
 * copied, the bytes held, so the session may reset at once.
 */
struct item *txn_to_item(struct pn_txn *txn);
/* An accepted item as its committed hooks see it; everything is copied or held. */
struct pn_txn *txn_of_item(
    struct generation *generation, const struct item *item, struct mail_bytes *bytes);
/* Ends an AUTH exchange: calls `drop`, forgets mechanism and response. */
void txn_auth_end(struct pn_txn *txn);
/* What an entry kept of an exchange goes, once it is no longer that entry's. */
void txn_drop_kept(struct pn_txn *txn);

#endif
