/* SPDX-License-Identifier: Apache-2.0 */
/* twice.c - test module: two hooks at one stage. */
#include <postern/module.h>

static struct pn_verdict
twice_on_message(struct pn_call *call, struct pn_txn *txn)
{
	return pn_pass();
}

static const struct pn_hook twice_hooks[] = {
	{ PN_STAGE_MESSAGE, 0, twice_on_message },
	{ PN_STAGE_MESSAGE, 0, twice_on_message },
	PN_HOOK_END,
};

PN_MODULE(twice) = {
	PN_MODULE_HEAD,
	.name = "twice",
	.summary = "Says everything twice.",
	.hooks = twice_hooks,
};
