/* SPDX-License-Identifier: Apache-2.0 */
/*
 * app_command.c - posternctl user app-password add, list, remove.
 *
 * Called by posternctl. Must show an app password once, when it is made, and never again.
 */
#include "app_password_inside.h"
#include <errno.h>
#include <glib.h>
#include <sodium.h>
#include <stdio.h>
#include <time.h>

#define NAME_MOST 64
#define TIME_SIZE 32

/* The user, and what the audit log says of a change. */
static int
find_user(struct pn_call *call, const char *address, struct pn_user *ret, struct pn_error *err)
{
	if (sodium_init() < 0)
		return pn_error_set(err, -ENOTSUP, "libsodium cannot be used here");
	return pn_user_find(call, address, ret, err);
}

static void
note(struct pn_call *call, const char *address, const char *name, bool made)
{
	char object[NAME_MOST + 20];

	snprintf(object, sizeof(object), "app-password %s", name);
	pn_audit(call, address, object, made ? NULL : "set", made ? "set" : NULL);
}

static int
check_name(const char *name, struct pn_error *err)
{
	bool clean = *name && strlen(name) <= NAME_MOST && g_utf8_validate(name, -1, NULL);

	for (const char *at = name; *at; at++)
		clean &= !g_ascii_iscntrl(*at);
	return clean ? 0
		     : pn_error_set(err, -EINVAL,
			   "the name of an app password has up to %d bytes, without control "
			   "characters",
			   NAME_MOST);
}

struct asked {
	const char *name;
	bool found;
};

static int
compare_name(void *arg, const struct pn_row *row)
{
	struct asked *asked = arg;
	struct pn_slice name = pn_row_bytes(row, 0);

	asked->found |= name.len == strlen(asked->name) &&
			memcmp(name.data, asked->name, name.len) == 0;
	return 0;
}

static int
exists(struct pn_call *call, const char *address, const char *name, bool *ret, struct pn_error *err)
{
	struct asked asked = { name, false };
	int r = pn_db_query(call, err, "SELECT name FROM auth_app_passwords WHERE address = ?1",
	    PN_VALUES(PN_TEXT(address)), compare_name, &asked);

	*ret = asked.found;
	return r;
}

static int
insert(struct pn_call *call, const char *address, const char *name, const char *password,
    struct pn_error *err)
{
	uint8_t hash[APP_PASSWORD_HASH];
	int64_t number;

	randombytes_buf(&number, sizeof(number));
	number = (number & INT64_MAX) |
		 1; /* of chance: the number of one that is gone never again */
	app_password_hash(address, password, hash);
	return pn_db_run(call, err,
	    "INSERT INTO auth_app_passwords (number, address, name, hash, made, used) "
	    "VALUES (?1, ?2, ?3, ?4, ?5, 0)",
	    PN_VALUES(PN_INT(number), PN_TEXT(address), PN_TEXT(name), PN_BLOB(hash, sizeof(hash)),
		PN_INT(time(NULL))));
}

int
app_password_add(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	char password[APP_PASSWORD_SIZE];
	struct pn_user user;
	bool there;
	int r = find_user(call, argv[0], &user, err);

	if (r == 0)
		r = check_name(argv[1], err);
	if (r == 0)
		r = exists(call, user.address, argv[1], &there, err);
	if (r == 0 && there)
		r = pn_error_set(err, -EEXIST,
		    "%s has an app password of that name; remove it, or take another name",
		    user.address);
	if (r < 0)
		return r;
	r = pn_user_keep(call, user.address, err);
	if (r < 0)
		return r;
	app_password_make(password);
	note(call, user.address, argv[1], true);
	r = insert(call, user.address, argv[1], password, err);
	if (r == 0) {
		pn_console_row(console);
		pn_console_field(console, "user", user.address);
		pn_console_field(console, "name", argv[1]);
		pn_console_field(console, "password", password);
	}
	sodium_memzero(password, sizeof(password));
	return r;
}

static void
show_time(struct pn_console *console, const char *field, int64_t when)
{
	char text[TIME_SIZE] = "never";
	time_t seconds = (time_t)when;
	struct tm parts;

	if (when != 0 && gmtime_r(&seconds, &parts))
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
	pn_console_field(console, field, text);
}

static int
show(void *arg, const struct pn_row *row)
{
	struct pn_console *console = arg;
	struct pn_slice name = pn_row_bytes(row, 0);
	char text[NAME_MOST + 1];

	snprintf(text, sizeof(text), "%.*s", (int)name.len, name.data);
	pn_console_row(console);
	pn_console_field(console, "name", text);
	show_time(console, "made", pn_row_int(row, 1));
	show_time(console, "used", pn_row_int(row, 2));
	return 0;
}

int
app_password_list(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct pn_user user;
	int r = find_user(call, argv[0], &user, err);

	return r < 0 ? r
		     : pn_db_query(call, err,
			   "SELECT name, made, used FROM auth_app_passwords WHERE address = ?1 "
			   "ORDER BY name",
			   PN_VALUES(PN_TEXT(user.address)), show, console);
}

int
app_password_remove(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct pn_user user;
	bool there;
	int r = find_user(call, argv[0], &user, err);

	if (r == 0)
		r = exists(call, user.address, argv[1], &there, err);
	if (r == 0 && !there)
		r = pn_error_set(err, -ENOENT, "%s has no app password of that name", user.address);
	if (r < 0)
		return r;
	note(call, user.address, argv[1], false);
	return pn_db_run(call, err,
	    "DELETE FROM auth_app_passwords WHERE address = ?1 AND name = ?2",
	    PN_VALUES(PN_TEXT(user.address), PN_TEXT(argv[1])));
}
