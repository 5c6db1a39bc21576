/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backend_database.c - passwords in the database.
 *
 * Called by login.c on policy threads. A no takes as long for nobody as for somebody.
 */
#include "backend.h"
#include <errno.h>
#include <sodium.h>

/* An app password that is right: then no other is asked for. */
static int
judge_app(const struct attempt *attempt, const struct password *password,
    struct backend_answer *ret, struct pn_error *err)
{
	int64_t number;
	int r = app_password_find(
	    attempt->call, password->user.address, attempt->said->password, &number, err);

	if (r < 0)
		return r;
	ret->reason = "no app password of the user, who needs one";
	if (number == 0 || !password->user.enabled)
		return 0;
	memcpy(ret->hit.user, password->user.address, sizeof(ret->hit.user));
	ret->hit.source = number;
	ret->hit.changed = 0;
	return 1;
}

/* What Argon2id says, while this thread may run it. */
static int
judge(const struct attempt *attempt, const struct password *password, struct backend_answer *ret)
{
	bool right = verifier_check(&attempt->state->verifier,
	    password->found ? password->hash : NULL, pn_slice_of(attempt->said->password));

	if (!password->found)
		ret->reason = "no such user, or one without a password";
	else if (!right)
		ret->reason = "wrong password";
	else if (!password->user.enabled)
		ret->reason = "the user is disabled";
	else
		return 1;
	return 0;
}

/*
 * A client that opens twenty connections at once waits here with all of them: the first that is
 * done has answered for the others.
 */
static int
compare(const struct attempt *attempt, const struct password *password, struct backend_answer *ret,
    struct pn_error *err)
{
	struct auth_state *state = attempt->state;
	int r = verifier_enter(
	    &state->verifier, attempt->cfg->parallel, pn_time_left(attempt->call));

	if (r < 0)
		return pn_error_set(err, r, "too many passwords are being verified");
	if (auth_cache_find(state->cache, &attempt->key, attempt->now, attempt->cfg->cache,
		attempt->cfg->recheck, &ret->hit) == CACHE_HIT) {
		verifier_leave(&state->verifier);
		return 1;
	}
	r = judge(attempt, password, ret);
	verifier_leave(&state->verifier);
	memcpy(ret->hit.user, password->user.address, sizeof(ret->hit.user));
	ret->hit.source = CACHE_BY_PASSWORD;
	ret->hit.changed = password->changed;
	return r;
}

int
backend_database(const struct attempt *attempt, struct backend_answer *ret, struct pn_error *err)
{
	struct password password;
	int r = password_find(attempt->call, attempt->said->user, &password, err);

	if (r == 0)
		r = judge_app(attempt, &password, ret, err);
	if (r == 0 && !attempt->cfg->app_passwords_only)
		r = compare(attempt, &password, ret, err);
	sodium_memzero(&password, sizeof(password));
	return r;
}
