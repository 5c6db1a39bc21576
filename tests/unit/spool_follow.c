/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool_follow.c - a spool that one process takes over from another, both writing for a while.
 *
 * Two processes are two spools of this one: the locks belong to open files.
 */
#include "run.h"
#include "tests/unit/spool_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SEGMENT (64 * 1024)

static char folder[64];

struct follower {
	struct kit kit;
	pthread_mutex_t lock;
	pthread_cond_t change;
	bool done;
	int r;
};

static void
setup(void)
{
	snprintf(folder, sizeof(folder), "/tmp/postern-follow-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void
remove_all(const char *path)
{
	GDir *dir = g_dir_open(path, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		char *inner = g_build_filename(path, name, NULL);

		if (unlink(inner) < 0)
			remove_all(inner);
		g_free(inner);
	}
	if (dir)
		g_dir_close(dir);
	rmdir(path);
}

static void
teardown(void)
{
	remove_all(folder);
}

static void
free_item(void *arg)
{
	struct item *item = arg;

	item_free(&item);
}

static int
follow(struct follower *next)
{
	struct spool_settings settings = {
		.directory = folder, .segment_size = SEGMENT, .keys = kit_keys(KIT_KEYS)
	};
	int r;

	memset(next, 0, sizeof(*next));
	next->kit.items = g_ptr_array_new_with_free_func(free_item);
	next->kit.asides = g_ptr_array_new_with_free_func(g_free);
	next->kit.whats = g_ptr_array_new_with_free_func(g_free);
	pthread_mutex_init(&next->lock, NULL);
	pthread_cond_init(&next->change, NULL);
	r = spool_follow(&settings, &next->kit.spool, &next->kit.err);
	keyring_release(&settings.keys);
	return r;
}

static void
on_item(void *arg, struct item *item)
{
	struct follower *next = arg;

	g_ptr_array_add(next->kit.items, item);
}

static void
on_damaged(void *arg, const char *aside, const char *what)
{
	ck_abort_msg("%s: %s", aside, what);
}

static void
on_done(void *arg, int r, const struct pn_error *err)
{
	struct follower *next = arg;

	pthread_mutex_lock(&next->lock);
	next->done = true;
	next->r = r;
	pthread_cond_signal(&next->change);
	pthread_mutex_unlock(&next->lock);
}

static void
inherit(struct follower *next)
{
	struct spool_recovery calls = { on_item, on_damaged, next };

	ck_assert_int_eq(spool_inherit(next->kit.spool, &calls, on_done, &next->kit.err), 0);
}

static int
wait_done(struct follower *next)
{
	pthread_mutex_lock(&next->lock);
	while (!next->done)
		pthread_cond_wait(&next->change, &next->lock);
	pthread_mutex_unlock(&next->lock);
	return next->r;
}

static void
finish_all(struct kit *kit)
{
	for (guint i = 0; i < kit->items->len; i++)
		spool_finish(kit->spool, g_ptr_array_index(kit->items, i));
}

/* What is unfinished, read as at any start. */
static guint
count_waiting(void)
{
	struct kit kit = { 0 };
	guint count;
	int r = kit_open(&kit, NULL, folder, 0);

	ck_assert_msg(r == 0, "%s", kit.err.text);
	ck_assert_uint_eq(kit.asides->len, 0);
	count = kit.items->len;
	for (guint i = 0; i < count; i++)
		kit_check_read(&kit, g_ptr_array_index(kit.items, i));
	kit_close(&kit);
	return count;
}

START_TEST(both_take_messages)
{
	struct kit before = { 0 };
	struct follower next;
	struct item *first, *second, *third, *mine;

	ck_assert_int_eq(kit_open(&before, NULL, folder, 0), 0);
	first = kit_accept(&before, 1000, 1);
	kit_close(&before);
	ck_assert_int_eq(follow(&next), 0);
	inherit(&next);
	ck_assert_int_eq(wait_done(&next), 0);
	ck_assert_uint_eq(next.kit.items->len, 1);

	/* Another one follows while this one goes on. */
	struct follower last;

	ck_assert_int_eq(follow(&last), 0);
	inherit(&last);
	second = kit_accept(&next.kit, 3000, 2);
	mine = kit_accept(&last.kit, 2000, 1);
	third = kit_accept(&next.kit, 4000, 1);
	ck_assert_str_ne(second->id, mine->id);
	spool_finish(next.kit.spool, second);
	kit_check_read(&last.kit, mine);
	ck_assert(!last.done);
	kit_close(&next.kit);
	ck_assert_int_eq(wait_done(&last), 0);
	ck_assert_uint_eq(last.kit.items->len, 2);
	ck_assert_ptr_nonnull(kit_find(&last.kit, first->id));
	ck_assert_ptr_nonnull(kit_find(&last.kit, third->id));
	for (guint i = 0; i < 2; i++)
		kit_check_read(&last.kit, g_ptr_array_index(last.kit.items, i));
	finish_all(&last.kit);
	kit_close(&last.kit);
	ck_assert_uint_eq(count_waiting(), 1);
	item_free(&first);
	item_free(&second);
	item_free(&third);
	item_free(&mine);
}
END_TEST

START_TEST(only_one_follows)
{
	struct kit before = { 0 };
	struct follower next, third;

	ck_assert_int_eq(kit_open(&before, NULL, folder, 0), 0);
	ck_assert_int_eq(follow(&next), -EBUSY);
	kit_close(&next.kit);
	kit_close(&before);
	ck_assert_int_eq(follow(&next), 0);
	ck_assert_int_eq(follow(&third), -EBUSY);
	ck_assert_ptr_nonnull(strstr(third.kit.err.text, "in use by process"));
	kit_close(&third.kit);
	kit_close(&next.kit);
}
END_TEST

/* The follower may go before it had anything: what it took itself is not lost. */
START_TEST(a_follower_that_ends_first)
{
	struct follower first, second, third;
	struct item *item;

	ck_assert_int_eq(follow(&first), 0);
	inherit(&first);
	ck_assert_int_eq(wait_done(&first), 0);
	ck_assert_int_eq(follow(&second), 0);
	inherit(&second);
	item = kit_accept(&second.kit, 500, 1);
	item_free(&item);
	spool_stop(second.kit.spool);
	ck_assert_int_eq(wait_done(&second), -ECANCELED);
	kit_close(&second.kit);
	ck_assert_int_eq(follow(&third), 0);
	inherit(&third);
	item = kit_accept(&first.kit, 500, 1);
	item_free(&item);
	kit_close(&first.kit);
	ck_assert_int_eq(wait_done(&third), 0);
	ck_assert_uint_eq(third.kit.items->len, 2);
	kit_close(&third.kit);
	ck_assert_uint_eq(count_waiting(), 2);
}
END_TEST

/* ---- many takeovers ---- */

struct tally {
	GPtrArray *open; /* of items of one follower that are not finished */
	guint total;     /* in the spool */
};

static void
work(struct follower *on, struct tally *tally, guint count)
{
	for (guint i = 0; i < count; i++) {
		guint pick = tally->open->len ? g_random_int_range(0, (gint)tally->open->len) : 0;

		if (tally->open->len > 40 || (tally->open->len > 0 && g_random_boolean())) {
			struct item *item = g_ptr_array_index(tally->open, pick);

			spool_mark(on->kit.spool, item, (uint32_t[]){ 0 }, 1);
			if (g_random_boolean())
				continue;
			spool_finish(on->kit.spool, item);
			g_ptr_array_remove_index_fast(tally->open, pick);
			tally->total--;
		} else {
			g_ptr_array_add(tally->open,
			    kit_accept(&on->kit, (gsize)g_random_int_range(1, 20000), 1));
			tally->total++;
		}
	}
}

/* Segments are reused before, during and after: what is finished stays so, the rest is there. */
START_TEST(again_and_again)
{
	struct follower both[2];
	struct tally tally = { g_ptr_array_new_with_free_func(free_item), 0 };
	struct tally later = { NULL, 0 };
	struct spool_figures figures;

	ck_assert_int_eq(follow(&both[0]), 0);
	inherit(&both[0]);
	ck_assert_int_eq(wait_done(&both[0]), 0);
	for (guint round = 0; round < 12; round++) {
		struct follower *old = &both[round % 2], *new = &both[(round + 1) % 2];

		later = (struct tally){ g_ptr_array_new_with_free_func(free_item), 0 };
		work(old, &tally, 150);
		ck_assert_int_eq(follow(new), 0);
		inherit(new);
		for (guint i = 0; i < 10; i++) {
			work(old, &tally, 15);
			work(new, &later, 30);
		}
		kit_close(&old->kit);
		ck_assert_int_eq(wait_done(new), 0);
		ck_assert_uint_eq(new->kit.items->len, tally.total);
		for (guint i = 0; i < tally.open->len; i++) {
			struct item *item = g_ptr_array_index(tally.open, i);

			ck_assert_ptr_nonnull(kit_find(&new->kit, item->id));
		}
		/* Those handed out are the new one's from now on. */
		g_ptr_array_set_free_func(new->kit.items, NULL);
		for (guint i = 0; i < new->kit.items->len; i++)
			g_ptr_array_add(later.open, g_ptr_array_index(new->kit.items, i));
		g_ptr_array_set_size(new->kit.items, 0);
		g_ptr_array_set_free_func(new->kit.items, free_item);
		later.total += tally.total;
		g_ptr_array_unref(tally.open);
		tally = later;
		work(new, &tally, 300);
		spool_figures(new->kit.spool, &figures);
		ck_assert_uint_lt(figures.segments, 60);
	}
	kit_close(&both[0].kit);
	ck_assert_uint_eq(count_waiting(), tally.total);
	g_ptr_array_unref(tally.open);
}
END_TEST

/* ---- ids ---- */

START_TEST(ids_of_two_makers_differ)
{
	char before[ITEM_ID_SIZE], id[ITEM_ID_SIZE];

	item_id_new(before);
	for (unsigned i = 0; i < 1000; i++) {
		item_id_maker(i);
		item_id_new(id);
		ck_assert_int_gt(strcmp(id, before), 0);
		/* The last 5 bits of the id as text: 4 are the maker's. */
		ck_assert_uint_eq((unsigned)(strchr("0123456789ABCDEFGHJKMNPQRSTVWXYZ", id[12]) -
					     "0123456789ABCDEFGHJKMNPQRSTVWXYZ") %
				      ITEM_ID_MAKERS,
		    i % ITEM_ID_MAKERS);
		memcpy(before, id, sizeof(id));
	}
}
END_TEST

/* Set back between two starts: ids go on behind the newest segment's last write. */
START_TEST(ids_after_the_clock_was_set_back)
{
	struct follower next;
	struct item *item, *other;
	char path[160];
	GDir *dir;
	const char *name;

	ck_assert_int_eq(follow(&next), 0);
	item = kit_accept(&next.kit, 10, 1);
	kit_close(&next.kit);
	dir = g_dir_open(folder, 0, NULL);
	while ((name = g_dir_read_name(dir))) {
		/* As if written an hour from now, which is the same. */
		struct timespec times[2] = { { time(NULL) + 3600, 0 }, { time(NULL) + 3600, 0 } };

		snprintf(path, sizeof(path), "%s/%s", folder, name);
		ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
	}
	g_dir_close(dir);
	ck_assert_int_eq(follow(&next), 0);
	other = kit_item(10, 1);
	ck_assert_int_gt(strcmp(other->id, item->id), 0);
	/* 4096 ids in a microsecond, 32 in a step of the last letter: an hour is in the fifth. */
	ck_assert_int_gt(strncmp(other->id, item->id, 7), 0);
	item_free(&item);
	item_free(&other);
	kit_close(&next.kit);
}
END_TEST

static Suite *
suite(void)
{
	Suite *all = suite_create("spool_follow");
	TCase *tests = tcase_create("follow");

	tcase_set_timeout(tests, 120);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, both_take_messages);
	tcase_add_test(tests, only_one_follows);
	tcase_add_test(tests, a_follower_that_ends_first);
	tcase_add_test(tests, again_and_again);
	tcase_add_test(tests, ids_of_two_makers_differ);
	tcase_add_test(tests, ids_after_the_clock_was_set_back);
	suite_add_tcase(all, tests);
	return all;
}

int
main(void)
{
	return unit_run(suite());
}
