/* SPDX-License-Identifier: Apache-2.0 */
/*
 * warn.c - who is told, in the log and by mail, that a limit is near.
 *
 * Called by limits.c: noted by committed hooks, on the loop, and sent by the flush hook of the same
 * second, before the journal says that there was a warning; the key of each keeps a crash in
 * between from making two of it. Must never write to a user nobody vouches for, nor show users who
 * looks after them.
 */
#include "limits.h"
#include <errno.h>
#include <stdio.h>

#define WAITING_MOST 10000

struct notice {
	char *key, *subject, *text;
	char **recipients; /* NULL-ended */
};

static void
free_notice(void *data)
{
	struct notice *notice = data;

	g_free(notice->key);
	g_free(notice->subject);
	g_free(notice->text);
	g_strfreev(notice->recipients);
	g_free(notice);
}

void
warn_init(struct notices *notices)
{
	pthread_mutex_init(&notices->lock, NULL);
	notices->items = g_ptr_array_new_with_free_func(free_notice);
}

void
warn_free(struct notices *notices)
{
	g_ptr_array_unref(notices->items);
	pthread_mutex_destroy(&notices->lock);
}

bool
warn_is_address(const char *text)
{
	char canonical[PN_ADDRESS_SIZE];

	return strchr(text, '@') && pn_address_canonical(text, canonical) == 0;
}

/* ---- what it says ---------------------------------------------------------------------------- */

static char *
write_text(const struct warning *warning, const struct span *span, bool for_admins)
{
	char window[SPAN_TEXT_SIZE], frees[TIME_TEXT_SIZE];
	const char *reply = limits_reply(warning->counter);
	GString *text = g_string_new(NULL);

	span_text(span, window);
	time_text(warning->frees, frees);
	g_string_append_printf(text,
	    "%s\nhas used %lld of %lld %s within %s.\n\n"
	    "What goes beyond that is refused%s:\n\n    %s\n\n",
	    warning->name, (long long)warning->count, (long long)warning->most,
	    counter_name(warning->counter), window, *reply == '4' ? " for now" : "", reply);
	if (*frees)
		g_string_append_printf(
		    text, "The first of it no longer counts from %s on.\n\n", frees);
	if (for_admins)
		g_string_append_printf(text,
		    "All counters, and when they free:\n\n    posternctl limits show %s\n\n",
		    warning->name);
	g_string_append(text, "This is said once within that time.\n");
	return g_string_free(text, FALSE);
}

/* ---- who is told ----------------------------------------------------------------------------- */

/* Takes the recipients. */
static void
note(struct limits_state *state, const struct warning *warning, const struct span *span,
    char **recipients, bool for_admins)
{
	struct notices *notices = &state->notices;
	struct notice *notice = g_new0(struct notice, 1);

	notice->recipients = recipients;
	notice->key = g_strdup_printf("warning %d %lld %s to %s", (int)warning->counter,
	    (long long)warning->since, warning->name, for_admins ? "admins" : "user");
	notice->subject = g_strdup_printf("Near the sending limit: %s, %lld of %lld %s",
	    warning->name, (long long)warning->count, (long long)warning->most,
	    counter_name(warning->counter));
	notice->text = write_text(warning, span, for_admins);
	pthread_mutex_lock(&notices->lock);
	if (notices->items->len < WAITING_MOST)
		g_ptr_array_add(notices->items, notice);
	else
		free_notice(notice);
	pthread_mutex_unlock(&notices->lock);
}

/* Of whose counter it is, as the message has it; NULL: nobody, or a name that was only said. */
static const char *
user_of(const struct pn_call *call, const struct pn_txn *txn, const struct warning *warning)
{
	const char *user = pn_txn_user(txn);

	if (warning->counter != USER_MESSAGES && warning->counter != USER_UNIQUE)
		return NULL;
	if (!user && pn_user_known(call, warning->name))
		user = warning->name;
	return user && warn_is_address(user) ? user : NULL;
}

static char **
copy(const struct pn_strings *strings)
{
	char **ret = g_new0(char *, strings->count + 1);

	for (size_t i = 0; i < strings->count; i++)
		ret[i] = g_strdup(strings->items[i]);
	return ret;
}

void
warn_note(struct pn_call *call, const struct pn_txn *txn, const struct rules *rules,
    const GPtrArray *warnings)
{
	const struct limits_warn *cfg = &((const struct limits *)pn_settings(call))->warn;

	for (guint i = 0; i < warnings->len; i++) {
		const struct warning *warning = warnings->pdata[i];
		const struct span *span = &rules->span[warning->counter];
		const char *user = cfg->user ? user_of(call, txn, warning) : NULL;

		pn_log(call, PN_LOG_WARNING, "near the limit: %s has %lld %s of %lld",
		    warning->name, (long long)warning->count, counter_name(warning->counter),
		    (long long)warning->most);
		if (user)
			note(pn_state(call), warning, span, copy(&(struct pn_strings){ 1, &user }),
			    false);
		if (cfg->admins.count > 0)
			note(pn_state(call), warning, span, copy(&cfg->admins), true);
	}
}

/* ---- sending --------------------------------------------------------------------------------- */

/* What cannot be mailed at all, now or later, has been said in the log. */
static int
send_one(struct pn_call *call, const struct notice *notice, struct pn_error *err)
{
	struct pn_mail mail = { .size = sizeof(mail),
		.key = notice->key,
		.recipient_count = g_strv_length(notice->recipients),
		.recipients = (const char *const *)notice->recipients,
		.subject = notice->subject,
		.text = notice->text };
	int r = pn_mail_send(call, &mail, err);

	if (r == -EINVAL)
		pn_log(call, PN_LOG_WARNING, "no warning by mail: %s", err->text);
	return r == -EINVAL || r > 0 ? 0 : r;
}

int
warn_send(struct pn_call *call, struct limits_state *state, struct pn_error *err)
{
	struct notices *notices = &state->notices;
	GPtrArray *items;
	int r = 0;

	pthread_mutex_lock(&notices->lock);
	items = notices->items;
	notices->items = g_ptr_array_new_with_free_func(free_notice);
	pthread_mutex_unlock(&notices->lock);
	while (items->len > 0 && (r = send_one(call, items->pdata[0], err)) == 0)
		g_ptr_array_remove_index(items, 0);
	pthread_mutex_lock(&notices->lock);
	while (items->len > 0) /* with the next */
		g_ptr_array_add(notices->items, g_ptr_array_steal_index(items, 0));
	pthread_mutex_unlock(&notices->lock);
	g_ptr_array_unref(items);
	return r;
}
