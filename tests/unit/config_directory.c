/* SPDX-License-Identifier: Apache-2.0 */
/* config_directory.c - unit tests of the section `directory`: whom a sender belongs to. */
#include "config_memory.h"
#include "run.h"
#include <check.h>
#include <core/config/relay.h>

static const char yaml[] =
    "relay: { hostname: r.example, listeners: [{ name: in, address: \"unix:/s\", tls: none }] }\n"
    "routes: [{ to: discard }]\n"
    "pipeline: []\n"
    "directory:\n"
    "  accounts:\n"
    "    clinic: { domains: [Clinic.Example, m\xc3\xbcnchen.example] }\n"
    "    lab: { domains: lab.example }\n"
    "    empty: {}\n"
    "  groups:\n"
    "    zebra: [ada@clinic.example]\n"
    "    nurses: [bo@lab.example, Ada@CLINIC.example, ada@clinic.example]\n"
    "    doctors: [ada@clinic.example]\n"
    "    alpha: ada@clinic.example\n"
    "  group_order: [nurses, doctors]\n";

static struct config_core core;
static struct config_directory *copy;
static struct arena arena;
static struct settings_secrets *secrets;

static void
setup(void)
{
	struct memory memory = memory_of(yaml, NULL);
	struct diags diags = { 0 };
	struct config_tree tree;

	ck_assert_int_eq(config_tree_load(&tree, &memory.source, "c", &diags, NULL), 0);
	ck_assert_int_eq(config_core_fill(&tree, &arena, &secrets, &diags, &core), 0);
	ck_assert_uint_eq(diags.errors, 0);
	config_tree_free(&tree);
	diags_free(&diags);
	copy = config_directory_copy(&core.directory, &arena);
}

static void
teardown(void)
{
	arena_free(&arena);
}

static const struct {
	const char *user, *sender, *domain, *account, *groups;
} senders[] = {
	{ NULL, "ada@clinic.example", "clinic.example", "clinic", "nurses doctors alpha zebra " },
	{ NULL, "ADA@clinic.EXAMPLE", "clinic.example", "clinic", "nurses doctors alpha zebra " },
	{ NULL, "bo@lab.example", "lab.example", "lab", "nurses " },
	{ NULL, "x@m\xc3\xbcnchen.example", "xn--mnchen-3ya.example", "clinic", "" },
	{ NULL, "x@sub.lab.example", "sub.lab.example", NULL, "" },
	/* who logged in counts, not what is said at MAIL */
	{ "bo@lab.example", "ada@clinic.example", "lab.example", "lab", "nurses " },
	{ "bo@lab.example", "", "lab.example", "lab", "nurses " },
	{ NULL, "", "", NULL, "" },
	{ NULL, NULL, "", NULL, "" },
	{ NULL, "no address", "", NULL, "" },
	{ NULL, "postmaster", "", NULL, "" },
};

static void
compare(const struct config_directory *directory, int i)
{
	struct config_scope scope;
	char groups[200] = "";

	config_scope_find(directory, senders[i].user, senders[i].sender, &scope);
	ck_assert_str_eq(scope.domain, senders[i].domain);
	ck_assert_int_eq(!scope.account, !senders[i].account);
	if (scope.account)
		ck_assert_str_eq(scope.account, senders[i].account);
	for (size_t k = 0; k < scope.group_count; k++) {
		strcat(groups, scope.groups[k]);
		strcat(groups, " ");
	}
	ck_assert_str_eq(groups, senders[i].groups);
}

START_TEST(senders_have_a_scope)
{
	compare(&core.directory, _i);
	compare(copy, _i);
}
END_TEST

static const struct {
	const char *given, *compared;
} spellings[] = {
	{ "ADA@CLINIC.example", "ada@clinic.example" },
	{ "\xc3\x84rzte@clinic.example", "\xc3\xa4rzte@clinic.example" },
	{ "a\xcc\x88rzte@clinic.example", "\xc3\xa4rzte@clinic.example" }, /* a, U+0308 */
	{ "A\xcc\x88RZTE@clinic.example", "\xc3\xa4rzte@clinic.example" },
	{ "\xce\xa3\xce\x9f\xce\xa6\xce\x9f\xce\xa3@x.example",
	    "\xcf\x83\xce\xbf\xcf\x86\xce\xbf\xcf\x83@x.example" }, /* both sigmas */
	{ "\xcf\x83\xce\xbf\xcf\x86\xce\xbf\xcf\x82@x.example",
	    "\xcf\x83\xce\xbf\xcf\x86\xce\xbf\xcf\x83@x.example" },
	{ "\xe1\x8e\xa0\xea\xad\xb1@x.example",
	    "\xe1\x8e\xa0\xe1\x8e\xa1@x.example" },       /* Cherokee, a capital and a small one */
	{ "\xe2\x84\xaa@x.example", "k@x.example" },      /* U+212A, the sign of Kelvin */
	{ "a\xcd\xbe@x.example", "a\xcd\xbe@x.example" }, /* U+037E would become ';' */
};

START_TEST(spellings_are_one)
{
	char once[MAIL_ADDRESS_SIZE], twice[MAIL_ADDRESS_SIZE];

	ck_assert_int_eq(config_scope_address(spellings[_i].given, once), 0);
	ck_assert_str_eq(once, spellings[_i].compared);
	ck_assert_int_eq(config_scope_address(once, twice), 0);
	ck_assert_str_eq(twice, once);
}
END_TEST

START_TEST(without_a_directory)
{
	struct config_directory none = { 0 };
	struct config_scope scope;

	config_scope_find(&none, NULL, "ada@clinic.example", &scope);
	ck_assert_str_eq(scope.user, "ada@clinic.example");
	ck_assert_ptr_null(scope.account);
	config_scope_find(NULL, NULL, "ada@clinic.example", &scope);
	ck_assert_str_eq(scope.domain, "clinic.example");
	ck_assert_uint_eq(scope.group_count, 0);
}
END_TEST

static const char *const one[] = { "nurses" }, *const two[] = { "zebra", "lab" };
#define LIST(name) \
	{ \
		sizeof(name) / sizeof(*(name)), name \
	}

static const struct {
	struct config_when when;
	const char *sender;
	bool matches;
} whens[] = {
	{ { .group = LIST(one) }, "ada@clinic.example", true },
	{ { .group = LIST(one) }, "Bo@lab.example", true },
	{ { .group = LIST(one) }, "eve@lab.example", false },
	{ { .group = LIST(one) }, "", false },
	{ { .group = LIST(one) }, NULL, false },
	{ { .account = LIST(two) }, "eve@lab.example", true },
	{ { .account = LIST(two) }, "eve@clinic.example", false },
	{ { .account = LIST(two) }, "eve@other.example", false },
	{ { .group = LIST(one), .account = LIST(two) }, "bo@lab.example", true },
	{ { .group = LIST(one), .account = LIST(two) }, "ada@clinic.example", false },
};

START_TEST(conditions)
{
	struct config_subject subject = { .directory = copy,
		.sender = "rewritten@lab.example",
		.original_sender = whens[_i].sender };
	struct config_when when = whens[_i].when;

	config_when_settle(&when, &arena);
	ck_assert(when.given);
	ck_assert_int_eq(config_when_matches(&when, &subject), whens[_i].matches);
	subject.directory = NULL;
	ck_assert(!config_when_matches(&when, &subject));
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof(*(a))))

int
main(void)
{
	Suite *suite = suite_create("config directory");
	TCase *tc = tcase_create("directory");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, senders_have_a_scope, 0, COUNT(senders));
	tcase_add_test(tc, without_a_directory);
	tcase_add_loop_test(tc, spellings_are_one, 0, sizeof(spellings) / sizeof(*spellings));
	tcase_add_loop_test(tc, conditions, 0, COUNT(whens));
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
