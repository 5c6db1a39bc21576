/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recovery_list.c - finds the segments in the spool's folder and puts them in order.
 *
 * Called by recovery.c. Reports and leaves alone what it does not know.
 */
#include <core/queue/spool_core.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define DIGITS 8

static void
add_name(void *arg, const char *name)
{
	g_ptr_array_add(arg, g_strdup(name));
}

static gint
compare_names(gconstpointer a, gconstpointer b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static gint
compare_segments(gconstpointer a, gconstpointer b)
{
	const struct segment *first = *(const struct segment *const *)a;
	const struct segment *second = *(const struct segment *const *)b;

	if (first->number != second->number)
		return first->number < second->number ? -1 : 1;
	return first->slot < second->slot ? -1 : first->slot > second->slot;
}

/* "0000001f.seg", as we write it: lower case, at least eight digits. */
static bool
parse_name(const char *name, const char *suffix, uint64_t *ret_slot)
{
	char again[32];
	char *end;

	if (strlen(name) > 24)
		return false;
	*ret_slot = strtoull(name, &end, 16);
	snprintf(again, sizeof(again), "%0*" PRIx64 "%s", DIGITS, *ret_slot, suffix);
	return strcmp(again, name) == 0;
}

static struct segment *
make_segment(const struct spool *spool, const struct segment_header *header, uint64_t slot,
    uint64_t file_size)
{
	struct segment *segment = g_new0(struct segment, 1);

	segment->slot = slot;
	segment->number = header->number;
	segment->epoch = header->epoch;
	segment->size = header->size;
	segment->records_at = header->records_at;
	segment->end = header->size;
	segment->synced = true;
	segment->wrap = header->wrap;
	segment->unusable = header->size != spool->segment_size || file_size != header->size;
	return segment;
}

static void
take_header(struct spool *spool, const struct segment_header *header)
{
	if (header->number >= spool->next_number)
		spool->next_number = header->number + 1;
	if (header->first_sequence > spool->next_sequence)
		spool->next_sequence = header->first_sequence;
	if (strcmp(header->id_floor, spool->greatest_id) > 0)
		memcpy(spool->greatest_id, header->id_floor, ITEM_ID_SIZE);
}

static int
add_segment(
    struct spool *spool, const struct spool_recovery *calls, uint64_t slot, struct pn_error *err)
{
	const struct segment_io *io = spool->io;
	struct segment_header header;
	char path[SPOOL_PATH];
	uint64_t size = 0;
	int fd, r;

	int64_t modified_us;

	if (slot >= spool->next_slot)
		spool->next_slot = slot + 1;
	spool_segment_path(spool, slot, path);
	fd = io->open(io->arg, path, O_RDONLY);
	if (fd == -ENOENT && spool->glance)
		return 0; /* the process before us has just deleted it */
	r = fd < 0 ? fd : io->size(io->arg, fd, &size);
	if (r == 0 && io->modified(io->arg, fd, &modified_us) == 0)
		spool->modified_us = MAX(spool->modified_us, modified_us);
	if (r == 0)
		r = segment_header_load(io, fd, &header);
	if (fd >= 0)
		io->close(io->arg, fd);
	if (r == -EPROTONOSUPPORT)
		return pn_error_set(
		    err, r, "%s: a newer version of Postern wrote this; start that one", path);
	if (r < 0) {
		if (calls->damaged)
			calls->damaged(calls->arg, path,
			    r == -EBADMSG ? "no readable segment header; left alone"
					  : "cannot be read; left alone");
		return 0;
	}
	take_header(spool, &header);
	spool_segment_insert(spool, make_segment(spool, &header, slot, size));
	return 0;
}

static int
take_name(
    struct spool *spool, const struct spool_recovery *calls, const char *name, struct pn_error *err)
{
	char path[SPOOL_PATH + 256];
	uint64_t slot;

	if (strcmp(name, SPOOL_LOCK) == 0 || strcmp(name, SPOOL_LOCK_NEXT) == 0 ||
	    strcmp(name, SPOOL_WRITER) == 0 || strcmp(name, "corrupt") == 0)
		return 0;
	if (parse_name(name, ".seg", &slot))
		return slot < spool->own_slot ? add_segment(spool, calls, slot, err) : 0;
	snprintf(path, sizeof(path), "%s/%s", spool->directory, name);
	if (spool->glance)
		return 0;
	if (parse_name(name, ".new", &slot)) {
		if (slot < spool->own_slot)
			spool->io->remove(spool->io->arg, path); /* never had its name */
	} else if (calls->damaged) {
		calls->damaged(calls->arg, path, "not a file of the spool; left alone");
	}
	return 0;
}

/* Somebody copied a segment: the one in the lower slot is taken. */
static void
drop_copies(struct spool *spool, const struct spool_recovery *calls)
{
	char path[SPOOL_PATH];

	for (guint i = 1; i < spool->segments->len;) {
		struct segment *before = g_ptr_array_index(spool->segments, i - 1);
		struct segment *segment = g_ptr_array_index(spool->segments, i);

		if (segment->number != before->number) {
			i++;
			continue;
		}
		spool_segment_path(spool, segment->slot, path);
		if (calls->damaged)
			calls->damaged(
			    calls->arg, path, "a segment with this number is there; left alone");
		spool_segment_remove(spool, segment);
	}
}

int
recovery_list(struct spool *spool, const struct spool_recovery *calls, struct pn_error *err)
{
	GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
	int r;

	r = spool->io->list(spool->io->arg, spool->directory, add_name, names);
	if (r < 0)
		pn_error_set(
		    err, r, "%s: cannot read this folder: %s", spool->directory, strerror(-r));
	g_ptr_array_sort(names, compare_names);
	for (guint i = 0; r == 0 && i < names->len; i++)
		r = take_name(spool, calls, g_ptr_array_index(names, i), err);
	g_ptr_array_unref(names);
	if (r < 0)
		return r;
	g_ptr_array_sort(spool->segments, compare_segments);
	drop_copies(spool, calls);
	return 0;
}
