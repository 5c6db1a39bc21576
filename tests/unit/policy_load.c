/* SPDX-License-Identifier: Apache-2.0 */
/* policy_load.c - unit tests of core/policy: loading modules, building generations, life cycle. */
#include "policy_world.h"
#include "run.h"
#include <check.h>
#include <core/base/buf.h>
#include <errno.h>
#include <stdlib.h>

static struct world world;

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

/* What is wrong with a pipeline; each must be said, and nothing else. */
static const struct {
	const char *pipeline, *sections, *said;
	unsigned errors;
} broken[] = {
	{ "  - stampr\n", "", "test.yaml:8:5: pipeline: there is no module \"stampr\" in", 1 },
	{ "  - stampr\n", "", "did you mean \"stamper\"?", 1 },
	{ "  - zzzzzzzzzz\n", "", "there is no module \"zzzzzzzzzz\" in", 1 },
	{ "  - no-function\n", "", "undefined symbol: pn_function_that_nobody_has", 1 },
	{ "  - no-symbol\n", "", "exports no no_symbol_LTX_postern_module", 1 },
	{ "  - wrong-abi\n", "", "built for module ABI 47, this Postern speaks 6", 1 },
	{ "  - wrong-size\n", "", "its tables are not those of module ABI 6", 1 },
	{ "  - wrong-name\n", "", "calls itself \"right-name\"", 1 },
	{ "  - twice\n", "", "two hooks at one stage", 1 },
	{ "  - stamper\n", "", "test.yaml:8:5: stamper.value: is missing", 1 },
	{ "  - stamper\n", "stamper: { value: x, valeu: y }\n",
	    "test.yaml:9:22: stamper: unknown option \"valeu\"", 1 },
	{ "  - stamper: { id: legal }\n", "stamper: { value: x }\nlegal: { value: y }\n",
	    "test.yaml:9:1: unknown section \"stamper\"", 1 },
	{ "  - stamper\n", "stamper: { value: x }\nrealy: { hostname: x }\n",
	    "test.yaml:10:1: unknown section \"realy\"; did you mean \"relay\"?", 1 },
	{ "  - slow\n", "slow: { anything: 1 }\n", "unknown option \"anything\"", 1 },
	{ "  - ledger\n  - stamper\n", "ledger: { file: x }\nstamper: { value: x }\n",
	    "test.yaml:8:5: pipeline: ledger needs \"stamper\" before it", 1 },
	{ "  - stamper\n  - ledger\n", "ledger: { file: x }\nstamper: { value: x, enabled: no }\n",
	    "pipeline: ledger needs \"stamper\" before it", 1 },
	{ "  - nosuchmodule\n  - wrong-abi\n  - stamper\n", "stamper: { value: x, b: 1 }\n",
	    "unknown option \"b\"", 3 },
	{ "  - auth\n", "auth: { mechanisms: [], backends: [] }\n",
	    "auth.mechanisms: is empty; then nobody can log in", 2 },
	{ "  - auth\n", "auth: { mechanisms: [plain, cram-md5] }\n", "cram-md5", 1 },
};

START_TEST(broken_pipelines_are_refused)
{
	const char *text;

	ck_assert_int_eq(
	    world_build(&world, PN_ROLE_RELAY, broken[_i].pipeline, broken[_i].sections), -EINVAL);
	text = world_diags(&world);
	ck_assert_msg(
	    strstr(text, broken[_i].said) != NULL, "\"%s\" is not in:\n%s", broken[_i].said, text);
	ck_assert_msg(world.diags.errors == broken[_i].errors, "%s", text);
	ck_assert_ptr_null(world.generation);
}
END_TEST

START_TEST(modules_of_the_first_abi_go_on_loading)
{
	world_run(&world, "  - first-abi\n", "");
	world_begin(&world);
	world_message(&world, WORLD_MESSAGE);
	ck_assert_int_eq(world_stage(&world, PN_STAGE_MESSAGE), RULING_PASS);
	ck_assert_mem_eq(world.txn->view->data, "X-Abi: 1\r\n", 10);
}
END_TEST

START_TEST(names_are_no_paths)
{
	static const char *const names[] = { "../modules/auth", "/etc/passwd", "", "-x", "A",
		"stamper.so", "a:b" };
	const struct pn_module *module = NULL;
	struct pn_error err = { 0 };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert_int_eq(loader_open(names[i], world.folder, &module, &err), -EINVAL);
	ck_assert_ptr_null(module);
	ck_assert_int_eq(loader_open("stamper", "/nonexistent::", &module, &err), -ENOENT);
}
END_TEST

START_TEST(a_second_load_gives_the_first)
{
	const struct chain_entry *first, *second;

	world_run(&world, "  - stamper\n  - stamper: { id: other }\n",
	    "stamper: { value: a }\nother: { value: b }\n");
	ck_assert_uint_eq(generation_entries(world.generation, &first), 2);
	ck_assert_ptr_eq(first[0].module, first[1].module);
	ck_assert_ptr_ne(first[0].settings.values, first[1].settings.values);
	world_run(&world, "  - stamper\n", "stamper: { value: a }\n");
	generation_entries(world.generation, &second);
	ck_assert_str_eq(second[0].module->name, "stamper");
	ck_assert_uint_eq(generation_number(world.generation), 2);
}
END_TEST

START_TEST(an_empty_pipeline_has_no_hooks)
{
	world_run(&world, "  []\n", "");
	for (int stage = PN_STAGE_CONNECT; stage < PN_STAGE_COUNT; stage++)
		ck_assert(!chain_has(world.generation, (enum pn_stage)stage));
}
END_TEST

START_TEST(conditions_on_what_is_not_known_yet_are_warned_of)
{
	world_run(&world, "  - slow: { when: { recipient_domain: [example.org] } }\n", "");
	ck_assert_uint_eq(world.diags.errors, 0);
	ck_assert_ptr_nonnull(
	    strstr(world_diags(&world), "warning: slow: does nothing at the stage \"helo\""));
	ck_assert_ptr_nonnull(strstr(world_diags(&world), "at the stage \"sender\""));
	world_run(&world, "  - slow: { when: { listener: [submission] } }\n", "");
	ck_assert_uint_eq(world.diags.count, 0);
}
END_TEST

#define LEDGER          "  - stamper\n  - ledger\n"
#define LEDGER_SECTIONS "stamper: { value: x }\nledger: { file: pages }\n"

/* start once whatever is reloaded, stop once it is gone from the pipeline. */
START_TEST(states_live_from_start_to_stop)
{
	const struct chain_entry *entries;
	void *state;

	world_run(&world, LEDGER, LEDGER_SECTIONS);
	ck_assert_str_eq(world_file(&world, "pages"), "start ledger (nothing)\n");
	generation_entries(world.generation, &entries);
	state = entries[1].state;
	world_run(&world, LEDGER, LEDGER_SECTIONS);
	generation_entries(world.generation, &entries);
	ck_assert_ptr_eq(entries[1].state, state);
	ck_assert_str_eq(world_file(&world, "pages"), "start ledger (nothing)\n");
	world_run(&world, "  - stamper\n", "stamper: { value: x }\n");
	ck_assert_str_eq(world_file(&world, "pages"), "start ledger (nothing)\nstop\n");
}
END_TEST

START_TEST(the_end_stops_once)
{
	struct generation *held;

	world_run(&world, LEDGER, LEDGER_SECTIONS);
	held = generation_hold(world.generation);
	generation_stop(world.generation);
	generation_stop(world.generation);
	generation_release(&held);
	generation_release(&world.generation);
	ck_assert_str_eq(world_file(&world, "pages"), "start ledger (nothing)\nstop\n");
}
END_TEST

START_TEST(what_has_started_is_stopped_when_another_cannot)
{
	ck_assert_int_eq(world_build(&world, PN_ROLE_RELAY, LEDGER "  - ledger: { id: second }\n",
			     LEDGER_SECTIONS "second: { file: no/such/folder }\n"),
	    -EINVAL);
	ck_assert_ptr_nonnull(strstr(world_diags(&world), "second: cannot start: cannot write"));
	ck_assert_str_eq(world_file(&world, "pages"), "start ledger (nothing)\nstop\n");
}
END_TEST

START_TEST(a_refused_configuration_leaves_the_old_one)
{
	struct generation *before;

	world_run(&world, LEDGER, LEDGER_SECTIONS);
	before = world.generation;
	ck_assert_int_eq(
	    world_build(&world, PN_ROLE_RELAY, LEDGER "  - nosuch\n", LEDGER_SECTIONS), -EINVAL);
	ck_assert_ptr_eq(world.generation, before);
	ck_assert_str_eq(world_file(&world, "pages"), "start ledger (nothing)\n");
}
END_TEST

START_TEST(checking_starts_nothing)
{
	ck_assert_int_eq(world_build(&world, 0, LEDGER, LEDGER_SECTIONS), 0);
	ck_assert_str_eq(world_file(&world, "pages"), "");
	world_run(&world, LEDGER, "stamper: { value: x }\nledger: { file: pages, enabled: no }\n");
	ck_assert_str_eq(world_file(&world, "pages"), "");
	ck_assert(!chain_has(world.generation, PN_STAGE_COMMITTED));
}
END_TEST

START_TEST(commands_are_found_by_their_words)
{
	char *good[] = { (char[]){ "user" }, (char[]){ "passwd" }, (char[]){ "a@b" }, NULL };
	const struct chain_entry *entry = NULL;
	struct pn_error err = { 0 };
	int words = 0;

	world_run(&world, "  - stamper\n  - auth\n", "stamper: { value: x }\n");
	ck_assert_ptr_nonnull(generation_command(world.generation, 3, good, &entry, &words));
	ck_assert_int_eq(words, 2);
	ck_assert_str_eq(entry->config->id, "auth");
	ck_assert_ptr_null(generation_command(world.generation, 1, good, &entry, &words));
	ck_assert_ptr_null(generation_command(world.generation, 2, good + 1, &entry, &words));
	ck_assert_int_eq(generation_command_run(world.generation, "root", entry,
			     entry->module->commands, NULL, 0, good + 3, &err),
	    -EINVAL);
	ck_assert_str_eq(err.text, "usage: posternctl user passwd [--scram|--hash] ADDRESS");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("policy_load");
	TCase *tests = tcase_create("load");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(
	    tests, broken_pipelines_are_refused, 0, sizeof(broken) / sizeof(broken[0]));
	tcase_add_test(tests, modules_of_the_first_abi_go_on_loading);
	tcase_add_test(tests, names_are_no_paths);
	tcase_add_test(tests, a_second_load_gives_the_first);
	tcase_add_test(tests, an_empty_pipeline_has_no_hooks);
	tcase_add_test(tests, conditions_on_what_is_not_known_yet_are_warned_of);
	tcase_add_test(tests, states_live_from_start_to_stop);
	tcase_add_test(tests, the_end_stops_once);
	tcase_add_test(tests, what_has_started_is_stopped_when_another_cannot);
	tcase_add_test(tests, a_refused_configuration_leaves_the_old_one);
	tcase_add_test(tests, checking_starts_nothing);
	tcase_add_test(tests, commands_are_found_by_their_words);
	suite_add_tcase(suite, tests);
	return unit_run(suite);
}
