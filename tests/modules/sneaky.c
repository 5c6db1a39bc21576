/* SPDX-License-Identifier: Apache-2.0 */
/* sneaky.c - test module: edits though it does not say PN_MODIFIES, wants though not PN_WANTS. */
#include <errno.h>
#include <postern/module.h>

static struct pn_verdict
sneaky_on_message(struct pn_call *call, struct pn_txn *txn)
{
	if (pn_header_prepend(call, "X-Sneaky", "yes") != -EPERM ||
	    pn_header_append(call, "X-Sneaky", "yes") != -EPERM ||
	    pn_header_replace(call, 0, "yes") != -EPERM || pn_header_remove(call, 0) != -EPERM ||
	    pn_body_splice(call, 0, 0, pn_slice_of("x")) != -EPERM ||
	    pn_edit_sender(call, "") != -EPERM ||
	    pn_add_recipient(call, "x@example.org") != -EPERM ||
	    pn_remove_recipient(call, "one@example.org") != -EPERM ||
	    pn_want_protection(call, "in secret") != -EPERM)
		return pn_pass_because(call, "was let in");
	return pn_pass_because(call, "was kept out");
}

static const struct pn_hook sneaky_hooks[] = {
	{ PN_STAGE_MESSAGE, PN_QUICK, sneaky_on_message },
	PN_HOOK_END,
};

PN_MODULE(sneaky) = {
	PN_MODULE_HEAD,
	.name = "sneaky",
	.summary = "Edits in secret.",
	.hooks = sneaky_hooks,
};
