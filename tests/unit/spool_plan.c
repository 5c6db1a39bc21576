/* SPDX-License-Identifier: Apache-2.0 */
/* spool_plan.c - the spool keeps plans and renderings, and one message takes over from another. */
#include "run.h"
#include "tests/unit/memdisk.h"
#include "tests/unit/spool_kit.h"

#include <core/queue/record.h>
#include <errno.h>

static struct memdisk *disk;
static struct kit kit;

static void
open_again(void)
{
	if (kit.spool)
		kit_close(&kit);
	ck_assert_msg(kit_open(&kit, &disk->io, KIT_FOLDER, 0) == 0, "%s", kit.err.text);
}

static void
setup(void)
{
	disk = memdisk_new();
	open_again();
}

static void
teardown(void)
{
	if (kit.spool)
		kit_close(&kit);
	memdisk_free(&disk);
}

/* ---- plans and renderings ---- */

static const struct mail_plan plans[] = {
	{ 0 },
	{ .number = 2,
	    .method = "tls",
	    .entry = "tls-only",
	    .reason = "TLS was seen",
	    .next = "pki",
	    .demand = { 128, PN_TLS_NAME } },
	{ .number = 1, .rendering = 1, .method = "smime", .passed = "tls: none", .next = "" },
	{ .method = "none", .entry = "book", .unserved = "550 5.7.1 nobody serves r3" },
	{ .number = 1, .method = "tls", .demand = { 256, PN_TLS_ENCRYPTED, true } },
	{ .demand = { 256, PN_TLS_DANE, false, PN_TLS_1_3, "C1 C2;C2", "key=00" } },
	{ .demand = { .level = PN_TLS_STS, .pins = "cert=00" } },
};

static struct item *
planned_item(void)
{
	struct item *item = kit_item(1000, G_N_ELEMENTS(plans));
	struct mail_rendering *renderings = arena_alloc(&item->arena, 2 * sizeof(*renderings));

	renderings[0] = (struct mail_rendering){ 0, 600, NULL, false, true, true };
	renderings[1] = (struct mail_rendering){ 600, 400, "", true, false, false };
	item->renderings = renderings;
	item->rendering_count = 2;
	for (size_t i = 0; i < G_N_ELEMENTS(plans); i++)
		item->recipients[i].plan = plans[i];
	item->wanted = true;
	memcpy(item->origin, "0F3K9Z0000001", ITEM_ID_SIZE - 2);
	return item;
}

static void
check_plan(const struct mail_plan *plan, const struct mail_plan *want)
{
	ck_assert_uint_eq(plan->number, want->number);
	ck_assert_uint_eq(plan->rendering, want->rendering);
	ck_assert_pstr_eq(plan->method, want->method);
	ck_assert_pstr_eq(plan->entry, want->entry);
	ck_assert_pstr_eq(plan->reason, want->reason);
	ck_assert_pstr_eq(plan->passed, want->passed);
	ck_assert_pstr_eq(plan->next, want->next);
	ck_assert_pstr_eq(plan->unserved, want->unserved);
	ck_assert(mail_demand_equal(&plan->demand, &want->demand));
}

START_TEST(plans_come_back)
{
	struct item *item = planned_item(), *back;
	struct mail_rendering own;
	uint32_t index = 1;

	ck_assert_int_eq(kit_append(&kit, item), 0);
	item->recipients[1].attempts = 3;
	spool_mark(kit.spool, item, &index, 1);
	for (int i = 0; i < 2; i++) {
		open_again();
		back = kit_find(&kit, item->id);
		ck_assert_ptr_nonnull(back);
		ck_assert_str_eq(back->origin, "0F3K9Z0000001");
		ck_assert_str_eq(item_log_id(back), "0F3K9Z0000001");
		ck_assert(back->wanted && !back->opted_out);
		ck_assert_uint_eq(back->recipients[1].attempts, 3);
		for (size_t k = 0; k < G_N_ELEMENTS(plans); k++)
			check_plan(&back->recipients[k].plan, &plans[k]);
		ck_assert_uint_eq(back->rendering_count, 2);
		own = item_rendering(back, 0);
		ck_assert(own.offset == 0 && own.len == 600 && own.has_eightbit && own.binary);
		ck_assert(!own.needs_utf8 && !own.sender);
		own = item_rendering(back, 2);
		ck_assert(own.offset == 600 && own.len == 400 && own.needs_utf8);
		ck_assert(!own.has_eightbit && !own.binary);
		ck_assert_str_eq(own.sender, "");
		ck_assert_uint_eq(item_rendering(back, 3).len, 0);
	}
	item_free(&item);
}
END_TEST

static void
bad_rendering(struct item *item)
{
	item->renderings[1].len++;
}

static void
bad_offset(struct item *item)
{
	item->renderings[1].offset = SIZE_MAX;
}

static void
bad_plan(struct item *item)
{
	item->recipients[2].plan.rendering = 2;
}

static void
bad_take_over(struct item *item)
{
	memcpy(item->replaces, "0F3K9Z0000002", ITEM_ID_SIZE - 2);
}

static void (*const spoil[])(
    struct item *) = { bad_rendering, bad_offset, bad_plan, bad_take_over };

/* Bytes that are not there are never sent. */
START_TEST(plans_that_make_no_sense)
{
	struct item *item = planned_item();

	spoil[_i](item);
	ck_assert_int_eq(kit_append(&kit, item), 0);
	open_again();
	ck_assert_uint_eq(kit.items->len, 0);
	ck_assert_uint_eq(kit.whats->len, 1);
	item_free(&item);
}
END_TEST

/* What an older reader would get wrong it does not know, and stops. */
START_TEST(what_matters_is_critical)
{
	static const struct {
		struct mail_plan plan;
		bool critical;
	} cases[] = {
		{ { .method = "none", .reason = "not wanted", .number = 1 }, false },
		{ { .method = "tls", .next = "" }, true },
		{ { .rendering = 1 }, true },
		{ { .demand = { 112, 0 } }, true },
		{ { .demand = { 0, PN_TLS_TRUSTED } }, true },
		{ { .unserved = "550 no" }, true },
	};
	struct item *item = kit_item(10, 1);
	struct buf head = BUF_INIT(4096);
	struct field_writer writer = { &head, 0 };
	struct pn_slice rest, inner;
	struct field field, nested;
	unsigned found = 0;

	item->recipients[0].plan = cases[_i].plan;
	record_put_item(&writer, item);
	rest = buf_slice(&head);
	while (field_next(&rest, &field) > 0) {
		inner = field.value;
		while (field.type == RECORD_RECIPIENT && field_next(&inner, &nested) > 0) {
			if (nested.type != RECORD_PLAN)
				continue;
			found++;
			ck_assert(cases[_i].critical == (nested.flags == FIELD_CRITICAL));
		}
	}
	ck_assert_uint_eq(found, 1);
	buf_free(&head);
	item_free(&item);
}
END_TEST

/* ---- taking over ---- */

/* The first of `from`'s recipients `index` and on. */
static struct item *
successor(const struct item *from, uint32_t index, size_t count)
{
	struct item *item = kit_item(200, count);
	uint32_t *indices = arena_alloc(&item->arena, count * sizeof(*indices));

	for (uint32_t i = 0; i < count; i++)
		indices[i] = index + i;
	memcpy(item->replaces, from->id, ITEM_ID_SIZE);
	memcpy(item->origin, item_log_id(from), ITEM_ID_SIZE);
	item->replaced = indices;
	item->replaced_count = count;
	return item;
}

static void
finish(struct item *item)
{
	spool_finish(kit.spool, item);
}

static enum item_state
state_of(const char *id, uint32_t index)
{
	struct item *item = kit_find(&kit, id);

	ck_assert_ptr_nonnull(item);
	return item->recipients[index].state;
}

START_TEST(taken_over_at_once)
{
	struct item *first = kit_accept(&kit, 300, 3), *next = successor(first, 1, 2);

	ck_assert_int_eq(kit_append(&kit, next), 0);
	for (int i = 0; i < 2; i++) {
		open_again();
		ck_assert_uint_eq(kit_find(&kit, first->id)->unfinished, 1);
		ck_assert_uint_eq(kit_find(&kit, next->id)->unfinished, 2);
		ck_assert_int_eq(state_of(first->id, 0), ITEM_WAITING);
		ck_assert_int_eq(state_of(first->id, 1), ITEM_REPLANNED);
		ck_assert_int_eq(state_of(first->id, 2), ITEM_REPLANNED);
		ck_assert_str_eq(kit_find(&kit, next->id)->replaces, first->id);
		ck_assert_uint_eq(kit_find(&kit, next->id)->replaced_count, 2);
	}
	item_free(&first);
	item_free(&next);
}
END_TEST

/* He who took over has finished: the one before does not begin again. */
START_TEST(taken_over_for_good)
{
	struct item *first = kit_accept(&kit, 300, 2), *next = successor(first, 0, 1);
	struct item *last = successor(next, 0, 1);

	ck_assert_int_eq(kit_append(&kit, next), 0);
	ck_assert_int_eq(kit_append(&kit, last), 0);
	finish(next);
	open_again();
	ck_assert_uint_eq(kit.items->len, 2);
	ck_assert_int_eq(state_of(first->id, 0), ITEM_REPLANNED);
	ck_assert_int_eq(state_of(last->id, 0), ITEM_WAITING);
	finish(last);
	open_again();
	ck_assert_uint_eq(kit.items->len, 1);
	ck_assert_int_eq(state_of(first->id, 0), ITEM_REPLANNED);
	ck_assert_int_eq(state_of(first->id, 1), ITEM_WAITING);
	item_free(&first);
	item_free(&next);
	item_free(&last);
}
END_TEST

/* Its segment is used again, while that of the message before stays. */
START_TEST(taken_over_outlives_the_segment)
{
	struct item *first = kit_accept(&kit, 300, 2), *next, *filler;
	struct spool_figures figures;

	for (int i = 0; i < 6; i++) {
		filler = kit_accept(&kit, 30000, 1);
		finish(filler);
		item_free(&filler);
	}
	next = successor(first, 0, 1);
	ck_assert_int_eq(kit_append(&kit, next), 0);
	finish(next);
	for (int i = 0; i < 40; i++) {
		filler = kit_accept(&kit, 30000, 1);
		finish(filler);
		item_free(&filler);
	}
	spool_figures(kit.spool, &figures);
	ck_assert_uint_lt(figures.segments, 15);
	for (int i = 0; i < 2; i++) {
		open_again();
		ck_assert_uint_eq(kit.items->len, 1);
		ck_assert_int_eq(state_of(first->id, 0), ITEM_REPLANNED);
		ck_assert_int_eq(state_of(first->id, 1), ITEM_WAITING);
	}
	item_free(&first);
	item_free(&next);
}
END_TEST

/* The record of the first try is on disk, but was refused: the sync failed. */
START_TEST(refused_takes_nobody)
{
	struct item *first = kit_accept(&kit, 300, 1), *next = successor(first, 0, 1);
	struct item *again = successor(first, 0, 1);

	memdisk_fail(disk, MEMDISK_FAIL_SYNC, 0, EIO);
	ck_assert_int_eq(kit_append(&kit, next), -EIO);
	memdisk_mend(disk);
	if (_i == 1)
		ck_assert_int_eq(kit_append(&kit, again), 0);
	open_again();
	ck_assert_ptr_null(kit_find(&kit, next->id));
	ck_assert_int_eq(state_of(first->id, 0), _i == 1 ? ITEM_REPLANNED : ITEM_WAITING);
	ck_assert(_i == 0 || state_of(again->id, 0) == ITEM_WAITING);
	item_free(&first);
	item_free(&next);
	item_free(&again);
}
END_TEST

/* Two name the same recipient, as after a refusal that could not be written down. */
START_TEST(the_later_one_counts)
{
	struct item *first = kit_accept(&kit, 300, 2), *next = successor(first, 0, 2);
	struct item *again = successor(first, 1, 1);

	ck_assert_int_eq(kit_append(&kit, next), 0);
	ck_assert_int_eq(kit_append(&kit, again), 0);
	open_again();
	ck_assert_uint_eq(kit_find(&kit, first->id)->unfinished, 0);
	ck_assert_int_eq(state_of(next->id, 0), ITEM_WAITING);
	ck_assert_int_eq(state_of(next->id, 1), ITEM_REPLANNED);
	ck_assert_int_eq(state_of(again->id, 0), ITEM_WAITING);
	item_free(&first);
	item_free(&next);
	item_free(&again);
}
END_TEST

/* Two who are new, in messages that each replace one recipient, are two. */
START_TEST(nobody_is_not_somebody)
{
	struct item *first = kit_accept(&kit, 300, 2), *next = successor(first, 0, 2);
	struct item *again = successor(first, 1, 2);
	uint32_t nobody[] = { 0, ITEM_NOBODY }, also[] = { 1, ITEM_NOBODY };

	next->replaced = nobody;
	again->replaced = also;
	ck_assert_int_eq(kit_append(&kit, next), 0);
	ck_assert_int_eq(kit_append(&kit, again), 0);
	open_again();
	ck_assert_uint_eq(kit_find(&kit, first->id)->unfinished, 0);
	ck_assert_uint_eq(kit_find(&kit, next->id)->unfinished, 2);
	ck_assert_uint_eq(kit_find(&kit, again->id)->unfinished, 2);
	item_free(&first);
	item_free(&next);
	item_free(&again);
}
END_TEST

static void
check_resumes(const struct item *back)
{
	ck_assert_str_eq(back->resume, "moderator");
	ck_assert(back->submission && back->hide_client);
	ck_assert_int_eq(back->want.wanted, 4);
	ck_assert_int_eq(back->want.opted_out, 6);
	ck_assert_int_eq(back->envelope.recipients[0].want.wanted, 0);
	ck_assert_int_eq(back->envelope.recipients[1].want.wanted, 5);
	ck_assert_ptr_null(back->recipients[0].hold);
	ck_assert_str_eq(back->recipients[1].hold->reason, "look");
}

/* What an entry holds, one of its recipients released: where the chain goes on, and what it knew.
 */
START_TEST(held_by_an_entry)
{
	struct item_hold hold = { .reason = "look" };
	struct item *item = kit_item(300, 2);

	item->resume = "moderator";
	item->submission = item->hide_client = true;
	item->want = (struct mail_want){ .wanted = 4, .opted_out = 6 };
	item->envelope.recipients[1].want.wanted = 5;
	item->recipients[1].hold = &hold;
	ck_assert_int_eq(kit_append(&kit, item), 0);
	for (int i = 0; i < 2; i++) {
		open_again();
		check_resumes(kit_find(&kit, item->id));
	}
	item_free(&item);
}
END_TEST

/* Its bytes are lost: whom it had not delivered yet the message before has again. */
START_TEST(damaged_gives_back)
{
	struct item *first = kit_accept(&kit, 300, 2), *next = successor(first, 0, 2);
	GByteArray *bytes;
	uint32_t index = 1;

	ck_assert_int_eq(kit_append(&kit, next), 0);
	next->recipients[1].state = ITEM_DELIVERED;
	spool_mark(kit.spool, next, &index, 1);
	kit_close(&kit);
	bytes = memdisk_bytes(disk, KIT_FOLDER "/00000001.seg");
	bytes->data[next->place.offset + next->place.length - 20] ^= 1;
	open_again();
	ck_assert_uint_eq(kit.whats->len, 1);
	ck_assert_ptr_null(kit_find(&kit, next->id));
	ck_assert_int_eq(state_of(first->id, 0), ITEM_WAITING);
	ck_assert_int_eq(state_of(first->id, 1), ITEM_REPLANNED);
	item_free(&first);
	item_free(&next);
}
END_TEST

static Suite *
suite(void)
{
	Suite *all = suite_create("spool_plan");
	TCase *tests = tcase_create("plans");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, plans_come_back);
	tcase_add_loop_test(tests, plans_that_make_no_sense, 0, G_N_ELEMENTS(spoil));
	tcase_add_loop_test(tests, what_matters_is_critical, 0, 6);
	tcase_add_test(tests, taken_over_at_once);
	tcase_add_test(tests, taken_over_for_good);
	tcase_add_test(tests, taken_over_outlives_the_segment);
	tcase_add_loop_test(tests, refused_takes_nobody, 0, 2);
	tcase_add_test(tests, the_later_one_counts);
	tcase_add_test(tests, nobody_is_not_somebody);
	tcase_add_test(tests, held_by_an_entry);
	tcase_add_test(tests, damaged_gives_back);
	suite_add_tcase(all, tests);
	return all;
}

int
main(void)
{
	return unit_run(suite());
}
