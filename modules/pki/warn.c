/* SPDX-License-Identifier: Apache-2.0 */
/*
 * warn.c - keys that end soon, told by mail.
 *
 * Called once a minute. Must never tell of a key twice at one threshold, nor leave one out because
 * there are many: what does not go into this minute's mail goes into the next one's.
 */
#include "warn.h"
#include <stdio.h>
#include <time.h>

#define DAY        86400
#define MAIL_LINES 200u                 /* keys that one mail tells of */
#define KEPT_MS    (400 * DAY * 1000LL) /* what was told is remembered for */
#define MARK       "warned/"
#define LOOKED     "looked" /* for the next hour there is nothing more to find */
#define HOUR_MS    3600000

/* Days, from the last one to the first. */
static const int thresholds[] = { 1, 7, 30 };

struct warning {
	struct pn_call *call;
	struct pn_error *err;
	int64_t now;
	GString *text;
	GPtrArray *marks;   /* keys of the store */
	GByteArray *levels; /* beside each, the threshold */
};

static int
level_of(int64_t left)
{
	for (size_t i = 0; i < G_N_ELEMENTS(thresholds); i++)
		if (left <= thresholds[i] * (int64_t)DAY)
			return thresholds[i];
	return 0;
}

/* 1: that threshold was told, or a later one. */
static int
was_told(struct warning *warning, const char *mark, int level)
{
	struct pn_slice told;
	int r = pn_store_get(warning->call, mark, &told, NULL);

	return r == 0 && told.len == 1 && (unsigned char)told.data[0] <= level;
}

static void
tell(struct warning *warning, const char *kind, const char *whose, const char *print,
    int64_t not_after)
{
	char day[32] = "?";
	time_t at = (time_t)not_after;
	struct tm parts;

	if (gmtime_r(&at, &parts))
		strftime(day, sizeof(day), "%Y-%m-%d %H:%M UTC", &parts);
	g_string_append_printf(warning->text, "%s  %s  %s  %.16s\n", day, kind, whose, print);
}

static int
look_at(void *arg, const struct pn_row *row)
{
	struct warning *warning = arg;
	struct pn_slice kind = pn_row_bytes(row, 0), whose = pn_row_bytes(row, 1),
			print = pn_row_bytes(row, 2);
	int64_t not_after = pn_row_int(row, 3);
	guint8 level = (guint8)level_of(not_after - warning->now);
	char *texts[] = { g_strndup(kind.data, kind.len), g_strndup(whose.data, whose.len),
		g_strndup(print.data, print.len) };
	/* The fingerprint of one key is another one at another address: its digest is short. */
	char *name = g_strjoin("\n", texts[0], texts[1], texts[2], NULL),
	     *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, name, -1),
	     *mark = g_strconcat(MARK, digest, NULL);

	if (level > 0 && !was_told(warning, mark, level)) {
		tell(warning, texts[0], texts[1], texts[2], not_after);
		g_ptr_array_add(warning->marks, g_strdup(mark));
		g_byte_array_append(warning->levels, &level, 1);
	}
	g_free(mark);
	g_free(digest);
	g_free(name);
	for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
		g_free(texts[i]);
	return warning->marks->len >= MAIL_LINES;
}

static int
gather(struct warning *warning)
{
	int r = pn_db_query(warning->call, warning->err,
	    "SELECT kind, address, fingerprint, not_after FROM pki_keys "
	    "WHERE not_after > ?1 AND not_after <= ?2 AND state = 'active' UNION ALL "
	    "SELECT 'private key', name, fingerprint, not_after FROM pki_private "
	    "WHERE not_after > ?1 AND not_after <= ?2 ORDER BY 4, 2, 3",
	    PN_VALUES(PN_INT(warning->now), PN_INT(warning->now + 30 * (int64_t)DAY)), look_at,
	    warning);

	return r < 0 ? r : 0;
}

static int
send_mail(struct warning *warning)
{
	const struct pki *cfg = pn_settings(warning->call);
	char *key = g_compute_checksum_for_string(G_CHECKSUM_SHA256, warning->text->str, -1),
	     *subject = g_strdup_printf(
		 "%u keys end soon on %s", warning->marks->len, pn_relay_name(warning->call));
	struct pn_mail mail = {
		.size = sizeof(mail),
		.key = key,
		.recipient_count = cfg->warn.count,
		.recipients = cfg->warn.items,
		.subject = subject,
		.text = warning->text->str,
	};
	int r = pn_mail_send(warning->call, &mail, warning->err);

	g_free(subject);
	g_free(key);
	return r < 0 ? r : 0;
}

static int
look_again_later(struct warning *warning)
{
	return pn_store_put(warning->call, LOOKED, pn_slice("", 0), HOUR_MS, warning->err);
}

/* Behind the mail: a crash in between sends it again, under the same key, which makes it one. */
static int
remember(struct warning *warning)
{
	int r = 0;

	for (guint i = 0; r == 0 && i < warning->marks->len; i++)
		r = pn_store_put(warning->call, warning->marks->pdata[i],
		    pn_slice(warning->levels->data + i, 1), KEPT_MS, warning->err);
	return r;
}

struct pn_verdict
warn_of_ends(struct pn_call *call)
{
	struct pn_error err = { 0 };
	struct warning warning = { .call = call, .err = &err, .now = time(NULL) };
	struct pn_slice looked;
	int r;

	if (pn_store_get(call, LOOKED, &looked, NULL) == 0)
		return pn_pass();
	warning.text = g_string_new(NULL);
	warning.marks = g_ptr_array_new_with_free_func(g_free);
	warning.levels = g_byte_array_new();
	g_string_append(warning.text,
	    "These keys end within 30 days. What is to follow them is stored by\n"
	    "posternctl pki import and posternctl pki private import.\n\n");
	r = gather(&warning);
	if (r == 0 && warning.marks->len > 0) {
		r = send_mail(&warning);
		if (r == 0)
			r = remember(&warning);
	}
	if (r == 0 && warning.marks->len < MAIL_LINES)
		r = look_again_later(&warning);
	g_string_free(warning.text, TRUE);
	g_ptr_array_free(warning.marks, TRUE);
	g_byte_array_free(warning.levels, TRUE);
	return r < 0 ? pn_fault(call, r, "cannot tell of keys that end: %s", err.text) : pn_pass();
}
