/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_choose.c - who wants protection, who was chosen for him, and who is left over.
 *
 * Called by plans.c with what selection ruled, and by hooks that ask who wants. Must never make a
 * plan of what nobody chose.
 */
#include <core/policy/plans_inside.h>
#include <core/policy/trace.h>

#define PASSED_MOST 2000 /* of the reasons why the earlier entries passed */

/* What a "tls" plan counts on, unless more is demanded (SPEC T3, D4). */
static const struct mail_demand tls_demand = { .bits = 112, .level = PN_TLS_ENCRYPTED };

static const char unserved_text[] =
    "Mail to this recipient must be protected and no method applies; give the recipient's key or "
    "another way to your administrator";
static const char faulted_text[] =
    "Mail to this recipient must be protected, which is not possible for now; try again later";
static const char all_unserved_text[] =
    "This message must be protected and for none of its recipients a method applies; ask your "
    "administrator";

/* ---- who wants what -------------------------------------------------------------------------- */

static int32_t
later(int32_t one, int32_t other)
{
	return one > other ? one : other;
}

bool
want_protection(const struct pn_txn *txn, size_t index)
{
	const struct mail_want *own = &txn->envelope.recipients[index].want;

	return later(txn->want.wanted, own->wanted) > later(txn->want.opted_out, own->opted_out);
}

bool
want_opted_out(const struct pn_txn *txn, size_t index)
{
	const struct mail_want *own = &txn->envelope.recipients[index].want;
	int32_t out = later(txn->want.opted_out, own->opted_out);

	return out > 0 && out >= later(txn->want.wanted, own->wanted);
}

/* ---- selection ------------------------------------------------------------------------------- */

/* "pki: no key; book: no entry": what was said before about this recipient. */
static const char *
passed_before(struct pn_txn *txn, const char *address)
{
	struct buf text = BUF_INIT(PASSED_MOST);
	const char *ret = NULL;
	int r = 0;

	for (size_t i = 0; i < txn->trace_count && r == 0; i++) {
		const struct trace_line *line = &txn->trace[i];

		if ((line->stage != PN_STAGE_SELECT && line->stage != PN_STAGE_PROTECT) ||
		    !line->recipient || strcmp(line->recipient, address) != 0 ||
		    !strcmp(line->verdict, "choose"))
			continue;
		r = buf_printf(&text, "%s%s: %s", text.len ? "; " : "", line->entry,
		    line->reason ? line->reason : line->verdict);
	}
	if (text.len > 0)
		ret = arena_text(&txn->arena, buf_text(&text));
	buf_free(&text);
	return ret;
}

/* The entry that is asked next where TLS is not to be had; "": none. */
static const char *
next_selecting(const struct pn_txn *txn, size_t from)
{
	const struct chain_entry *entries;
	size_t count = generation_entries(txn->generation, &entries);

	for (; from < count; from++)
		if (entries[from].hooks[PN_STAGE_SELECT])
			return entries[from].config->id;
	return "";
}

static bool
is_exclusive(struct pn_slice choice)
{
	return pn_slice_equals(choice, pn_slice_of(PN_CHOICE_EXCLUSIVE));
}

void
plan_choose(
    struct pn_txn *txn, size_t index, const struct chain_run *run, const struct ruling *ruling)
{
	struct plan *plan = &txn->plans->of[index];
	struct mail_recipient *recipient = &txn->envelope.recipients[index];

	plan->by = ruling->chosen;
	plan->choice = ruling->choice;
	plan->from = run->next;
	plan->state = plan->by.provider ? PLAN_CHOSEN : PLAN_CLEAR;
	plan->made.method = plan->by.method;
	plan->made.entry = ruling->entry;
	plan->made.reason = ruling->text && *ruling->text ? ruling->text : NULL;
	plan->made.passed = passed_before(txn, recipient->address);
	plan->made.demand = recipient->demand;
	if (plan->state == PLAN_CLEAR && !strcmp(plan->by.method, PROVIDER_TLS)) {
		struct mail_demand least = tls_demand;

		least.waits = plan->made.demand.waits; /* whoever demanded more has said that */
		mail_demand_add(&plan->made.demand, &least, &txn->arena);
		/* What is demanded of the hop would be missing there for any other method, too. */
		if (mail_demand_is_any(&plan->own) || is_exclusive(plan->choice))
			return;
		plan->made.next = arena_text(&txn->arena, next_selecting(txn, run->next));
	}
}

/* What the client hears where nobody serves any of them. */
static struct ruling
nobody_serves(const char *text)
{
	return (
	    struct ruling){ .kind = RULING_REJECT, .code = 550, .enhanced = "5.7.1", .text = text };
}

struct ruling
plan_nobody_serves(void)
{
	return nobody_serves(unserved_text);
}

struct ruling
plan_nobody_can(void)
{
	return (struct ruling){
		.kind = RULING_DEFER, .code = 451, .enhanced = "4.7.1", .text = faulted_text
	};
}

void
plan_leave_unserved(struct pn_txn *txn, size_t index, const struct ruling *refused)
{
	struct plan *plan = &txn->plans->of[index];

	plan->state = PLAN_UNSERVED;
	plan->refused = refused ? *refused : plan_nobody_serves();
	plan->made.entry = plan->refused.entry;
	plan->made.passed = passed_before(txn, txn->envelope.recipients[index].address);
	plan->made.unserved = arena_printf(&txn->arena, "%d %s %s", plan->refused.code,
	    plan->refused.enhanced, plan->refused.text);
}

struct ruling
plan_refuse_all(const struct plans *plans)
{
	const struct ruling *first = &plans->of[0].refused;

	for (size_t i = 1; i < plans->count; i++)
		if (strcmp(plans->of[i].refused.text, first->text) != 0)
			return nobody_serves(all_unserved_text);
	return first->entry || plans->count == 1 ? *first : nobody_serves(all_unserved_text);
}
