/* SPDX-License-Identifier: Apache-2.0 */
/*
 * simulate.c - posternctl limits simulate: the same counters, on mail that there is not.
 *
 * Must never write anything down: the book that it fills is thrown away.
 */
#include "limits.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define RECIPIENTS_MOST 10000000 /* of all messages together */
#define DAY_MS          INT64_C(86400000)

/* One message of the simulation. */
struct attempt {
	struct limits_state *state;
	const struct rules *rules;
	struct who who;
	uint64_t id;
	int64_t at;
};

static int
begin(const struct attempt *attempt, const struct limits_plan *plan, const char **ret)
{
	enum counter limit;

	if (plan && !plan->relay) {
		*ret = "550 5.7.1 Relaying is not part of this account's plan";
		return -EPERM;
	}
	limit = book_message(
	    attempt->state->book, attempt->rules, &attempt->who, attempt->id, attempt->at);
	*ret = limits_reply(limit);
	return limit == LIMIT_NONE ? 0 : -EPERM;
}

static const char *
add(const struct attempt *attempt, uint64_t recipient, size_t position)
{
	bool late;

	return limits_reply(book_recipient(attempt->state->book, attempt->rules, &attempt->who,
	    attempt->id, recipient, position, attempt->at, &late));
}

static void
end(const struct attempt *attempt, const GArray *recipients)
{
	if (recipients->len == 0)
		book_abort(attempt->state->book, attempt->id);
	else
		book_commit(attempt->state->book, attempt->rules, &attempt->who, attempt->id,
		    attempt->at, (const uint64_t *)(const void *)recipients->data, recipients->len,
		    attempt->at, NULL);
}

static void
put_number(struct pn_console *console, const char *name, int64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)number);
	pn_console_field(console, name, text);
}

/* ---- from now on ----------------------------------------------------------------------------- */

static int
read_count(const char *text, int64_t *ret, struct pn_error *err)
{
	char *rest;
	long long number = strtoll(text, &rest, 10);

	if (*text < '0' || *text > '9' || *rest || number < 1 || number > RECIPIENTS_MOST)
		return pn_error_set(
		    err, -EINVAL, "\"%.40s\" is not a number from 1 to %d", text, RECIPIENTS_MOST);
	*ret = number;
	return 0;
}

static uint64_t
invented(const struct limits_state *state, const char *what, int64_t number)
{
	char text[64];

	snprintf(text, sizeof(text), "%s %lld", what, (long long)number);
	return limits_hash(state, text);
}

/* The first refusal ends it. */
static void
run_messages(struct pn_console *console, struct limits_state *state,
    const struct party_found *found, const struct limits_plan *plan, int64_t messages, int64_t each)
{
	struct attempt attempt = { .state = state,
		.rules = &found->rules,
		.who = { found->user, found->account.name },
		.at = now_ms() };
	GArray *recipients = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	const char *reply = NULL;
	int64_t message, recipient = 0;

	for (message = 0; message < messages && !reply; message++) {
		attempt.id = invented(state, "message", message);
		g_array_set_size(recipients, 0);
		recipient = 0;
		begin(&attempt, plan, &reply);
		for (; recipient < each && !reply; recipient++) {
			uint64_t hash = invented(state, "recipient", recipient);

			reply = add(&attempt, hash, (size_t)recipient + 1);
			if (!reply)
				g_array_append_val(recipients, hash);
		}
		end(&attempt, recipients);
	}
	pn_console_row(console);
	pn_console_field(console, "user", found->user);
	pn_console_field(console, "result", reply ? "refused" : "passes");
	put_number(console, "message", message);
	put_number(console, "recipient", recipient);
	pn_console_field(console, "reply", reply ? reply : "");
	g_array_free(recipients, TRUE);
}

static int
simulate_messages(struct pn_call *call, struct pn_console *console, char **argv,
    struct limits_state *state, struct pn_error *err)
{
	struct party_found found;
	int64_t messages = 0, recipients = 0;
	int r = read_count(argv[1], &messages, err);

	if (r == 0)
		r = read_count(argv[2], &recipients, err);
	if (r == 0 && messages > RECIPIENTS_MOST / recipients)
		r = pn_error_set(err, -E2BIG, "more than %d recipients in all", RECIPIENTS_MOST);
	if (r == 0)
		r = party_find(call, argv[0], &found, err);
	if (r == 0 && !found.is_user)
		r = pn_error_set(err, -EINVAL, "\"%.100s\" is not a user's address", argv[0]);
	if (r == 0)
		run_messages(console, state, &found, rules_plan(pn_settings(call), &found.account),
		    messages, recipients);
	return r;
}

/* ---- mail in a file -------------------------------------------------------------------------- */

struct csv {
	struct pn_call *call;
	struct pn_console *console;
	struct limits_state *state;
	int64_t base, last; /* midnight; of the line before */
	int64_t line, messages, accepted, refused;
};

static void
put_refusal(const struct csv *csv, const char *user, const char *recipient, const char *reply)
{
	pn_console_row(csv->console);
	put_number(csv->console, "line", csv->line);
	pn_console_field(csv->console, "user", user);
	pn_console_field(csv->console, "recipient", recipient);
	pn_console_field(csv->console, "reply", reply);
}

static void
run_line(struct csv *csv, const struct party_found *found, int64_t at, char **recipients)
{
	struct attempt attempt = { .state = csv->state,
		.rules = &found->rules,
		.who = { found->user, found->account.name },
		.id = invented(csv->state, "line", csv->line),
		.at = at };
	GArray *taken = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	const char *reply;

	csv->messages++;
	if (begin(&attempt, rules_plan(pn_settings(csv->call), &found->account), &reply) < 0) {
		put_refusal(csv, found->user, "", reply);
		csv->refused += g_strv_length(recipients);
		g_array_free(taken, TRUE);
		return;
	}
	for (; *recipients; recipients++) {
		uint64_t hash = limits_hash_address(csv->state, *recipients);

		reply = add(&attempt, hash, taken->len + 1);
		if (reply) {
			put_refusal(csv, found->user, *recipients, reply);
			csv->refused++;
		} else {
			g_array_append_val(taken, hash);
		}
	}
	csv->accepted += taken->len;
	end(&attempt, taken);
	g_array_free(taken, TRUE);
}

static int
read_line(struct csv *csv, char *text, struct pn_error *err)
{
	char **fields = g_strsplit(g_strstrip(text), ",", -1), *rest = NULL;
	struct party_found found;
	double seconds = 0;
	int r = 0;

	csv->line++;
	if (!fields[0] || !*fields[0] || *fields[0] == '#') {
		g_strfreev(fields);
		return 0;
	}
	for (char **field = fields; *field; field++)
		g_strstrip(*field);
	seconds = g_ascii_strtod(fields[0], &rest);
	if (*rest || !(seconds >= 0 && seconds < 1e9) || !fields[1] || !fields[2])
		r = pn_error_set(err, -EINVAL, "is not SECONDS,USER,RECIPIENT,...");
	else if (csv->base + (int64_t)(seconds * 1000) < csv->last)
		r = pn_error_set(err, -EINVAL, "is earlier than the line before");
	if (r == 0)
		r = party_find(csv->call, fields[1], &found, err);
	if (r == 0 && !found.is_user)
		r = pn_error_set(err, -EINVAL, "\"%.100s\" is not a user's address", fields[1]);
	if (r == 0) {
		csv->last = csv->base + (int64_t)(seconds * 1000);
		run_line(csv, &found, csv->last, fields + 2);
	}
	g_strfreev(fields);
	return r < 0 ? pn_error_in(err, "line %lld", (long long)csv->line) : 0;
}

static int
simulate_file(struct csv *csv, const char *path, struct pn_error *err)
{
	FILE *file = strcmp(path, "-") ? fopen(path, "r") : stdin;
	char *text = NULL;
	size_t size = 0;
	int r = 0;

	if (!file)
		return pn_error_set(err, -errno, "%s: %s", path, strerror(errno));
	csv->base = csv->last = now_ms() / DAY_MS * DAY_MS;
	while (r == 0 && getline(&text, &size, file) >= 0)
		r = read_line(csv, text, err);
	free(text);
	if (file != stdin)
		fclose(file);
	if (r < 0)
		return r;
	pn_console_row(csv->console);
	put_number(csv->console, "messages", csv->messages);
	put_number(csv->console, "accepted_recipients", csv->accepted);
	put_number(csv->console, "refused_recipients", csv->refused);
	return 0;
}

int
simulate_command(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	bool file = strcmp(argv[0], "--csv") == 0;
	struct limits_state *state = NULL;
	struct csv csv = { .call = call, .console = console };
	int r;

	if (argc != (file ? 2 : 3))
		return pn_error_set(err, -EINVAL,
		    "usage: posternctl limits simulate USER MESSAGES RECIPIENTS | --csv FILE");
	r = limits_open(call, false, &state, err);
	if (r < 0)
		return r;
	if (file) { /* what was sent until now has no part in it */
		book_free(&state->book);
		state->book = book_new();
		csv.state = state;
	}
	r = file ? simulate_file(&csv, argv[1], err)
		 : simulate_messages(call, console, argv, state, err);
	limits_close(&state);
	return r;
}
