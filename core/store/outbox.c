/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outbox.c - the table of mail that waits for a relay.
 *
 * Called by api_mail.c and posternctl, which put something in, and by the relay (relay_outbox.c),
 * which empties it. Must never keep the words of what was sent, only its key.
 */
#include <core/base/clock.h>
#include <core/mail/address.h>
#include <core/mail/letter.h>
#include <core/store/outbox.h>
#include <errno.h>
#include <glib.h>

/* No module is called so: it has a blank. */
#define OWNER "out box"

static const struct pn_migration migrations[] = {
	{ 1, 0,
	    "CREATE TABLE outbox (number INTEGER PRIMARY KEY, owner TEXT NOT NULL, dedup TEXT, "
	    "written BIGINT NOT NULL, sender TEXT NOT NULL, recipients TEXT NOT NULL, "
	    "subject TEXT NOT NULL, body TEXT NOT NULL, claimant TEXT NOT NULL DEFAULT '', "
	    "claimed BIGINT NOT NULL DEFAULT 0, sent BIGINT NOT NULL DEFAULT 0, "
	    "UNIQUE (owner, dedup)); "
	    "CREATE INDEX outbox_sent ON outbox (sent)" },
	{ 0, 0, NULL },
};

int
outbox_migrate(struct db *db, struct pn_error *err)
{
	return db_migrate(db, OWNER, migrations, sizeof(migrations[0]), err);
}

static int64_t
now_ms(void)
{
	return clock_wall_us() / 1000;
}

/* ---- putting in ------------------------------------------------------------------------------ */

static int
read_address(const char *text, char ret[MAIL_ADDRESS_SIZE], struct pn_error *err)
{
	char checked[MAIL_ADDRESS_SIZE];

	if (text && mail_address_check(pn_slice_of(text), true, checked) == 0 &&
	    *mail_address_domain(checked) && mail_address_canonical(checked, ret) == 0)
		return 0;
	return pn_error_set(
	    err, -EINVAL, "\"%.320s\" is not a mail address", text ? text : "(nothing)");
}

static bool
is_key(const char *key)
{
	if (!*key || strlen(key) > PN_MAIL_KEY_MOST || !g_utf8_validate(key, -1, NULL))
		return false;
	for (; *key; key++)
		if ((unsigned char)*key < ' ' || *key == 0x7f)
			return false;
	return true;
}

/* Lines of canonical addresses; to be freed. */
static int
join(const struct pn_mail *mail, char **ret, struct pn_error *err)
{
	GString *lines = g_string_new(NULL);
	char address[MAIL_ADDRESS_SIZE];
	int r = 0;

	if (mail->recipient_count < 1 || mail->recipient_count > PN_MAIL_RECIPIENTS_MOST)
		r = pn_error_set(err, -EINVAL, "a mail has 1 to %d recipients, this one %zu",
		    PN_MAIL_RECIPIENTS_MOST, mail->recipient_count);
	for (size_t i = 0; r == 0 && i < mail->recipient_count; i++) {
		r = read_address(mail->recipients[i], address, err);
		if (r == 0)
			g_string_append_printf(lines, "%s%s", i > 0 ? "\n" : "", address);
	}
	*ret = g_string_free(lines, r < 0);
	return r;
}

static int
check(const struct pn_mail *mail, char sender[MAIL_ADDRESS_SIZE], struct pn_error *err)
{
	*sender = '\0';
	if (mail->size < sizeof(*mail))
		return pn_error_set(
		    err, -EINVAL, "the mail's size is not that of a struct pn_mail");
	if (mail->key && !is_key(mail->key))
		return pn_error_set(err, -EINVAL,
		    "a key is 1 to %d bytes of UTF-8 without control characters", PN_MAIL_KEY_MOST);
	if (mail->sender && *mail->sender && read_address(mail->sender, sender, err) < 0)
		return -EINVAL;
	return letter_check(mail->subject, mail->text, err);
}

int
outbox_put(struct db *db, const char *owner, const struct pn_mail *mail, struct pn_error *err)
{
	char sender[MAIL_ADDRESS_SIZE], *recipients;
	int r = check(mail, sender, err);

	if (r < 0)
		return r;
	r = join(mail, &recipients, err);
	if (r == 0)
		r = db_run(db, err,
		    "INSERT INTO outbox (owner, dedup, written, sender, recipients, subject, body) "
		    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
		    PN_VALUES(PN_TEXT(owner), mail->key ? PN_TEXT(mail->key) : PN_NULL,
			PN_INT(clock_wall_us()), PN_TEXT(sender), PN_TEXT(recipients),
			PN_TEXT(mail->subject), PN_TEXT(mail->text)));
	g_free(recipients);
	return r;
}

/* ---- emptying -------------------------------------------------------------------------------- */

/* Also what was claimed in the future: the clock was set. ?1 is now, ?2 when claims began to age.
 */
#define FREE "sent = 0 AND (claimed <= ?2 OR claimed > ?1)"

static int
found(void *arg, const struct pn_row *row)
{
	*(bool *)arg = true;
	return 0;
}

int
outbox_waits(struct db *db, bool *ret, struct pn_error *err)
{
	int64_t now = now_ms();

	*ret = false;
	return db_query(db, err, "SELECT 1 FROM outbox WHERE " FREE " LIMIT 1",
	    PN_VALUES(PN_INT(now), PN_INT(now - OUTBOX_CLAIM_MS)), found, ret);
}

struct reader {
	void (*each)(void *arg, const struct outbox_letter *letter);
	void *arg;
};

static char *
text_of(const struct pn_row *row, int column)
{
	struct pn_slice bytes = pn_row_bytes(row, column);

	return g_strndup(bytes.data ? bytes.data : "", bytes.len);
}

static int
read_row(void *arg, const struct pn_row *row)
{
	const struct reader *reader = arg;
	char *owner = text_of(row, 2), *key = text_of(row, 3), *sender = text_of(row, 4);
	char *lines = text_of(row, 5), *subject = text_of(row, 6), *text = text_of(row, 7);
	char **recipients = g_strsplit(lines, "\n", -1);
	struct outbox_letter letter = { .number = pn_row_int(row, 0),
		.written_us = pn_row_int(row, 1),
		.owner = owner,
		.key = key,
		.sender = sender,
		.recipients = (const char *const *)recipients,
		.count = g_strv_length(recipients),
		.subject = subject,
		.text = text };

	reader->each(reader->arg, &letter);
	g_strfreev(recipients);
	g_free(owner);
	g_free(key);
	g_free(sender);
	g_free(lines);
	g_free(subject);
	g_free(text);
	return 0;
}

int
outbox_claim(struct db *db, const char *claimant, int most,
    void (*each)(void *arg, const struct outbox_letter *letter), void *arg, struct pn_error *err)
{
	struct reader reader = { each, arg };
	int64_t now = now_ms();
	/* Of this claim alone: the one before may be of the same millisecond. */
	char *which = g_uuid_string_random(), *claim = g_strdup_printf("%s %s", claimant, which);
	int r = db_run(db, err,
	    "UPDATE outbox SET claimant = ?3, claimed = ?1 WHERE number IN "
	    "(SELECT number FROM outbox WHERE " FREE " ORDER BY number LIMIT ?4)",
	    PN_VALUES(PN_INT(now), PN_INT(now - OUTBOX_CLAIM_MS), PN_TEXT(claim), PN_INT(most)));

	if (r == 0)
		r = db_query(db, err,
		    "SELECT number, written, owner, dedup, sender, recipients, subject, body "
		    "FROM outbox WHERE sent = 0 AND claimant = ?1 ORDER BY number",
		    PN_VALUES(PN_TEXT(claim)), read_row, &reader);
	g_free(which);
	g_free(claim);
	return r;
}

int
outbox_sent(struct db *db, int64_t number, struct pn_error *err)
{
	int r = db_run(db, err,
	    "UPDATE outbox SET sent = ?2, sender = '', recipients = '', subject = '', body = '' "
	    "WHERE number = ?1 AND dedup IS NOT NULL",
	    PN_VALUES(PN_INT(number), PN_INT(now_ms())));

	return r < 0 ? r
		     : db_run(db, err, "DELETE FROM outbox WHERE number = ?1 AND dedup IS NULL",
			   PN_VALUES(PN_INT(number)));
}

int
outbox_forget(struct db *db, struct pn_error *err)
{
	return db_run(db, err, "DELETE FROM outbox WHERE sent > 0 AND sent <= ?1",
	    PN_VALUES(PN_INT(now_ms() - OUTBOX_KEPT_MS)));
}
