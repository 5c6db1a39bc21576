/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth.c - who is the client? SASL PLAIN and LOGIN against passwords, SCRAM against keys
 * (scram_round.c), EXTERNAL by certificate (external.c).
 *
 * Runs at EHLO (offers the mechanisms) and at each round of AUTH. A password that was right a
 * moment ago is answered from memory on the event loop; any other goes to a policy thread, where
 * Argon2id takes its time. The session logs every refusal (`auth-failed client=... user=...`, for
 * fail2ban); this module adds the reason, which the client never hears.
 *
 * Must never answer 535 because the database did not: that makes clients throw passwords away.
 * Must never tell, by words or by time, a wrong password from an unknown or disabled user, nor log
 * a password.
 */
#include "backend.h"
#include "certificate.h"
#include "peer.h"
#include <ctype.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const struct pn_choice mechanism_words[] = {
	{ "plain", 0, "SASL PLAIN (RFC 4616)" },
	{ "login", 1, "SASL LOGIN, for old clients" },
	{ "scram-sha-256", 2,
	    "SASL SCRAM-SHA-256 (RFC 7677), for users with keys: user passwd --scram" },
	{ "scram-sha-256-plus", 3,
	    "the same, bound to the connection by tls-exporter (RFC 9266): over TLS 1.3 only" },
	{ "external", 4,
	    "SASL EXTERNAL (RFC 4422), shown to clients with a good certificate: a listener's "
	    "client_certificate" },
	{ NULL, 0, NULL },
};

static const struct pn_choice external_words[] = {
	{ "fingerprint", 0, "stored for a user: posternctl user certificate, or `certificates`" },
	{ "address", 1,
	    "a user's address in the certificate (SubjectAltName): whatever any authority in "
	    "client_ca writes there is believed" },
	{ NULL, 0, NULL },
};

static const struct pn_option certificate_options[] = {
	{ .help = "SHA-256 fingerprints.", .type = PN_TYPE_STRINGS }, PN_OPT_END
};

static const struct pn_choice backend_words[] = {
	{ "database", 0, "users and passwords of posternctl user add, user passwd" },
	{ "ldap", 1, "a directory server, by logging in there with the password" },
	{ "saslauthd", 2, "Cyrus saslauthd, and by it PAM" },
	{ "dovecot", 3, "Dovecot's auth service" },
	{ NULL, 0, NULL },
};

static const struct pn_option failure_options[] = {
	PN_OPT_INT("per_client_and_user", struct auth_failures, per_client_and_user, "10", 1,
	    1000000, 0,
	    "Wrong passwords in a window after which one client (of IPv6 its /64) may not try one "
	    "user; relay.shared_networks are one client together, with per_user as its limit."),
	PN_OPT_INT("per_user", struct auth_failures, per_user, "100", 1, 1000000, 0,
	    "Wrong passwords in a window, from anywhere, after which a user may log in only from "
	    "clients that did so in the last 24 hours."),
	PN_OPT_DURATION("window", struct auth_failures, window, "5m", 1000, 86400000, 0,
	    "Length of the window, from its first wrong password."),
	PN_OPT_END
};

/* The server's rows are good for this struct as well: it stands first in it. */
_Static_assert(offsetof(struct auth_ldap, server) == 0, "rows of struct pn_ldap_server fit");
static const struct pn_option ldap_options[] = { PN_LDAP_OPTIONS,
	PN_OPT_STRING("filter", struct auth_ldap, filter, "(mail=?1)", 0,
	    "Finds the user's entry (RFC 4515); ?1 is the name as typed, escaped."),
	PN_OPT_STRING("address_attribute", struct auth_ldap, address_attribute, NULL, 0,
	    "Attribute with the user's address, such as mail; left out: the name as typed is it."),
	PN_OPT_END };

static const struct pn_option saslauthd_options[] = {
	PN_OPT_STRING("socket", struct auth_saslauthd, socket, "/run/saslauthd/mux", PN_PATH,
	    "Unix socket of saslauthd; postern's user must reach it."),
	PN_OPT_STRING("service", struct auth_saslauthd, service, "smtp", 0,
	    "Service name, such as that of a file in /etc/pam.d."),
	PN_OPT_STRINGS("domains", struct auth_saslauthd, domains, NULL, 0,
	    "Domains whose users are asked for there; the backend needs it. One alone unless "
	    "saslauthd runs with -r: without, info@ any of them is the same user info."),
	PN_OPT_DURATION("timeout", struct auth_saslauthd, timeout, "5s", 10, 60000, 0,
	    "How long an answer may take."),
	PN_OPT_END
};

static const struct pn_option dovecot_options[] = {
	PN_OPT_STRING("socket", struct auth_dovecot, socket, "/run/dovecot/auth-client", PN_PATH,
	    "Unix socket of Dovecot's auth service; postern's user must reach it."),
	PN_OPT_DURATION("timeout", struct auth_dovecot, timeout, "5s", 10, 60000, 0,
	    "How long an answer may take; Dovecot waits two seconds with a no."),
	PN_OPT_END
};

static const struct pn_option auth_options[] = {
	PN_OPT_WORDS("mechanisms", struct auth, mechanisms, "[plain, login]", mechanism_words, 0,
	    "SASL mechanisms to offer; clients pick the strongest, so scram-sha-256 locks out "
	    "users without keys for it."),
	PN_OPT_WORDS("backends", struct auth, backends, "[database]", backend_words, 0,
	    "Where passwords are verified, in this order; the first that says yes decides. Where "
	    "none does and one cannot be asked, the client hears 454 and comes back."),
	PN_OPT_GROUP("ldap", struct auth, ldap, struct auth_ldap, ldap_options, 0,
	    "The directory server of backend ldap."),
	PN_OPT_GROUP("saslauthd", struct auth, saslauthd, struct auth_saslauthd, saslauthd_options,
	    0, "The service of backend saslauthd."),
	PN_OPT_GROUP("dovecot", struct auth, dovecot, struct auth_dovecot, dovecot_options, 0,
	    "The service of backend dovecot."),
	PN_OPT_WORDS("external_by", struct auth, external_by, "[fingerprint]", external_words, 0,
	    "What of a certificate says for which user EXTERNAL logs in; a fingerprint goes before "
	    "addresses. Where client_ca holds clients' own certificates, fingerprints only may be "
	    "believed. Who it is must be a user of the directory."),
	PN_OPT_MAP("certificates", struct auth, certificates, struct pn_strings,
	    certificate_options, 0,
	    "Certificates of users, by their addresses, beside those of posternctl user "
	    "certificate."),
	PN_OPT_BOOL("app_passwords_only", struct auth, app_passwords_only, "no", 0,
	    "PLAIN and LOGIN take app passwords only (posternctl user app-password add)."),
	PN_OPT_DURATION("cache", struct auth, cache, "10m", 0, 86400000, 0,
	    "How long a right password is remembered, as a keyed hash in memory."),
	PN_OPT_DURATION("recheck", struct auth, recheck, "30s", 0, 60000, 0,
	    "How long a remembered password is taken without asking the database or the backend "
	    "whether it or the user has changed."),
	PN_OPT_INT("parallel", struct auth, parallel, "2", 1, 64, 0,
	    "How many passwords are verified at once; each takes 64 MiB for some 50 ms."),
	PN_OPT_GROUP("failures", struct auth, failures, struct auth_failures, failure_options, 0,
	    "Limits of wrong passwords."),
	PN_OPT_END
};

bool
auth_has_word(const struct pn_strings *words, const char *word)
{
	for (size_t i = 0; i < words->count; i++)
		if (strcmp(words->items[i], word) == 0)
			return true;
	return false;
}

static void
check_ldap(struct pn_check *check, const struct auth *cfg)
{
	const struct pn_strings *uris = &cfg->ldap.server.uris;
	char path[64];

	if (uris->count > 0)
		pn_ldap_check(check, "ldap", &cfg->ldap.server);
	else if (auth_has_word(&cfg->backends, "ldap"))
		pn_complain(check, "backends", "ldap needs a server: set ldap.uris");
	if (!strstr(cfg->ldap.filter, "?1"))
		pn_complain(check, "ldap.filter", "without ?1 every name finds the same entry");
	for (size_t i = 0; i < uris->count && auth_has_word(&cfg->backends, "ldap"); i++) {
		if (cfg->ldap.server.starttls || strncmp(uris->items[i], "ldap://", 7) != 0)
			continue;
		snprintf(path, sizeof(path), "ldap.uris[%zu]", i);
		pn_warn(check, path,
		    "passwords of users go there in clear; starttls or ldaps:// would protect "
		    "them");
	}
}

static void
check_saslauthd(struct pn_check *check, const struct auth *cfg)
{
	const struct pn_strings *domains = &cfg->saslauthd.domains;
	char domain[PN_ADDRESS_SIZE], path[64];

	if (!peer_path_fits(cfg->saslauthd.socket))
		pn_complain(check, "saslauthd.socket", "is too long for a unix socket");
	if (domains->count == 0 && auth_has_word(&cfg->backends, "saslauthd"))
		pn_complain(check, "saslauthd.domains",
		    "is empty; name the domain whose users saslauthd knows");
	for (size_t i = 0; i < domains->count; i++) {
		if (saslauthd_domain(domains->items[i], domain))
			continue;
		snprintf(path, sizeof(path), "saslauthd.domains[%zu]", i);
		pn_complain(check, path, "\"%s\" is not a domain; write for example example.com",
		    domains->items[i]);
	}
}

static void
check_backends(struct pn_check *check, const struct auth *cfg)
{
	if (cfg->backends.count == 0)
		pn_complain(check, "backends", "is empty; then no password is right");
	if (cfg->app_passwords_only &&
	    (cfg->backends.count != 1 || strcmp(cfg->backends.items[0], "database") != 0))
		pn_complain(check, "app_passwords_only",
		    "app passwords are in the database; set backends to database alone");
	check_ldap(check, cfg);
	check_saslauthd(check, cfg);
	if (!peer_path_fits(cfg->dovecot.socket))
		pn_complain(check, "dovecot.socket", "is too long for a unix socket");
}

static void
check_certificates(struct pn_check *check, const struct auth *cfg)
{
	const struct pn_strings *lists = cfg->certificates.values;
	char canonical[PN_ADDRESS_SIZE], print[PN_FINGERPRINT_SIZE], path[PN_ADDRESS_SIZE + 40];

	for (size_t i = 0; i < cfg->certificates.count; i++) {
		const char *user = cfg->certificates.keys[i];

		snprintf(path, sizeof(path), "certificates.%s", user);
		if (pn_address_canonical(user, canonical) < 0 || !strchr(canonical, '@'))
			pn_complain(check, path,
			    "\"%s\" is not an address; write for example ada@example.com", user);
		for (size_t k = 0; k < lists[i].count; k++) {
			snprintf(path, sizeof(path), "certificates.%s[%zu]", user, k);
			if (pn_fingerprint_canonical(lists[i].items[k], print) < 0)
				pn_complain(check, path,
				    "\"%s\" is not the SHA-256 fingerprint of a certificate, 64 "
				    "hexadecimal digits; openssl x509 -fingerprint -sha256 shows "
				    "it",
				    lists[i].items[k]);
		}
	}
	if (auth_has_word(&cfg->mechanisms, "external") && cfg->external_by.count == 0)
		pn_complain(check, "external_by", "is empty; then no certificate is anybody's");
	/* What a listener trusts is not for modules to see; whoever is sure of it lives with this.
	 */
	if (auth_has_word(&cfg->mechanisms, "external") &&
	    auth_has_word(&cfg->external_by, "address"))
		pn_warn(check, "external_by",
		    "with address, each certificate in a listener's client_ca may vouch for any "
		    "user, a client's own one as well; only authorities that look whose address "
		    "it is should stand there");
}

static void
auth_check(struct pn_check *check, const void *settings)
{
	const struct auth *cfg = settings;

	if (cfg->mechanisms.count == 0)
		pn_complain(check, "mechanisms", "is empty; then nobody can log in");
	check_backends(check, cfg);
	check_certificates(check, cfg);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
auth_stop(void *data)
{
	struct auth_state *state = data;

	sasl_free(&state->sasl);
	auth_cache_free(&state->cache);
	app_uses_free(&state->app_uses);
	throttle_free(&state->throttle);
	verifier_end(&state->verifier);
	for (size_t i = 0; i < AUTH_BACKENDS; i++)
		breaker_end(&state->breakers[i]);
	sodium_memzero(&state->scram_secret, sizeof(state->scram_secret));
	free(state);
}

static int
auth_start(struct pn_call *call, void **ret_state, struct pn_error *err)
{
	struct auth_state *state;
	int r;

	if (sodium_init() < 0)
		return pn_error_set(err, -ENOTSUP, "libsodium cannot be used here");
	state = calloc(1, sizeof(*state));
	if (!state)
		return pn_error_set(err, -ENOMEM, "out of memory");
	verifier_init(&state->verifier);
	for (size_t i = 0; i < AUTH_BACKENDS; i++)
		breaker_init(&state->breakers[i]);
	r = sasl_new(&state->sasl);
	if (r == 0)
		r = auth_cache_new(&state->cache);
	if (r == 0)
		r = throttle_new(&state->throttle);
	if (r == 0)
		r = app_uses_new(&state->app_uses);
	if (r < 0)
		pn_error_set(err, r, "GNU SASL cannot be used here, or out of memory");
	else
		r = scram_secret_get(call, &state->scram_secret, err);
	if (r == 0)
		r = password_learn(call, &state->verifier, err);
	if (r < 0) {
		auth_stop(state);
		return r;
	}
	*ret_state = state;
	return 0;
}

/* ---- EHLO ------------------------------------------------------------------------------------ */

#define MECHANISM_SIZE 24

static void
upper(const char *word, char ret[MECHANISM_SIZE])
{
	size_t i = 0;

	for (; word[i] && i < MECHANISM_SIZE - 1; i++)
		ret[i] = (char)toupper((unsigned char)word[i]);
	ret[i] = '\0';
}

/* What pn_auth_binding() has something for. */
static bool
can_bind(const struct pn_txn *txn)
{
	const char *version = pn_txn_tls_version(txn);

	return version && strcmp(version, "TLSv1.3") == 0;
}

static struct pn_verdict
auth_on_helo(struct pn_call *call, struct pn_txn *txn)
{
	const struct auth *cfg = pn_settings(call);
	char name[MECHANISM_SIZE];

	for (size_t i = 0; i < cfg->mechanisms.count; i++) {
		int r;

		upper(cfg->mechanisms.items[i], name);
		if ((strcmp(name, SASL_SCRAM_PLUS) == 0 && !can_bind(txn)) ||
		    (strcmp(name, SASL_EXTERNAL) == 0 && !pn_txn_certificate(txn)))
			continue;
		r = pn_auth_offer(call, name);
		if (r < 0)
			return pn_fault(call, r, "cannot offer %s", name);
	}
	return pn_pass();
}

static bool
is_ours(const struct auth *cfg, const char *mechanism)
{
	char name[MECHANISM_SIZE];

	for (size_t i = 0; i < cfg->mechanisms.count; i++) {
		upper(cfg->mechanisms.items[i], name);
		if (strcmp(name, mechanism) == 0)
			return true;
	}
	return false;
}

/* ---- AUTH ------------------------------------------------------------------------------------ */

int64_t
auth_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
attempt_count(const struct attempt *attempt)
{
	throttle_failure(attempt->state->throttle, &attempt->cfg->failures, &attempt->client,
	    attempt->said->user, attempt->now);
}

struct pn_verdict
attempt_refuse(const struct attempt *attempt, const char *reason)
{
	attempt_count(attempt);
	pn_log(attempt->call, PN_LOG_INFO, "refused client=%s: %s",
	    pn_txn_client_address(attempt->txn), reason);
	return pn_reject(attempt->call, 535, "5.7.8", "Authentication credentials invalid");
}

struct pn_verdict
attempt_accept(const struct attempt *attempt, const char *user)
{
	throttle_success(
	    attempt->state->throttle, &attempt->client, attempt->said->user, attempt->now);
	return pn_identified(attempt->call, user);
}

bool
attempt_blocked(const struct attempt *attempt)
{
	return throttle_blocks(attempt->state->throttle, &attempt->cfg->failures, &attempt->client,
	    attempt->said->user, attempt->now);
}

bool
attempt_offers_plus(const struct attempt *attempt)
{
	return can_bind(attempt->txn) && is_ours(attempt->cfg, SASL_SCRAM_PLUS);
}

struct pn_verdict
attempt_put_off(const struct attempt *attempt)
{
	pn_log(attempt->call, PN_LOG_INFO, "put off client=%s: too many wrong passwords",
	    pn_txn_client_address(attempt->txn));
	return pn_defer(attempt->call, 454, "4.7.0", "Too many failures, try again later");
}

bool
attempt_for_another(const struct attempt *attempt)
{
	const struct sasl_exchange *said = attempt->said;

	return said->acts_for && *said->acts_for && strcmp(said->acts_for, said->user) != 0;
}

static int
begin(struct pn_call *call, const struct pn_txn *txn, struct sasl_exchange **ret)
{
	const struct auth_state *state = pn_state(call);
	int r = sasl_exchange_new(state->sasl, pn_auth_mechanism(txn), ret);

	if (r < 0)
		return r;
	r = pn_auth_keep(call, *ret, sasl_exchange_drop);
	if (r < 0)
		sasl_exchange_drop(*ret);
	return r;
}

static struct pn_verdict
auth_on_auth(struct pn_call *call, struct pn_txn *txn)
{
	struct attempt attempt = { .call = call,
		.txn = txn,
		.cfg = pn_settings(call),
		.state = pn_state(call),
		.now = auth_now(),
		.patience = pn_time_left(call) };
	struct sasl_exchange *exchange = pn_auth_kept(txn);
	struct pn_slice challenge;
	int r = 0;

	throttle_client_of(pn_txn_client_address(txn), pn_txn_client_shared(txn), &attempt.client);
	if (!exchange) {
		if (!is_ours(attempt.cfg, pn_auth_mechanism(txn)))
			return pn_pass();
		r = begin(call, txn, &exchange);
		if (r < 0)
			return pn_fault(call, r, "cannot begin");
	}
	if (exchange->scram)
		return scram_round(&attempt, exchange);
	if (!exchange->complete) { /* else the second call, after pn_not_quick() */
		r = sasl_exchange_step(exchange, pn_auth_response(txn), &challenge);
		if (r == 1)
			return pn_challenge(call, challenge);
		if (r < 0)
			return pn_reject(call, 501, "5.5.2", "Cannot read that response");
	}
	attempt.said = exchange;
	if (exchange->external)
		return external_decide(&attempt);
	auth_cache_key(
	    attempt.state->cache, exchange->user, pn_slice_of(exchange->password), &attempt.key);
	return login_decide(&attempt);
}

/* ---- tick ------------------------------------------------------------------------------------ */

static struct pn_verdict
auth_on_tick(struct pn_call *call, struct pn_txn *txn)
{
	struct auth_state *state = pn_state(call);
	struct pn_error err = { 0 };
	int r = app_uses_write(call, state->app_uses, &err);

	return r < 0 ? pn_fault(call, 0, "cannot note uses of app passwords: %s", err.text)
		     : pn_pass();
}

/* ---- the module ------------------------------------------------------------------------------ */

static const struct pn_hook auth_hooks[] = {
	{ PN_STAGE_HELO, PN_QUICK, auth_on_helo },
	{ PN_STAGE_AUTH, PN_QUICK, auth_on_auth },
	{ PN_STAGE_TICK, 0, auth_on_tick },
	PN_HOOK_END,
};

static const struct pn_command auth_commands[] = {
	{ "user passwd", "[--scram|--hash] ADDRESS",
	    "Sets a user's password, asked for or read from standard input; with --scram also the "
	    "keys for SCRAM-SHA-256, which else go; with --hash what is read is its hash, of "
	    "Argon2id or crypt(3).",
	    1, 2, password_command },
	{ "user app-password add", "ADDRESS NAME",
	    "Makes a password for one program or device, called NAME, and shows it this once.", 2,
	    2, app_password_add },
	{ "user app-password list", "ADDRESS",
	    "Lists a user's app passwords: when each was made, and when it was used last.", 1, 1,
	    app_password_list },
	{ "user app-password remove", "ADDRESS NAME",
	    "Takes an app password away; within a minute it is good nowhere.", 2, 2,
	    app_password_remove },
	{ "user certificate add", "ADDRESS FILE|FINGERPRINT",
	    "Lets a user log in by SASL EXTERNAL with this certificate, in PEM or DER, or of this "
	    "SHA-256 fingerprint.",
	    2, 2, certificate_add },
	{ "user certificate list", "ADDRESS", "Lists a user's certificates.", 1, 1,
	    certificate_list },
	{ "user certificate remove", "ADDRESS FILE|FINGERPRINT",
	    "Takes a certificate away; the next log-in with it is refused.", 2, 2,
	    certificate_remove },
	{ NULL, NULL, NULL, 0, 0, NULL },
};

PN_MODULE(auth) = {
	PN_MODULE_HEAD,
	.name = "auth",
	.summary = "Identifies clients by password or certificate (SMTP AUTH).",
	.settings_size = sizeof(struct auth),
	.settings = auth_options,
	.check = auth_check,
	.start = auth_start,
	.stop = auth_stop,
	.hooks = auth_hooks,
	.commands = auth_commands,
	.migrations = password_migrations,
};
