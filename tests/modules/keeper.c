/* SPDX-License-Identifier: Apache-2.0 */
/* keeper.c - test module: counts in the key-value store how often it was started, and by sender. */
#include <errno.h>
#include <postern/module.h>
#include <stdio.h>
#include <stdlib.h>

static int
count(struct pn_call *call, const char *key, struct pn_error *err)
{
	struct pn_slice value;
	char text[24];
	int r = pn_store_get(call, key, &value, err);

	if (r < 0 && r != -ENOENT)
		return r;
	snprintf(text, sizeof(text), "%d", r == 0 ? atoi(value.data) + 1 : 1);
	return pn_store_put(call, key, pn_slice_of(text), 0, err);
}

static int
keeper_start(struct pn_call *call, void **ret_state, struct pn_error *err)
{
	return count(call, "started", err);
}

static void
keeper_stop(void *state)
{
}

static struct pn_verdict
keeper_on_helo(struct pn_call *call, struct pn_txn *txn)
{
	struct pn_slice value;

	if (pn_store_get(call, "started", &value, NULL) != -EWOULDBLOCK ||
	    pn_store_put(call, "x", pn_slice_of("y"), 0, NULL) != -EWOULDBLOCK ||
	    pn_store_delete(call, "started", NULL) != -EWOULDBLOCK)
		return pn_reject(call, 550, "5.0.0", "The store was open on the loop");
	return pn_pass();
}

static struct pn_verdict
keeper_on_message(struct pn_call *call, struct pn_txn *txn)
{
	struct pn_slice value;
	struct pn_error err;

	if (pn_store_put(call, "x", pn_slice_of("y"), 0, &err) != -EROFS ||
	    pn_store_delete(call, "started", &err) != -EROFS)
		return pn_reject(call, 550, "5.0.0", "The store was open before the commit");
	if (pn_store_get(call, "started", &value, &err) < 0)
		return pn_pass_because(call, "%s", err.text);
	return pn_pass_because(call, "started %.*s", (int)value.len, value.data);
}

static struct pn_verdict
keeper_on_committed(struct pn_call *call, struct pn_txn *txn)
{
	struct pn_error err;
	int r = count(call, pn_txn_sender(txn), &err);

	return r < 0 ? pn_fault(call, r, "%s", err.text) : pn_pass();
}

static const struct pn_hook keeper_hooks[] = {
	{ PN_STAGE_HELO, PN_QUICK, keeper_on_helo },
	{ PN_STAGE_MESSAGE, 0, keeper_on_message },
	{ PN_STAGE_COMMITTED, 0, keeper_on_committed },
	PN_HOOK_END,
};

PN_MODULE(keeper) = {
	PN_MODULE_HEAD,
	.name = "keeper",
	.summary = "Counts in the key-value store.",
	.start = keeper_start,
	.stop = keeper_stop,
	.hooks = keeper_hooks,
};
