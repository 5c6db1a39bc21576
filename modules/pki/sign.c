/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sign.c - who may be signed for, and when.
 *
 * Called by the message hook. Must never sign in the name of an address for somebody whose it is
 * not, nor sign what is signed or encrypted already.
 */
#include "sign.h"
#include "private.h"
#include "signed_mail.h"
#include <errno.h>
#include <time.h>

const char *
sign_author(struct pn_call *call, const struct pn_txn *txn)
{
	struct pn_strings addresses;
	struct pn_header second;

	if (pn_header_find(txn, "From", 1, &second) ||
	    pn_header_addresses(call, "From", 0, &addresses) < 0 || addresses.count != 1)
		return NULL;
	return addresses.items[0];
}

static bool
begins(const char *text, const char *with)
{
	return g_ascii_strncasecmp(text, with, strlen(with)) == 0;
}

int
sign_is_protected(struct pn_call *call, const struct pn_txn *txn)
{
	struct pn_header second;
	const char *type = pn_header_text(call, "Content-Type", 0);

	if (!type)
		return 0;
	if (pn_header_find(txn, "Content-Type", 1, &second))
		return -EBADMSG;
	while (g_ascii_isspace(*type))
		type++;
	return begins(type, "multipart/signed") || begins(type, "multipart/encrypted") ||
	       begins(type, "application/pkcs7-mime") || begins(type, "application/x-pkcs7-mime");
}

/* A client that did not log in is known by its account alone. */
static const char *
objection_to_client(const struct pn_call *call, const struct pn_txn *txn, const char *from)
{
	const struct pki *cfg = pn_settings(call);
	const char *at = strrchr(from, '@');
	struct pn_account account;

	if (cfg->sign_for != PKI_SIGN_FOR_ACCOUNT)
		return "the client has not logged in";
	if (!at || !pn_txn_account(txn, &account))
		return "the client is no account's";
	for (size_t i = 0; i < account.domain_count; i++)
		if (strcmp(account.domains[i], at + 1) == 0)
			return NULL;
	return "From is in no domain of the client's account";
}

const char *
sign_objection(const struct pn_call *call, const struct pn_txn *txn, const char *from)
{
	const char *user = pn_txn_user(txn);

	if (!user)
		return objection_to_client(call, txn, from);
	switch (pn_user_owns(call, user, from)) {
	case PN_OWNS_SELF:
	case PN_OWNS_ALIAS:
	case PN_OWNS_CONFIRMED:
		return NULL;
	case PN_OWNS_DELEGATED:
		return "From is somebody else's";
	case PN_OWNS_NOT:
		break;
	}
	return "From is not the user's";
}

/* ---- signing --------------------------------------------------------------------------------- */

/* `pressing`: there is a key, and somebody has to look why it does not do. */
static struct pn_verdict
cannot(struct pn_call *call, const char *from, const char *why, bool pressing)
{
	const struct pki *cfg = pn_settings(call);

	if (cfg->sign_required)
		return pn_reject(
		    call, 550, "5.7.1", "This mail has to be signed and cannot be: %s", why);
	if (pressing)
		pn_log(call, PN_LOG_WARNING, "not signed for %s: %s", from, why);
	return pn_pass_because(call, "not signed: %s", why);
}

static struct pn_verdict
sign_by(struct pn_call *call, struct pn_txn *txn, const struct identity *identity, const char *name,
    const char *from)
{
	struct certificate_terms terms = {
		.address = strchr(name, '@') ? name : NULL,
		.any_case = true,
		.use = CERTIFICATE_TO_SIGN,
		.now = time(NULL),
	};
	struct certificate_judgement judgement;
	struct pn_error err = { 0 };
	int r;

	if (!certificate_judge_x509(identity->certificate, identity->chain, &terms, &judgement))
		return cannot(call, from, judgement.reason, true);
	r = signed_mail_make(call, txn, identity, &err);
	if (r == -ENOTSUP)
		return cannot(call, from, err.text, true);
	if (r < 0)
		return pn_fault(call, r, "cannot sign: %s", err.text);
	return pn_pass_because(
	    call, "signed (S/MIME) for %s, certificate %.16s", name, judgement.fingerprint);
}

static struct pn_verdict
sign_for(struct pn_call *call, struct pn_txn *txn, const char *from)
{
	char name[PN_ADDRESS_SIZE];
	struct pn_verdict ret;
	struct identity identity;
	struct pn_error err = { 0 };
	int r = private_find(call, from, &identity, name, &err);

	if (r == -ENOENT)
		return cannot(
		    call, from, "neither the address nor its domain has a key here", false);
	if (r < 0)
		return pn_fault(call, r, "cannot sign for %s: %s", from, err.text);
	ret = sign_by(call, txn, &identity, name, from);
	identity_clear(&identity);
	return ret;
}

struct pn_verdict
sign_message(struct pn_call *call, struct pn_txn *txn)
{
	const char *from, *objection;
	int r = sign_is_protected(call, txn);

	if (r > 0)
		return pn_pass_because(call, "not signed: it is signed or encrypted already");
	from = sign_author(call, txn);
	if (!from)
		return cannot(call, pn_txn_sender(txn), "From does not name one address", false);
	if (r < 0)
		return cannot(call, from, "it has more than one Content-Type", false);
	objection = sign_objection(call, txn, from);
	return objection ? cannot(call, from, objection, false) : sign_for(call, txn, from);
}
