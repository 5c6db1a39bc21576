/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_sts.c - posternctl sts: what is known of domains' MTA-STS policies, and what holds in
 * their place for a while by an administrator's word.
 *
 * Every change has its row in the audit log and ends by itself. A running relay is told.
 */
#include <core/base/clock.h>
#include <core/ctl/directory.h>
#include <core/mail/sts.h>
#include <core/store/sts.h>
#include <errno.h>
#include <glib.h>
#include <stdio.h>

#define DAY_US (INT64_C(24) * 3600 * 1000000)

static int
read_domain(const char *text, char ret[MAIL_DOMAIN_MOST + 1], struct pn_error *err)
{
	if (*text != '[' && *text && mail_domain_canonical(text, ret) == 0)
		return EXIT_OK;
	pn_error_set(err, -EINVAL, "\"%.255s\" is no domain", text);
	return EXIT_USAGE;
}

/* The end of that day, UTC: "2026-12-01". */
static int
read_date(const char *text, int64_t *ret_us, struct pn_error *err)
{
	int year = 0, month = 0, day = 0, used = 0;
	GDateTime *date = NULL;

	if (sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &used) == 3 && !text[used])
		date = g_date_time_new_utc(year, month, day, 0, 0, 0);
	if (!date)
		return pn_error_set(
		    err, -EINVAL, "\"%.40s\" is no date; write for example 2026-12-31", text);
	*ret_us = g_date_time_to_unix(date) * 1000000 + DAY_US;
	g_date_time_unref(date);
	return 0;
}

/* ---- override -------------------------------------------------------------------------------- */

static int
check_override(const struct sts_override *override, struct pn_error *err)
{
	enum sts_mode mode;

	if (!override->mode || sts_mode_parse(pn_slice_of(override->mode), &mode) < 0)
		return pn_error_set(
		    err, -EINVAL, "--mode is missing: one of none, testing and enforce");
	if (override->until_us == 0)
		return pn_error_set(err, -EINVAL,
		    "--until is missing: the last day on which it holds, as in 2026-12-31");
	if (override->until_us <= clock_wall_us())
		return pn_error_set(err, -EINVAL, "--until is a day that is over");
	return 0;
}

static int
run_override(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	char domain[MAIL_DOMAIN_MOST + 1];
	struct sts_override override = { .domain = domain, .who = ctl->who };
	int r = 0, code = read_domain(argv[0], domain, err);

	for (int i = 1; code == EXIT_OK && i < argc && r == 0; i += 2) {
		if (strcmp(argv[i], "--mode") == 0 && i + 1 < argc)
			override.mode = argv[i + 1];
		else if (strcmp(argv[i], "--until") == 0 && i + 1 < argc)
			r = read_date(argv[i + 1], &override.until_us, err);
		else
			r = pn_error_set(err, -EINVAL,
			    "\"%.80s\": --mode MODE and --until DATE are known here", argv[i]);
	}
	if (code != EXIT_OK)
		return code;
	if (r < 0 || check_override(&override, err) < 0)
		return EXIT_USAGE;
	code = ctl_open_db(ctl, err);
	if (code != EXIT_OK)
		return code;
	if (sts_override_set(ctl->db, &override, err) < 0)
		return EXIT_REFUSED;
	ctl_tell_relay(ctl);
	return EXIT_OK;
}

static int
run_remove(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	char domain[MAIL_DOMAIN_MOST + 1];
	int code = read_domain(argv[0], domain, err);

	if (code == EXIT_OK)
		code = ctl_open_db(ctl, err);
	if (code != EXIT_OK)
		return code;
	if (sts_override_remove(ctl->db, domain, ctl->who, err) < 0)
		return EXIT_REFUSED;
	ctl_tell_relay(ctl);
	return EXIT_OK;
}

/* ---- list and show --------------------------------------------------------------------------- */

static void
put_override(void *arg, const struct sts_override *override)
{
	struct pn_console *console = arg;
	char until[CLOCK_DATE_SIZE];

	clock_log_date(override->until_us, until);
	pn_console_row(console);
	pn_console_field(console, "domain", override->domain);
	pn_console_field(console, "mode", override->mode);
	pn_console_field(console, "until", until);
	pn_console_field(console, "state", override->until_us > clock_wall_us() ? "holds" : "over");
	pn_console_field(console, "by", override->who);
}

static int
run_list(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	int code = ctl_open_db(ctl, err);

	if (code != EXIT_OK)
		return code;
	return sts_overrides_each(ctl->db, put_override, &ctl->console, err) < 0 ? EXIT_REFUSED
										 : EXIT_OK;
}

struct showing {
	const char *domain;
	struct pn_console *console;
};

static void
show_override(void *arg, const struct sts_override *override)
{
	const struct showing *showing = arg;
	char until[CLOCK_DATE_SIZE];

	if (strcmp(override->domain, showing->domain) != 0 || override->until_us <= clock_wall_us())
		return;
	clock_log_date(override->until_us, until);
	pn_console_field(showing->console, "overridden", override->mode);
	pn_console_field(showing->console, "until", until);
	pn_console_field(showing->console, "by", override->who);
}

static void
show_kept(struct pn_console *console, const struct sts_kept *kept)
{
	char fetched[CLOCK_DATE_SIZE], expires[CLOCK_DATE_SIZE];

	clock_log_date(kept->fetched_us, fetched);
	clock_log_date(kept->expires_us, expires);
	pn_console_field(console, "id", kept->id);
	pn_console_field(console, "fetched", fetched);
	pn_console_field(console, "expires", expires);
	pn_console_field(console, "policy", kept->policy);
}

static int
run_show(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	char domain[MAIL_DOMAIN_MOST + 1];
	struct showing showing = { domain, &ctl->console };
	struct arena arena = { 0 };
	struct sts_kept kept;
	int r, code = read_domain(argv[0], domain, err);

	if (code == EXIT_OK)
		code = ctl_open_db(ctl, err);
	if (code != EXIT_OK)
		return code;
	r = sts_find(ctl->db, domain, &arena, &kept, err);
	pn_console_row(&ctl->console);
	pn_console_field(&ctl->console, "domain", domain);
	if (r == 0)
		show_kept(&ctl->console, &kept);
	else if (r == -ENOENT)
		pn_console_field(&ctl->console, "policy", "none is kept");
	if (r == 0 || r == -ENOENT)
		r = sts_overrides_each(ctl->db, show_override, &showing, err);
	arena_free(&arena);
	return r < 0 ? EXIT_REFUSED : EXIT_OK;
}

const struct ctl_command ctl_sts_commands[] = {
	{ "sts override", "DOMAIN --mode none|testing|enforce --until DATE",
	    "Have another mode hold for a domain than its MTA-STS policy says, up to and with that "
	    "day (UTC).",
	    5, 5, run_override },
	{ "sts remove", "DOMAIN", "Have the domain's own MTA-STS policy hold again.", 1, 1,
	    run_remove },
	{ "sts list", "",
	    "Show the domains whose MTA-STS policy is overridden, until when and by whom.", 0, 0,
	    run_list },
	{ "sts show", "DOMAIN", "Show the MTA-STS policy that is kept of a domain.", 1, 1,
	    run_show },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
