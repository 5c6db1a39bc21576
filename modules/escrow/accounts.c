/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accounts.c - who has a portal account, and `posternctl escrow account`.
 *
 * Called by escrow.c on policy threads, and by posternctl. A recipient's account with one customer
 * must never count for another customer's mail.
 */
#include "escrow.h"
#include <errno.h>
#include <glib.h>
#include <time.h>

#define NOBODY "-" /* the mail of nobody's account, in commands */

const struct pn_migration escrow_migrations[] = {
	{ 1, 0,
	    "CREATE TABLE escrow_accounts ("
	    "account TEXT NOT NULL, address TEXT NOT NULL, made BIGINT NOT NULL, "
	    "PRIMARY KEY (account, address))" },
	{ 0, 0, NULL },
};

/* One mailbox has one account, however its name is typed. */
static int
key_of(const char *address, char **ret)
{
	char canonical[PN_ADDRESS_SIZE];
	int r = pn_address_canonical(address, canonical);
	char *folded;

	if (r < 0 || !strrchr(canonical, '@'))
		return r < 0 ? r : -EINVAL;
	folded = g_utf8_casefold(canonical, -1);
	*ret = g_utf8_normalize(folded, -1, G_NORMALIZE_DEFAULT_COMPOSE);
	g_free(folded);
	return *ret ? 0 : -EINVAL;
}

static int
count_row(void *arg, const struct pn_row *row)
{
	*(int *)arg = 1;
	return 0;
}

static int
has_row(struct pn_call *call, const char *account, const char *key, struct pn_error *err)
{
	int found = 0;
	int r = pn_db_query(call, err,
	    "SELECT 1 FROM escrow_accounts WHERE account = ?1 AND address = ?2",
	    PN_VALUES(PN_TEXT(account), PN_TEXT(key)), count_row, &found);

	return r < 0 ? r : found;
}

int
escrow_has_account(
    struct pn_call *call, const char *account, const char *recipient, struct pn_error *err)
{
	char *key;
	int r;

	if (key_of(recipient, &key) < 0)
		return 0;
	r = has_row(call, account, key, err);
	g_free(key);
	return r;
}

/* ---- commands -------------------------------------------------------------------------------- */

static void
show(struct pn_console *console, const char *account, const char *address)
{
	pn_console_row(console);
	pn_console_field(console, "account", *account ? account : NOBODY);
	pn_console_field(console, "address", address);
}

/* ACCOUNT ADDRESS, the former "" for NOBODY. */
static int
read_arguments(char **argv, const char **ret_account, char **ret_key, struct pn_error *err)
{
	*ret_account = strcmp(argv[0], NOBODY) ? argv[0] : "";
	if (key_of(argv[1], ret_key) < 0)
		return pn_error_set(err, -EINVAL, "\"%.320s\" is not an address", argv[1]);
	return 0;
}

static int
change(struct pn_call *call, const char *account, const char *key, bool add, struct pn_error *err)
{
	char object[400];

	g_snprintf(object, sizeof(object), "portal account %s", key);
	pn_audit(call, NULL, object,
	    add        ? NULL
	    : *account ? account
		       : NOBODY,
	    !add       ? NULL
	    : *account ? account
		       : NOBODY);
	if (add)
		return pn_db_run(call, err,
		    "INSERT INTO escrow_accounts (account, address, made) VALUES (?1, ?2, ?3)",
		    PN_VALUES(PN_TEXT(account), PN_TEXT(key), PN_INT((int64_t)time(NULL))));
	return pn_db_run(call, err,
	    "DELETE FROM escrow_accounts WHERE account = ?1 AND address = ?2",
	    PN_VALUES(PN_TEXT(account), PN_TEXT(key)));
}

static int
run_add(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct pn_account known;
	const char *account;
	char *key = NULL;
	int r = read_arguments(argv, &account, &key, err);

	if (r == 0 && *account && !pn_account_find(call, account, &known))
		r = pn_error_set(err, -ENOENT,
		    "there is no account \"%.100s\"; \"-\" is for mail that "
		    "is nobody's",
		    account);
	if (r == 0)
		r = has_row(call, account, key, err);
	if (r == 1)
		r = pn_error_set(err, -EEXIST, "%s has a portal account there already", key);
	if (r == 0)
		r = change(call, account, key, true, err);
	if (r == 0)
		show(console, account, key);
	g_free(key);
	return r;
}

/* Also of an account that is gone. */
static int
run_remove(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	const char *account;
	char *key = NULL;
	int r = read_arguments(argv, &account, &key, err);

	if (r == 0)
		r = has_row(call, account, key, err);
	if (r == 0)
		r = pn_error_set(err, -ENOENT, "%s has no portal account there", key);
	else if (r == 1)
		r = change(call, account, key, false, err);
	if (r == 0)
		show(console, account, key);
	g_free(key);
	return r;
}

static char *
text_of(struct pn_slice bytes)
{
	return g_strndup(bytes.data ? bytes.data : "", bytes.len);
}

static int
list_row(void *arg, const struct pn_row *row)
{
	char *account = text_of(pn_row_bytes(row, 0)), *address = text_of(pn_row_bytes(row, 1));

	show(arg, account, address);
	g_free(account);
	g_free(address);
	return 0;
}

static int
run_list(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	static const char all[] =
	    "SELECT account, address FROM escrow_accounts ORDER BY account, address";
	static const char one[] =
	    "SELECT account, address FROM escrow_accounts WHERE account = ?1 ORDER BY address";

	if (argc == 0)
		return pn_db_query(call, err, all, PN_NO_VALUES, list_row, console);
	return pn_db_query(call, err, one,
	    PN_VALUES(PN_TEXT(strcmp(argv[0], NOBODY) ? argv[0] : "")), list_row, console);
}

const struct pn_command escrow_commands[] = {
	{ "escrow account add", "ACCOUNT ADDRESS",
	    "Note that a recipient has a portal account with this account's mail; \"-\": with mail "
	    "that is nobody's.",
	    2, 2, run_add },
	{ "escrow account remove", "ACCOUNT ADDRESS", "Forget a recipient's portal account.", 2, 2,
	    run_remove },
	{ "escrow account list", "[ACCOUNT]", "Show who has a portal account.", 0, 1, run_list },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
