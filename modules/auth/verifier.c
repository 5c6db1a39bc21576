/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verifier.c - verifies passwords with Argon2id, and with crypt(3) what was brought along.
 *
 * Called by backend_database.c on policy threads. Must never tell by its time whether there is such
 * a user, nor what kind of hash he has: who has one of crypt(3) costs Argon2id as well, and where
 * there are such users everybody costs crypt(3), too.
 */
#include "verifier.h"
#include <crypt.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <time.h>

#define PASSWORD_MOST 1024

/* The hash of no password, with the parameters that `user passwd` uses. */
const char verifier_nobody[crypto_pwhash_STRBYTES] =
    "$argon2id$v=19$m=65536,t=2,p=1$bm9ib2R5J3Mgc2FsdCEhIQ$"
    "3q2+796tvu/erb7v3q2+796tvu/erb7v3q2+796tvu8";

void
verifier_init(struct verifier *verifier)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_mutex_init(&verifier->lock, NULL);
	pthread_cond_init(&verifier->free, &attributes);
	pthread_condattr_destroy(&attributes);
	verifier->running = 0;
	verifier->kind_count = 0;
}

void
verifier_end(struct verifier *verifier)
{
	pthread_cond_destroy(&verifier->free);
	pthread_mutex_destroy(&verifier->lock);
}

static void
deadline(int64_t patience, struct timespec *ret)
{
	const int64_t most = 3600 * INT64_C(1000);

	if (patience > most)
		patience = most;
	clock_gettime(CLOCK_MONOTONIC, ret);
	ret->tv_sec += patience / 1000;
	ret->tv_nsec += patience % 1000 * 1000000;
	if (ret->tv_nsec >= 1000000000) {
		ret->tv_sec++;
		ret->tv_nsec -= 1000000000;
	}
}

int
verifier_enter(struct verifier *verifier, int64_t parallel, int64_t patience)
{
	struct timespec until;
	int r = 0;

	deadline(patience, &until);
	pthread_mutex_lock(&verifier->lock);
	while (verifier->running >= parallel && r == 0)
		r = pthread_cond_timedwait(&verifier->free, &verifier->lock, &until);
	if (r == 0)
		verifier->running++;
	pthread_mutex_unlock(&verifier->lock);
	return -r;
}

void
verifier_leave(struct verifier *verifier)
{
	pthread_mutex_lock(&verifier->lock);
	verifier->running--;
	pthread_cond_signal(&verifier->free);
	pthread_mutex_unlock(&verifier->lock);
}

/*
 * What crypt(3) makes of a password, as `hash` says how: whether it has that hash. False, too,
 * where it can make none. Its buffer of 32 KiB is too much for a stack that may be small. Not
 * crypt_r(): AddressSanitizer calls that one for us, by an address that it looked up before this
 * module, and libcrypt with it, was loaded: by none.
 */
static bool
crypt_check(const char *hash, const char *password, bool *ret_alike)
{
	struct crypt_data *data = calloc(1, sizeof(*data));
	const char *made = data ? crypt_rn(password, hash, data, sizeof(*data)) : NULL;
	bool right = false;

	/* A failure begins with '*', which no hash that can be checked does. */
	*ret_alike = made && *made != '*' && strlen(made) == strlen(hash);
	if (*ret_alike)
		right = sodium_memcmp(made, hash, strlen(hash)) == 0;
	if (data)
		sodium_memzero(data, sizeof(*data));
	free(data);
	return right;
}

static bool
crypt_check_slice(const char *hash, struct pn_slice password)
{
	char text[PASSWORD_MOST + 1];
	bool alike, right;

	if (password.len > PASSWORD_MOST)
		return false;
	memcpy(text, password.data, password.len);
	text[password.len] = '\0';
	right = crypt_check(hash, text, &alike);
	sodium_memzero(text, sizeof(text));
	return right;
}

static bool
is_argon2(const char *hash)
{
	return strncmp(hash, "$argon2", 7) == 0;
}

/* ---- kinds of hashes of crypt(3) ---- */

/*
 * What of a hash says how long it takes: method and cost, crypt(5); the salt, which the setting has
 * behind them, does not.
 */
static size_t
kind_length(const char *setting)
{
	size_t len = strlen(setting);

	if (*setting != '$')
		return 0; /* of DES */
	if (strncmp(setting, "$2", 2) == 0)
		return len < 7 ? len : 7; /* "$2b$12$", and the salt in one with the hash */
	if (strncmp(setting, "$7$", 3) == 0)
		return len < 14 ? len : 14; /* N, r and p in front of the salt */
	len -= setting[len - 1] == '$';
	while (len > 0 && setting[len - 1] != '$')
		len--;
	return len;
}

/* The hash without what the password makes of it. False: too long to be one. */
static bool
setting_of(const char *hash, char ret[VERIFIER_SETTING])
{
	const char *last = strrchr(hash, '$');
	size_t len = last ? (size_t)(last - hash) + 1 : 2;

	if (strncmp(hash, "$2", 2) == 0)
		len = 29;
	if (len >= VERIFIER_SETTING || len > strlen(hash))
		return false;
	memcpy(ret, hash, len);
	ret[len] = '\0';
	return true;
}

static bool
is_of_kind(const char *setting, const char *other)
{
	size_t len = kind_length(setting);

	return (*setting == '$') == (*other == '$') && kind_length(other) == len &&
	       memcmp(setting, other, len) == 0;
}

/* Locked: whether this is a kind that is not known, and may be. */
static bool
is_new(const struct verifier *verifier, const char *setting)
{
	for (size_t i = 0; i < verifier->kind_count; i++)
		if (is_of_kind(verifier->kinds[i], setting))
			return false;
	return verifier->kind_count < VERIFIER_KINDS;
}

/* Whether it is a hash at all is asked last: crypt(3) says it, and of each user that would be much.
 */
void
verifier_learn(struct verifier *verifier, const char *hash)
{
	char setting[VERIFIER_SETTING];
	bool new;

	if (is_argon2(hash) || !setting_of(hash, setting))
		return;
	pthread_mutex_lock(&verifier->lock);
	new = is_new(verifier, setting);
	pthread_mutex_unlock(&verifier->lock);
	if (!new || verifier_fault(hash))
		return;
	pthread_mutex_lock(&verifier->lock);
	if (is_new(verifier, setting))
		memcpy(verifier->kinds[verifier->kind_count++], setting, sizeof(setting));
	pthread_mutex_unlock(&verifier->lock);
}

/* By those kinds that `hash` (NULL: nobody's) is not of. */
static void
spend(struct verifier *verifier, const char *hash, struct pn_slice password)
{
	char setting[VERIFIER_SETTING], kind[VERIFIER_SETTING];
	bool has = hash && !is_argon2(hash) && setting_of(hash, setting), more = true;

	for (size_t i = 0; more; i++) {
		pthread_mutex_lock(&verifier->lock);
		more = i < verifier->kind_count;
		if (more)
			memcpy(kind, verifier->kinds[i], sizeof(kind));
		pthread_mutex_unlock(&verifier->lock);
		if (more && !(has && is_of_kind(kind, setting)))
			crypt_check_slice(kind, password);
	}
}

bool
verifier_check(struct verifier *verifier, const char *hash, struct pn_slice password)
{
	bool ours = hash && is_argon2(hash);
	bool right = crypto_pwhash_str_verify(
			 ours ? hash : verifier_nobody, password.data, password.len) == 0;

	if (hash && !ours)
		right = crypt_check_slice(hash, password);
	spend(verifier, hash, password);
	if (hash && !ours)
		verifier_learn(verifier, hash);
	return hash && right;
}

const char *
verifier_fault(const char *hash)
{
	char text[crypto_pwhash_STRBYTES] = "";
	bool alike;

	if (!is_argon2(hash)) {
		crypt_check(hash, "any", &alike);
		return alike ? NULL : "is no hash of Argon2, nor one that crypt(3) makes";
	}
	if (strlen(hash) < sizeof(text))
		memcpy(text, hash, strlen(hash));
	return *text && crypto_pwhash_str_needs_rehash(text, crypto_pwhash_OPSLIMIT_INTERACTIVE,
			    crypto_pwhash_MEMLIMIT_INTERACTIVE) >= 0
		   ? NULL
		   : "is no hash of Argon2 that can be read";
}
