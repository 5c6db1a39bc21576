/* SPDX-License-Identifier: Apache-2.0 */
/* master.c - unit tests of core/master: frames, files by way of the master, sockets, folders. */
#include "run.h"
#include <check.h>
#include <core/master/channel.h>
#include <core/master/privileges.h>
#include <core/master/remote_source.h>
#include <core/master/sockets.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int ends[2];
static char folder[] = "/tmp/postern-test-XXXXXX";

static void
setup(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void
teardown(void)
{
	char command[128];

	close(ends[0]);
	close(ends[1]);
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	ck_assert_int_eq(system(command), 0);
}

/* ---- channel ---- */

START_TEST(frames_arrive_whole)
{
	struct channel_frame frame;
	int fds[2] = { STDIN_FILENO, STDERR_FILENO };

	ck_assert_int_eq(channel_send(ends[0], CHANNEL_DIAG, pn_slice_of("a line"), fds, 2), 0);
	ck_assert_int_eq(channel_send(ends[0], CHANNEL_READY, pn_slice("", 0), NULL, 0), 0);
	ck_assert_int_eq(channel_receive(ends[1], &frame), 1);
	ck_assert_uint_eq(frame.type, CHANNEL_DIAG);
	ck_assert_str_eq(frame.bytes.data, "a line");
	ck_assert_uint_eq(frame.fd_count, 2);
	ck_assert_int_ge(fcntl(frame.fds[1], F_GETFD), FD_CLOEXEC);
	channel_frame_free(&frame);
	ck_assert_int_eq(channel_receive(ends[1], &frame), 1);
	ck_assert_uint_eq(frame.type, CHANNEL_READY);
	ck_assert_uint_eq(frame.bytes.len, 0);
	channel_frame_free(&frame);
}
END_TEST

START_TEST(an_end_is_an_end)
{
	struct channel_frame frame;

	close(ends[0]);
	ends[0] = open("/dev/null", O_RDONLY);
	ck_assert_int_eq(channel_receive(ends[1], &frame), 0);
	ck_assert_int_eq(channel_send(ends[1], CHANNEL_READY, pn_slice("", 0), NULL, 0), -EPIPE);
}
END_TEST

/* What a hostile child may write where a head is expected: type, length, number of descriptors. */
static const uint32_t bad_heads[][3] = {
	{ CHANNEL_DIAG, UINT32_MAX, 0 },
	{ CHANNEL_DIAG, CHANNEL_MOST + 1, 0 },
	{ CHANNEL_DIAG, 0, 3 },
	{ CHANNEL_DIAG, 10, 0 },
};

START_TEST(bad_heads_are_refused)
{
	struct channel_frame frame;

	ck_assert_int_eq(
	    write(ends[0], bad_heads[_i], sizeof(bad_heads[_i])), sizeof(bad_heads[_i]));
	shutdown(ends[0], SHUT_WR);
	ck_assert_int_eq(channel_receive(ends[1], &frame), -EPROTO);
}
END_TEST

START_TEST(half_a_head_is_refused)
{
	struct channel_frame frame;

	ck_assert_int_eq(write(ends[0], "\1\0\0", 3), 3);
	shutdown(ends[0], SHUT_WR);
	ck_assert_int_eq(channel_receive(ends[1], &frame), -EPROTO);
}
END_TEST

/* ---- files by way of the master ---- */

static void *
answer_questions(void *arg)
{
	struct source *files;
	struct channel_frame frame;

	ck_assert_int_eq(source_files(&files), 0);
	while (channel_receive(ends[1], &frame) == 1) {
		remote_source_answer(ends[1], &frame, files);
		channel_frame_free(&frame);
	}
	source_free(&files);
	return NULL;
}

static void
write_file(const char *name, const char *text, mode_t mode)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
	ck_assert_int_eq(chmod(path, mode), 0);
}

START_TEST(the_checker_reads_through_the_master)
{
	struct source *remote;
	struct source_file file;
	struct buf names = BUF_INIT(4096);
	struct pn_error err = { 0 };
	char path[128];
	pthread_t master;

	write_file("b.yaml", "b: 1\n", 0640);
	write_file("a.yaml", "", 0640);
	write_file("notes.txt", "not read", 0640);
	ck_assert_int_eq(pthread_create(&master, NULL, answer_questions, NULL), 0);
	ck_assert_int_eq(remote_source(ends[0], &remote), 0);
	ck_assert_int_eq(remote->ops->list(remote, folder, &names, &err), 0);
	ck_assert(pn_slice_equals(buf_slice(&names), pn_slice("a.yaml\0b.yaml\0", 14)));
	snprintf(path, sizeof(path), "%s/b.yaml", folder);
	ck_assert_int_eq(remote->ops->read(remote, path, &file, &err), 0);
	ck_assert_str_eq(file.data, "b: 1\n");
	ck_assert_uint_eq(file.mode & 0777, 0640);
	free(file.data);
	ck_assert_int_eq(remote->ops->read(remote, "/nonexistent/x", &file, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/x"));
	shutdown(ends[0], SHUT_RDWR);
	pthread_join(master, NULL);
	source_free(&remote);
	buf_free(&names);
}
END_TEST

/* ---- sockets ---- */

static int
descriptor(const struct sockets *sockets, size_t index)
{
	ck_assert_uint_lt(index, sockets->count);
	return sockets->items[index].fd;
}

START_TEST(sockets_live_through_a_reload)
{
	struct checker_answer first = { .listeners = { { "a", "127.0.0.1:0" }, { "b", "[::1]:0" } },
		.listener_count = 2 };
	struct checker_answer second = {
		.listeners = { { "b", "[::1]:0" }, { "c", "127.0.0.2:0" } }, .listener_count = 2
	};
	struct sockets none = { 0 }, old, new;
	struct pn_error err = { 0 };
	int gone;

	ck_assert_int_eq(sockets_open(&none, &first, 0, &old, &err), 0);
	gone = descriptor(&old, 0);
	ck_assert_int_eq(sockets_open(&old, &second, 0, &new, &err), 0);
	ck_assert_int_eq(descriptor(&new, 0), descriptor(&old, 1));
	ck_assert_int_ne(descriptor(&new, 1), gone);
	sockets_close_others(&old, &new);
	ck_assert_int_eq(fcntl(gone, F_GETFD), -1);
	ck_assert_int_ge(fcntl(descriptor(&new, 0), F_GETFD), 0);
	sockets_close_others(&new, &none);
}
END_TEST

START_TEST(a_failed_reload_keeps_the_sockets)
{
	struct checker_answer first = { .listeners = { { "a", "127.0.0.1:0" } },
		.listener_count = 1 };
	struct checker_answer bad = { .listeners = { { "a", "127.0.0.1:0" }, { "x", "nonsense" } },
		.listener_count = 2 };
	struct sockets none = { 0 }, old, new;
	struct pn_error err = { 0 };

	ck_assert_int_eq(sockets_open(&none, &first, 0, &old, &err), 0);
	ck_assert_int_lt(sockets_open(&old, &bad, 0, &new, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "listener x"));
	ck_assert_int_ge(fcntl(descriptor(&old, 0), F_GETFD), 0);
	sockets_close_others(&old, &none);
}
END_TEST

/* ---- folders ---- */

START_TEST(folders_are_made_and_left)
{
	struct pn_error err = { 0 };
	struct stat st;
	char path[128];

	snprintf(path, sizeof(path), "%s/a/b/state", folder);
	ck_assert_int_eq(privileges_folder(path, NULL, 0700, &err), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	ck_assert_int_eq(chmod(path, 0750), 0);
	ck_assert_int_eq(privileges_folder(path, NULL, 0700, &err), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0750);
}
END_TEST

START_TEST(no_folder_under_a_file)
{
	struct pn_error err = { 0 };
	char path[128];

	write_file("file", "", 0600);
	snprintf(path, sizeof(path), "%s/file/state", folder);
	ck_assert_int_eq(privileges_folder(path, NULL, 0700, &err), -ENOTDIR);
	ck_assert_ptr_nonnull(strstr(err.text, path));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("master");
	TCase *tc = tcase_create("master");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, frames_arrive_whole);
	tcase_add_test(tc, an_end_is_an_end);
	tcase_add_loop_test(
	    tc, bad_heads_are_refused, 0, (int)(sizeof(bad_heads) / sizeof(*bad_heads)));
	tcase_add_test(tc, half_a_head_is_refused);
	tcase_add_test(tc, the_checker_reads_through_the_master);
	tcase_add_test(tc, sockets_live_through_a_reload);
	tcase_add_test(tc, a_failed_reload_keeps_the_sockets);
	tcase_add_test(tc, folders_are_made_and_left);
	tcase_add_test(tc, no_folder_under_a_file);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
