/* SPDX-License-Identifier: Apache-2.0 */
/* chooser.c - test module: chooses one method for everybody, and says which. */
#include <postern/module.h>

static struct pn_verdict
chooser_on_select(struct pn_call *call, struct pn_txn *txn)
{
	return pn_choose(call, "fake", pn_slice_of("key"), "always");
}

static const struct pn_hook chooser_hooks[] = {
	{ PN_STAGE_SELECT, PN_QUICK, chooser_on_select },
	PN_HOOK_END,
};

PN_MODULE(chooser) = {
	PN_MODULE_HEAD,
	.name = "chooser",
	.summary = "Chooses the method fake.",
	.hooks = chooser_hooks,
	.chooses = "tls fake",
};
