/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scram_round.c - the rounds of an exchange by SCRAM-SHA-256.
 *
 * Called by auth.c for each message of the client. All of them run on a policy thread: the first
 * asks the database. Must never show the server's own proof to somebody who is then refused, nor
 * let anybody see whether there is a user of some name, or one with keys.
 */
#include "attempt.h"
#include <errno.h>

#define PUT_OFF (-EBUSY)

/* What a round knows while the library asks for keys. */
struct asking {
	struct attempt *attempt;
	struct sasl_exchange *exchange;
	struct pn_error err;
};

static int
find_keys(void *arg, const char *name, struct scram_keys *ret)
{
	struct asking *asking = arg;
	struct attempt *attempt = asking->attempt;
	struct scram_user *known = &asking->exchange->known;
	int r;

	if (attempt_blocked(attempt))
		return PUT_OFF;
	r = scram_find(attempt->call, &attempt->state->scram_secret, name, known, &asking->err);
	*ret = known->keys;
	return r < 0 ? -EIO : 0;
}

/* The proof fits; is that enough? */
static struct pn_verdict
judge(const struct attempt *attempt, struct pn_slice challenge)
{
	const struct scram_user *known = &attempt->said->known;

	if (attempt_blocked(attempt))
		return attempt_put_off(attempt);
	if (attempt_for_another(attempt))
		return attempt_refuse(attempt, "wants to act for somebody else");
	if (!known->found || !known->user.enabled)
		return attempt_refuse(attempt, "the user is disabled");
	return pn_challenge(attempt->call, challenge);
}

static struct pn_verdict
wrong(const struct attempt *attempt)
{
	if (attempt_blocked(attempt))
		return attempt_put_off(attempt);
	return attempt_refuse(attempt, attempt->said->known.found
					   ? "wrong password, by SCRAM"
					   : "no such user, or one without keys for SCRAM");
}

struct pn_verdict
scram_round(struct attempt *attempt, struct sasl_exchange *exchange)
{
	struct asking asking = { attempt, exchange, { 0 } };
	struct pn_slice challenge = { "", 0 };
	int r;

	if (!pn_may_block(attempt->call))
		return pn_not_quick();
	attempt->said = exchange;
	exchange->binding = pn_auth_binding(attempt->txn);
	exchange->plus_offered = attempt_offers_plus(attempt);
	r = sasl_scram_step(
	    exchange, pn_auth_response(attempt->txn), find_keys, &asking, &challenge);
	switch (r) {
	case 0:
		return attempt_accept(attempt, exchange->known.user.address);
	case 1:
		return exchange->proven ? judge(attempt, challenge)
					: pn_challenge(attempt->call, challenge);
	case PUT_OFF:
		return attempt_put_off(attempt);
	case -EIO:
		return pn_fault(attempt->call, 0, "cannot look the user up: %s", asking.err.text);
	case -EACCES:
		if (exchange->user)
			return wrong(attempt);
		/* fall through */
	default:
		return pn_reject(attempt->call, 501, "5.5.2", "Cannot read that response");
	}
}
