/* SPDX-License-Identifier: Apache-2.0 */
/* hanging.c - test module: a hook that does not return for ten minutes, for some recipients and
 * messages. */
#include <postern/module.h>
#include <time.h>

static struct pn_verdict
hanging_on_recipient(struct pn_call *call, struct pn_txn *txn)
{
	const struct timespec long_time = { .tv_sec = 600 };

	if (strncmp(pn_txn_recipient(txn), "hang@", 5) == 0)
		nanosleep(&long_time, NULL);
	return pn_pass();
}

static struct pn_verdict
hanging_on_committed(struct pn_call *call, struct pn_txn *txn)
{
	const struct timespec long_time = { .tv_sec = 600 };

	if (strncmp(pn_txn_sender(txn), "hang-behind@", 12) == 0)
		nanosleep(&long_time, NULL);
	return pn_pass();
}

static struct pn_verdict
hanging_on_message(struct pn_call *call, struct pn_txn *txn)
{
	const struct timespec long_time = { .tv_sec = 600 };
	struct pn_header header;

	if (pn_header_find(txn, "X-Hang", 0, &header))
		nanosleep(&long_time, NULL);
	return pn_pass();
}

static const struct pn_hook hanging_hooks[] = {
	{ PN_STAGE_MESSAGE, 0, hanging_on_message },
	{ PN_STAGE_RECIPIENT, 0, hanging_on_recipient },
	{ PN_STAGE_COMMITTED, 0, hanging_on_committed },
	PN_HOOK_END,
};

PN_MODULE(hanging) = {
	PN_MODULE_HEAD,
	.name = "hanging",
	.summary = "Does not come back in time.",
	.hooks = hanging_hooks,
};
