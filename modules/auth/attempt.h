/* SPDX-License-Identifier: Apache-2.0 */
/* attempt.h - one attempt to log in: what auth.c, login.c and scram_round.c share. */
#ifndef MODULES_AUTH_ATTEMPT_H
#define MODULES_AUTH_ATTEMPT_H

#include "auth.h"

/* What was said, and by whom. */
struct attempt {
	struct pn_call *call;
	struct pn_txn *txn;
	const struct auth *cfg;
	struct auth_state *state;
	const struct sasl_exchange *said;
	struct throttle_client client;
	struct cache_key key;
	int64_t now, patience; /* ms: since when, and how long its call may take */
};

/* Milliseconds of a clock that never goes back. */
int64_t auth_now(void);

/* 535, whatever the reason, which is for the log; it counts as a wrong password. */
struct pn_verdict attempt_refuse(const struct attempt *attempt, const char *reason);
/* The same without an answer: it counts as a wrong password. */
void attempt_count(const struct attempt *attempt);
struct pn_verdict attempt_accept(const struct attempt *attempt, const char *user);
/* Too many wrong passwords: then attempt_put_off(), 454. */
bool attempt_blocked(const struct attempt *attempt);
struct pn_verdict attempt_put_off(const struct attempt *attempt);
/* Nobody may act for somebody else. */
bool attempt_for_another(const struct attempt *attempt);

/* login.c: a name and a password. */
struct pn_verdict login_decide(const struct attempt *attempt);

/* Whether this client was offered SCRAM bound to its connection. */
bool attempt_offers_plus(const struct attempt *attempt);

/* scram_round.c: the next message of an exchange by SCRAM. */
struct pn_verdict scram_round(struct attempt *attempt, struct sasl_exchange *exchange);

#endif
