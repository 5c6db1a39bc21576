/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recovery_read.c - what the records of the log say, one after the other: which messages are
 * unfinished, where they lie, and in which state their recipients are.
 *
 * Called by recovery.c. What makes no sense is set aside and passed by. Only a record of a newer
 * version stops it, since to misread that could mean to send what must not be sent.
 */
#include <core/queue/recovery.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* ---- what is unfinished so far ---- */

struct pending *
recovery_find(struct recovery *rec, const char *id)
{
	return g_hash_table_lookup(rec->pending, id);
}

void
recovery_drop_place(struct pending *pending, struct place **at)
{
	struct place *place = *at;

	*at = place->older;
	g_queue_unlink(place->segment->places, &place->link);
	g_free(place);
}

void
recovery_drop(struct recovery *rec, struct pending *pending)
{
	g_hash_table_remove(rec->pending, pending->item->id);
	while (pending->places)
		recovery_drop_place(pending, &pending->places);
	item_free(&pending->item);
	g_free(pending);
}

static void
add_place(struct recovery *rec, struct pending *pending, const struct scan_record *record)
{
	struct place *place = g_new0(struct place, 1);

	*place = (struct place){ pending, rec->segment, record->offset, record->length,
		pending->places, { .data = place }, false };
	pending->places = place;
	g_queue_push_tail_link(rec->segment->places, &place->link);
}

static void
raise_floor(struct recovery *rec, const char *id)
{
	if (strcmp(id, rec->spool->greatest_id) > 0)
		memcpy(rec->spool->greatest_id, id, ITEM_ID_SIZE);
}

static void
say_damaged(struct recovery *rec, const struct scan_record *record, const char *id)
{
	char what[100];

	snprintf(what, sizeof(what), "the body of message %s is damaged", id);
	recovery_set_aside(rec, record->offset, record->length, what);
}

static void
add_pending(struct recovery *rec, struct item *item, const struct scan_record *record)
{
	struct pending *pending = g_new0(struct pending, 1);

	pending->item = item;
	pending->damaged = record->body_damaged;
	add_place(rec, pending, record);
	g_hash_table_insert(rec->pending, item->id, pending);
}

static int
read_message(struct recovery *rec, const struct scan_record *record)
{
	struct item *item;
	int r;

	r = record_get_item(record->head, record->header.body_len, &item);
	if (r < 0)
		return r;
	raise_floor(rec, item->id);
	if (record->body_damaged)
		say_damaged(rec, record, item->id);
	if ((record->body_damaged && !item->replaces[0]) || recovery_find(rec, item->id)) {
		item_free(&item);
		return 0;
	}
	if (item->replaces[0])
		takeovers_add(&rec->takeovers, item, record->body_damaged);
	add_pending(rec, item, record);
	return 0;
}

/* The message was here when this was written: what it says of the states is all there was. */
static int
read_copy(struct recovery *rec, const struct scan_record *record)
{
	struct pending *pending;
	struct item *item;
	int r = record_get_copy(record->head, record->header.body_len, &item);

	if (r < 0)
		return r;
	raise_floor(rec, item->id);
	if (record->body_damaged)
		say_damaged(rec, record, item->id);
	pending = recovery_find(rec, item->id);
	if (!pending && record->body_damaged) {
		item_free(&item);
		return 0;
	}
	if (!pending) {
		add_pending(rec, item, record);
		return 0;
	}
	/* The key is the old item's. */
	g_hash_table_remove(rec->pending, pending->item->id);
	item_free(&pending->item);
	pending->item = item;
	g_hash_table_insert(rec->pending, item->id, pending);
	if (record->body_damaged) /* the older one may be whole */
		return 0;
	add_place(rec, pending, record);
	if (pending->damaged)
		takeovers_mend(&rec->takeovers, item->id);
	pending->damaged = false;
	return 0;
}

/* MARK, FINISH: about a message that may be gone already. */
static int
read_mark(struct recovery *rec, const struct scan_record *record)
{
	struct pending *pending;
	char id[ITEM_ID_SIZE];
	int r = record_find_id(record->head, id);

	if (r < 0)
		return r;
	raise_floor(rec, id);
	pending = recovery_find(rec, id);
	if (!pending)
		return 0;
	if (record->header.type == RECORD_MARK)
		return record_apply(record->head, pending->item);
	recovery_drop(rec, pending);
	return 0;
}

static int
read_abort(struct recovery *rec, const struct scan_record *record)
{
	struct pn_slice rest = record->head;
	struct pending *pending;
	char id[ITEM_ID_SIZE];
	struct field field;
	int r;

	while ((r = field_next(&rest, &field)) > 0) {
		if (field.type != RECORD_ID || field_too_new(&field)) {
			r = field_skip(&field);
			if (r < 0)
				return r;
			continue;
		}
		r = record_get_id(field.value, id);
		if (r < 0)
			return r;
		raise_floor(rec, id);
		takeovers_abort(&rec->takeovers, id);
		pending = recovery_find(rec, id);
		if (pending)
			recovery_drop(rec, pending);
	}
	return r;
}

/* ---- each record ---- */

static int
read_by_type(struct recovery *rec, const struct scan_record *record)
{
	int r = record_known(&record->header);

	if (r < 0)
		return r;
	switch (record->header.type) {
	case RECORD_MESSAGE:
		return read_message(rec, record);
	case RECORD_COPY:
		return read_copy(rec, record);
	case RECORD_MARK:
	case RECORD_FINISH:
		return read_mark(rec, record);
	case RECORD_ABORT:
		return read_abort(rec, record);
	case RECORD_STATE:
		return recovery_state(rec, record);
	default: /* may be skipped, or record_known had refused it */
		return 0;
	}
}

int
recovery_record(void *arg, const struct scan_record *record)
{
	struct recovery *rec = arg;
	int r;

	if (record->header.sequence >= rec->spool->next_sequence)
		rec->spool->next_sequence = record->header.sequence + 1;
	r = read_by_type(rec, record);
	if (r == -EBADMSG) {
		recovery_set_aside(
		    rec, record->offset, record->length, "the record makes no sense");
		return 0;
	}
	if (r == -EPROTONOSUPPORT)
		return pn_error_set(rec->err, r,
		    "segment %" PRIu64 " of the spool, offset %" PRIu64
		    ": a newer version of Postern wrote this; start that one",
		    rec->segment->number, record->offset);
	return r;
}

void
recovery_damaged(void *arg, uint64_t offset, uint64_t len, const char *what)
{
	recovery_set_aside(arg, offset, len, what);
}
