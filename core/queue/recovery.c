/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recovery.c - reads the log at start and hands out what is unfinished.
 *
 * Called by spool_open() before the committer runs. It changes no segment: damage is copied to
 * corrupt/, reported and passed by. Only a log of a newer version stops it, since to misread that
 * could mean to send what must not be sent.
 */
#include <core/queue/recovery.h>
#include <core/queue/segment_index.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void
recovery_report(struct recovery *rec, const char *aside, const char *what)
{
	if (rec->calls->damaged)
		rec->calls->damaged(rec->calls->arg, aside, what);
}

void
recovery_set_aside(struct recovery *rec, uint64_t offset, uint64_t len, const char *what)
{
	char path[SPOOL_PATH], text[300];
	int r = aside_keep(rec->spool, rec->fd, rec->segment->number, offset, len, path);

	if (r == 0)
		return;
	snprintf(text, sizeof(text),
	    "segment %" PRIu64 ", offset %" PRIu64 ", %" PRIu64 " bytes: %s%s%s",
	    rec->segment->number, offset, len, what, r < 0 ? "; cannot be set aside: " : "",
	    r < 0 ? strerror(-r) : "");
	recovery_report(rec, path, text);
}

/* ---- segments ---- */

/* A later start may be able to read it; until then nothing is written over it. */
static void
unreadable(void *arg)
{
	struct recovery *rec = arg;
	char path[SPOOL_PATH];

	rec->segment->unreadable = rec->segment->unusable = true;
	spool_segment_path(rec->spool, rec->segment->slot, path);
	recovery_report(rec, path,
	    "not all of it can be read; it goes to corrupt/ when the rest of its mail is gone");
}

/* By its index; by all of it where there is none, or none to be believed. */
static int
read_records(struct recovery *rec, struct cipher *cipher, uint64_t size, const char *path)
{
	const struct segment_io *io = rec->spool->io;
	struct scan_handler handler = { recovery_record, recovery_damaged, unreadable, rec };
	struct segment_index *index;
	int r = 0;

	if (!rec->spool->no_index)
		r = segment_index_read(io, rec->fd, rec->segment, cipher, size, &index);
	if (r > 0) {
		rec->spool->figures.indexed++;
		r = segment_index_walk(index, &handler);
		segment_index_free(&index);
		return r;
	}
	if (r < 0)
		recovery_report(rec, path,
		    r == -EBADMSG
			? "the index at its end is damaged: the whole segment was read instead"
			: "the index at its end cannot be read: the whole segment was read "
			  "instead");
	rec->spool->figures.scanned++;
	return scan_segment(
	    io, rec->fd, rec->segment, cipher, MIN(size, rec->segment->size), &handler);
}

static int
read_segment(struct recovery *rec, struct segment *segment)
{
	const struct segment_io *io = rec->spool->io;
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
		recovery_report(rec, path, "cannot be opened again; left alone");
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
		r = read_records(rec, cipher, size, path);
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
	const struct pending *pending = recovery_find(arg, id);

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
			recovery_drop_place(pending, &pending->places);
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
