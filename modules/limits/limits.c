/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits.c - how much may a user send, and how much an account?
 *
 * Runs at MAIL (messages) and at each RCPT (recipients), on the event loop: all counters are in
 * memory (book.h). What was accepted counts when it is committed; every second that goes to a
 * journal in the database (store.c), from which the counters are made again at a start.
 *
 * Must never count what was refused, nor a message twice, nor answer a user of an exhausted account
 * in words of the user's own limit.
 */
#include "limits.h"
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DAY_MS          INT64_C(86400000)
#define EFFECT          "count"
#define SWEEP_MS        60000
#define HASHES_ON_STACK 16

/* ---- settings -------------------------------------------------------------------------------- */

/* Counted for all of an account, so no figure of a part of it. */
#define PER_ACCOUNT (PN_SCOPED | PN_ACCOUNT_ONLY)

static const struct pn_option user_options[] = { PN_OPT_INT("messages", struct limits_user,
						     messages, "10000", 0, INT64_MAX, PN_SCOPED,
						     "Messages of a user; 0: no limit."),
	PN_OPT_INT("unique_recipients", struct limits_user, unique_recipients, "10000", 0,
	    INT64_MAX, PN_SCOPED,
	    "Different recipients of a user, who counts once however often he is written to; 0: no "
	    "limit."),
	PN_OPT_DURATION(
	    "per", struct limits_user, per, "24h", 1000, 366 * DAY_MS, 0, "Window of both."),
	PN_OPT_END };

static const struct pn_option account_options[] = {
	PN_OPT_INT("recipients_per_licence", struct limits_account, per_licence, "130", 0,
	    1000000000, PER_ACCOUNT,
	    "Recipients of an account, each time that they are written to, for each of its "
	    "licences; 0, or no licences: `most` alone."),
	PN_OPT_INT("most", struct limits_account, most, "4600000", 1, INT64_MAX / 2, PER_ACCOUNT,
	    "Recipients of an account, however many licences it has."),
	PN_OPT_DURATION("per", struct limits_account, per, "24h", 1000, 366 * DAY_MS, 0,
	    "Window; also of a plan's messages."),
	PN_OPT_END
};

static const struct pn_option peak_options[] = {
	PN_OPT_INT("recipients_per_licence", struct limits_account, per_licence, "9", 0, 1000000000,
	    PER_ACCOUNT, "The same in a short window, refused for now (450)."),
	PN_OPT_INT("most", struct limits_account, most, "319444", 1, INT64_MAX / 2, PER_ACCOUNT,
	    "The same, however many licences it has."),
	PN_OPT_DURATION(
	    "per", struct limits_account, per, "10m", 1000, 366 * DAY_MS, 0, "The short window."),
	PN_OPT_END
};

static const struct pn_option unpaid_options[] = {
	PN_OPT_INT("recipients", struct limits_unpaid, recipients, "100", 1, INT64_MAX / 2,
	    PER_ACCOUNT, "In place of account's figures."),
	PN_OPT_INT("peak", struct limits_unpaid, peak, "50", 1, INT64_MAX / 2, PER_ACCOUNT,
	    "In place of peak's figures."),
	PN_OPT_END
};

static const struct pn_option plan_options[] = {
	PN_OPT_BOOL("relay", struct limits_plan, relay, "yes", 0,
	    "Whether mail is relayed at all: 550 5.7.1 at MAIL where not."),
	PN_OPT_INT("messages", struct limits_plan, messages, "0", 0, INT64_MAX / 2, 0,
	    "Messages of the account within `account.per`, each to any number of recipients; 0: "
	    "no limit."),
	PN_OPT_BOOL("recipients", struct limits_plan, recipients, "yes", 0,
	    "Whether `account`, `peak` and `unpaid` hold."),
	PN_OPT_BOOL("users", struct limits_plan, users, "yes", 0, "Whether `user` holds."),
	PN_OPT_END
};

static const struct pn_option warn_options[] = {
	PN_OPT_INT("at", struct limits_warn, at, "80", 0, 100, PN_SCOPED,
	    "Percent of a limit at which a warning is due, once a window; 0: never."),
	PN_OPT_BOOL("user", struct limits_warn, user, "yes", PN_SCOPED,
	    "Whether users get it by mail when the limit is their own: who logged in or is "
	    "registered, not who only says so."),
	PN_OPT_STRINGS("admins", struct limits_warn, admins, NULL, PN_SCOPED,
	    "Addresses that get it by mail, of users and of accounts."),
	PN_OPT_END
};

static const struct pn_choice windows[] = {
	{ "sliding", WINDOW_SLIDING, "the last so many hours, at any moment" },
	{ "fixed", WINDOW_FIXED, "since the last multiple of it, in UTC: 24h begins at midnight" },
	{ NULL, 0, NULL },
};

static const struct pn_option limits_options[] = {
	PN_OPT_GROUP("user", struct limits, user, struct limits_user, user_options, 0,
	    "Limits of each user: who logged in, else the sender, in any case; the null "
	    "sender is nobody."),
	PN_OPT_GROUP("account", struct limits, account, struct limits_account, account_options, 0,
	    "Limits of each account; they speak before those of its users."),
	PN_OPT_GROUP("peak", struct limits, peak, struct limits_account, peak_options, 0,
	    "Limits of each account in a short window."),
	PN_OPT_GROUP("unpaid", struct limits, unpaid, struct limits_unpaid, unpaid_options, 0,
	    "Recipients of an account that has not paid yet."),
	PN_OPT_MAP("plans", struct limits, plans, struct limits_plan, plan_options, 0,
	    "What holds for accounts by the name of their plan."),
	PN_OPT_CHOICE("window", struct limits, window, "sliding", windows, 0,
	    "How windows move. What counts in one is the time of MAIL."),
	PN_OPT_GROUP("warn", struct limits, warn, struct limits_warn, warn_options, 0,
	    "Warnings before a limit is reached: in the log, and by mail."),
	PN_OPT_SIZE("memory", struct limits, memory, "256m", 1024 * 1024, INT64_MAX, 0,
	    "What all counters together may take: some 72 bytes for each user's recipient. "
	    "Where that is not enough MAIL is answered 452."),
	PN_OPT_END
};

/* ---- life ------------------------------------------------------------------------------------ */

int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
limits_stop(void *data)
{
	struct limits_state *state = data;

	book_free(&state->book);
	warn_free(&state->notices);
	sodium_memzero(state->key, sizeof(state->key));
	free(state);
}

/* In a trial the tables may not be there yet: then nothing has been counted. */
static int
recall(struct pn_call *call, struct limits_state *state, bool starts, struct pn_error *err)
{
	int r = store_key(call, state, starts && !pn_is_trial(call), err);

	if (r == 0)
		r = store_read(call, state, err);
	return pn_is_trial(call) ? 0 : r;
}

int
limits_open(struct pn_call *call, bool starts, struct limits_state **ret, struct pn_error *err)
{
	struct limits_state *state;
	unsigned char random[16];
	int r;

	if (sodium_init() < 0)
		return pn_error_set(err, -ENOTSUP, "libsodium cannot be used here");
	state = calloc(1, sizeof(*state));
	if (!state)
		return pn_error_set(err, -ENOMEM, "out of memory");
	state->book = book_new();
	warn_init(&state->notices);
	r = recall(call, state, starts, err);
	if (r < 0) {
		limits_stop(state);
		return r;
	}
	/* From now on its own rows are not read again. */
	randombytes_buf(random, sizeof(random));
	sodium_bin2hex(state->writer, sizeof(state->writer), random, sizeof(random));
	*ret = state;
	return 0;
}

void
limits_close(struct limits_state **state)
{
	limits_stop(*state);
	*state = NULL;
}

static int
limits_start(struct pn_call *call, void **ret_state, struct pn_error *err)
{
	struct limits_state *state;
	int r = limits_open(call, true, &state, err);

	if (r == 0)
		*ret_state = state;
	return r;
}

/* ---- who and whom ---------------------------------------------------------------------------- */

uint64_t
limits_hash(const struct limits_state *state, const char *text)
{
	unsigned char hash[crypto_shorthash_BYTES];
	uint64_t number;

	crypto_shorthash(hash, (const unsigned char *)text, strlen(text), state->key);
	memcpy(&number, hash, sizeof(number));
	return number;
}

uint64_t
limits_hash_address(const struct limits_state *state, const char *address)
{
	char canonical[PN_ADDRESS_SIZE];

	return limits_hash(
	    state, pn_address_canonical(address, canonical) == 0 ? canonical : address);
}

/* As the directory compares names (Unicode section 3.13, D145); what is none any more stays. */
static void
fold(char address[PN_ADDRESS_SIZE])
{
	char *plain = g_utf8_normalize(address, -1, G_NORMALIZE_NFD);
	char *folded = plain ? g_utf8_casefold(plain, -1) : NULL;
	char *composed = folded ? g_utf8_normalize(folded, -1, G_NORMALIZE_NFC) : NULL;
	char checked[PN_ADDRESS_SIZE];

	if (composed && pn_address_canonical(composed, checked) == 0)
		strcpy(address, checked);
	g_free(plain);
	g_free(folded);
	g_free(composed);
}

int
limits_user_name(const char *address, char ret[PN_ADDRESS_SIZE])
{
	int r = pn_address_canonical(address, ret);

	if (r < 0)
		snprintf(ret, PN_ADDRESS_SIZE, "%s", address);
	for (char *p = ret; *p; p++)
		*p = g_ascii_tolower(*p);
	if (!g_str_is_ascii(ret))
		fold(ret);
	return r;
}

/* A message, and whom it is counted for. */
struct subject {
	const struct limits *cfg;
	struct limits_state *state;
	struct rules rules;
	struct pn_account account;
	bool has_account;
	struct who who;
	char user[PN_ADDRESS_SIZE];
	uint64_t id;
};

static void
identify(struct pn_call *call, const struct pn_txn *txn, struct subject *ret)
{
	const char *user = pn_txn_user(txn);

	*ret = (struct subject){ .cfg = pn_settings(call), .state = pn_state(call) };
	ret->has_account = pn_txn_account(txn, &ret->account);
	rules_make(ret->cfg, ret->has_account ? &ret->account : NULL, &ret->rules);
	ret->id = limits_hash(ret->state, pn_txn_id(txn));
	ret->who.account = ret->has_account ? ret->account.name : NULL;
	if (!user)
		user = pn_txn_original_sender(txn);
	if (!*user)
		return;
	limits_user_name(user, ret->user);
	ret->who.user = ret->user;
}

/* ---- MAIL and RCPT --------------------------------------------------------------------------- */

const char *
limits_reply(enum counter limit)
{
	static const char *const replies[] = {
		[ACCOUNT_MESSAGES] = "550 5.7.1 Daily SMTP relay limit exceeded for customer.",
		[ACCOUNT_DAY] = "550 5.7.1 Daily SMTP relay limit exceeded for customer.",
		[ACCOUNT_PEAK] = "450 4.2.1 Peak SMTP relay limit exceeded for customer.",
		[USER_MESSAGES] = "550 5.4.5 Daily SMTP relay limit exceeded for user.",
		[USER_UNIQUE] = "550 5.4.5 Daily SMTP relay limit exceeded for user.",
		[LIMIT_NONE] = NULL,
		[LIMIT_MEMORY] = "452 4.3.1 Too much is being counted, try again later",
	};

	return replies[limit];
}

static struct pn_verdict
refuse(struct pn_call *call, enum counter limit)
{
	const char *reply = limits_reply(limit), *text = reply + strlen("550 5.4.5 ");
	char enhanced[] = "5.4.5";
	int code = atoi(reply);

	memcpy(enhanced, reply + strlen("550 "), strlen(enhanced));
	if (limit == LIMIT_MEMORY)
		pn_log(call, PN_LOG_WARNING, "the counters take all of `memory`");
	return code < 500 ? pn_defer(call, code, enhanced, "%s", text)
			  : pn_reject(call, code, enhanced, "%s", text);
}

/* Whom it is to be counted for goes with the message, so a crash does not change it. */
static int
stage(struct pn_call *call, const struct subject *subject, int64_t now)
{
	struct record record = { .type = RECORD_MESSAGE, .at = now };
	GByteArray *bytes = g_byte_array_new();
	int r;

	record.user = pn_slice_of(subject->who.user);
	record.account = pn_slice_of(subject->who.account);
	journal_put(bytes, &record);
	r = pn_effect_stage(call, EFFECT, pn_slice(bytes->data, bytes->len));
	g_byte_array_unref(bytes);
	return r;
}

static struct pn_verdict
pass(struct pn_call *call, const struct subject *subject, int64_t now)
{
	int r = stage(call, subject, now);

	return r < 0 ? pn_fault(call, r, "cannot note whom to count it for") : pn_pass();
}

static bool
may_relay(const struct subject *subject)
{
	const struct limits_plan *plan = rules_plan(
	    subject->cfg, subject->has_account ? &subject->account : NULL);

	return !plan || plan->relay;
}

static struct pn_verdict
refuse_relaying(struct pn_call *call)
{
	return pn_reject(call, 550, "5.7.1", "Relaying is not part of this account's plan");
}

static struct pn_verdict
limits_on_sender(struct pn_call *call, struct pn_txn *txn)
{
	int64_t now = now_ms();
	struct subject subject;
	enum counter limit;

	identify(call, txn, &subject);
	if (!may_relay(&subject))
		return refuse_relaying(call);
	limit = book_message(subject.state->book, &subject.rules, &subject.who, subject.id, now);
	return limit == LIMIT_NONE ? pass(call, &subject, now) : refuse(call, limit);
}

/* As the client gave it; which one it is does not stand in the call. */
static const char *
recipient_as_given(const struct pn_txn *txn)
{
	const char *now = pn_txn_recipient(txn);

	for (size_t i = pn_txn_recipient_count(txn); i-- > 0;)
		if (pn_txn_recipient_at(txn, i) == now)
			return pn_txn_original_recipient_at(txn, i);
	return now;
}

static struct pn_verdict
limits_on_recipient(struct pn_call *call, struct pn_txn *txn)
{
	int64_t now = now_ms();
	struct subject subject;
	enum counter limit;
	bool late;

	identify(call, txn, &subject);
	if (!may_relay(&subject))
		return refuse_relaying(call);
	limit = book_recipient(subject.state->book, &subject.rules, &subject.who, subject.id,
	    limits_hash_address(subject.state, recipient_as_given(txn)),
	    pn_txn_recipient_count(txn), now, &late);
	if (limit != LIMIT_NONE)
		return refuse(call, limit);
	/* A condition on recipients: MAIL was not this entry's. */
	return late ? pass(call, &subject, now) : pn_pass();
}

/* ---- the end of a transaction ---------------------------------------------------------------- */

static struct pn_verdict
limits_on_aborted(struct pn_call *call, struct pn_txn *txn)
{
	const struct limits_state *state = pn_state(call);

	book_abort(state->book, limits_hash(state, pn_txn_id(txn)));
	return pn_pass();
}

static struct pn_verdict
limits_on_committed(struct pn_call *call, struct pn_txn *txn)
{
	size_t count = pn_txn_recipient_count(txn);
	uint64_t few[HASHES_ON_STACK];
	uint64_t *hashes = count > HASHES_ON_STACK ? g_new(uint64_t, count) : few;
	struct pn_slice effect;
	struct subject subject;
	struct record record;
	char *user, *account;
	GPtrArray *warnings;

	/* Without it nobody asked when it came in: it is not counted. */
	if (!pn_effect(call, EFFECT, &effect) || !journal_next(&effect, &record))
		return pn_pass();
	identify(call, txn, &subject);
	user = g_strndup(record.user.data, record.user.len);
	account = g_strndup(record.account.data, record.account.len);
	for (size_t i = 0; i < count; i++)
		hashes[i] = limits_hash_address(
		    subject.state, pn_txn_original_recipient_at(txn, i));
	warnings = book_warnings_new();
	book_commit(subject.state->book, &subject.rules,
	    &(struct who){ *user ? user : NULL, *account ? account : NULL }, subject.id, record.at,
	    hashes, count, now_ms(), warnings);
	warn_note(call, txn, &subject.rules, warnings);
	g_ptr_array_unref(warnings);
	g_free(user);
	g_free(account);
	if (hashes != few)
		g_free(hashes);
	return pn_pass();
}

/* ---- every second ---------------------------------------------------------------------------- */

static int
sweep(struct pn_call *call, struct limits_state *state, struct pn_error *err)
{
	int64_t now = now_ms();
	struct rules rules;

	if (now - state->swept < SWEEP_MS && now >= state->swept)
		return 0;
	state->swept = now;
	rules_make(pn_settings(call), NULL, &rules);
	book_sweep(state->book, &rules, now);
	return store_forget(call, err);
}

static struct pn_verdict
limits_on_flush(struct pn_call *call, struct pn_txn *txn)
{
	struct limits_state *state = pn_state(call);
	struct pn_error err = { 0 };
	int r = warn_send(call, state, &err);

	if (r == 0)
		r = store_write(call, state, &err);
	if (r == 0)
		r = store_read(call, state, &err);
	if (r == 0)
		r = sweep(call, state, &err);
	return r < 0 ? pn_fault(call, r, "cannot keep the counters: %s", err.text) : pn_pass();
}

/* ---- settings that no table refuses ---------------------------------------------------------- */

static void
limits_check(struct pn_check *check, const void *settings)
{
	const struct pn_strings *admins = &((const struct limits *)settings)->warn.admins;
	char path[40];

	for (size_t i = 0; i < admins->count; i++) {
		snprintf(path, sizeof(path), "warn.admins[%zu]", i);
		if (!warn_is_address(admins->items[i]))
			pn_complain(check, path,
			    "\"%.100s\" is not a mail address; write for example "
			    "postmaster@example.com",
			    admins->items[i]);
	}
	if (admins->count > PN_MAIL_RECIPIENTS_MOST)
		pn_complain(
		    check, "warn.admins", "has more than %d addresses", PN_MAIL_RECIPIENTS_MOST);
}

/* ---- the module ------------------------------------------------------------------------------ */

static const struct pn_hook limits_hooks[] = {
	{ PN_STAGE_SENDER, PN_QUICK, limits_on_sender },
	{ PN_STAGE_RECIPIENT, PN_QUICK, limits_on_recipient },
	{ PN_STAGE_COMMITTED, PN_QUICK, limits_on_committed },
	{ PN_STAGE_ABORTED, PN_QUICK, limits_on_aborted },
	{ PN_STAGE_FLUSH, 0, limits_on_flush },
	PN_HOOK_END,
};

PN_MODULE(limits) = {
	PN_MODULE_HEAD,
	.name = "limits",
	.summary = "Limits how many messages and recipients a user and an account may have.",
	.settings_size = sizeof(struct limits),
	.settings = limits_options,
	.check = limits_check,
	.start = limits_start,
	.stop = limits_stop,
	.hooks = limits_hooks,
	.commands = limits_commands,
	.migrations = store_migrations,
};
