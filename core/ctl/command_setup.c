/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_setup.c - posternctl setup-sheet: what to type into whoever sends through this relay.
 *
 * Filled in from the configuration in force: listeners, host name, and the mechanisms that the
 * pipeline offers in a trial. Must change nothing, and promise nothing that no listener offers.
 */
#include <core/config/scopes.h>
#include <core/ctl/explain.h>
#include <core/ctl/setup_sheet.h>
#include <core/net/address.h>
#include <errno.h>
#include <string.h>

/* A listener that others than this machine's programs reach. */
struct offer {
	const struct config_listener *listener;
	int port;
	const char *mechanisms; /* separated by blanks; "": none */
};

struct setup {
	struct ctl *ctl;
	const char *subject; /* canonical */
	bool is_user;
	const char *host;
	struct arena arena;
	struct offer *offers;
	size_t count;
};

/* ---- what there is --------------------------------------------------------------------------- */

/* What EHLO would show behind TLS. */
static int
ask_mechanisms(struct setup *setup, struct offer *offer, struct pn_error *err)
{
	static const char *const nobody[] = { NULL };
	struct trial_ask ask = { .sender = "", .recipients = nobody };
	struct trial trial = { 0 };
	int r = explain_facts(
	    setup->ctl, offer->listener->name, NULL, &setup->arena, &ask.listener, &ask.facts, err);

	if (r < 0)
		return r;
	ask.facts.tls_version = "TLSv1.3";
	r = trial_run(setup->ctl->generation, &ask, &trial);
	if (r == 0)
		offer->mechanisms = arena_text(&setup->arena, buf_text(&trial.txn->offers));
	trial_free(&trial);
	return r < 0 ? pn_error_set(err, r, "%s", strerror(-r)) : 0;
}

static int
look(struct setup *setup, struct pn_error *err)
{
	const struct config_relay *relay = &generation_core(setup->ctl->generation)->relay;
	const struct config_listener *listeners = relay->listeners.items;

	setup->host = relay->hostname;
	setup->offers = arena_alloc(
	    &setup->arena, (relay->listeners.count + 1) * sizeof(*setup->offers));
	for (size_t i = 0; i < relay->listeners.count; i++) {
		struct offer *offer = &setup->offers[setup->count];
		struct address address;
		int r;

		if (!listeners[i].address ||
		    address_parse(listeners[i].address, 0, &address, NULL) < 0 ||
		    address.sa.ss_family == AF_UNIX || address_is_loopback(&address))
			continue;
		*offer = (struct offer){ &listeners[i], address_port(&address), "" };
		r = listeners[i].auth == CONFIG_AUTH_OFF ? 0 : ask_mechanisms(setup, offer, err);
		if (r < 0)
			return r;
		setup->count++;
	}
	return 0;
}

static bool
offers_mechanism(const struct offer *offer, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = offer->mechanisms; (at = strstr(at, name)); at += len)
		if ((at == offer->mechanisms || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
			return true;
	return false;
}

static bool
suits(const struct sheet_wants *wants, const struct offer *offer)
{
	const struct config_listener *listener = offer->listener;
	bool starttls = listener->tls == CONFIG_TLS_STARTTLS ||
			listener->tls == CONFIG_TLS_REQUIRED;

	if (wants->begins_with_starttls && !starttls)
		return false;
	if (!wants->login)
		return listener->tls != CONFIG_TLS_IMPLICIT &&
		       listener->auth != CONFIG_AUTH_REQUIRED && listener->networks.count > 0;
	return listener->tls != CONFIG_TLS_NONE && listener->auth != CONFIG_AUTH_OFF &&
	       (offers_mechanism(offer, "PLAIN") ||
		   (!wants->plain && offers_mechanism(offer, "LOGIN")));
}

/* By the client's ports in its order, else the first that does. */
static const struct offer *
choose(const struct setup *setup, const struct sheet_wants *wants)
{
	static const int any[] = { 0, 0 };
	const int *port = wants->ports ? wants->ports : any;

	do {
		for (size_t i = 0; i < setup->count; i++)
			if ((!wants->ports || setup->offers[i].port == *port) &&
			    suits(wants, &setup->offers[i]))
				return &setup->offers[i];
	} while (wants->ports && *++port);
	return NULL;
}

/* ---- what is shown --------------------------------------------------------------------------- */

static const char *
value_of(const struct setup *setup, const struct offer *offer, const char *name, size_t len)
{
	bool implicit = offer->listener->tls == CONFIG_TLS_IMPLICIT;
	const struct {
		const char *name, *value;
	} places[] = {
		{ "host", setup->host },
		{ "user", setup->subject },
		{ "mechanisms", offer->mechanisms },
		{ "gmail",
		    implicit ? "Secured connection using SSL" : "Secured connection using TLS" },
		{ "outlook", implicit ? "SSL/TLS" : "STARTTLS" },
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		if (strlen(places[i].name) == len && strncmp(places[i].name, name, len) == 0)
			return places[i].value;
	return NULL;
}

/* The text with its {places} filled in. */
static const char *
fill(struct setup *setup, const struct offer *offer, const char *text)
{
	GString *filled = g_string_new(NULL);
	const char *ret, *open, *close;

	while ((open = strchr(text, '{')) && (close = strchr(open, '}'))) {
		const char *value = value_of(setup, offer, open + 1, (size_t)(close - open - 1));

		g_string_append_len(filled, text, open - text);
		if (value)
			g_string_append(filled, value);
		else
			g_string_append_printf(filled, "%d", offer->port);
		text = close + 1;
	}
	g_string_append(filled, text);
	ret = arena_text(&setup->arena, filled->str);
	g_string_free(filled, TRUE);
	return ret;
}

static json_t *
fill_sheet(struct setup *setup, const struct sheet *sheet)
{
	const struct offer *offer = choose(setup, sheet->wants);
	json_t *fields = json_array(), *blocks = json_array();

	for (size_t i = 0; offer && i < SHEET_FIELDS && sheet->fields[i].label; i++)
		json_array_append_new(
		    fields, json_pack("{s:s, s:s}", "label", sheet->fields[i].label, "value",
				fill(setup, offer, sheet->fields[i].value)));
	for (size_t i = 0; offer && i < SHEET_BLOCKS && sheet->blocks[i].where; i++)
		json_array_append_new(
		    blocks, json_pack("{s:s, s:s}", "where", sheet->blocks[i].where, "text",
				fill(setup, offer, sheet->blocks[i].text)));
	return json_pack("{s:s, s:s?, s:s?, s:s?, s:o, s:o}", "client", sheet->client, "where",
	    sheet->where, "listener", offer ? offer->listener->name : NULL, "warning",
	    offer ? NULL : sheet->wants->advice, "fields", fields, "blocks", blocks);
}

static const char *
text_of(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	return text ? text : "";
}

static void
print_lines(const char *text)
{
	const char *end;

	for (; (end = strchr(text, '\n')); text = end + 1)
		printf("%s%.*s\n", end > text ? "    " : "", (int)(end - text), text);
}

static void
print_sheet(const json_t *row)
{
	const json_t *each;
	size_t i;

	printf("== %s\n", text_of(row, "client"));
	if (*text_of(row, "where"))
		printf("%s\n", text_of(row, "where"));
	if (*text_of(row, "warning"))
		printf("WARNING: no listener suits: %s\n", text_of(row, "warning"));
	json_array_foreach(json_object_get(row, "fields"), i, each)
	    printf("  %-26s %s\n", text_of(each, "label"), text_of(each, "value"));
	json_array_foreach(json_object_get(row, "blocks"), i, each)
	{
		printf("  %s:\n", text_of(each, "where"));
		print_lines(text_of(each, "text"));
	}
	putchar('\n');
}

/* ---- the command ----------------------------------------------------------------------------- */

/* Its canonical form; a user must be known, by whoever names him, and may log in. */
static int
read_subject(struct setup *setup, const char *word, struct pn_error *err)
{
	const struct roster *roster = generation_roster(setup->ctl->generation);
	char name[MAIL_ADDRESS_SIZE];
	const struct roster_user *user;

	setup->is_user = strchr(word, '@') != NULL;
	if (scope_name(setup->is_user ? SCOPE_USER : SCOPE_DOMAIN, word, name) < 0)
		return pn_error_set(
		    err, -EINVAL, "\"%s\" is neither an address nor a domain", word);
	setup->subject = arena_text(&setup->arena, name);
	if (!setup->is_user)
		return !roster_account_at(roster, 0) || roster_domain_account(roster, name)
			   ? 0
			   : pn_error_set(err, -ENOENT,
				 "%s is no account's domain; posternctl domain add %s ACCOUNT",
				 name, name);
	user = roster_user(roster, name);
	if (!user)
		return pn_error_set(err, -ENOENT,
		    "there is no user %s, neither in the files nor in the database nor in a "
		    "directory server; posternctl user add %s",
		    name, name);
	return user->enabled ? 0
			     : pn_error_set(err, -EACCES, "%s is disabled and cannot log in", name);
}

static int
show(struct setup *setup, const char *word, struct pn_error *err)
{
	const struct sheet *sheet;

	if (read_subject(setup, word, err) < 0 || look(setup, err) < 0)
		return EXIT_REFUSED;
	sheet = setup->is_user ? setup_user_sheets : setup_domain_sheets;
	for (; sheet->client; sheet++) {
		json_t *row = fill_sheet(setup, sheet);

		if (!row) {
			pn_error_set(err, -ENOMEM, "out of memory");
			return EXIT_REFUSED;
		}
		if (setup->ctl->console.json) {
			console_add(&setup->ctl->console, row);
		} else {
			print_sheet(row);
			json_decref(row);
		}
	}
	return EXIT_OK;
}

static int
run_setup_sheet(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct setup setup = { .ctl = ctl };
	int code = ctl_open_generation(ctl, err);

	ctl->trial = true;
	if (code == EXIT_OK)
		code = ctl_go_on_with_db(ctl, err);
	if (code == EXIT_OK)
		code = show(&setup, argv[0], err);
	arena_free(&setup.arena);
	return code;
}

const struct ctl_command ctl_setup_commands[] = {
	{ "setup-sheet", "USER|DOMAIN",
	    "Show what to type into Gmail, Outlook, Postfix, Exim and sendmail for a user who logs "
	    "in, or into Google Workspace, Microsoft 365, Exchange, Postfix and qmail for a "
	    "domain's servers that are known by their addresses; filled in from the listeners.",
	    1, 1, run_setup_sheet },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
