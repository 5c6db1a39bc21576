/* SPDX-License-Identifier: Apache-2.0 */
/* config_directory.c - unit tests of the section `directory`: whom a sender belongs to. */
#include "config_memory.h"
#include "run.h"
#include <check.h>
#include <core/config/relay.h>
#include <core/config/roster.h>
#include <stdio.h>

#define PRINT \
	"0123456789abcdef0123456789abcdef" \
	"0123456789abcdef0123456789abcdef"
#define OTHER_PRINT \
	"1123456789abcdef0123456789abcdef" \
	"0123456789abcdef0123456789abcdef"
#define CAPITALS \
	"01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:" \
	"01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF"

static const char yaml[] =
    "relay: { hostname: r.example, listeners: [{ name: in, address: \"unix:/s\", tls: none }] }\n"
    "routes: [{ to: discard }]\n"
    "pipeline: []\n"
    "directory:\n"
    "  attribute_by: [user, certificate, network, helo, sender]\n"
    "  accounts:\n"
    "    clinic:\n"
    "      licences: 120\n"
    "      plan: premium\n"
    "      domains: [Clinic.Example, m\xc3\xbcnchen.example]\n"
    "      networks:\n"
    "        - { range: 192.0.2.0/24, description: Exchange }\n"
    "        - { range: \"1050:0000:0000:0000:0005:0600:300c:326b\" }\n"
    "        - { range: 198.51.100.0/24, enabled: no }\n"
    "    lab:\n"
    "      paid: no\n"
    "      domains: lab.example\n"
    "      certificates: [\"" CAPITALS "\"]\n"
    "      networks: [{ range: 192.0.2.64/26 }, { range: 198.51.0.0/17 }]\n"
    "    empty: {}\n"
    "  users:\n"
    "    Ada@clinic.example:\n"
    "      aliases: [ada.lovelace@clinic.example, countess@lab.example]\n"
    "      delegates: [bo@lab.example]\n"
    "    bo@lab.example: { title: Dr }\n"
    "    zoe@elsewhere.example: { account: lab }\n"
    "    gone@clinic.example: { enabled: no, aliases: [went@clinic.example] }\n"
    "  groups:\n"
    "    zebra: [ada@clinic.example]\n"
    "    nurses: [bo@lab.example, Ada@CLINIC.example, ada@clinic.example, gone@clinic.example]\n"
    "    doctors: [ada@clinic.example]\n"
    "    alpha: ada@clinic.example\n"
    "  delegations:\n"
    "    info@clinic.example: { users: [zoe@elsewhere.example], groups: [nurses] }\n"
    "  group_order: [nurses, doctors]\n";

static struct config_core core;
static struct roster *roster;
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
	roster = roster_of_directory(&core.directory);
}

static void
teardown(void)
{
	roster_release(&roster);
	settings_secrets_free(&secrets);
	arena_free(&arena);
}

static const struct {
	const char *user, *sender, *domain, *account, *groups;
} senders[] = {
	{ NULL, "ada@clinic.example", "clinic.example", "clinic", "nurses doctors alpha zebra " },
	{ NULL, "ADA@clinic.EXAMPLE", "clinic.example", "clinic", "nurses doctors alpha zebra " },
	{ NULL, "bo@lab.example", "lab.example", "lab", "nurses " },
	{ NULL, "x@m\xc3\xbcnchen.example", "xn--mnchen-3ya.example", "clinic", "" },
	{ NULL, "x@sub.lab.example", "sub.lab.example", "lab", "" }, /* S2-11 */
	{ NULL, "x@sublab.example", "sublab.example", NULL, "" },
	/* who logged in counts, not what is said at MAIL */
	{ "bo@lab.example", "ada@clinic.example", "lab.example", "lab", "nurses " },
	{ "bo@lab.example", "", "lab.example", "lab", "nurses " },
	{ NULL, "", "", NULL, "" },
	{ NULL, NULL, "", NULL, "" },
	{ NULL, "no address", "", NULL, "" },
	{ NULL, "postmaster", "", NULL, "" },
};

START_TEST(senders_have_a_scope)
{
	struct mail_facts facts = { .user = senders[_i].user };
	struct config_scope scope;
	char groups[200] = "";

	config_scope_find(roster, &facts, senders[_i].sender, &scope);
	ck_assert_str_eq(scope.domain, senders[_i].domain);
	ck_assert_int_eq(!scope.account, !senders[_i].account);
	if (scope.account)
		ck_assert_str_eq(scope.account, senders[_i].account);
	for (size_t k = 0; k < scope.group_count; k++) {
		strcat(groups, scope.groups[k]);
		strcat(groups, " ");
	}
	ck_assert_str_eq(groups, senders[_i].groups);
}
END_TEST

/* ---- whose mail is counted for whom (A3, S2-11, S2-12, S2-30, S2-32) ------------------------- */

static const struct {
	const char *user, *client, *helo, *sender;
	const char *account;
	enum pn_account_by by;
	const char *print;
} counted[] = {
	{ "ada@CLINIC.example", "192.0.2.70", "lab.example", "x@lab.example", "clinic",
	    PN_BY_USER },
	{ "zoe@elsewhere.example", NULL, NULL, NULL, "lab", PN_BY_USER },
	/* who has logged in is nobody else, wherever from */
	{ "eve@other.example", "192.0.2.7", "clinic.example", "x@clinic.example", NULL,
	    PN_BY_NOTHING },
	{ NULL, "192.0.2.7", "lab.example", "x@lab.example", "clinic", PN_BY_NETWORK },
	{ NULL, "192.0.2.64", NULL, NULL, "lab", PN_BY_NETWORK }, /* the narrowest */
	{ NULL, "192.0.2.127", NULL, NULL, "lab", PN_BY_NETWORK },
	{ NULL, "192.0.2.128", NULL, NULL, "clinic", PN_BY_NETWORK },
	{ NULL, "::ffff:192.0.2.128", NULL, NULL, "clinic", PN_BY_NETWORK },
	{ NULL, "198.51.100.1", NULL, NULL, "lab", PN_BY_NETWORK }, /* S2-30: the other is off */
	{ NULL, "198.51.200.1", NULL, NULL, NULL, PN_BY_NOTHING },
	{ NULL, "1050:0:0:0:5:600:300c:326b", NULL, NULL, "clinic", PN_BY_NETWORK },
	{ NULL, "1050::5:600:300c:326b", NULL, NULL, "clinic", PN_BY_NETWORK },
	{ NULL, "1050:0000:0000:0000:0005:0600:300C:326B", NULL, NULL, "clinic", PN_BY_NETWORK },
	{ NULL, "1050::5:600:300c:326c", NULL, NULL, NULL, PN_BY_NOTHING },
	{ NULL, "203.0.113.1", "mail.lab.example", "x@clinic.example", "lab", PN_BY_HELO },
	{ NULL, "203.0.113.1", "CLINIC.example", NULL, "clinic", PN_BY_HELO },
	{ NULL, "203.0.113.1", "[203.0.113.1]", "x@sub.clinic.example", "clinic", PN_BY_SENDER },
	{ NULL, "local", "other.example", "", NULL, PN_BY_NOTHING },
	/* a certificate goes before the network, and behind the user */
	{ NULL, "192.0.2.7", "clinic.example", NULL, "lab", PN_BY_CERTIFICATE, PRINT },
	{ NULL, "192.0.2.7", NULL, NULL, "clinic", PN_BY_NETWORK, OTHER_PRINT },
	{ "ada@clinic.example", NULL, NULL, NULL, "clinic", PN_BY_USER, PRINT },
	{ NULL, NULL, NULL, NULL, NULL, PN_BY_NOTHING },
};

START_TEST(mail_is_counted_for_an_account)
{
	const struct certificate certificate = { .subject = "", .fingerprint = counted[_i].print };
	struct mail_facts facts = { .user = counted[_i].user,
		.certificate = counted[_i].print ? &certificate : NULL,
		.client_address = counted[_i].client,
		.helo = counted[_i].helo };
	struct config_scope scope;

	config_scope_find(roster, &facts, counted[_i].sender, &scope);
	ck_assert_int_eq(scope.by, counted[_i].by);
	ck_assert_int_eq(!scope.counted, !counted[_i].account);
	if (!scope.counted)
		return;
	ck_assert_str_eq(scope.counted->name, counted[_i].account);
	ck_assert_str_eq(scope.account, counted[_i].account);
}
END_TEST

START_TEST(only_what_is_allowed_attributes)
{
	static const char *const words[] = { "network" };
	const struct mail_facts named = { .helo = "lab.example", .client_address = "203.0.113.1" };
	const struct mail_facts inside = { .client_address = "192.0.2.1" };
	const struct mail_facts known = { .user = "ada@clinic.example" };
	struct config_directory directory = core.directory;
	struct config_scope scope;
	struct roster *narrow;

	directory.attribute_by = (struct pn_strings){ 1, words };
	narrow = roster_of_directory(&directory);
	config_scope_find(narrow, &named, "x@clinic.example", &scope);
	ck_assert_ptr_null(scope.counted);
	ck_assert_str_eq(scope.account, "clinic"); /* whose settings hold is another question */
	config_scope_find(narrow, &known, NULL, &scope);
	ck_assert_ptr_null(scope.counted);
	config_scope_find(narrow, &inside, NULL, &scope);
	ck_assert_str_eq(scope.counted->name, "clinic");
	roster_release(&narrow);
}
END_TEST

START_TEST(accounts_say_what_they_have)
{
	const struct pn_account *clinic = roster_domain_account(roster, "X.clinic.EXAMPLE");
	const struct pn_account *lab = roster_account(roster, "lab");

	ck_assert_str_eq(clinic->name, "clinic");
	ck_assert_int_eq(clinic->licences, 120);
	ck_assert(clinic->paid);
	ck_assert_str_eq(clinic->plan, "premium");
	ck_assert_uint_eq(clinic->domain_count, 2);
	ck_assert_str_eq(clinic->domains[0], "clinic.example");
	ck_assert_str_eq(clinic->domains[1], "xn--mnchen-3ya.example");
	ck_assert_int_eq(lab->licences, 0);
	ck_assert(!lab->paid);
	ck_assert_ptr_null(lab->plan);
	ck_assert_ptr_null(roster_domain_account(roster, "example"));
	ck_assert_ptr_null(roster_domain_account(roster, "no domain"));
	ck_assert_ptr_null(roster_account(roster, "nobody"));
}
END_TEST

/* ---- who may use which address --------------------------------------------------------------- */

static const struct {
	const char *user, *address;
	enum pn_owns owns;
} owners[] = {
	{ "ada@clinic.example", "ADA@Clinic.example", PN_OWNS_SELF },
	{ "stranger@x.example", "stranger@x.example", PN_OWNS_SELF },
	{ "ada@clinic.example", "Ada.Lovelace@clinic.example", PN_OWNS_ALIAS },
	{ "ADA@clinic.example", "countess@lab.example", PN_OWNS_ALIAS },
	{ "bo@lab.example", "countess@lab.example", PN_OWNS_NOT },
	{ "bo@lab.example", "ada@clinic.example", PN_OWNS_DELEGATED },
	{ "ada@clinic.example", "bo@lab.example", PN_OWNS_NOT },
	{ "zoe@elsewhere.example", "info@clinic.example", PN_OWNS_DELEGATED },
	{ "bo@lab.example", "info@clinic.example", PN_OWNS_DELEGATED }, /* a nurse */
	{ "eve@clinic.example", "info@clinic.example", PN_OWNS_NOT },
	{ "gone@clinic.example", "gone@clinic.example", PN_OWNS_NOT },
	{ "gone@clinic.example", "went@clinic.example", PN_OWNS_NOT },
	{ "gone@clinic.example", "info@clinic.example", PN_OWNS_NOT },
	{ "", "", PN_OWNS_NOT },
	{ "no address", "no address", PN_OWNS_NOT },
};

START_TEST(users_own_addresses)
{
	ck_assert_int_eq(roster_owns(roster, owners[_i].user, owners[_i].address), owners[_i].owns);
}
END_TEST

START_TEST(users_are_known)
{
	ck_assert(roster_user(roster, "ADA@clinic.example")->enabled);
	ck_assert_str_eq(roster_user(roster, "bo@lab.example")->title, "Dr");
	ck_assert(!roster_user(roster, "gone@clinic.example")->enabled);
	ck_assert_ptr_null(roster_user(roster, "countess@lab.example"));
	ck_assert_ptr_null(roster_user(roster, ""));
	ck_assert(roster_in_group(roster, "BO@lab.example", "nurses"));
	ck_assert(!roster_in_group(roster, "bo@lab.example", "doctors"));
	ck_assert(!roster_in_group(roster, "gone@clinic.example", "nurses"));
	ck_assert(!roster_in_group(roster, "bo@lab.example", "no group"));
}
END_TEST

/* ---- mistakes -------------------------------------------------------------------------------- */

static const struct {
	const char *section, *says;
} wrong[] = {
	{ "accounts: { a: { networks: [{ range: 10.0.0.0/16 }] } }",
	    "warning: directory.accounts.a.networks[0].range: \"10.0.0.0/16\" holds 65536" },
	{ "accounts: { a: { networks: [{ range: 10.0.0.0/16, enabled: no }] } }", NULL },
	{ "accounts: { a: { networks: [{ range: 192.0.2.0/24 }] } }", NULL },
	{ "accounts: { a: { networks: [{ range: 10.0.0.0/15 }] } }",
	    "error: directory.accounts.a.networks[0].range: \"10.0.0.0/15\" holds more" },
	{ "accounts: { a: { networks: [{ range: \"2001:db8::/111\" }] } }",
	    "error: directory.accounts.a.networks[0].range: \"2001:db8::/111\" holds more" },
	{ "largest_network: 200000, accounts: { a: { networks: [{ range: 10.0.0.0/15 }] } }",
	    "warning: directory.accounts.a.networks[0].range: \"10.0.0.0/15\" holds 131072" },
	{ "accounts: { a: { networks: [{ range: \"::/0\" }] } }",
	    "error: directory.accounts.a.networks[0].range: \"::/0\" holds more" },
	{ "accounts: { a: { networks: [{ range: 10.1.1.1/24 }] } }",
	    "error: directory.accounts.a.networks[0].range: \"10.1.1.1/24\" is an address inside" },
	{ "accounts: { a: { networks: [{ range: 10.1.1.1 }] }, "
	  "b: { networks: [{ range: 10.1.1.1/32 }] } }",
	    "error: directory.accounts.b.networks[0].range: \"10.1.1.1/32\" is a network of the "
	    "account \"a\" already" },
	{ "accounts: { a: { networks: [{ range: 10.1.1.1 }] }, "
	  "b: { networks: [{ range: \"::ffff:10.1.1.1\" }] } }",
	    "error: directory.accounts.b.networks[0].range: \"::ffff:10.1.1.1\" is a network of" },
	{ "accounts: { a: { domains: [X.example] }, b: { domains: [x.example] } }",
	    "error: directory.accounts.b.domains[0]: \"x.example\" is a domain of the account" },
	{ "accounts: { a: { domains: [\"x example\"] } }",
	    "error: directory.accounts.a.domains[0]: \"x example\" is not a domain" },
	{ "users: { \"a@x.example\": { account: none } }",
	    "error: directory.users.a@x.example.account: no account is called \"none\"" },
	{ "users: { \"a@x.example\": {}, \"A@x.example\": {} }",
	    "error: directory.users.A@x.example: \"A@x.example\" is an address of" },
	{ "users: { \"a@x.example\": { aliases: [b@x.example] }, \"b@x.example\": {} }",
	    "error: directory.users.a@x.example.aliases[0]: \"b@x.example\" is an address of" },
	{ "users: { \"nobody\": {} }", "error: directory.users.nobody: \"nobody\" is not an" },
	{ "users: { \"a@x.example\": { delegates: [b] } }",
	    "error: directory.users.a@x.example.delegates[0]: \"b\" is not an address" },
	/* S0-19 */
	{ "accounts: { a: { licences: 1, domains: [x.example] } }, "
	  "users: { \"a@x.example\": {}, \"b@y.x.example\": {} }",
	    "error: directory.accounts.a.licences: 1 licences, and directory.users has 2" },
	{ "accounts: { a: { licences: 1, domains: [x.example] } }, "
	  "users: { \"a@x.example\": {}, \"b@x.example\": { enabled: no } }",
	    NULL },
	{ "delegations: { \"i@x.example\": { groups: [none] } }",
	    "error: directory.delegations.i@x.example.groups[0]: no group is called \"none\"" },
	{ "delegations: { \"i\": {} }", "error: directory.delegations.i: \"i\" is not an address" },
	{ "attribute_by: [user, sender]", "warning: directory.attribute_by[1]: whoever may send" },
	{ "attribute_by: [magic]", "error: directory.attribute_by[0]: \"magic\"" },
};

START_TEST(mistakes_are_told)
{
	static const char *const kinds[] = { [DIAG_ERROR] = "error", [DIAG_WARNING] = "warning" };
	struct diags diags = { 0 };
	struct config_core other;
	struct config_tree tree;
	struct memory memory;
	char text[1000], said[1000] = "";

	snprintf(text, sizeof(text),
	    "relay: { hostname: r.example, listeners: [{ name: in, address: \"unix:/s\", tls: none "
	    "}] "
	    "}\nroutes: [{ to: discard }]\npipeline: []\n"
	    "directory: { %s }\n",
	    wrong[_i].section);
	memory = memory_of(text, NULL);
	ck_assert_int_eq(config_tree_load(&tree, &memory.source, "c", &diags, NULL), 0);
	config_core_fill(&tree, &arena, &secrets, &diags, &other);
	for (size_t i = 0; i < diags.count; i++) {
		snprintf(
		    said, sizeof(said), "%s: %s", kinds[diags.items[i].kind], diags.items[i].text);
		if (wrong[_i].says && strncmp(said, wrong[_i].says, strlen(wrong[_i].says)) == 0) {
			ck_assert_uint_eq(diags.items[i].mark.line, 4);
			break;
		}
	}
	if (wrong[_i].says)
		ck_assert_msg(
		    strncmp(said, wrong[_i].says, strlen(wrong[_i].says)) == 0, "%s", said);
	else
		ck_assert_msg(diags.count == 0, "%s", said);
	config_tree_free(&tree);
	diags_free(&diags);
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
	struct roster *empty = roster_of_directory(&none);
	struct config_scope scope;

	config_scope_find(empty, NULL, "ada@clinic.example", &scope);
	ck_assert_str_eq(scope.user, "ada@clinic.example");
	ck_assert_ptr_null(scope.account);
	roster_release(&empty);
	config_scope_find(NULL, NULL, "ada@clinic.example", &scope);
	ck_assert_str_eq(scope.domain, "clinic.example");
	ck_assert_uint_eq(scope.group_count, 0);
	ck_assert_int_eq(roster_owns(NULL, "a@x.example", "a@x.example"), PN_OWNS_SELF);
	ck_assert_ptr_null(roster_user(NULL, "a@x.example"));
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
	struct config_subject subject = { .roster = roster,
		.sender = "rewritten@lab.example",
		.original_sender = whens[_i].sender };
	struct config_when when = whens[_i].when;

	config_when_settle(&when, &arena);
	ck_assert(when.given);
	ck_assert_int_eq(config_when_matches(&when, &subject), whens[_i].matches);
	subject.roster = NULL;
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
	tcase_add_loop_test(tc, mail_is_counted_for_an_account, 0, COUNT(counted));
	tcase_add_test(tc, only_what_is_allowed_attributes);
	tcase_add_test(tc, accounts_say_what_they_have);
	tcase_add_loop_test(tc, users_own_addresses, 0, COUNT(owners));
	tcase_add_test(tc, users_are_known);
	tcase_add_loop_test(tc, mistakes_are_told, 0, COUNT(wrong));
	tcase_add_test(tc, without_a_directory);
	tcase_add_loop_test(tc, spellings_are_one, 0, sizeof(spellings) / sizeof(*spellings));
	tcase_add_loop_test(tc, conditions, 0, COUNT(whens));
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
