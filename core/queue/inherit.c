/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inherit.c - takes over the spool of the process before, beside the mail that comes in meanwhile.
 *
 * Called by spool.c. The follower writes segments with numbers of its own, above all that the other
 * one can ever use; when that has ended, a thread here reads what is in its segments and in older
 * ones, as at any start, and the committer then adds them in front of its own. Must never read or
 * change a file of a process that may still be writing. TWO PROCESSES in record.h says why that is
 * one log all the time.
 */
#include <core/queue/spool_core.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOK_MS       20
#define WRITER_LEN    21 /* of the file: 20 digits and a line feed */
#define NUMBERS_SHIFT 32 /* segments and records that one writer may number */
#define SLOTS_SHIFT   20
#define WRITERS_MOST  ((UINT64_C(1) << (64 - NUMBERS_SHIFT)) - 1)
#define CLOCK_STEP_US 20000 /* a file's times are those of the kernel's last tick */

struct inherit {
	struct spool *spool, *past;
	struct spool_recovery calls;
	void (*done)(void *arg, int r, const struct pn_error *err);
	GPtrArray *items; /* of struct item, until they are handed out */
	pthread_t thread;
	atomic_bool stopping;
	pthread_mutex_t lock; /* of `adopted` */
	pthread_cond_t change;
	bool adopted;
};

/* ---- locks -----------------------------------------------------------------------------------
 */

int
inherit_lock(struct spool *spool, const char *name, int *ret_fd, struct pn_error *err)
{
	char path[SPOOL_PATH + 16];
	pid_t pid;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", spool->directory, name);
	fd = spool->io->lock(spool->io->arg, path, &pid);
	*ret_fd = fd;
	if (fd >= 0)
		return 0;
	if (fd == -EBUSY && pid > 0)
		return pn_error_set(
		    err, fd, "%s: the spool is in use by process %ld", spool->directory, (long)pid);
	if (fd == -EBUSY)
		return pn_error_set(
		    err, fd, "%s: the spool is in use by another process", spool->directory);
	return pn_error_set(err, fd, "%s: cannot lock: %s", path, strerror(-fd));
}

/* ---- numbers of its own ----------------------------------------------------------------------
 */

/*
 * The writer's number is on disk before anything is written under it: the process before may have
 * written nothing yet. Not synced: after a power cut there is no process before.
 */
static int
next_writer(struct spool *spool, uint64_t least, uint64_t *ret, struct pn_error *err)
{
	const struct segment_io *io = spool->io;
	char path[SPOOL_PATH + 16], text[32] = "";
	struct iovec part = { text, WRITER_LEN };
	int fd, r;

	snprintf(path, sizeof(path), "%s/" SPOOL_WRITER, spool->directory);
	fd = io->open(io->arg, path, O_RDWR | O_CREAT);
	if (fd < 0)
		return pn_error_set(err, fd, "%s: %s", path, strerror(-fd));
	/* A new file is empty, and one cut short by a power cut counts for nothing. */
	if (segment_io_read_all(io, fd, text, WRITER_LEN, 0) < 0)
		memset(text, 0, sizeof(text));
	*ret = MAX(strtoull(text, NULL, 10), least) + 1;
	snprintf(text, sizeof(text), "%020" PRIu64 "\n", *ret);
	r = *ret > WRITERS_MOST ? -EOVERFLOW : segment_io_write_all(io, fd, &part, 1, 0);
	io->close(io->arg, fd);
	return r < 0 ? pn_error_set(err, r, "%s: cannot write: %s", path, strerror(-r)) : 0;
}

static struct spool *
make_past(struct spool *spool)
{
	struct spool_settings settings = { .directory = spool->directory,
		.segment_size = spool->segment_size,
		.io = spool->io,
		.keys = spool->known,
		.no_index = spool->no_index };
	struct spool *past;

	pthread_mutex_lock(&spool->table_lock);
	past = spool_make(&settings);
	pthread_mutex_unlock(&spool->table_lock);
	return past;
}

int
inherit_begin(struct spool *spool, struct pn_error *err)
{
	struct spool_recovery nobody = { 0 };
	struct spool *past = make_past(spool);
	uint64_t writer = 0, least;
	int r;

	past->glance = true;
	r = recovery_list(past, &nobody, err);
	least = MAX(past->next_number >> NUMBERS_SHIFT, past->next_slot >> SLOTS_SHIFT);
	if (r == 0)
		r = next_writer(spool, least, &writer, err);
	if (r == 0) {
		spool->next_number = spool->next_sequence = writer << NUMBERS_SHIFT;
		spool->own_number = spool->next_number;
		spool->own_slot = spool->next_slot = writer << SLOTS_SHIFT;
		memcpy(spool->greatest_id, past->greatest_id, ITEM_ID_SIZE);
		item_id_maker((unsigned)(writer % ITEM_ID_MAKERS));
		/* The clock may have been set back; ids of the newest segment are not read yet. */
		item_id_floor(past->greatest_id);
		if (past->modified_us > 0)
			item_id_after(past->modified_us + CLOCK_STEP_US);
	}
	spool_close(&past);
	return r;
}

/* ---- adopting --------------------------------------------------------------------------------
 */

/* On the committer's thread, which alone may touch either. */
static void
adopt(struct spool *spool, void *arg)
{
	struct inherit *inherit = arg;
	struct spool *past = inherit->past;
	GPtrArray *all = past->segments;

	past->segments = g_ptr_array_new();
	pthread_mutex_lock(&spool->table_lock);
	for (guint i = 0; i < spool->segments->len; i++)
		g_ptr_array_add(all, g_ptr_array_index(spool->segments, i));
	g_ptr_array_unref(spool->segments);
	spool->segments = all;
	spool->figures.segments = all->len;
	spool->figures.indexed = past->figures.indexed;
	spool->figures.scanned = past->figures.scanned;
	pthread_mutex_unlock(&spool->table_lock);
	live_merge(&spool->live, &past->live);
	spool->figures.live_bytes = spool->live.bytes;
	if (strcmp(past->greatest_id, spool->greatest_id) > 0)
		memcpy(spool->greatest_id, past->greatest_id, ITEM_ID_SIZE);
	/* Those were in no STATE of ours. */
	spool->checkpoint = 0;
	spool->pass.active = false;
	spool->reclaim_due = spool->compact_due = true;

	pthread_mutex_lock(&inherit->lock);
	inherit->adopted = true;
	pthread_cond_signal(&inherit->change);
	pthread_mutex_unlock(&inherit->lock);
}

static void
ask_committer(struct inherit *inherit)
{
	struct spool_op *op = g_new0(struct spool_op, 1);

	op->run = adopt;
	op->run_arg = inherit;
	committer_give(inherit->spool, op);
	pthread_mutex_lock(&inherit->lock);
	while (!inherit->adopted)
		pthread_cond_wait(&inherit->change, &inherit->lock);
	pthread_mutex_unlock(&inherit->lock);
}

/* ---- the thread ------------------------------------------------------------------------------
 */

static void
keep_item(void *arg, struct item *item)
{
	struct inherit *inherit = arg;

	g_ptr_array_add(inherit->items, item);
}

static void
pass_damaged(void *arg, const char *aside, const char *what)
{
	const struct inherit *inherit = arg;

	if (inherit->calls.damaged)
		inherit->calls.damaged(inherit->calls.arg, aside, what);
}

static int
wait_for_lock(struct inherit *inherit, struct pn_error *err)
{
	struct spool *spool = inherit->spool;
	int fd = -EBUSY, r = -ECANCELED;

	while (!atomic_load(&inherit->stopping) &&
	       (r = inherit_lock(spool, SPOOL_LOCK, &fd, err)) == -EBUSY)
		poll(NULL, 0, LOOK_MS);
	if (r == 0)
		spool->lock_fd = fd;
	return atomic_load(&inherit->stopping) ? -ECANCELED : r;
}

static int
read_past(struct inherit *inherit, struct pn_error *err)
{
	struct spool_recovery calls = { keep_item, pass_damaged, inherit };

	inherit->past->own_slot = inherit->spool->own_slot;
	inherit->past->cancel = &inherit->stopping;
	return recovery_run(inherit->past, &calls, err);
}

static void
hand_out(struct inherit *inherit)
{
	for (guint i = 0; i < inherit->items->len; i++)
		inherit->calls.item(inherit->calls.arg, g_ptr_array_index(inherit->items, i));
	g_ptr_array_set_size(inherit->items, 0);
}

static void *
run(void *arg)
{
	struct inherit *inherit = arg;
	struct spool *spool = inherit->spool;
	struct pn_error err = { 0 };
	int r = wait_for_lock(inherit, &err);

	if (r == 0)
		r = read_past(inherit, &err);
	if (r == 0) {
		ask_committer(inherit);
		spool->io->close(spool->io->arg, spool->next_lock_fd);
		spool->next_lock_fd = -1; /* spool_close() looks at it when this thread has ended */
		hand_out(inherit);
	}
	inherit->done(inherit->calls.arg, r, &err);
	return NULL;
}

static void
free_inherit(struct inherit *inherit)
{
	for (guint i = 0; i < inherit->items->len; i++) {
		struct item *item = g_ptr_array_index(inherit->items, i);

		item_free(&item);
	}
	g_ptr_array_unref(inherit->items);
	spool_close(&inherit->past);
	pthread_mutex_destroy(&inherit->lock);
	pthread_cond_destroy(&inherit->change);
	g_free(inherit);
}

int
spool_inherit(struct spool *spool, const struct spool_recovery *recovery,
    void (*done)(void *arg, int r, const struct pn_error *err), struct pn_error *err)
{
	struct inherit *inherit = g_new0(struct inherit, 1);
	sigset_t all, before;
	int r;

	inherit->spool = spool;
	inherit->past = make_past(spool);
	inherit->calls = *recovery;
	inherit->done = done;
	inherit->items = g_ptr_array_new();
	pthread_mutex_init(&inherit->lock, NULL);
	pthread_cond_init(&inherit->change, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&inherit->thread, NULL, run, inherit);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0) {
		free_inherit(inherit);
		return pn_error_set(err, -r, "cannot start a thread: %s", strerror(r));
	}
	pthread_setname_np(inherit->thread, "inherit");
	spool->inherit = inherit;
	return 0;
}

void
inherit_stop(struct spool *spool)
{
	struct inherit *inherit = spool->inherit;

	if (!inherit)
		return;
	atomic_store(&inherit->stopping, true);
	pthread_join(inherit->thread, NULL);
	spool->inherit = NULL;
	free_inherit(inherit);
}
