/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.c - posternctl user-relay add, list, test, remove, reseal.
 *
 * Called by posternctl. Must store nothing for a user who may have no server, and never show or log
 * a password.
 */
#include "user_relays.h"
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define SECRET_SIZE 1024
#define NAME_MOST   512u /* of the user at the other server */
#define HOST_SIZE   256
#define SUBMISSION  587
#define SUBMISSIONS 465

/* S3-08, S3-09. */
static int
may_have(struct pn_call *call, const struct pn_user_relay *relay, struct pn_error *err)
{
	const struct user_relays *cfg = pn_settings_for(call, relay->user, NULL, err);
	const char *objection;

	if (!cfg)
		return -EINVAL;
	if (!pn_user_known(call, relay->user))
		return pn_error_set(err, -ENOENT, "there is no user %.320s", relay->user);
	if (!cfg->allow)
		return pn_error_set(err, -EPERM,
		    "%.320s may not have a server of his own: an administrator has to set "
		    "%s.allow first",
		    relay->user, pn_entry(call));
	if (!relay->verify && !cfg->unverified)
		return pn_error_set(err, -EPERM,
		    "--unverified is not allowed for %.320s (%s.unverified)", relay->user,
		    pn_entry(call));
	objection = user_relays_objection(call, relay->user, relay->address);
	return objection ? pn_error_set(err, -EPERM, "%.320s: %s", relay->address, objection) : 0;
}

/* ---- add ------------------------------------------------------------------------------------- */

struct adding {
	struct pn_user_relay relay;
	char host[HOST_SIZE];
	const char *name; /* at that server */
	int tls;          /* 0: by the port */
};

/* "host", "host:port", "[2001:db8::1]:port" */
static int
read_host(struct adding *adding, const char *text, struct pn_error *err)
{
	const char *end = *text == '[' ? strchr(text, ']') : strchr(text, ':');
	const char *begin = text + (*text == '['), *port = NULL;
	size_t len;
	char *rest;
	unsigned long number = adding->tls == 'i' ? SUBMISSIONS : SUBMISSION;

	if (end && (*text != '[' || end[1] == ':'))
		port = end + (*text == '[') + 1;
	len = end ? (size_t)(end - begin) : strlen(begin);
	if (port) {
		number = strtoul(port, &rest, 10);
		if (*port < '0' || *port > '9' || *rest)
			number = 0;
	}
	if (len == 0 || len >= HOST_SIZE || number == 0 || number > UINT16_MAX ||
	    (*text == '[' && (!end || (!port && end[1]))))
		return pn_error_set(err, -EINVAL,
		    "\"%.100s\" is not a host; write for example smtp.partner.example:587", text);
	memcpy(adding->host, begin, len);
	adding->relay.host = adding->host;
	adding->relay.port = (uint16_t)number;
	adding->relay.implicit_tls = adding->tls ? adding->tls == 'i' : number == SUBMISSIONS;
	return 0;
}

static int
read_option(struct adding *adding, const char *option, const char *value, struct pn_error *err)
{
	if (strcmp(option, "--unverified") == 0) {
		adding->relay.verify = false;
		return 1;
	}
	if (strcmp(option, "--tls") == 0 && value &&
	    (strcmp(value, "starttls") == 0 || strcmp(value, "implicit") == 0)) {
		adding->tls = *value;
		return 2;
	}
	return pn_error_set(err, -EINVAL,
	    "\"%.40s\" is no option here; there are --tls starttls|implicit and --unverified",
	    option);
}

static int
read_arguments(struct adding *adding, int argc, char **argv, struct pn_error *err)
{
	int at = 0;

	*adding = (struct adding){ .relay = { .verify = true } };
	while (at < argc && strncmp(argv[at], "--", 2) == 0) {
		int used = read_option(adding, argv[at], argv[at + 1], err);

		if (used < 0)
			return used;
		at += used;
	}
	if (argc - at != 4)
		return pn_error_set(
		    err, -EINVAL, "USER, ADDRESS, HOST and NAME are wanted, behind the options");
	adding->relay.user = argv[at];
	adding->relay.address = argv[at + 1];
	adding->name = argv[at + 3];
	if (!*adding->name || strlen(adding->name) > NAME_MOST)
		return pn_error_set(
		    err, -EINVAL, "the name at that server has 1 to %u bytes", NAME_MOST);
	return read_host(adding, argv[at + 2], err);
}

static void
describe(const struct pn_user_relay *relay, char *ret, size_t size)
{
	snprintf(ret, size, "%s:%u %s%s", relay->host, (unsigned)relay->port,
	    relay->implicit_tls ? "implicit" : "starttls", relay->verify ? "" : " unverified");
}

static void
show(struct pn_console *console, const struct pn_user_relay *relay)
{
	char port[8];

	snprintf(port, sizeof(port), "%u", (unsigned)relay->port);
	pn_console_row(console);
	pn_console_field(console, "user", relay->user);
	pn_console_field(console, "address", relay->address);
	pn_console_field(console, "host", relay->host);
	pn_console_field(console, "port", port);
	pn_console_field(console, "tls", relay->implicit_tls ? "implicit" : "starttls");
	pn_console_field(console, "certificate", relay->verify ? "verified" : "any");
}

/* Where it goes and how; neither name nor password. */
static void
note(struct pn_call *call, const struct pn_user_relay *relay, bool made)
{
	char object[SECRET_SIZE], before[SECRET_SIZE], after[SECRET_SIZE];
	struct pn_user_relay old;
	bool was = pn_user_relay_find(call, relay->user, relay->address, &old);

	snprintf(object, sizeof(object), "user-relay %s", relay->address);
	if (was)
		describe(&old, before, sizeof(before));
	if (made)
		describe(relay, after, sizeof(after));
	pn_audit(call, relay->user, object, was ? before : NULL, made ? after : NULL);
}

static int
store(struct pn_call *call, struct pn_console *console, const struct adding *adding,
    struct pn_error *err)
{
	char login[NAME_MOST + 1 + SECRET_SIZE];
	size_t name = strlen(adding->name) + 1;
	int r;

	memcpy(login, adding->name, name);
	r = pn_console_secret(console, "Password there: ", true, login + name, SECRET_SIZE, err);
	if (r == 0 && !login[name])
		r = pn_error_set(err, -EINVAL, "the password is empty");
	if (r == 0) {
		note(call, &adding->relay, true);
		r = pn_user_relay_set(
		    call, &adding->relay, pn_slice(login, name + strlen(login + name)), err);
	}
	sodium_memzero(login, sizeof(login));
	return r;
}

static int
run_add(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct adding adding;
	int r = read_arguments(&adding, argc, argv, err);

	if (r == 0)
		r = may_have(call, &adding.relay, err);
	if (r == 0)
		r = store(call, console, &adding, err);
	if (r == 0)
		show(console, &adding.relay);
	return r;
}

/* ---- the others ------------------------------------------------------------------------------ */

static int
run_list(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct pn_user_relay relay, same;

	for (size_t i = 0; pn_user_relay_at(call, i, &relay); i++)
		if (argc == 0 || (pn_user_relay_find(call, argv[0], relay.address, &same) &&
				     same.user == relay.user))
			show(console, &relay);
	return 0;
}

static int
run_test(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct pn_user_relay relay;
	int r = pn_user_relay_test(call, argv[0], argv[1], err);

	if (r == 0 && pn_user_relay_find(call, argv[0], argv[1], &relay)) {
		show(console, &relay);
		pn_console_field(console, "result", "logged in");
	}
	return r;
}

static int
run_remove(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct pn_user_relay relay;
	int r;

	if (pn_user_relay_find(call, argv[0], argv[1], &relay))
		note(call, &relay, false);
	r = pn_user_relay_remove(call, argv[0], argv[1], err);
	if (r == 0) {
		pn_console_row(console);
		pn_console_field(console, "removed", argv[1]);
	}
	return r;
}

static int
run_reseal(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	char number[24];
	size_t count;
	int r;

	pn_audit(call, NULL, "user-relay keys", NULL, "resealed under the first");
	r = pn_user_relay_reseal(call, &count, err);
	if (r < 0)
		return r;
	snprintf(number, sizeof(number), "%zu", count);
	pn_console_row(console);
	pn_console_field(console, "resealed", number);
	return 0;
}

const struct pn_command user_relays_commands[] = {
	{ "user-relay add",
	    "[--tls starttls|implicit] [--unverified] USER ADDRESS HOST[:PORT] NAME",
	    "Have a user's mail from an address elsewhere leave by its own server, logging in "
	    "there "
	    "as NAME; the password is asked for.",
	    4, 7, run_add },
	{ "user-relay list", "[USER]", "Show which users have servers of their own.", 0, 1,
	    run_list },
	{ "user-relay test", "USER ADDRESS", "Connect to a user's server and log in.", 2, 2,
	    run_test },
	{ "user-relay remove", "USER ADDRESS",
	    "Forget a user's server; mail that waits for it goes back to its sender.", 2, 2,
	    run_remove },
	{ "user-relay reseal", "",
	    "Seal all names and passwords under the first key of relay.user_relays.seal_with, so "
	    "that older keys can go.",
	    0, 0, run_reseal },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
