/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plans.c - which stage comes next on the way from a passed message to its renderings.
 *
 * Called by the session behind the message stage, by replans and by trials. Must never serve
 * somebody for whom protection is wanted with what nobody chose: whoever is left over is refused.
 */
#include <core/policy/plans.h>
#include <core/policy/trace.h>
#include <errno.h>

#define PASSED_MOST 2000 /* of the reasons why the earlier entries passed */

/* What a "tls" plan counts on, unless more is demanded (SPEC T3, D4). */
static const struct mail_demand tls_demand = { 112, PN_TLS_ENCRYPTED };

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

		if (line->stage != PN_STAGE_SELECT || !line->recipient ||
		    strcmp(line->recipient, address) != 0 || !strcmp(line->verdict, "choose"))
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

static void
choose(struct pn_txn *txn, size_t index, const struct chain_run *run, const struct ruling *ruling)
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
		mail_demand_add(&plan->made.demand, tls_demand);
		/* What is demanded of the hop would be missing there for any other method, too. */
		if (plan->own.bits > 0 || plan->own.level > 0)
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

/* The same where a fault, which passes, took away who might have served. */
static struct ruling
nobody_can_now(void)
{
	return (struct ruling){
		.kind = RULING_DEFER, .code = 451, .enhanced = "4.7.1", .text = faulted_text
	};
}

static void
leave_unserved(struct pn_txn *txn, size_t index, const struct ruling *refused)
{
	struct plan *plan = &txn->plans->of[index];

	plan->state = PLAN_UNSERVED;
	plan->refused = refused ? *refused : nobody_serves(unserved_text);
	plan->made.entry = plan->refused.entry;
	plan->made.passed = passed_before(txn, txn->envelope.recipients[index].address);
	plan->made.unserved = arena_printf(&txn->arena, "%d %s %s", plan->refused.code,
	    plan->refused.enhanced, plan->refused.text);
}

/* ---- beginning ------------------------------------------------------------------------------- */

/* Trace header and fixups (SPEC R10), as far as `how` says. */
static int
fix(struct pn_txn *txn, const struct mail_fixups *how)
{
	struct mail_edits edits = { 0 };
	int r = mail_fixups_edit(how, &txn->facts, &txn->envelope,
	    pn_slice(txn->view->data, txn->view->len), &txn->header, &txn->arena, &edits);

	return r < 0 ? r : txn_apply(txn, &edits);
}

static bool
anybody_wants(const struct pn_txn *txn)
{
	for (size_t i = 0; txn->somebody_wants && i < txn->envelope.count; i++)
		if (want_protection(txn, i))
			return true;
	return false;
}

static struct plans *
plans_new(struct pn_txn *txn)
{
	struct plans *plans = arena_alloc(&txn->arena, sizeof(*plans));

	plans->count = txn->envelope.count;
	plans->of = arena_alloc(&txn->arena, plans->count * sizeof(*plans->of));
	for (size_t i = 0; i < plans->count; i++)
		plans->of[i].own = plans->of[i].made.demand = txn->envelope.recipients[i].demand;
	txn->plans = plans;
	return plans;
}

int
plans_begin(struct pn_txn *txn, const struct mail_fixups *how)
{
	bool wanted = anybody_wants(txn);
	struct mail_fixups first = *how;
	struct plans *plans;
	int r;

	first.no_trace = wanted;
	r = first.no_trace && !first.submission ? 0 : fix(txn, &first);
	if (r < 0 || (!wanted && !generation_has(txn->generation, PN_STAGE_SEAL)))
		return r;
	plans = plans_new(txn);
	plans->fixups = *how;
	plans->fixups.submission = false;
	plans->fixups.no_trace = !wanted;
	for (size_t i = 0; i < plans->count; i++)
		plans->of[i].state = want_protection(txn, i) ? PLAN_OPEN : PLAN_CLEAR;
	return 0;
}

int
plans_begin_again(struct pn_txn *txn, const size_t *from)
{
	struct plans *plans = plans_new(txn);

	plans->replan = true;
	for (size_t i = 0; i < plans->count; i++)
		plans->of[i].from = from[i];
	return 0;
}

void
plans_begin_seal(struct pn_txn *txn)
{
	struct plans *plans = plans_new(txn);

	plans->fixups.no_trace = true;
	for (size_t i = 0; i < plans->count; i++)
		plans->of[i].state = PLAN_CLEAR;
}

void
plans_drop(struct plans *plans)
{
	if (!plans)
		return;
	for (size_t i = 0; i < plans->group_count; i++)
		mail_bytes_release(&plans->groups[i].bytes);
	mail_bytes_release(&plans->clear.bytes);
	mail_bytes_release(&plans->view);
}

static void
hold(struct mail_bytes *bytes)
{
	if (bytes)
		mail_bytes_hold(bytes);
}

/* The same group among the fork's. */
static struct plan_group *
forked_group(const struct plans *plans, struct plans *fork, const struct plan_group *group)
{
	return group == &plans->clear ? &fork->clear : &fork->groups[group - plans->groups];
}

void
plans_fork(const struct pn_txn *txn, struct pn_txn *fork)
{
	const struct plans *plans = txn->plans;
	struct plans *copy;

	if (!plans)
		return;
	copy = arena_copy(&fork->arena, plans, sizeof(*plans));
	copy->of = arena_copy(&fork->arena, plans->of, plans->count * sizeof(*plans->of));
	copy->groups = arena_copy(
	    &fork->arena, plans->groups, plans->group_count * sizeof(*plans->groups));
	copy->group_capacity = copy->group_count;
	copy->renderings = arena_alloc(
	    &fork->arena, (plans->rendering_count + 1) * sizeof(*plans->renderings));
	for (size_t i = 0; i < plans->rendering_count; i++)
		copy->renderings[i] = forked_group(plans, copy, plans->renderings[i]);
	for (size_t i = 0; i < plans->group_count; i++)
		hold(copy->groups[i].bytes);
	hold(copy->clear.bytes);
	hold(copy->view);
	fork->plans = copy;
	if (txn->group)
		fork->group = forked_group(plans, copy, txn->group);
}

/* ---- the end of selection and protection ----------------------------------------------------- */

/* The message as a group's hook is to see it. */
static int
set_view(struct pn_txn *txn, struct mail_bytes *bytes)
{
	mail_bytes_release(&txn->view);
	txn->view = mail_bytes_hold(bytes);
	return mail_header_index(
	    pn_slice(bytes->data, bytes->len), SIZE_MAX, &txn->arena, &txn->header);
}

static void
add_rendering(struct plans *plans, struct plan_group *group)
{
	for (size_t i = 0; i < group->count; i++)
		plans->of[group->members[i]].made.rendering = (uint32_t)plans->rendering_count;
	plans->renderings[plans->rendering_count++] = group;
}

static void
gather_clear(struct pn_txn *txn)
{
	struct plans *plans = txn->plans;
	struct plan_group *clear = &plans->clear;

	clear->members = arena_alloc(&txn->arena, plans->count * sizeof(*clear->members));
	for (size_t i = 0; i < plans->count; i++)
		if (plans->of[i].state == PLAN_CLEAR)
			clear->members[clear->count++] = (uint32_t)i;
	if (clear->count == 0)
		return;
	clear->by.method = PROVIDER_NONE;
	clear->bytes = mail_bytes_hold(txn->view);
	add_rendering(plans, clear);
}

/* Every rendering gets the trace header; a replan's may have copied that of the clear one. */
/* What stands on top of a message that was accepted. */
static int
copy_trace(struct pn_txn *txn)
{
	const struct mail_bytes *clear = txn->plans->view;
	struct mail_edits edits = { 0 };
	struct mail_header header;
	struct pn_slice field;
	int r;

	if (mail_received_count(pn_slice(txn->view->data, txn->view->len), &txn->header) > 0)
		return 0;
	r = mail_header_index(pn_slice(clear->data, clear->len), SIZE_MAX, &txn->arena, &header);
	if (r < 0 || header.count == 0)
		return r;
	field = pn_slice(
	    clear->data + header.fields[0].start, header.fields[0].end - header.fields[0].start);
	r = mail_edits_add(&edits, &txn->arena, 0, 0, field);
	return r < 0 ? r : txn_apply(txn, &edits);
}

static int
trace_rendering(struct pn_txn *txn, struct plan_group *group)
{
	const struct plans *plans = txn->plans;
	int r;

	if (plans->replan ? group == &plans->clear : plans->fixups.no_trace)
		return 0;
	r = set_view(txn, group->bytes);
	if (r == 0)
		r = plans->replan ? copy_trace(txn) : fix(txn, &plans->fixups);
	if (r < 0)
		return r;
	mail_bytes_release(&group->bytes);
	group->bytes = mail_bytes_hold(txn->view);
	return 0;
}

static int
make_renderings(struct pn_txn *txn)
{
	struct plans *plans = txn->plans;
	int r = 0;

	plans->renderings = arena_alloc(
	    &txn->arena, (plans->group_count + 1) * sizeof(*plans->renderings));
	plans->view = mail_bytes_hold(txn->view);
	gather_clear(txn);
	for (size_t i = 0; i < plans->group_count; i++)
		if (!plans->groups[i].failed)
			add_rendering(plans, &plans->groups[i]);
	for (size_t i = 0; i < plans->rendering_count && r == 0; i++)
		r = trace_rendering(txn, plans->renderings[i]);
	return r;
}

/* The reply where nobody is served: the one that all have in common, or one for them all. */
static struct ruling
refuse_all(const struct plans *plans)
{
	const struct ruling *first = &plans->of[0].refused;

	for (size_t i = 1; i < plans->count; i++)
		if (strcmp(plans->of[i].refused.text, first->text) != 0)
			return nobody_serves(all_unserved_text);
	return first->entry || plans->count == 1 ? *first : nobody_serves(all_unserved_text);
}

/* A 452 or 451 of the core's own. */
static void
defer(struct plans *plans, int code, const char *enhanced, const char *text)
{
	plans->refused = (struct ruling){
		.kind = RULING_DEFER, .code = code, .enhanced = enhanced, .text = text
	};
}

static void
defer_errno(struct plans *plans, int r)
{
	if (r == -ENOMEM)
		defer(plans, 452, "4.3.1", "Not enough memory, try again later");
	else
		defer(plans, 451, "4.3.0", "Cannot take the message now, try again");
}

static void
conclude(struct pn_txn *txn)
{
	struct plans *plans = txn->plans;
	size_t unserved = 0;
	int r;

	for (size_t i = 0; i < plans->count; i++)
		unserved += plans->of[i].state == PLAN_UNSERVED;
	if (unserved == plans->count) {
		plans->refused = refuse_all(plans);
		return;
	}
	r = make_renderings(txn);
	if (r < 0)
		defer_errno(plans, r);
	plans->phase = PLANS_SEALING;
	plans->at = 0;
}

/* ---- what comes next ------------------------------------------------------------------------- */

/* True: `stage` is to be asked; false: the phase has ended. */
static bool
next_selection(struct pn_txn *txn, enum pn_stage *stage)
{
	struct plans *plans = txn->plans;

	for (; plans->at < plans->count; plans->at++) {
		const struct plan *plan = &plans->of[plans->at];

		if (plan->state != PLAN_OPEN)
			continue;
		if (generation_has(txn->generation, PN_STAGE_SELECT)) {
			txn->recipient = (int32_t)plans->at;
			txn->first = plan->from;
			*stage = PN_STAGE_SELECT;
			return true;
		}
		leave_unserved(txn, plans->at, NULL);
	}
	return false;
}

static void
end_selection(struct pn_txn *txn)
{
	const struct config_limits *limits = &generation_core(txn->generation)->relay.limits;
	struct plans *plans = txn->plans;

	plans->phase = PLANS_PROTECTING;
	plans->at = plans->group_count;
	protect_group(txn);
	if (!plans->replan && plans->group_count > (size_t)limits->separate_renderings)
		defer(plans, 452, "4.5.3",
		    "Too many recipients need a copy of their own, send to fewer at a time");
}

static bool
next_group(struct pn_txn *txn, enum pn_stage *stage)
{
	struct plans *plans = txn->plans;

	if (plans->at == plans->group_count)
		return false;
	txn->group = &plans->groups[plans->at];
	*stage = PN_STAGE_PROTECT;
	return true;
}

static bool
anybody_open(const struct plans *plans)
{
	for (size_t i = 0; i < plans->count; i++)
		if (plans->of[i].state == PLAN_OPEN)
			return true;
	return false;
}

static void
end_protection(struct pn_txn *txn)
{
	struct plans *plans = txn->plans;

	if (anybody_open(plans)) {
		plans->phase = PLANS_SELECTING;
		plans->at = 0;
	} else {
		conclude(txn);
	}
}

static bool
next_seal(struct pn_txn *txn, enum pn_stage *stage)
{
	struct plans *plans = txn->plans;
	int r;

	if (!generation_has(txn->generation, PN_STAGE_SEAL))
		return false;
	if (plans->replan && plans->at == 0 && plans->clear.count > 0)
		plans->at++; /* sealed when it was made */
	if (plans->at == plans->rendering_count)
		return false;
	txn->group = plans->renderings[plans->at];
	r = set_view(txn, txn->group->bytes);
	if (r < 0)
		defer_errno(plans, r);
	*stage = PN_STAGE_SEAL;
	return true;
}

/* Behind the last seal; the aborted hooks, too, see the clear original. */
static void
finish(struct pn_txn *txn)
{
	struct plans *plans = txn->plans;

	txn->recipient = -1;
	txn->group = NULL;
	if (plans->view && set_view(txn, plans->view) < 0)
		defer(plans, 451, "4.3.0", "Cannot take the message now, try again");
	plans->phase = PLANS_READY;
}

enum plans_step
plans_next(struct pn_txn *txn, enum pn_stage *ret_stage, struct ruling *refused)
{
	struct plans *plans = txn->plans;

	if (!plans)
		return PLANS_DONE;
	while (plans->refused.kind == RULING_PASS && plans->phase != PLANS_READY) {
		if (plans->phase == PLANS_SELECTING) {
			if (next_selection(txn, ret_stage))
				return PLANS_ASK;
			end_selection(txn);
		} else if (plans->phase == PLANS_PROTECTING) {
			if (next_group(txn, ret_stage))
				return PLANS_ASK;
			end_protection(txn);
		} else if (!next_seal(txn, ret_stage)) {
			finish(txn);
		} else if (plans->refused.kind == RULING_PASS) {
			return PLANS_ASK;
		}
	}
	if (plans->refused.kind == RULING_PASS)
		return PLANS_DONE;
	finish(txn);
	*refused = plans->refused;
	return PLANS_REFUSED;
}

/* ---- rulings --------------------------------------------------------------------------------- */

static void
take_selection(struct pn_txn *txn, const struct chain_run *run, const struct ruling *ruling)
{
	size_t index = (size_t)txn->recipient;
	struct plan *plan = &txn->plans->of[index];

	txn->recipient = -1;
	plan->faulted |= run->faults > 0;
	if (ruling->kind == RULING_CHOSEN)
		choose(txn, index, run, ruling);
	else if (ruling->kind == RULING_DEFER)
		txn->plans->refused = *ruling;
	else if (ruling->kind == RULING_REJECT)
		leave_unserved(txn, index, ruling);
	else if (plan->faulted)
		txn->plans->refused = nobody_can_now();
	else
		leave_unserved(txn, index, NULL);
}

static void
take_protection(struct pn_txn *txn, const struct chain_run *run, const struct ruling *ruling)
{
	struct plans *plans = txn->plans;
	struct plan_group *group = &plans->groups[plans->at++];

	txn->group = NULL;
	if (ruling->kind == RULING_DEFER) {
		plans->refused = *ruling;
		return;
	}
	group->failed = ruling->kind != RULING_PASS || run->faults > 0;
	for (size_t i = 0; i < group->count; i++) {
		struct plan *plan = &plans->of[group->members[i]];

		if (!group->failed) {
			plan->state = PLAN_RENDERED;
		} else if (ruling->kind == RULING_REJECT) {
			leave_unserved(txn, group->members[i], ruling);
		} else { /* its provider's on_fault is skip: on behind the entry that chose it */
			plan->state = PLAN_OPEN;
			plan->faulted = true;
		}
	}
}

static void
take_seal(struct pn_txn *txn, const struct ruling *ruling)
{
	struct plans *plans = txn->plans;
	struct plan_group *group = plans->renderings[plans->at++];

	txn->group = NULL;
	if (ruling->kind != RULING_PASS) {
		plans->refused = *ruling;
		return;
	}
	mail_bytes_release(&group->bytes);
	group->bytes = mail_bytes_hold(txn->view);
}

void
plans_take(struct pn_txn *txn, const struct chain_run *run, const struct ruling *ruling)
{
	switch (txn->plans->phase) {
	case PLANS_SELECTING:
		take_selection(txn, run, ruling);
		break;
	case PLANS_PROTECTING:
		take_protection(txn, run, ruling);
		break;
	case PLANS_SEALING:
		take_seal(txn, ruling);
		break;
	case PLANS_READY:
		break;
	}
}

enum plans_step
plans_run(struct pn_txn *txn, struct ruling *refused)
{
	enum plans_step step;
	enum pn_stage stage;

	while ((step = plans_next(txn, &stage, refused)) == PLANS_ASK) {
		struct chain_run run = { 0 };
		struct ruling ruling;

		chain_run(&run, txn, stage, true, &ruling);
		plans_take(txn, &run, &ruling);
	}
	return step;
}

/* ---- at RCPT --------------------------------------------------------------------------------- */

bool
plans_early(struct pn_txn *txn, struct chain_run *run, struct ruling *ret)
{
	*ret = (struct ruling){ .kind = RULING_PASS };
	if (!txn->somebody_wants || !want_protection(txn, (size_t)txn->recipient))
		return false;
	if (!generation_has(txn->generation, PN_STAGE_SELECT)) {
		chain_undo(run, txn);
		*ret = nobody_serves(unserved_text);
		return false;
	}
	run->next = 0;
	run->hop = false;
	run->faults = 0;
	txn->early_trace = txn->trace_count;
	txn->provisional = true;
	return true;
}

void
plans_early_take(struct pn_txn *txn, const struct chain_run *run, struct ruling *ruling)
{
	txn->provisional = false;
	if (ruling->kind == RULING_CHOSEN) {
		/* Nothing of it stands, and it will be asked again. */
		txn->trace_count = txn->early_trace;
		*ruling = (struct ruling){ .kind = RULING_PASS };
	} else if (ruling->kind == RULING_PASS) {
		chain_undo(run, txn);
		*ruling = run->faults > 0 ? nobody_can_now() : nobody_serves(unserved_text);
	}
}
