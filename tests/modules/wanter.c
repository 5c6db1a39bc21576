/* SPDX-License-Identifier: Apache-2.0 */
/* wanter.c - test module: wants protection for all mail. */
#include <postern/module.h>

static struct pn_verdict
wanter_on_sender(struct pn_call *call, struct pn_txn *txn)
{
	int r = pn_want_protection(call, "always");

	return r < 0 ? pn_fault(call, r, "cannot want") : pn_pass();
}

static const struct pn_hook wanter_hooks[] = {
	{ PN_STAGE_SENDER, PN_QUICK, wanter_on_sender },
	PN_HOOK_END,
};

PN_MODULE(wanter) = {
	PN_MODULE_HEAD,
	.name = "wanter",
	.summary = "Wants protection.",
	.flags = PN_WANTS,
	.hooks = wanter_hooks,
};
