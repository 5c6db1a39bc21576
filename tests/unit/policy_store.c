/* SPDX-License-Identifier: Apache-2.0 */
/* policy_store.c - unit tests of the modules' key-value store, below and through the contract. */
#include "policy_world.h"
#include "run.h"
#include <core/base/clock.h>
#include <core/store/keyvalue.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>

static struct world world;
static const struct keyvalue_owner one = { "keeper", "one" }, two = { "keeper", "two" };

static void
setup(void)
{
	world_open(&world);
}

static void
teardown(void)
{
	world_close(&world);
}

static void
put(const struct keyvalue_owner *owner, const char *key, const char *value, int64_t keep_ms)
{
	struct pn_error err = { 0 };

	ck_assert_msg(keyvalue_put(world.db, owner, key, pn_slice_of(value), keep_ms, &err) == 0,
	    "%s", err.text);
}

/* The value as text, "-" where there is none; a static buffer. */
static const char *
get(const struct keyvalue_owner *owner, const char *key)
{
	static char text[100];
	struct arena arena = { 0 };
	struct pn_slice value;
	struct pn_error err;
	int r = keyvalue_get(world.db, owner, key, &arena, &value, &err);

	if (r == 0)
		snprintf(text, sizeof(text), "%.*s", (int)value.len, value.data);
	arena_free(&arena);
	ck_assert(r == 0 || r == -ENOENT);
	return r == 0 ? text : "-";
}

static int
gather(void *arg, const char *key, struct pn_slice value)
{
	char *text = arg;

	sprintf(text + strlen(text), "%s=%.*s ", key, (int)value.len, value.data);
	return strcmp(key, "stop") == 0 ? -ECANCELED : 0;
}

static const char *
all(const struct keyvalue_owner *owner, const char *prefix, int wanted)
{
	static char text[400];

	text[0] = '\0';
	ck_assert_int_eq(keyvalue_each(world.db, owner, prefix, gather, text, NULL), wanted);
	return text;
}

START_TEST(test_put_get_delete)
{
	ck_assert_str_eq(get(&one, "k"), "-");
	put(&one, "k", "first", 0);
	put(&one, "k", "second", 0);
	put(&two, "k", "other", 0);
	ck_assert_str_eq(get(&one, "k"), "second");
	ck_assert_int_eq(keyvalue_delete(world.db, &one, "k", NULL), 0);
	ck_assert_int_eq(keyvalue_delete(world.db, &one, "k", NULL), 0);
	ck_assert_str_eq(get(&one, "k"), "-");
	ck_assert_str_eq(get(&two, "k"), "other");
	put(&one, "empty", "", 0);
	ck_assert_str_eq(get(&one, "empty"), "");
}
END_TEST

START_TEST(test_each)
{
	put(&one, "b/2", "y", 0);
	put(&one, "b/1", "x", 0);
	put(&one, "a", "w", 0);
	put(&one, "c", "z", 0);
	put(&two, "b/3", "not mine", 0);
	ck_assert_str_eq(all(&one, "", 0), "a=w b/1=x b/2=y c=z ");
	ck_assert_str_eq(all(&one, "b/", 0), "b/1=x b/2=y ");
	ck_assert_str_eq(all(&one, "bb", 0), "");
	put(&one, "stop", "s", 0);
	put(&one, "t", "t", 0);
	ck_assert_str_eq(all(&one, "c", 0), "c=z ");
	ck_assert_str_eq(all(&one, "s", -ECANCELED), "stop=s ");
}
END_TEST

static int
count_rows(void *arg, const struct pn_row *row)
{
	*(int64_t *)arg = pn_row_int(row, 0);
	return 0;
}

/* What has expired is not there, and the next write takes the row away. */
START_TEST(test_expiry)
{
	int64_t end, rows = 0;

	put(&one, "short", "x", 20);
	put(&one, "long", "y", 3600000);
	ck_assert_str_eq(get(&one, "long"), "y");
	for (end = clock_monotonic_ms() + 25; clock_monotonic_ms() < end;)
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	ck_assert_str_eq(get(&one, "short"), "-");
	ck_assert_str_eq(all(&one, "", 0), "long=y ");
	put(&two, "k", "v", 0);
	ck_assert_int_eq(db_query(world.db, NULL, "SELECT COUNT(*) FROM keyvalue", PN_NO_VALUES,
			     count_rows, &rows),
	    0);
	ck_assert_int_eq(rows, 2);
	put(&one, "long", "for ever", 0);
	ck_assert_str_eq(get(&one, "long"), "for ever");
}
END_TEST

START_TEST(test_bounds)
{
	static char large[PN_STORE_VALUE_MOST + 1];
	char key[PN_STORE_KEY_MOST + 2];
	struct pn_slice most = pn_slice(large, PN_STORE_VALUE_MOST);

	memset(key, 'k', sizeof(key));
	key[PN_STORE_KEY_MOST + 1] = '\0';
	ck_assert_int_eq(keyvalue_put(world.db, &one, key, most, 0, NULL), -EINVAL);
	key[PN_STORE_KEY_MOST] = '\0';
	ck_assert_int_eq(keyvalue_put(world.db, &one, key, most, 0, NULL), 0);
	most.len++;
	ck_assert_int_eq(keyvalue_put(world.db, &one, key, most, 0, NULL), -E2BIG);
	most.len = 1;
	ck_assert_int_eq(keyvalue_put(world.db, &one, "", most, 0, NULL), -EINVAL);
	ck_assert_int_eq(keyvalue_put(world.db, &one, "a\nb", most, 0, NULL), -EINVAL);
	ck_assert_int_eq(keyvalue_put(world.db, &one, "\xff", most, 0, NULL), -EINVAL);
	ck_assert_int_eq(keyvalue_put(world.db, &one, "k", most, -1, NULL), -EINVAL);
	ck_assert_int_eq(keyvalue_put(world.db, &one, "k", most, INT64_MAX, NULL), -EINVAL);
	ck_assert_int_eq(keyvalue_each(world.db, &one, "\x7f", gather, NULL, NULL), -EINVAL);
	ck_assert_int_eq(keyvalue_delete(world.db, &one, "", NULL), -EINVAL);
}
END_TEST

/* Two entries of one module, through the contract. */
START_TEST(test_in_hooks)
{
	struct item *item;

	world_run(&world, "  - keeper: { id: one }\n  - keeper: { id: two }\n", "");
	ck_assert_str_eq(get(&one, "started"), "1");
	world_begin(&world);
	world_message(&world, WORLD_MESSAGE);
	ck_assert_int_eq(world_stage(&world, PN_STAGE_HELO), RULING_PASS);
	ck_assert_int_eq(world_stage(&world, PN_STAGE_MESSAGE), RULING_PASS);
	ck_assert_ptr_nonnull(strstr(chain_trace_text(world.txn), "two pass started 1"));
	item = txn_to_item(world.txn);
	ck_assert_uint_eq(world_committed(&world, item), 0);
	ck_assert_uint_eq(world_committed(&world, item), 0);
	item_free(&item);
	ck_assert_str_eq(get(&two, "one@example.org"), "2");
}
END_TEST

/* A trial reads what there is and changes nothing, at whatever stage. */
START_TEST(test_trial)
{
	struct item *item;

	world_run(&world, "  - keeper: { id: one }\n", "");
	world.trial = true;
	world_run(&world, "  - keeper: { id: one }\n", "");
	world_begin(&world);
	world_message(&world, WORLD_MESSAGE);
	ck_assert_int_eq(world_stage(&world, PN_STAGE_MESSAGE), RULING_PASS);
	ck_assert_str_eq(chain_trace_text(world.txn), "one pass started 1");
	item = txn_to_item(world.txn);
	ck_assert_uint_eq(world_committed(&world, item), 1);
	item_free(&item);
	ck_assert_str_eq(get(&one, "one@example.org"), "-");
}
END_TEST

static Suite *
policy_store(void)
{
	Suite *suite = suite_create("policy_store");
	TCase *test = tcase_create("policy_store");

	tcase_add_checked_fixture(test, setup, teardown);
	tcase_add_test(test, test_put_get_delete);
	tcase_add_test(test, test_each);
	tcase_add_test(test, test_expiry);
	tcase_add_test(test, test_bounds);
	tcase_add_test(test, test_in_hooks);
	tcase_add_test(test, test_trial);
	suite_add_tcase(suite, test);
	return suite;
}

int
main(void)
{
	return unit_run(policy_store());
}
