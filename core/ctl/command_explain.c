/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_explain.c - posternctl explain, route: what would become of a message, and which way.
 *
 * Runs the chain in this process, as a trial: must never change or send anything.
 */
#include <core/base/text.h>
#include <core/ctl/commands.h>
#include <core/mail/address.h>
#include <core/mail/address_list.h>
#include <core/policy/stage.h>
#include <core/policy/trial.h>
#include <core/queue/capability.h>
#include <core/queue/route.h>
#include <errno.h>
#include <getopt.h>
#include <glib.h>
#include <stdlib.h>

#define FILE_MOST ((size_t)256 * 1024 * 1024)

struct envelope {
	const char *from, *user, *listener, *client;
	GPtrArray *to; /* char *, owned */
	char *message; /* CRLF line ends */
	size_t len;
};

static void
envelope_free(struct envelope *envelope)
{
	g_ptr_array_free(envelope->to, TRUE);
	free(envelope->message);
}

/* ---- the message ----------------------------------------------------------------------------- */

/* A file of an editor ends its lines with LF. */
static char *
with_crlf(const char *text, size_t len, size_t *ret_len)
{
	char *ret = malloc(2 * len + 1);
	size_t to = 0;

	if (!ret)
		abort();
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r'))
			ret[to++] = '\r';
		ret[to++] = text[i];
	}
	*ret_len = to;
	return ret;
}

static int
read_message(const char *path, struct envelope *envelope, struct pn_error *err)
{
	GError *why = NULL;
	char *text;
	gsize len;
	int r = 0;

	if (!g_file_get_contents(path, &text, &len, &why)) {
		pn_error_set(err, -EIO, "%s", why->message);
		g_error_free(why);
		return -EIO;
	}
	if (len > FILE_MOST)
		r = pn_error_set(err, -E2BIG, "%s: too large", path);
	else
		envelope->message = with_crlf(text, len, &envelope->len);
	g_free(text);
	return r;
}

static void
add_address(void *arg, const char *address)
{
	g_ptr_array_add(arg, g_strdup(address));
}

static void
add_field(const struct envelope *envelope, const struct mail_header *header, const char *name,
    GPtrArray *to)
{
	struct pn_slice bytes = pn_slice(envelope->message, envelope->len);
	struct pn_header field;

	for (size_t nth = 0;; nth++) {
		int at = mail_header_find(bytes, header, name, nth);

		if (at < 0 || !mail_header_field(bytes, header, (size_t)at, &field))
			return;
		mail_address_list(field.value, add_address, to);
	}
}

/* What was not given is read out of the header, as sendmail -t does. */
static void
complete(struct envelope *envelope, struct arena *arena)
{
	static const char *const fields[] = { "To", "Cc", "Bcc" };
	struct mail_header header = { 0 };

	mail_header_index(pn_slice(envelope->message, envelope->len), SIZE_MAX, arena, &header);
	if (!envelope->from) {
		GPtrArray *from = g_ptr_array_new_with_free_func(g_free);

		add_field(envelope, &header, "From", from);
		envelope->from = from->len > 0 ? arena_text(arena, from->pdata[0]) : "";
		g_ptr_array_free(from, TRUE);
	}
	if (envelope->to->len > 0)
		return;
	for (size_t f = 0; f < sizeof(fields) / sizeof(*fields); f++)
		add_field(envelope, &header, fields[f], envelope->to);
}

/* As MAIL and RCPT would take it; "" is the null sender. */
static int
check_address(const char *address, struct pn_error *err)
{
	char checked[MAIL_ADDRESS_SIZE];

	if (mail_address_check(pn_slice_of(address), true, checked) < 0)
		return pn_error_set(err, -EINVAL, "\"%.320s\" is not a mail address", address);
	return 0;
}

static int
check_envelope(const struct envelope *envelope, struct pn_error *err)
{
	int r = *envelope->from ? check_address(envelope->from, err) : 0;

	if (r == 0 && envelope->user)
		r = check_address(envelope->user, err);
	if (r == 0 && envelope->to->len == 0)
		r = pn_error_set(
		    err, -EINVAL, "no recipient: the header names none, and --to was not given");
	for (size_t i = 0; r == 0 && i < envelope->to->len; i++)
		r = check_address(envelope->to->pdata[i], err);
	return r;
}

static int
read_options(int argc, char **argv, struct envelope *ret)
{
	static const struct option options[] = { { "from", required_argument, NULL, 'f' },
		{ "to", required_argument, NULL, 't' }, { "user", required_argument, NULL, 'u' },
		{ "listener", required_argument, NULL, 'l' },
		{ "client", required_argument, NULL, 'c' }, { NULL, 0, NULL, 0 } };
	int option;

	optind = 0; /* the global options were read before */
	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (option) {
		case 'f':
			ret->from = optarg;
			break;
		case 't':
			add_address(ret->to, optarg);
			break;
		case 'u':
			ret->user = optarg;
			break;
		case 'l':
			ret->listener = optarg;
			break;
		case 'c':
			ret->client = optarg;
			break;
		default:
			return -EINVAL;
		}
	}
	return optind == argc - 1 ? optind : -EINVAL;
}

/* ---- what is shown --------------------------------------------------------------------------- */

static void
row(struct ctl *ctl, const char *step, const char *recipient, const char *entry,
    const char *verdict, const char *why, const char *scope)
{
	console_add(&ctl->console,
	    json_pack("{s:s, s:s?, s:s?, s:s?, s:s?, s:s?}", "step", step, "recipient", recipient,
		"entry", entry, "verdict", verdict, "why", why, "scope", scope));
}

static void
show_trace(struct ctl *ctl, const struct pn_txn *txn)
{
	for (size_t i = 0; i < txn->trace_count; i++) {
		const struct trace_line *line = &txn->trace[i];

		if (line->stage != PN_STAGE_ABORTED)
			row(ctl, stage_name(line->stage), line->recipient, line->entry,
			    line->verdict, line->reason, line->scope);
	}
}

static const char *
reply_text(struct arena *arena, const struct ruling *ruling)
{
	return arena_printf(arena, "%d %s %s", ruling->code, ruling->enhanced, ruling->text);
}

/* "by rule; before: pki: no key; 1234 bytes; TLS of 112 bits at level 1" */
static const char *
plan_text(struct arena *arena, const struct item *item, uint32_t index)
{
	const struct mail_plan *plan = &item->recipients[index].plan;
	const char *text = arena_printf(arena, "%zu bytes", item_rendering(item, index).len);

	if (plan->reason)
		text = arena_printf(arena, "%s; %s", plan->reason, text);
	if (plan->passed)
		text = arena_printf(arena, "%s; before: %s", text, plan->passed);
	if (plan->demand.bits > 0 || plan->demand.level > 0)
		text = arena_printf(arena, "%s; TLS of %d bits at level %d, or %s", text,
		    plan->demand.bits, plan->demand.level,
		    plan->next && *plan->next ? plan->next : "a bounce");
	return text;
}

static void
show_plans(struct ctl *ctl, struct trial *trial)
{
	struct item *item = trial->item;

	for (size_t i = 0; i < trial->count; i++)
		if (trial->recipients[i].refused.kind != RULING_PASS)
			row(ctl, "result", trial->recipients[i].address,
			    trial->recipients[i].refused.entry, "refused",
			    reply_text(&trial->txn->arena, &trial->recipients[i].refused), NULL);
	for (size_t i = 0; item && i < item->envelope.count; i++) {
		const struct mail_plan *plan = &item->recipients[i].plan;

		row(ctl, "result", item->envelope.recipients[i].address, plan->entry,
		    plan->unserved ? "unserved" : mail_plan_method(plan),
		    plan->unserved ? plan->unserved : plan_text(&item->arena, item, (uint32_t)i),
		    NULL);
	}
}

static void
show(struct ctl *ctl, struct trial *trial)
{
	show_trace(ctl, trial->txn);
	show_plans(ctl, trial);
	row(ctl, "reply", NULL, trial->reply.entry,
	    trial->discarded                   ? "discarded"
	    : trial->reply.kind == RULING_PASS ? "accepted"
					       : "refused",
	    trial->discarded ? trial->reply.text : reply_text(&trial->txn->arena, &trial->reply),
	    NULL);
}

/* ---- explain --------------------------------------------------------------------------------- */

static const struct config_listener *
find_listener(const struct ctl *ctl, const char *name)
{
	const struct pn_list *list = &generation_core(ctl->generation)->relay.listeners;
	const struct config_listener *listeners = list->items;

	for (size_t i = 0; i < list->count; i++)
		if (!name || strcmp(listeners[i].name, name) == 0)
			return &listeners[i];
	return NULL;
}

static int
explain(struct ctl *ctl, const struct envelope *envelope, struct pn_error *err)
{
	const struct config_listener *listener = find_listener(ctl, envelope->listener);
	struct trial_ask ask = {
		.sender = envelope->from,
		.recipients = (const char *const *)envelope->to->pdata,
		.count = envelope->to->len,
		.message = pn_slice(envelope->message, envelope->len),
	};
	struct trial trial;
	int r;

	if (!listener) {
		pn_error_set(err, -ENOENT, "there is no listener \"%s\"", envelope->listener);
		return EXIT_REFUSED;
	}
	ask.fixups = listener->fixups;
	ask.facts = (struct mail_facts){
		.client_address = envelope->client ? envelope->client : "127.0.0.1",
		.client_literal = "localhost",
		.listener = listener->name,
		.helo = "localhost",
		.user = envelope->user,
		.esmtp = true,
		.smtputf8 = true,
	};
	r = trial_run(ctl->generation, &ask, &trial, err);
	if (r == 0)
		show(ctl, &trial);
	trial_free(&trial);
	return r < 0 ? EXIT_REFUSED : EXIT_OK;
}

static int
run_explain(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct envelope envelope = { .to = g_ptr_array_new_with_free_func(g_free) };
	struct arena arena = { 0 };
	int file = read_options(argc + 1, argv - 1, &envelope), code = EXIT_USAGE;

	if (file < 0) {
		pn_error_set(err, -EINVAL, "one FILE is wanted, behind the options");
	} else if (read_message(argv[file - 1], &envelope, err) < 0) {
		code = EXIT_REFUSED;
	} else {
		complete(&envelope, &arena);
		ctl->trial = true;
		code = check_envelope(&envelope, err) < 0 ? EXIT_REFUSED : ctl_open_db(ctl, err);
		if (code == EXIT_OK)
			code = explain(ctl, &envelope, err);
	}
	envelope_free(&envelope);
	arena_free(&arena);
	return code;
}

/* ---- route ----------------------------------------------------------------------------------- */

static int
run_route(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	const struct mail_facts facts = { .client_address = "local", .listener = "", .helo = "" };
	struct config_subject subject = {
		.facts = &facts,
		.sender = argv[0],
		.original_sender = argv[0],
		.recipient = argv[1],
	};
	const struct route *route;
	struct capability *capability;
	struct routes *routes = NULL;
	int r, code;

	if ((*argv[0] && check_address(argv[0], err) < 0) || check_address(argv[1], err) < 0)
		return EXIT_REFUSED;
	code = ctl_open_generation(ctl, err);
	if (code != EXIT_OK)
		return code;
	capability = capability_new();
	r = routes_new(generation_core(ctl->generation), capability, &routes, err);
	capability_release(&capability);
	if (r < 0)
		return EXIT_REFUSED;
	route = routes_find(routes, &subject);
	pn_console_row(&ctl->console);
	pn_console_field(&ctl->console, "sender", argv[0]);
	pn_console_field(&ctl->console, "recipient", argv[1]);
	pn_console_field(&ctl->console, "route", route ? route->name : NULL);
	pn_console_field(&ctl->console, "why",
	    route ? "the first route whose \"when\" fits" : "no route fits: 550 5.4.4");
	routes_release(&routes);
	return EXIT_OK;
}

const struct ctl_command ctl_explain_commands[] = {
	{ "explain",
	    "[--from ADDRESS] [--to ADDRESS ...] [--user ADDRESS] [--listener NAME] [--client IP] "
	    "FILE",
	    "Show what every entry would say of a message, and how each recipient would be served.",
	    1, 1000, run_explain },
	{ "route", "SENDER RECIPIENT", "Show which route a recipient's mail would take.", 2, 2,
	    run_route },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
