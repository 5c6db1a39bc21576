/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mail_driver.c - runs thousands of messages through the parts reader or through a pipeline, for
 * tests that judge the outcome by a parser that is not ours.
 *
 *	mail_driver parts                      what each message consists of, as JSON
 *	mail_driver convert                    what each message is for a next hop of seven bits
 *	mail_driver run PIPELINE SECTIONS      what the message stage makes of each message
 *	mail_driver time PIPELINE SECTIONS     microseconds of CPU that the stage takes for each
 *
 * In and out are frames: a decimal length, a line feed, so many bytes. `run` answers each message
 * with two: the ruling ("pass: reason", "451 4.7.1 ..."), then the message.
 */
#include "../unit/policy_world.h"
#include <check.h>
#include <core/mail/convert.h>
#include <core/mail/part.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MESSAGE_MOST (256u << 20)
#define TIMES        200

static struct mail_bytes *
read_frame(void)
{
	struct mail_bytes *bytes;
	size_t len;

	if (scanf("%zu", &len) != 1 || getchar() != '\n' || len > MESSAGE_MOST ||
	    mail_bytes_new(len, &bytes) < 0)
		return NULL;
	if (len > 0 && fread(bytes->data, 1, len, stdin) != len)
		exit(2);
	bytes->len = len;
	return bytes;
}

static void
write_frame(const char *data, size_t len)
{
	printf("%zu\n", len);
	if (len > 0)
		fwrite(data, 1, len, stdout);
	fflush(stdout);
}

/* ---- parts ----------------------------------------------------------------------------------- */

static json_t *
part_json(const struct pn_part *part)
{
	struct pn_slice text;
	json_t *object = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:s, s:s*, s:s*, s:s*}", "type",
	    part->type, "index", (int)part->index, "behind", (int)part->behind, "start",
	    (int)part->start, "body", (int)part->body, "end", (int)part->end, "encoding",
	    part->encoding_name, "charset", part->charset, "disposition", part->disposition,
	    "filename", part->filename);

	if (object && mail_part_text(part, SIZE_MAX, &text) == 0)
		json_object_set_new(object, "text", json_stringn_nocheck(text.data, text.len));
	return object;
}

static void
show_parts(struct mail_bytes *bytes)
{
	struct mail_parts *parts = NULL;
	struct pn_error err = { 0 };
	json_t *list = json_array();
	char *text;

	if (mail_parts_read(bytes, &parts, &err) < 0)
		json_array_append_new(list, json_string(err.text));
	for (size_t i = 0; parts && i < parts->count; i++)
		json_array_append_new(list, part_json(parts->parts[i]));
	text = json_dumps(list, JSON_COMPACT);
	write_frame(text, strlen(text));
	free(text);
	json_decref(list);
	mail_parts_release(&parts);
}

/* Two frames, as `run`. */
static void
convert_message(struct mail_bytes *bytes)
{
	struct mail_bytes *converted = NULL;
	struct pn_error err = { 0 };
	int r = mail_convert_7bit(bytes, &converted, &err);

	write_frame(r < 0 ? err.text : "pass", strlen(r < 0 ? err.text : "pass"));
	write_frame(r < 0 ? "" : converted->data, r < 0 ? 0 : converted->len);
	if (r == 0)
		mail_bytes_release(&converted);
}

/* ---- run ------------------------------------------------------------------------------------- */

static void
run_message(struct world *world, struct mail_bytes *bytes)
{
	char ruling[300] = "pass";
	const char *reason = NULL;

	world_begin(world);
	if (txn_set_message(world->txn, mail_bytes_hold(bytes), 100000) < 0)
		exit(2);
	if (world_stage(world, PN_STAGE_MESSAGE) != RULING_PASS)
		snprintf(ruling, sizeof(ruling), "%d %s %s", world->ruling.code,
		    world->ruling.enhanced, world->ruling.text);
	else if (world->txn->trace_count > 0)
		reason = world->txn->trace[world->txn->trace_count - 1].reason;
	if (reason)
		snprintf(ruling, sizeof(ruling), "pass: %s", reason);
	write_frame(ruling, strlen(ruling));
	write_frame(world->txn->view->data, world->txn->view->len);
}

static long
cpu_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

/* Often enough for the clock, the first time apart. */
static void
time_message(struct world *world, struct mail_bytes *bytes)
{
	char text[30];
	long spent = 0, began;

	for (int i = 0; i <= TIMES; i++) {
		world_begin(world);
		if (txn_set_message(world->txn, mail_bytes_hold(bytes), 100000) < 0)
			exit(2);
		began = cpu_us();
		world_stage(world, PN_STAGE_MESSAGE);
		spent += i > 0 ? cpu_us() - began : 0;
	}
	snprintf(text, sizeof(text), "%.1f", (double)spent / TIMES);
	write_frame(text, strlen(text));
}

/* policy_world.h asserts as Check does, so this is a test like others, if a quiet one. */
static char **arguments;

START_TEST(drive)
{
	bool run = arguments[2] != NULL;
	struct mail_bytes *bytes;
	struct world world;

	if (run) {
		world_open(&world);
		world_run(&world, arguments[2], arguments[3]);
	}
	while ((bytes = read_frame())) {
		if (!strcmp(arguments[1], "time"))
			time_message(&world, bytes);
		else if (run)
			run_message(&world, bytes);
		else if (!strcmp(arguments[1], "convert"))
			convert_message(bytes);
		else
			show_parts(bytes);
		mail_bytes_release(&bytes);
	}
	if (run)
		world_close(&world);
}
END_TEST

static void
say_failure(SRunner *runner)
{
	TestResult **failures = srunner_failures(runner);

	fprintf(stderr, "mail_driver: %s\n", tr_msg(failures[0]));
	free(failures);
}

int
main(int argc, char **argv)
{
	Suite *suite = suite_create("mail_driver");
	TCase *tcase = tcase_create("drive");
	SRunner *runner = srunner_create(suite);
	int failed;

	if ((argc != 2 || (strcmp(argv[1], "parts") != 0 && strcmp(argv[1], "convert") != 0)) &&
	    (argc != 4 || (strcmp(argv[1], "run") != 0 && strcmp(argv[1], "time") != 0)))
		return 2;
	arguments = argv;
	tcase_add_test(tcase, drive);
	suite_add_tcase(suite, tcase);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	if (failed)
		say_failure(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
