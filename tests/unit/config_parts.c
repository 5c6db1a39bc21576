/* SPDX-License-Identifier: Apache-2.0 */
/* config_parts.c - unit tests of core/config: diagnostics, sources, the soundness of tables. */
#include "config_memory.h"
#include "run.h"
#include <check.h>
#include <core/config/scopes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- diagnostics ---- */

START_TEST(diags_are_sorted_once_each_and_tame)
{
	struct diags diags = { 0 };
	struct config_mark b = { "b", 1, 1 }, a10 = { "a", 10, 2 }, a9 = { "a", 9, 70 };
	struct arena arena = { 0 };

	diag_add(&diags, DIAG_ERROR, b, "x\ny\x1b[m\xc2\x9b");
	diag_add(&diags, DIAG_ERROR, a10, "same");
	diag_add(&diags, DIAG_WARNING, a9, "w");
	diag_add(&diags, DIAG_ERROR, a10, "same");
	diags_sort(&diags);
	ck_assert_uint_eq(diags.count, 3);
	ck_assert_uint_eq(diags.errors, 2);
	ck_assert_str_eq(diag_format(&diags.items[0], &arena), "a:9:70: warning: w");
	ck_assert_str_eq(diag_format(&diags.items[1], &arena), "a:10:2: same");
	ck_assert_str_eq(diag_format(&diags.items[2], &arena), "b:1:1: x?y?[m??");
	arena_free(&arena);
	diags_free(&diags);
}
END_TEST

START_TEST(diags_end_somewhere)
{
	struct diags diags = { 0 };

	for (unsigned i = 0; i < 5000; i++)
		diag_add(&diags, DIAG_ERROR, (struct config_mark){ "a", i + 1, 1 }, "x");
	ck_assert_uint_eq(diags.errors, 5000);
	ck_assert_uint_lt(diags.count, 1100);
	diags_free(&diags);
}
END_TEST

/* ---- sources ---- */

START_TEST(files_are_regular_and_small)
{
	char folder[] = "/tmp/postern-config-XXXXXX", path[100];
	struct source *files;
	struct source_file file;
	struct buf names = BUF_INIT(1000);
	struct pn_error err;
	FILE *stream;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(source_files(&files), 0);
	ck_assert_int_eq(files->ops->read(files, folder, &file, &err), -EISDIR);
	snprintf(path, sizeof(path), "%s/pipe.yaml", folder);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(files->ops->read(files, path, &file, &err), -EINVAL);
	ck_assert_int_eq(files->ops->list(files, folder, &names, &err), 0);
	ck_assert(pn_slice_equals(buf_slice(&names), pn_slice("pipe.yaml", 10)));
	unlink(path);
	stream = fopen(path, "w");
	ck_assert_int_eq(ftruncate(fileno(stream), (off_t)SOURCE_FILE_MOST + 1), 0);
	ck_assert_int_eq(files->ops->read(files, path, &file, &err), -EFBIG);
	ck_assert_int_eq(ftruncate(fileno(stream), 5), 0);
	ck_assert_int_eq(files->ops->read(files, path, &file, &err), 0);
	ck_assert_uint_eq(file.len, 5);
	fclose(stream);
	unlink(path);
	rmdir(folder);
	ck_assert_int_eq(files->ops->list(files, folder, &names, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, folder));
	free(file.data);
	buf_free(&names);
	source_free(&files);
	ck_assert_ptr_null(files);
}
END_TEST

/* A bundle of a folder and two files, as bytes. */
static void
make_bundle(struct buf *ret)
{
	struct memory memory = memory_of("m: { secret: !file secret }", NULL);
	struct config_tree tree;
	struct diags diags = { 0 };
	struct source_file file;
	struct source *recording;

	ck_assert_int_eq(source_recording(&memory.source, &recording), 0);
	ck_assert_int_eq(config_tree_load(&tree, recording, "c", &diags, NULL), 0);
	ck_assert_int_eq(recording->ops->read(recording, "c/secret", &file, NULL), 0);
	free(file.data);
	ck_assert_int_eq(recording->ops->read(recording, "c/none", &file, NULL), -ENOENT);
	memory.text = "changed meanwhile";
	ck_assert_int_eq(recording->ops->read(recording, "c/a.yaml", &file, NULL), 0);
	ck_assert_str_eq(file.data, "m: { secret: !file secret }");
	free(file.data);
	ck_assert_int_eq(source_bundle_write(recording, ret), 0);
	config_tree_free(&tree);
	diags_free(&diags);
	source_free(&recording);
}

START_TEST(bundle_round_trip)
{
	struct buf bytes = BUF_INIT(4096), names = BUF_INIT(100), small = BUF_INIT(20);
	struct source *bundle;
	struct source_file file;

	make_bundle(&bytes);
	ck_assert_int_eq(source_bundle(buf_slice(&bytes), &bundle, NULL), 0);
	ck_assert_int_eq(bundle->ops->list(bundle, "c", &names, NULL), 0);
	ck_assert(pn_slice_equals(buf_slice(&names), pn_slice("a.yaml", 7)));
	ck_assert_int_eq(bundle->ops->read(bundle, "c/secret", &file, NULL), 0);
	ck_assert_str_eq(file.data, "s3cret\n");
	ck_assert_uint_eq(file.mode, 0600);
	free(file.data);
	ck_assert_int_eq(bundle->ops->read(bundle, "c/open", &file, NULL), -ENOENT);
	ck_assert_int_eq(bundle->ops->list(bundle, "d", &names, NULL), -ENOENT);
	ck_assert_int_eq(source_bundle_write(bundle, &small), -E2BIG);
	source_free(&bundle);
	buf_wipe(&bytes);
	buf_free(&names);
	buf_free(&small);
}
END_TEST

/* Cut anywhere, or with any byte turned over, it is refused or harmless. */
START_TEST(bundle_damaged)
{
	struct buf bytes = BUF_INIT(4096);
	struct source *bundle;

	make_bundle(&bytes);
	for (size_t len = 0; len < bytes.len; len++) {
		char *cut = malloc(len + 1); /* exactly as long, for the sanitizer */

		memcpy(cut, bytes.data, len);
		if (source_bundle(pn_slice(cut, len), &bundle, NULL) == 0)
			source_free(&bundle);
		free(cut);
	}
	for (size_t i = 0; i < bytes.len; i++) {
		bytes.data[i] ^= (char)0xff;
		if (source_bundle(buf_slice(&bytes), &bundle, NULL) == 0)
			source_free(&bundle);
		bytes.data[i] ^= (char)0xff;
	}
	ck_assert_int_eq(buf_reserve(&bytes, bytes.len), 0);
	ck_assert_int_eq(buf_add(&bytes, bytes.data + 4, bytes.len - 4), 0); /* all paths twice */
	ck_assert_int_eq(source_bundle(buf_slice(&bytes), &bundle, NULL), -EBADMSG);
	ck_assert_int_eq(source_bundle(pn_slice_of("PNB"), &bundle, NULL), -EBADMSG);
	buf_wipe(&bytes);
}
END_TEST

/* ---- tables ---- */

struct flagged {
	bool flag;
};

static const struct pn_choice colours[] = { { "red", 7, NULL }, { "green", 8, NULL },
	{ NULL, 0, NULL } };
static const struct pn_option words_options[] = {
	{ .help = "Words.", .type = PN_TYPE_STRINGS },
	PN_OPT_END,
};
static const struct pn_option flag_options[] = { PN_OPT_BOOL("flag", struct flagged, flag, "no", 0,
						     "A flag."),
	PN_OPT_BOOL("again", struct flagged, flag, "no", 0, "The same field."), PN_OPT_END };

static const struct pn_option scoped_options[] = {
	PN_OPT_BOOL("flag", struct flagged, flag, "no", PN_SCOPED, "A flag."), PN_OPT_END
};

#define ROW(...) \
	{ \
		{ __VA_ARGS__ }, PN_OPT_END \
	}
static const struct pn_choice twice[] = { { "a", 1, NULL }, { "a", 2, NULL }, { NULL, 0, NULL } };
static const struct {
	struct pn_option rows[2];
	const char *fault;
} faults[] = {
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_STRING), NULL },
	{ ROW(.name = "x", .type = PN_TYPE_STRING), "x: no help" },
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_GROUP, .nested = scoped_options,
	      .nested_size = sizeof(struct flagged)),
	    NULL },
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_MAP, .nested = scoped_options,
	      .nested_size = sizeof(struct flagged)),
	    "flag: PN_SCOPED, but the list or map is one as a whole" },
	{ ROW(.name = "X", .help = "X.", .type = PN_TYPE_STRING),
	    "X: not a key: a-z, 0-9, _ and - after a letter" },
	{ ROW(.name = "x", .help = "X.", .type = 99),
	    "x: unknown type; made for a newer Postern?" },
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_STRING, .flags = 0x80),
	    "x: unknown flags" },
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_BOOL, .flags = PN_PATH),
	    "x: PN_PATH, but neither STRING nor STRINGS" },
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_BOOL, .fallback = "maybe"),
	    "x: the default is neither yes nor no" },
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_SIZE, .fallback = "9", .min = 10,
	      .max = 20),
	    "x: the default does not parse or is out of range" },
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_INT, .min = 2, .max = 1),
	    "x: min is larger than max" },
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_SIZE, .min = -1, .max = 1),
	    "x: can never be negative" },
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_STRING, .max = 1),
	    "x: a range, but no number" },
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_STRING, .fallback = "a",
	      .flags = PN_REQUIRED),
	    "x: required, and yet a default" },
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_SECRET, .fallback = "a"),
	    "x: this type takes no default" },
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_CHOICE), "x: no choices" },
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_CHOICE, .choices = colours),
	    "x: no default, and 0 is no choice" },
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_CHOICE, .choices = colours,
	      .fallback = "blue"),
	    "x: the default is no choice" },
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_STRINGS, .choices = twice),
	    "x: a choice stands twice" },
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_STRING, .choices = colours),
	    "x: choices, but no CHOICE or WORDS" },
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_STRINGS, .choices = colours,
	      .fallback = "[red, blue]"),
	    "x: the default is no list of what may stand there" },
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_STRINGS, .fallback = "[a"),
	    "x: the default is no list of what may stand there" },
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_LIST), "x: no nested rows" },
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_GROUP, .nested = words_options,
	      .nested_size = sizeof(struct pn_strings)),
	    "x: nested rows need keys here" },
	{ ROW(.name = "x", .help = "X.", .type = PN_TYPE_LIST, .nested = flag_options,
	      .nested_size = 0),
	    "x: no nested rows" },
	{ { { .name = "x", .help = "X.", .type = PN_TYPE_BOOL } }, NULL },
};

/* Where scopes stand in a section no option can, but in a group of options it may. */
START_TEST(tables_keep_clear_of_scopes)
{
	static const struct pn_option groups[] = {
		PN_OPT_BOOL("groups", struct flagged, flag, "no", 0, "A flag."), PN_OPT_END
	};
	static const struct pn_option nested[] = { { .name = "map",
						       .help = "A map.",
						       .type = PN_TYPE_MAP,
						       .nested = groups,
						       .nested_size = sizeof(struct flagged) },
		PN_OPT_END };

	ck_assert_ptr_nonnull(scopes_table_fault(groups, sizeof(struct pn_option)));
	ck_assert_ptr_null(scopes_table_fault(flag_options, sizeof(struct pn_option)));
	ck_assert_ptr_null(scopes_table_fault(nested, sizeof(struct pn_option)));
}
END_TEST

/* Help says which keys are scoped, and what that means. */
START_TEST(help_says_what_is_scoped)
{
	struct buf text = BUF_INIT(65536);

	ck_assert_int_eq(settings_help(scoped_options, sizeof(struct pn_option), &text), 0);
	ck_assert_ptr_nonnull(strstr(buf_text(&text), "flag: yes or no; default no; scoped\n"));
	ck_assert_ptr_nonnull(strstr(buf_text(&text), "What is scoped may be overridden"));
	buf_reset(&text);
	ck_assert_int_eq(settings_help(flag_options, sizeof(struct pn_option), &text), 0);
	ck_assert_ptr_null(strstr(buf_text(&text), "scoped"));
	buf_free(&text);
}
END_TEST

START_TEST(table_faults)
{
	const char *fault = settings_table_fault(faults[_i].rows, sizeof(struct pn_option));

	if (faults[_i].fault)
		ck_assert_str_eq(fault, faults[_i].fault);
	else
		ck_assert_ptr_null(fault);
}
END_TEST

START_TEST(tables_of_other_versions)
{
	/* Rows as a longer struct of tomorrow, and as one without the last field. */
	struct {
		struct pn_option row;
		char more[16];
	} longer[2] = { { PN_OPT_BOOL("flag", struct flagged, flag, "no", 0, "A flag."), { 0 } },
		{ PN_OPT_END, { 0 } } };
	size_t shorter = offsetof(struct pn_option, reserved);
	char rows[2 * sizeof(struct pn_option)] = { 0 };
	struct buf text = BUF_INIT(1000);

	ck_assert_ptr_null(settings_table_fault(&longer[0].row, sizeof(longer[0])));
	memcpy(rows, &longer[0].row, shorter);
	ck_assert_int_eq(settings_help((const struct pn_option *)(void *)rows, shorter, &text), 0);
	ck_assert_str_eq(buf_text(&text), "flag: yes or no; default no\n        A flag.\n");
	buf_free(&text);
	ck_assert_ptr_nonnull(settings_table_fault(&longer[0].row, 8));
	ck_assert_ptr_null(
	    settings_struct_fault(flag_options, sizeof(struct pn_option), sizeof(struct flagged)));
	ck_assert_str_eq(settings_struct_fault(words_options, sizeof(struct pn_option),
			     sizeof(struct pn_strings) - 1),
	    "(value): its field lies outside the struct");
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof(*(a))))

int
main(void)
{
	Suite *suite = suite_create("config_parts");
	TCase *tc = tcase_create("config_parts");

	tcase_add_test(tc, diags_are_sorted_once_each_and_tame);
	tcase_add_test(tc, diags_end_somewhere);
	tcase_add_test(tc, files_are_regular_and_small);
	tcase_add_test(tc, bundle_round_trip);
	tcase_add_test(tc, bundle_damaged);
	tcase_add_loop_test(tc, table_faults, 0, COUNT(faults));
	tcase_add_test(tc, tables_keep_clear_of_scopes);
	tcase_add_test(tc, help_says_what_is_scoped);
	tcase_add_test(tc, tables_of_other_versions);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
