/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plans.c - which stage comes next on the way from a passed message to its renderings.
 *
 * Called by the session behind the message stage, by replans and by trials. Must never serve
 * somebody for whom protection is wanted with what nobody chose: whoever is left over is refused.
 */
#include <core/policy/plans_inside.h>
#include <errno.h>

/* ---- beginning ------------------------------------------------------------------------------- */

static bool
anybody_wants(const struct pn_txn *txn)
{
	for (size_t i = 0; txn->somebody_wants && i < txn->envelope.count; i++)
		if (want_protection(txn, i))
			return true;
	return false;
}

static const char *
label_name(const struct pn_txn *txn)
{
	const char *name = generation_core(txn->generation)->relay.method_header;

	return name ? name : "";
}

/* Where nobody is asked: what the copy of this recipient says. */
static enum mail_label
plain_label(const struct pn_txn *txn, size_t index)
{
	const struct mail_plan plan = { .demand = txn->envelope.recipients[index].demand,
		.method = want_opted_out(txn, index) ? MAIL_METHOD_OPT_OUT : NULL };

	return mail_label_of(&plan, txn->facts.requiretls);
}

static bool
is_labelled_alike(const struct pn_txn *txn)
{
	for (size_t i = 1; *label_name(txn) && i < txn->envelope.count; i++)
		if (plain_label(txn, i) != plain_label(txn, 0))
			return false;
	return true;
}

static struct plans *
plans_new(struct pn_txn *txn)
{
	struct plans *plans = arena_alloc(&txn->arena, sizeof(*plans));

	plans->count = txn->envelope.count;
	plans->of = arena_alloc(&txn->arena, plans->count * sizeof(*plans->of));
	for (size_t i = 0; i < plans->count; i++) {
		plans->of[i].own = plans->of[i].made.demand = txn->envelope.recipients[i].demand;
		if (want_opted_out(txn, i))
			plans->of[i].made.method = MAIL_METHOD_OPT_OUT;
	}
	txn->plans = plans;
	return plans;
}

int
plans_begin(struct pn_txn *txn, const struct mail_fixups *how)
{
	bool apart = anybody_wants(txn) || !is_labelled_alike(txn);
	struct mail_fixups first = *how;
	struct plans *plans;
	int r;

	first.no_trace = apart;
	first.label_name = label_name(txn);
	first.label = apart ? NULL : mail_label_text(plain_label(txn, 0));
	r = plan_fix(txn, &first);
	if (r < 0 || (!apart && !generation_has(txn->generation, PN_STAGE_SEAL)))
		return r;
	plans = plans_new(txn);
	plans->fixups = *how;
	plans->fixups.submission = false;
	plans->fixups.label_name = first.label_name;
	plans->finished = !apart;
	for (size_t i = 0; i < plans->count; i++)
		plans->of[i].state = want_protection(txn, i) ? PLAN_OPEN : PLAN_CLEAR;
	return 0;
}

int
plans_begin_again(struct pn_txn *txn, const size_t *from)
{
	struct plans *plans = plans_new(txn);

	plans->replan = true;
	plans->fixups.no_trace = true;
	plans->fixups.label_name = label_name(txn);
	for (size_t i = 0; i < plans->count; i++)
		plans->of[i].from = from[i];
	return plan_bare(txn);
}

void
plans_begin_seal(struct pn_txn *txn)
{
	struct plans *plans = plans_new(txn);

	plans->finished = true;
	for (size_t i = 0; i < plans->count; i++)
		plans->of[i].state = PLAN_CLEAR;
}

/* ---- the end of selection and protection ----------------------------------------------------- */

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
		plans->refused = plan_refuse_all(plans);
		return;
	}
	r = plan_make_renderings(txn);
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
		plan_leave_unserved(txn, plans->at, NULL);
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
	if (plans->at == plans->rendering_count)
		return false;
	txn->group = plans->renderings[plans->at];
	r = plan_view(txn, txn->group->bytes);
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
	if (plans->view && plan_view(txn, plans->view) < 0)
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
		plan_choose(txn, index, run, ruling);
	else if (ruling->kind == RULING_DEFER)
		txn->plans->refused = *ruling;
	else if (ruling->kind == RULING_REJECT)
		plan_leave_unserved(txn, index, ruling);
	else if (plan->faulted)
		txn->plans->refused = plan_nobody_can();
	else
		plan_leave_unserved(txn, index, NULL);
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
	group->failed |= ruling->kind != RULING_PASS || run->faults > 0;
	for (size_t i = 0; i < group->count; i++) {
		struct plan *plan = &plans->of[group->members[i]];

		if (!group->failed) {
			plan->state = PLAN_RENDERED;
		} else if (ruling->kind == RULING_REJECT) {
			plan_leave_unserved(txn, group->members[i], ruling);
		} else { /* its provider's on_fault is skip: on behind the entry that chose it */
			plan->state = PLAN_OPEN;
			plan->faulted = true;
		}
	}
}

static void
take_seal(struct pn_txn *txn, const struct chain_run *run, const struct ruling *ruling)
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
	group->converted = run->converted;
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
		take_seal(txn, run, ruling);
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
		*ret = plan_nobody_serves();
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
		*ruling = run->faults > 0 ? plan_nobody_can() : plan_nobody_serves();
	}
}
