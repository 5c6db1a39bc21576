/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.c - posternctl limits show, reset.
 *
 * They work on the journal, so also while no relay runs; one that runs is at most a second ahead
 * of it, and reads a reset within a second.
 */
#include "limits.h"
#include <errno.h>
#include <stdio.h>
#include <time.h>

static const char *const names[COUNTERS] = {
	[ACCOUNT_MESSAGES] = "messages",
	[ACCOUNT_DAY] = "recipients",
	[ACCOUNT_PEAK] = "peak recipients",
	[USER_MESSAGES] = "messages",
	[USER_UNIQUE] = "unique recipients",
};

const char *
counter_name(enum counter counter)
{
	return names[counter];
}

/* ---- whom it is about ------------------------------------------------------------------------ */

int
party_find(struct pn_call *call, const char *name, struct party_found *ret, struct pn_error *err)
{
	char postmaster[PN_ADDRESS_SIZE + 16];
	const struct limits *cfg;

	*ret = (struct party_found){ .is_user = strchr(name, '@') != NULL };
	if (ret->is_user && limits_user_name(name, ret->user) < 0)
		return pn_error_set(err, -EINVAL, "\"%.100s\" is not an address", name);
	if (!ret->is_user && !pn_account_find(call, name, &ret->account))
		return pn_error_set(err, -ENOENT, "no account is called \"%.100s\"", name);
	if (ret->is_user) {
		cfg = pn_settings_for(call, ret->user, &ret->account, err);
	} else if (ret->account.domain_count > 0) {
		/* Anybody's there: what is set for the account holds for him. */
		snprintf(postmaster, sizeof(postmaster), "postmaster@%s", ret->account.domains[0]);
		cfg = pn_settings_for(call, postmaster, NULL, err);
	} else {
		cfg = pn_settings(call);
	}
	if (!cfg)
		return -EINVAL;
	rules_make(cfg, ret->account.name ? &ret->account : NULL, &ret->rules);
	return 0;
}

/* ---- show ------------------------------------------------------------------------------------ */

static void
put_number(struct pn_console *console, const char *name, int64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)number);
	pn_console_field(console, name, number == NO_LIMIT ? "none" : text);
}

/* As late as it takes: a second is over when its last millisecond is. */
void
time_text(int64_t ms, char ret[TIME_TEXT_SIZE])
{
	time_t seconds = (time_t)((ms + 999) / 1000);
	struct tm tm;

	*ret = '\0';
	if (ms > 0)
		strftime(ret, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &tm));
}

static void
put_time(struct pn_console *console, const char *name, int64_t ms)
{
	char text[TIME_TEXT_SIZE];

	time_text(ms, text);
	pn_console_field(console, name, text);
}

void
span_text(const struct span *span, char ret[SPAN_TEXT_SIZE])
{
	static const struct {
		int64_t ms;
		char unit;
	} units[] = { { 3600000, 'h' }, { 60000, 'm' }, { 1000, 's' } };

	for (size_t i = 0; i < G_N_ELEMENTS(units); i++) {
		if (span->ms % units[i].ms != 0 && i + 1 < G_N_ELEMENTS(units))
			continue;
		snprintf(ret, SPAN_TEXT_SIZE, "%lld%c%s", (long long)(span->ms / units[i].ms),
		    units[i].unit, span->fixed ? " fixed" : "");
		break;
	}
}

static void
put_window(struct pn_console *console, const struct span *span)
{
	char text[SPAN_TEXT_SIZE];

	span_text(span, text);
	pn_console_field(console, "window", text);
}

static void
show(struct pn_console *console, const struct limits_state *state, const struct rules *rules,
    const char *name, bool account)
{
	struct figure figures[COUNTERS];
	size_t count = book_figures(state->book, rules, name, account, now_ms(), figures);

	for (size_t i = 0; i < count; i++) {
		pn_console_row(console);
		pn_console_field(console, account ? "account" : "user", name);
		pn_console_field(console, "counter", names[figures[i].counter]);
		put_number(console, "used", figures[i].count);
		put_number(console, "limit", figures[i].most);
		put_window(console, &rules->span[figures[i].counter]);
		put_time(console, "next_frees", figures[i].frees);
		put_time(console, "all_free", figures[i].empty);
	}
}

static int
run_show(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct limits_state *state = NULL;
	struct party_found found;
	int r = party_find(call, argv[0], &found, err);

	if (r == 0)
		r = limits_open(call, false, &state, err);
	if (r < 0)
		return r;
	if (found.is_user)
		show(console, state, &found.rules, found.user, false);
	if (found.account.name)
		show(console, state, &found.rules, found.account.name, true);
	limits_close(&state);
	return 0;
}

/* ---- reset ----------------------------------------------------------------------------------- */

/* "3 messages, 2 unique recipients" */
static void
describe(const struct limits_state *state, const struct party_found *found, char *ret, size_t size)
{
	struct figure figures[COUNTERS];
	size_t count = book_figures(state->book, &found->rules,
	    found->is_user ? found->user : found->account.name, !found->is_user, now_ms(), figures);
	size_t len = 0;

	for (size_t i = 0; i < count && len < size; i++)
		len += (size_t)snprintf(ret + len, size - len, "%s%lld %s", i > 0 ? ", " : "",
		    (long long)figures[i].count, names[figures[i].counter]);
}

static int
run_reset(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct record record = { .type = RECORD_RESET, .at = now_ms() };
	struct limits_state *state = NULL;
	struct party_found found;
	char before[200];
	const char *name;
	int r = party_find(call, argv[0], &found, err);

	if (r == 0)
		r = limits_open(call, false, &state, err);
	if (r < 0)
		return r;
	describe(state, &found, before, sizeof(before));
	limits_close(&state);
	name = found.is_user ? found.user : found.account.name;
	*(found.is_user ? &record.user : &record.account) = pn_slice_of(name);
	pn_audit(call, found.is_user ? name : NULL, name, before, "nothing");
	r = store_add(call, &record, err);
	if (r < 0)
		return r;
	pn_console_row(console);
	pn_console_field(console, found.is_user ? "user" : "account", name);
	pn_console_field(console, "was", before);
	pn_console_field(console, "counters", "reset");
	return 0;
}

const struct pn_command limits_commands[] = {
	{ "limits show", "USER|ACCOUNT",
	    "Shows every counter, its limit, and when it frees; of a user also the account's.", 1,
	    1, run_show },
	{ "limits simulate", "USER MESSAGES RECIPIENTS | --csv FILE",
	    "Says whether so many messages, each to the same so many new recipients, would pass "
	    "from now on, or what of the mail in a file (lines of SECONDS,USER,RECIPIENT,...) "
	    "would not.",
	    2, 3, simulate_command },
	{ "limits reset", "USER|ACCOUNT", "Lets the counters begin anew; audited.", 1, 1,
	    run_reset },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
