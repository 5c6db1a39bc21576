/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore_spool.c - posternctl restore --spool: brings the mail of a backup back into the queue.
 *
 * Called by command_restore.c, which holds the folder's lock. The copy is opened as a spool beside
 * the place it is for, before anything there is touched. Must never add to mail that waits already,
 * and always says what it brings: mail that was delivered since the backup would go out again.
 */
#include <core/base/clock.h>
#include <core/ctl/archive.h>
#include <core/ctl/backup.h>
#include <core/queue/spool.h>
#include <core/queue/spool_copy.h>
#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define IDS_MOST 1000 /* that are told */

struct opened {
	const struct restore_spool *order;
	struct spool *spool;
	GPtrArray *items;
	json_t *ids;
	size_t damaged;
};

static void
take_item(void *arg, struct item *item)
{
	struct opened *opened = arg;

	if (item->unfinished == 0) {
		item_free(&item);
		return;
	}
	if (json_array_size(opened->ids) < IDS_MOST)
		json_array_append_new(opened->ids, json_string(item_log_id(item)));
	g_ptr_array_add(opened->items, item);
}

static void
take_damaged(void *arg, const char *aside, const char *what)
{
	((struct opened *)arg)->damaged++;
	fprintf(stderr, "posternctl: %s: %s\n", aside, what);
}

static void
hold(struct opened *opened, struct item *item)
{
	const struct item_hold held = { opened->order->reason, opened->order->who, clock_wall_us(),
		0, ITEM_HOLD_BOUNCE };

	for (uint32_t i = 0; i < item->envelope.count; i++) {
		if (item_is_final(item->recipients[i].state) || item->recipients[i].hold)
			continue;
		item->recipients[i].state = ITEM_WAITING;
		item->recipients[i].hold = &held;
		spool_mark(opened->spool, item, &i, 1);
		item->recipients[i].hold = NULL;
	}
}

struct sync {
	struct spool_request request; /* first */
	GAsyncQueue *answers;
	int r;
};

static void
synced(struct spool_request *request, int r)
{
	struct sync *sync = (struct sync *)(void *)request;

	sync->r = r;
	g_async_queue_push(sync->answers, sync);
}

static int
hold_all(struct opened *opened, struct pn_error *err)
{
	struct sync sync = { .request.done = synced, .answers = g_async_queue_new() };

	for (guint i = 0; i < opened->items->len; i++)
		hold(opened, g_ptr_array_index(opened->items, i));
	spool_sync(opened->spool, &sync.request);
	g_async_queue_pop(sync.answers);
	g_async_queue_unref(sync.answers);
	return sync.r < 0 ? pn_error_set(err, sync.r, "the messages could not be held: %s",
				g_strerror(-sync.r))
			  : 0;
}

static void
free_item(gpointer item)
{
	item_free((struct item **)&item);
}

/* As a relay would at its start: all that it says of the mail, and whether it can be read. */
static int
try_spool(const struct restore_spool *order, const char *folder, struct restored_spool *ret,
    struct pn_error *err)
{
	struct spool_settings settings = { .directory = folder,
		.segment_size = order->segment_size,
		.gather_us = 0,
		.keys = order->keys };
	struct opened opened = { .order = order,
		.items = g_ptr_array_new_with_free_func(free_item),
		.ids = json_array() };
	struct spool_recovery recovery = { take_item, take_damaged, &opened };
	int r = spool_copy_check_keys(folder, order->keys, err);

	if (r >= 0) {
		ret->encrypted = r;
		r = spool_open(&settings, &recovery, &opened.spool, err);
	}
	if (r == 0 && order->hold)
		r = hold_all(&opened, err);
	spool_close(&opened.spool);
	ret->messages = opened.items->len;
	ret->damaged = opened.damaged;
	ret->ids = opened.ids;
	g_ptr_array_unref(opened.items);
	return r;
}

/* Everything in it belongs to whom the folder is for. */
static int
give_all(const char *folder, const struct stat *owner, struct pn_error *err)
{
	GDir *dir = g_dir_open(folder, 0, NULL);
	const char *name;
	int r = geteuid() == 0 ? lchown(folder, owner->st_uid, owner->st_gid) : 0;

	while (r == 0 && dir && (name = g_dir_read_name(dir))) {
		char *path = g_build_filename(folder, name, NULL);

		if (g_file_test(path, G_FILE_TEST_IS_DIR))
			r = give_all(path, owner, err) < 0 ? -1 : 0;
		else if (geteuid() == 0)
			r = lchown(path, owner->st_uid, owner->st_gid);
		g_free(path);
	}
	if (dir)
		g_dir_close(dir);
	return r < 0 ? pn_error_set(err, -errno, "%s: %s", folder, g_strerror(errno)) : 0;
}

static void
remove_all(const char *folder)
{
	GDir *dir = g_dir_open(folder, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		char *path = g_build_filename(folder, name, NULL);

		if (g_unlink(path) < 0 && errno == EISDIR)
			remove_all(path);
		g_free(path);
	}
	if (dir)
		g_dir_close(dir);
	g_rmdir(folder);
}

/* What is there has no mail, and stays beside it. */
static int
put(const char *folder, const char *place, struct pn_error *err)
{
	char *before = g_strdup_printf(
	    "%s.before-restore-%lld", place, (long long)(clock_wall_us() / 1000000));
	int r = 0;

	if (rename(place, before) < 0 && errno != ENOENT)
		r = pn_error_set(err, -errno, "%s: %s", before, g_strerror(errno));
	if (r == 0 && rename(folder, place) < 0)
		r = pn_error_set(err, -errno, "%s: %s", place, g_strerror(errno));
	g_free(before);
	return r;
}

static int
prepare(const struct restore_spool *order, const char *folder, struct restored_spool *ret,
    struct pn_error *err)
{
	struct stat owner;
	int r = 0;

	if (g_mkdir(folder, 0700) < 0)
		r = pn_error_set(err, -errno, "%s: %s", folder, g_strerror(errno));
	if (r == 0)
		r = archive_extract(
		    order->path, order->manifest, BACKUP_SPOOL, folder, order->progress, err);
	if (r >= 0)
		r = try_spool(order, folder, ret, err);
	if (r == 0 && stat(order->state, &owner) < 0)
		r = pn_error_set(err, -errno, "%s: %s", order->state, g_strerror(errno));
	return r == 0 ? give_all(folder, &owner, err) : r;
}

int
restore_spool(const struct restore_spool *order, struct restored_spool *ret, struct pn_error *err)
{
	char *place = g_strdup_printf("%s/spool", order->state),
	     *folder = g_strdup_printf("%s/spool.restore", order->state);
	int r = spool_copy_has_any(place, err);

	if (r > 0)
		r = pn_error_set(err, -EEXIST,
		    "%s: there is a spool with mail in it, or room for some: start posternd and "
		    "let it "
		    "empty, or move it away",
		    place);
	remove_all(folder); /* of one that was killed */
	if (r == 0)
		r = prepare(order, folder, ret, err);
	if (r == 0)
		r = put(folder, place, err);
	if (r < 0)
		remove_all(folder);
	g_free(place);
	g_free(folder);
	return r;
}
