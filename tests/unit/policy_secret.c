/* SPDX-License-Identifier: Apache-2.0 */
/* policy_secret.c - secrets of modules: sealed for one module, table and name, and for no other;
 * and the message in seven bits, as they sign it. */
#include "policy_world.h"
#include "run.h"

#include <core/config/option.h>
#include <core/policy/call.h>
#include <errno.h>
#include <postern/module.h>

#define ONE "one 00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef\n"
#define TWO "two ffeeddccbbaa99887766554433221100fedcba9876543210fedcba9876543210\n"

static const struct pn_module own_module = { .name = "own" }, other_module = { .name = "other" };
static const struct chain_entry own_entry = { .module = &own_module },
				other_entry = { .module = &other_module };
static struct pn_call own, other;
static struct settings_secrets *secrets;

static void
setup(void)
{
	secrets = NULL;
	own = (struct pn_call){ .entry = &own_entry, .may_block = true, .due_ms = INT64_MAX };
	other = (struct pn_call){ .entry = &other_entry, .may_block = true, .due_ms = INT64_MAX };
}

static void
teardown(void)
{
	arena_free(&own.arena);
	arena_free(&other.arena);
	settings_secrets_free(&secrets);
}

static const struct pn_secret *
keys(const char *text)
{
	return secret_keep(&secrets, text, strlen(text));
}

static int
is_hunter(void *arg, struct pn_slice secret)
{
	++*(int *)arg;
	ck_assert(pn_slice_equals(secret, pn_slice("hunter\0two", 10)));
	return 7;
}

static int
try_open(struct pn_call *call, const char *with, const char *table, const char *name,
    struct pn_slice sealed)
{
	struct pn_error err = { 0 };
	int calls = 0,
	    r = pn_secret_open(call, keys(with), table, name, sealed, is_hunter, &calls, &err);

	ck_assert_int_eq(calls, r == 7);
	ck_assert(r == 7 || err.text[0]);
	ck_assert_ptr_null(strstr(err.text, "hunter"));
	return r;
}

START_TEST(test_sealed_for_one)
{
	struct pn_slice sealed;
	struct pn_error err;

	ck_assert_int_eq(pn_secret_seal(&own, keys(ONE), "private", "ada",
			     pn_slice("hunter\0two", 10), &sealed, &err),
	    0);
	ck_assert_ptr_null(memmem(sealed.data, sealed.len, "hunter", 6));
	ck_assert_int_eq(try_open(&own, ONE, "private", "ada", sealed), 7);
	ck_assert_int_eq(try_open(&own, TWO ONE, "private", "ada", sealed), 7);
	ck_assert_int_eq(try_open(&own, TWO, "private", "ada", sealed), -ENOKEY);
	ck_assert_int_eq(try_open(&own, ONE, "private", "bo", sealed), -EBADMSG);
	ck_assert_int_eq(try_open(&own, ONE, "other", "ada", sealed), -EBADMSG);
	ck_assert_int_eq(try_open(&own, ONE, "private\n3 ada", "", sealed), -EBADMSG);
	ck_assert_int_eq(try_open(&other, ONE, "private", "ada", sealed), -EBADMSG);
	ck_assert(pn_sealed_is_fresh(keys(ONE TWO), sealed));
	ck_assert(!pn_sealed_is_fresh(keys(TWO ONE), sealed));
	ck_assert(!pn_sealed_is_fresh(keys(ONE), pn_slice("junk", 4)));
	ck_assert(!pn_sealed_is_fresh(NULL, sealed));
}
END_TEST

START_TEST(test_refused)
{
	static char large[PN_SEALED_SECRET_MOST + 1];
	struct pn_slice most = pn_slice(large, PN_SEALED_SECRET_MOST), sealed;
	struct pn_error err;

	ck_assert_int_eq(pn_secret_seal(&own, NULL, "t", "n", most, &sealed, &err), -ENOKEY);
	ck_assert_int_eq(
	    pn_secret_seal(&own, keys("# none\n"), "t", "n", most, &sealed, &err), -EINVAL);
	ck_assert_int_eq(
	    pn_secret_seal(&own, keys("one 12\n"), "t", "n", most, &sealed, &err), -EINVAL);
	ck_assert_int_eq(pn_secret_seal(&own, keys(ONE), "t", "n", most, &sealed, &err), 0);
	most.len++;
	ck_assert_int_eq(pn_secret_seal(&own, keys(ONE), "t", "n", most, &sealed, &err), -E2BIG);
	ck_assert_uint_eq(sealed.len, 0);
}
END_TEST

/* ---- seven bits ------------------------------------------------------------------------------ */

#define MIME "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"

static struct world world;

static int
seven(const char *message, struct pn_slice *ret, struct pn_error *err)
{
	call_end(&own);
	world_begin(&world);
	world_message(&world, message);
	call_begin(&own, world.generation, &own_entry, world.txn, PN_STAGE_MESSAGE, true);
	own.due_ms = INT64_MAX;
	return pn_message_7bit(&own, ret, err);
}

START_TEST(test_seven_bits)
{
	struct pn_slice ret, again;
	struct pn_error err;

	world_open(&world);
	world_run(&world, "  - faulty\n", "");
	ck_assert_int_eq(seven(MIME "\r\nplain\r\n", &ret, &err), 0);
	ck_assert_ptr_eq(ret.data, pn_txn_bytes(own.txn).data);
	ck_assert_int_eq(
	    seven(MIME "Content-Transfer-Encoding: 8bit\r\n\r\ncaf\xc3\xa9\r\n", &ret, &err), 0);
	ck_assert_ptr_nonnull(memmem(ret.data, ret.len, "\r\n\r\ncaf=C3=A9\r\n", 15));
	ck_assert_int_eq(pn_message_7bit(&own, &again, &err), 0);
	ck_assert_ptr_eq(ret.data, again.data);
	ck_assert_int_eq(
	    seven("Subject: caf\xc3\xa9\r\n" MIME "\r\nplain\r\n", &ret, &err), -ENOTSUP);
	own.may_block = false;
	ck_assert_int_eq(pn_message_7bit(&own, &ret, &err), -EWOULDBLOCK);
	call_end(&own);
	setup();
	ck_assert_int_eq(pn_message_7bit(&own, &ret, &err), -ENODATA);
	world_close(&world);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("policy_secret");
	TCase *tc = tcase_create("policy_secret");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_sealed_for_one);
	tcase_add_test(tc, test_refused);
	tcase_add_test(tc, test_seven_bits);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
