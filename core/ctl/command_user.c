/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_user.c - posternctl user add, list, remove, enable, disable; and opening the database.
 *
 * The directory is the core's; passwords are the auth module's ("user passwd"). Must change nothing
 * without a row in the audit log.
 */
#include <core/ctl/directory.h>
#include <core/master/privileges.h>
#include <core/store/audit.h>
#include <core/store/directory.h>
#include <core/store/overrides.h>
#include <core/store/tables.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Again from the bytes that were read: after dropping root the files may be out of reach. */
static int
reopen_with_db(struct ctl *ctl, struct pn_error *err)
{
	struct generation_how how = { .folder = ctl->folder,
		.module_path = ctl->modules,
		.role = ctl->trial ? PN_ROLE_RELAY : PN_ROLE_CTL,
		.db = ctl->db,
		.trial = ctl->trial };
	struct overrides stored = { 0 };
	struct buf bytes = BUF_INIT(64u * 1024 * 1024);
	int r = ctl->db ? overrides_read(ctl->db, &ctl->stored, &stored, err) : 0;

	if (r < 0)
		return r;
	how.overrides = &stored;
	r = source_bundle_write(ctl->recording, &bytes);

	if (r == 0)
		r = source_bundle(buf_slice(&bytes), &ctl->bundle, err);
	buf_wipe(&bytes);
	if (r < 0)
		return r;
	how.source = ctl->bundle;
	generation_release(&ctl->generation);
	diags_free(&ctl->diags);
	r = generation_build(&how, &ctl->diags, &ctl->generation);
	if (r < 0 && ctl->diags.count > 0)
		return pn_error_set(err, r, "%s", ctl->diags.items[ctl->diags.count - 1].text);
	return r < 0 ? pn_error_set(err, r, "cannot start the modules: %s", strerror(-r)) : 0;
}

static int
open_db(struct ctl *ctl, struct pn_error *err)
{
	const struct config_relay *relay = &generation_core(ctl->generation)->relay;
	char path[4096];
	int r = privileges_folder(relay->state_directory, relay->user, 0700, err);

	if (r == 0)
		r = privileges_drop(relay->user, err);
	if (r < 0)
		return r;
	if (snprintf(path, sizeof(path), "%s/postern.db", relay->state_directory) >=
	    (int)sizeof(path))
		return pn_error_set(err, -ENAMETOOLONG, "%s: too long", relay->state_directory);
	if (ctl->trial && access(path, F_OK) < 0) /* nothing was ever stored */
		return reopen_with_db(ctl, err);
	r = db_open(path, ctl->trial, &ctl->db, err);
	if (r == 0 && !ctl->trial)
		r = tables_migrate(ctl->db, err);
	return r < 0 ? r : reopen_with_db(ctl, err);
}

int
ctl_go_on_with_db(struct ctl *ctl, struct pn_error *err)
{
	return open_db(ctl, err) < 0 ? EXIT_REFUSED : EXIT_OK;
}

int
ctl_open_db(struct ctl *ctl, struct pn_error *err)
{
	int code = ctl_open_generation(ctl, err);

	return code == EXIT_OK ? ctl_go_on_with_db(ctl, err) : code;
}

void
ctl_close(struct ctl *ctl)
{
	if (ctl->generation)
		generation_stop(ctl->generation);
	generation_release(&ctl->generation);
	db_close(&ctl->db);
	arena_free(&ctl->stored);
	diags_free(&ctl->diags);
	source_free(&ctl->bundle);
	source_free(&ctl->recording);
	source_free(&ctl->files);
}

static int
add_row(void *arg, const struct pn_user *user)
{
	struct pn_console *console = arg;

	console_add(
	    console, json_pack("{s:s, s:b}", "user", user->address, "enabled", user->enabled));
	return 0;
}

/* The new state, read back. */
static int
show(struct ctl *ctl, const char *address, struct pn_error *err)
{
	struct directory_row row;

	if (directory_row_find(ctl->db, address, &row, err) < 0)
		return EXIT_REFUSED;
	add_row(&ctl->console, &row.user);
	return EXIT_OK;
}

/* ---- changes, each with its row in the audit log ----------------------------------------------
 */

/* The row of `action`, of the user as he is known. */
struct change {
	struct ctl *ctl;
	struct pn_user user;
	char scope[sizeof(((struct pn_user *)NULL)->address) + 8];
	struct audit_row row;
};

/* Who the change is for: nobody yet, anybody whoever names him, what the database has. */
enum whom { WHOM_NEW, WHOM_KNOWN, WHOM_STORED };

static int
find_whom(struct change *change, enum whom whom, const char *address, struct pn_error *err)
{
	struct ctl *ctl = change->ctl;
	const struct roster_user *user = roster_user(generation_roster(ctl->generation), address);
	bool elsewhere = ctl_is_elsewhere(ctl, address);
	struct directory_row row;
	int r = directory_row_find(ctl->db, address, &row, err);

	change->user = row.user;
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == -ENOENT && whom == WHOM_STORED && elsewhere)
		return pn_error_set(err, r,
		    "%s stands in the files or the directory server, and is removed there",
		    user->address);
	if (whom == WHOM_NEW)
		return *row.user.address ? 0 : r;
	if (whom == WHOM_KNOWN && elsewhere && !row.stated) {
		change->user.enabled = user->enabled;
		return directory_user_keep(ctl->db, address, err);
	}
	if (r == 0 && whom == WHOM_KNOWN && !row.stated)
		r = pn_error_set(err, -ENOENT, "there is no user %s", row.user.address);
	return r;
}

/* EXIT_OK: the change is to be made, and its result is for end(). */
static int
begin(struct change *change, struct ctl *ctl, const char *action, const char *address,
    enum whom whom, struct pn_error *err)
{
	int code = ctl_open_db(ctl, err), r;

	if (code != EXIT_OK)
		return code;
	*change = (struct change){ .ctl = ctl };
	if (audit_begin(ctl->db, err) < 0)
		return EXIT_REFUSED;
	r = ctl_directory_unchanged(ctl, err);
	if (r == 0)
		r = find_whom(change, whom, address, err);
	if (r < 0) {
		audit_end(ctl->db, NULL, r, err);
		return EXIT_REFUSED;
	}
	snprintf(change->scope, sizeof(change->scope), "user %s", change->user.address);
	change->row = (struct audit_row){
		.who = ctl->who, .action = action, .scope = change->scope, .object = "user"
	};
	return EXIT_OK;
}

static int
end(struct change *change, int r, struct pn_error *err)
{
	if (audit_end(change->ctl->db, &change->row, r, err) < 0)
		return EXIT_REFUSED;
	ctl_tell_relay(change->ctl);
	return EXIT_OK;
}

static const char *
state_word(bool enabled)
{
	return enabled ? "enabled" : "disabled";
}

/* Mail with the address is somebody's already. */
static int
is_no_alias(const struct ctl *ctl, const char *address, struct pn_error *err)
{
	const char *owner = roster_alias_owner(generation_roster(ctl->generation), address);

	return owner ? pn_error_set(err, -EEXIST,
			   "%s is an alias of %s; posternctl address remove %s first", address,
			   owner, address)
		     : 0;
}

/* What was kept of somebody who is gone is not for whoever gets the address next. */
static int
add_user(struct change *change, const char *address, struct pn_error *err)
{
	struct db *db = change->ctl->db;
	bool forgotten = false;
	int r = 0;

	if (!ctl_is_elsewhere(change->ctl, address))
		r = directory_user_forget(db, address, &forgotten, err);
	if (forgotten)
		change->row.before = CTL_KEPT_GONE;
	return r < 0 ? r : directory_user_add(db, address, err);
}

static int
run_add(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct change change;
	int r, code = begin(&change, ctl, "user add", argv[0], WHOM_NEW, err);

	if (code != EXIT_OK)
		return code;
	change.row.after = state_word(true);
	r = is_no_alias(ctl, argv[0], err);
	if (r == 0)
		r = ctl_licence_free(ctl, argv[0], NULL, err);
	code = end(&change, r < 0 ? r : add_user(&change, argv[0], err), err);
	return code == EXIT_OK ? show(ctl, argv[0], err) : code;
}

static int
set_enabled(
    struct ctl *ctl, const char *action, const char *address, bool enabled, struct pn_error *err)
{
	struct change change;
	int r = 0, code = begin(&change, ctl, action, address, WHOM_KNOWN, err);

	if (code != EXIT_OK)
		return code;
	change.row.before = state_word(change.user.enabled);
	change.row.after = state_word(enabled);
	if (enabled)
		r = ctl_licence_free(ctl, address, NULL, err);
	code = end(&change, r < 0 ? r : directory_user_enable(ctl->db, address, enabled, err), err);
	return code == EXIT_OK ? show(ctl, address, err) : code;
}

static int
run_enable(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	return set_enabled(ctl, "user enable", argv[0], true, err);
}

static int
run_disable(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	return set_enabled(ctl, "user disable", argv[0], false, err);
}

static int
run_remove(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct change change;
	int code = begin(&change, ctl, "user remove", argv[0], WHOM_STORED, err);

	if (code != EXIT_OK)
		return code;
	change.row.before = state_word(change.user.enabled);
	code = end(&change, directory_user_remove(ctl->db, argv[0], err), err);
	if (code != EXIT_OK)
		return code;
	pn_console_row(&ctl->console);
	pn_console_field(&ctl->console, "removed", argv[0]);
	return EXIT_OK;
}

/* The user with the whole profile, as it now stands. */
static int
show_profile(struct ctl *ctl, const char *address, struct pn_error *err)
{
	int code = show(ctl, address, err);
	char value[DIRECTORY_FIELD_SIZE];

	for (size_t i = 0; code == EXIT_OK && directory_fields[i]; i++) {
		if (directory_field_get(ctl->db, address, directory_fields[i], value, err) < 0)
			code = EXIT_REFUSED;
		else
			pn_console_field(&ctl->console, directory_fields[i], value);
	}
	return code;
}

/* Whose user it is, whatever the address; "" is by its domain. */
static int
set_account(struct ctl *ctl, const char *user, const char *account, struct pn_error *err)
{
	const char *const columns[RECORD_COLUMNS] = { user, account };
	int r;

	if (!*account) {
		r = records_remove(ctl->db, RECORD_REGISTERED, columns, err);
		return r == -ENOENT ? 0 : r;
	}
	if (!roster_account(generation_roster(ctl->generation), account))
		return pn_error_set(err, -ENOENT, "there is no account \"%.100s\"", account);
	r = ctl_licence_free(ctl, user, account, err);
	return r < 0 ? r : records_put(ctl->db, RECORD_REGISTERED, columns, err);
}

static int
run_set_account(struct ctl *ctl, char **argv, struct pn_error *err)
{
	const struct pn_account *before;
	struct change change;
	int code = begin(&change, ctl, "user set", argv[0], WHOM_KNOWN, err);

	if (code != EXIT_OK)
		return code;
	before = roster_user_account(generation_roster(ctl->generation), change.user.address);
	change.row.object = "account";
	change.row.before = before ? before->name : NULL;
	change.row.after = *argv[2] ? argv[2] : NULL;
	code = end(&change, set_account(ctl, change.user.address, argv[2], err), err);
	return code == EXIT_OK ? show_profile(ctl, argv[0], err) : code;
}

static int
run_set(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct change change;
	char before[DIRECTORY_FIELD_SIZE];
	int r, code;

	if (strcmp(argv[1], "account") == 0)
		return run_set_account(ctl, argv, err);
	code = begin(&change, ctl, "user set", argv[0], WHOM_KNOWN, err);
	if (code != EXIT_OK)
		return code;
	change.row.object = argv[1];
	r = directory_field_get(ctl->db, argv[0], argv[1], before, err);
	if (r == 0)
		r = directory_field_set(ctl->db, argv[0], argv[1], argv[2], err);
	change.row.before = *before ? before : NULL;
	change.row.after = *argv[2] ? argv[2] : NULL;
	code = end(&change, r, err);
	return code == EXIT_OK ? show_profile(ctl, argv[0], err) : code;
}

/* ---- whoever names them -----------------------------------------------------------------------
 */

static json_t *
row_of(struct ctl *ctl, const struct roster_user *user)
{
	static const struct {
		enum roster_from from;
		const char *word;
	} words[] = { { ROSTER_FILES, "files" }, { ROSTER_SERVER, "directory server" },
		{ ROSTER_DATABASE, "database" } };
	const struct pn_account *account = roster_user_account(
	    generation_roster(ctl->generation), user->address);
	char from[60] = "";
	size_t len = 0;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (user->from & words[i].from)
			len += (size_t)snprintf(from + len, sizeof(from) - len, "%s%s",
			    len > 0 ? ", " : "", words[i].word);
	return json_pack("{s:s, s:b, s:s?, s:s}", "user", user->address, "enabled", user->enabled,
	    "account", account ? account->name : NULL, "from", from);
}

static int
run_show(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	const struct roster_user *user;
	int code = ctl_open_db(ctl, err);

	if (code != EXIT_OK)
		return code;
	user = roster_user(generation_roster(ctl->generation), argv[0]);
	if (!user)
		return ctl_absent(err, "user", argv[0]);
	console_add(&ctl->console, row_of(ctl, user));
	pn_console_field(&ctl->console, "name", user->name ? user->name : "");
	pn_console_field(&ctl->console, "title", user->title ? user->title : "");
	pn_console_field(&ctl->console, "phone", user->phone ? user->phone : "");
	return EXIT_OK;
}

/* Rows that make nobody a user any more: "user remove" takes them away. */
static int
list_kept(void *arg, const char *const columns[RECORD_COLUMNS])
{
	struct ctl *ctl = arg;

	if (*columns[2] == '0' && !roster_user(generation_roster(ctl->generation), columns[0]))
		console_add(
		    &ctl->console, json_pack("{s:s, s:b, s:n, s:s}", "user", columns[0], "enabled",
				       false, "account", "from", "nobody (kept)"));
	return 0;
}

static int
run_list(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	const struct roster_user *user;
	int code = ctl_open_db(ctl, err);

	for (size_t i = 0;
	     code == EXIT_OK && (user = roster_user_at(generation_roster(ctl->generation), i)); i++)
		console_add(&ctl->console, row_of(ctl, user));
	if (code == EXIT_OK && ctl->db &&
	    records_each(ctl->db, RECORD_USER, list_kept, ctl, err) < 0)
		code = EXIT_REFUSED;
	return code;
}

const struct ctl_command ctl_user_commands[] = {
	{ "user add", "ADDRESS", "Add a user, who then needs a password: user passwd.", 1, 1,
	    run_add },
	{ "user list", "", "Show all users, those of files and directory server too.", 0, 0,
	    run_list },
	{ "user show", "ADDRESS", "Show a user with name, title and phone.", 1, 1, run_show },
	{ "user set", "ADDRESS account|name|title|phone VALUE",
	    "Say what else is known of a user, or whose account's user it is; \"\" takes it away.",
	    3, 3, run_set },
	{ "user enable", "ADDRESS", "Let a user log in again.", 1, 1, run_enable },
	{ "user disable", "ADDRESS", "Refuse a user's logins, keeping password and settings.", 1, 1,
	    run_disable },
	{ "user remove", "ADDRESS", "Remove a user for good.", 1, 1, run_remove },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
