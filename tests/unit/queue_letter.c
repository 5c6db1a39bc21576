/* SPDX-License-Identifier: Apache-2.0 */
/* queue_letter.c - unit tests of the queue: mail in Postern's own words. */
#include "run.h"
#include "tests/unit/queue_scene.h"
#include <check.h>
#include <errno.h>
#include <glib.h>

#define SCRIPT(...) \
	(const char *const[]) \
	{ \
		__VA_ARGS__, NULL \
	}
#define REFUSED \
	"A", "S 220 hop", "C EHLO relay.test", "S 250-hop\r\n250 PIPELINING", "C MAIL FROM:<>", \
	    "C RCPT", "C DATA", "S 250 2.0.0 ok", "S 550 5.1.1 no such user", "S 503 none", \
	    "C QUIT", "S 221 bye", "H"

static const char *const to[] = { "a@s.example", "b@s.example", "x@r.example" };

static int answer;   /* of the last; 1: none yet */
static bool sealing; /* and not done: `seal_done` is to be called */
static void (*seal_done)(void *arg, int r);
static void *seal_arg;

static void
answered(void *arg, int r, const struct item *item)
{
	ck_assert_int_eq(answer, 1);
	ck_assert((r == 0) == (item != NULL));
	answer = r;
}

static bool
is_answered(struct scene *scene)
{
	return answer != 1;
}

static void
send_letter(struct scene *scene, size_t first, size_t count)
{
	struct letter letter = { .id = "7.8",
		.wall_us = 1795341600000000,
		.sender = "",
		.recipients = to + first,
		.count = count,
		.subject = "Near the limit",
		.text = "Gr\xc3\xbc\xc3\x9f"
			"e\n" };

	answer = 1;
	queue_letter(scene->queue, &letter, answered, NULL);
}

/* To everybody, and whoever is refused costs nobody a notice: the return path is null. */
START_TEST(it_is_delivered)
{
	struct scene scene;
	char *text;

	scene_begin(&scene, SCRIPT(REFUSED));
	send_letter(&scene, 0, 3);
	scene_run(&scene, is_answered);
	ck_assert_int_eq(answer, 0);
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_eq(scene_figures(&scene).delivered, 2);
	ck_assert_uint_eq(scene_figures(&scene).failed, 1);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "a"), 1);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "b"), 1);
	text = scene_mailbox(&scene, "b");
	ck_assert_ptr_nonnull(strstr(text, "Return-Path: <>"));
	ck_assert_ptr_nonnull(strstr(text, "\nMessage-ID: <7.8@relay.test>"));
	ck_assert_ptr_nonnull(strstr(text, "\nAuto-Submitted: auto-generated"));
	ck_assert_ptr_nonnull(strstr(text, "Gr\xc3\xbc\xc3\x9f"
					   "e"));
	g_free(text);
	scene_end(&scene);
}
END_TEST

static void
begin_seal(void *arg, struct item *item, void (*done)(void *done_arg, int r), void *done_arg)
{
	ck_assert_uint_gt(item->size, 0);
	ck_assert(item->has_eightbit && item->effects_done);
	sealing = true;
	seal_done = done;
	seal_arg = done_arg;
}

/* Without its seal nothing leaves, and whoever wanted to send it hears that. */
START_TEST(it_waits_for_its_seal)
{
	const struct queue_parts calls = { .seal = begin_seal };
	struct scene scene;

	scene_begin_with(&scene, &calls, SCRIPT("H"), NULL);
	send_letter(&scene, 0, 1);
	ck_assert(sealing && answer == 1);
	seal_done(seal_arg, -EAGAIN);
	ck_assert_int_eq(answer, -EAGAIN);
	ck_assert(scene_is_empty(&scene));
	send_letter(&scene, 0, 1);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "a"), 0);
	seal_done(seal_arg, 0);
	scene_run(&scene, is_answered);
	ck_assert_int_eq(answer, 0);
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "a"), 1);
	scene_end(&scene);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queue_letter");
	TCase *tcase = tcase_create("letters");

	tcase_add_test(tcase, it_is_delivered);
	tcase_add_test(tcase, it_waits_for_its_seal);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
