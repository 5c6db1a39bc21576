/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool.c - the spool's calls: opening, handing records to the committer. Reading back: read.c.
 *
 * Called by loops (append, mark, finish). What a record says is encoded here, on the caller's
 * thread; only the committer writes it.
 */
#include <core/base/text.h>
#include <core/queue/spool_core.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- ops ---- */

void
spool_ops_add(struct spool_ops *ops, struct spool_op *op)
{
	op->next = NULL;
	if (ops->first)
		ops->last->next = op;
	else
		ops->first = op;
	ops->last = op;
	ops->appends += spool_op_has_message(op);
}

struct spool_op *
spool_ops_take(struct spool_ops *ops)
{
	struct spool_op *op = ops->first;

	if (!op)
		return NULL;
	ops->first = op->next;
	ops->appends -= spool_op_has_message(op);
	return op;
}

struct spool_op *
spool_op_new(uint8_t type)
{
	struct spool_op *op = g_new0(struct spool_op, 1);

	op->encoded = BUF_INIT(RECORD_HEADER + RECORD_HEAD_MOST + RECORD_ALIGN);
	op->header.type = type;
	op->about = UINT64_MAX;
	op->header.header_len = RECORD_HEADER;
	/* Cannot fail for want of room, and out of memory is met by the first field again. */
	if (buf_reserve(&op->encoded, 512) == 0) {
		memset(op->encoded.data, 0, RECORD_HEADER);
		op->encoded.len = RECORD_HEADER;
	}
	return op;
}

int
spool_op_finish(struct spool_op *op, const struct field_writer *writer, struct pn_slice body)
{
	struct record_header *header = &op->header;
	size_t pad;

	if (writer->r < 0)
		return writer->r;
	if (op->encoded.len < RECORD_HEADER)
		return -ENOMEM;
	if (op->encoded.len - RECORD_HEADER > RECORD_HEAD_MOST)
		return -E2BIG;
	header->head_len = (uint32_t)(op->encoded.len - RECORD_HEADER);
	header->head_crc = text_crc32(0, op->encoded.data + RECORD_HEADER, header->head_len);
	header->body_len = op->large ? mail_bytes_size(op->large) : body.len;
	header->body_crc = op->unsummed || op->large ? 0 : text_crc32(0, body.data, body.len);
	op->body = body;
	op->length = record_length(header);
	if (body.len > 0)
		return 0;
	/* With its padding it is one part to write. */
	pad = op->length - op->encoded.len;
	if (buf_reserve(&op->encoded, pad) < 0)
		return -ENOMEM;
	memset(op->encoded.data + op->encoded.len, 0, pad);
	op->encoded.len += pad;
	return 0;
}

void
spool_op_free(struct spool_op *op)
{
	buf_free(&op->encoded);
	mail_bytes_release(&op->owned);
	g_free(op);
}

/* ---- segments in memory ---- */

void
spool_segment_path(const struct spool *spool, uint64_t slot, char ret[SPOOL_PATH])
{
	snprintf(ret, SPOOL_PATH, "%s/%08" PRIx64 ".seg", spool->directory, slot);
}

/* Numbers only grow, so the new one goes to the end; recovery inserts in order. */
void
spool_segment_insert(struct spool *spool, struct segment *segment)
{
	pthread_mutex_lock(&spool->table_lock);
	g_ptr_array_add(spool->segments, segment);
	spool->figures.segments = spool->segments->len;
	pthread_mutex_unlock(&spool->table_lock);
}

void
spool_segment_remove(struct spool *spool, struct segment *segment)
{
	pthread_mutex_lock(&spool->table_lock);
	g_ptr_array_remove(spool->segments, segment);
	spool->figures.segments = spool->segments->len;
	pthread_mutex_unlock(&spool->table_lock);
	g_free(segment);
}

/* ---- opening ---- */

static int
make_folders(const struct spool *spool, struct pn_error *err)
{
	char path[SPOOL_PATH];
	int r = 0;

	if (strlen(spool->directory) > SPOOL_PATH - 128)
		return pn_error_set(err, -ENAMETOOLONG, "the spool's path is too long");
	/* Each folder of the path that is not there yet. */
	for (size_t i = 1; r == 0 && i <= strlen(spool->directory); i++) {
		if (spool->directory[i] != '/' && spool->directory[i] != '\0')
			continue;
		snprintf(path, sizeof(path), "%.*s", (int)i, spool->directory);
		r = spool->io->make_folder(spool->io->arg, path);
		if (r < 0)
			return pn_error_set(
			    err, r, "%s: cannot make this folder: %s", path, strerror(-r));
	}
	return 0;
}

struct spool *
spool_make(const struct spool_settings *settings)
{
	struct spool *spool = g_new0(struct spool, 1);

	spool->directory = g_strdup(settings->directory);
	spool->segment_size = settings->segment_size < SEGMENT_LEAST
				  ? SEGMENT_LEAST
				  : settings->segment_size & ~(uint64_t)4095;
	spool->reserve = settings->reserve;
	spool->gather_us = settings->gather_us;
	spool->no_index = settings->no_index;
	spool->damaged = settings->damaged;
	spool->damaged_arg = settings->arg;
	spool->io = settings->io ? settings->io : &segment_io_system;
	spool->keys = keyring_hold(settings->keys);
	spool->known = keyring_hold(settings->keys);
	spool->keys_turn = settings->keys ? 1 : 0; /* 0: nothing was ever encrypted */
	spool->lock_fd = spool->next_lock_fd = -1;
	spool->own_slot = UINT64_MAX;
	spool->next_number = spool->next_slot = spool->next_sequence = 1;
	spool->reclaim_due = spool->compact_due = true;
	spool->reserve_checked_ms = INT64_MIN / 2;
	spool->segments = g_ptr_array_new();
	spool->refused = g_ptr_array_new_with_free_func(g_free);
	live_init(&spool->live);
	g_queue_init(&spool->free);
	pthread_mutex_init(&spool->table_lock, NULL);
	return spool;
}

int
spool_open(const struct spool_settings *settings, const struct spool_recovery *recovery,
    struct spool **ret, struct pn_error *err)
{
	struct spool *spool = spool_make(settings);
	int r;

	r = make_folders(spool, err);
	if (r == 0)
		r = inherit_lock(spool, SPOOL_LOCK_NEXT, &spool->next_lock_fd, err);
	if (r == 0)
		r = inherit_lock(spool, SPOOL_LOCK, &spool->lock_fd, err);
	if (r == 0)
		r = recovery_run(spool, recovery, err);
	spool->own_number = spool->next_number;
	if (r == 0)
		r = committer_start(spool, err);
	if (r < 0) {
		spool_close(&spool);
		return r;
	}
	*ret = spool;
	return 0;
}

int
spool_follow(const struct spool_settings *settings, struct spool **ret, struct pn_error *err)
{
	struct spool *spool = spool_make(settings);
	int r;

	r = make_folders(spool, err);
	if (r == 0)
		r = inherit_lock(spool, SPOOL_LOCK_NEXT, &spool->next_lock_fd, err);
	if (r == 0)
		r = inherit_begin(spool, err);
	if (r == 0)
		r = committer_start(spool, err);
	if (r < 0) {
		spool_close(&spool);
		return r;
	}
	*ret = spool;
	return 0;
}

void
spool_stop(struct spool *spool)
{
	inherit_stop(spool);
	committer_stop(spool);
}

void
spool_close(struct spool **ptr)
{
	struct spool *spool = *ptr;

	if (!spool)
		return;
	/* Whoever reads behind may still ask it something. */
	inherit_stop(spool);
	committer_stop(spool);
	*ptr = NULL;
	committer_free(spool);
	tail_close(spool);
	live_clear(&spool->live);
	g_queue_clear(&spool->free);
	g_ptr_array_set_free_func(spool->segments, g_free);
	g_ptr_array_unref(spool->segments);
	g_ptr_array_unref(spool->refused);
	keyring_release(&spool->keys);
	keyring_release(&spool->known);
	g_free(spool->encrypted);
	buf_free(&spool->index);
	if (spool->lock_fd >= 0)
		spool->io->close(spool->io->arg, spool->lock_fd);
	if (spool->next_lock_fd >= 0)
		spool->io->close(spool->io->arg, spool->next_lock_fd);
	pthread_mutex_destroy(&spool->table_lock);
	g_free(spool->directory);
	g_free(spool);
}

/* ---- records ---- */

/* What cannot be encoded is answered by way of the committer as well: `done` never runs inside. */
void
spool_append(struct spool *spool, struct spool_request *request)
{
	const struct item *item = request->item;
	struct spool_op *op = spool_op_new(RECORD_MESSAGE);
	struct field_writer writer = { &op->encoded, 0 };

	op->request = request;
	op->unsummed = atomic_load(&spool->keys_turn) > 0;
	memcpy(op->id, item->id, ITEM_ID_SIZE);
	record_put_item(&writer, item);
	if (spool_op_finish(op, &writer, spool_op_message(op, item->bytes)) < 0)
		op->length = 0;
	committer_give(spool, op);
}

static void
give(struct spool *spool, struct spool_op *op, const struct item *item, int r)
{
	memcpy(op->id, item->id, ITEM_ID_SIZE);
	if (r < 0) /* out of memory: a duplicate after a restart */
		spool_op_free(op);
	else
		committer_give(spool, op);
}

void
spool_mark(struct spool *spool, const struct item *item, const uint32_t *indices, size_t count)
{
	struct spool_op *op = spool_op_new(RECORD_MARK);
	struct field_writer writer = { &op->encoded, 0 };

	record_put_id(&writer, item->id);
	for (size_t i = 0; i < count; i++)
		record_put_state(&writer, indices[i], &item->recipients[indices[i]]);
	give(spool, op, item, spool_op_finish(op, &writer, pn_slice(NULL, 0)));
}

void
spool_mark_effects(struct spool *spool, const struct item *item)
{
	struct spool_op *op = spool_op_new(RECORD_MARK);
	struct field_writer writer = { &op->encoded, 0 };

	record_put_id(&writer, item->id);
	field_put(&writer, RECORD_EFFECTS_DONE, NULL, 0);
	give(spool, op, item, spool_op_finish(op, &writer, pn_slice(NULL, 0)));
}

void
spool_finish(struct spool *spool, const struct item *item)
{
	struct spool_op *op = spool_op_new(RECORD_FINISH);
	struct field_writer writer = { &op->encoded, 0 };

	record_put_id(&writer, item->id);
	give(spool, op, item, spool_op_finish(op, &writer, pn_slice(NULL, 0)));
}

static void
run_sync(struct spool *spool, void *arg)
{
	int r = tail_sync(spool);

	tail_reply(
	    spool, arg, r == 0 && (spool->failures > 0 || spool->checkpoint_wanted) ? -EIO : r);
}

void
spool_sync(struct spool *spool, struct spool_request *request)
{
	struct spool_op *op = g_new0(struct spool_op, 1);

	op->run = run_sync;
	op->run_arg = request;
	committer_give(spool, op);
}

/* ---- figures ---- */

void
spool_figures(struct spool *spool, struct spool_figures *ret)
{
	*ret = (struct spool_figures){
		.appended = spool->figures.appended,
		.commits = spool->figures.commits,
		.marks = spool->figures.marks,
		.sync_failures = spool->figures.sync_failures,
		.segments = spool->figures.segments,
		.free_segments = spool->figures.free_segments,
		.live_bytes = spool->figures.live_bytes,
		.moved = spool->figures.moved,
		.indexed = spool->figures.indexed,
		.scanned = spool->figures.scanned,
	};
}
