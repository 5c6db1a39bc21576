/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_render.c - the renderings of a message: the clear one, those of providers, and the trace
 * header that each gets.
 *
 * Called by plans.c. Must never give a recipient a rendering that is not of his plan.
 */
#include <core/base/text.h>
#include <core/policy/plans_inside.h>

bool
plan_is_clear(const struct plan_group *group)
{
	return !group->by.provider;
}

/* ---- views ----------------------------------------------------------------------------------- */

int
plan_fix(struct pn_txn *txn, const struct mail_fixups *how)
{
	struct mail_edits edits = { 0 };
	int r = mail_fixups_edit(how, &txn->facts, &txn->envelope, mail_bytes_front(txn->view),
	    &txn->header, &txn->arena, &edits);

	return r < 0 ? r : txn_apply(txn, &edits);
}

int
plan_bare(struct pn_txn *txn)
{
	struct pn_slice front = mail_bytes_front(txn->view);
	struct mail_edits edits = { 0 };
	size_t i = 0;
	int r;

	while (i < txn->header.count && !text_is(pn_slice(front.data + txn->header.fields[i].start,
						     txn->header.fields[i].name_len),
					    "Received"))
		i++;
	if (i == 0 || i == txn->header.count)
		return 0;
	r = mail_edits_add(&edits, &txn->arena, 0, txn->header.fields[i].start, pn_slice(NULL, 0));
	return r < 0 ? r : txn_apply(txn, &edits);
}

int
plan_view(struct pn_txn *txn, struct mail_bytes *bytes)
{
	reading_end(txn);
	mail_bytes_release(&txn->view);
	txn->view = mail_bytes_hold(bytes);
	return mail_header_index(mail_bytes_front(bytes), SIZE_MAX, &txn->arena, &txn->header);
}

/* What his copy of the message as it is says of how it is protected. */
static enum mail_label
plan_label(const struct pn_txn *txn, size_t index)
{
	const char *name = txn->plans->fixups.label_name;

	return name && *name ? mail_label_of(&txn->plans->of[index].made, txn->facts.requiretls)
			     : MAIL_LABEL_PLAIN;
}

/* ---- making them ----------------------------------------------------------------------------- */

static void
add_rendering(struct plans *plans, struct plan_group *group)
{
	for (size_t i = 0; i < group->count; i++)
		plans->of[group->members[i]].made.rendering = (uint32_t)plans->rendering_count;
	plans->renderings[plans->rendering_count++] = group;
}

/*
 * Recipients whose copies say the same of how they are protected share one: whatever else differs,
 * nobody can tell by his own that there are others.
 */
static void
gather_clear(struct pn_txn *txn, enum mail_label label)
{
	struct plans *plans = txn->plans;
	struct plan_group *clear = &plans->clear[label];

	clear->by.method = PROVIDER_NONE;
	for (size_t i = 0; i < plans->count; i++) {
		if (plans->of[i].state != PLAN_CLEAR || plan_label(txn, i) != label)
			continue;
		if (!clear->members)
			clear->members = arena_alloc(
			    &txn->arena, plans->count * sizeof(*clear->members));
		clear->members[clear->count++] = (uint32_t)i;
	}
	if (clear->count == 0)
		return;
	clear->bytes = mail_bytes_hold(txn->view);
	add_rendering(plans, clear);
}

/* What stands on top of a message that was accepted. */
static int
copy_trace(struct pn_txn *txn)
{
	const struct mail_bytes *clear = txn->plans->view;
	struct mail_edits edits = { 0 };
	struct mail_header header;
	struct pn_slice field;
	int r;

	if (mail_received_count(mail_bytes_front(txn->view), &txn->header) > 0)
		return 0;
	r = mail_header_index(mail_bytes_front(clear), SIZE_MAX, &txn->arena, &header);
	if (r < 0 || header.count == 0)
		return r;
	field = pn_slice(
	    clear->data + header.fields[0].start, header.fields[0].end - header.fields[0].start);
	r = mail_edits_add(&edits, &txn->arena, 0, 0, field);
	return r < 0 ? r : txn_apply(txn, &edits);
}

/* What the header of this rendering says of it; NULL: nothing. */
static const char *
label_text(struct pn_txn *txn, const struct plan_group *group)
{
	const char *text;

	if (plan_is_clear(group))
		return mail_label_text((enum mail_label)(group - txn->plans->clear));
	text = mail_label_provided(group->by.method);
	return text ? text
		    : arena_printf(&txn->arena, "%s (protection was wanted)", group->by.method);
}

/*
 * Every rendering gets its label and the trace header; a replan's may have copied the latter of the
 * clear one.
 */
static int
trace_rendering(struct pn_txn *txn, struct plan_group *group)
{
	const struct plans *plans = txn->plans;
	struct mail_fixups how = plans->fixups;
	int r;

	if (plans->finished)
		return 0;
	r = plan_view(txn, group->bytes);
	if (r == 0 && plans->replan)
		r = copy_trace(txn);
	how.label = label_text(txn, group);
	if (r == 0)
		r = plan_fix(txn, &how);
	if (r < 0)
		return r;
	mail_bytes_release(&group->bytes);
	group->bytes = mail_bytes_hold(txn->view);
	return 0;
}

int
plan_make_renderings(struct pn_txn *txn)
{
	struct plans *plans = txn->plans;
	int r = 0;

	plans->renderings = arena_alloc(
	    &txn->arena, (plans->group_count + MAIL_LABEL_COUNT) * sizeof(*plans->renderings));
	plans->view = mail_bytes_hold(txn->view);
	for (int label = 0; label < MAIL_LABEL_COUNT; label++)
		gather_clear(txn, (enum mail_label)label);
	for (size_t i = 0; i < plans->group_count; i++)
		if (!plans->groups[i].failed)
			add_rendering(plans, &plans->groups[i]);
	for (size_t i = 0; i < plans->rendering_count && r == 0; i++)
		r = trace_rendering(txn, plans->renderings[i]);
	return r;
}

int
plans_join(struct pn_txn *txn)
{
	struct plans *plans = txn->plans;
	struct mail_bytes *joined;
	size_t len = 0;
	int r;

	if (!plans || plans->joined)
		return 0;
	if (plans->rendering_count == 1) {
		plans->joined = mail_bytes_hold(plans->renderings[0]->bytes);
		return 0;
	}
	for (size_t i = 0; i < plans->rendering_count; i++)
		len += mail_bytes_size(plans->renderings[i]->bytes);
	r = mail_bytes_new_message(len, 0, &joined);
	if (r < 0)
		return r;
	for (size_t i = 0; i < plans->rendering_count && r == 0; i++)
		r = mail_bytes_append_part(joined, plans->renderings[i]->bytes, 0,
		    mail_bytes_size(plans->renderings[i]->bytes));
	if (r < 0)
		mail_bytes_release(&joined);
	else
		plans->joined = joined;
	return r;
}

/* ---- keeping them ---------------------------------------------------------------------------- */

void
plans_drop(struct plans *plans)
{
	if (!plans)
		return;
	for (size_t i = 0; i < plans->group_count; i++)
		mail_bytes_release(&plans->groups[i].bytes);
	for (size_t i = 0; i < MAIL_LABEL_COUNT; i++)
		mail_bytes_release(&plans->clear[i].bytes);
	mail_bytes_release(&plans->view);
	mail_bytes_release(&plans->joined);
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
	return plan_is_clear(group) ? &fork->clear[group - plans->clear]
				    : &fork->groups[group - plans->groups];
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
	for (size_t i = 0; i < MAIL_LABEL_COUNT; i++)
		hold(copy->clear[i].bytes);
	hold(copy->view);
	hold(copy->joined);
	fork->plans = copy;
	if (txn->group)
		fork->group = forked_group(plans, copy, txn->group);
}
