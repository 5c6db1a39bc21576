/* SPDX-License-Identifier: Apache-2.0 */
/* auth.h - what the files of the module auth share. */
#ifndef MODULES_AUTH_AUTH_H
#define MODULES_AUTH_AUTH_H

#include "app_password.h"
#include "breaker.h"
#include "cache.h"
#include "sasl.h"
#include "scram.h"
#include "throttle.h"
#include "verifier.h"
#include <postern/module.h>

struct auth_ldap {
	struct pn_ldap_server server;
	const char *filter, *address_attribute;
};

struct auth_saslauthd {
	const char *socket, *service;
	struct pn_strings domains;
	int64_t timeout; /* ms */
};

struct auth_dovecot {
	const char *socket;
	int64_t timeout; /* ms */
};

struct auth {
	struct pn_strings mechanisms, backends;
	int64_t cache, recheck; /* ms */
	int64_t parallel;
	struct auth_failures failures;
	bool app_passwords_only;
	struct auth_ldap ldap;
	struct auth_saslauthd saslauthd;
	struct auth_dovecot dovecot;
	struct pn_strings external_by;
	struct pn_map certificates; /* address -> struct pn_strings of fingerprints */
};

#define AUTH_BACKENDS 4 /* database, ldap, saslauthd, dovecot: in the order of login.c */

struct auth_state {
	struct sasl *sasl;
	struct auth_cache *cache;
	struct throttle *throttle;
	struct verifier verifier;
	struct scram_secret scram_secret;
	struct app_uses *app_uses;
	struct breaker breakers[AUTH_BACKENDS];
};

/* Whether the setting, a list of words, has this one. */
bool auth_has_word(const struct pn_strings *words, const char *word);

/* ---- password.c: what the database knows ---- */

#define PASSWORD_HASH_SIZE 384 /* CRYPT_OUTPUT_SIZE; Argon2id's take crypto_pwhash_STRBYTES */

struct password {
	bool found; /* a user of that name with a password */
	struct pn_user user;
	char hash[PASSWORD_HASH_SIZE];
	int64_t changed; /* stamp of the last change */
};

extern const struct pn_migration password_migrations[];
/*
 * By any spelling of the address. Not finding one is no error; the work is the same either way.
 * -errno: the database did not answer.
 */
int password_find(
    struct pn_call *call, const char *address, struct password *ret, struct pn_error *err);
/* The kinds of hashes that there are, for verifier_check(). */
int password_learn(struct pn_call *call, struct verifier *verifier, struct pn_error *err);
/* `user passwd ADDRESS` */
int password_command(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err);

#endif
