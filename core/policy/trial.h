/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trial.h - a message through the chain to see what would become of it: nothing is sent, written or
 * committed. For a generation that was built with `trial`.
 */
#ifndef CORE_POLICY_TRIAL_H
#define CORE_POLICY_TRIAL_H

#include <core/policy/plans.h>

struct trial_ask {
	struct mail_facts facts;
	const char *sender;
	const char *const *recipients;
	size_t count;
	struct pn_slice message; /* as it would have been stored */
	int fault;               /* of reading it, as dot_scanner_fault() says; 0: none */
	const struct config_listener *listener; /* by which it comes in */
};

struct trial_recipient {
	const char *address;   /* as it was asked for */
	struct ruling refused; /* at RCPT; RULING_PASS: not */
};

struct trial {
	struct pn_txn *txn; /* with its trace; NULL after trial_free() */
	struct trial_recipient *recipients;
	size_t count;
	/* what the client would have been told at `stage`: the refusal, or 250 after the message */
	enum pn_stage stage;
	struct ruling reply;
	bool discarded, held;
	struct item *item; /* what would be in the queue; NULL: nothing */
};

/*
 * Blocks. The core's limits answer as those of a session do; who may connect, log in and relay is
 * not asked. 0; -ENOMEM.
 */
int trial_run(struct generation *generation, const struct trial_ask *ask, struct trial *ret);
void trial_free(struct trial *trial);

#endif
