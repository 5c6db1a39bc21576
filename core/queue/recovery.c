/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recovery.c - reads the log at start and hands out what is unfinished.
 *
 * Called by spool_open() before the committer runs. It changes no segment: damage is copied to
 * corrupt/, reported and passed by. Only a log of a newer version stops it, since to misread that
 * could mean to send what must not be sent.
 */
#include <core/queue/scan.h>
#include <core/queue/spool_core.h>
#include <core/queue/takeover.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * A record of an unfinished message. There are several of one that was moved: the last one counts,
 * unless a STATE says that the message is not there (the copy's sync failed, say). Then it is where
 * it was before.
 */
struct place {
	struct pending *pending;
	struct segment *segment;
	uint64_t offset, length;
	struct place *older;
	GList link; /* of the segment's places, as they lie */
	bool kept;  /* by the STATE being read */
};
struct pending { /* a message without its FINISH so far */
	struct item *item;
	struct place *places; /* the last one first */
	bool damaged;         /* its bytes are; read on only for what it took over */
};

struct recovery {
	struct spool *spool;
	const struct spool_recovery *calls;
	struct pn_error *err;
	GHashTable *pending; /* id -> struct pending */
	struct takeovers takeovers;
	struct segment *segment; /* being read */
	int fd;
};

static void
report(struct recovery *rec, const char *aside, const char *what)
{
	if (rec->calls->damaged)
		rec->calls->damaged(rec->calls->arg, aside, what);
}

/* Sets bytes aside; says so the first time only, not at every start. */
static void
set_aside(struct recovery *rec, uint64_t offset, uint64_t len, const char *what)
{
	char path[SPOOL_PATH], text[300];
	int r = aside_keep(rec->spool, rec->fd, rec->segment->number, offset, len, path);

	if (r == 0)
		return;
	snprintf(text, sizeof(text),
	    "segment %" PRIu64 ", offset %" PRIu64 ", %" PRIu64 " bytes: %s%s%s",
	    rec->segment->number, offset, len, what, r < 0 ? "; cannot be set aside: " : "",
	    r < 0 ? strerror(-r) : "");
	report(rec, path, text);
}

/* ---- what is unfinished so far ---- */

static struct pending *
find(struct recovery *rec, const char *id)
{
	return g_hash_table_lookup(rec->pending, id);
}

static void
drop_place(struct pending *pending, struct place **at)
{
	struct place *place = *at;

	*at = place->older;
	g_queue_unlink(place->segment->places, &place->link);
	g_free(place);
}

static void
drop(struct recovery *rec, struct pending *pending)
{
	g_hash_table_remove(rec->pending, pending->item->id);
	while (pending->places)
		drop_place(pending, &pending->places);
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
	set_aside(rec, record->offset, record->length, what);
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
	if ((record->body_damaged && !item->replaces[0]) || find(rec, item->id)) {
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
	pending = find(rec, item->id);
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
	pending = find(rec, id);
	if (!pending)
		return 0;
	if (record->header.type == RECORD_MARK)
		return record_apply(record->head, pending->item);
	drop(rec, pending);
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
		pending = find(rec, id);
		if (pending)
			drop(rec, pending);
	}
	return r;
}

/* ---- STATE ---- */

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

	pending = r == 0 ? find(rec, id) : NULL;
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
	drop_place(pending, at);
	if (!pending->places)
		drop(rec, pending);
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
static int
read_state(struct recovery *rec, const struct scan_record *record)
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

/* ---- segments ---- */

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
		return read_state(rec, record);
	default: /* may be skipped, or record_known had refused it */
		return 0;
	}
}

static int
on_record(void *arg, const struct scan_record *record)
{
	struct recovery *rec = arg;
	int r;

	if (record->header.sequence >= rec->spool->next_sequence)
		rec->spool->next_sequence = record->header.sequence + 1;
	r = read_by_type(rec, record);
	if (r == -EBADMSG) {
		set_aside(rec, record->offset, record->length, "the record makes no sense");
		return 0;
	}
	if (r == -EPROTONOSUPPORT)
		return pn_error_set(rec->err, r,
		    "segment %" PRIu64 " of the spool, offset %" PRIu64
		    ": a newer version of Postern wrote this; start that one",
		    rec->segment->number, record->offset);
	return r;
}

static void
on_damaged(void *arg, uint64_t offset, uint64_t len, const char *what)
{
	set_aside(arg, offset, len, what);
}

static int
read_segment(struct recovery *rec, struct segment *segment)
{
	const struct segment_io *io = rec->spool->io;
	struct scan_handler handler = { on_record, on_damaged, rec };
	char path[SPOOL_PATH];
	struct cipher *cipher;
	uint64_t size;
	int r;

	if (segment->locked)
		return 0;
	r = spool_keys_open(rec->spool, &segment->wrap, &cipher);
	if (r < 0)
		return r;
	spool_segment_path(rec->spool, segment->slot, path);
	rec->segment = segment;
	rec->fd = io->open(io->arg, path, O_RDONLY);
	if (rec->fd < 0) {
		report(rec, path, "cannot be opened again; left alone");
		cipher_free(&cipher);
		return 0;
	}
	/*
	 * A process that was killed may have left what is not on the disk yet. What is read here
	 * counts at once: by a COPY the place it came from may be used again. A disk that cannot
	 * sync says so with the next commit, too.
	 */
	(void)io->sync(io->arg, rec->fd);
	r = io->size(io->arg, rec->fd, &size);
	if (r == 0)
		r = scan_segment(io, rec->fd, segment, cipher, MIN(size, segment->size), &handler);
	cipher_free(&cipher);
	io->close(io->arg, rec->fd);
	return r;
}

/* ---- handing out ---- */

/* What the marks said goes into the index again, for the next STATE records. */
static void
index_item(struct spool *spool, const struct pending *pending)
{
	const struct item *item = pending->item;
	const struct place *place = pending->places;
	struct buf buf = BUF_INIT(RECORD_HEAD_MOST);
	struct field_writer writer = { &buf, 0 };
	struct live *live;

	live_add(&spool->live, place->segment, item->id, &item->place, item->envelope.count);
	for (size_t i = 0; i < item->envelope.count; i++)
		if (record_has_state(&item->recipients[i]))
			record_put_state(&writer, (uint32_t)i, &item->recipients[i]);
	if (item->effects_done)
		field_put(&writer, RECORD_EFFECTS_DONE, NULL, 0);
	live = live_find(&spool->live, item->id);
	for (; place; place = place->older)
		live->first = place->segment->number;
	live_apply(&spool->live, live, buf_slice(&buf));
	buf_free(&buf);
}

static struct item *
find_item(void *arg, const char *id)
{
	const struct pending *pending = find(arg, id);

	return pending ? pending->item : NULL;
}

static void
hand_out(struct recovery *rec, const struct place *place)
{
	struct pending *pending = place->pending;
	struct item *item = pending->item;

	if (pending->damaged || place != pending->places)
		return;
	item->place = (struct spool_place){ place->segment->number, place->offset, place->length };
	index_item(rec->spool, pending);
	item->unfinished = 0;
	for (size_t i = 0; i < item->envelope.count; i++)
		item->unfinished += !item_is_final(item->recipients[i].state);
	pending->item = NULL;
	rec->calls->item(rec->calls->arg, item);
}

static void
hand_out_all(struct recovery *rec)
{
	const GPtrArray *segments = rec->spool->segments;

	for (guint i = 0; i < segments->len; i++) {
		const struct segment *segment = g_ptr_array_index(segments, i);

		for (GList *link = g_queue_peek_head_link(segment->places); link; link = link->next)
			hand_out(rec, link->data);
	}
}

static void
release(struct recovery *rec)
{
	const GPtrArray *segments = rec->spool->segments;
	GHashTableIter iter;
	gpointer value;

	takeovers_clear(&rec->takeovers);
	g_hash_table_iter_init(&iter, rec->pending);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		struct pending *pending = value;

		while (pending->places)
			drop_place(pending, &pending->places);
		g_hash_table_iter_steal(&iter);
		item_free(&pending->item);
		g_free(pending);
	}
	g_hash_table_unref(rec->pending);
	for (guint i = 0; i < segments->len; i++) {
		struct segment *segment = g_ptr_array_index(segments, i);

		g_queue_free(segment->places);
		segment->places = NULL;
	}
}

int
recovery_run(struct spool *spool, const struct spool_recovery *recovery, struct pn_error *err)
{
	struct recovery rec = { .spool = spool, .calls = recovery, .err = err };
	int r;

	rec.pending = g_hash_table_new(g_str_hash, g_str_equal);
	takeovers_init(&rec.takeovers);
	r = recovery_list(spool, recovery, err);
	if (r == 0)
		r = recovery_lock(spool, recovery);
	for (guint i = 0; i < spool->segments->len; i++)
		((struct segment *)g_ptr_array_index(spool->segments, i))->places = g_queue_new();
	for (guint i = 0; r == 0 && i < spool->segments->len; i++)
		r = spool->cancel && atomic_load(spool->cancel)
			? -ECANCELED
			: read_segment(&rec, g_ptr_array_index(spool->segments, i));
	if (r == 0) {
		item_id_floor(spool->greatest_id);
		takeovers_apply(&rec.takeovers, find_item, &rec);
		hand_out_all(&rec);
	}
	release(&rec);
	return r;
}
