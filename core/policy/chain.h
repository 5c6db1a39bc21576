/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain.h - runs the hooks of a stage, entry by entry, and says what came of it.
 *
 * A stage whose hooks are all quick runs on the loop, inside the call. When the next hook may block
 * and `may_block` is false, chain_run returns CHAIN_HOP: whoever owns the transaction takes it to a
 * policy thread (away.h) and calls chain_run again with the same `run`, which goes on where it
 * stopped. There the transaction may be taken away from a hook that does not return in time.
 */
#ifndef CORE_POLICY_CHAIN_H
#define CORE_POLICY_CHAIN_H

#include <core/policy/guard.h>
#include <core/policy/provider.h>
#include <core/policy/txn.h>
#include <postern/module.h>

enum ruling_kind {
	RULING_PASS,
	RULING_REJECT,     /* code and enhanced are 5xx */
	RULING_DEFER,      /* 4xx */
	RULING_DISCARD,    /* message stage */
	RULING_CHALLENGE,  /* auth */
	RULING_IDENTIFIED, /* auth */
	RULING_CHOSEN,     /* select */
	RULING_HOLD        /* message stage */
};

struct ruling {
	enum ruling_kind kind;
	int code;
	const char *enhanced; /* "5.7.1" */
	const char *text;     /* to the client, or the user identified; in the txn's arena */
	const char *entry;    /* who said so; NULL for pass */
	struct pn_slice challenge;
	struct provided chosen;
	struct pn_slice choice;
	int64_t hold_ms; /* 0: no end */
	enum pn_hold_end hold_end;
};

/*
 * Where a stage's run stands; all zero but the guard begins. The rest is what a refusal puts back:
 * edits, tags and effects of the entries that had passed fall with the stage.
 */
struct chain_run {
	size_t next;
	bool hop; /* a quick hook asked for a thread, or there was no slot */
	bool begun;
	struct guard *guard; /* of the stay on a policy thread, over several stages; NULL: none */
	const char *late;    /* why the next entry is not run: it had its time */
	int64_t began_ms; /* since when the next entry has been waiting; 0: its turn begins now */
	unsigned faults;
	bool prepared, converted; /* the rendering that is sealed: seal.h */
	const char *sender;
	size_t recipients, tags, effects, effect_bytes;
	struct item_effect *effect_rows;
};

enum chain_step {
	CHAIN_DONE,
	CHAIN_HOP,
	CHAIN_GONE /* run and txn were taken away: touch neither again */
};

enum chain_step chain_run(struct chain_run *run, struct pn_txn *txn, enum pn_stage stage,
    bool may_block, struct ruling *ret);

/* After CHAIN_HOP: the entry whose turn it is, and by when it has to have answered. */
const struct chain_entry *chain_entry_next(const struct chain_run *run, const struct pn_txn *txn);
int64_t chain_due(const struct chain_run *run, const struct pn_txn *txn, enum pn_stage stage);
/* Puts back what the run has done to the envelope, to tags and effects: it was refused after all.
 */
void chain_undo(const struct chain_run *run, struct pn_txn *txn);

/* True if any entry has a hook there: nothing to do otherwise. */
bool chain_has(const struct generation *generation, enum pn_stage stage);

/* "auth identified a@b; stamp pass" - for the log and `posternctl trace`; in the txn's arena. */
const char *chain_trace_text(struct pn_txn *txn);

#endif
