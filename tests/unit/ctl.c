/* SPDX-License-Identifier: Apache-2.0 */
/* ctl.c - unit tests of core/ctl: the control socket, the console, recent lines. */
#include "run.h"
#include <check.h>
#include <core/base/log.h>
#include <core/ctl/console.h>
#include <core/ctl/control.h>
#include <core/ctl/recent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- control ---- */

static char folder[] = "/tmp/postern-test-XXXXXX";
static struct loop *loop;
static struct control *control;
static pthread_t thread;

static void
echo(void *arg, struct control_request *request, json_t *body)
{
	control_reply(request, json_pack("{s:O?}", "said", json_object_get(body, "say")));
}

static struct control_request *late_request;

static void
answer_late(struct loop_task *task)
{
	control_reply(late_request, json_pack("{s:s}", "said", "later"));
}

static struct loop_task late_task = { .run = answer_late };

static void
later(void *arg, struct control_request *request, json_t *body)
{
	late_request = request;
	loop_post(loop, &late_task);
}

static const struct control_command commands[] = {
	{ "echo", echo },
	{ "later", later },
	{ NULL, NULL },
};

static void *
run(void *arg)
{
	loop_run(loop);
	return NULL;
}

static void
setup(void)
{
	struct pn_error err = { 0 };

	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(loop_new(&loop, &err), 0);
	ck_assert_int_eq(control_open(loop, folder, commands, NULL, &control, &err), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, run, NULL), 0);
}

static void
teardown(void)
{
	loop_stop(loop);
	pthread_join(thread, NULL);
	control_close(&control);
	loop_free(&loop);
	ck_assert_int_eq(rmdir(folder), 0); /* the socket went with control_close */
}

static void
ask(const char *command, const char *want)
{
	json_t *request = json_pack("{s:s, s:s}", "command", command, "say", "now");
	struct pn_error err = { 0 };
	json_t *answer;

	ck_assert_int_eq(control_ask(folder, request, NULL, &answer, &err), 0);
	ck_assert_str_eq(json_string_value(json_object_get(answer, "said")), want);
	json_decref(answer);
	json_decref(request);
}

START_TEST(asks_and_is_answered)
{
	if (_i)
		ask("later", "later");
	else
		ask("echo", "now");
}
END_TEST

START_TEST(unknown_commands_are_refused)
{
	json_t *request = json_pack("{s:s}", "command", "dance");
	struct pn_error err = { 0 };
	json_t *answer;

	ck_assert_int_eq(control_ask(folder, request, NULL, &answer, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "does not know"));
	json_decref(request);
}
END_TEST

START_TEST(nobody_there_is_told_apart)
{
	json_t *request = json_object(), *answer;
	struct pn_error err = { 0 };

	ck_assert_int_eq(control_ask("/nonexistent", request, NULL, &answer, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "no relay is running"));
	json_decref(request);
}
END_TEST

START_TEST(the_socket_is_private)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/" CONTROL_SOCKET, folder);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
}
END_TEST

/* Not JSON, half a line and then nothing, far too long, two requests at once. */
START_TEST(garbage_is_survived)
{
	static const char *const garbage[] = { "nonsense\n", "{", "\n", "[1,2]\n{}\n" };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char flood[70000], answer[256];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	size_t len = _i < 4 ? strlen(garbage[_i]) : sizeof(flood);

	memset(flood, 'x', sizeof(flood));
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/" CONTROL_SOCKET, folder);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	for (size_t sent = 0; sent < len;) {
		ssize_t n = send(
		    fd, (_i < 4 ? garbage[_i] : flood) + sent, len - sent, MSG_NOSIGNAL);

		if (n <= 0)
			break; /* it has hung up, which is right */
		sent += (size_t)n;
	}
	shutdown(fd, SHUT_WR);
	while (recv(fd, answer, sizeof(answer), 0) > 0)
		;
	close(fd);
	ask("echo", "now");
}
END_TEST

/* ---- console ---- */

static char *
printed(struct pn_console *console)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	console_print(console, out);
	fclose(out);
	console_close(console);
	return text;
}

static void
two_rows(struct pn_console *console)
{
	pn_console_row(console);
	pn_console_field(console, "user", "ada@clinic.example");
	pn_console_field(console, "enabled", "yes");
	pn_console_row(console);
	pn_console_field(console, "user", "bo");
	pn_console_field(console, "enabled", NULL);
}

START_TEST(rows_are_a_table)
{
	struct pn_console console;
	char *text;

	ck_assert_int_eq(console_open(&console, false), 0);
	two_rows(&console);
	text = printed(&console);
	ck_assert_str_eq(text, "user                enabled  \n"
			       "ada@clinic.example  yes      \n"
			       "bo                  -        \n");
	free(text);
}
END_TEST

/* U+202E turns the text behind it around, U+009B steers terminals, \377 is no UTF-8. */
START_TEST(nothing_steers_the_terminal)
{
	struct pn_console console;
	char *text, *written;
	size_t size;
	FILE *out = open_memstream(&written, &size);

	ck_assert_int_eq(console_open(&console, false), 0);
	pn_console_row(&console);
	pn_console_field(&console, "to",
	    "a\xe2\x80\xae"
	    "b@x.example");
	pn_console_row(&console);
	pn_console_field(&console, "to",
	    "\xc3\xa4\xc2\x9b"
	    "1;2\x1b[0m");
	text = printed(&console);
	ck_assert_str_eq(text, "to                    \n"
			       "a\\u{202e}b@x.example  \n"
			       "\xc3\xa4\\u{9b}1;2\\u{1b}[0m   \n");
	free(text);
	console_write(out, "line\n\xff");
	fclose(out);
	ck_assert_str_eq(written, "line\\u{a}\\xff");
	free(written);
}
END_TEST

START_TEST(one_row_is_a_list)
{
	struct pn_console console;
	char *text;

	ck_assert_int_eq(console_open(&console, false), 0);
	pn_console_field(&console, "result", "good");
	console_add(&console, json_pack("{s:i, s:b}", "sessions", 3, "draining", 0));
	json_array_remove(console.rows, 0);
	text = printed(&console);
	ck_assert_str_eq(text, "sessions  3\ndraining  no\n");
	free(text);
}
END_TEST

START_TEST(rows_are_json)
{
	struct pn_console console;
	json_t *read;
	char *text;

	ck_assert_int_eq(console_open(&console, true), 0);
	two_rows(&console);
	text = printed(&console);
	read = json_loads(text, 0, NULL);
	ck_assert_uint_eq(json_array_size(read), 2);
	ck_assert(json_is_null(json_object_get(json_array_get(read, 1), "enabled")));
	json_decref(read);
	free(text);
}
END_TEST

/* ---- recent ---- */

START_TEST(recent_lines_by_id)
{
	struct buf found = BUF_INIT(65536);

	log_setup("test", PN_LOG_NOTICE, LOG_LOGFMT);
	ck_assert_int_eq(recent_start(4096), 0);
	log_event(PN_LOG_NOTICE, "accepted", "id", "OLD", NULL);
	for (int i = 0; i < 500; i++)
		log_event(PN_LOG_NOTICE, "noise", "id", "OTHER", NULL);
	log_event(PN_LOG_NOTICE, "accepted", "id", "ONE", "from", "a@example.com", NULL);
	log_event(PN_LOG_NOTICE, "accepted", "id", "ONEMORE", NULL);
	log_event(PN_LOG_NOTICE, "ready", "version", "1", NULL);
	/* who says so in a name of his own is not believed */
	log_event(PN_LOG_NOTICE, "auth-failed", "user", "x id=ONE y", "id", "TWO", NULL);
	log_event(PN_LOG_NOTICE, "auth-failed", "user", "\" id=ONE", "id", "TWO", NULL);
	log_event(PN_LOG_NOTICE, "delivered", "id", "ONE", NULL);
	ck_assert_int_eq(recent_find("ONE", &found), 0);
	ck_assert_ptr_nonnull(strstr(buf_text(&found), "accepted id=ONE from=a@example.com\n"));
	ck_assert_ptr_nonnull(strstr(buf_text(&found), "delivered id=ONE\n"));
	ck_assert_ptr_null(strstr(buf_text(&found), "ONEMORE"));
	ck_assert_ptr_null(strstr(buf_text(&found), "OTHER"));
	ck_assert_ptr_null(strstr(buf_text(&found), "auth-failed"));
	buf_reset(&found);
	ck_assert_int_eq(recent_find("OLD", &found), 0);
	ck_assert_uint_eq(found.len, 0);
	buf_free(&found);
}
END_TEST

/* A row keeps a field that is not UTF-8, and shows where it was not. */
START_TEST(bytes_of_any_kind_are_json)
{
	struct pn_console console;
	json_t *read;
	char *text;

	ck_assert_int_eq(console_open(&console, true), 0);
	pn_console_row(&console);
	pn_console_field(&console, "why", "550 sp\xe4ter");
	console_add(&console,
	    json_pack("{s:o, s:o}", "why", console_text("\xff"), "none", console_text(NULL)));
	text = printed(&console);
	read = json_loads(text, 0, NULL);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(read, 0), "why")),
	    "550 sp\xef\xbf\xbdter");
	ck_assert_str_eq(
	    json_string_value(json_object_get(json_array_get(read, 1), "why")), "\xef\xbf\xbd");
	ck_assert(json_is_null(json_object_get(json_array_get(read, 1), "none")));
	json_decref(read);
	free(text);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ctl");
	TCase *socket_case = tcase_create("control"), *plain = tcase_create("console");

	tcase_add_checked_fixture(socket_case, setup, teardown);
	tcase_add_loop_test(socket_case, asks_and_is_answered, 0, 2);
	tcase_add_test(socket_case, unknown_commands_are_refused);
	tcase_add_test(socket_case, nobody_there_is_told_apart);
	tcase_add_test(socket_case, the_socket_is_private);
	tcase_add_loop_test(socket_case, garbage_is_survived, 0, 5);
	tcase_add_test(plain, rows_are_a_table);
	tcase_add_test(plain, nothing_steers_the_terminal);
	tcase_add_test(plain, one_row_is_a_list);
	tcase_add_test(plain, rows_are_json);
	tcase_add_test(plain, bytes_of_any_kind_are_json);
	tcase_add_test(plain, recent_lines_by_id);
	suite_add_tcase(suite, socket_case);
	suite_add_tcase(suite, plain);
	return unit_run(suite);
}
