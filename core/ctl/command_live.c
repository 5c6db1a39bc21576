/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_live.c - posternctl status, metrics, trace, reload, upgrade: asks the running relay.
 *
 * The answers' shapes are made by core/master/relay_control.c.
 */
#include <core/ctl/commands.h>
#include <core/ctl/control.h>
#include <errno.h>
#include <stdlib.h>

/*
 * Where the relay's socket is. A relay runs on what was accepted, so mistakes in the files of today
 * do not matter as long as they say that.
 */
static char *
run_directory(const struct ctl *ctl, struct pn_error *err)
{
	struct config_tree tree = { 0 };
	struct config_core core = { 0 };
	struct settings_secrets *secrets = NULL;
	struct arena arena = { 0 };
	struct diags diags = { 0 };
	struct source *files;
	char *folder = NULL;

	if (source_files(&files) < 0)
		return NULL;
	if (config_tree_load(&tree, files, ctl->folder, &diags, err) == 0) {
		config_core_fill(&tree, &arena, &secrets, &diags, &core);
		folder = core.relay.run_directory ? strdup(core.relay.run_directory) : NULL;
		if (!folder)
			pn_error_set(
			    err, -EINVAL, "%s: cannot tell relay.run_directory", ctl->folder);
	}
	settings_secrets_free(&secrets);
	config_tree_free(&tree);
	diags_free(&diags);
	arena_free(&arena);
	source_free(&files);
	return folder;
}

int
ctl_ask(struct ctl *ctl, json_t *request, const struct control_listener *listener, json_t **ret,
    struct pn_error *err)
{
	char *folder = run_directory(ctl, err);
	int r;

	if (!folder) {
		json_decref(request);
		return EXIT_REFUSED;
	}
	r = control_ask(folder, request, listener, ret, err);
	json_decref(request);
	free(folder);
	if (r == -ENOENT || r == -ECONNREFUSED)
		return EXIT_ABSENT;
	return r < 0 ? EXIT_REFUSED : EXIT_OK;
}

static int
ask(struct ctl *ctl, json_t *request, json_t **ret, struct pn_error *err)
{
	return ctl_ask(ctl, request, NULL, ret, err);
}

static int
run_status(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	json_t *answer;
	int code = ask(ctl, json_pack("{s:s}", "command", "status"), &answer, err);

	if (code == EXIT_OK)
		console_add(&ctl->console, answer);
	return code;
}

static int
run_metrics(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	const char *command = ctl->console.json ? "metrics samples" : "metrics", *text;
	json_t *answer, *row;
	size_t i;
	int code = ask(ctl, json_pack("{s:s}", "command", command), &answer, err);

	if (code != EXIT_OK)
		return code;
	text = json_string_value(json_object_get(answer, "text"));
	if (text)
		fputs(text, stdout);
	json_array_foreach(json_object_get(answer, "samples"), i, row)
	{
		console_add(&ctl->console, json_incref(row));
	}
	json_decref(answer);
	return EXIT_OK;
}

static int
run_trace(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	json_t *answer, *lines, *line;
	const char *text;
	size_t i;
	int code = ask(
	    ctl, json_pack("{s:s, s:s}", "command", "trace", "id", argv[0]), &answer, err);

	if (code != EXIT_OK)
		return code;
	lines = json_object_get(answer, "lines");
	if (json_array_size(lines) == 0) {
		pn_error_set(err, -ENOENT,
		    "%s: the relay remembers nothing of it; it keeps the newest lines only, as "
		    "many as "
		    "relay.trace_memory holds, and none from before it started: look in the log",
		    argv[0]);
		code = EXIT_REFUSED;
	}
	json_array_foreach(lines, i, line)
	{
		text = json_string_value(line);
		if (ctl->console.json) {
			pn_console_row(&ctl->console);
			pn_console_field(&ctl->console, "line", text);
		} else {
			console_write(stdout, text);
			putchar('\n');
		}
	}
	json_decref(answer);
	return code;
}

static int
ask_change(struct ctl *ctl, const char *command, const char *result, const char *number,
    struct pn_error *err)
{
	json_t *answer;
	const char *text;
	bool ok;
	int code = ask(ctl, json_pack("{s:s}", "command", command), &answer, err);

	if (code != EXIT_OK)
		return code;
	ok = json_is_true(json_object_get(answer, "ok"));
	text = json_string_value(json_object_get(answer, "text"));
	if (ok)
		console_add(
		    &ctl->console, json_pack("{s:s, s:s?}", "result", result, number, text));
	else
		pn_error_set(
		    err, -EINVAL, "the configuration in force stays: %s", text ? text : "");
	json_decref(answer);
	return ok ? EXIT_OK : EXIT_REFUSED;
}

static int
run_reload(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	return ask_change(ctl, "reload", "reloaded", "generation", err);
}

static int
run_upgrade(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	return ask_change(ctl, "upgrade", "upgraded", "relay", err);
}

const struct ctl_command ctl_live_commands[] = {
	{ "status", "", "Show what the relay is doing.", 0, 0, run_status },
	{ "metrics", "", "Show all metrics, in Prometheus' text format.", 0, 0, run_metrics },
	{ "trace", "ID", "Show what was logged of a message, from accept to last delivery.", 1, 1,
	    run_trace },
	{ "reload", "", "Check the configuration and, if it is good, put it in force.", 0, 0,
	    run_reload },
	{ "upgrade", "", "Replace the relay: new code and configuration, no connection refused.", 0,
	    0, run_upgrade },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
