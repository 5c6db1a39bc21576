/* SPDX-License-Identifier: Apache-2.0 */
/* directory.h - what the commands that change the directory share. Between ctl_open_db() and
 * ctl_close(). */
#ifndef CORE_CTL_DIRECTORY_H
#define CORE_CTL_DIRECTORY_H

#include <core/ctl/commands.h>
#include <core/store/records.h>

struct ctl_change {
	const char *action; /* "domain add" */
	const char *scope;  /* "domain example.com": what is changed */
	enum record_kind kind;
	int keys; /* of `columns` */
	const char *columns[RECORD_COLUMNS];
	bool removes;
};

/*
 * Makes the change with its row in the audit log, tells the relay, and shows what is there now.
 * EXIT_OK, EXIT_REFUSED.
 */
int ctl_directory_change(struct ctl *ctl, const struct ctl_change *change, struct pn_error *err);
/* Takes away the row of a key of one column; `what` is for people. */
int ctl_directory_remove(struct ctl *ctl, const char *action, enum record_kind kind,
    const char *what, const char *key, struct pn_error *err);

/* In the transaction of a change: 0, or -EAGAIN where the roster is not what there is any more. */
int ctl_directory_unchanged(struct ctl *ctl, struct pn_error *err);
void ctl_tell_relay(const struct ctl *ctl);
/* Whether files or directory server name the user. */
bool ctl_is_elsewhere(const struct ctl *ctl, const char *address);
/* For the audit log: passwords and all else of that one are gone with this. */
#define CTL_KEPT_GONE "kept of a user before, removed"

/*
 * Whether one more user, or one who was disabled or another account's, has a licence (S0-19).
 * `account` NULL: as now, or by the address's domain. -EDQUOT.
 */
int ctl_licence_free(
    const struct ctl *ctl, const char *address, const char *account, struct pn_error *err);

#define CTL_ACCOUNT_VALUE 80 /* bytes of a column of an account */
/*
 * Checks the value of licences, paid or plan and writes it as it is stored; "" is as the files say.
 */
bool ctl_account_value(
    const char *key, const char *value, char ret[CTL_ACCOUNT_VALUE], struct pn_error *err);
/* The form that is compared; false: said that it is no address. */
bool ctl_read_address(const char *text, char ret[MAIL_ADDRESS_SIZE], struct pn_error *err);
/* Says so; EXIT_REFUSED. */
int ctl_absent(struct pn_error *err, const char *what, const char *name);
/* False: said what names are made of. */
bool ctl_is_new_name(const char *name, struct pn_error *err);

#endif
