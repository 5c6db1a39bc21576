/* SPDX-License-Identifier: Apache-2.0 */
/* slow.c - test module: hooks that want a thread, from the start or on second thoughts. */
#include <errno.h>
#include <postern/module.h>

static struct pn_verdict
slow_on_message(struct pn_call *call, struct pn_txn *txn)
{
	return pn_may_block(call) ? pn_pass_because(call, "blocked")
				  : pn_fault(call, -EDEADLK, "on the loop");
}

static struct pn_verdict
slow_on_sender(struct pn_call *call, struct pn_txn *txn)
{
	struct pn_user user;

	if (!pn_may_block(call))
		return pn_user_find(call, "a@example.org", &user, NULL) == -EWOULDBLOCK
			   ? pn_not_quick()
			   : pn_fault(call, -EDEADLK, "asked the database on the loop");
	return pn_pass_because(call, "on second thoughts");
}

static struct pn_verdict
slow_on_helo(struct pn_call *call, struct pn_txn *txn)
{
	return strcmp(pn_txn_helo(txn), "never.example") == 0 ? pn_not_quick() : pn_pass();
}

static const struct pn_hook slow_hooks[] = {
	{ PN_STAGE_HELO, PN_QUICK, slow_on_helo },
	{ PN_STAGE_SENDER, PN_QUICK, slow_on_sender },
	{ PN_STAGE_MESSAGE, 0, slow_on_message },
	PN_HOOK_END,
};

PN_MODULE(slow) = {
	PN_MODULE_HEAD,
	.name = "slow",
	.summary = "Wants a thread.",
	.hooks = slow_hooks,
};
