/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_queue.c - posternctl queue ...: shows and changes waiting mail.
 *
 * The running relay does it (core/master/relay_queue.c) and checks what is asked; here words become
 * a request, and the answer becomes rows.
 */
#include <core/config/option.h>
#include <core/ctl/commands.h>
#include <core/queue/filter.h>
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_MOST 3000

/* ---- the request ---- */

/* Words that are no filter: name, key of the request, and what the value is. */
enum word_kind { WORD_FLAG, WORD_TEXT, WORD_COUNT, WORD_TIME };
static const struct word {
	const char *name, *key;
	enum word_kind kind;
} words[] = {
	{ "all", "all", WORD_FLAG },
	{ "bounce", "bounce", WORD_FLAG },
	{ "count", "count", WORD_FLAG },
	{ "limit", "limit", WORD_COUNT },
	{ "after", "after", WORD_TEXT },
	{ "reason", "reason", WORD_TEXT },
	{ "for", "for_ms", WORD_TIME },
	{ "then", "then", WORD_TEXT },
};

/* Which of them a command knows. */
struct grammar {
	const char *command, *known;
};

static const struct word *
find_word(const struct grammar *grammar, const char *name)
{
	size_t len = strlen(name);
	const char *at = grammar->known;

	for (; (at = strstr(at, name)); at += len)
		if ((at == grammar->known || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
			break;
	for (size_t i = 0; at && len > 0 && i < sizeof(words) / sizeof(*words); i++)
		if (strcmp(words[i].name, name) == 0)
			return &words[i];
	return NULL;
}

static int
take_word(json_t *request, const struct word *word, const char *text, struct pn_error *err)
{
	struct pn_option row = { .type = word->kind == WORD_TIME ? PN_TYPE_DURATION : PN_TYPE_INT,
		.min = word->kind == WORD_TIME,
		.max = INT64_MAX };
	struct pn_error why = { 0 };
	int64_t number;

	if (word->kind == WORD_FLAG) {
		json_object_set_new(request, word->key, json_true());
	} else if (word->kind == WORD_TEXT) {
		json_object_set_new(request, word->key, json_string(text));
	} else {
		if (option_read(&row, text, &number, &why) < 0)
			return pn_error_set(
			    err, -EINVAL, "--%s: \"%s\" %s", word->name, text, why.text);
		json_object_set_new(request, word->key, json_integer(number));
	}
	return 0;
}

/* "--sender=X" and "--sender X". */
static int
take_option(const struct grammar *grammar, json_t *request, char **argv, int argc, int *at,
    struct pn_error *err)
{
	char *name = strdup(argv[*at] + 2), *equals = strchr(name, '=');
	const struct word *word;
	const char *value = NULL;
	int r = 0;

	if (equals)
		*equals = '\0';
	word = find_word(grammar, name);
	if (equals)
		value = equals + 1;
	else if ((!word || word->kind != WORD_FLAG) && *at + 1 < argc)
		value = argv[++*at];
	if (word && word->kind == WORD_FLAG && value)
		r = pn_error_set(err, -EINVAL, "--%s takes no value", name);
	else if ((!word || word->kind != WORD_FLAG) && !value)
		r = pn_error_set(err, -EINVAL, "--%s needs a value", name);
	else if (word)
		r = take_word(request, word, value, err);
	else
		json_array_append_new(
		    json_object_get(request, "filters"), json_pack("[s, s]", name, value));
	free(name);
	return r;
}

static const char *
caller(char *memory, size_t size)
{
	const struct passwd *pw = getpwuid(getuid());

	snprintf(memory, size, "%u", (unsigned)getuid());
	return pw ? pw->pw_name : memory;
}

/* NULL: wrong words. */
static json_t *
make_request(const struct grammar *grammar, int argc, char **argv, struct pn_error *err)
{
	char memory[24];
	json_t *request = json_pack("{s:s, s:s, s:[], s:[], s:b}", "command", grammar->command,
	    "who", caller(memory, sizeof(memory)), "filters", "ids", "progress",
	    isatty(STDERR_FILENO));
	int r = 0;

	for (int i = 0; r == 0 && i < argc; i++) {
		if (strncmp(argv[i], "--", 2) == 0)
			r = take_option(grammar, request, argv, argc, &i, err);
		else
			json_array_append_new(
			    json_object_get(request, "ids"), json_string(argv[i]));
	}
	if (r == 0 && json_is_true(json_object_get(request, "count")))
		json_object_set_new(request, "limit", json_integer(0));
	if (r == 0)
		return request;
	json_decref(request);
	return NULL;
}

/* ---- the answer ---- */

static void
show_progress(void *arg, json_t *state)
{
	*(bool *)arg = true;
	fprintf(stderr, "\r%lld of %lld messages",
	    (long long)json_integer_value(json_object_get(state, "done")),
	    (long long)json_integer_value(json_object_get(state, "of")));
	fflush(stderr);
}

static int
ask(struct ctl *ctl, const struct grammar *grammar, int argc, char **argv, json_t **ret,
    struct pn_error *err)
{
	json_t *request = make_request(grammar, argc, argv, err);
	bool shown = false;
	struct control_listener listener = { show_progress, &shown };
	int code;

	if (!request)
		return EXIT_USAGE;
	code = ctl_ask(ctl, request, &listener, ret, err);
	if (shown)
		fputc('\n', stderr);
	if (code == EXIT_OK && json_is_true(json_object_get(*ret, "loading")))
		fputs("posternctl: the relay is still reading the queue from disk: "
		      "this is what it has so far\n",
		    stderr);
	return code;
}

/* What has room on a line. */
static json_t *
short_row(json_t *row)
{
	static const char *const names[] = { "id", "from", "to", "state", "attempts", "due" };
	const char *owner = json_string_value(json_object_get(row, "held_by"));
	const char *reason = json_string_value(json_object_get(row, "reason"));
	json_t *ret = json_object();

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		json_t *value = json_object_get(row, names[i]);

		json_object_set(ret, names[i], value ? value : json_null());
	}
	if (owner || reason)
		json_object_set_new(ret, "why",
		    json_sprintf("held by %s%s%s", owner ? owner : "?", reason ? ": " : "",
			reason ? reason : ""));
	else
		json_object_set(ret, "why", json_object_get(row, "reply"));
	if (!json_object_get(ret, "why"))
		json_object_set_new(ret, "why", json_null());
	return ret;
}

static void
add_rows(struct ctl *ctl, json_t *answer, bool whole)
{
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(answer, "recipients"), i, row)
	{
		console_add(&ctl->console, whole ? json_incref(row) : short_row(row));
	}
}

static long long
number(json_t *answer, const char *name)
{
	return (long long)json_integer_value(json_object_get(answer, name));
}

static int
run_list(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	static const struct grammar grammar = { "queue list", "count limit after" };
	const char *next;
	json_t *answer;
	int code = ask(ctl, &grammar, argc, argv, &answer, err);

	if (code != EXIT_OK)
		return code;
	add_rows(ctl, answer, ctl->console.json);
	next = json_string_value(json_object_get(answer, "next"));
	if (!ctl->console.json) {
		printf("%lld messages, %lld recipients\n", number(answer, "messages"),
		    number(answer, "matching_recipients"));
		if (next)
			printf("These are the oldest; the next ones: --after %s\n", next);
	} else if (json_array_size(json_object_get(answer, "recipients")) == 0 &&
		   number(answer, "messages") > 0) {
		console_add(&ctl->console,
		    json_pack("{s:I, s:I}", "messages", (json_int_t)number(answer, "messages"),
			"recipients", (json_int_t)number(answer, "matching_recipients")));
	}
	json_decref(answer);
	return EXIT_OK;
}

static void
print_history(json_t *answer)
{
	json_t *lines, *line;
	const char *id;
	size_t i;

	json_object_foreach(json_object_get(answer, "history"), id, lines)
	{
		json_array_foreach(lines, i, line) puts(json_string_value(line));
	}
}

static int
run_show(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	static const struct grammar grammar = { "queue show", "limit after" };
	json_t *answer, *row;
	size_t i;
	int code = ask(ctl, &grammar, argc, argv, &answer, err);

	if (code != EXIT_OK)
		return code;
	if (json_array_size(json_object_get(answer, "recipients")) == 0) {
		json_decref(answer);
		pn_error_set(err, -ENOENT, "nothing in the queue matches");
		return EXIT_REFUSED;
	}
	if (ctl->console.json) {
		console_add(&ctl->console, answer);
		return EXIT_OK;
	}
	json_array_foreach(json_object_get(answer, "recipients"), i, row)
	{
		struct pn_console one = { .rows = json_pack("[O]", row) };

		console_print(&one, stdout);
		putchar('\n');
		console_close(&one);
	}
	print_history(answer);
	json_decref(answer);
	return EXIT_OK;
}

static int
change(struct ctl *ctl, const struct grammar *grammar, const char *done, int argc, char **argv,
    struct pn_error *err)
{
	const char *audit;
	json_t *answer;
	int code = ask(ctl, grammar, argc, argv, &answer, err);

	if (code != EXIT_OK)
		return code;
	if (number(answer, "matching_recipients") == 0) {
		pn_error_set(err, -ENOENT, "nothing in the queue matches");
		code = EXIT_REFUSED;
	} else if (!json_is_true(json_object_get(answer, "durable"))) {
		pn_error_set(err, -EIO,
		    "done, but the disk has failed: it may not be so any more after a restart");
		code = EXIT_REFUSED;
	}
	audit = json_string_value(json_object_get(answer, "audit"));
	if (audit)
		fprintf(stderr, "posternctl: not written to the audit trail: %s\n", audit);
	if (code == EXIT_OK && ctl->console.json) {
		console_add(&ctl->console, answer);
		return code;
	}
	if (code == EXIT_OK) {
		add_rows(ctl, answer, false);
		printf("%lld of %lld recipients %s, %lld messages; %lld were so already or "
		       "cannot be, %lld are being sent\n",
		    number(answer, "changed"), number(answer, "matching_recipients"), done,
		    number(answer, "messages"), number(answer, "unchanged"),
		    number(answer, "busy"));
	}
	json_decref(answer);
	return code;
}

static int
run_hold(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	static const struct grammar grammar = { "queue hold", "all limit reason for then" };

	return change(ctl, &grammar, "held", argc, argv, err);
}

static int
run_release(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	static const struct grammar grammar = { "queue release", "all limit" };

	return change(ctl, &grammar, "released", argc, argv, err);
}

static int
run_retry(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	static const struct grammar grammar = { "queue retry", "all limit" };

	return change(ctl, &grammar, "due now", argc, argv, err);
}

static int
run_delete(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	static const struct grammar grammar = { "queue delete", "all limit bounce" };

	return change(ctl, &grammar, "deleted", argc, argv, err);
}

static int
run_filters(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	for (const struct filter_kind *kind = filter_kinds; kind->name; kind++) {
		pn_console_row(&ctl->console);
		pn_console_field(&ctl->console, "filter", kind->name);
		pn_console_field(&ctl->console, "value", kind->argument);
		pn_console_field(&ctl->console, "matches", kind->help);
	}
	return EXIT_OK;
}

const struct ctl_command ctl_queue_commands[] = {
	{ "queue filters", "",
	    "Show by what the queue commands choose; * and ? stand for anything.", 0, 0,
	    run_filters },
	{ "queue list", "[ID ...] [FILTER ...] [--count] [--limit MESSAGES] [--after ITEM]",
	    "Show the messages that wait, oldest first, a line per recipient.", 0, ARGUMENTS_MOST,
	    run_list },
	{ "queue show", "[ID ...] [FILTER ...]",
	    "Show all that is known of waiting messages, with their attempts.", 1, ARGUMENTS_MOST,
	    run_show },
	{ "queue hold",
	    "[ID ...] [FILTER ...] [--all] [--reason TEXT] [--for TIME [--then "
	    "bounce|release|delete]]",
	    "Keep recipients from being sent until they are released.", 1, ARGUMENTS_MOST,
	    run_hold },
	{ "queue release", "[ID ...] [FILTER ...] [--all]", "Send what was held.", 1,
	    ARGUMENTS_MOST, run_release },
	{ "queue retry", "[ID ...] [FILTER ...] [--all]", "Try now, not only when it is due.", 1,
	    ARGUMENTS_MOST, run_retry },
	{ "queue delete", "[ID ...] [FILTER ...] [--all] [--bounce]",
	    "Delete for good; the sender is told only with --bounce.", 1, ARGUMENTS_MOST,
	    run_delete },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
