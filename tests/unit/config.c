/* SPDX-License-Identifier: Apache-2.0 */
/* config.c - unit tests of core/config: trees and the filling of settings. */
#include "config_memory.h"
#include "run.h"
#include <check.h>
#include <core/config/settings.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- a struct with everything in it ---- */

struct inner {
	const char *name;
	int64_t count;
};
struct part {
	const char *text;
	struct pn_strings words;
};
struct all {
	const char *string, *path, *fallback;
	bool flag;
	int64_t number, size, time;
	int choice;
	const struct pn_secret *secret;
	struct inner group;
	struct inner asked;
	struct pn_strings strings, words;
	struct pn_list list, tagged;
	struct pn_map map, lists;
};

static const struct pn_choice colours[] = { { "red", 7, NULL }, { "green", 8, NULL },
	{ NULL, 0, NULL } };

static const struct pn_option inner_options[] = { PN_OPT_STRING("name", struct inner, name, NULL,
						      PN_REQUIRED, "A name."),
	PN_OPT_INT("count", struct inner, count, "3", -5, 5, 0, "A count."), PN_OPT_END };
static const struct pn_option part_options[] = { PN_OPT_STRING("reject", struct part, text, NULL,
						     PN_REQUIRED, "Refuse with this text."),
	PN_OPT_STRINGS("tag", struct part, words, NULL, 0, "Put these tags on it."), PN_OPT_END };
static const struct pn_option words_options[] = {
	{ .help = "Words.", .type = PN_TYPE_STRINGS },
	PN_OPT_END,
};
static const struct pn_option all_options[] = { PN_OPT_STRING("string", struct all, string, NULL, 0,
						    "A text."),
	PN_OPT_STRING("path", struct all, path, NULL, PN_PATH, "A path."),
	PN_OPT_STRING("fallback", struct all, fallback, "given", 0, "A text with a default."),
	PN_OPT_BOOL("flag", struct all, flag, "yes", 0, "A flag."),
	PN_OPT_INT("number", struct all, number, "-1", 0, 0, 0, "A number."),
	PN_OPT_SIZE("size", struct all, size, "1k", 1, 1 << 30, 0, "A size."),
	PN_OPT_DURATION("time", struct all, time, "20s", 0, 0, 0, "A duration."),
	PN_OPT_CHOICE("choice", struct all, choice, "green", colours, 0, "A colour."),
	PN_OPT_SECRET("secret", struct all, secret, 0, "A secret."),
	PN_OPT_GROUP("group", struct all, group, struct inner, inner_options, 0, "A group."),
	PN_OPT_GROUP("asked", struct all, asked, struct inner, inner_options, 0, "Another."),
	PN_OPT_STRINGS("strings", struct all, strings, "[a, b]", 0, "Texts."),
	PN_OPT_WORDS("words", struct all, words, "green", colours, 0, "Colours."),
	PN_OPT_LIST("list", struct all, list, struct inner, inner_options, 0, "A list."),
	PN_OPT_UNION("then", struct all, tagged, struct part, part_options, 0, "Actions."),
	PN_OPT_MAP("map", struct all, map, struct inner, inner_options, 0, "A map."),
	PN_OPT_MAP("lists", struct all, lists, struct pn_strings, words_options, 0, "Lists."),
	PN_OPT_END };

struct run {
	struct memory memory;
	struct config_tree tree;
	struct diags diags;
	struct arena arena;
	struct settings_secrets *secrets;
	struct settings settings;
	struct buf said;
};

static void
run_say(struct run *run)
{
	diags_sort(&run->diags);
	for (size_t i = 0; i < run->diags.count; i++)
		ck_assert_int_eq(buf_printf(&run->said, "%s%s", i ? "\n" : "",
				     diag_format(&run->diags.items[i], &run->arena)),
		    0);
}

static void
run_load(struct run *run, const char *text, const char *other)
{
	*run = (struct run){ .memory = memory_of(text, other), .said = BUF_INIT(65536) };
	ck_assert_int_eq(
	    config_tree_load(&run->tree, &run->memory.source, "c/", &run->diags, NULL), 0);
}

/* The section "m"; the tree is dropped before anything is looked at. */
static const struct all *
run_fill(struct run *run, const char *text)
{
	run_load(run, text, NULL);
	settings_fill(&run->tree, "m", config_node_get(run->tree.root, "m"), run->tree.root->mark,
	    all_options, sizeof(struct pn_option), sizeof(struct all), &run->arena, &run->secrets,
	    &run->diags, &run->settings);
	config_tree_free(&run->tree);
	run_say(run);
	return run->settings.values;
}

static const char *
run_said(struct run *run)
{
	return run->said.len ? buf_text(&run->said) : "";
}

static void
run_free(struct run *run)
{
	config_tree_free(&run->tree);
	diags_free(&run->diags);
	arena_free(&run->arena);
	settings_secrets_free(&run->secrets);
	buf_free(&run->said);
}

/* ---- filling ---- */

START_TEST(defaults)
{
	struct run run;
	const struct all *all = run_fill(&run, "other: 1\n");

	ck_assert_str_eq(run_said(&run), "");
	ck_assert_ptr_null(all->string);
	ck_assert_str_eq(all->fallback, "given");
	ck_assert(all->flag);
	ck_assert_int_eq(all->number, -1);
	ck_assert_int_eq(all->size, 1024);
	ck_assert_int_eq(all->time, 20000);
	ck_assert_int_eq(all->choice, 8);
	ck_assert_ptr_null(all->secret);
	ck_assert_int_eq(all->group.count, 3);
	ck_assert_uint_eq(all->strings.count, 2);
	ck_assert_str_eq(all->strings.items[1], "b");
	ck_assert_uint_eq(all->words.count, 1);
	ck_assert_uint_eq(all->list.count, 0);
	run_free(&run);
}
END_TEST

START_TEST(everything)
{
	struct run run;
	char here[500];
	const struct inner *inner;
	const struct pn_tagged *tagged;
	const struct pn_strings *strings;
	const struct all *all = run_fill(&run,
	    "m:\n  enabled: no\n  string: !file one\n  path: x/y\n  fallback: \"\"\n  flag: Off\n"
	    "  number: -9\n  size: 2M\n  time: 1h\n  choice: red\n  secret: !file /abs/secret\n"
	    "  group: { name: n, count: -5 }\n  strings: !file words\n  words: [red, green]\n"
	    "  list:\n    - { name: a }\n    - { name: \"null\", count: 5 }\n"
	    "  then: [reject: \"no\", tag: [x, y], tag]\n"
	    "  map: { k: { name: v }, l.m: { name: w } }\n  lists: { one: a, two: [b, c] }\n");

	ck_assert_str_eq(run_said(&run), "");
	ck_assert_str_eq(all->string, "one line");
	ck_assert_ptr_nonnull(getcwd(here, sizeof(here) - 10));
	strcat(here, "/c/x/y");
	ck_assert_str_eq(all->path, here);
	ck_assert_str_eq(all->fallback, "");
	ck_assert(!all->flag);
	ck_assert_int_eq(all->number, -9);
	ck_assert_int_eq(all->size, 2 << 20);
	ck_assert_int_eq(all->time, 3600000);
	ck_assert_int_eq(all->choice, 7);
	ck_assert(pn_slice_equals(pn_secret_bytes(all->secret), pn_slice_of("two\nlines")));
	ck_assert_str_eq(all->group.name, "n");
	ck_assert_int_eq(all->group.count, -5);
	ck_assert_uint_eq(all->strings.count, 3);
	ck_assert_str_eq(all->strings.items[1], "second");
	ck_assert_uint_eq(all->words.count, 2);
	inner = all->list.items;
	ck_assert_uint_eq(all->list.count, 2);
	ck_assert_int_eq(inner[0].count, 3);
	ck_assert_str_eq(inner[1].name, "null");
	tagged = all->tagged.items;
	ck_assert_uint_eq(all->tagged.count, 3);
	ck_assert_int_eq(tagged[0].tag, 0);
	ck_assert_str_eq(((const struct part *)tagged[0].value)->text, "no");
	ck_assert_int_eq(tagged[1].tag, 1);
	ck_assert_uint_eq(((const struct part *)tagged[1].value)->words.count, 2);
	ck_assert_ptr_null(tagged[2].value);
	inner = all->map.values;
	ck_assert_str_eq(all->map.keys[1], "l.m");
	ck_assert_str_eq(inner[1].name, "w");
	strings = all->lists.values;
	ck_assert_str_eq(strings[0].items[0], "a");
	ck_assert_str_eq(strings[1].items[1], "c");
	run_free(&run);
}
END_TEST

static const struct {
	const char *text, *said;
} refused[] = {
	{ "m: { sting: x }",
	    "c/a.yaml:1:6: m: unknown option \"sting\"; did you mean \"string\"?" },
	{ "m: [a]", "c/a.yaml:1:4: m: must be a map of options" },
	{ "m: { string: { a: b } }", "c/a.yaml:1:14: m.string: must be a text, not a map" },
	{ "m: { number: 0x10 }", "c/a.yaml:1:14: m.number: \"0x10\" is not a whole number" },
	{ "m: { number: 9223372036854775808 }",
	    "c/a.yaml:1:14: m.number: \"9223372036854775808\" is too large" },
	{ "m: { size: -1 }", "c/a.yaml:1:12: m.size: \"-1\" is not a size; write for example 64k" },
	{ "m: { size: 0 }",
	    "c/a.yaml:1:12: m.size: \"0\" is out of range; write a value from 1 to 1g" },
	{ "m: { size: 9000000t }", "c/a.yaml:1:12: m.size: \"9000000t\" is too large" },
	{ "m: { time: 5 }",
	    "c/a.yaml:1:12: m.time: \"5\" is not a duration; write for example 20s" },
	{ "m: { flag: 1 }", "c/a.yaml:1:12: m.flag: \"1\" is neither yes nor no" },
	{ "m: { choice: rd }",
	    "c/a.yaml:1:14: m.choice: \"rd\" is not known here; did you mean \"red\"?" },
	{ "m: { words: [red, pink] }",
	    "c/a.yaml:1:19: m.words[1]: \"pink\" is not known here; known: red, green" },
	{ "m: { words: !file words }",
	    "c/a.yaml:1:13: m.words: what !file words gives is not known here; known: red, green" },
	{ "m: { secret: abc }", "c/a.yaml:1:14: m.secret: a secret must not stand in the YAML; "
				"write !file PATH or !env NAME" },
	{ "m: { secret: !file open }", "c/a.yaml:1:14: m.secret: everybody can read open, so it is "
				       "no secret; run chmod o-r on "
				       "it" },
	{ "m: { secret: !file empty }",
	    "c/a.yaml:1:14: m.secret: what !file empty gives is empty" },
	{ "m: { secret: !file none }", "c/a.yaml:1:14: m.secret: cannot read c/none" },
	{ "m: { size: !file secret }", "c/a.yaml:1:12: m.size: what !file secret gives is not a "
				       "size; write for example 64k" },
	{ "m: { string: !file binary }",
	    "c/a.yaml:1:14: m.string: what !file binary gives is not a text in UTF-8" },
	{ "m: { string: !env POSTERN_NO_SUCH_NAME }",
	    "c/a.yaml:1:14: m.string: !env POSTERN_NO_SUCH_NAME: the environment has no such "
	    "name" },
	{ "m: { path: !file one }",
	    "c/a.yaml:1:12: m.path: this is a path; write it without !file, "
	    "which would read the file" },
	{ "m: { path: \"\" }", "c/a.yaml:1:12: m.path: a path must not be empty" },
	{ "m: { string: }",
	    "c/a.yaml:1:14: m.string: has no value; write a text, or leave the line out" },
	{ "m: { strings: { a: b } }",
	    "c/a.yaml:1:15: m.strings: must be a list of texts, not a map" },
	{ "m: { strings: [a, [b], ~] }", "c/a.yaml:1:19: m.strings[1]: must be a text, not a list\n"
					 "c/a.yaml:1:24: m.strings[2]: has no value" },
	{ "m: { group: { count: 6 } }",
	    "c/a.yaml:1:13: m.group.name: is missing, and there is no default\n"
	    "c/a.yaml:1:22: m.group.count: \"6\" is out of range; write a value from -5 to 5" },
	{ "m: { list: [{}] }",
	    "c/a.yaml:1:13: m.list[0].name: is missing, and there is no default" },
	{ "m: { list: [a] }", "c/a.yaml:1:13: m.list[0]: must be a map of options" },
	{ "m: { list: { name: a } }",
	    "c/a.yaml:1:12: m.list: must be a list, each item behind \"- \"" },
	{ "m: { then: [reject] }",
	    "c/a.yaml:1:13: m.then[0].reject: is missing, and there is no default" },
	{ "m: { then: [rejct: x, { tag: a, reject: b }] }",
	    "c/a.yaml:1:13: m.then[0]: unknown word \"rejct\"; did you mean \"reject\"?\n"
	    "c/a.yaml:1:23: m.then[1]: must be one word, or one \"word: value\"" },
	{ "m: { map: { k: { nam: x } } }",
	    "c/a.yaml:1:16: m.map.k.name: is missing, and there is no default\n"
	    "c/a.yaml:1:18: m.map.k: unknown option \"nam\"; did you mean \"name\"?" },
	{ "m: { string: \"\xc3\xa4\xe2\x82\xac\xf0\x9f\x8e\x89\", x: 1 }",
	    "c/a.yaml:1:21: m: unknown option \"x\"; known: string, path, fallback, flag, number, "
	    "size, time, choice, secret, group, asked, strings, words, list, then, map, lists" },
	{ "\xef\xbb\xbfm: { number: x }", "c/a.yaml:1:14: m.number: \"x\" is not a whole number" },
};

START_TEST(refuses)
{
	struct run run;

	run_fill(&run, refused[_i].text);
	ck_assert_str_eq(run_said(&run), refused[_i].said);
	run_free(&run);
}
END_TEST

START_TEST(secrets_stay_out_of_complaints)
{
	struct run run;

	setenv("POSTERN_TEST_NAME", "s3cret", 1);
	run_fill(&run, "m: { choice: !env POSTERN_TEST_NAME, secret: s3cret, time: !file secret }");
	ck_assert_uint_eq(run.diags.errors, 3);
	ck_assert_ptr_null(strstr(run_said(&run), "s3cret"));
	run_free(&run);
}
END_TEST

static const struct {
	const char *path;
	unsigned line, column;
} paths[] = {
	{ "", 2, 3 },
	{ "list[1].count", 4, 35 },
	{ "list[1].nothing", 4, 17 },
	{ "list[7].name", 3, 9 },
	{ "map.a.b.name", 5, 23 },
	{ "map.a.name", 5, 8 },
	{ "string[0]", 2, 11 },
	{ "then[0].reject", 6, 19 },
	{ "nowhere", 2, 3 },
};

START_TEST(marks_by_path)
{
	struct run run;
	struct config_mark mark;

	run_fill(&run, "m:\n  string: a\n  list: [{ name: a },\n"
		       "                { name: b, count: 2 }]\n  map: { a.b: { name: c } }\n"
		       "  then: [ reject: d ]\n");
	ck_assert_str_eq(run_said(&run), "");
	mark = settings_mark(&run.settings, paths[_i].path);
	ck_assert_str_eq(mark.file, "c/a.yaml");
	ck_assert_uint_eq(mark.line, paths[_i].line);
	ck_assert_uint_eq(mark.column, paths[_i].column);
	run_free(&run);
}
END_TEST

START_TEST(complaints_of_modules)
{
	struct run run;
	struct pn_check check;

	run_fill(&run, "m: { list: [{ name: a }] }");
	check = (struct pn_check){ &run.settings, "m", &run.diags };
	pn_complain(&check, "list[0].name", "\"%s\" is taken", "a");
	pn_warn(&check, NULL, "odd");
	run_say(&run);
	ck_assert_str_eq(run_said(&run), "c/a.yaml:1:4: warning: m: odd\n"
					 "c/a.yaml:1:21: m.list[0].name: \"a\" is taken");
	ck_assert_uint_eq(run.diags.errors, 1);
	run_free(&run);
}
END_TEST

/* ---- trees ---- */

static const struct {
	const char *a, *b, *said;
} merges[] = {
	{ "m: { a: 1 }", "m: { b: 2 }", "" },
	{ "m:", "m: { b: 2 }", "" },
	{ "m: { b: 2 }", "m:", "" },
	{ "m: { a: 1 }", "m: { a: 1 }",
	    "c/b.yaml:1:6: \"a\" is given twice; first at c/a.yaml:1:6" },
	{ "m: [1]", "m: [2]", "c/b.yaml:1:1: \"m\" is given twice; first at c/a.yaml:1:1" },
	{ "m: { a: 1 }", "m: [2]", "c/b.yaml:1:1: \"m\" is given twice; first at c/a.yaml:1:1" },
	{ "m: &x { a: 1 }\nn: *x", "n: { a: 2 }",
	    "c/b.yaml:1:6: \"a\" is given twice; first at c/a.yaml:1:9" },
	{ "m: &x { a: 1 }", "n: *x", "c/b.yaml:1:4: nothing before this is marked &x" },
	{ "", "# nothing\n---\n", "" },
};

START_TEST(merging)
{
	struct run run;

	run_load(&run, merges[_i].a, merges[_i].b);
	run_say(&run);
	ck_assert_str_eq(run_said(&run), merges[_i].said);
	run_free(&run);
}
END_TEST

START_TEST(merging_leaves_aliases_alone)
{
	struct run run;
	const struct config_node *m, *n;

	run_load(&run, "m: &x { a: 1 }\nn: *x", "n: { b: 2 }");
	ck_assert_uint_eq(run.diags.errors, 0);
	m = config_node_get(run.tree.root, "m");
	n = config_node_get(run.tree.root, "n");
	ck_assert_uint_eq(m->count, 1);
	ck_assert_uint_eq(n->count, 2);
	ck_assert_str_eq(config_node_get(n, "a")->text, "1");
	run_free(&run);
}
END_TEST

START_TEST(torn_files_miss_nothing)
{
	struct run run;

	run_fill(&run, "m:\n  group:\n    count: 9\n  strin: x\n  list: [a\n");
	ck_assert_str_eq(run_said(&run),
	    "c/a.yaml:3:12: m.group.count: \"9\" is out of range; write a value from -5 to 5\n"
	    "c/a.yaml:4:3: m: unknown option \"strin\"; did you mean \"string\"?\n"
	    "c/a.yaml:5:10: m.list[0]: must be a map of options\n"
	    "c/a.yaml:6:1: did not find expected ',' or ']' (while parsing a flow sequence that "
	    "begins in line 5)");
	run_free(&run);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof(*(a))))

int
main(void)
{
	Suite *suite = suite_create("config");
	TCase *tc = tcase_create("config");

	tcase_add_test(tc, defaults);
	tcase_add_test(tc, everything);
	tcase_add_loop_test(tc, refuses, 0, COUNT(refused));
	tcase_add_test(tc, secrets_stay_out_of_complaints);
	tcase_add_loop_test(tc, marks_by_path, 0, COUNT(paths));
	tcase_add_test(tc, complaints_of_modules);
	tcase_add_loop_test(tc, merging, 0, COUNT(merges));
	tcase_add_test(tc, merging_leaves_aliases_alone);
	tcase_add_test(tc, torn_files_miss_nothing);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
