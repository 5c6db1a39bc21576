/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user_relays.c - mail from an address elsewhere leaves by the server that its user has for it.
 *
 * Asked with the whole message, on the event loop: all of it is answered from memory. Must never
 * take a server that another user has named, nor one for an address that is not the user's.
 */
#include "user_relays.h"

static const struct pn_option user_relays_options[] = {
	PN_OPT_BOOL("allow", struct user_relays, allow, "no", PN_SCOPED,
	    "Allow users to send mail through an external SMTP server for a From address that is "
	    "hosted outside of our domains. Off, none can be stored, and those that are there are "
	    "not used."),
	PN_OPT_BOOL("force_gateway", struct user_relays, force_gateway, "no", PN_SCOPED,
	    "All mail has to leave by `routes`: an error beside `allow`."),
	PN_OPT_BOOL("unverified", struct user_relays, unverified, "no", PN_SCOPED,
	    "Let users do without a valid certificate at their server."),
	PN_OPT_END
};

/* S3-11. */
static void
user_relays_check(struct pn_check *check, const void *settings)
{
	const struct user_relays *cfg = settings;

	if (cfg->allow && cfg->force_gateway)
		pn_complain(check, "allow",
		    "contradicts force_gateway: mail by a user's own server does not pass the "
		    "gateway; set one of the two to no");
}

const char *
user_relays_objection(const struct pn_call *call, const char *user, const char *address)
{
	const char *at = strrchr(address, '@');
	struct pn_account account;

	switch (pn_user_owns(call, user, address)) {
	case PN_OWNS_NOT:
		return "it is not the user's: its owner has to confirm it first";
	case PN_OWNS_DELEGATED:
		return "it is somebody else's";
	case PN_OWNS_SELF:
	case PN_OWNS_ALIAS:
	case PN_OWNS_CONFIRMED:
		break;
	}
	return at && pn_domain_account(call, at + 1, &account)
		   ? "its domain is here, where the routes take its mail"
		   : NULL;
}

/* The only address of the only From; NULL: there is no such. */
static const char *
address_of(struct pn_call *call, const struct pn_txn *txn)
{
	struct pn_strings addresses;
	struct pn_header second;

	if (pn_header_find(txn, "From", 1, &second) ||
	    pn_header_addresses(call, "From", 0, &addresses) < 0 || addresses.count != 1)
		return NULL;
	return addresses.items[0];
}

/* The return path as well: that server knows no other address, and a null one stays as it is. */
static struct pn_verdict
send(struct pn_call *call, const struct pn_txn *txn, const struct pn_user_relay *relay,
    const char *from)
{
	int r = pn_send_by_user_relay(call, relay->address);

	if (r == 0 && *pn_txn_sender(txn))
		r = pn_edit_sender(call, from);
	return r < 0 ? pn_fault(call, r, "cannot choose the user's own server")
		     : pn_pass_because(call, "leaves by %s:%u, which %s has for %s", relay->host,
			   (unsigned)relay->port, relay->user, relay->address);
}

static struct pn_verdict
user_relays_on_message(struct pn_call *call, struct pn_txn *txn)
{
	const struct user_relays *cfg = pn_settings(call);
	const char *user = pn_txn_user(txn), *from, *objection;
	struct pn_user_relay relay;

	if (!user)
		return pn_pass();
	from = address_of(call, txn);
	if (!from || !pn_user_relay_find(call, user, from, &relay))
		return pn_pass();
	if (!cfg->allow)
		return pn_pass_because(call, "by the routes: users' servers are not allowed");
	objection = user_relays_objection(call, user, from);
	if (objection)
		return pn_pass_because(call, "by the routes: %s", objection);
	if (!relay.verify && !cfg->unverified)
		return pn_pass_because(
		    call, "by the routes: the user's server needs a valid certificate now");
	return send(call, txn, &relay, from);
}

static const struct pn_hook user_relays_hooks[] = {
	{ PN_STAGE_MESSAGE, PN_QUICK, user_relays_on_message }, PN_HOOK_END
};

PN_MODULE(user_relays) = {
	PN_MODULE_HEAD,
	.name = "user-relays",
	.summary = "Sends mail from an address elsewhere by the server that its user has for it.",
	.roles = PN_ROLE_RELAY | PN_ROLE_CTL,
	.flags = PN_MODIFIES,
	.settings_size = sizeof(struct user_relays),
	.settings = user_relays_options,
	.check = user_relays_check,
	.hooks = user_relays_hooks,
	.commands = user_relays_commands,
};
