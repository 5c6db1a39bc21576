/* SPDX-License-Identifier: Apache-2.0 */
/* idle.c - test module: quick hooks at every stage of a message, and nothing in them. */
#include <postern/module.h>

static struct pn_verdict
idle_on_any(struct pn_call *call, struct pn_txn *txn)
{
	return pn_pass();
}

static const struct pn_hook idle_hooks[] = {
	{ PN_STAGE_SENDER, PN_QUICK, idle_on_any },
	{ PN_STAGE_RECIPIENT, PN_QUICK, idle_on_any },
	{ PN_STAGE_MESSAGE, PN_QUICK, idle_on_any },
	PN_HOOK_END,
};

PN_MODULE(idle) = {
	PN_MODULE_HEAD,
	.name = "idle",
	.summary = "Does nothing.",
	.hooks = idle_hooks,
};
