/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pki.c - the module's settings and tables.
 *
 * Called by the core. Must never take a list of authorities that cannot be read for an empty one.
 */
#include "pki.h"
#include "learn.h"
#include "pgp.h"
#include "recovery.h"
#include "revocation.h"
#include "sign.h"
#include "warn.h"
#include "whole.h"
#include "wkd.h"
#include <errno.h>
#include <glib.h>
#include <openssl/err.h>

#define TRUST_MOST 2000 /* authorities of a file */

static const struct pn_choice prefer_words[] = {
	{ "smime", PKI_PREFER_SMIME, "the certificate" },
	{ "pgp", PKI_PREFER_PGP, "the OpenPGP key" },
	{ NULL, 0, NULL },
};
static const struct pn_choice cipher_words[] = {
	{ "cbc", PKI_CBC, "AES-256-CBC, which every program reads" },
	{ "cbc-unless-declared", PKI_CBC_UNLESS_DECLARED,
	    "AES-256-GCM for those who have declared to read it, in a copy of their own" },
	{ "gcm", PKI_GCM,
	    "AES-256-GCM for everybody; Thunderbird and gpgsm of today cannot read it" },
	{ NULL, 0, NULL },
};
static const struct pn_choice encrypted_words[] = {
	{ "pass", PKI_PASS, "it is protected already and leaves as it is" },
	{ "wrap", PKI_WRAP, "it is encrypted once more" },
	{ NULL, 0, NULL },
};
static const struct pn_choice wkd_failure_words[] = {
	{ "defer", PKI_WKD_DEFER, "the client is asked to come back later" },
	{ "skip", PKI_WKD_SKIP, "as if it had no key" },
	{ NULL, 0, NULL },
};
static const struct pn_choice sign_words[] = {
	{ "smime", 0, "multipart/signed with an S/MIME signature (RFC 8551)" },
	{ NULL, 0, NULL },
};
static const struct pn_choice sign_for_words[] = {
	{ "users", PKI_SIGN_FOR_USERS, "users who have logged in, as an address that is theirs" },
	{ "account", PKI_SIGN_FOR_ACCOUNT,
	    "and clients that are an account's without logging in, as any address in its domains" },
	{ NULL, 0, NULL },
};

static const struct pn_choice learn_words[] = {
	{ "no", PKI_LEARN_NO, "no certificates" },
	{ "owners", PKI_LEARN_OWNERS,
	    "those in mail of whoever is signed for, whether or not it is signed here" },
	{ "anybody", PKI_LEARN_ANYBODY, "those in all mail; only with `trust`" },
	{ NULL, 0, NULL },
};

static const struct pn_choice revocation_words[] = {
	{ "none", PKI_BY_NOTHING, "nobody is asked" },
	{ "crl", PKI_BY_CRL, "lists: of `crl_files`, else where the certificate says" },
	{ "ocsp", PKI_BY_OCSP, "the responder that the certificate names" },
	{ "both", PKI_BY_BOTH, "the responder; where it cannot tell, lists" },
	{ NULL, 0, NULL },
};

static const struct pn_option pki_options[] = {
	PN_OPT_STRING("trust", struct pki, trust, NULL, PN_SCOPED | PN_PATH | PN_FILE_ONLY,
	    "A file of the authorities (PEM) that a recipient's certificate must lead to; left "
	    "out, any authority will do."),
	PN_OPT_CHOICE("prefer", struct pki, prefer, "smime", prefer_words, PN_SCOPED,
	    "Which key is taken where a recipient has both and has said nothing (`posternctl pki "
	    "prefer`)."),
	PN_OPT_CHOICE("smime_cipher", struct pki, smime_cipher, "cbc-unless-declared", cipher_words,
	    PN_SCOPED, "What S/MIME encrypts with."),
	PN_OPT_CHOICE("encrypted", struct pki, encrypted, "pass", encrypted_words, PN_SCOPED,
	    "What becomes of mail that its sender has encrypted, as a whole, before it came here."),
	PN_OPT_BOOL("hide_subject", struct pki, hide_subject, "yes", PN_SCOPED,
	    "Keep the subject, and whatever else tells what encrypted mail is about, inside."),
	PN_OPT_WORDS("sign", struct pki, sign, "[]", sign_words, PN_SCOPED,
	    "How mail is signed, with the key of its From, else with that of the domain; mail that "
	    "is signed or encrypted already stays as it is. Entries that change text belong before "
	    "this one."),
	PN_OPT_CHOICE("sign_for", struct pki, sign_for, "users", sign_for_words, 0,
	    "For whom mail is signed."),
	PN_OPT_BOOL("sign_required", struct pki, sign_required, "no", PN_SCOPED,
	    "Refuse mail that is to be signed and cannot be, instead of sending it unsigned."),
	PN_OPT_SECRET("seal_with", struct pki, seal_with, PN_FILE_ONLY,
	    "Keys that private keys are sealed with in the database, one a line: a name, a blank, "
	    "64 hexadecimal digits. The first one seals, all open. Without, no private key is "
	    "kept."),
	PN_OPT_STRING("recovery", struct pki, recovery, NULL, PN_PATH | PN_FILE_ONLY,
	    "A certificate (PEM) of somebody who may have private keys back: `pki private export` "
	    "writes them encrypted to it. Left out, nobody gets any."),
	PN_OPT_BOOL("pgp_hide_recipients", struct pki, pgp_hide_recipients, "no", PN_SCOPED,
	    "Leave out of OpenPGP messages to which keys they are encrypted; programs of "
	    "recipients "
	    "then try each key they have."),
	PN_OPT_BOOL("wkd", struct pki, wkd, "no", PN_SCOPED,
	    "Ask domains of recipients who are nobody here, and of whom no key is stored, for an "
	    "OpenPGP key (Web Key Directory): over HTTPS, at openpgpkey.DOMAIN, or where that host "
	    "does not exist at DOMAIN."),
	PN_OPT_CHOICE("wkd_failure", struct pki, wkd_failure, "defer", wkd_failure_words, PN_SCOPED,
	    "What becomes of mail whose recipient's directory should be there and cannot be "
	    "asked."),
	PN_OPT_DURATION("wkd_timeout", struct pki, wkd_timeout, "5s", 10, 60000, 0,
	    "How long a directory may take to answer."),
	PN_OPT_STRING("wkd_server", struct pki, wkd_server, NULL, 0,
	    "https:// address of a server that is asked instead, for every domain."),
	PN_OPT_STRING("wkd_ca_file", struct pki, wkd_ca_file, NULL, PN_PATH | PN_FILE_ONLY,
	    "Certificates (PEM) that vouch for directories, instead of the system's."),
	PN_OPT_CHOICE("learn", struct pki, learn, "no", learn_words, 0,
	    "Which certificates in signed mail that passes are kept for its author."),
	PN_OPT_INT("learn_most", struct pki, learn_most, "10000", 1, 10000000, 0,
	    "So many certificates that were learnt are kept in all."),
	PN_OPT_CHOICE("revocation", struct pki, revocation, "none", revocation_words, PN_FILE_ONLY,
	    "How it is asked whether a recipient's certificate, or that of an authority above it, "
	    "is revoked; only with `trust`."),
	PN_OPT_BOOL("revocation_required", struct pki, revocation_required, "yes", PN_FILE_ONLY,
	    "Defer mail where that cannot be told now; no: take the certificate for good."),
	PN_OPT_STRINGS("crl_files", struct pki, crl_files, "[]", PN_PATH | PN_FILE_ONLY,
	    "Files of lists of revoked certificates (PEM or DER); they are read again when they "
	    "change."),
	PN_OPT_STRINGS("warn", struct pki, warn, "[]", 0,
	    "Addresses that are told by mail, 30, 7 and 1 days before, of keys that end."),
	PN_OPT_END
};

/* ---- settings -------------------------------------------------------------------------------- */

static void
pki_release(void *derived)
{
	struct pki_prepared *prepared = derived;

	X509_STORE_free(prepared->trust);
	X509_free(prepared->recovery);
	g_free(prepared);
}

static int
add_all(X509_STORE *store, STACK_OF(X509) * certificates)
{
	for (int i = 0; i < sk_X509_num(certificates); i++)
		if (X509_STORE_add_cert(store, sk_X509_value(certificates, i)) != 1)
			return -ENOMEM;
	return 0;
}

static int
load_trust(const char *path, X509_STORE **ret, struct pn_error *err)
{
	STACK_OF(X509) *certificates = NULL;
	GError *error = NULL;
	char *bytes = NULL;
	size_t len;
	int r;

	if (!g_file_get_contents(path, &bytes, &len, &error)) {
		pn_error_set(err, -EIO, "%s", error->message);
		g_error_free(error);
		return -EIO;
	}
	r = certificates_read(pn_slice(bytes, len), TRUST_MOST, &certificates, err);
	g_free(bytes);
	if (r < 0)
		return pn_error_in(err, "%s", path);
	*ret = X509_STORE_new();
	r = *ret ? add_all(*ret, certificates) : -ENOMEM;
	sk_X509_pop_free(certificates, X509_free);
	ERR_clear_error();
	return r < 0 ? pn_error_set(err, r, "not enough memory") : 0;
}

static int
pki_prepare(struct pn_check *check, const void *settings, void **ret)
{
	const struct pki *cfg = settings;
	struct pki_prepared *prepared = g_new0(struct pki_prepared, 1);
	struct pn_error err = { 0 };

	if (cfg->trust && load_trust(cfg->trust, &prepared->trust, &err) < 0) {
		pn_complain(check, "trust", "%s", err.text);
		pki_release(prepared);
		return -EINVAL;
	}
	if (cfg->recovery && recovery_load(cfg->recovery, &prepared->recovery, &err) < 0) {
		pn_complain(check, "recovery", "%s", err.text);
		pki_release(prepared);
		return -EINVAL;
	}
	*ret = prepared;
	return 0;
}

static void
pki_check(struct pn_check *check, const void *settings)
{
	const struct pki *cfg = settings;
	char address[PN_ADDRESS_SIZE];

	if (cfg->wkd_server && !g_str_has_prefix(cfg->wkd_server, "https://"))
		pn_complain(check, "wkd_server",
		    "is not an https:// address, such as https://keys.example.com");
	pn_sealed_check(check, "seal_with", cfg->seal_with);
	if (cfg->revocation != PKI_BY_NOTHING && !cfg->trust)
		pn_complain(check, "revocation",
		    "needs `trust`: whose word counts, and where is asked, trusted authorities "
		    "say");
	if (cfg->learn == PKI_LEARN_ANYBODY && !cfg->trust)
		pn_complain(check, "learn",
		    "\"anybody\" needs `trust`: anybody can make a certificate of anybody");
	if (cfg->learn == PKI_LEARN_OWNERS && cfg->sign_for == PKI_SIGN_FOR_ACCOUNT && !cfg->trust)
		pn_complain(check, "learn",
		    "\"owners\" together with sign_for \"account\" needs `trust`: clients that "
		    "have not logged in could bring a certificate of anybody in their domains");
	for (size_t i = 0; i < cfg->warn.count; i++)
		if (pn_address_canonical(cfg->warn.items[i], address) < 0 || !*address)
			pn_complain(check, "warn", "\"%s\" is no mail address", cfg->warn.items[i]);
	if (cfg->warn.count > PN_MAIL_RECIPIENTS_MOST)
		pn_complain(check, "warn", "%d addresses at most", PN_MAIL_RECIPIENTS_MOST);
	if (cfg->sign.count > 0 && !cfg->seal_with)
		pn_warn(check, "sign",
		    "nothing can be signed: there are no private keys without seal_with");
}

/* ---- hooks ----------------------------------------------------------------------------------- */

static struct pn_verdict
pki_on_message(struct pn_call *call, struct pn_txn *txn)
{
	const struct pki *cfg = pn_settings(call);
	bool sign = cfg->sign.count > 0 && cfg->seal_with,
	     learn = cfg->learn != PKI_LEARN_NO && sign_is_protected(call, txn) > 0;

	if (!sign && !learn)
		return pn_pass();
	if (!pn_may_block(call))
		return pn_not_quick();
	if (learn)
		learn_look(call, txn);
	return sign ? sign_message(call, txn) : pn_pass();
}

static struct pn_verdict
pki_on_committed(struct pn_call *call, struct pn_txn *txn)
{
	(void)txn;
	return learn_keep(call);
}

static struct pn_verdict
pki_on_tick(struct pn_call *call, struct pn_txn *txn)
{
	const struct pki *cfg = pn_settings(call);

	(void)txn;
	return cfg->warn.count > 0 ? warn_of_ends(call) : pn_pass();
}

static const struct pn_hook pki_hooks[] = {
	{ PN_STAGE_MESSAGE, PN_QUICK, pki_on_message },
	{ PN_STAGE_COMMITTED, 0, pki_on_committed },
	{ PN_STAGE_TICK, 0, pki_on_tick },
	{ PN_STAGE_SELECT, 0, pki_on_select },
	PN_HOOK_END,
};

static const struct pn_provider pki_providers[] = {
	{ PKI_PGP, 0, 0, pgp_render },
	{ PKI_SMIME, 0, 0, pki_smime_render },
	{ PKI_SMIME_GCM, 0, 0, pki_smime_gcm_render },
	{ NULL, 0, 0, NULL },
};

/* ---- life ------------------------------------------------------------------------------------ */

static int
pki_start(struct pn_call *call, void **ret, struct pn_error *err)
{
	struct pki_state *state = g_new0(struct pki_state, 1);

	(void)call;
	(void)err;
	state->wholes = pki_wholes_new();
	state->revocations = revocations_new();
	state->wkd = wkd_new();
	*ret = state;
	return 0;
}

static void
pki_stop(void *arg)
{
	struct pki_state *state = arg;

	pki_wholes_free(state->wholes);
	revocations_free(state->revocations);
	wkd_free(state->wkd);
	g_free(state);
}

PN_MODULE(pki) = {
	PN_MODULE_HEAD,
	.name = "pki",
	.summary =
	    "Encrypts mail to keys of its recipients, which it keeps and judges; signs mail.",
	.roles = PN_ROLE_RELAY | PN_ROLE_CTL,
	.flags = PN_MODIFIES,
	.settings_size = sizeof(struct pki),
	.settings = pki_options,
	.check = pki_check,
	.prepare = pki_prepare,
	.release = pki_release,
	.start = pki_start,
	.stop = pki_stop,
	.hooks = pki_hooks,
	.providers = pki_providers,
	.together = pki_together,
	.chooses = PKI_SMIME " " PKI_SMIME_GCM " " PKI_PGP,
	.commands = pki_commands,
	.migrations = pki_migrations,
};
