/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_core.c - unit tests of the core's own sections, of `when`, and of tests/config/bad: broken
 * configurations with the lines that must be said about each, to the column.
 *
 * Beside a case's YAML its `expected` holds those lines. In the environment POSTERN_TEST_SECRET
 * stands for any secret, POSTERN_NO_SUCH_NAME is not set; the working folder is tests/config/bad.
 */
#include "run.h"
#include <check.h>
#include <core/base/log.h>
#include <core/config/relay.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct run {
	struct source *source;
	struct config_tree tree;
	struct diags diags;
	struct arena arena;
	struct settings_secrets *secrets;
	struct config_core core;
	struct buf said;
};

static void
run_config(struct run *run, const char *folder)
{
	*run = (struct run){ .said = BUF_INIT(1 << 20) };
	ck_assert_int_eq(source_files(&run->source), 0);
	ck_assert_int_eq(config_tree_load(&run->tree, run->source, folder, &run->diags, NULL), 0);
	config_core_fill(&run->tree, &run->arena, &run->secrets, &run->diags, &run->core);
	config_tree_free(&run->tree);
	diags_sort(&run->diags);
	for (size_t i = 0; i < run->diags.count; i++)
		ck_assert_int_eq(
		    buf_printf(&run->said, "%s\n", diag_format(&run->diags.items[i], &run->arena)),
		    0);
}

static void
run_free(struct run *run)
{
	diags_free(&run->diags);
	arena_free(&run->arena);
	settings_secrets_free(&run->secrets);
	buf_free(&run->said);
	source_free(&run->source);
}

static void
enter(const char *folder)
{
	const char *top = getenv("POSTERN_SRCDIR");
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", top ? top : ".", folder);
	ck_assert_msg(chdir(path) == 0, "cannot enter %s", path);
	setenv("POSTERN_TEST_SECRET", "secret", 1);
	unsetenv("POSTERN_NO_SUCH_NAME");
}

static const char *
text_of(struct run *run)
{
	return run->said.len > 0 ? buf_text(&run->said) : "";
}

/* ---- broken configurations ---- */

static int
is_case(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

START_TEST(broken_configurations)
{
	struct dirent **names;
	int count;

	enter("tests/config/bad");
	count = scandir(".", &names, is_case, alphasort);
	ck_assert_int_ge(count, 25);
	for (int i = 0; i < count; i++) {
		struct source_file expected;
		char path[300];
		struct run run;

		run_config(&run, names[i]->d_name);
		snprintf(path, sizeof(path), "%s/expected", names[i]->d_name);
		ck_assert_int_eq(run.source->ops->read(run.source, path, &expected, NULL), 0);
		ck_assert_str_eq(text_of(&run), expected.data);
		ck_assert_uint_gt(expected.len, 0);
		free(expected.data);
		free(names[i]);
		run_free(&run);
	}
	free(names);
}
END_TEST

/* What stands in conf.d/ is right but for the certificate, which a machine may have or not. */
START_TEST(default_configuration)
{
	struct run run;

	enter(".");
	run_config(&run, "conf.d");
	for (size_t i = 0; i < run.diags.count; i++)
		ck_assert_msg(strstr(run.diags.items[i].text, "cannot read /etc/postern/tls/"),
		    "%s", text_of(&run));
	ck_assert_uint_eq(run.core.pipeline_count, 1);
	ck_assert_str_eq(run.core.pipeline[0].id, "auth");
	ck_assert(run.core.pipeline[0].enabled);
	ck_assert_int_eq(run.core.pipeline[0].timeout, 20000);
	ck_assert_uint_eq(run.core.relay.listeners.count, 2);
	run_free(&run);
}
END_TEST

START_TEST(good_configuration)
{
	const struct config_listener *listeners;
	const struct config_route *routes;
	const struct config_entry *entries;
	struct run run;

	enter("tests/config");
	run_config(&run, "good");
	ck_assert_str_eq(text_of(&run), "");
	ck_assert_str_eq(run.core.relay.hostname, "relay.example.com");
	ck_assert_int_eq(run.core.relay.log.level, PN_LOG_DEBUG);
	ck_assert_int_eq(run.core.relay.log.format, LOG_JSON);
	ck_assert_int_eq(run.core.relay.limits.message_size, 20 << 20);
	ck_assert_int_eq(run.core.relay.limits.recipients, 500);
	ck_assert_int_eq(run.core.relay.spool.gather, 3000);
	ck_assert_int_eq(run.core.relay.queue.give_up, 5 * 86400000LL);
	ck_assert_ptr_nonnull(strstr(run.core.relay.tls.certificate_pem.data, "BEGIN CERT"));
	ck_assert_uint_eq(pn_secret_bytes(run.core.relay.tls.key).len, 6);
	listeners = run.core.relay.listeners.items;
	ck_assert_uint_eq(run.core.relay.listeners.count, 3);
	ck_assert_int_eq(listeners[1].tls, CONFIG_TLS_IMPLICIT);
	ck_assert_int_eq(listeners[1].auth, CONFIG_AUTH_REQUIRED);
	ck_assert(!listeners[2].fixups);
	routes = run.core.routes.items;
	ck_assert_uint_eq(run.core.routes.count, 3);
	ck_assert(routes[0].when.given);
	ck_assert_str_eq(routes[0].when.recipient_domain.items[0], "xn--mnchen-3ya.example");
	ck_assert_str_eq(routes[1].auth.user, "relay@example.com");
	ck_assert(!routes[2].when.given);
	ck_assert_str_eq(routes[2].path, "/var/mail/{domain}/{user}");
	entries = run.core.pipeline;
	ck_assert_uint_eq(run.core.pipeline_count, 3);
	ck_assert_str_eq(entries[1].module, "taglines");
	ck_assert_str_eq(entries[1].id, "legal");
	ck_assert(!entries[1].enabled);
	ck_assert_int_eq(entries[1].on_fault, CONFIG_FAULT_SKIP);
	ck_assert_int_eq(entries[1].timeout, 1500);
	ck_assert_uint_eq(entries[1].mark.line, 7);
	ck_assert_uint_eq(entries[1].mark.column, 5);
	ck_assert_str_eq(entries[2].id, "taglines");
	ck_assert_uint_eq(settings_mark(&run.core.relay_settings, "listeners[2].address").line, 13);
	ck_assert_uint_eq(settings_mark(&run.core.routes_settings, "[1].host").line, 6);
	run_free(&run);
}
END_TEST

/* ---- tables ---- */

START_TEST(core_tables_are_sound)
{
	const char *section = config_core_sections[_i], *fault;
	struct buf text = BUF_INIT(65536);

	fault = settings_table_fault(config_core_options(section), sizeof(struct pn_option));
	ck_assert_msg(!fault, "%s: %s", section, fault);
	ck_assert_int_eq(
	    settings_help(config_core_options(section), sizeof(struct pn_option), &text), 0);
	ck_assert_uint_gt(text.len, 50);
	buf_free(&text);
}
END_TEST

START_TEST(other_sections)
{
	ck_assert_ptr_null(config_core_options("auth"));
}
END_TEST

START_TEST(help_tells_all)
{
	struct buf text = BUF_INIT(65536);
	static const char *const lines[] = {
		"hostname: text\n",
		"state_directory: path; default /var/lib/postern\n",
		"listeners: list, each item with; required\n",
		"    tls: one of none | starttls | starttls-required | implicit; default",
		"    message_size: size (bytes, or with k, m, g, t), from 1k to 2g; default 50m\n",
		"    key: secret (!file PATH or !env NAME)\n",
		"networks: map of names of your own, each with\n",
	};

	ck_assert_int_eq(
	    settings_help(config_core_options("relay"), sizeof(struct pn_option), &text), 0);
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		ck_assert_msg(strstr(buf_text(&text), lines[i]), "%s", lines[i]);
	for (const char *line = buf_text(&text); *line; line = strchr(line, '\n') + 1)
		ck_assert_uint_le(strcspn(line, "\n"), 100);
	buf_free(&text);
}
END_TEST

/* ---- when ---- */

static const struct mail_facts facts = {
	.client_address = "10.1.2.3", .listener = "lan", .user = "Ada@EXAMPLE.com"
};
static const char *const tags[] = { "phi", "urgent" };

#define LIST(...) \
	{ \
		sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *), (const char *const[]) \
		{ \
			__VA_ARGS__ \
		} \
	}

static const struct {
	struct config_when when;
	const char *sender, *recipient;
	bool matches;
} whens[] = {
	{ { .larger_than = 0 }, NULL, NULL, true },
	{ { .sender = LIST("ada@example.com") }, "ada@EXAMPLE.com", NULL, true },
	{ { .sender = LIST("ada@example.com") }, "Ada@example.com", NULL, false },
	{ { .sender = LIST("ada@example.com") }, NULL, NULL, false },
	{ { .sender = LIST("x@example.com", "") }, "", NULL, true },
	{ { .sender = LIST("x@example.com") }, "", NULL, false },
	{ { .sender_domain = LIST("example.com") }, "a@b@example.com", NULL, false },
	{ { .sender_domain = LIST("example.com") }, "a@example.com", NULL, true },
	{ { .sender_domain = LIST("example.com") }, "a@sub.example.com", NULL, false },
	{ { .sender_domain = LIST("*.Example.com") }, "a@sub.example.COM", NULL, true },
	{ { .sender_domain = LIST("*.example.com") }, "a@b.c.example.com", NULL, true },
	{ { .sender_domain = LIST("*.example.com") }, "a@example.com", NULL, false },
	{ { .sender_domain = LIST("*.example.com") }, "a@badexample.com", NULL, false },
	{ { .sender_domain = LIST(".") }, "", NULL, true },
	{ { .sender_domain = LIST("") }, "", NULL, true },
	{ { .sender_domain = LIST(".") }, "a@example.com", NULL, false },
	{ { .sender_domain = LIST("m\xc3\xbcnchen.example") }, "a@xn--mnchen-3ya.example", NULL,
	    true },
	{ { .recipient_domain = LIST("example.org") }, "a@example.com", "b@example.org", true },
	{ { .recipient_domain = LIST("example.org") }, "a@example.org", NULL, false },
	{ { .recipient = LIST("b@example.org"), .sender = LIST("a@example.com") }, "a@example.com",
	    "b@example.org", true },
	{ { .recipient = LIST("b@example.org"), .sender = LIST("a@example.com") }, "x@example.com",
	    "b@example.org", false },
	{ { .user = LIST("Ada@example.com") }, NULL, NULL, true },
	{ { .user = LIST("bo@example.com") }, NULL, NULL, false },
	{ { .listener = LIST("dmz", "lan") }, NULL, NULL, true },
	{ { .listener = LIST("dmz") }, NULL, NULL, false },
	{ { .network = LIST("192.0.2.0/24", "10.0.0.0/8") }, NULL, NULL, true },
	{ { .network = LIST("2001:db8::/32") }, NULL, NULL, false },
	{ { .tag = LIST("none", "phi") }, NULL, NULL, true },
	{ { .tag = LIST("none") }, NULL, NULL, false },
	{ { .larger_than = 999 }, NULL, NULL, true },
	{ { .larger_than = 1000 }, NULL, NULL, false },
};

START_TEST(when_matches)
{
	struct config_subject subject = { .facts = &facts,
		.sender = whens[_i].sender,
		.recipient = whens[_i].recipient,
		.tags = tags,
		.tag_count = 2,
		.size = 1000 };
	struct config_when when = whens[_i].when;
	struct arena arena = { 0 };

	config_when_settle(&when, &arena);
	ck_assert_int_eq(config_when_matches(&when, &subject), whens[_i].matches);
	arena_free(&arena);
}
END_TEST

START_TEST(when_nothing_is_known)
{
	struct config_subject subject = { 0 };
	struct config_when when = whens[_i].when;
	struct arena arena = { 0 };

	config_when_settle(&when, &arena);
	ck_assert_int_eq(config_when_matches(&when, &subject), !when.given);
	arena_free(&arena);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof(*(a))))

int
main(void)
{
	Suite *suite = suite_create("config_core");
	TCase *tc = tcase_create("config_core");

	tcase_add_test(tc, broken_configurations);
	tcase_add_test(tc, default_configuration);
	tcase_add_test(tc, good_configuration);
	tcase_add_loop_test(tc, core_tables_are_sound, 0, 4);
	tcase_add_test(tc, other_sections);
	tcase_add_test(tc, help_tells_all);
	tcase_add_loop_test(tc, when_matches, 0, COUNT(whens));
	tcase_add_loop_test(tc, when_nothing_is_known, 0, COUNT(whens));
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
