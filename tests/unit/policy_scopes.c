/* SPDX-License-Identifier: Apache-2.0 */
/* policy_scopes.c - unit tests of scoped settings: what a sender's hooks see, and what is refused.
 */
#include "policy_world.h"
#include "run.h"
#include <check.h>
#include <core/base/clock.h>
#include <core/policy/effective.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static struct world world;

static void
setup(void)
{
	FILE *file;

	world_open(&world);
	file = fopen(world_path(&world, "words"), "w");
	ck_assert_ptr_nonnull(file);
	fputs("read\nfrom\nfile\n", file);
	fclose(file);
	ck_assert_int_eq(chmod(world_path(&world, "words"), 0600), 0); /* or it is no secret */
}

static void
teardown(void)
{
	world_close(&world);
}

#define DIRECTORY \
	"directory:\n" \
	"  accounts: { clinic: { domains: [clinic.example, lab.example] } }\n" \
	"  groups: { doctors: [ada@clinic.example], nurses: [ada@clinic.example, bo@x.example] " \
	"}\n" \
	"  group_order: [nurses, doctors]\n"

#define TUNER "  - tuner\n"

/* The trace line of the entry at the message stage, without the number of what was prepared. */
static const char *
seen_by(const char *user, const char *sender)
{
	static char text[600];
	const char *line;
	char *number, *end;

	world_begin(&world);
	world.txn->facts.user = user;
	world.txn->envelope.sender = world.txn->envelope.original_sender = sender;
	world_message(&world, WORLD_MESSAGE);
	world_stage(&world, PN_STAGE_MESSAGE);
	line = chain_trace_text(world.txn);
	snprintf(text, sizeof(text), "%s", line);
	number = strchr(text, '#');
	if (number) {
		end = number + 1 + strspn(number + 1, "0123456789");
		memmove(number - 1, end, strlen(end) + 1);
	}
	return text;
}

/* ---- precedence and merging ------------------------------------------------------------------ */

#define LEVELS \
	DIRECTORY \
	"tuner:\n" \
	"  value: all\n" \
	"  words: [a, b]\n" \
	"  map: { k: base, own: [x] }\n" \
	"  accounts: { clinic: { value: account, map: { k: account } } }\n" \
	"  domains:\n" \
	"    Clinic.EXAMPLE: { value: domain, limits: { level: 2 } }\n" \
	"    other.example: { words: !file words, depths: { level: 9 } }\n" \
	"  groups:\n" \
	"    doctors: { value: doctors, words: doctor }\n" \
	"    nurses: { value: nurses, limits: { level: 3 } }\n" \
	"  users:\n" \
	"    Ada@clinic.example: { map: { k: ada, more: m } }\n" \
	"    eve@clinic.example: { value: eve, words: [], password: !file words }\n"

static const struct {
	const char *user, *sender, *seen;
} levels[] = {
	{ NULL, "x@unknown.example", "tuner pass all/b/1/1/0/k=base/own=x" },
	{ NULL, "", "tuner pass all/b/1/1/0/k=base/own=x" },
	{ NULL, "x@lab.example", "tuner pass account/b/1/1/0/k=account/own=x [account clinic]" },
	{ NULL, "x@clinic.example",
	    "tuner pass domain/b/2/1/0/k=account/own=x [domain clinic.example, account clinic]" },
	{ NULL, "X@CLINIC.example",
	    "tuner pass domain/b/2/1/0/k=account/own=x [domain clinic.example, account clinic]" },
	{ NULL, "x@other.example",
	    "tuner pass all/file/1/9/0/k=base/own=x [domain other.example]" },
	{ NULL, "bo@x.example", "tuner pass nurses/b/3/1/0/k=base/own=x [group nurses]" },
	{ NULL, "ada@clinic.example",
	    "tuner pass nurses/doctor/3/1/0/k=ada/own=x/more=m [user ada@clinic.example, group "
	    "nurses, group doctors, domain clinic.example, account clinic]" },
	{ NULL, "eve@clinic.example",
	    "tuner pass eve/-/2/1/14/k=account/own=x [user eve@clinic.example, domain "
	    "clinic.example, account clinic]" },
	/* who logged in, not who is said to send */
	{ "bo@x.example", "ada@clinic.example",
	    "tuner pass nurses/b/3/1/0/k=base/own=x [group nurses]" },
	{ "z@unknown.example", "ada@clinic.example", "tuner pass all/b/1/1/0/k=base/own=x" },
};

START_TEST(precedence)
{
	world_run(&world, TUNER, LEVELS);
	ck_assert_str_eq(seen_by(levels[_i].user, levels[_i].sender), levels[_i].seen);
}
END_TEST

START_TEST(before_the_sender_the_default_speaks)
{
	world_run(
	    &world, TUNER, "tuner: { value: all, users: { one@example.org: { value: mine } } }\n");
	world_begin(&world);
	world_stage(&world, PN_STAGE_HELO);
	ck_assert_ptr_nonnull(strstr(chain_trace_text(world.txn), "tuner pass all/"));
	world_stage(&world, PN_STAGE_SENDER);
	ck_assert_ptr_nonnull(strstr(chain_trace_text(world.txn), "tuner pass mine/"));
}
END_TEST

/* Bytes that hooks change do not change whose mail it is. */
START_TEST(an_edited_sender_keeps_its_scope)
{
	world_run(
	    &world, TUNER, "tuner: { value: all, users: { one@example.org: { value: mine } } }\n");
	world_begin(&world);
	world.txn->envelope.sender = "postmaster@example.net";
	world_message(&world, WORLD_MESSAGE);
	world_stage(&world, PN_STAGE_MESSAGE);
	ck_assert_ptr_nonnull(strstr(chain_trace_text(world.txn), "tuner pass mine/"));
}
END_TEST

/* ---- switches -------------------------------------------------------------------------------- */

static const struct {
	const char *section, *sender, *seen;
} switches[] = {
	{ "tuner: { value: v, users: { a@x.example: { enabled: no } } }\n", "a@x.example",
	    "tuner off [user a@x.example]" },
	{ "tuner: { value: v, users: { a@x.example: { enabled: no } } }\n", "b@x.example",
	    "tuner pass v/two/1/1/0" },
	{ "tuner: { value: v, enabled: no, users: { a@x.example: { enabled: yes } } }\n",
	    "a@x.example", "tuner pass v/two/1/1/0 [user a@x.example]" },
	{ "tuner: { value: v, enabled: no, users: { a@x.example: { enabled: yes } } }\n",
	    "b@x.example", "tuner off" },
	{ "tuner: { value: v, enabled: no, domains: { x.example: { enabled: yes } }, users: { "
	  "a@x.example: { enabled: off } } }\n",
	    "a@x.example", "tuner off [user a@x.example, domain x.example]" },
	{ "tuner: { value: v, enabled: no, domains: { x.example: { enabled: yes } }, users: { "
	  "a@x.example: { enabled: off } } }\n",
	    "b@x.example", "tuner pass v/two/1/1/0 [domain x.example]" },
	/* a required key that scopes alone give: off for the others */
	{ "tuner: { enabled: no, users: { a@x.example: { value: v, enabled: yes } } }\n",
	    "a@x.example", "tuner pass v/two/1/1/0 [user a@x.example]" },
	{ "tuner: { users: { a@x.example: { value: v } } }\n", "a@x.example",
	    "tuner pass v/two/1/1/0 [user a@x.example]" },
	{ "tuner: { users: { a@x.example: { value: v } } }\n", "b@x.example", "tuner off" },
	{ "tuner: { enabled: no, value: v }\n", "b@x.example", "" },
};

START_TEST(switched)
{
	world_run(&world, TUNER, switches[_i].section);
	ck_assert_str_eq(seen_by(NULL, switches[_i].sender), switches[_i].seen);
}
END_TEST

/* What was staged is told of its end by whoever staged it, switched off meanwhile or not. */
START_TEST(who_staged_hears_of_the_end)
{
	struct item *item;

	world_run(
	    &world, "  - stamper\n  - ledger\n", "stamper: { value: v }\nledger: { file: book }\n");
	world_begin(&world);
	world_message(&world, WORLD_MESSAGE);
	mail_envelope_add(&world.txn->envelope, &world.txn->arena, "two@example.org");
	ck_assert_int_eq(world_stage(&world, PN_STAGE_MESSAGE), RULING_PASS);
	item = txn_to_item(world.txn);
	world_run(&world, "  - stamper\n  - ledger\n",
	    "stamper: { value: v }\n"
	    "ledger: { file: book, users: { one@example.org: { enabled: no } } }\n");
	ck_assert_uint_eq(world_committed(&world, item), 0);
	ck_assert_ptr_nonnull(
	    strstr(world_file(&world, "book"), "committed ledger one@example.org"));
	item_free(&item);
}
END_TEST

/* ---- what is shared and kept ----------------------------------------------------------------- */

static enum effective_step
find(const struct chain_entry *entry, struct pn_txn *txn, struct effective **ret)
{
	struct scope_stack stack;

	return effective_find(entry, txn, PN_STAGE_SENDER, &stack, ret);
}

/* As a hook's thread does it; held. */
static struct effective *
make(const struct chain_entry *entry, struct pn_txn *txn)
{
	struct effective *ret;
	struct scope_stack stack;

	if (effective_find(entry, txn, PN_STAGE_SENDER, &stack, &ret) == EFFECTIVE_MAKE &&
	    effective_claim(entry, &stack, INT64_MAX, &ret) == EFFECTIVE_YOURS)
		ret = effective_make(entry, &stack);
	ck_assert_ptr_nonnull(ret);
	ck_assert_int_eq(effective_step(ret, PN_STAGE_SENDER), EFFECTIVE_ON);
	return ret;
}

START_TEST(the_same_overrides_share_their_settings)
{
	const struct chain_entry *entries;
	struct effective *first, *second, *third;

	world_run(&world, TUNER, LEVELS);
	generation_entries(world.generation, &entries);
	world_begin(&world);
	world.txn->envelope.original_sender = "x@lab.example";
	/* the module's own code does not run by the way */
	ck_assert_int_eq(find(entries, world.txn, &first), EFFECTIVE_MAKE);
	first = make(entries, world.txn);
	world.txn->envelope.original_sender = "y@lab.example";
	ck_assert_int_eq(find(entries, world.txn, &second), EFFECTIVE_ON);
	ck_assert_ptr_eq(first, second);
	world.txn->envelope.original_sender = "y@other.example";
	third = make(entries, world.txn);
	ck_assert_ptr_ne(third, first);
	ck_assert_ptr_ne(third->derived, first->derived);
	effective_release(&first);
	effective_release(&second);
	effective_release(&third);
	world.txn->envelope.original_sender = "y@unknown.example";
	ck_assert_int_eq(find(entries, world.txn, &third), EFFECTIVE_ON);
	ck_assert_ptr_null(third);
}
END_TEST

/* Who asks meanwhile waits as long as the maker was given, and not a moment more. */
START_TEST(nobody_waits_for_a_maker_who_is_late)
{
	const struct chain_entry *entries;
	struct effective *made, *found;
	struct scope_stack stack;
	int64_t now = clock_monotonic_ms();

	world_run(&world, TUNER, LEVELS);
	generation_entries(world.generation, &entries);
	world_begin(&world);
	world.txn->envelope.original_sender = "x@lab.example";
	effective_find(entries, world.txn, PN_STAGE_SENDER, &stack, &found);
	ck_assert_int_eq(effective_claim(entries, &stack, now + 50, &found), EFFECTIVE_YOURS);
	ck_assert_int_eq(effective_claim(entries, &stack, INT64_MAX, &found), EFFECTIVE_NOT_YET);
	ck_assert_int_ge(clock_monotonic_ms(), now + 50);
	ck_assert_int_eq(effective_claim(entries, &stack, 0, &found), EFFECTIVE_NOT_YET);
	made = effective_make(entries, &stack);
	ck_assert_int_eq(effective_claim(entries, &stack, 0, &found), EFFECTIVE_FOUND);
	ck_assert_ptr_eq(found, made);
	effective_release(&made);
	effective_release(&found);
}
END_TEST

#define THREADS 8
#define ROUNDS  300

static void *
find_many(void *arg)
{
	static const struct mail_facts facts = { .listener = "submission" };
	struct pn_txn *txn = txn_new(world.generation, &facts);
	const struct chain_entry *entries;
	struct effective *effective;
	char sender[60];

	generation_entries(world.generation, &entries);
	txn_begin(txn);
	for (int i = 0; i < ROUNDS; i++) {
		snprintf(sender, sizeof(sender), "u%d@x.example", i % 40);
		txn->envelope.original_sender = arena_text(&txn->arena, sender);
		effective = make(entries, txn);
		snprintf(sender, sizeof(sender), "value %d", i % 40);
		ck_assert_str_eq(*(const char *const *)effective->settings.values, sender);
		effective_release(&effective);
	}
	txn_free(&txn);
	return arg;
}

START_TEST(many_threads)
{
	struct buf sections = BUF_INIT(65536);
	pthread_t threads[THREADS];

	ck_assert_int_eq(buf_add_text(&sections, "tuner:\n  users:\n"), 0);
	for (int i = 0; i < 40; i++)
		ck_assert_int_eq(
		    buf_printf(&sections, "    u%d@x.example: { value: value %d }\n", i, i), 0);
	world_run(&world, TUNER, buf_text(&sections));
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, find_many, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	buf_free(&sections);
}
END_TEST

/* ---- mistakes -------------------------------------------------------------------------------- */

/* Sections begin in line 9. */
static const struct {
	const char *sections, *said;
} mistakes[] = {
	{ "tuner: { value: v, users: { a@x.example: { one: mine } } }\n",
	    ":9:44: tuner.users.a@x.example.one: is one for all and cannot be set per user\n" },
	{ "tuner: { value: v, domains: { x.example: { limits: { fixed: 2, level: 100 } } } }\n",
	    ":9:54: tuner.domains.x.example.limits.fixed: is one for all and cannot be set per "
	    "domain\n:9:71: tuner.domains.x.example.limits.level: \"100\" is out of range; write a "
	    "value from 0 to 99\n" },
	{ "tuner: { value: v, users: { a@x.example: { valu: mine } } }\n",
	    ":9:44: tuner.users.a@x.example: unknown option \"valu\"; did you mean \"value\"?\n" },
	{ "tuner: { value: v, usres: { a@x.example: { value: mine } } }\n",
	    ":9:20: tuner: unknown option \"usres\"; did you mean \"users\"?\n" },
	{ "tuner: { value: v, users: { ada: { value: a } }, domains: { a..b: {} } }\n",
	    ":9:29: tuner.users: \"ada\" is not an address; write for example ada@example.com\n"
	    ":9:61: tuner.domains: \"a..b\" is not a domain; write for example example.com\n" },
	{ "tuner: { value: v, users: { A@x.example: {}, a@X.example: {} } }\n",
	    ":9:46: tuner.users: \"a@x.example\" stands there already\n" },
	{ "tuner: { value: v, groups: { doctor: { value: a } }, accounts: { lab: {} } "
	  "}\n" DIRECTORY,
	    ":9:30: tuner.groups: no group is called \"doctor\"; define it in directory.groups; "
	    "did "
	    "you mean \"doctors\"?\n:9:66: tuner.accounts: no account is called \"lab\"; define it "
	    "in directory.accounts\n" },
	{ "tuner: { value: v, users: [a@x.example], domains: { x.example: yes } }\n",
	    ":9:27: tuner.users: must be a map, each user with the options that are different "
	    "there\n:9:64: tuner.domains.x.example: must be a map of options\n" },
	{ "tuner: { value: v, users: { a@x.example: { value: , depths: } } }\n",
	    ":9:51: tuner.users.a@x.example.value: has no value; write one, or leave the line out\n"
	    ":9:61: tuner.users.a@x.example.depths: has no value; write one, or leave the line "
	    "out\n" },
	/* complaints of the module, with the place of what it complains of, said once */
	{ "tuner: { value: v, users: { a@x.example: { bad: yes } } }\n",
	    ":9:49: tuner.users.a@x.example.bad: is refused\n" },
	{ "tuner: { value: v, bad: yes, users: { a@x.example: { value: w } } }\n",
	    ":9:25: tuner.bad: is refused\n" },
	{ "tuner: { value: v, users: { a@x.example: { value: unpreparable } } }\n",
	    ":9:42: tuner.users.a@x.example: cannot be prepared: Numerical argument out of "
	    "domain\n" },
	{ "tuner: { value: v, users: { a@x.example: { words: !file none } } }\n",
	    ":9:51: tuner.users.a@x.example.words: cannot read " },
	{ "tuner: { value: v, users: { a@x.example: { enabled: maybe } } }\n",
	    ":9:53: tuner.users.a@x.example.enabled: \"maybe\" is neither yes nor no\n" },
	{ "tuner: { value: v, enabled: [maybe], users: { a@x.example: {} } }\n",
	    ":9:29: tuner.enabled: must be yes or no\n" },
	/* a required key */
	{ "tuner: { users: { a@x.example: { words: w } } }\n",
	    ":9:32: tuner.users.a@x.example.value: is missing, and there is no default\n" },
	{ "tuner: { enabled: yes, users: { a@x.example: { value: w } } }\n",
	    ":9:8: tuner.value is missing, and there is no default\n" },
	{ "tuner: { words: w }\n", ":9:8: tuner.value: is missing, and there is no default\n" },
};

/* Every line of `said` stands in the diagnostics, behind a file's name. */
START_TEST(mistakes_have_their_place)
{
	const char *said, *want = mistakes[_i].said;

	ck_assert_int_eq(world_build(&world, 0, TUNER, mistakes[_i].sections), -EINVAL);
	said = world_diags(&world);
	while (*want) {
		size_t len = strcspn(want, "\n");
		char line[400];

		snprintf(line, sizeof(line), "test.yaml%.*s", (int)len, want);
		ck_assert_msg(strstr(said, line), "%s\nis not in\n%s", line, said);
		want += len + (want[len] == '\n');
	}
	/* and nothing is said twice */
	for (size_t i = 0, errors = 0, wanted = 0; said[i]; i++) {
		errors += said[i] == '\n' && i + 1 && !strstr(said, "warning");
		for (size_t k = wanted = 0; mistakes[_i].said[k]; k++)
			wanted += mistakes[_i].said[k] == '\n';
		if (wanted > 0 && !strstr(said, "warning"))
			ck_assert_msg(errors <= wanted, "%s", said);
	}
}
END_TEST

START_TEST(off_for_others_is_warned_of)
{
	world_run(&world, TUNER, "tuner: { users: { a@x.example: { value: v } } }\n");
	ck_assert_ptr_nonnull(strstr(world_diags(&world),
	    "test.yaml:9:8: warning: tuner.value is missing, so tuner is off for everybody whose "
	    "scope does not give it; enabled: no says that it is meant so"));
	world_run(&world, TUNER, "tuner: { enabled: no, users: { a@x.example: { value: v } } }\n");
	ck_assert_str_eq(world_diags(&world), "");
}
END_TEST

/* Settings that nobody could try beforehand: the entry cannot decide, and its on_fault speaks. */
START_TEST(what_does_not_fit_is_a_fault)
{
	world_run(&world, TUNER,
	    "tuner: { value: v, users: { a@x.example: { value: unpreparable } } }\n");
	ck_assert_str_eq(seen_by(NULL, "b@x.example"), "tuner pass v/two/1/1/0");
	ck_assert_ptr_nonnull(strstr(seen_by(NULL, "a@x.example"),
	    "tuner fault its settings for user a@x.example do not fit: "));
	ck_assert_int_eq(world.ruling.kind, RULING_DEFER);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof(*(a))))

int
main(void)
{
	Suite *suite = suite_create("policy scopes");
	TCase *tc = tcase_create("scopes");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, precedence, 0, COUNT(levels));
	tcase_add_test(tc, before_the_sender_the_default_speaks);
	tcase_add_test(tc, an_edited_sender_keeps_its_scope);
	tcase_add_loop_test(tc, switched, 0, COUNT(switches));
	tcase_add_test(tc, who_staged_hears_of_the_end);
	tcase_add_test(tc, the_same_overrides_share_their_settings);
	tcase_add_test(tc, nobody_waits_for_a_maker_who_is_late);
	tcase_add_test(tc, many_threads);
	tcase_add_loop_test(tc, mistakes_have_their_place, 0, COUNT(mistakes));
	tcase_add_test(tc, off_for_others_is_warned_of);
	tcase_add_test(tc, what_does_not_fit_is_a_fault);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
