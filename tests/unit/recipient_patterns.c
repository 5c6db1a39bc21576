/* SPDX-License-Identifier: Apache-2.0 */
/* recipient_patterns.c - tests of modules/common/patterns.c. */
#include "../../modules/common/patterns.h"
#include "run.h"
#include <check.h>
#include <core/mail/address.h>
#include <errno.h>

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

/* What the relay's executable gives to modules. */
int
pn_address_canonical(const char *address, char ret[PN_ADDRESS_SIZE])
{
	return mail_address_canonical(address, ret);
}

struct pn_check {
	char path[64];
};

void
pn_complain(struct pn_check *check, const char *path, const char *format, ...)
{
	(void)format;
	g_strlcpy(check->path, path, sizeof(check->path));
}

static int
compile(const char *item, struct pn_check *check, struct patterns *ret)
{
	const char *const items[] = { "first@example.org", item };
	struct pn_strings list = { 2, items };

	return patterns_compile(&list, "deny", check, ret);
}

static const struct {
	const char *pattern, *address;
	bool want;
} matches[] = {
	{ "ada@clinic.example", "ada@clinic.example", true },
	{ "ada@clinic.example", "Ada@Clinic.Example", true },
	{ "ADA@CLINIC.EXAMPLE", "ada@clinic.example", true },
	{ "ada@clinic.example", "\"ada\"@clinic.example", true },
	{ "ada@clinic.example", "ada@sub.clinic.example", false },
	{ "ada@clinic.example", "xada@clinic.example", false },
	{ "clinic.example", "ada@clinic.example", true },
	{ "clinic.example", "ada@CLINIC.example", true },
	{ "clinic.example", "ada@a.b.clinic.example", true },
	{ "clinic.example", "ada@notclinic.example", false },
	{ "clinic.example", "ada@clinic.example.evil", false },
	{ "clinic.example", "clinic.example@evil.example", false },
	{ "clinic.example", "\"x@clinic.example\"@evil.example", false },
	{ "*@clinic.example", "ada@clinic.example", true },
	{ "*@clinic.example", "ada@sub.clinic.example", false },
	{ "*@clinic.example", "\"a@b\"@clinic.example", true },
	{ "*.clinic.example", "ada@sub.clinic.example", true },
	{ "*.clinic.example", "ada@clinic.example", false },
	{ "*.clinic.example", "ada@evilclinic.example", false },
	{ "ada@*.clinic.example", "ada@sub.clinic.example", true },
	{ "ada@*.clinic.example", "bo@sub.clinic.example", false },
	{ "sales-*@clinic.example", "sales-de@clinic.example", true },
	{ "sales-*@clinic.example", "Sales-@clinic.example", true },
	{ "sales-*@clinic.example", "sales@clinic.example", false },
	{ "sales-*@clinic.example", "\"sales-@clinic.example\"@evil.example", false },
	{ "*a*b@x.*.example", "xaxxb@x.y.example", true },
	{ "*a*b@x.*.example", "xaxxbc@x.y.example", false },
	{ "*", "ada@clinic.example", true },
	{ "\xc3\xbc.example", "ada@xn--tda.example", true },
	{ "xn--tda.example", "ada@\xc3\x9c.example", true },
	{ "*.\xc3\xbc.example", "ada@a.xn--tda.example", true },
	{ "*@\xc3\xbc.example", "ada@xn--tda.example", true },
	{ "a*@\xc3\xbc.example", "ada@xn--tda.example", true },
	{ "\xc3\xa4"
	  "da@clinic.example",
	    "\xc3\x84"
	    "da@clinic.example",
	    true },
	{ "\xc3\xa4"
	  "da@clinic.example",
	    "a\xcc\x88"
	    "da@clinic.example",
	    true },
	{ "ada@[192.0.2.1]", "ada@[192.0.2.1]", true },
	{ "clinic.example", "postmaster", false },
	{ "clinic.example", "", false },
};

START_TEST(matching)
{
	struct pn_check check;
	struct patterns patterns;

	ck_assert_int_eq(compile(matches[_i].pattern, &check, &patterns), 0);
	ck_assert_int_eq(patterns_match(&patterns, matches[_i].address), matches[_i].want);
	ck_assert(patterns_match(&patterns, "first@example.org"));
	patterns_clear(&patterns);
}
END_TEST

static const char *const bad[] = { "", " ", "a b@example.org", "@example.org", "ada@", "a@b@c",
	"ada@-.example", "example..org", "*@ex ample.org", "a*@*.m\xc3\xbcn*.example", "\xff", "*@",
	"ada@\xff.example", "a*@ex_ample.org" };

START_TEST(bad_patterns)
{
	struct pn_check check = { "" };
	struct patterns patterns;

	ck_assert_int_eq(compile(bad[_i], &check, &patterns), -EINVAL);
	ck_assert_str_eq(check.path, "deny[1]");
	patterns_clear(&patterns);
}
END_TEST

START_TEST(nothing_matches_nothing)
{
	struct pn_strings none = { 0, NULL };
	struct patterns patterns;

	ck_assert_int_eq(patterns_compile(&none, "deny", NULL, &patterns), 0);
	ck_assert(!patterns_match(&patterns, "ada@clinic.example"));
	patterns_clear(&patterns);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("recipient_patterns");
	TCase *tcase = tcase_create("all");

	suite_add_tcase(suite, tcase);
	tcase_add_loop_test(tcase, matching, 0, COUNT(matches));
	tcase_add_loop_test(tcase, bad_patterns, 0, COUNT(bad));
	tcase_add_test(tcase, nothing_matches_nothing);
	return unit_run(suite);
}
