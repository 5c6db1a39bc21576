/* SPDX-License-Identifier: Apache-2.0 */
/* queue_notice.c - unit tests of the queue: what failed for good or is late, and who is told. */
#include "run.h"
#include "tests/unit/queue_scene.h"
#include <check.h>
#include <fcntl.h>
#include <glib.h>
#include <stdlib.h>
#include <unistd.h>

#define HELLO "A", "S 220 hop", "C EHLO relay.test"
#define PIPED "S 250-hop\r\n250 PIPELINING"
#define OK    "S 250 2.0.0 ok"
#define BYE   "C QUIT", "S 221 bye", "H"
#define LIST(...) \
	(const char *const[]) \
	{ \
		__VA_ARGS__, NULL \
	}

static bool
has_deferred(struct scene *scene)
{
	return scene_figures(scene).deferred > 0;
}

#define REFUSED \
	HELLO, PIPED, "C MAIL", "C RCPT", "C DATA", OK, "S 550 5.1.1 no such user", "S 503 none", \
	    BYE

static const struct {
	uint32_t notify;
	const char *sender;
	unsigned notices;
} failures[] = {
	{ 0, "a@s.example", 1 },
	{ MAIL_NOTIFY_FAILURE, "a@s.example", 1 },
	{ MAIL_NOTIFY_NEVER, "a@s.example", 0 },
	{ MAIL_NOTIFY_SUCCESS | MAIL_NOTIFY_DELAY, "a@s.example", 0 },
	{ 0, "", 0 },
};

START_TEST(failure_is_reported)
{
	struct scene scene;
	struct item *item;
	char *text;

	scene_begin(&scene, LIST(REFUSED));
	item = scene_item(failures[_i].sender, "a@r.example");
	item->envelope.recipients[0].notify = failures[_i].notify;
	scene_accept(&scene, item);
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_eq(scene_figures(&scene).failed, 1);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "a"), failures[_i].notices);
	text = scene_mailbox(&scene, "a");
	if (failures[_i].notices > 0) {
		ck_assert_ptr_nonnull(strstr(text, "Return-Path: <>"));
		ck_assert_ptr_nonnull(strstr(text, "Action: failed"));
		ck_assert_ptr_nonnull(strstr(text, "Status: 5.1.1"));
		ck_assert_ptr_nonnull(strstr(text, "no such user"));
		ck_assert_ptr_nonnull(strstr(text, "1@s.example"));
	}
	g_free(text);
	scene_end(&scene);
}
END_TEST

static void
note_second_attempt(void *arg, struct item *item)
{
	const struct item_recipient *recipient = &item->recipients[0];

	if (recipient->attempts >= 2 && recipient->state == ITEM_WAITING)
		*(bool *)arg = true;
}

/* The hop has refused the recipient, and for want of a notice he waits all the same. */
static bool
notice_failed(struct scene *scene)
{
	bool waits = false;

	scene_each(scene, note_second_attempt, &waits);
	return waits;
}

/*
 * No room for the notice: the failure must not become final. A crash in the same place looks the
 * same to the spool: no notice, no mark.
 */
START_TEST(failure_without_notice_is_not_final)
{
	struct scene scene;

	scene_begin(
	    &scene, LIST(HELLO, PIPED, "C MAIL", "C RCPT", "C DATA", OK, "S 451 4.2.1 later",
			"S 503 none", BYE, HELLO, PIPED, "C MAIL", "C RCPT", "C DATA", OK,
			"S 550 5.1.1 no", "S 503 none", BYE, HELLO, PIPED, "C MAIL", "C RCPT",
			"C DATA", OK, "S 550 5.1.1 no", "S 503 none", BYE));
	scene.settings.retry_first_ms = 1000;
	queue_configure(scene.queue, &scene.settings, scene.routes);
	scene_send(&scene, "a@s.example", "a@r.example");
	scene_run(&scene, has_deferred);
	scene_close(&scene);

	scene.reserve = UINT64_MAX / 4;
	scene.settings.retry_first_ms = 1500;
	scene_open(&scene);
	ck_assert_uint_eq(scene.recovered, 1);
	scene_run(&scene, notice_failed);
	ck_assert_uint_eq(scene_figures(&scene).failed, 0);
	scene_close(&scene);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "a"), 0);

	scene.reserve = 0;
	scene_open(&scene);
	ck_assert_uint_eq(scene.recovered, 1);
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_eq(scene_figures(&scene).failed, 1);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "a"), 1);
	scene_end(&scene);
}
END_TEST

/* Two that fail and one without a route: one notice for all of a round. */
START_TEST(one_notice_for_all)
{
	struct scene scene;
	char *text;

	scene_begin(&scene, LIST(HELLO, PIPED, "C MAIL", "C RCPT", "C RCPT", "C DATA", OK,
				"S 550 5.1.1 no", "S 553 5.1.3 never", "S 503 none", BYE));
	scene_send(&scene, "a@s.example", "a@r.example b@r.example c@nowhere.example d@d.example");
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_eq(scene_figures(&scene).failed, 3);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "a"), 1);
	text = scene_mailbox(&scene, "a");
	ck_assert_ptr_nonnull(strstr(text, "Status: 5.1.1"));
	ck_assert_ptr_nonnull(strstr(text, "Status: 5.1.3"));
	ck_assert_ptr_nonnull(strstr(text, "Status: 5.4.4"));
	ck_assert_ptr_null(strstr(text, "d@d.example"));
	g_free(text);
	scene_end(&scene);
}
END_TEST

/* Flips a byte of every copy of the body. */
static void
damage(const char *folder)
{
	GDir *dir = g_dir_open(folder, 0, NULL);
	const char *name;
	unsigned flipped = 0;

	while ((name = g_dir_read_name(dir))) {
		char *path = g_build_filename(folder, name, NULL), *bytes;
		gsize len;

		if (g_file_get_contents(path, &bytes, &len, NULL)) {
			int fd = open(path, O_WRONLY);

			for (char *at = bytes;
			     (at = memmem(at, len - (gsize)(at - bytes), ".body", 5)); at++)
				flipped += pwrite(fd, "X", 1, at - bytes + 1) == 1;
			close(fd);
			g_free(bytes);
		}
		g_free(path);
	}
	g_dir_close(dir);
	ck_assert_uint_ge(flipped, 1);
}

/* Bytes that no longer are what was accepted are not sent, and the sender hears of it. */
START_TEST(damaged_in_the_spool)
{
	struct scene scene;
	char *text;

	scene_begin(&scene, LIST(HELLO, PIPED, "C MAIL", "C RCPT", "C DATA", OK,
				"S 451 4.2.1 later", "S 503 none", BYE));
	scene.settings.retry_first_ms = 1000;
	queue_configure(scene.queue, &scene.settings, scene.routes);
	scene_send(&scene, "a@s.example", "a@r.example");
	scene_run(&scene, has_deferred);
	damage(scene.spool_folder);
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_eq(scene_figures(&scene).failed, 1);
	text = scene_mailbox(&scene, "a");
	ck_assert_ptr_nonnull(strstr(text, "Status: 5.3.0"));
	g_free(text);
	scene_end(&scene);
}
END_TEST

START_TEST(gives_up)
{
	struct scene scene;
	char *text;

	scene_begin(&scene, NULL);
	scene.settings.give_up_ms = 1500;
	queue_configure(scene.queue, &scene.settings, scene.routes);
	scene_send(&scene, "a@s.example", "b@x.example");
	scene_run(&scene, scene_is_empty);
	ck_assert_uint_ge(scene_figures(&scene).deferred, 1);
	ck_assert_uint_eq(scene_figures(&scene).failed, 1);
	text = scene_mailbox(&scene, "a");
	ck_assert_ptr_nonnull(strstr(text, "Action: failed"));
	ck_assert_ptr_nonnull(strstr(text, "Status: 4.4.7"));
	ck_assert_ptr_nonnull(strstr(text, "1@s.example"));
	g_free(text);
	scene_end(&scene);
}
END_TEST

static bool
three_deferred_and_notice(struct scene *scene)
{
	return scene_figures(scene).deferred >= 3 && scene_figures(scene).delivered >= 1;
}

START_TEST(delay_is_reported_once)
{
	struct scene scene;
	char *text;

	scene_begin(&scene, NULL);
	scene.settings.notice_after_ms = 1;
	queue_configure(scene.queue, &scene.settings, scene.routes);
	scene_send(&scene, "a@s.example", "b@x.example");
	scene_run(&scene, three_deferred_and_notice);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "a"), 1);
	text = scene_mailbox(&scene, "a");
	ck_assert_ptr_nonnull(strstr(text, "Action: delayed"));
	ck_assert_ptr_nonnull(strstr(text, "Status: 4.4.1"));
	g_free(text);
	scene_end(&scene);
}
END_TEST

static bool
has_notice(struct scene *scene)
{
	return scene_mailbox_count(scene, "a") == 1;
}

/* A notice of delay that found no room is written with a later attempt. */
START_TEST(delay_without_notice_comes_later)
{
	struct scene scene;

	scene_begin(&scene, NULL);
	queue_configure(scene.queue, &scene.settings, scene.routes);
	scene_send(&scene, "a@s.example", "b@x.example");
	scene_run(&scene, has_deferred);
	scene_close(&scene);

	scene.reserve = UINT64_MAX / 4;
	scene.settings.notice_after_ms = 500;
	scene_open(&scene);
	scene_run(&scene, has_deferred);
	scene_close(&scene);
	ck_assert_uint_eq(scene_mailbox_count(&scene, "a"), 0);

	scene.reserve = 0;
	scene_open(&scene);
	scene_run(&scene, has_notice);
	scene_end(&scene);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queue_notice");
	TCase *tc = tcase_create("queue_notice");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(
	    tc, failure_is_reported, 0, (int)(sizeof(failures) / sizeof(*failures)));
	tcase_add_test(tc, failure_without_notice_is_not_final);
	tcase_add_test(tc, one_notice_for_all);
	tcase_add_test(tc, damaged_in_the_spool);
	tcase_add_test(tc, gives_up);
	tcase_add_test(tc, delay_is_reported_once);
	tcase_add_test(tc, delay_without_notice_comes_later);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
