/* SPDX-License-Identifier: Apache-2.0 */
/*
 * login.c - a name and a password: answered from memory, or by asking the backends in their order.
 *
 * Called by auth.c, on the event loop first and again on a policy thread where memory does not
 * know. Must never answer 535 while a backend that could have said yes does not answer: clients
 * throw passwords away for it.
 */
#include "backend.h"
#include <errno.h>
#include <sodium.h>

static const struct {
	const char *word;
	backend_fn *ask;
	size_t timeout; /* where in struct auth; the database has none of its own */
} backends[] = {
	{ "database", backend_database, 0 },
	{ "ldap", backend_ldap, offsetof(struct auth, ldap.server.timeout) },
	{ "saslauthd", backend_saslauthd, offsetof(struct auth, saslauthd.timeout) },
	{ "dovecot", backend_dovecot, offsetof(struct auth, dovecot.timeout) },
};
_Static_assert(sizeof(backends) / sizeof(backends[0]) == AUTH_BACKENDS, "a breaker for each");

int
backend_yes(struct backend_answer *ret, struct pn_slice user)
{
	ret->reason = "the name that the backend gives is too long";
	if (user.len >= sizeof(ret->hit.user))
		return 0;
	memcpy(ret->hit.user, user.data, user.len);
	ret->hit.user[user.len] = '\0';
	ret->hit.source = CACHE_BY_OTHERS;
	ret->hit.changed = 0;
	return 1;
}

/* They are right. */
static struct pn_verdict
let_in(const struct attempt *attempt, const struct cache_hit *hit)
{
	if (hit->source > CACHE_BY_PASSWORD)
		app_uses_note(attempt->state->app_uses, hit->source);
	return attempt_accept(attempt, hit->user);
}

/*
 * Somebody for whom others vouch: 1 unless the directory knows him as disabled. A row of the
 * database says so for its very spelling; the directory as a whole, with its files, has one rule
 * for whatever spelling of an address, and knows nobody who is disabled, not even as himself.
 */
static int
is_enabled(
    const struct attempt *attempt, const char *address, struct pn_user *ret, struct pn_error *err)
{
	int r = pn_user_find(attempt->call, address, ret, err);

	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0)
		return ret->enabled;
	return pn_user_owns(attempt->call, address, address) != PN_OWNS_NOT;
}

/* Who it is for whom somebody else vouches; the directory's "disabled" is above that. */
static int
admit(const struct attempt *attempt, struct backend_answer *answer, struct pn_error *err)
{
	struct pn_user user = { 0 };
	int r;

	if (answer->hit.source > CACHE_BY_OTHERS)
		return 1;
	r = is_enabled(attempt, answer->hit.user, &user, err);
	if (r < 0)
		return r;
	if (!*user.address)
		answer->reason = "what the backend knows the user by is no address";
	else if (r == 0)
		answer->reason = "the user is disabled";
	else {
		memcpy(answer->hit.user, user.address, sizeof(answer->hit.user));
		return 1;
	}
	return 0;
}

/* Of an answer from outside, the one of `backends` that gave it. */
static int64_t
source_of(size_t backend)
{
	return CACHE_BY_OTHERS - (int64_t)backend;
}

static bool
came_from(const struct cache_hit *hit, const char *word)
{
	for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++)
		if (strcmp(backends[i].word, word) == 0)
			return hit->source == source_of(i);
	return false;
}

/*
 * Whether there is time for a slow answer, and not only what other backends, or the wait for a
 * thread, have left. Where calls are meant to be shorter than its time-out, they are what counts.
 */
static bool
has_time_for(const struct attempt *attempt, size_t backend)
{
	const char *cfg = (const char *)attempt->cfg;
	int64_t most = *(const int64_t *)(cfg + backends[backend].timeout);
	int64_t patience = attempt->patience;

	if (patience < BREAKER_SLOW_MS)
		patience = BREAKER_SLOW_MS;
	if (most > patience)
		most = patience;
	return pn_time_left(attempt->call) >= most - most / 4;
}

/* One that has lately taken a question and not answered is not waited for by everybody. */
static int
ask_unless_silent(
    const struct attempt *attempt, size_t backend, struct backend_answer *ret, struct pn_error *err)
{
	struct breaker *breaker = &attempt->state->breakers[backend];
	int64_t began = auth_now();
	bool had_time = has_time_for(attempt, backend);
	int r;

	if (!breaker_enter(breaker, began))
		return pn_error_set(err, -EAGAIN, "it did not answer a moment ago");
	r = backends[backend].ask(attempt, ret, err);
	breaker_leave(breaker, r, had_time, began, auth_now());
	return r;
}

static int
ask(const struct attempt *attempt, const char *word, struct backend_answer *ret,
    struct pn_error *err)
{
	for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
		int r;

		if (strcmp(backends[i].word, word) != 0)
			continue;
		/* The database waits for its own: for places to run Argon2id. */
		r = backends[i].ask == backend_database ? backends[i].ask(attempt, ret, err)
							: ask_unless_silent(attempt, i, ret, err);
		if (r > 0 && ret->hit.source == CACHE_BY_OTHERS)
			ret->hit.source = source_of(i);
		return r > 0 ? admit(attempt, ret, err) : r;
	}
	return pn_error_set(err, -EINVAL, "there is no such backend");
}

/*
 * Nobody says yes, and somebody does not answer: who was right lately by the word of that one
 * (`remembered`) stays so, for as long as successes are remembered. Where another backend says no,
 * that counts.
 */
static struct pn_verdict
undecided(const struct attempt *attempt, const struct cache_hit *remembered, bool refused)
{
	struct pn_user user;

	if (remembered && is_enabled(attempt, remembered->user, &user, NULL) == 1) {
		auth_cache_touch(attempt->state->cache, &attempt->key, attempt->now);
		return attempt_accept(attempt, remembered->user);
	}
	if (refused)
		attempt_count(attempt);
	return pn_defer(attempt->call, 454, "4.7.0", "Temporary failure, try again later");
}

/* All of them, whatever the first ones say: the same work whoever asks, but for who is let in. */
static struct pn_verdict
ask_all(const struct attempt *attempt, const struct cache_hit *remembered)
{
	const struct pn_strings *words = &attempt->cfg->backends;
	const char *reason = NULL;
	bool down = false, put_off = false, voucher_down = false;

	for (size_t i = 0; i < words->count; i++) {
		struct backend_answer answer = { .reason = NULL };
		struct pn_error err = { 0 };
		int r = ask(attempt, words->items[i], &answer, &err);

		if (r > 0) {
			auth_cache_put(
			    attempt->state->cache, &attempt->key, &answer.hit, attempt->now);
			return let_in(attempt, &answer.hit);
		}
		if (r == 0 && !answer.put_off && !reason)
			reason = answer.reason;
		if (r < 0)
			pn_log(attempt->call, PN_LOG_WARNING, "cannot ask backend %s: %s",
			    words->items[i], err.text);
		down |= r < 0;
		put_off |= answer.put_off;
		voucher_down |= r < 0 && remembered && came_from(remembered, words->items[i]);
	}
	if (!voucher_down) /* nobody says any more what was right then, whoever else is down */
		auth_cache_drop(attempt->state->cache, &attempt->key);
	if (down)
		return undecided(attempt, voucher_down ? remembered : NULL, reason);
	if (!put_off)
		return attempt_refuse(attempt, reason);
	if (reason) /* another one that was asked says no */
		attempt_count(attempt);
	return attempt_put_off(attempt);
}

static int
has_app_password(const struct attempt *attempt, const struct cache_hit *hit, struct pn_error *err)
{
	struct pn_user user;
	bool there = false;
	int r = pn_user_find(attempt->call, hit->user, &user, err);

	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = app_password_exists(attempt->call, hit->user, hit->source, &there, err);
	return r < 0 ? r : there && user.enabled;
}

/* Whether what was right a while ago is what the database has now. 1, 0, negative errno. */
static int
is_unchanged(const struct attempt *attempt, const struct cache_hit *hit, struct pn_error *err)
{
	struct password password;
	int r;

	if (hit->source <= CACHE_BY_OTHERS ||
	    (hit->source == CACHE_BY_PASSWORD && attempt->cfg->app_passwords_only))
		return 0;
	if (hit->source != CACHE_BY_PASSWORD)
		return has_app_password(attempt, hit, err);
	r = password_find(attempt->call, hit->user, &password, err);
	if (r == 0)
		r = password.found && password.user.enabled && password.changed == hit->changed;
	sodium_memzero(&password, sizeof(password));
	return r;
}

static struct pn_verdict
ask_again(const struct attempt *attempt, const struct cache_hit *hit)
{
	struct auth_cache *cache = attempt->state->cache;
	struct pn_error err = { 0 };
	int r = is_unchanged(attempt, hit, &err);

	if (r < 0) {
		pn_log(attempt->call, PN_LOG_WARNING, "cannot look the user up: %s", err.text);
		return undecided(attempt, NULL, false);
	}
	if (r > 0) {
		auth_cache_touch(cache, &attempt->key, attempt->now);
		return let_in(attempt, hit);
	}
	if (hit->source <= CACHE_BY_OTHERS)
		return ask_all(attempt, hit);
	auth_cache_drop(cache, &attempt->key);
	return ask_all(attempt, NULL);
}

/*
 * The limits come before the cache: else it would answer, for a client that guesses, which guess is
 * right.
 */
struct pn_verdict
login_decide(const struct attempt *attempt)
{
	struct cache_hit hit;
	enum cache_answer cached;

	if (attempt_blocked(attempt))
		return attempt_put_off(attempt);
	if (attempt_for_another(attempt))
		return attempt_refuse(attempt, "wants to act for somebody else");
	cached = auth_cache_find(attempt->state->cache, &attempt->key, attempt->now,
	    attempt->cfg->cache, attempt->cfg->recheck, &hit);
	if (cached == CACHE_HIT)
		return let_in(attempt, &hit);
	if (!pn_may_block(attempt->call))
		return pn_not_quick();
	return cached == CACHE_STALE ? ask_again(attempt, &hit) : ask_all(attempt, NULL);
}
