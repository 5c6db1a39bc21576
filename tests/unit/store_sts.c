/* SPDX-License-Identifier: Apache-2.0 */
/* store_sts.c - unit tests of what the database keeps of MTA-STS and of TLS counts. */
#include "run.h"
#include "tests/unit/store_folder.h"
#include <core/store/audit.h>
#include <core/store/sts.h>
#include <core/store/tls_counts.h>
#include <errno.h>
#include <glib.h>

static struct db *db;
static struct arena arena;
static struct pn_error err;
static GString *seen;

static void
setup(void)
{
	db = store_folder_open();
	ck_assert_int_eq(sts_migrate(db, &err), 0);
	ck_assert_int_eq(audit_migrate(db, &err), 0);
	ck_assert_int_eq(tls_counts_migrate(db, &err), 0);
	seen = g_string_new(NULL);
}

static void
teardown(void)
{
	arena_free(&arena);
	store_folder_close(&db);
	g_string_free(seen, TRUE);
}

static void
keep(const char *domain, int64_t fetched, int64_t expires)
{
	struct sts_kept kept = { domain, "1", "policy", fetched, expires };

	ck_assert_int_eq(sts_keep(db, &kept, &err), 0);
}

static void
note(void *arg, const char *domain)
{
	g_string_append_printf(seen, "%s ", domain);
}

START_TEST(policies)
{
	struct sts_kept kept = { "a.example", "id1", "version: STSv1\n", 10, 500 };

	ck_assert_int_eq(sts_find(db, "a.example", &arena, &kept, &err), -ENOENT);
	kept = (struct sts_kept){ "a.example", "id1", "version: STSv1\n", 10, 500 };
	ck_assert_int_eq(sts_keep(db, &kept, &err), 0);
	kept.id = "id2";
	ck_assert_int_eq(sts_keep(db, &kept, &err), 0);
	ck_assert_int_eq(sts_find(db, "a.example", &arena, &kept, &err), 0);
	ck_assert_str_eq(kept.id, "id2");
	ck_assert_str_eq(kept.policy, "version: STSv1\n");
	ck_assert_int_eq(kept.fetched_us, 10);
	ck_assert_int_eq(kept.expires_us, 500);
}
END_TEST

START_TEST(policies_that_are_due)
{
	keep("new", 200, 500);
	keep("old", 10, 500);
	keep("older", 5, 500);
	keep("over", 1, 90);
	ck_assert_int_eq(sts_due(db, 100, 110, 1, note, NULL, &err), 0);
	ck_assert_str_eq(seen->str, "older ");
	ck_assert_int_eq(sts_due(db, 100, 110, 5, note, NULL, &err), 0);
	ck_assert_str_eq(seen->str, "older old ");
	ck_assert_int_eq(sts_due(db, 100, 110, 5, note, NULL, &err), 0);
	ck_assert_str_eq(seen->str, "older old ");
}
END_TEST

/* What holds is not dropped while there is something that does not. */
START_TEST(policies_are_bounded)
{
	struct sts_kept kept;
	char name[32];

	ck_assert_int_eq(db_run(db, &err,
			     "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
			     "WHERE i < ?1) INSERT INTO sts_policies SELECT 'd' || i, '1', 'p', "
			     "100 + i, 1000000, 0 FROM n",
			     PN_VALUES(PN_INT(STS_KEPT_MOST - 1))),
	    0);
	keep("oldest", 1, 1000000);
	keep("over", 150, 120);
	ck_assert_int_eq(sts_find(db, "oldest", &arena, &kept, &err), 0);
	keep("x", 20000, 1000000);
	ck_assert_int_eq(sts_find(db, "over", &arena, &kept, &err), -ENOENT);
	keep("y", 20000, 1000000);
	ck_assert_int_eq(sts_find(db, "oldest", &arena, &kept, &err), -ENOENT);
	snprintf(name, sizeof(name), "d%d", STS_KEPT_MOST - 1);
	ck_assert_int_eq(sts_find(db, name, &arena, &kept, &err), 0);
	ck_assert_int_eq(sts_find(db, "y", &arena, &kept, &err), 0);
}
END_TEST

static void
show(void *arg, const struct sts_override *override)
{
	g_string_append_printf(seen, "%s=%s/%lld/%s ", override->domain, override->mode,
	    (long long) override->until_us, override->who);
}

static int
show_audit(void *arg, const struct audit_row *row)
{
	g_string_append_printf(seen, "%s|%s|%s|%s|%s\n", row->who, row->action, row->scope,
	    row->before ? row->before : "-", row->after ? row->after : "-");
	return 0;
}

/* C06 */
START_TEST(overrides_are_audited)
{
	struct sts_override override = { "b.example", "testing", 86400000000, "ada" };
	int64_t version;

	ck_assert_int_eq(sts_override_remove(db, "b.example", "eve", &err), -ENOENT);
	ck_assert_int_eq(sts_override_set(db, &override, &err), 0);
	override.mode = "none";
	ck_assert_int_eq(sts_override_set(db, &override, &err), 0);
	ck_assert_int_eq(sts_overrides_each(db, show, NULL, &err), 0);
	ck_assert_str_eq(seen->str, "b.example=none/86400000000/ada ");
	ck_assert_int_eq(sts_overrides_version(db, &version, &err), 0);
	ck_assert_int_eq(version, 2);
	ck_assert_int_eq(sts_override_remove(db, "b.example", "bob", &err), 0);
	g_string_truncate(seen, 0);
	ck_assert_int_eq(audit_each(db, 10, show_audit, NULL, &err), 0);
	ck_assert_str_eq(seen->str,
	    "ada|sts override|domain b.example|-|testing until 1970-01-02T00:00:00.000Z\n"
	    "ada|sts override|domain b.example|testing until 1970-01-02T00:00:00.000Z|"
	    "none until 1970-01-02T00:00:00.000Z\n"
	    "bob|sts remove|domain b.example|none until 1970-01-02T00:00:00.000Z|-\n");
}
END_TEST

static int
show_count(void *arg, const struct tls_count *count)
{
	g_string_append_printf(seen, "%s/%s/%s/%s/%s/%s=%lld ", count->domain, count->type,
	    count->result, count->host, count->sent_by, count->address, (long long)count->number);
	return 0;
}

static int
show_policy(void *arg, const struct tls_count_policy *policy)
{
	g_string_append(seen, policy->text);
	return 0;
}

START_TEST(counts)
{
	struct tls_count some[] = {
		{ 20000, "a.example", "sts", "", "mx", "192.0.2.1", "192.0.2.2", 3 },
		{ 20000, "a.example", "sts", "certificate-expired", "mx", "", "", 1 },
		{ 20001, "b.example", "no-policy-found", "", "mx", "", "", 1 },
	};
	struct tls_count_policy policy = { 20000, "a.example", "sts", "mode: enforce\n", "mx\n" };
	int64_t dropped;

	ck_assert_int_eq(tls_counts_add(db, some, 3, &policy, 1, &dropped, &err), 0);
	ck_assert_int_eq(tls_counts_add(db, some, 2, &policy, 1, &dropped, &err), 0);
	ck_assert_int_eq(dropped, 0);
	ck_assert_int_eq(tls_counts_each(db, 20000, NULL, show_count, NULL, &err), 0);
	ck_assert_str_eq(seen->str, "a.example/sts//mx/192.0.2.1/192.0.2.2=6 "
				    "a.example/sts/certificate-expired/mx//=2 ");
	g_string_truncate(seen, 0);
	ck_assert_int_eq(
	    tls_counts_policy(db, 20000, "a.example", "sts", show_policy, NULL, &err), 0);
	ck_assert_str_eq(seen->str, "mode: enforce\n");
	g_string_truncate(seen, 0);
	ck_assert_int_eq(tls_counts_forget(db, 20001, &err), 0);
	ck_assert_int_eq(tls_counts_each(db, 20000, "a.example", show_count, NULL, &err), 0);
	ck_assert_int_eq(
	    tls_counts_policy(db, 20000, "a.example", "sts", show_policy, NULL, &err), 0);
	ck_assert_str_eq(seen->str, "");
	ck_assert_int_eq(tls_counts_each(db, 20001, "b.example", show_count, NULL, &err), 0);
	ck_assert_str_eq(seen->str, "b.example/no-policy-found//mx//=1 ");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_sts");
	TCase *tcase = tcase_create("sts");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, policies);
	tcase_add_test(tcase, policies_that_are_due);
	tcase_add_test(tcase, policies_are_bounded);
	tcase_add_test(tcase, overrides_are_audited);
	tcase_add_test(tcase, counts);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
