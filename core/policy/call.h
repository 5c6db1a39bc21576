/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.h - the opaque `struct pn_call` of the module contract: one call of one hook.
 *
 * Whatever the hook wants to change is staged here, in the call's own arena, and reaches the
 * transaction in call_apply() or not at all. So a hook that is abandoned later can go on with a
 * call that nobody looks at any more.
 */
#ifndef CORE_POLICY_CALL_H
#define CORE_POLICY_CALL_H

#include <core/policy/effective.h>
#include <core/policy/provider.h>
#include <core/policy/txn.h>

#define CALL_EFFECTS_MOST (64u * 1024) /* bytes per message */
#define CALL_TAGS_MOST    100
#define CALL_TEXT_MOST    400 /* of a text to the client: a reply line has 512 octets */

enum verdict_kind {
	VERDICT_NONE, /* what no constructor makes */
	VERDICT_PASS,
	VERDICT_REJECT,
	VERDICT_DEFER,
	VERDICT_DISCARD,
	VERDICT_FAULT,
	VERDICT_NOT_QUICK,
	VERDICT_CHALLENGE,
	VERDICT_IDENTIFIED,
	VERDICT_CHOOSE,
	VERDICT_HOLD
};

struct call_words {
	const char **items;
	size_t count, capacity;
};

struct pn_call {
	const struct chain_entry *entry;
	const struct generation *generation;
	struct effective *effective; /* held; NULL: the entry's own settings */
	struct effective *asked;     /* held: pn_settings_for(); NULL: none */
	struct pn_txn *txn;          /* NULL outside hooks: start, commands */
	int32_t stage;               /* PN_STAGE_END outside hooks */
	bool may_block;
	int64_t due_ms; /* monotonic */
	/*
	 * Of a command: what the audit log says of its next change to the database; NULL behind
	 * one, until the command says what the next is, and for everything else.
	 */
	struct audit_row *audit, *audited;
	struct arena arena;
	struct mail_parts *parts; /* held: what the hook got from pn_parts() stays readable */
	struct mail_bytes *seven; /* held: the message as pn_message_7bit() gave it */

	/* the last verdict that was made; `serial` tells it from those made before it */
	int32_t kind, serial;
	int code;
	const char *enhanced, *text;
	bool starved; /* the message was too large for the memory there is */
	bool refused; /* a fault that on_fault has no say in: for now, whatever it is */
	struct pn_slice challenge;
	struct provided chosen; /* PN_STAGE_SELECT */
	struct pn_slice choice;
	int64_t hold_ms; /* of VERDICT_HOLD */
	enum pn_hold_end hold_end;

	/* staged */
	struct mail_edits edits;
	bool body_begun;                /* of a message that came without one */
	const char *sender, *recipient; /* NULL: as it is */
	const char *user_relay;         /* the address; NULL: not said */
	struct call_words added, removed, tags, offers;
	struct item_effect *effects;
	size_t effect_count, effect_capacity;
	struct mail_want want; /* stages, as in a recipient's */
	struct mail_demand demand;
	struct mail_bytes *rendered; /* PN_STAGE_PROTECT; held */
	bool rendered_body;
	const char *rendered_sender; /* NULL: the envelope's */
	const char **declined;       /* for each member: why it is refused; NULL: nobody is */
	size_t declined_count;
	bool keep;
	void *kept;
	void (*drop)(void *kept);
};

/* Whoever knows since when its turn is sets `due_ms`; until then there is no end to it. */
void call_begin(struct pn_call *call, const struct generation *generation,
    const struct chain_entry *entry, struct pn_txn *txn, int32_t stage, bool may_block);
/* What was staged becomes the transaction's: all of it, or on an error nothing. */
int call_apply(struct pn_call *call);
void call_end(struct pn_call *call);
/* Its transaction was taken away: nothing of what was staged stands. */
void call_drop(struct pn_call *call);

/* By when a call whose turn came then has to have answered: its own time, the stage's, the chain's.
 */
int64_t call_due(
    const struct chain_entry *entry, const struct pn_txn *txn, int32_t stage, int64_t began_ms);

bool call_overdue(const struct pn_call *call);
#define CALL_AT(stage) (1u << (stage))
/* 0 if the call may change something at one of these stages; -EINVAL, -ECANCELED. */
int call_may_change(const struct pn_call *call, unsigned stages);
/* The same for the message or the envelope; also -EPERM. */
int call_may_edit(const struct pn_call *call, unsigned stages);

/* Keeps a copy of the word. */
void call_words_add(struct call_words *words, struct arena *arena, const char *word);
bool call_words_have(const struct call_words *words, const char *word);
/* [a-z0-9-], 1 to `most` characters. */
bool call_name_valid(const char *name, size_t most);

/* The effect that an entry has staged in a transaction, or NULL. */
struct item_effect *call_effect_find(
    struct item_effect *effects, size_t count, const char *entry, const char *name);

#endif
