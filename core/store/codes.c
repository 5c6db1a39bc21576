/* SPDX-License-Identifier: Apache-2.0 */
/*
 * codes.c - the table of mailed codes.
 *
 * Called by posternctl. Must never keep a code, nor let one be tried without end. 80 bits by chance
 * are not guessed from a hash, however quick it is to compute.
 */
#include <core/base/clock.h>
#include <core/store/codes.h>
#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <unistd.h>

#define LETTERS "0123456789ABCDEFGHJKMNPQRSTVWXYZ" /* none that look alike */
#define GROUP   4
#define COUNT   16

/* No module is called so: it has a blank. */
#define OWNER "address codes"

static const struct pn_migration migrations[] = {
	{ 1, 0,
	    "CREATE TABLE address_codes (address TEXT NOT NULL, member TEXT NOT NULL, "
	    "hash TEXT NOT NULL, expires BIGINT NOT NULL, tries INTEGER NOT NULL, "
	    "used BIGINT NOT NULL, PRIMARY KEY (address, member))" },
	{ 0, 0, NULL },
};

int
codes_migrate(struct db *db, struct pn_error *err)
{
	return db_migrate(db, OWNER, migrations, sizeof(migrations[0]), err);
}

/* ---- a code ---------------------------------------------------------------------------------- */

static int
draw(char ret[CODE_SIZE], struct pn_error *err)
{
	unsigned char random[COUNT];
	size_t len = 0;

	_Static_assert(CODE_SIZE == COUNT + COUNT / GROUP, "groups with a dash in between");
	if (getentropy(random, sizeof(random)) < 0)
		return pn_error_set(err, -errno, "no random bytes for a code");
	for (size_t i = 0; i < COUNT; i++) {
		if (i > 0 && i % GROUP == 0)
			ret[len++] = '-';
		ret[len++] = LETTERS[random[i] % (sizeof(LETTERS) - 1)];
	}
	ret[len] = '\0';
	explicit_bzero(random, sizeof(random));
	return 0;
}

/* As it was drawn: in any case, with or without dashes and blanks, O for 0, I and L for 1. */
static void
read_code(const char *text, char ret[COUNT + 1])
{
	size_t len = 0;

	for (; *text && len < COUNT; text++) {
		char c = g_ascii_toupper(*text);

		if (c == '-' || c == ' ')
			continue;
		ret[len++] = c == 'O' ? '0' : c == 'I' || c == 'L' ? '1' : c;
	}
	while (*text == '-' || *text == ' ')
		text++;
	ret[*text ? 0 : len] = '\0'; /* too long: nothing is so */
}

/* Of the code for this pair; to be freed. */
static char *
hash(const char *address, const char *user, const char *code)
{
	GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);
	const char *const parts[] = { address, user, code };
	char plain[COUNT + 1], *ret;

	read_code(code, plain);
	for (size_t i = 0; i < 2; i++)
		g_checksum_update(sum, (const guchar *)parts[i], (gssize)strlen(parts[i]) + 1);
	g_checksum_update(sum, (const guchar *)plain, (gssize)strlen(plain) + 1);
	ret = g_strdup(g_checksum_get_string(sum));
	g_checksum_free(sum);
	explicit_bzero(plain, sizeof(plain));
	return ret;
}

int
codes_make(struct db *db, const char *address, const char *user, int64_t expires_us,
    char ret[CODE_SIZE], struct pn_error *err)
{
	char *hashed;
	int r = draw(ret, err);

	if (r < 0)
		return r;
	hashed = hash(address, user, ret);
	r = db_run(db, err,
	    "INSERT INTO address_codes (address, member, hash, expires, tries, used) "
	    "VALUES (?1, ?2, ?3, ?4, 0, 0) ON CONFLICT (address, member) DO UPDATE SET "
	    "hash = excluded.hash, expires = excluded.expires, tries = 0, used = 0",
	    PN_VALUES(PN_TEXT(address), PN_TEXT(user), PN_TEXT(hashed), PN_INT(expires_us)));
	g_free(hashed);
	return r;
}

/* ---- trying ---------------------------------------------------------------------------------- */

struct row {
	bool found;
	char hash[80];
	int64_t expires_us, used_us;
	int tries;
};

static int
read_row(void *arg, const struct pn_row *row)
{
	struct row *ret = arg;
	struct pn_slice hashed = pn_row_bytes(row, 0);

	ret->found = true;
	snprintf(ret->hash, sizeof(ret->hash), "%.*s", (int)hashed.len, hashed.data);
	ret->expires_us = pn_row_int(row, 1);
	ret->tries = (int)pn_row_int(row, 2);
	ret->used_us = pn_row_int(row, 3);
	return 0;
}

static int
find(struct db *db, const char *address, const char *user, struct row *ret, struct pn_error *err)
{
	return db_query(db, err,
	    "SELECT hash, expires, tries, used FROM address_codes WHERE address = ?1 AND "
	    "member = ?2",
	    PN_VALUES(PN_TEXT(address), PN_TEXT(user)), read_row, ret);
}

static enum code_answer
judge(const struct row *row, const char *address, const char *user, const char *text)
{
	char *hashed;
	bool same;

	if (!row->found)
		return CODE_NONE;
	if (row->used_us > 0)
		return CODE_USED;
	if (row->expires_us <= clock_wall_us())
		return CODE_EXPIRED;
	if (row->tries >= CODE_TRIES)
		return CODE_SPENT;
	hashed = hash(address, user, text);
	same = strcmp(hashed, row->hash) == 0;
	g_free(hashed);
	return same ? CODE_RIGHT : CODE_WRONG;
}

int
codes_try(struct db *db, const char *address, const char *user, const char *text,
    enum code_answer *ret_answer, int *ret_left, struct pn_error *err)
{
	struct row row = { 0 };
	int r = find(db, address, user, &row, err);

	if (r < 0)
		return r;
	*ret_answer = judge(&row, address, user, text);
	row.tries += *ret_answer == CODE_WRONG;
	*ret_left = CODE_TRIES - row.tries;
	if (*ret_answer != CODE_RIGHT && *ret_answer != CODE_WRONG)
		return 0;
	return db_run(db, err,
	    "UPDATE address_codes SET tries = ?3, used = ?4 WHERE address = ?1 AND member = ?2",
	    PN_VALUES(PN_TEXT(address), PN_TEXT(user), PN_INT(row.tries),
		PN_INT(*ret_answer == CODE_RIGHT ? clock_wall_us() : 0)));
}

/* ---- the table ------------------------------------------------------------------------------- */

int
codes_drop(struct db *db, const char *address, const char *user, struct pn_error *err)
{
	struct row row = { 0 };
	int r = find(db, address, user, &row, err);

	if (r == 0 && !row.found)
		return pn_error_set(err, -ENOENT, "no code was sent");
	return r < 0
		   ? r
		   : db_run(db, err, "DELETE FROM address_codes WHERE address = ?1 AND member = ?2",
			 PN_VALUES(PN_TEXT(address), PN_TEXT(user)));
}

struct giving {
	int (*each)(void *arg, const struct code_state *state);
	void *arg;
};

static int
give(void *arg, const struct pn_row *row)
{
	const struct giving *to = arg;
	struct pn_slice address = pn_row_bytes(row, 0), user = pn_row_bytes(row, 1);
	char *address_text = g_strndup(address.data, address.len);
	char *user_text = g_strndup(user.data, user.len);
	const struct code_state state = { address_text, user_text, pn_row_int(row, 2),
		pn_row_int(row, 4), (int)pn_row_int(row, 3) };
	int r = to->each(to->arg, &state);

	g_free(address_text);
	g_free(user_text);
	return r;
}

int
codes_each(struct db *db, int (*each)(void *arg, const struct code_state *state), void *arg,
    struct pn_error *err)
{
	struct giving to = { each, arg };

	return db_query(db, err,
	    "SELECT address, member, expires, tries, used FROM address_codes "
	    "ORDER BY address, member",
	    PN_NO_VALUES, give, &to);
}
