/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.c - the line that every verdict leaves.
 *
 * Called by chain.c after each hook, and by whoever logs a message. Must never hold a body or a
 * password: reasons are texts that went to the client, to the log, or came with a pass.
 */
#include <core/policy/chain.h>
#include <core/policy/stage.h>
#include <core/policy/trace.h>

#define TEXT_MOST 2000 /* a log line has 4096 */

static const char trace_is_off[] = "off";

static struct trace_line *
new_line(struct pn_txn *txn)
{
	if (txn->trace_count == txn->trace_capacity) {
		size_t capacity = txn->trace_capacity ? txn->trace_capacity * 2 : 8;
		struct trace_line *lines = arena_alloc(&txn->arena, capacity * sizeof(*lines));

		if (txn->trace_count > 0)
			memcpy(lines, txn->trace, txn->trace_count * sizeof(*lines));
		txn->trace = lines;
		txn->trace_capacity = capacity;
	}
	return &txn->trace[txn->trace_count++];
}

void
trace_add(struct pn_txn *txn, const struct chain_entry *entry, const struct effective *effective,
    int32_t stage, const char *verdict, const char *reason)
{
	bool about_one = (stage_is(stage, STAGE_RECIPIENT) || stage == PN_STAGE_PROTECT) &&
			 txn->recipient >= 0;

	*new_line(txn) = (struct trace_line){
		.entry = entry->config->id,
		.stage = stage,
		.recipient = about_one ? txn->envelope.recipients[txn->recipient].address : NULL,
		.verdict = verdict,
		.reason = reason ? arena_text(&txn->arena, reason) : NULL,
		.scope = effective ? arena_text(&txn->arena, effective->scope) : NULL,
	};
}

void
trace_off(struct pn_txn *txn, const struct chain_entry *entry, const struct effective *effective,
    int32_t stage)
{
	for (size_t i = 0; i < txn->trace_count; i++)
		if (strcmp(txn->trace[i].entry, entry->config->id) == 0 &&
		    strcmp(txn->trace[i].verdict, trace_is_off) == 0)
			return;
	if (!stage_is(stage, STAGE_IN_SESSION))
		trace_add(txn, entry, effective, stage, trace_is_off, NULL);
}

/* Passes without a reason are told once per message, not once per recipient. */
static bool
worth_telling(const struct trace_line *line)
{
	return !line->recipient || line->reason || strcmp(line->verdict, "pass") != 0;
}

const char *
chain_trace_text(struct pn_txn *txn)
{
	struct buf text = BUF_INIT(TEXT_MOST);
	const char *ret;
	int r = 0;

	for (size_t i = 0; i < txn->trace_count && r == 0; i++) {
		const struct trace_line *line = &txn->trace[i];

		if (!worth_telling(line))
			continue;
		r = buf_printf(&text, "%s%s %s%s%s%s%s", text.len ? "; " : "", line->entry,
		    line->verdict, line->recipient ? " " : "",
		    line->recipient ? line->recipient : "", line->reason ? " " : "",
		    line->reason ? line->reason : "");
		if (r == 0 && line->scope)
			r = buf_printf(&text, " [%s]", line->scope);
	}
	ret = arena_printf(
	    &txn->arena, "%s%s", text.len ? buf_text(&text) : "", r < 0 ? "; ..." : "");
	buf_free(&text);
	return ret;
}
