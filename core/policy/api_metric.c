/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_metric.c - metrics as modules may use them: each is its module's and its entry's.
 *
 * Called from any thread, also on event loops: must never wait for more than the table's lock.
 */
#include <core/base/metric.h>
#include <core/policy/call.h>

struct pn_metric *
pn_metric(struct pn_call *call, const struct pn_metric_about *about, const char *const *values,
    struct pn_error *err)
{
	return metric_get(call->entry->module->name, call->entry->config->id, about, values, err);
}
