/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checker.c - the child that checks a configuration, and the master's talk with it.
 *
 * The child runs as nobody when the master is root (and then as the relay's user), reads nothing
 * itself (remote_source.c) and ends with one CHANNEL_RESULT. It must never write anything but to
 * its channel.
 */
#include <core/base/clock.h>
#include <core/config/access.h>
#include <core/config/diag.h>
#include <core/master/checker.h>
#include <core/master/child.h>
#include <core/master/privileges.h>
#include <core/master/remote_source.h>
#include <core/policy/blob.h>
#include <core/policy/generation.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define ANSWER_MS 60000
#define LOOK_MS   50
#define HEAD_ROOM (256u * 1024) /* of a frame, for what stands before the files */

/* ---- the child ---- */

static void
add_listener(json_t *list, const char *name, const char *address)
{
	json_array_append_new(list, json_pack("{s:s, s:s}", "name", name, "address", address));
}

/* The check has read it before. */
static void
add_access(json_t *item, const struct config_listener *listener)
{
	struct config_access access;
	const char *key;

	if (config_access_read(listener, &access, &key, NULL) < 0)
		return;
	json_object_set_new(item, "mode", json_integer(access.mode));
	json_object_set_new(item, "uid", json_integer(access.uid));
	json_object_set_new(item, "gid", json_integer(access.gid));
}

/* The relay gets the sockets in this order. */
static json_t *
listeners_json(const struct config_relay *relay)
{
	const struct config_listener *listeners = relay->listeners.items;
	json_t *list = json_array();

	for (size_t i = 0; i < relay->listeners.count; i++) {
		add_listener(list, listeners[i].name, listeners[i].address);
		add_access(json_array_get(list, i), &listeners[i]);
	}
	if (relay->metrics.listen)
		add_listener(list, "relay.metrics", relay->metrics.listen);
	return list;
}

static void
send_json(int fd, enum channel_type type, json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT);

	if (text)
		channel_send(fd, type, pn_slice_of(text), NULL, 0);
	free(text);
	json_decref(value);
}

static void
send_diags(int fd, struct diags *diags)
{
	struct arena arena = { 0 };

	diags_sort(diags);
	for (size_t i = 0; i < diags->count; i++)
		channel_send(
		    fd, CHANNEL_DIAG, pn_slice_of(diag_format(&diags->items[i], &arena)), NULL, 0);
	arena_free(&arena);
}

/* What the relay will load is found the same way. */
static json_t *
modules_json(const struct generation *generation, const char *module_path)
{
	const struct chain_entry *entries;
	size_t count = generation_entries(generation, &entries);
	json_t *list = json_array();
	char path[PATH_MAX];

	for (size_t i = 0; i < count; i++)
		if (loader_find(entries[i].config->module, module_path, path, sizeof(path)) == 0)
			json_array_append_new(list, json_string(path));
	return list;
}

static json_t *
result_json(const struct generation *generation, const char *module_path)
{
	const struct config_relay *relay = &generation_core(generation)->relay;

	return json_pack("{s:b, s:s*, s:s, s:s, s:i, s:i, s:o, s:o}", "ok", 1, "user", relay->user,
	    "state", relay->state_directory, "run", relay->run_directory, "log", relay->log.level,
	    "log_format", relay->log.format, "listeners", listeners_json(relay), "modules",
	    modules_json(generation, module_path));
}

/* The relay's user in a configuration that cannot be taken: it may not be our fault to find. */
static json_t *
refusal_json(const struct generation_how *how, size_t errors)
{
	struct config_tree tree = { 0 };
	struct config_core core = { 0 };
	struct settings_secrets *secrets = NULL;
	struct arena arena = { 0 };
	struct diags again = { 0 };
	struct pn_error err = { 0 };
	json_t *result;

	if (config_tree_load(&tree, how->source, how->folder, &again, &err) == 0)
		config_core_fill(&tree, &arena, &secrets, &again, &core);
	result = json_pack(
	    "{s:b, s:i, s:s*}", "ok", 0, "errors", (int)errors, "user", core.relay.user);
	settings_secrets_free(&secrets);
	config_tree_free(&tree);
	arena_free(&arena);
	diags_free(&again);
	return result;
}

/* Without them the relay compiles for itself. */
static void
send_blobs(int fd, struct blobs *blobs)
{
	struct buf bytes = BUF_INIT(CHANNEL_MOST);

	if (blobs_write(blobs, &bytes) == 0 && bytes.len > 0)
		channel_send(fd, CHANNEL_BLOBS, buf_slice(&bytes), NULL, 0);
	buf_free(&bytes);
}

static void
check(const char *folder, const char *modules, int fd)
{
	struct generation_how how = { .folder = folder, .module_path = modules };
	struct generation *generation = NULL;
	struct diags diags = { 0 };
	int r = remote_source(fd, &how.source);

	how.blobs = blobs_new();
	if (r == 0)
		r = generation_build(&how, &diags, &generation);
	send_diags(fd, &diags);
	if (r == 0)
		send_blobs(fd, how.blobs);
	if (r == 0)
		send_json(fd, CHANNEL_RESULT, result_json(generation, modules));
	else
		send_json(fd, CHANNEL_RESULT, refusal_json(&how, diags.errors));
	generation_release(&generation);
	diags_free(&diags);
	blobs_release(&how.blobs);
	source_free(&how.source);
}

int
checker_main(void)
{
	struct channel_frame frame;
	struct pn_error err = { 0 };
	const char *folder, *modules, *user = NULL;
	json_t *question;

	prctl(PR_SET_NAME, "postern-checker");
	if (channel_receive(CHILD_CHANNEL, &frame) != 1)
		return EXIT_FAILURE;
	question = json_loads(frame.bytes.data, 0, NULL);
	channel_frame_free(&frame);
	if (json_unpack(question, "{s:s, s:s, s?s}", "folder", &folder, "modules", &modules, "user",
		&user) < 0)
		return EXIT_FAILURE;
	if (privileges_drop(user, &err) < 0)
		send_json(CHILD_CHANNEL, CHANNEL_RESULT,
		    json_pack("{s:b, s:s}", "ok", 0, "why", err.text));
	else
		check(folder, modules, CHILD_CHANNEL);
	json_decref(question);
	return EXIT_SUCCESS;
}

/* ---- the master ---- */

static int
take_listeners(json_t *list, struct checker_answer *ret, struct pn_error *err)
{
	size_t i;
	json_t *item;

	if (json_array_size(list) > CHECKER_LISTENERS_MOST)
		return pn_error_set(err, -E2BIG, "more than %d listeners", CHECKER_LISTENERS_MOST);
	json_array_foreach(list, i, item)
	{
		const char *name, *address;
		json_int_t uid = -1, gid = -1;
		int mode = 0666;

		if (json_unpack(item, "{s:s, s:s, s?i, s?I, s?I}", "name", &name, "address",
			&address, "mode", &mode, "uid", &uid, "gid", &gid) < 0 ||
		    (mode & ~0777) != 0)
			return pn_error_set(err, -EPROTO, "the checker's answer makes no sense");
		ret->listeners[i].name = arena_text(&ret->arena, name);
		ret->listeners[i].address = arena_text(&ret->arena, address);
		ret->listeners[i].access = (struct listener_access){ (mode_t)mode, (uid_t)uid,
			(gid_t)gid };
		ret->listener_count++;
	}
	return 0;
}

static void
take_modules(json_t *list, struct checker_answer *ret)
{
	size_t i;
	json_t *item;

	ret->modules = arena_alloc(
	    &ret->arena, (json_array_size(list) + 1) * sizeof(*ret->modules));
	json_array_foreach(list, i, item)
	{
		if (json_is_string(item))
			ret->modules[ret->module_count++] = arena_text(
			    &ret->arena, json_string_value(item));
	}
}

static int
take_result(const char *text, struct checker_answer *ret, struct pn_error *err)
{
	json_t *result = json_loads(text, 0, NULL), *listeners = NULL, *modules = NULL;
	const char *user = NULL, *state = NULL, *run = NULL, *why = NULL;
	int ok = 0, errors = 0, log_level = 0, log_format = 0, r;

	if (json_unpack(result, "{s:b, s?i, s?s, s?s, s?s, s?i, s?i, s?o, s?o, s?s}", "ok", &ok,
		"errors", &errors, "user", &user, "state", &state, "run", &run, "log", &log_level,
		"log_format", &log_format, "listeners", &listeners, "modules", &modules, "why",
		&why) < 0) {
		r = pn_error_set(err, -EPROTO, "the checker's answer makes no sense");
	} else if (why) {
		r = pn_error_set(err, -EPERM, "%s", why);
	} else if (!ok) {
		ret->user = user ? arena_text(&ret->arena, user) : NULL;
		r = pn_error_set(err, -EINVAL, "the configuration has %d error%s", errors,
		    errors == 1 ? "" : "s");
	} else {
		ret->user = arena_text(&ret->arena, user);
		ret->state_directory = arena_text(&ret->arena, state);
		ret->run_directory = arena_text(&ret->arena, run);
		ret->log_level = log_level;
		ret->log_format = log_format;
		take_modules(modules, ret);
		r = take_listeners(listeners, ret, err);
	}
	json_decref(result);
	return r;
}

static bool
told_to_end(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 &&
	       (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

/* A module that hangs while it is loaded must not hold the master, whose signals are blocked. */
static int
wait_for_words(int fd, int64_t until_ms, struct pn_error *err)
{
	struct pollfd one = { .fd = fd, .events = POLLIN };

	while (poll(&one, 1, LOOK_MS) == 0) {
		if (told_to_end())
			return pn_error_set(
			    err, -EINTR, "told to end while the configuration was checked");
		if (clock_monotonic_ms() > until_ms)
			return pn_error_set(err, -ETIMEDOUT,
			    "the checker did not answer in %d s (a module may hang)",
			    ANSWER_MS / 1000);
	}
	return 0;
}

/* Serves the child until its result. */
static int
talk(int fd, struct source *recording, struct checker_answer *ret, struct pn_error *err)
{
	int64_t until_ms = clock_monotonic_ms() + ANSWER_MS;
	struct channel_frame frame;
	int r = 0;

	for (;;) {
		if (r < 0)
			return pn_error_set(err, r, "cannot talk to the checker: %s", strerror(-r));
		r = wait_for_words(fd, until_ms, err);
		if (r < 0)
			return r;
		if (channel_receive(fd, &frame) != 1)
			return pn_error_set(err, -EPIPE,
			    "the checker ended without an answer (a module may have crashed it)");
		if (frame.type == CHANNEL_DIAG)
			r = buf_printf(&ret->diagnostics, "%s\n", frame.bytes.data);
		else if (frame.type == CHANNEL_BLOBS)
			r = buf_add(&ret->blobs, frame.bytes.data, frame.bytes.len);
		else if (frame.type == CHANNEL_LIST || frame.type == CHANNEL_READ)
			r = remote_source_answer(fd, &frame, recording);
		else
			break;
		channel_frame_free(&frame);
	}
	r = frame.type == CHANNEL_RESULT
		? take_result(frame.bytes.data, ret, err)
		: pn_error_set(err, -EPROTO, "the checker says what it may not say");
	channel_frame_free(&frame);
	return r;
}

static int
ask(int fd, const char *folder, const char *modules, const char *user)
{
	json_t *question = json_pack(
	    "{s:s, s:s, s:s*}", "folder", folder, "modules", modules, "user", user);
	char *text = json_dumps(question, 0);
	int r = text ? channel_send(fd, CHANNEL_CHECK, pn_slice_of(text), NULL, 0) : -ENOMEM;

	free(text);
	json_decref(question);
	return r;
}

static void
keep_path(void *arg, const char *path)
{
	struct checker_answer *ret = arg;

	/* grows by doubling: at every power of two there is room for as many again */
	if ((ret->file_count & (ret->file_count - 1)) == 0) {
		size_t room = ret->file_count ? 2 * ret->file_count : 1;
		const char **more = arena_alloc(&ret->arena, room * sizeof(*more));

		if (ret->file_count > 0)
			memcpy(more, ret->files, ret->file_count * sizeof(*more));
		ret->files = more;
	}
	ret->files[ret->file_count++] = arena_text(&ret->arena, path);
}

static int
run_as(int program, const char *user, const char *folder, const char *modules,
    struct checker_answer *ret, struct pn_error *err)
{
	struct source *files = NULL, *recording = NULL;
	struct child child;
	int r;

	memset(ret, 0, sizeof(*ret));
	ret->bundle = BUF_INIT(CHANNEL_MOST);
	ret->blobs = BUF_INIT(CHANNEL_MOST);
	ret->diagnostics = BUF_INIT(4u * 1024 * 1024);
	r = child_start(program, "checker", ANSWER_MS / 1000, &child, err);
	if (r < 0)
		return r;
	r = source_files(&files);
	if (r == 0)
		r = source_recording(files, &recording);
	if (r == 0)
		r = ask(child.fd, folder, modules, user);
	if (r < 0)
		pn_error_set(err, r, "cannot talk to the checker: %s", strerror(-r));
	else
		r = talk(child.fd, recording, ret, err);
	if (r == 0 && source_bundle_write(recording, &ret->bundle) < 0)
		r = pn_error_set(err, -E2BIG, "the configuration is larger than %u MiB",
		    CHANNEL_MOST / 1024 / 1024);
	if (r == 0)
		source_recorded(recording, keep_path, ret);
	if (ret->bundle.len + ret->blobs.len > CHANNEL_MOST - HEAD_ROOM)
		buf_free(&ret->blobs); /* the relay compiles for itself */
	source_free(&recording);
	source_free(&files);
	if (r < 0)
		kill(child.pid, SIGKILL); /* it may hang, and is waited for */
	child_end(&child);
	return r;
}

/*
 * Nobody may be kept out of what the relay's own user may read, a tree in root's home for example:
 * where nobody finds mistakes, those count that the relay's user finds.
 */
int
checker_run(int program, const char *folder, const char *modules, struct checker_answer *ret,
    struct pn_error *err)
{
	int r = run_as(program, NULL, folder, modules, ret, err);
	char *user = r == -EINVAL && ret->user && geteuid() == 0 ? strdup(ret->user) : NULL;

	if (user) {
		checker_answer_free(ret);
		r = run_as(program, user, folder, modules, ret, err);
		free(user);
	}
	return r;
}

void
checker_answer_free(struct checker_answer *answer)
{
	arena_free(&answer->arena);
	buf_wipe(&answer->bundle);
	buf_free(&answer->blobs);
	buf_free(&answer->diagnostics);
	answer->listener_count = 0;
}
