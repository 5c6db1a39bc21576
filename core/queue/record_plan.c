/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record_plan.c - plans, renderings and take-overs in the heads of records, written and read.
 *
 * Called by record.c and record_read.c. Must never let an item out whose plan points at bytes that
 * are not there, nor let an older reader past what it cannot carry out.
 */
#include <core/queue/record_plan.h>
#include <errno.h>

/* ---- writing ---- */

/* Without it a reader would send other bytes, in clear, or to whom nothing may be sent. */
static bool
matters(const struct mail_plan *plan)
{
	return plan->rendering || plan->next || plan->unserved || mail_demand_is_any(&plan->demand);
}

/* A field of its own, so that who knows the numbers alone does not send by them. */
static void
put_terms(struct field_writer *writer, const struct mail_demand *demand)
{
	size_t mark;

	if (demand->version == 0 && !demand->ciphers && !demand->pins)
		return;
	mark = field_begin(writer, RECORD_PLAN_TERMS);
	field_is_critical(writer, mark);
	field_put_number(writer, RECORD_TERMS_VERSION, (uint64_t)demand->version);
	field_put_text(writer, RECORD_TERMS_CIPHERS, demand->ciphers);
	field_put_text(writer, RECORD_TERMS_PINS, demand->pins);
	field_end(writer, mark);
}

void
record_put_plan(struct field_writer *writer, const struct mail_plan *plan)
{
	size_t mark;

	/* Mail for which nobody wants anything has no plan to speak of: 0 and 1 are the first. */
	if (!matters(plan) && plan->number <= 1 && !plan->method && !plan->entry && !plan->reason &&
	    !plan->passed)
		return;
	mark = field_begin(writer, RECORD_PLAN);
	if (matters(plan))
		field_is_critical(writer, mark);
	field_put_number(writer, RECORD_PLAN_NUMBER, plan->number);
	field_put_text(writer, RECORD_PLAN_METHOD, plan->method);
	field_put_text(writer, RECORD_PLAN_ENTRY, plan->entry);
	field_put_text(writer, RECORD_PLAN_REASON, plan->reason);
	field_put_text(writer, RECORD_PLAN_PASSED, plan->passed);
	field_put_number(writer, RECORD_PLAN_RENDERING, plan->rendering);
	field_put_text(writer, RECORD_PLAN_NEXT, plan->next);
	field_put_number(writer, RECORD_PLAN_BITS, (uint64_t)plan->demand.bits);
	field_put_number(writer, RECORD_PLAN_LEVEL, (uint64_t)plan->demand.level);
	field_put_text(writer, RECORD_PLAN_UNSERVED, plan->unserved);
	field_put_number(writer, RECORD_PLAN_WAITS, plan->demand.waits);
	put_terms(writer, &plan->demand);
	field_end(writer, mark);
}

void
record_put_rendering(struct field_writer *writer, const struct mail_rendering *rendering)
{
	size_t mark = field_begin(writer, RECORD_RENDERING);

	field_is_critical(writer, mark);
	field_put_number(writer, RECORD_RENDERING_OFFSET, rendering->offset);
	field_put_number(writer, RECORD_RENDERING_LENGTH, rendering->len);
	field_put_text(writer, RECORD_SENDER, rendering->sender);
	field_put_number(writer, RECORD_FLAGS,
	    (rendering->needs_utf8 ? RECORD_FLAG_NEEDS_UTF8 : 0u) |
		(rendering->has_eightbit ? RECORD_FLAG_HAS_EIGHTBIT : 0u) |
		(rendering->binary ? RECORD_FLAG_BINARY : 0u));
	field_end(writer, mark);
}

void
record_put_replaces(struct field_writer *writer, const struct item *item)
{
	size_t mark;

	if (!item->replaces[0])
		return;
	mark = field_begin(writer, RECORD_REPLACES);
	field_is_critical(writer, mark);
	record_put_id(writer, item->replaces);
	for (size_t i = 0; i < item->replaced_count; i++)
		field_put_each(writer, RECORD_INDEX, item->replaced[i]);
	field_end(writer, mark);
}

/* ---- reading ---- */

static int
get_level(const struct field *field, int32_t *ret)
{
	uint64_t number;
	int r = field_number(field, &number);

	if (r == 0 && number > PN_TLS_DANE)
		r = -EPROTONOSUPPORT; /* not to be sent by who does not know what it asks for */
	if (r == 0)
		*ret = (int32_t)number;
	return r;
}

static int
get_bits(const struct field *field, int32_t *ret)
{
	uint32_t number;
	int r = record_get_u32(field, &number);

	if (r == 0 && number > INT32_MAX)
		r = -EBADMSG;
	if (r == 0)
		*ret = (int32_t)number;
	return r;
}

static int
get_waits(const struct field *field, bool *ret)
{
	uint64_t number;
	int r = field_number(field, &number);

	if (r == 0)
		*ret = number != 0;
	return r;
}

static int
get_terms_field(const struct field *field, struct arena *arena, struct mail_demand *ret)
{
	if (field_too_new(field))
		return -EPROTONOSUPPORT;
	switch (field->type) {
	case RECORD_TERMS_VERSION:
		return get_bits(field, &ret->version);
	case RECORD_TERMS_CIPHERS:
		return record_get_text(arena, field, &ret->ciphers);
	case RECORD_TERMS_PINS:
		return record_get_text(arena, field, &ret->pins);
	default: /* whatever it is, it is demanded */
		return -EPROTONOSUPPORT;
	}
}

static int
get_terms(struct pn_slice value, struct arena *arena, struct mail_demand *ret)
{
	struct field field;
	int r;

	while ((r = field_next(&value, &field)) > 0) {
		r = get_terms_field(&field, arena, ret);
		if (r < 0)
			return r;
	}
	return r;
}

static int
get_plan_field(const struct field *field, struct arena *arena, struct mail_plan *ret)
{
	if (field_too_new(field))
		return field_skip(field);
	switch (field->type) {
	case RECORD_PLAN_NUMBER:
		return record_get_u32(field, &ret->number);
	case RECORD_PLAN_METHOD:
		return record_get_text(arena, field, &ret->method);
	case RECORD_PLAN_ENTRY:
		return record_get_text(arena, field, &ret->entry);
	case RECORD_PLAN_REASON:
		return record_get_text(arena, field, &ret->reason);
	case RECORD_PLAN_PASSED:
		return record_get_text(arena, field, &ret->passed);
	case RECORD_PLAN_RENDERING:
		return record_get_u32(field, &ret->rendering);
	case RECORD_PLAN_NEXT:
		return record_get_text(arena, field, &ret->next);
	case RECORD_PLAN_BITS:
		return get_bits(field, &ret->demand.bits);
	case RECORD_PLAN_LEVEL:
		return get_level(field, &ret->demand.level);
	case RECORD_PLAN_UNSERVED:
		return record_get_text(arena, field, &ret->unserved);
	case RECORD_PLAN_WAITS:
		return get_waits(field, &ret->demand.waits);
	case RECORD_PLAN_TERMS:
		return get_terms(field->value, arena, &ret->demand);
	default:
		return field_skip(field);
	}
}

int
record_get_plan(struct pn_slice value, struct arena *arena, struct mail_plan *ret)
{
	struct field field;
	int r;

	while ((r = field_next(&value, &field)) > 0) {
		r = get_plan_field(&field, arena, ret);
		if (r < 0)
			return r;
	}
	return r;
}

static int
get_size(const struct field *field, size_t *ret)
{
	uint64_t number;
	int r = field_number(field, &number);

	if (r == 0)
		*ret = number;
	return r;
}

static int
get_rendering_flags(const struct field *field, struct mail_rendering *ret)
{
	uint64_t flags;
	int r = field_number(field, &flags);

	if (r < 0)
		return r;
	ret->needs_utf8 = flags & RECORD_FLAG_NEEDS_UTF8;
	ret->has_eightbit = flags & RECORD_FLAG_HAS_EIGHTBIT;
	ret->binary = flags & RECORD_FLAG_BINARY;
	return 0;
}

static int
get_rendering_field(const struct field *field, struct arena *arena, struct mail_rendering *ret)
{
	if (field_too_new(field))
		return field_skip(field);
	switch (field->type) {
	case RECORD_RENDERING_OFFSET:
		return get_size(field, &ret->offset);
	case RECORD_RENDERING_LENGTH:
		return get_size(field, &ret->len);
	case RECORD_SENDER:
		return record_get_text(arena, field, &ret->sender);
	case RECORD_FLAGS:
		return get_rendering_flags(field, ret);
	default:
		return field_skip(field);
	}
}

int
record_get_rendering(struct pn_slice value, struct item *item)
{
	struct mail_rendering *rendering = &item->renderings[item->rendering_count];
	struct field field;
	int r;

	while ((r = field_next(&value, &field)) > 0) {
		r = get_rendering_field(&field, &item->arena, rendering);
		if (r < 0)
			return r;
	}
	item->rendering_count++;
	return r;
}

/* There is room for as many as there could be. */
static int
get_replaces_field(const struct field *field, struct item *item, uint32_t *indices)
{
	if (field_too_new(field))
		return field_skip(field);
	switch (field->type) {
	case RECORD_ID:
		return record_get_id(field->value, item->replaces);
	case RECORD_INDEX:
		return record_get_u32(field, &indices[item->replaced_count++]);
	default:
		return field_skip(field);
	}
}

int
record_get_replaces(struct pn_slice value, struct item *item)
{
	uint32_t *indices = arena_alloc(
	    &item->arena, (value.len / FIELD_HEAD + 1) * sizeof(*indices));
	struct field field;
	int r;

	if (item->replaced)
		return -EBADMSG;
	item->replaced = indices;
	while ((r = field_next(&value, &field)) > 0) {
		r = get_replaces_field(&field, item, indices);
		if (r < 0)
			return r;
	}
	return r < 0 || !item->replaces[0] ? -EBADMSG : 0;
}

int
record_check_plans(const struct item *item)
{
	for (size_t i = 0; i < item->rendering_count; i++) {
		const struct mail_rendering *rendering = &item->renderings[i];

		if (rendering->offset > item->size ||
		    rendering->len > item->size - rendering->offset)
			return -EBADMSG;
	}
	for (size_t i = 0; i < item->envelope.count; i++) {
		const struct mail_plan *plan = &item->recipients[i].plan;

		if (!plan->unserved && plan->rendering > 0 &&
		    plan->rendering >= item->rendering_count)
			return -EBADMSG;
	}
	/* Each of ours is somebody there. */
	return item->replaces[0] && item->replaced_count != item->envelope.count ? -EBADMSG : 0;
}
