/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crashing.c - test module: crashes, or hangs on the loop, by what stands in the message.
 *
 * A subject of "crash" dies by abort(), "exit" ends the process, "hang" in a hook that was promised
 * to be quick.
 */
#include <postern/module.h>
#include <stdlib.h>
#include <time.h>

static struct pn_verdict
crashing_on_message(struct pn_call *call, struct pn_txn *txn)
{
	const struct timespec long_time = { .tv_sec = 600 };
	struct pn_header header;

	if (!pn_header_find(txn, "Subject", 0, &header))
		return pn_pass();
	if (pn_slice_equals(header.value, pn_slice_of(" crash")))
		abort();
	if (pn_slice_equals(header.value, pn_slice_of(" exit")))
		exit(0);
	if (pn_slice_equals(header.value, pn_slice_of(" hang")))
		nanosleep(&long_time, NULL);
	return pn_pass();
}

static struct pn_verdict
crashing_on_committed(struct pn_call *call, struct pn_txn *txn)
{
	if (strncmp(pn_txn_sender(txn), "crash-behind@", 13) == 0)
		abort();
	return pn_pass();
}

static const struct pn_hook crashing_hooks[] = {
	{ PN_STAGE_MESSAGE, PN_QUICK, crashing_on_message },
	{ PN_STAGE_COMMITTED, 0, crashing_on_committed },
	PN_HOOK_END,
};

PN_MODULE(crashing) = {
	PN_MODULE_HEAD,
	.name = "crashing",
	.summary = "Does not come back from its hooks.",
	.hooks = crashing_hooks,
};
