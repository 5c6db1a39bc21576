/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - unit tests of the log: what a line is for any bytes, and how lines are written. */
#include "run.h"
#include <check.h>
#include <core/base/log_line.h>
#include <fcntl.h>
#include <glib.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARTS    3
#define REPLACED "\xef\xbf\xbd"

static struct log_record
record_of(const struct log_field *fields, size_t count)
{
	return (struct log_record){ .wall_us = 1795341600123456,
		.level = PN_LOG_NOTICE,
		.process = "relay",
		.event = "accepted",
		.fields = fields,
		.count = count };
}

static void
must_be(char *line, size_t len, const char *text)
{
	line[len] = '\0';
	ck_assert_str_eq(line, text);
}

START_TEST(plain_lines)
{
	const struct log_field fields[] = { { "id", "06F3" }, { "from", "" },
		{ "text", "a \"b\" \\ = é" } };
	const struct log_record record = record_of(fields, PARTS);
	char line[LOG_LINE_MOST];
	size_t len = log_line_logfmt(&record, line);

	must_be(line, len,
	    "time=2026-11-22T10:00:00.123Z level=notice process=relay event=accepted "
	    "id=06F3 from=\"\" text=\"a \\\"b\\\" \\\\ = é\"\n");
	ck_assert(g_str_has_prefix(line + log_line_head(line, len), "event=accepted"));
	len = log_line_json(&record, line);
	must_be(line, len,
	    "{\"time\":\"2026-11-22T10:00:00.123Z\",\"level\":\"notice\",\"process\":\"relay\","
	    "\"event\":\"accepted\",\"id\":\"06F3\",\"from\":\"\",\"text\":\"a \\\"b\\\" \\\\ = "
	    "é\"}\n");
}
END_TEST

static const struct {
	const char *value, *logfmt, *json;
} awkward[] = {
	{ "a\nb\tc\x01\x7f", "\"a\\x0ab\\x09c\\x01\\x7f\"", "a\\u000ab\\u0009c\\u0001\\u007f" },
	{ "\xff\xc3", "\"\\xff\\xc3\"", REPLACED REPLACED },
	/* CSI; right-to-left override and isolate; line and paragraph separator; a tag */
	{ "\xc2\x9b", "\"\\xc2\\x9b\"", "\\u009b" },
	{ "\xe2\x80\xae", "\"\\xe2\\x80\\xae\"", "\\u202e" },
	{ "\xe2\x81\xa6", "\"\\xe2\\x81\\xa6\"", "\\u2066" },
	{ "\xe2\x80\xa8", "\"\\xe2\\x80\\xa8\"", "\\u2028" },
	{ "\xe2\x80\xa9", "\"\\xe2\\x80\\xa9\"", "\\u2029" },
	{ "\xf3\xa0\x81\x81", "\"\\xf3\\xa0\\x81\\x81\"", "\\udb40\\udc41" },
	/* a surrogate; longer than needed; what may stand as it is */
	{ "\xed\xa0\x80", "\"\\xed\\xa0\\x80\"", REPLACED REPLACED REPLACED },
	{ "\xc0\xaf", "\"\\xc0\\xaf\"", REPLACED REPLACED },
	{ "\xf0\x9f\x93\xa7", "\"\xf0\x9f\x93\xa7\"", "\xf0\x9f\x93\xa7" },
};

START_TEST(awkward_values)
{
	const struct log_field field = { "text", awkward[_i].value };
	const struct log_record record = record_of(&field, 1);
	char line[LOG_LINE_MOST], *expected;
	size_t len = log_line_logfmt(&record, line);

	expected = g_strdup_printf("accepted text=%s\n", awkward[_i].logfmt);
	line[len] = '\0';
	ck_assert(g_str_has_suffix(line, expected));
	g_free(expected);
	len = log_line_json(&record, line);
	expected = g_strdup_printf("\"accepted\",\"text\":\"%s\"}\n", awkward[_i].json);
	line[len] = '\0';
	ck_assert(g_str_has_suffix(line, expected));
	g_free(expected);
}
END_TEST

/* So many of them, then another field. */
static void
try_long(const char *filling, size_t times)
{
	GString *value = g_string_new("");
	struct log_field fields[] = { { "text", NULL }, { "after", "b" } };
	struct log_record record = record_of(fields, 2);
	char line[LOG_LINE_MOST];
	const char *after;
	json_t *json;
	size_t len;

	for (size_t i = 0; i < times; i++)
		g_string_append(value, filling);
	fields[0].value = value->str;
	len = log_line_json(&record, line);
	json = json_loadb(line, len, 0, NULL);
	ck_assert_msg(json, "%zu: %.*s", times, (int)len, line);
	after = json_string_value(json_object_get(json, "after"));
	ck_assert(!json_object_get(json, "cut") == (g_strcmp0(after, "b") == 0));
	json_decref(json);
	len = log_line_logfmt(&record, line);
	ck_assert_uint_le(len, LOG_LINE_MOST);
	ck_assert(g_utf8_validate(line, (gssize)len, NULL));
	ck_assert_int_eq(line[len - 1], '\n');
	ck_assert(!memmem(line, len, " cut=yes\n", 9) != !memmem(line, len, " after=b\n", 9));
	g_string_free(value, TRUE);
}

/* Wherever the end of the room falls, the line is whole and says that it was cut. */
START_TEST(long_values)
{
	static const char *const fillings[] = { "a", " ", "\"", "\x01", "\xff", "é",
		"\xe2\x80\xae" };
	static const size_t widths[] = { 1, 2, 3, 4, 6, 12 };

	for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++)
		for (size_t less = 0; less < 200 / widths[i]; less++)
			try_long(fillings[_i], LOG_LINE_MOST / widths[i] - less);
}
END_TEST

/* ---- writing --------------------------------------------------------------------------------- */

static int real_stderr;

/* Standard error is a pipe from now on; its other end. */
static int catch (void)
{
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
	ck_assert_int_gt(fcntl(fds[0], F_SETPIPE_SZ, 1 << 20), 0);
	real_stderr = dup(STDERR_FILENO);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	log_setup("test", PN_LOG_INFO, LOG_LOGFMT);
	return fds[0];
}

static void
release(int fd)
{
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	close(fd);
}

/* What has been written so far, without what stands before the event's name. */
static const char *
caught(int fd)
{
	static char text[1 << 20];
	GString *ret = g_string_new("");
	ssize_t n = read(fd, text, sizeof(text) - 1);
	char **lines;

	text[n > 0 ? n : 0] = '\0';
	lines = g_strsplit(text, "\n", -1);
	for (char **line = lines; *line; line++)
		if (**line)
			g_string_append_printf(ret, "%s\n", strstr(*line, "event=") + 6);
	g_strfreev(lines);
	g_strlcpy(text, ret->str, sizeof(text));
	g_string_free(ret, TRUE);
	return text;
}

START_TEST(gathered)
{
	int fd = catch ();

	log_event(PN_LOG_NOTICE, "one", NULL);
	ck_assert_str_eq(caught(fd), "one\n");
	log_gather_begin();
	log_event(PN_LOG_NOTICE, "two", "x", "1", NULL);
	log_event(PN_LOG_WARNING, "three", "x", NULL, "y", "2", NULL);
	ck_assert_str_eq(caught(fd), "");
	log_event(PN_LOG_ERROR, "four", NULL);
	ck_assert_str_eq(caught(fd), "two x=1\nthree y=2\nfour\n");
	log_event(PN_LOG_NOTICE, "five", NULL);
	log_event(PN_LOG_DEBUG, "never", NULL);
	log_gather_end();
	ck_assert_str_eq(caught(fd), "five\n");
	log_event(PN_LOG_NOTICE, "six", NULL);
	ck_assert_str_eq(caught(fd), "six\n");
	log_gather_leave();
	release(fd);
}
END_TEST

/* No write to a pipe is larger than what a pipe takes in one piece. */
START_TEST(bounded)
{
	int fd = catch ();
	char text[1000];
	size_t count = 0;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_gather_begin();
	for (int i = 0; i < 10; i++)
		log_event(PN_LOG_NOTICE, "much", "text", text, NULL);
	for (const char *at = caught(fd); (at = strstr(at, "much ")); at++)
		count++;
	ck_assert_uint_eq(count, 9); /* three at a time */
	log_gather_end();
	log_gather_leave();
	release(fd);
}
END_TEST

static void *
gather_and_wait(void *arg)
{
	int *ends = arg;
	char byte;

	log_gather_begin();
	log_event(PN_LOG_NOTICE, "of-a-thread", NULL);
	ck_assert_int_eq(write(ends[1], "", 1), 1);
	while (read(ends[2], &byte, 1) < 0)
		;
	return NULL;
}

/* The process ends while a thread is in its turn. */
START_TEST(written_at_the_end)
{
	int fd = catch (), ends[4];
	pthread_t thread;
	char byte;

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(pipe(ends + 2), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, gather_and_wait, ends), 0);
	ck_assert_int_eq(read(ends[0], &byte, 1), 1);
	ck_assert_str_eq(caught(fd), "");
	log_flush_all();
	ck_assert_str_eq(caught(fd), "of-a-thread\n");
	log_gather_begin();
	log_event(PN_LOG_NOTICE, "late", NULL);
	ck_assert_str_eq(caught(fd), "late\n");
	ck_assert_int_eq(write(ends[3], "", 1), 1);
	pthread_join(thread, NULL);
	release(fd);
}
END_TEST

START_TEST(repeated_lines)
{
	int fd = catch ();
	char client[32];

	log_repeats_setup(3);
	for (int i = 0; i < 10; i++) {
		snprintf(client, sizeof(client), "192.0.2.%d", i);
		ck_assert_int_eq(log_repeats_at(i, PN_LOG_NOTICE, "refused", "a", client), i < 3);
	}
	ck_assert(log_repeats_at(10, PN_LOG_NOTICE, "refused", "b", "192.0.2.1"));
	ck_assert(log_repeats_at(10, PN_LOG_NOTICE, "lost", "a", "192.0.2.1"));
	ck_assert(log_repeats_at(10, PN_LOG_NOTICE, "refused", "a", "192.0.3.1"));
	ck_assert(log_repeats_at(10, PN_LOG_NOTICE, "refused", "a", "ada@clinic.example"));
	for (int i = 0; i < 5; i++) {
		snprintf(client, sizeof(client), "2001:db8::%d", i);
		ck_assert_int_eq(log_repeats_at(20, PN_LOG_NOTICE, "refused", "a", client), i < 3);
	}
	log_repeats_tell_at(59999, false);
	ck_assert_str_eq(caught(fd), "");
	log_repeats_tell_at(60000, false);
	ck_assert_str_eq(
	    caught(fd), "repeated of=refused reason=a client=192.0.2.0/24 count=7 seconds=60\n");
	/* the next minute begins with what comes next; a sum is told before it */
	ck_assert(log_repeats_at(60000, PN_LOG_NOTICE, "refused", "a", "192.0.2.77"));
	ck_assert(log_repeats_at(70020, PN_LOG_NOTICE, "refused", "a", "2001:db8::9"));
	ck_assert_str_eq(
	    caught(fd), "repeated of=refused reason=a client=2001:db8::/64 count=2 seconds=70\n");
	log_repeats_tell_at(80000, true);
	ck_assert_str_eq(caught(fd), "");
	release(fd);
}
END_TEST

/* More networks than the table has rows: what is forgotten is told, nothing is lost. */
START_TEST(repeats_are_bounded)
{
	unsigned long long told = 0, counted = 0;
	int fd = catch ();
	char client[32];

	log_repeats_setup(1);
	for (int i = 0; i < 3000; i++) {
		snprintf(client, sizeof(client), "10.%d.%d.1", i / 250, i % 250);
		log_repeats_at(1, PN_LOG_NOTICE, "refused", "a", client);
		counted += !log_repeats_at(1, PN_LOG_NOTICE, "refused", "a", client);
		for (const char *at = caught(fd); (at = strstr(at, "count=")); at++)
			told += strtoull(at + strlen("count="), NULL, 10);
	}
	ck_assert_uint_eq(counted, 3000);
	log_repeats_tell_at(60001, true);
	for (int i = 0; i < 10; i++) {
		for (const char *at = caught(fd); (at = strstr(at, "count=")); at++)
			told += strtoull(at + strlen("count="), NULL, 10);
	}
	ck_assert_uint_eq(told, counted);
	log_repeats_setup(0);
	for (int i = 0; i < 100; i++)
		ck_assert(log_repeats_at(2, PN_LOG_NOTICE, "refused", "a", "192.0.2.1"));
	release(fd);
}
END_TEST

START_TEST(the_journal_is_recognised)
{
	char text[64];
	struct stat st;
	int fd = catch ();

	unsetenv("JOURNAL_STREAM");
	ck_assert(!log_journal_is_here());
	ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)st.st_dev,
	    (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", text, 1);
	ck_assert(log_journal_is_here());
	setenv("JOURNAL_STREAM", "1:1", 1);
	ck_assert(!log_journal_is_here());
	setenv("JOURNAL_STREAM", "nonsense", 1);
	ck_assert(!log_journal_is_here());
	release(fd);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("log");
	TCase *lines = tcase_create("lines"), *writing = tcase_create("writing");

	tcase_add_test(lines, plain_lines);
	tcase_add_loop_test(lines, awkward_values, 0, sizeof(awkward) / sizeof(awkward[0]));
	tcase_add_loop_test(lines, long_values, 0, 7);
	tcase_add_test(writing, gathered);
	tcase_add_test(writing, bounded);
	tcase_add_test(writing, written_at_the_end);
	tcase_add_test(writing, repeated_lines);
	tcase_add_test(writing, repeats_are_bounded);
	tcase_add_test(writing, the_journal_is_recognised);
	suite_add_tcase(suite, lines);
	suite_add_tcase(suite, writing);
	return unit_run(suite);
}
