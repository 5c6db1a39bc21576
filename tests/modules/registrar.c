/* SPDX-License-Identifier: Apache-2.0 */
/* registrar.c - test module: writes what the directory says of the sender into the header. */
#include <postern/module.h>
#include <stdio.h>

struct registrar {
	const char *group;
};

static const struct pn_option registrar_options[] = { PN_OPT_STRING("group", struct registrar,
							  group, "nurses", 0,
							  "Group of which membership is asked."),
	PN_OPT_END };

static const char *
or_none(const char *text)
{
	return text ? text : "none";
}

static struct pn_verdict
registrar_on_message(struct pn_call *call, struct pn_txn *txn)
{
	static const char *const ways[] = { "nothing", "user", "network", "helo", "sender",
		"certificate" };
	static const char *const owns[] = { "not", "self", "alias", "delegated", "confirmed" };
	const struct registrar *cfg = pn_settings(call);
	const char *sender = pn_txn_original_sender(txn);
	const char *user = pn_txn_user(txn) ? pn_txn_user(txn) : sender;
	const char *domain = strrchr(sender, '@');
	struct pn_account account, home;
	char text[600];

	pn_txn_account(txn, &account);
	pn_domain_account(call, domain ? domain + 1 : "", &home);
	snprintf(text, sizeof(text),
	    "account=%s by=%s licences=%lld paid=%d plan=%s domains=%zu home=%s owns=%s known=%d "
	    "member=%d",
	    or_none(account.name), ways[pn_txn_account_by(txn)], (long long)account.licences,
	    account.paid, or_none(account.plan), account.domain_count, or_none(home.name),
	    owns[pn_user_owns(call, user, sender)], pn_user_known(call, sender),
	    pn_user_in_group(call, user, cfg->group));
	if (pn_header_append(call, "X-Directory", text) < 0)
		return pn_fault(call, -1, "cannot add the header");
	return pn_pass();
}

static const struct pn_hook registrar_hooks[] = {
	{ PN_STAGE_MESSAGE, PN_QUICK, registrar_on_message }, PN_HOOK_END
};

PN_MODULE(registrar) = {
	PN_MODULE_HEAD,
	.name = "registrar",
	.summary = "Writes what the directory says of the sender into the header.",
	.flags = PN_MODIFIES,
	.settings_size = sizeof(struct registrar),
	.settings = registrar_options,
	.hooks = registrar_hooks,
};
