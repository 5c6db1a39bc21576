/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directory.c - the users of the relay, by the form of their addresses that is compared.
 *
 * Called by posternctl, and by modules through pn_user_find(). Knows no passwords: those belong to
 * the module auth, whose rows fall with their user. A row is a user, or only what others refer to
 * of a user whom the files or the directory server name.
 */
#include <core/base/clock.h>
#include <core/mail/address.h>
#include <core/store/codes.h>
#include <core/store/directory.h>
#include <core/store/records.h>
#include <errno.h>
#include <glib.h>
#include <stdio.h>

static const struct pn_migration migrations[] = {
	{ 1, 0,
	    "CREATE TABLE users (address TEXT NOT NULL PRIMARY KEY, enabled INTEGER NOT NULL, "
	    "created BIGINT NOT NULL)" },
	{ 2, 0,
	    "CREATE TABLE user_fields (user TEXT NOT NULL REFERENCES users (address) "
	    "ON DELETE CASCADE, field TEXT NOT NULL, value TEXT NOT NULL, "
	    "PRIMARY KEY (user, field))" },
	{ 3, 0, "ALTER TABLE users ADD COLUMN stated INTEGER NOT NULL DEFAULT 1" },
	{ 0, 0, NULL },
};

int
directory_migrate(struct db *db, struct pn_error *err)
{
	int r = db_migrate(db, "core", migrations, sizeof(migrations[0]), err);

	if (r == 0)
		r = codes_migrate(db, err);
	return r < 0 ? r : records_migrate(db, err);
}

static int
canonical(const char *address, char ret[MAIL_ADDRESS_SIZE], struct pn_error *err)
{
	char checked[MAIL_ADDRESS_SIZE];
	int r = mail_address_check(pn_slice_of(address), true, checked);

	if (r == 0 && !*mail_address_domain(checked))
		r = -EINVAL; /* "postmaster" alone */
	if (r == 0)
		r = mail_address_compared(checked, ret);
	if (r < 0)
		return pn_error_set(err, -EINVAL, "\"%.320s\" is not a mail address", address);
	return 0;
}

struct found {
	struct directory_row *row;
	bool any;
};

static void
read_user(const struct pn_row *row, struct pn_user *ret)
{
	struct pn_slice address = pn_row_bytes(row, 0);

	memset(ret, 0, sizeof(*ret));
	snprintf(ret->address, sizeof(ret->address), "%.*s", (int)address.len, address.data);
	ret->enabled = pn_row_int(row, 1) != 0;
}

static int
read_found(void *arg, const struct pn_row *row)
{
	struct found *found = arg;

	read_user(row, &found->row->user);
	found->row->stated = pn_row_int(row, 2) != 0;
	found->any = true;
	return 0;
}

static int
find(struct db *db, const char *address, struct directory_row *ret, struct pn_error *err)
{
	struct found found = { ret, false };
	int r = db_query(db, err, "SELECT address, enabled, stated FROM users WHERE address = ?1",
	    PN_VALUES(PN_TEXT(address)), read_found, &found);

	if (r == 0 && !found.any)
		r = pn_error_set(err, -ENOENT, "there is no user %s", address);
	return r;
}

int
directory_row_find(
    struct db *db, const char *address, struct directory_row *ret, struct pn_error *err)
{
	char name[MAIL_ADDRESS_SIZE];

	*ret = (struct directory_row){ 0 };
	/* What is no address is nobody's: for whoever looks up, not an error of its own. */
	if (canonical(address, name, err) < 0)
		return pn_error_set(err, -ENOENT, "there is no user \"%.320s\"", address);
	strcpy(ret->user.address, name); /* stays where there is nobody */
	return find(db, name, ret, err);
}

int
directory_user_find(struct db *db, const char *address, struct pn_user *ret, struct pn_error *err)
{
	struct directory_row row;
	int r = directory_row_find(db, address, &row, err);

	*ret = row.user;
	if (r == 0 && !row.stated)
		r = pn_error_set(err, -ENOENT, "there is no user %s", row.user.address);
	return r;
}

int
directory_user_keep(struct db *db, const char *address, struct pn_error *err)
{
	char name[MAIL_ADDRESS_SIZE];
	int r = canonical(address, name, err);

	return r < 0 ? r
		     : db_run(db, err,
			   "INSERT INTO users (address, enabled, created, stated) "
			   "VALUES (?1, 1, ?2, 0) ON CONFLICT (address) DO NOTHING",
			   PN_VALUES(PN_TEXT(name), PN_INT(clock_wall_us())));
}

int
directory_user_add(struct db *db, const char *address, struct pn_error *err)
{
	char name[MAIL_ADDRESS_SIZE];
	struct directory_row row = { 0 };
	int r = canonical(address, name, err);

	if (r == 0)
		r = directory_user_keep(db, name, err);
	if (r == 0)
		r = find(db, name, &row, err);
	if (r < 0)
		return r;
	if (row.stated)
		return pn_error_set(err, -EEXIST, "user %s is there already", name);
	r = db_run(db, err, "UPDATE users SET stated = 1, enabled = 1 WHERE address = ?1",
	    PN_VALUES(PN_TEXT(name)));
	return r < 0 ? r : records_touch(db, err);
}

int
directory_user_forget(struct db *db, const char *address, bool *ret, struct pn_error *err)
{
	struct directory_row row;
	int r = directory_row_find(db, address, &row, err);

	*ret = r == 0 && !row.stated;
	if (*ret)
		return directory_user_remove(db, address, err);
	return r == -ENOENT ? 0 : r;
}

/* A statement that must find its user: 1 is the address. Without a flag the user goes. */
static int
change(struct db *db, const char *address, const char *sql, bool with_flag, bool flag,
    struct pn_error *err)
{
	char name[MAIL_ADDRESS_SIZE];
	struct directory_row row;
	int r = canonical(address, name, err);

	if (r == 0)
		r = find(db, name, &row, err);
	if (r < 0)
		return r;
	r = db_run(db, err, sql,
	    with_flag ? PN_VALUES(PN_TEXT(name), PN_INT(flag)) : PN_VALUES(PN_TEXT(name)));
	if (r == 0 && !with_flag)
		r = records_forget_user(db, name, err);
	return r < 0 ? r : records_touch(db, err);
}

int
directory_user_remove(struct db *db, const char *address, struct pn_error *err)
{
	return change(db, address, "DELETE FROM users WHERE address = ?1", false, false, err);
}

int
directory_user_enable(struct db *db, const char *address, bool enabled, struct pn_error *err)
{
	return change(
	    db, address, "UPDATE users SET enabled = ?2 WHERE address = ?1", true, enabled, err);
}

/* ---- profile ----------------------------------------------------------------------------------
 */

const char *const directory_fields[] = { "name", "title", "phone", NULL };

static int
check_field(const char *field, struct pn_error *err)
{
	for (size_t i = 0; directory_fields[i]; i++)
		if (strcmp(directory_fields[i], field) == 0)
			return 0;
	return pn_error_set(
	    err, -EINVAL, "\"%.40s\" is no field of a user; there are name, title, phone", field);
}

static int
check_value(const char *value, struct pn_error *err)
{
	size_t len = strlen(value);

	if (len >= DIRECTORY_FIELD_SIZE)
		return pn_error_set(
		    err, -EINVAL, "the value is longer than %d bytes", DIRECTORY_FIELD_SIZE - 1);
	if (!g_utf8_validate(value, (gssize)len, NULL))
		return pn_error_set(err, -EINVAL, "the value is not UTF-8");
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)value[i] < ' ' || value[i] == 0x7f)
			return pn_error_set(
			    err, -EINVAL, "the value is more than one line of text");
	return 0;
}

int
directory_field_set(
    struct db *db, const char *address, const char *field, const char *value, struct pn_error *err)
{
	struct directory_row row;
	int r = check_field(field, err);

	if (r == 0)
		r = check_value(value, err);
	if (r == 0)
		r = directory_row_find(db, address, &row, err);
	if (r < 0)
		return r;
	if (!*value)
		r = db_run(db, err, "DELETE FROM user_fields WHERE user = ?1 AND field = ?2",
		    PN_VALUES(PN_TEXT(row.user.address), PN_TEXT(field)));
	else
		r = db_run(db, err,
		    "INSERT INTO user_fields (user, field, value) VALUES (?1, ?2, ?3) "
		    "ON CONFLICT (user, field) DO UPDATE SET value = excluded.value",
		    PN_VALUES(PN_TEXT(row.user.address), PN_TEXT(field), PN_TEXT(value)));
	return r < 0 ? r : records_touch(db, err);
}

static int
read_field(void *arg, const struct pn_row *row)
{
	struct pn_slice value = pn_row_bytes(row, 0);

	snprintf(arg, DIRECTORY_FIELD_SIZE, "%.*s", (int)value.len, value.data ? value.data : "");
	return 0;
}

int
directory_field_get(struct db *db, const char *address, const char *field,
    char ret[DIRECTORY_FIELD_SIZE], struct pn_error *err)
{
	struct directory_row row;
	int r = check_field(field, err);

	*ret = '\0';
	if (r == 0)
		r = directory_row_find(db, address, &row, err);
	if (r < 0)
		return r;
	return db_query(db, err, "SELECT value FROM user_fields WHERE user = ?1 AND field = ?2",
	    PN_VALUES(PN_TEXT(row.user.address), PN_TEXT(field)), read_field, ret);
}

/* ---- everybody --------------------------------------------------------------------------------
 */

struct each_user {
	int (*each)(void *arg, const struct pn_user *user);
	void *arg;
};

static int
give_user(void *arg, const struct pn_row *row)
{
	struct each_user *to = arg;
	struct pn_user user;

	read_user(row, &user);
	return to->each(to->arg, &user);
}

int
directory_users(struct db *db, int (*each)(void *arg, const struct pn_user *user), void *arg,
    struct pn_error *err)
{
	struct each_user to = { each, arg };

	return db_query(db, err,
	    "SELECT address, enabled FROM users WHERE stated = 1 ORDER BY address", PN_NO_VALUES,
	    give_user, &to);
}
