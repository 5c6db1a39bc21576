/* SPDX-License-Identifier: Apache-2.0 */
/*
 * select.c - which key of a recipient protects a mail, and if none, why not (SPEC T2(2), T8).
 *
 * Called at selection, on a policy thread. Asks for the address as it stands after every alias and
 * rewriting. Must never pass without a reason, nor take an error of the database for "no key".
 */
#include "pki.h"
#include "revocation.h"
#include "whole.h"
#include "wkd.h"
#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <time.h>

#define REASON_MOST 400u

struct selecting {
	struct pn_call *call;
	const struct pki_owner *owner;
	const char *recipient;
	GString *reasons; /* of keys that were passed over */
	const char *method;
	GByteArray *choice;
	char fingerprint[CERTIFICATE_PRINT_SIZE];
	bool unsure; /* one of them could not be judged now */
};

/* Every kind has its own way of telling whether a key is of use, and what its provider gets. */
struct kind {
	const char *name, *title;
	/* 1: chosen; 0: not, with the reason in `why`; < 0: cannot be told now. */
	int (*choose)(
	    struct selecting *selecting, const struct pki_key *key, char *why, size_t size);
};

static void
say(struct selecting *selecting, const struct kind *kind, const char *fingerprint, const char *why)
{
	GString *reasons = selecting->reasons;

	if (reasons->len < REASON_MOST)
		g_string_append_printf(reasons, "%s%s%s%.12s %s", reasons->len ? "; " : "",
		    kind->title, *fingerprint ? " " : "", fingerprint, why);
}

/* ---- S/MIME ---------------------------------------------------------------------------------- */

static bool
declares_gcm(const struct pki_key *key, X509 *leaf)
{
	STACK_OF(X509_ALGOR) *declared = pki_declared_by(key->declared, leaf);
	bool does = pki_declares(declared, NID_aes_256_gcm);

	sk_X509_ALGOR_pop_free(declared, X509_ALGOR_free);
	return does;
}

static int
choose_certificate(struct selecting *selecting, const struct pki_key *key, X509 *leaf)
{
	const struct pki *cfg = pn_settings(selecting->call);
	bool gcm = cfg->smime_cipher == PKI_GCM ||
		   (cfg->smime_cipher == PKI_CBC_UNLESS_DECLARED && declares_gcm(key, leaf));

	selecting->method = gcm ? PKI_SMIME_GCM : PKI_SMIME;
	selecting->choice = pki_choice_write(leaf, key->declared);
	return selecting->choice ? 1 : 0;
}

static int
choose_smime(struct selecting *selecting, const struct pki_key *key, char *why, size_t size)
{
	const struct pki_prepared *prepared = pn_derived(selecting->call);
	struct certificate_terms terms = {
		.address = selecting->recipient,
		.any_case = selecting->owner->user,
		.now = time(NULL),
		.trust = prepared->trust,
	};
	struct certificate_judgement judgement;
	STACK_OF(X509) * chain;
	X509 *leaf;
	int r = 0;

	revocation_terms(selecting->call, &terms);
	if (certificate_read(key->material, &leaf, &chain) < 0) {
		g_strlcpy(why, "cannot be read", size);
		return 0;
	}
	if (!certificate_judge_x509(leaf, chain, &terms, &judgement)) {
		g_strlcpy(why, judgement.reason, size);
		r = judgement.fault == CERTIFICATE_UNSURE ? -EAGAIN : 0;
	} else {
		r = choose_certificate(selecting, key, leaf);
		if (r == 0)
			g_strlcpy(why, "is too large", size);
	}
	X509_free(leaf);
	sk_X509_pop_free(chain, X509_free);
	return r;
}

/* ---- OpenPGP --------------------------------------------------------------------------------- */

/*
 * It was judged when it came, and nothing about it changes but the day; a key that gpg refuses all
 * the same is the provider's to name. Asking gpg here, for each recipient, would take 20 ms.
 */
static int
choose_pgp(struct selecting *selecting, const struct pki_key *key, char *why, size_t size)
{
	if (key->not_after > 0 && key->not_after <= time(NULL)) {
		g_strlcpy(why, "has expired", size);
		return 0;
	}
	if (key->material.len > PKI_CHOICE_MOST) {
		g_strlcpy(why, "is too large", size);
		return 0;
	}
	selecting->method = PKI_PGP;
	selecting->choice = g_byte_array_new();
	g_byte_array_append(
	    selecting->choice, (const guint8 *)key->material.data, (guint)key->material.len);
	return 1;
}

/* Somebody else's domain is asked. As try_kind(). */
static int
try_wkd(struct selecting *selecting)
{
	const struct pki *cfg = pn_settings(selecting->call);
	const struct pki_state *state = pn_state(selecting->call);
	struct wkd_found *found;
	int r;

	if (!cfg->wkd || selecting->owner->user)
		return 0;
	found = g_new(struct wkd_found, 1);
	r = wkd_find(selecting->call, state->wkd, selecting->owner->address, found);
	if (r > 0) {
		selecting->method = PKI_PGP;
		selecting->choice = g_byte_array_new();
		g_byte_array_append(selecting->choice, (const guint8 *)found->material.data,
		    (guint)found->material.len);
		g_strlcpy(
		    selecting->fingerprint, found->fingerprint, sizeof(selecting->fingerprint));
	} else if (selecting->reasons->len < REASON_MOST) {
		g_string_append_printf(selecting->reasons, "%sWeb Key Directory: %s",
		    selecting->reasons->len ? "; " : "", found->why);
	}
	selecting->unsure |= r < 0 && cfg->wkd_failure == PKI_WKD_DEFER;
	g_free(found);
	return r > 0;
}

/* ---- all kinds ------------------------------------------------------------------------------- */

static const struct kind kinds[] = {
	{ PKI_SMIME, "certificate", choose_smime },
	{ PKI_PGP, "OpenPGP key", choose_pgp },
};

struct trying {
	struct selecting *selecting;
	const struct kind *kind;
	bool any;
};

static int
try_key(void *arg, const struct pki_key *key)
{
	struct trying *trying = arg;
	struct selecting *selecting = trying->selecting;
	char why[300] = "";
	int r = 0;

	trying->any = true;
	if (strcmp(key->state, "active") == 0)
		r = trying->kind->choose(selecting, key, why, sizeof(why));
	else
		snprintf(why, sizeof(why), "is %.40s", key->state);
	if (r > 0) {
		g_strlcpy(selecting->fingerprint, key->fingerprint, sizeof(selecting->fingerprint));
		return 1;
	}
	selecting->unsure |= r < 0;
	say(selecting, trying->kind, key->fingerprint, why);
	return 0;
}

/* 1: found; 0: not; < 0: the database. */
static int
try_kind(struct selecting *selecting, const struct kind *kind, struct pn_error *err)
{
	struct trying trying = { selecting, kind, false };
	int r = pki_keys_each(
	    selecting->call, selecting->owner->address, kind->name, try_key, &trying, err);

	return r;
}

static int
try_kinds(struct selecting *selecting, const char *first, struct pn_error *err)
{
	int r = 0;

	for (int preferred = 1; preferred >= 0 && r == 0; preferred--)
		for (size_t i = 0; i < G_N_ELEMENTS(kinds) && r == 0; i++)
			if ((strcmp(kinds[i].name, first) == 0) == preferred)
				r = try_kind(selecting, &kinds[i], err);
	return r;
}

/* ---- the hook -------------------------------------------------------------------------------- */

static struct pn_verdict
answer(struct pn_call *call, const struct selecting *selecting, int r, const struct pn_error *err)
{
	if (r < 0)
		return pn_fault(call, r, "cannot look up keys: %s", err->text);
	if (r > 0)
		return pn_choose(call, selecting->method,
		    pn_slice(selecting->choice->data, selecting->choice->len), "%s %.16s of %s",
		    strcmp(selecting->method, PKI_PGP) == 0 ? "OpenPGP key" : "certificate",
		    selecting->fingerprint, selecting->owner->address);
	if (selecting->unsure)
		return pn_defer(call, 451, "4.7.5",
		    "Keys of this recipient cannot be had or judged now; try again later");
	if (selecting->reasons->len > 0)
		return pn_pass_because(call, "no key can be used: %s", selecting->reasons->str);
	return pn_pass_because(call, "there is no key of %s", selecting->owner->address);
}

static struct pn_verdict
choose_for(struct pn_call *call, const struct pki_owner *owner, const char *recipient)
{
	const struct pki *cfg = pn_settings(call);
	struct selecting selecting = {
		.call = call, .owner = owner, .recipient = recipient, .reasons = g_string_new(NULL)
	};
	char preferred[PKI_KIND_SIZE];
	struct pn_error err = { 0 };
	struct pn_verdict verdict;
	int r = pki_preference_get(call, owner->address, preferred, &err);

	if (r == -ENOENT) {
		g_strlcpy(preferred, cfg->prefer == PKI_PREFER_PGP ? PKI_PGP : PKI_SMIME,
		    sizeof(preferred));
		r = 0;
	}
	if (r == 0)
		r = try_kinds(&selecting, preferred, &err);
	if (r == 0)
		r = try_wkd(&selecting);
	verdict = answer(call, &selecting, r, &err);
	g_string_free(selecting.reasons, TRUE);
	if (selecting.choice)
		g_byte_array_free(selecting.choice, TRUE);
	return verdict;
}

struct pn_verdict
pki_on_select(struct pn_call *call, struct pn_txn *txn)
{
	const struct pki *cfg = pn_settings(call);
	const char *recipient = pn_txn_recipient(txn);
	struct pn_error err = { 0 };
	struct pki_owner owner;
	int r;

	/* At RCPT it is not known yet whether the sender's program has encrypted the mail. */
	if (cfg->encrypted == PKI_PASS && pn_txn_is_provisional(txn))
		return pn_choose(call, "none", pn_slice_of(""), "the mail may be encrypted");
	if (cfg->encrypted == PKI_PASS) {
		r = pki_whole_asked(call, txn, &err);
		if (r < 0)
			return pn_fault(call, r, "cannot look into the mail: %s", err.text);
		if (r > 0)
			return pn_choose(
			    call, "none", pn_slice_of(""), "the sender has encrypted it");
	}
	r = pki_owner_find(call, recipient, &owner, &err);
	if (r == -EINVAL)
		return pn_pass_because(call, "%s", err.text);
	if (r < 0)
		return pn_fault(call, r, "cannot look up the recipient: %s", err.text);
	if (owner.user && !owner.enabled)
		return pn_pass_because(call, "the user %s is switched off", owner.address);
	return choose_for(call, &owner, recipient);
}
