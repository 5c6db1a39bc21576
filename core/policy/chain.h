/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain.h - runs the hooks of a stage, entry by entry, and says what came of it.
 *
 * A stage whose hooks are all quick runs on the loop, inside the call. When the next hook may block
 * and `may_block` is false, chain_run returns CHAIN_HOP: whoever owns the session takes it to a
 * policy thread and calls chain_run again with the same `run`, which goes on where it stopped.
 */
#ifndef CORE_POLICY_CHAIN_H
#define CORE_POLICY_CHAIN_H

#include <core/policy/txn.h>
#include <postern/module.h>

enum ruling_kind {
	RULING_PASS,
	RULING_REJECT,    /* code and enhanced are 5xx */
	RULING_DEFER,     /* 4xx */
	RULING_DISCARD,   /* message stage */
	RULING_CHALLENGE, /* auth */
	RULING_IDENTIFIED /* auth */
};

struct ruling {
	enum ruling_kind kind;
	int code;
	const char *enhanced; /* "5.7.1" */
	const char *text;     /* to the client, or the user identified; in the txn's arena */
	const char *entry;    /* who said so; NULL for pass */
	struct pn_slice challenge;
};

/*
 * Where a stage's run stands; all zero begins. The rest is what a refusal puts back: edits, tags
 * and effects of the entries that had passed fall with the stage.
 */
struct chain_run {
	size_t next;
	bool hop; /* a quick hook asked for a thread */
	bool begun;
	unsigned faults;
	const char *sender;
	size_t recipients, tags, effects, effect_bytes;
	struct item_effect *effect_rows;
};

enum chain_step { CHAIN_DONE, CHAIN_HOP };

enum chain_step chain_run(struct chain_run *run, struct pn_txn *txn, enum pn_stage stage,
    bool may_block, struct ruling *ret);

/* True if any entry has a hook there: nothing to do otherwise. */
bool chain_has(const struct generation *generation, enum pn_stage stage);

/*
 * Committed hooks for an accepted item, on a policy thread; 0 when all passed, -EAGAIN: again
 * later. `bytes` are the message's, held by the caller, or NULL where they are not in memory (after
 * a restart). Meanwhile the item's facts, envelope and effects must not change; its recipients'
 * states may.
 */
int chain_committed(
    struct generation *generation, const struct item *item, struct mail_bytes *bytes);

/* "auth identified a@b; stamp pass" - for the log and `posternctl trace`; in the txn's arena. */
const char *chain_trace_text(struct pn_txn *txn);

#endif
