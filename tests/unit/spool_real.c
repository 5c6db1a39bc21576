/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool_real.c - the spool on a real file system: killed at full speed, used by two loops at once,
 * asked for by two owners.
 */
#include "run.h"
#include "tests/unit/spool_kit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char base[64], folder[96];
static struct kit kit;

static void
setup(void)
{
	snprintf(base, sizeof(base), "/tmp/postern-spool-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(base));
	snprintf(folder, sizeof(folder), "%s/state/spool", base);
}

static void
remove_all(const char *path)
{
	GDir *dir = g_dir_open(path, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		char *inner = g_build_filename(path, name, NULL);

		if (g_file_test(inner, G_FILE_TEST_IS_DIR))
			remove_all(inner);
		else
			unlink(inner);
		g_free(inner);
	}
	if (dir)
		g_dir_close(dir);
	rmdir(path);
}

static void
teardown(void)
{
	if (kit.spool)
		kit_close(&kit);
	remove_all(base);
}

static void
open_spool(void)
{
	int r = kit_open(&kit, NULL, folder, 0);

	ck_assert_msg(r == 0, "%s", kit.err.text);
}

/* ---- the folder ---- */

START_TEST(folders_are_private)
{
	struct item *item;
	char path[128];
	struct stat st;

	open_spool();
	item = kit_item(100, 1);
	ck_assert_int_eq(kit_append(&kit, item), 0);
	item_free(&item);
	ck_assert_int_eq(stat(folder, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	snprintf(path, sizeof(path), "%s/00000001.seg", folder);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(st.st_size, 64 * 1024);
}
END_TEST

START_TEST(one_owner_at_a_time)
{
	struct kit second = { 0 };
	char pid[32];

	open_spool();
	snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
	ck_assert_int_eq(kit_open(&second, NULL, folder, 0), -EBUSY);
	ck_assert_ptr_nonnull(strstr(second.err.text, pid));
	ck_assert_ptr_nonnull(strstr(second.err.text, folder));
	kit_close(&second);
	kit_close(&kit);
	open_spool();
}
END_TEST

START_TEST(a_folder_that_cannot_be)
{
	struct kit second = { 0 };
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/file", base);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fclose(file);
	snprintf(path, sizeof(path), "%s/file/spool", base);
	ck_assert_int_eq(kit_open(&second, NULL, path, 0), -ENOTDIR);
	ck_assert_ptr_nonnull(strstr(second.err.text, path));
	kit_close(&second);
}
END_TEST

/* ---- kill -9 ---- */

#define IN_FLIGHT 8
#define ROUNDS    5

struct flight {
	struct spool_request request; /* first */
	struct spool *spool;
	int pipe;
	unsigned count;
};

static void fly(struct flight *flight);

/* The id, and whether it will be finished: a line of 16 bytes, which a pipe keeps whole. */
static void
landed(struct spool_request *request, int r)
{
	struct flight *flight = (struct flight *)request;
	struct item *item = request->item;
	char line[17];

	if (r < 0)
		_exit(3);
	snprintf(line, sizeof(line), "%.13s %c\n", item->id, flight->count % 3 ? 'F' : '-');
	if (write(flight->pipe, line, 16) != 16)
		_exit(4);
	if (flight->count % 3)
		spool_finish(flight->spool, item);
	item_free(&item);
	fly(flight);
}

static void
fly(struct flight *flight)
{
	flight->count++;
	flight->request.item = kit_item(100 + flight->count % 9000, 1);
	spool_append(flight->spool, &flight->request);
}

static void
child(int out)
{
	static struct flight flights[IN_FLIGHT];

	if (kit_open(&kit, NULL, folder, 0) < 0)
		_exit(2);
	for (int i = 0; i < IN_FLIGHT; i++) {
		flights[i] = (struct flight){
			.request = { .done = landed }, .spool = kit.spool, .pipe = out
		};
		fly(&flights[i]);
	}
	for (;;)
		pause();
}

/* Reads what was acknowledged; kills the child once there is enough of it. */
static void
read_acknowledged(int in, pid_t pid, int enough, GHashTable *ids)
{
	char line[17] = "";
	FILE *lines = fdopen(in, "r");
	int count = 0;

	while (fread(line, 1, 16, lines) == 16) {
		g_hash_table_insert(
		    ids, g_strndup(line, 13), GINT_TO_POINTER(line[14] == 'F' ? 1 : 2));
		if (++count == enough)
			kill(pid, SIGKILL);
	}
	fclose(lines);
	ck_assert_int_ge(count, enough);
}

static void
check_acknowledged(GHashTable *ids)
{
	GHashTableIter iter;
	gpointer key, value;

	g_hash_table_iter_init(&iter, ids);
	while (g_hash_table_iter_next(&iter, &key, &value)) {
		struct item *item = kit_find(&kit, key);
		struct mail_bytes *bytes = NULL;

		if (GPOINTER_TO_INT(value) == 2)
			ck_assert_msg(item != NULL, "%s is lost", (char *)key);
		if (!item)
			continue;
		ck_assert_int_eq(spool_read(kit.spool, item, &bytes), 0);
		kit_check_body(item, bytes);
		mail_bytes_release(&bytes);
	}
}

START_TEST(killed_at_full_speed)
{
	GHashTable *ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

	for (int round = 0; round < ROUNDS; round++) {
		int ends[2], status;
		pid_t pid;

		ck_assert_int_eq(pipe(ends), 0);
		pid = fork();
		ck_assert_int_ge(pid, 0);
		if (pid == 0) {
			close(ends[0]);
			child(ends[1]);
		}
		close(ends[1]);
		read_acknowledged(ends[0], pid, 100 + 137 * round, ids);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		open_spool();
		check_acknowledged(ids);
		/* A write cut short is set aside; nothing else is wrong. */
		ck_assert_uint_le(kit.whats->len, 1);
		kit_close(&kit);
	}
	g_hash_table_unref(ids);
}
END_TEST

/* ---- two loops ---- */

#define PER_LOOP 2000

struct runner {
	pthread_t thread;
	struct loop *loop;
	struct loop_task start;
	struct lane {
		struct spool_request request; /* first */
		struct runner *runner;
	} lanes[IN_FLIGHT];
	int begun, done;
};

static void lane_next(struct lane *lane);

static void
lane_done(struct spool_request *request, int r)
{
	struct lane *lane = (struct lane *)request;
	struct runner *runner = lane->runner;
	struct item *item = request->item;
	struct mail_bytes *bytes = NULL;
	uint32_t index = 0;

	ck_assert_int_eq(r, 0);
	ck_assert(loop_is_mine(runner->loop));
	if (runner->done % 50 == 0) {
		ck_assert_int_eq(spool_read(kit.spool, item, &bytes), 0);
		kit_check_body(item, bytes);
		mail_bytes_release(&bytes);
	}
	spool_mark_effects(kit.spool, item);
	item->recipients[0].state = ITEM_DELIVERED;
	spool_mark(kit.spool, item, &index, 1);
	if (runner->done % 100 != 0)
		spool_finish(kit.spool, item);
	item_free(&item);
	runner->done++;
	lane_next(lane);
	if (runner->done == PER_LOOP)
		loop_stop(runner->loop);
}

static void
lane_next(struct lane *lane)
{
	if (lane->runner->begun == PER_LOOP)
		return;
	lane->runner->begun++;
	lane->request = (struct spool_request){
		.done = lane_done, .loop = lane->runner->loop, .item = kit_item(2000, 1)
	};
	spool_append(kit.spool, &lane->request);
}

static void
runner_start(struct loop_task *task)
{
	struct runner *runner = (struct runner *)((char *)task - offsetof(struct runner, start));

	for (int i = 0; i < IN_FLIGHT; i++) {
		runner->lanes[i].runner = runner;
		lane_next(&runner->lanes[i]);
	}
}

static void *
runner_main(void *arg)
{
	struct runner *runner = arg;

	loop_run(runner->loop);
	return NULL;
}

START_TEST(two_loops_and_the_committer)
{
	static struct runner runners[2];
	struct spool_figures figures;
	struct pn_error err;

	open_spool();
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(loop_new(&runners[i].loop, &err), 0);
		runners[i].start.run = runner_start;
		loop_post(runners[i].loop, &runners[i].start);
		ck_assert_int_eq(
		    pthread_create(&runners[i].thread, NULL, runner_main, &runners[i]), 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(runners[i].thread, NULL);
	spool_figures(kit.spool, &figures);
	ck_assert_uint_eq(figures.appended, 2 * PER_LOOP);
	ck_assert_uint_le(figures.commits, 2 * PER_LOOP);
	kit_close(&kit);
	for (int i = 0; i < 2; i++)
		loop_free(&runners[i].loop);
	open_spool();
	ck_assert_uint_eq(kit.items->len, 2 * PER_LOOP / 100);
	ck_assert_uint_eq(kit.whats->len, 0);
	for (guint i = 0; i < kit.items->len; i++) {
		const struct item *item = g_ptr_array_index(kit.items, i);

		ck_assert(item->effects_done);
		ck_assert_uint_eq(item->unfinished, 0);
	}
}
END_TEST

static Suite *
suite(void)
{
	Suite *all = suite_create("spool_real");
	TCase *tests = tcase_create("real");

	tcase_set_timeout(tests, 120);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, folders_are_private);
	tcase_add_test(tests, one_owner_at_a_time);
	tcase_add_test(tests, a_folder_that_cannot_be);
	tcase_add_test(tests, killed_at_full_speed);
	tcase_add_test(tests, two_loops_and_the_committer);
	suite_add_tcase(all, tests);
	return all;
}

int
main(void)
{
	return unit_run(suite());
}
