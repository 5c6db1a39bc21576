/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_call.c - what a call carries: settings, state, time left, the log.
 *
 * Called by modules, from any thread that runs one of their functions.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/policy/call.h>
#include <postern/module.h>
#include <stdio.h>

#define LINE_MOST 1000

const void *
pn_settings(const struct pn_call *call)
{
	return call->effective ? call->effective->settings.values : call->entry->settings.values;
}

void *
pn_derived(const struct pn_call *call)
{
	return call->effective ? call->effective->derived : call->entry->derived;
}

void *
pn_state(const struct pn_call *call)
{
	return call->entry->state;
}

const char *
pn_entry(const struct pn_call *call)
{
	return call->entry->config->id;
}

int32_t
pn_stage(const struct pn_call *call)
{
	return call->stage;
}

const char *
pn_relay_name(const struct pn_call *call)
{
	return generation_core(call->generation)->relay.hostname;
}

bool
pn_is_trial(const struct pn_call *call)
{
	return generation_is_trial(call->generation);
}

bool
pn_may_block(const struct pn_call *call)
{
	return call->may_block;
}

int64_t
pn_time_left(const struct pn_call *call)
{
	int64_t now;

	if (call->due_ms == INT64_MAX)
		return INT64_MAX;
	now = clock_monotonic_ms();
	return now < call->due_ms ? call->due_ms - now : 0;
}

void
pn_log(const struct pn_call *call, enum pn_level level, const char *format, ...)
{
	const struct pn_txn *txn = call->txn;
	char text[LINE_MOST];
	va_list args;

	if (!log_wanted(level))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_event(level, "policy", "entry", call->entry->config->id, "module",
	    call->entry->module->name, "id", txn && txn->id[0] ? txn->id : NULL, "text", text,
	    NULL);
}
