/* SPDX-License-Identifier: Apache-2.0 */
/* counter.c - test module: counts messages and measures them, with odd label values. */
#include <postern/module.h>

static const struct pn_metric_about counter_messages = {
	PN_METRIC_HEAD,
	.type = PN_METRIC_COUNTER,
	.name = "messages_total",
	.help = "Messages by sender: a \\ and a\nline break must be escaped.",
	.labels = "sender said",
};

static const struct pn_metric_about counter_sizes = {
	PN_METRIC_HEAD,
	.type = PN_METRIC_HISTOGRAM,
	.name = "message_bytes",
	.help = "Sizes of messages.",
	.bounds = (const double[]){ 10, 1000, 1e6 },
	.bound_count = 3,
};

static const struct pn_metric_about counter_level = {
	PN_METRIC_HEAD,
	.type = PN_METRIC_GAUGE,
	.name = "level_ratio",
	.help = "Half.",
};

/* Kept by whoever is called often. */
static int
counter_start(struct pn_call *call, void **ret_state, struct pn_error *err)
{
	struct pn_metric *level = pn_metric(call, &counter_level, PN_NO_LABELS, err);

	pn_metric_set(level, 0.5);
	*ret_state = pn_metric(call, &counter_sizes, PN_NO_LABELS, err);
	return *ret_state && level ? 0 : err->code;
}

static void
counter_stop(void *state)
{
}

static struct pn_verdict
counter_on_message(struct pn_call *call, struct pn_txn *txn)
{
	struct pn_error err;
	struct pn_metric *count = pn_metric(
	    call, &counter_messages, PN_LABELS(pn_txn_sender(txn), "\"quoted\\\" \xff"), &err);

	if (!count)
		return pn_fault(call, err.code, "%s", err.text);
	pn_metric_add(count, 1);
	pn_metric_observe(pn_state(call), (double)pn_txn_size(txn));
	return pn_pass();
}

static const struct pn_hook counter_hooks[] = {
	{ PN_STAGE_MESSAGE, PN_QUICK, counter_on_message },
	PN_HOOK_END,
};

PN_MODULE(counter) = {
	PN_MODULE_HEAD,
	.name = "counter",
	.summary = "Counts and measures messages.",
	.start = counter_start,
	.stop = counter_stop,
	.hooks = counter_hooks,
};
