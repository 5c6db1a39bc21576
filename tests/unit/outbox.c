/* SPDX-License-Identifier: Apache-2.0 */
/* outbox.c - unit tests of the outbox: what is taken, whose it is, and what is remembered. */
#include "run.h"
#include "tests/unit/store_folder.h"
#include <check.h>
#include <core/store/outbox.h>
#include <errno.h>
#include <glib.h>

static struct db *db;
static GString *claimed; /* "number:to;to " of the last claim */

static void
setup(void)
{
	struct pn_error err = { 0 };

	db = store_folder_open();
	ck_assert_msg(outbox_migrate(db, &err) == 0, "%s", err.text);
	claimed = g_string_new(NULL);
}

static void
teardown(void)
{
	store_folder_close(&db);
	g_string_free(claimed, TRUE);
}

static int
put(const char *owner, const char *key, const char *to)
{
	const char *const recipients[] = { to, "Second@BÜCHER.example" };
	struct pn_mail mail = { sizeof(mail), key, NULL, 2, recipients, "Subject", "Text\n" };
	struct pn_error err;

	return outbox_put(db, owner, &mail, &err);
}

static void
each(void *arg, const struct outbox_letter *letter)
{
	ck_assert_uint_eq(letter->count, 2);
	ck_assert_str_eq(letter->sender, "");
	ck_assert_str_eq(letter->subject, "Subject");
	ck_assert_str_eq(letter->text, "Text\n");
	g_string_append_printf(claimed, "%lld:%s;%s ", (long long)letter->number,
	    letter->recipients[0], letter->recipients[1]);
}

static const char *
claim(const char *claimant, int most)
{
	struct pn_error err;

	g_string_truncate(claimed, 0);
	ck_assert_int_eq(outbox_claim(db, claimant, most, each, NULL, &err), 0);
	return claimed->str;
}

static bool
waits(void)
{
	struct pn_error err;
	bool ret;

	ck_assert_int_eq(outbox_waits(db, &ret, &err), 0);
	return ret;
}

static void
run(const char *sql)
{
	struct pn_error err = { 0 };

	ck_assert_msg(db_run(db, &err, sql, PN_NO_VALUES) == 0, "%s", err.text);
}

START_TEST(claims)
{
	ck_assert(!waits());
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(put("limits", NULL, "a@x.example"), 0);
	ck_assert(waits());
	ck_assert_str_eq(claim("one", 2), "1:a@x.example;Second@xn--bcher-kva.example "
					  "2:a@x.example;Second@xn--bcher-kva.example ");
	ck_assert_str_eq(claim("two", 9), "3:a@x.example;Second@xn--bcher-kva.example ");
	ck_assert(!waits());
	ck_assert_str_eq(claim("two", 9), "");
	/* Whoever claimed it is not heard of again; or the clock was set back since. */
	run("UPDATE outbox SET claimed = claimed - 10001 WHERE number = 1");
	run("UPDATE outbox SET claimed = claimed + 60000 WHERE number = 2");
	ck_assert(waits());
	ck_assert(g_str_has_prefix(claim("two", 1), "1:"));
	ck_assert(g_str_has_prefix(claim("one", 9), "2:"));
}
END_TEST

static int
count_row(void *arg, const struct pn_row *row)
{
	*(int64_t *)arg = pn_row_int(row, 0);
	return 0;
}

static int64_t
rows(const char *where)
{
	char *sql = g_strdup_printf("SELECT COUNT(*) FROM outbox WHERE %s", where);
	struct pn_error err = { 0 };
	int64_t count = -1;

	ck_assert_msg(
	    db_query(db, &err, sql, PN_NO_VALUES, count_row, &count) == 0, "%s", err.text);
	g_free(sql);
	return count;
}

START_TEST(keys)
{
	struct pn_error err;

	ck_assert_int_eq(put("limits", "k", "a@x.example"), 0);
	ck_assert_int_eq(put("limits", "k", "b@x.example"), -EEXIST);
	ck_assert_int_eq(put("other", "k", "a@x.example"), 0);
	ck_assert_int_eq(put("limits", NULL, "a@x.example"), 0);
	for (int64_t number = 1; number <= 3; number++)
		ck_assert_int_eq(outbox_sent(db, number, &err), 0);
	/* Nothing is left but keys, which are still known. */
	ck_assert(!waits());
	ck_assert_int_eq(rows("1 = 1"), 2);
	ck_assert_int_eq(rows("recipients = '' AND subject = '' AND body = ''"), 2);
	ck_assert_int_eq(put("limits", "k", "a@x.example"), -EEXIST);
	ck_assert_int_eq(outbox_forget(db, &err), 0);
	ck_assert_int_eq(put("limits", "k", "a@x.example"), -EEXIST);
	run("UPDATE outbox SET sent = sent - 30 * 86400000 WHERE owner = 'limits'");
	ck_assert_int_eq(outbox_forget(db, &err), 0);
	ck_assert_int_eq(put("limits", "k", "a@x.example"), 0);
	ck_assert_int_eq(put("other", "k", "a@x.example"), -EEXIST);
}
END_TEST

START_TEST(refused)
{
	const char *const good[] = { "a@x.example" }, *const bad[] = { "a@x.example", "b" };
	const char *const breaks[] = { "a@x.example\nb@x.example" };
	const struct {
		struct pn_mail mail;
		const char *said;
	} rows[] = {
		{ { 8, NULL, NULL, 1, good, "s", "t" }, "size" },
		{ { sizeof(struct pn_mail), NULL, NULL, 0, NULL, "s", "t" },
		    "1 to 100 recipients" },
		{ { sizeof(struct pn_mail), NULL, NULL, 101, NULL, "s", "t" }, "this one 101" },
		{ { sizeof(struct pn_mail), NULL, NULL, 2, bad, "s", "t" }, "\"b\" is not a mail" },
		{ { sizeof(struct pn_mail), NULL, NULL, 1, breaks, "s", "t" },
		    "not a mail address" },
		{ { sizeof(struct pn_mail), NULL, "x", 1, good, "s", "t" }, "\"x\" is not a mail" },
		{ { sizeof(struct pn_mail), "", NULL, 1, good, "s", "t" }, "a key is" },
		{ { sizeof(struct pn_mail), "a\nb", NULL, 1, good, "s", "t" }, "a key is" },
		{ { sizeof(struct pn_mail), NULL, NULL, 1, good, "", "t" }, "a subject is" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct pn_error err = { 0 };

		ck_assert_int_eq(outbox_put(db, "limits", &rows[i].mail, &err), -EINVAL);
		ck_assert_msg(strstr(err.text, rows[i].said) != NULL, "%zu: %s", i, err.text);
	}
	ck_assert(!waits());
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("outbox");
	TCase *tcase = tcase_create("outbox");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, claims);
	tcase_add_test(tcase, keys);
	tcase_add_test(tcase, refused);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
