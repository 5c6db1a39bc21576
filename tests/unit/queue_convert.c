/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue_convert.c - unit tests of letters that wait to be converted: few at a time, a large one
 * alone, and nobody is deferred for it.
 */
#include "run.h"
#include "tests/unit/queue_scene.h"
#include <check.h>
#include <core/queue/inside.h>

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define HELLO     "A", "S 220 hop", "C EHLO relay.test", "S 250-hop\r\n250 PIPELINING"
#define OK        "S 250 2.0.0 ok"
#define ONE       "C MAIL FROM", "C RCPT TO:<a@r.example>", "C DATA", OK, OK, "S 354 go", "D", OK
#define BYE       "C QUIT", "S 221 bye", "H"

#define KIB       ((size_t)1024)
#define LARGE     (1200 * KIB)
#define LETTERS   9u

static struct {
	size_t most; /* bytes converted at a time */
	bool beside; /* a large one was not alone */
} seen;

/* Lines of 64 octets with one above 127 in each. */
static struct item *
make_letter(size_t size)
{
	static const char head[] = "Subject: x\r\nMIME-Version: 1.0\r\n"
				   "Content-Type: text/plain; charset=utf-8\r\n"
				   "Content-Transfer-Encoding: 8bit\r\n\r\n";
	struct item *item = scene_item("a@s.example", "a@r.example");
	char line[65];

	memset(line, 'x', sizeof(line));
	memcpy(line, "\xc3\xa4", 2);
	memcpy(line + 62, "\r\n", 2);
	mail_bytes_release(&item->bytes);
	ck_assert_int_eq(mail_bytes_new(size, &item->bytes), 0);
	ck_assert_int_eq(mail_bytes_append(item->bytes, head, sizeof(head) - 1, SIZE_MAX), 0);
	while (item->bytes->len < size)
		ck_assert_int_eq(mail_bytes_append(item->bytes, line, 64, SIZE_MAX), 0);
	item->size = item->bytes->len;
	item->facts.eightbit = item->has_eightbit = true;
	item_prepare(item);
	return item;
}

static bool
all_are_delivered(struct scene *scene)
{
	size_t now = scene->queue->converting;

	seen.most = MAX(seen.most, now);
	seen.beside = seen.beside || (now > LARGE + 64 * KIB);
	return scene_is_empty(scene);
}

/* With one connection, to a next hop of seven bits. */
static void
deliver(struct scene *scene, const size_t sizes[LETTERS])
{
	seen.most = 0;
	seen.beside = false;
	scene_begin(scene, LIST(HELLO, ONE, ONE, ONE, ONE, ONE, ONE, ONE, ONE, ONE, BYE));
	for (unsigned i = 0; i < LETTERS; i++)
		scene_accept(scene, make_letter(sizes[i]));
	scene_run(scene, all_are_delivered);
	ck_assert_uint_eq(scene_figures(scene).deferred, 0);
	ck_assert_uint_eq(scene_figures(scene).delivered, LETTERS);
	ck_assert_uint_eq(scene->queue->converting, 0);
	ck_assert(!mail_any_eightbit(next_hop_messages(scene->hop)));
	scene_end(scene);
}

START_TEST(small_ones_by_bytes)
{
	static const size_t sizes[LETTERS] = { 300 * KIB, 300 * KIB, 300 * KIB, 300 * KIB,
		300 * KIB, 300 * KIB, 300 * KIB, 300 * KIB, 1 * KIB };
	struct scene scene;

	deliver(&scene, sizes);
	ck_assert_uint_ge(seen.most, 300 * KIB);
	ck_assert_uint_le(seen.most, 1024 * KIB);
}
END_TEST

START_TEST(large_ones_alone)
{
	static const size_t sizes[LETTERS] = { 1 * KIB, LARGE, LARGE, 1 * KIB, LARGE, 1 * KIB,
		1 * KIB, 1 * KIB, 1 * KIB };
	struct scene scene;

	deliver(&scene, sizes);
	ck_assert_uint_ge(seen.most, LARGE);
	ck_assert(!seen.beside);
}
END_TEST

/* Memory is short: those in line give their bytes back, and they are read again. */
START_TEST(line_gives_bytes_back)
{
	struct scene scene;

	scene_begin(&scene, LIST(HELLO, ONE, ONE, ONE, ONE, ONE, ONE, ONE, ONE, ONE, BYE));
	scene.queue->resident += QUEUE_RESIDENT_MOST;
	for (unsigned i = 0; i < LETTERS; i++)
		scene_accept(&scene, make_letter(300 * KIB));
	scene_run(&scene, all_are_delivered);
	ck_assert_uint_eq(scene_figures(&scene).deferred, 0);
	ck_assert_uint_eq(scene_figures(&scene).delivered, LETTERS);
	ck_assert_uint_eq(scene.queue->resident, QUEUE_RESIDENT_MOST);
	ck_assert(!mail_any_eightbit(next_hop_messages(scene.hop)));
	scene_end(&scene);
}
END_TEST

static bool
one_is_converted(struct scene *scene)
{
	return scene->queue->converting > 0;
}

/* A drain, a restart, and the mail is there. */
START_TEST(drained_in_line)
{
	struct scene scene;

	scene_begin(&scene, LIST(HELLO, BYE));
	for (unsigned i = 0; i < LETTERS; i++)
		scene_accept(&scene, make_letter(LARGE));
	scene_run(&scene, one_is_converted);
	scene_close(&scene);
	scene_open(&scene);
	ck_assert_uint_eq(scene.recovered, LETTERS);
	scene_end(&scene);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queue_convert");
	TCase *tc = tcase_create("queue_convert");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, small_ones_by_bytes);
	tcase_add_test(tc, large_ones_alone);
	tcase_add_test(tc, line_gives_bytes_back);
	tcase_add_test(tc, drained_in_line);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
