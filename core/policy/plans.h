/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plans.h - from a message that policy has passed to a rendering for every recipient: who chooses
 * for whom, who applies it, what is sealed.
 *
 * A state machine over chain_run(): it says which stage is to be asked next and takes the ruling,
 * so whoever owns the transaction runs the hooks as those of any stage, on a loop or on a thread:
 *
 *	plans_begin(txn, how);
 *	while (plans_next(txn, &stage, &refused) == PLANS_ASK) {
 *		... chain_run(&run, txn, stage, may_block, &ruling) until CHAIN_DONE
 *		plans_take(txn, &run, &ruling);
 *	}
 *
 * Belongs to its transaction and lives in its arena. Mail for which nobody wants protection, where
 * nothing seals, has no plans at all.
 */
#ifndef CORE_POLICY_PLANS_H
#define CORE_POLICY_PLANS_H

#include <core/mail/fixups.h>
#include <core/mail/label.h>
#include <core/policy/chain.h>

enum plans_step {
	PLANS_ASK,    /* run `stage` */
	PLANS_DONE,   /* the transaction is ready to become an item */
	PLANS_REFUSED /* `refused` is the reply */
};

/* How one recipient is served. */
enum plan_state {
	PLAN_OPEN,     /* selection is to go on for him at entry `from` */
	PLAN_CHOSEN,   /* a provider is to render */
	PLAN_RENDERED, /* by a provider */
	PLAN_CLEAR,    /* by the core: the clear rendering */
	PLAN_UNSERVED  /* by nobody */
};
struct plan {
	enum plan_state state;
	size_t from;
	struct provided by;
	struct pn_slice choice;
	struct mail_demand own; /* demanded before anybody chose */
	struct mail_plan made;
	struct ruling refused; /* UNSERVED: the reply */
	bool faulted;          /* somebody who might have served him could not decide */
};

/* Recipients who share a rendering. */
struct plan_group {
	struct provided by;
	size_t number; /* of the transaction's providers' groups, from 1; 0: the clear one */
	size_t count;
	uint32_t *members;        /* indices of recipients, in their order */
	struct mail_bytes *bytes; /* held; NULL before it is rendered */
	const char *sender;       /* return path; NULL: the envelope's */
	bool failed;              /* nobody of it is served by this */
	bool converted;           /* to seven bits, before it was sealed */
};

enum plans_phase { PLANS_SELECTING, PLANS_PROTECTING, PLANS_SEALING, PLANS_READY };

struct plans {
	enum plans_phase phase;
	size_t at; /* recipient or group under way */
	size_t count;
	struct plan *of; /* of each recipient */
	size_t group_count, group_capacity, rendered_from;
	struct plan_group *groups;
	struct plan_group clear[MAIL_LABEL_COUNT]; /* those whom no provider serves */
	struct mail_fixups fixups;
	bool replan;             /* the view has its trace header already */
	bool finished;           /* the view has all that a rendering gets, but for seals */
	struct mail_bytes *view; /* the clear original, put back at the end; held */
	struct ruling refused;   /* .kind RULING_PASS: not */
	/* the renderings of the item, in their order */
	size_t rendering_count;
	struct plan_group **renderings;
	struct mail_bytes *joined; /* all of them; held; NULL before plans_join() */
};

/*
 * The message stage has passed: does what `how` says to the clear original (RFC 6409, SPEC R10) and
 * prepares the plans. 0; -ENOMEM and the like.
 */
int plans_begin(struct pn_txn *txn, const struct mail_fixups *how);
/*
 * The same for recipients who are planned again: each of the envelope, from the entry `from[i]` on.
 * The view is a clear rendering; its label and its seals, which stand above its trace header, are
 * taken off, since those of the next ones are their own.
 */
int plans_begin_again(struct pn_txn *txn, const size_t *from);
/* Seals alone: what the relay has written itself. */
void plans_begin_seal(struct pn_txn *txn);
enum plans_step plans_next(struct pn_txn *txn, enum pn_stage *ret_stage, struct ruling *refused);
/* The stage that plans_next() named has ended. */
void plans_take(struct pn_txn *txn, const struct chain_run *run, const struct ruling *ruling);
/* For a fork of the transaction: rows of its own, in its arena. */
/*
 * After PLANS_DONE: the renderings one behind the other, once. Blocks where they are large, so it
 * is for the thread that has run the hooks. 0; -ENOMEM, -ENOSPC and the like.
 */
int plans_join(struct pn_txn *txn);
void plans_fork(const struct pn_txn *txn, struct pn_txn *fork);
/* Lets the renderings go. */
void plans_drop(struct plans *plans);
/* All stages at once, on a thread that may block. */
enum plans_step plans_run(struct pn_txn *txn, struct ruling *refused);

/*
 * At RCPT, the recipient stage having passed for the subject: true where selection is to run now
 * (PN_STAGE_SELECT with the same `run`), then plans_early_take(). Otherwise `ret` is the answer: a
 * pass, or the refusal of whom nobody could serve.
 */
bool plans_early(struct pn_txn *txn, struct chain_run *run, struct ruling *ret);
/* Makes the ruling of that selection the answer to RCPT. */
void plans_early_take(struct pn_txn *txn, const struct chain_run *run, struct ruling *ruling);

/* Protection is wanted for this recipient, and nobody has opted out since. */
bool want_protection(const struct pn_txn *txn, size_t index);
bool want_opted_out(const struct pn_txn *txn, size_t index);

/* ---- protect.c ---- */
/* Groups of the recipients who are PLAN_CHOSEN, added to those there are. */
void protect_group(struct pn_txn *txn);
/* The hook of PN_STAGE_PROTECT: calls the group's provider. */
struct pn_verdict protect_render(struct pn_call *call, struct pn_txn *txn);
/* The entry whose provider the running group needs. */
const struct chain_entry *plan_group_entry(const struct pn_txn *txn);
/* What the call has written becomes the group's rendering. */
int protect_apply(struct pn_call *call);

#endif
