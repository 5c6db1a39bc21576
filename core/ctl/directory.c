/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directory.c - how posternctl changes the directory in the database.
 *
 * Called by the commands about accounts, users, groups and addresses. Must change nothing without a
 * row in the audit log, nor on the ground of a directory that somebody has changed meanwhile.
 */
#include <core/ctl/directory.h>
#include <core/store/audit.h>
#include <errno.h>

/* What was checked against the roster is only as good as the roster. */
int
ctl_directory_unchanged(struct ctl *ctl, struct pn_error *err)
{
	int64_t version;
	int r = records_version(ctl->db, &version, err);

	if (r == 0 && version != generation_directory_version(ctl->generation))
		r = pn_error_set(
		    err, -EAGAIN, "somebody else has just changed the directory; try again");
	return r;
}

/* A relay that does not run needs not be told. */
void
ctl_tell_relay(const struct ctl *ctl)
{
	const char *folder = generation_core(ctl->generation)->relay.run_directory;
	json_t *request = json_pack("{s:s}", "command", "settings"), *answer = NULL;
	struct pn_error err;

	if (control_ask(folder, request, NULL, &answer, &err) == 0)
		json_decref(answer);
	json_decref(request);
}

int
ctl_absent(struct pn_error *err, const char *what, const char *name)
{
	pn_error_set(err, -ENOENT, "there is no %s \"%.320s\"", what, name);
	return EXIT_REFUSED;
}

bool
ctl_is_new_name(const char *name, struct pn_error *err)
{
	if (!config_directory_is_name(name))
		pn_error_set(err, -EINVAL,
		    "\"%.100s\" is not a name; use up to 64 letters, digits, \".\", \"_\" and "
		    "\"-\"",
		    name);
	return config_directory_is_name(name);
}

bool
ctl_read_address(const char *text, char ret[MAIL_ADDRESS_SIZE], struct pn_error *err)
{
	char checked[MAIL_ADDRESS_SIZE];

	if (mail_address_check(pn_slice_of(text), true, checked) == 0 &&
	    *mail_address_domain(checked) && mail_address_compared(checked, ret) == 0)
		return true;
	pn_error_set(err, -EINVAL, "\"%.320s\" is not a mail address", text);
	return false;
}

struct row_text {
	const struct ctl_change *change;
	char text[600]; /* "": no such row */
};

/* What the columns behind the key are, for people. */
static const char *const labels[RECORD_KINDS][RECORD_COLUMNS] = {
	[RECORD_ACCOUNT] = { NULL, "licences=", "paid=", "plan=" },
	[RECORD_NETWORK] = { NULL, "account=", "description=", "enabled=" },
};

static void
write_columns(const struct ctl_change *change, const char *const columns[RECORD_COLUMNS], char *ret,
    size_t size)
{
	size_t len = 0;

	snprintf(ret, size, "there");
	for (int i = change->keys; i < RECORD_COLUMNS && len < size; i++) {
		const char *label = labels[change->kind][i];

		if (columns[i] && *columns[i])
			len += (size_t)snprintf(ret + len, size - len, "%s%s%s", len ? " " : "",
			    label ? label : "", columns[i]);
	}
}

static int
keep_row(void *arg, const char *const columns[RECORD_COLUMNS])
{
	struct row_text *row = arg;
	int same = 0;

	while (same < row->change->keys && strcmp(columns[same], row->change->columns[same]) == 0)
		same++;
	if (same == row->change->keys)
		write_columns(row->change, columns, row->text, sizeof(row->text));
	return 0;
}

static int
apply(
    struct ctl *ctl, const struct ctl_change *change, struct row_text *before, struct pn_error *err)
{
	int r = ctl_directory_unchanged(ctl, err);

	if (r == 0)
		r = records_each(ctl->db, change->kind, keep_row, before, err);
	if (r == 0 && change->removes && !*before->text)
		return pn_error_set(err, -ENOENT,
		    "the database does not have %s; what stands in the files is changed there",
		    change->scope);
	if (r < 0)
		return r;
	return change->removes ? records_remove(ctl->db, change->kind, change->columns, err)
			       : records_put(ctl->db, change->kind, change->columns, err);
}

/* Both the change and its row in the audit log, or neither; then what is there now. */
int
ctl_directory_change(struct ctl *ctl, const struct ctl_change *change, struct pn_error *err)
{
	struct row_text before = { .change = change };
	struct audit_row row = { .who = ctl->who,
		.action = change->action,
		.scope = change->scope,
		.object = change->keys > 1 ? change->columns[1] : change->columns[0] };
	char after[sizeof(before.text)];
	int r = audit_begin(ctl->db, err);

	if (r < 0)
		return EXIT_REFUSED;
	r = apply(ctl, change, &before, err);
	write_columns(change, change->columns, after, sizeof(after));
	row.before = *before.text ? before.text : NULL;
	row.after = change->removes ? NULL : after;
	if (audit_end(ctl->db, &row, r, err) < 0)
		return EXIT_REFUSED;
	ctl_tell_relay(ctl);
	pn_console_row(&ctl->console);
	pn_console_field(&ctl->console, change->removes ? "removed" : "set", change->scope);
	if (!change->removes)
		pn_console_field(&ctl->console, "as", after);
	return EXIT_OK;
}

int
ctl_directory_remove(struct ctl *ctl, const char *action, enum record_kind kind, const char *what,
    const char *key, struct pn_error *err)
{
	char scope[600];
	struct ctl_change change = { .action = action,
		.scope = scope,
		.kind = kind,
		.keys = 1,
		.columns = { key },
		.removes = true };

	snprintf(scope, sizeof(scope), "%s %s", what, key);
	return ctl_directory_change(ctl, &change, err);
}

bool
ctl_is_elsewhere(const struct ctl *ctl, const char *address)
{
	const struct roster_user *user = roster_user(generation_roster(ctl->generation), address);

	return user && user->from & (ROSTER_FILES | ROSTER_SERVER);
}

int
ctl_licence_free(
    const struct ctl *ctl, const char *address, const char *account, struct pn_error *err)
{
	const struct roster *roster = generation_roster(ctl->generation);
	const struct roster_user *user = roster_user(roster, address);
	const struct pn_account *old = roster_user_account(roster, address), *owner;

	owner = account ? roster_account(roster, account) : old;
	if (!owner || owner->licences == 0 || (user && user->enabled && owner == old) ||
	    roster_count_users(roster, owner) < (size_t)owner->licences)
		return 0;
	return pn_error_set(err, -EDQUOT,
	    "all licences of the account %s are taken (%lld); posternctl account set %s licences "
	    "NUMBER",
	    owner->name, (long long)owner->licences, owner->name);
}
