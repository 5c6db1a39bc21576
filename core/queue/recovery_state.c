/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recovery_state.c - STATE records: what is unfinished in a part of one segment, and how.
 *
 * Called by recovery_read.c. Must never drop a message on the word of a record that it could not
 * read to its end.
 */
#include <core/queue/recovery.h>
#include <errno.h>

struct range {
	uint64_t segment, epoch, from, to;
};

static int
read_range_field(const struct field *field, struct range *ret)
{
	char id[ITEM_ID_SIZE];

	if (field_too_new(field))
		return field_skip(field);
	switch (field->type) {
	case RECORD_SEGMENT:
		return field_number(field, &ret->segment);
	case RECORD_EPOCH:
		return field_number(field, &ret->epoch);
	case RECORD_FROM:
		return field_number(field, &ret->from);
	case RECORD_TO:
		return field_number(field, &ret->to);
	case RECORD_LIVE:
		return record_find_id(field->value, id);
	default:
		return field_skip(field);
	}
}

static bool
is_within(const struct place *place, const struct range *range)
{
	return place->segment->number == range->segment && place->segment->epoch == range->epoch &&
	       place->offset >= range->from && place->offset < range->to;
}

static int
apply_live(struct recovery *rec, const struct range *range, struct pn_slice value)
{
	struct pending *pending;
	char id[ITEM_ID_SIZE];
	int r = record_find_id(value, id);

	pending = r == 0 ? recovery_find(rec, id) : NULL;
	if (!pending) /* its record was damaged */
		return r;
	for (struct place *place = pending->places; place; place = place->older)
		place->kept = place->kept || is_within(place, range);
	return record_apply(value, pending->item);
}

static const struct segment *
find_segment(const struct recovery *rec, uint64_t number)
{
	GPtrArray *segments = rec->spool->segments;
	guint from = 0, to = segments->len;

	while (from < to) {
		guint middle = from + (to - from) / 2;
		const struct segment *segment = g_ptr_array_index(segments, middle);

		if (segment->number == number)
			return segment;
		if (segment->number < number)
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}

static void
deny(struct recovery *rec, struct place *place)
{
	struct pending *pending = place->pending;
	struct place **at = &pending->places;

	while (*at != place)
		at = &(*at)->older;
	recovery_drop_place(pending, at);
	if (!pending->places)
		recovery_drop(rec, pending);
}

static void
drop_others(struct recovery *rec, const struct range *range)
{
	const struct segment *segment = find_segment(rec, range->segment);
	GList *link, *next;

	for (link = segment ? g_queue_peek_head_link(segment->places) : NULL; link; link = next) {
		struct place *place = link->data;

		next = link->next;
		if (is_within(place, range) && !place->kept)
			deny(rec, place);
		else
			place->kept = false;
	}
}

/* All of it is read before anything is dropped on its word. */
int
recovery_state(struct recovery *rec, const struct scan_record *record)
{
	struct pn_slice rest = record->head;
	struct range range = { 0 };
	struct field field;
	int r;

	while ((r = field_next(&rest, &field)) > 0) {
		r = read_range_field(&field, &range);
		if (r < 0)
			return r;
	}
	rest = record->head;
	while (r == 0 && (r = field_next(&rest, &field)) > 0)
		r = field.type == RECORD_LIVE && !field_too_new(&field)
			? apply_live(rec, &range, field.value)
			: 0;
	if (r == 0)
		drop_others(rec, &range);
	return r;
}
