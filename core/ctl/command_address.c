/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_address.c - posternctl address add, confirm, forget, list: addresses from elsewhere,
 * whose owner confirms by a mailed code to be the user (S0-21).
 *
 * Must let nobody send with an address on the word of anybody but its owner, nor show a code to
 * whoever runs the command.
 */
#include <core/base/clock.h>
#include <core/ctl/directory.h>
#include <core/store/audit.h>
#include <core/store/codes.h>
#include <core/store/outbox.h>
#include <errno.h>
#include <glib.h>
#include <stdio.h>

struct pair {
	char given[MAIL_ADDRESS_SIZE];   /* where the code goes */
	char address[MAIL_ADDRESS_SIZE]; /* as compared */
	char user[MAIL_ADDRESS_SIZE];    /* the same */
	char scope[MAIL_ADDRESS_SIZE + 16];
};

static const char *const owns_words[] = { [PN_OWNS_SELF] = "own",
	[PN_OWNS_ALIAS] = "alias",
	[PN_OWNS_DELEGATED] = "delegated",
	[PN_OWNS_CONFIRMED] = "confirmed" };

/* ---- which address of whom ------------------------------------------------------------------- */

static int
read_pair(struct ctl *ctl, char **argv, struct pair *ret, struct pn_error *err)
{
	char checked[MAIL_ADDRESS_SIZE];

	if (!ctl_read_address(argv[0], ret->user, err) ||
	    !ctl_read_address(argv[1], ret->address, err))
		return EXIT_REFUSED;
	/* Whose letters mean something where it is delivered (RFC 5321 section 2.4). */
	if (mail_address_check(pn_slice_of(argv[1]), true, checked) < 0 ||
	    mail_address_canonical(checked, ret->given) < 0) {
		pn_error_set(err, -EINVAL, "\"%.320s\" is not a mail address", argv[1]);
		return EXIT_REFUSED;
	}
	if (!roster_user(generation_roster(ctl->generation), ret->user))
		return ctl_absent(err, "user", argv[0]);
	snprintf(ret->scope, sizeof(ret->scope), "address %s", ret->address);
	return EXIT_OK;
}

/* The database open, and what the words mean. */
static int
begin(struct ctl *ctl, char **argv, struct pair *ret, struct pn_error *err)
{
	int code = ctl_open_db(ctl, err);

	return code == EXIT_OK ? read_pair(ctl, argv, ret, err) : code;
}

/* Not somebody else's here, whose word it would take, nor the user's anyhow. */
static int
check_free(const struct ctl *ctl, const struct pair *pair, struct pn_error *err)
{
	const struct roster *roster = generation_roster(ctl->generation);
	enum pn_owns owns = roster_owns(roster, pair->user, pair->address);
	const char *owner = roster_user(roster, pair->address)
				? pair->address
				: roster_alias_owner(roster, pair->address);

	if (owns != PN_OWNS_NOT)
		return pn_error_set(err, -EEXIST, "%s may send with %s already (%s)", pair->user,
		    pair->address, owns_words[owns]);
	if (owner)
		return pn_error_set(err, -EEXIST,
		    "%s is an address of %s here: posternctl address delegate", pair->address,
		    owner);
	return 0;
}

/* ---- add ------------------------------------------------------------------------------------- */

static int
mail_code(struct ctl *ctl, const struct pair *pair, const char *code, int64_t expires_us,
    struct pn_error *err)
{
	const char *relay = generation_core(ctl->generation)->relay.hostname;
	const char *const recipients[] = { pair->given };
	char date[CLOCK_DATE_SIZE], *subject, *text;
	struct pn_mail mail = {
		.size = sizeof(mail), .recipient_count = 1, .recipients = recipients
	};
	int r;

	clock_mail_date(expires_us, date);
	subject = g_strdup_printf("Your code for %s", pair->user);
	text = g_strdup_printf(
	    "%s\nwants to send mail by %s with your address\n%s\n\n"
	    "If this is you, give this code to whoever looks after that relay:\n\n"
	    "    %s\n\n"
	    "It is good once, until %s.\n\n"
	    "If it is not, do nothing and give the code to nobody: without it, your\n"
	    "address cannot be used there.\n",
	    pair->user, relay, pair->given, code, date);
	mail.subject = subject;
	mail.text = text;
	r = outbox_put(ctl->db, "posternctl", &mail, err);
	g_free(subject);
	explicit_bzero(text, strlen(text));
	g_free(text);
	return r;
}

static int
send_code(struct ctl *ctl, const struct pair *pair, int64_t expires_us, struct pn_error *err)
{
	char code[CODE_SIZE];
	int r = ctl_directory_unchanged(ctl, err);

	if (r == 0)
		r = check_free(ctl, pair, err);
	if (r == 0)
		r = codes_make(ctl->db, pair->address, pair->user, expires_us, code, err);
	if (r == 0)
		r = mail_code(ctl, pair, code, expires_us, err);
	explicit_bzero(code, sizeof(code));
	return r;
}

#define TERM_SIZE (CLOCK_DATE_SIZE + 16)

static void
write_term(int64_t expires_us, char ret[TERM_SIZE])
{
	char date[CLOCK_DATE_SIZE];

	clock_log_date(expires_us, date);
	snprintf(ret, TERM_SIZE, "%s %s", expires_us <= clock_wall_us() ? "expired" : "good until",
	    date);
}

/* `code` NULL: there is none, or none any more. */
static void
show(struct ctl *ctl, const char *address, const char *who, const char *as, const char *code)
{
	console_add(&ctl->console, json_pack("{s:s, s:s, s:s, s:s?}", "address", address, "who",
				       who, "as", as, "code", code));
}

static int
run_add(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct pair pair;
	char after[MAIL_ADDRESS_SIZE + 40], term[TERM_SIZE];
	struct audit_row row = {
		.who = ctl->who, .action = "address add", .scope = pair.scope, .object = "code"
	};
	int64_t expires_us;
	int code = begin(ctl, argv, &pair, err);

	if (code != EXIT_OK)
		return code;
	expires_us = clock_wall_us() +
		     generation_core(ctl->generation)->directory.address_code_age * 1000;
	snprintf(after, sizeof(after), "sent, to confirm it for %s", pair.user);
	row.after = after;
	if (audit_begin(ctl->db, err) < 0 ||
	    audit_end(ctl->db, &row, send_code(ctl, &pair, expires_us, err), err) < 0)
		return EXIT_REFUSED;
	ctl_tell_relay(ctl);
	write_term(expires_us, term);
	show(ctl, pair.address, pair.user, "unconfirmed", term);
	return EXIT_OK;
}

/* ---- confirm --------------------------------------------------------------------------------- */

static int
explain(const struct pair *pair, enum code_answer answer, int left, struct pn_error *err)
{
	static const char *const words[] = {
		[CODE_WRONG] = "that is not the code that was sent last",
		[CODE_NONE] = "no code was sent",
		[CODE_USED] = "the code has been used, and is good only once",
		[CODE_EXPIRED] = "the code has expired",
		[CODE_SPENT] = "the code is void, after too many wrong ones"
	};

	if (answer == CODE_WRONG && left > 0)
		return pn_error_set(err, -EACCES, "%s: %s; %d more may be tried", pair->address,
		    words[answer], left);
	return pn_error_set(err, -EACCES,
	    "%s: %s; a new one is sent by posternctl address add %s %s", pair->address,
	    words[answer], pair->user, pair->address);
}

static int
keep_confirmed(struct ctl *ctl, const struct pair *pair, struct pn_error *err)
{
	char when[24];
	const char *const columns[RECORD_COLUMNS] = { pair->address, pair->user, when };

	snprintf(when, sizeof(when), "%lld", (long long)clock_wall_us());
	return records_put(ctl->db, RECORD_CONFIRMED, columns, err);
}

/* A wrong code is a change too: it is counted. Others that are not right change nothing. */
static int
try(struct ctl *ctl, const struct pair *pair, const char *code, enum code_answer *ret_answer,
    int *ret_left, struct pn_error *err)
{
	int r = ctl_directory_unchanged(ctl, err);

	if (r == 0)
		r = codes_try(ctl->db, pair->address, pair->user, code, ret_answer, ret_left, err);
	if (r == 0 && *ret_answer == CODE_RIGHT)
		r = check_free(ctl, pair, err);
	if (r == 0 && *ret_answer == CODE_RIGHT)
		return keep_confirmed(ctl, pair, err);
	if (r == 0 && *ret_answer != CODE_WRONG)
		r = explain(pair, *ret_answer, *ret_left, err);
	return r;
}

static int
run_confirm(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct pair pair;
	char after[MAIL_ADDRESS_SIZE + 40];
	struct audit_row row = {
		.who = ctl->who, .action = "address confirm", .scope = pair.scope, .object = "code"
	};
	enum code_answer answer = CODE_NONE;
	int left = 0, r, code = begin(ctl, argv, &pair, err);

	if (code != EXIT_OK)
		return code;
	if (audit_begin(ctl->db, err) < 0)
		return EXIT_REFUSED;
	r = try(ctl, &pair, argv[2], &answer, &left, err);
	snprintf(after, sizeof(after), "%s %s",
	    answer == CODE_RIGHT ? "confirmed for" : "wrong, of", pair.user);
	row.after = after;
	if (audit_end(ctl->db, &row, r, err) < 0)
		return EXIT_REFUSED;
	if (answer != CODE_RIGHT) {
		explain(&pair, answer, left, err);
		return EXIT_REFUSED;
	}
	ctl_tell_relay(ctl);
	show(ctl, pair.address, pair.user, owns_words[PN_OWNS_CONFIRMED], NULL);
	return EXIT_OK;
}

/* ---- forget ---------------------------------------------------------------------------------- */

/* The one or the other, or both. */
static int
drop(struct ctl *ctl, const struct pair *pair, const char **ret_before, struct pn_error *err)
{
	const char *const columns[RECORD_COLUMNS] = { pair->address, pair->user };
	int r = ctl_directory_unchanged(ctl, err), coded;

	if (r < 0)
		return r;
	coded = codes_drop(ctl->db, pair->address, pair->user, err);
	if (coded < 0 && coded != -ENOENT)
		return coded;
	r = records_remove(ctl->db, RECORD_CONFIRMED, columns, err);
	*ret_before = r == 0 ? "confirmed" : "unconfirmed";
	if (r == -ENOENT && coded == -ENOENT)
		return pn_error_set(err, r, "%s has no address %s that was to be confirmed",
		    pair->user, pair->address);
	return r == -ENOENT ? 0 : r;
}

static int
run_forget(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct pair pair;
	struct audit_row row = { .who = ctl->who,
		.action = "address forget",
		.scope = pair.scope,
		.object = pair.user };
	int r, code = begin(ctl, argv, &pair, err);

	if (code != EXIT_OK)
		return code;
	if (audit_begin(ctl->db, err) < 0)
		return EXIT_REFUSED;
	r = drop(ctl, &pair, &row.before, err);
	if (audit_end(ctl->db, &row, r, err) < 0)
		return EXIT_REFUSED;
	ctl_tell_relay(ctl);
	show(ctl, pair.address, pair.user, "forgotten", NULL);
	return EXIT_OK;
}

/* ---- list ------------------------------------------------------------------------------------ */

static int
list_owned(void *arg, const char *address, const char *who, bool is_group, enum pn_owns owns)
{
	char text[MAIL_ADDRESS_SIZE + 8];

	snprintf(text, sizeof(text), "%s%s", is_group ? "group:" : "", who);
	show(arg, address, text, owns_words[owns], NULL);
	return 0;
}

static int
list_coded(void *arg, const struct code_state *state)
{
	struct ctl *ctl = arg;
	char term[TERM_SIZE];

	if (state->used_us > 0 || roster_owns(generation_roster(ctl->generation), state->user,
				      state->address) != PN_OWNS_NOT)
		return 0;
	write_term(state->expires_us, term);
	show(ctl, state->address, state->user, "unconfirmed",
	    state->tries >= CODE_TRIES ? "void: too many wrong ones" : term);
	return 0;
}

static int
run_list(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	int code = ctl_open_db(ctl, err);

	if (code != EXIT_OK)
		return code;
	roster_each_owner(generation_roster(ctl->generation), list_owned, ctl);
	return codes_each(ctl->db, list_coded, ctl, err) < 0 ? EXIT_REFUSED : EXIT_OK;
}

const struct ctl_command ctl_address_commands[] = {
	{ "address add", "USER ADDRESS",
	    "Mail a code to an address from elsewhere, to find out whether it is the user's; once "
	    "more: another code, and the one before is void.",
	    2, 2, run_add },
	{ "address confirm", "USER ADDRESS CODE",
	    "Let the user send with that address, if this is the code that was mailed.", 3, 3,
	    run_confirm },
	{ "address forget", "USER ADDRESS", "Take an address away that was added so.", 2, 2,
	    run_forget },
	{ "address list", "",
	    "Show whose further and delegated addresses there are, and which are to be confirmed.",
	    0, 0, run_list },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
