/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_config.c - posternctl check, order: the configuration, without a relay.
 *
 * Must write nothing.
 */
#include <core/ctl/commands.h>
#include <core/master/permissions.h>
#include <core/policy/effective.h>
#include <core/policy/stage.h>
#include <core/store/overrides.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

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

/*
 * What the database has and does not fit; said where the database is there and may be read. It is
 * not part of the configuration, so it refuses nothing.
 */
static void
warn_of_stored(struct ctl *ctl)
{
	const struct config_relay *relay = &generation_core(ctl->generation)->relay;
	struct overrides overrides;
	struct generation_how how = { .source = ctl->recording,
		.folder = ctl->folder,
		.module_path = ctl->modules,
		.overrides = &overrides };
	struct generation *generation = NULL;
	struct diags diags = { 0 }, stored = { 0 };
	struct arena arena = { 0 };
	const char *path = arena_printf(&arena, "%s/postern.db", relay->state_directory);

	if (access(path, R_OK) < 0 || db_open(path, true, &ctl->db, NULL) < 0)
		goto out;
	if (overrides_read(ctl->db, &arena, &overrides, NULL) == 0)
		generation_build(&how, &diags, &generation);
	for (size_t i = 0; i < diags.count; i++)
		if (effective_is_stored(&diags.items[i]))
			diag_add(
			    &stored, DIAG_WARNING, diags.items[i].mark, "%s", diags.items[i].text);
	print_diags(&stored);
out:
	generation_release(&generation);
	diags_free(&stored);
	diags_free(&diags);
	arena_free(&arena);
}

static void
print_fault(void *arg, const char *text)
{
	fprintf(stderr, "%s\n", text);
}

/* What a start would refuse, as far as who asks may look. */
static int
check_permissions(const struct ctl *ctl, struct pn_error *err)
{
	const struct config_relay *relay = &generation_core(ctl->generation)->relay;
	const struct permissions what = { .folder = ctl->folder,
		.modules = ctl->modules,
		.state = relay->state_directory,
		.run = relay->run_directory,
		.user = relay->user,
		.any_owner = !relay->user,
		.fault = print_fault };
	size_t faults = permissions_check(&what);

	if (faults == 0)
		return EXIT_OK;
	pn_error_set(err, -EPERM, "%s: %zu fault%s in permissions", ctl->folder, faults,
	    faults == 1 ? "" : "s");
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
		warn_of_stored(ctl);
		code = check_permissions(ctl, err);
	}
	if (code == EXIT_OK) {
		pn_console_row(&ctl->console);
		pn_console_field(&ctl->console, "configuration", ctl->folder);
		pn_console_field(&ctl->console, "result", "good");
	}
	return code;
}

/* In the order a message meets them. */
static const int32_t stages[] = { PN_STAGE_CONNECT, PN_STAGE_HELO, PN_STAGE_AUTH, PN_STAGE_SENDER,
	PN_STAGE_RECIPIENT, PN_STAGE_MESSAGE, PN_STAGE_SELECT, PN_STAGE_PROTECT, PN_STAGE_SEAL,
	PN_STAGE_COMMITTED, PN_STAGE_ABORTED, PN_STAGE_OUTCOME, PN_STAGE_TICK, PN_STAGE_FLUSH };

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
			if (!entries[i].hooks[stages[s]])
				continue;
			pn_console_row(&ctl->console);
			pn_console_field(&ctl->console, "stage", stage_name(stages[s]));
			pn_console_field(&ctl->console, "entry", entries[i].config->id);
			pn_console_field(&ctl->console, "module", entries[i].config->module);
			pn_console_field(&ctl->console, "runs",
			    entries[i].hook_flags[stages[s]] & PN_QUICK ? "on the loop"
									: "on a thread");
			pn_console_field(
			    &ctl->console, "description", entries[i].config->description);
		}
	}
	return EXIT_OK;
}

const struct ctl_command ctl_config_commands[] = {
	{ "check", "[FOLDER]",
	    "Check a configuration; says file, line and column of every mistake, and which "
	    "folders and files are open to people whom they must be closed to.",
	    0, 1, run_check },
	{ "order", "", "Show which entry runs at which stage, in order.", 0, 0, run_order },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
