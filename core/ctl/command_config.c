/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_config.c - posternctl check, order, help: the configuration, without a relay.
 *
 * Must write nothing.
 */
#include <core/ctl/commands.h>
#include <core/policy/loader.h>
#include <errno.h>
#include <stdlib.h>

static void
print_diags(struct diags *diags)
{
	struct arena arena = { 0 };

	diags_sort(diags);
	for (size_t i = 0; i < diags->count; i++)
		fprintf(stderr, "%s\n", diag_format(&diags->items[i], &arena));
	arena_free(&arena);
}

int
ctl_open_generation(struct ctl *ctl, struct pn_error *err)
{
	struct generation_how how = { .folder = ctl->folder, .module_path = ctl->modules };
	int r = source_files(&ctl->files);

	if (r == 0)
		r = source_recording(ctl->files, &ctl->recording);
	if (r < 0) {
		pn_error_set(err, r, "out of memory");
		return EXIT_REFUSED;
	}
	how.source = ctl->recording;
	r = generation_build(&how, &ctl->diags, &ctl->generation);
	print_diags(&ctl->diags);
	if (r == 0)
		return EXIT_OK;
	if (ctl->diags.errors)
		pn_error_set(err, r, "%s: %zu error%s", ctl->folder, ctl->diags.errors,
		    ctl->diags.errors == 1 ? "" : "s");
	else
		pn_error_set(err, r, "%s: %s", ctl->folder, strerror(-r));
	return EXIT_REFUSED;
}

static int
run_check(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	int code;

	if (argc == 1)
		ctl->folder = argv[0];
	code = ctl_open_generation(ctl, err);
	if (code == EXIT_OK) {
		pn_console_row(&ctl->console);
		pn_console_field(&ctl->console, "configuration", ctl->folder);
		pn_console_field(&ctl->console, "result", "good");
	}
	return code;
}

static const struct {
	enum pn_stage stage;
	const char *name;
} stages[] = {
	{ PN_STAGE_CONNECT, "connect" },
	{ PN_STAGE_HELO, "helo" },
	{ PN_STAGE_AUTH, "auth" },
	{ PN_STAGE_SENDER, "sender" },
	{ PN_STAGE_RECIPIENT, "recipient" },
	{ PN_STAGE_MESSAGE, "message" },
	{ PN_STAGE_COMMITTED, "committed" },
	{ PN_STAGE_ABORTED, "aborted" },
};

static int
run_order(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	const struct chain_entry *entries;
	size_t count;
	int code = ctl_open_generation(ctl, err);

	if (code != EXIT_OK)
		return code;
	count = generation_entries(ctl->generation, &entries);
	for (size_t s = 0; s < sizeof(stages) / sizeof(*stages); s++) {
		for (size_t i = 0; i < count; i++) {
			if (!entries[i].config->enabled || !entries[i].hooks[stages[s].stage])
				continue;
			pn_console_row(&ctl->console);
			pn_console_field(&ctl->console, "stage", stages[s].name);
			pn_console_field(&ctl->console, "entry", entries[i].config->id);
			pn_console_field(&ctl->console, "module", entries[i].config->module);
			pn_console_field(&ctl->console, "runs",
			    entries[i].hook_flags[stages[s].stage] & PN_QUICK ? "on the loop"
									      : "on a thread");
		}
	}
	return EXIT_OK;
}

static int
print_help(const char *name, const char *summary, const struct pn_option *rows, size_t row_size,
    struct pn_error *err)
{
	struct buf text = BUF_INIT(1024u * 1024);
	int r = settings_help(rows, row_size, &text);

	if (r < 0) {
		pn_error_set(err, r, "%s: %s", name, strerror(-r));
		return EXIT_REFUSED;
	}
	printf("%s - %s\n\n", name, summary);
	fwrite(text.data, 1, text.len, stdout);
	buf_free(&text);
	return EXIT_OK;
}

static int
run_help(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	static const struct pn_option none[] = { PN_OPT_END };
	const struct pn_option *rows = config_core_options(argv[0]);
	const struct pn_module *module;

	if (rows)
		return print_help(
		    argv[0], "settings of the relay itself", rows, sizeof(*rows), err);
	if (loader_open(argv[0], ctl->modules, &module, err) < 0)
		return EXIT_REFUSED;
	return print_help(module->name, module->summary, module->settings ? module->settings : none,
	    module->option_size, err);
}

const struct ctl_command ctl_config_commands[] = {
	{ "check", "[FOLDER]",
	    "Check a configuration; says file, line and column of every mistake.", 0, 1,
	    run_check },
	{ "order", "", "Show which entry runs at which stage, in order.", 0, 0, run_order },
	{ "help", "SECTION|MODULE",
	    "Explain every setting of a module or of relay, routes, pipeline.", 1, 1, run_help },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
