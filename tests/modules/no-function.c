/* SPDX-License-Identifier: Apache-2.0 */
/* no-function.c - test module: calls a function that nobody has. */
#include <postern/module.h>

extern struct pn_verdict pn_function_that_nobody_has(struct pn_call *call);

static struct pn_verdict
no_function_on_message(struct pn_call *call, struct pn_txn *txn)
{
	return pn_function_that_nobody_has(call);
}

static const struct pn_hook no_function_hooks[] = {
	{ PN_STAGE_MESSAGE, 0, no_function_on_message },
	PN_HOOK_END,
};

PN_MODULE(no_function) = {
	PN_MODULE_HEAD,
	.name = "no-function",
	.summary = "Cannot be loaded.",
	.hooks = no_function_hooks,
};
