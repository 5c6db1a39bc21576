/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sender_restrictions.c - who may send as whom.
 *
 * Called at MAIL, at RCPT for the null sender, and with the whole message for From and Sender. Must
 * never make a null sender anything else (a report would be answered by a report), nor touch From
 * unless it is told to.
 */
#include "sender_restrictions.h"
#include <errno.h>

static const struct pn_choice allowances[] = {
	{ "registered-users", REGISTERED_USERS, "registered users of the account's domains" },
	{ "account-domains", ACCOUNT_DOMAINS, "any address in the account's domains" },
	{ "any", ANY,
	    "anything; an envelope sender outside of the account's domains becomes postmaster in "
	    "the one that AUTH or EHLO stands for" },
	{ NULL, 0, NULL },
};
static const struct pn_choice envelope_treatments[] = {
	{ "auto", AUTO, "must-match; with `allowed: any` as-allowed" },
	{ "must-match", MUST_MATCH, "refuse it" },
	{ "rewrite", REWRITE, "put the user's own address in its place" },
	{ "as-allowed", AS_ALLOWED, "take what `allowed` allows" },
	{ NULL, 0, NULL },
};
static const struct pn_choice header_treatments[] = {
	{ "auto", AUTO, "must-match; with `allowed: any` as-allowed" },
	{ "must-match", MUST_MATCH, "refuse the message" },
	{ "rewrite", REWRITE, "put the sender's own address in its place" },
	{ "add-sender", ADD_SENDER, "leave From alone, and have Sender say whose it is" },
	{ "as-allowed", AS_ALLOWED, "take what `allowed` allows" },
	{ "any", ANYTHING, "do not look at them" },
	{ NULL, 0, NULL },
};

static const struct pn_option sender_restrictions_options[] = {
	PN_OPT_CHOICE("allowed", struct sender_restrictions, allowed, "registered-users",
	    allowances, PN_SCOPED, "What an account may send with."),
	PN_OPT_CHOICE("envelope", struct sender_restrictions, envelope, "auto", envelope_treatments,
	    PN_SCOPED,
	    "What becomes of an envelope sender that does not belong to the user who logged in."),
	PN_OPT_CHOICE("from_header", struct sender_restrictions, from_header, "auto",
	    header_treatments, PN_SCOPED,
	    "What becomes of addresses in From and Sender that do not belong to the user; of "
	    "clients that did not log in: that `allowed` does not allow."),
	PN_OPT_STRING("text", struct sender_restrictions, text, NULL, PN_SCOPED,
	    "What the client is told of an address that may not be used; left out: what is wrong, "
	    "in English."),
	PN_OPT_STRINGS("clients", struct sender_restrictions, clients, NULL, PN_SCOPED,
	    "Networks that mail is taken from, as in 192.0.2.0/24 or 2001:db8::/112; left out: "
	    "all. In scopes: those of whose mail it is. Who sends through Gmail comes from "
	    "Google's addresses."),
	PN_OPT_STRINGS("clients_denied", struct sender_restrictions, clients_denied, NULL,
	    PN_SCOPED, "Networks that it is not taken from, even if `clients` has them."),
	PN_OPT_END
};

static void
check_networks(struct pn_check *check, const char *key, const struct pn_strings *networks)
{
	char path[40];

	for (size_t i = 0; i < networks->count; i++) {
		if (pn_network_has(networks->items[i], "local") >= 0)
			continue;
		g_snprintf(path, sizeof(path), "%s[%zu]", key, i);
		pn_complain(check, path,
		    "\"%s\" is not a network; write for example 192.0.2.0/24, 2001:db8::/112 or "
		    "192.0.2.7, without bits behind the prefix",
		    networks->items[i]);
	}
}

static void
sender_restrictions_check(struct pn_check *check, const void *settings)
{
	const struct sender_restrictions *cfg = settings;

	check_networks(check, "clients", &cfg->clients);
	check_networks(check, "clients_denied", &cfg->clients_denied);
	if (cfg->allowed == ANY)
		pn_warn(check, "allowed",
		    "any is not recommended: whoever gets hold of one password may write in "
		    "anybody's name; account-domains is enough for most");
}

/* ---- MAIL ------------------------------------------------------------------------------------ */

static struct pn_verdict
refuse(const struct origin *origin, const char *why)
{
	const char *text = origin->cfg->text;

	return pn_reject(origin->call, 550, "5.7.1", "%s", text && *text ? text : why);
}

static struct pn_verdict
rewrite(const struct origin *origin, const char *address)
{
	int r = pn_edit_sender(origin->call, address);

	return r < 0 ? pn_fault(origin->call, r, "cannot rewrite the sender")
		     : pn_pass_because(origin->call, "the sender is %s now", address);
}

static struct pn_verdict
judge_null_sender(const struct origin *origin)
{
	if (origin->cfg->allowed == ANY && !origin_domain(origin))
		return pn_reject(origin->call, 550, "5.7.1",
		    "Log in, or greet with a name in one of your domains, to send without a sender "
		    "address");
	return pn_pass();
}

/* S2-24 to S2-26. */
static struct pn_verdict
judge_foreign_sender(const struct origin *origin)
{
	const char *domain = origin_domain(origin);
	char address[PN_ADDRESS_SIZE];

	if (!domain)
		return pn_reject(origin->call, 550, "5.7.1",
		    "Log in, or greet with a name in one of your domains, to send with an address "
		    "outside of them");
	g_snprintf(address, sizeof(address), "postmaster@%s", domain);
	return rewrite(origin, address);
}

static struct pn_verdict
judge_sender(const struct origin *origin, const char *sender)
{
	enum treatment treatment = origin_treatment(origin, origin->cfg->envelope);

	if (origin_owns(origin, sender))
		return pn_pass();
	if (origin->cfg->allowed == ANY && !origin_has_domain_of(origin, sender))
		return judge_foreign_sender(origin);
	if (origin->user && treatment == REWRITE)
		return rewrite(origin, origin->user);
	if (!origin_allows(origin, sender))
		return refuse(origin, origin->cfg->allowed == REGISTERED_USERS
					  ? "The sender must be a registered user of your domains"
					  : "The sender must be an address in one of your domains");
	if (origin->user && treatment == MUST_MATCH)
		return refuse(origin,
		    "The sender is not yours; send as yourself, an alias of yours or somebody who "
		    "lets you");
	return pn_pass();
}

static bool
is_in(const struct pn_strings *networks, const char *client)
{
	for (size_t i = 0; i < networks->count; i++)
		if (pn_network_has(networks->items[i], client) == 1)
			return true;
	return false;
}

/* B-26. */
static bool
may_come_from(const struct origin *origin)
{
	const struct sender_restrictions *cfg = origin->cfg;
	const char *client = pn_txn_client_address(origin->txn);

	return !is_in(&cfg->clients_denied, client) &&
	       (cfg->clients.count == 0 || is_in(&cfg->clients, client));
}

static struct pn_verdict
sender_restrictions_on_sender(struct pn_call *call, struct pn_txn *txn)
{
	struct origin origin = origin_of(call, txn);
	const char *sender = pn_txn_sender(txn);

	if (!origin_is_known(&origin))
		return pn_reject(call, 550, "5.7.1",
		    "Nobody here knows whose mail this is; log in, or send from a network of your "
		    "account");
	if (!may_come_from(&origin))
		return pn_reject(call, 550, "5.7.1",
		    "Mail of yours is not taken from your address; send from where you are allowed "
		    "to");
	return *sender ? judge_sender(&origin, sender) : judge_null_sender(&origin);
}

/* ---- RCPT and the message -------------------------------------------------------------------- */

/* S2-36: so that a report goes to one recipient, and whoever sends more of them splits. */
static struct pn_verdict
sender_restrictions_on_recipient(struct pn_call *call, struct pn_txn *txn)
{
	if (*pn_txn_sender(txn) || pn_txn_recipient_count(txn) <= 1)
		return pn_pass();
	return pn_defer(call, 452, "4.5.3",
	    "Without a sender address there is one recipient; send to the others in another "
	    "message");
}

static struct pn_verdict
sender_restrictions_on_message(struct pn_call *call, struct pn_txn *txn)
{
	struct origin origin = origin_of(call, txn);

	return fields_judge(&origin);
}

static const struct pn_hook sender_restrictions_hooks[] = { { PN_STAGE_SENDER, PN_QUICK,
								sender_restrictions_on_sender },
	{ PN_STAGE_RECIPIENT, PN_QUICK, sender_restrictions_on_recipient },
	{ PN_STAGE_MESSAGE, PN_QUICK, sender_restrictions_on_message }, PN_HOOK_END };

PN_MODULE(sender_restrictions) = {
	PN_MODULE_HEAD,
	.name = "sender-restrictions",
	.summary = "Says who may send as whom.",
	.flags = PN_MODIFIES,
	.settings_size = sizeof(struct sender_restrictions),
	.settings = sender_restrictions_options,
	.check = sender_restrictions_check,
	.hooks = sender_restrictions_hooks,
};
