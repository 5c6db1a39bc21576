/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_explain.c - posternctl explain, route: what would become of a message, and which way.
 *
 * Runs the chain in this process, as a trial: must never change or send anything. Messages as they
 * would leave are written only where --output says.
 */
#include <core/config/option.h>
#include <core/ctl/explain.h>
#include <core/master/privileges.h>
#include <core/queue/capability.h>
#include <core/queue/route.h>
#include <core/smtp/dot.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

/* ---- explain --------------------------------------------------------------------------------- */

static int
read_options(int argc, char **argv, struct explain_envelope *ret)
{
	static const struct option options[] = { { "from", required_argument, NULL, 'f' },
		{ "to", required_argument, NULL, 't' }, { "user", required_argument, NULL, 'u' },
		{ "listener", required_argument, NULL, 'l' },
		{ "client", required_argument, NULL, 'c' },
		{ "output", required_argument, NULL, 'o' }, { NULL, 0, NULL, 0 } };
	int option;

	optind = 0; /* the global options were read before */
	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (option) {
		case 'f':
			ret->from = optarg;
			break;
		case 't':
			g_ptr_array_add(ret->to, g_strdup(optarg));
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
		case 'o':
			ret->output = optarg;
			break;
		default:
			return -EINVAL;
		}
	}
	return optind == argc - 1 ? optind : -EINVAL;
}

static bool
has_eightbit(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] >= 0x80)
			return true;
	return false;
}

/* What a client would have to say in MAIL. */
static void
add_parameters(const struct explain_envelope *envelope, struct mail_facts *facts)
{
	bool utf8 = mail_address_is_utf8(envelope->from);

	for (size_t i = 0; i < envelope->to->len; i++)
		utf8 |= mail_address_is_utf8(envelope->to->pdata[i]);
	facts->smtputf8 = utf8;
	facts->eightbit = has_eightbit(envelope->message, envelope->len);
}

/* By the scanner of the session. The bytes, to be released; NULL: no memory. */
static struct mail_bytes *
scan(const struct ctl *ctl, const struct config_listener *listener,
    const struct explain_envelope *envelope, int *ret_fault)
{
	const struct config_limits *limits = &generation_core(ctl->generation)->relay.limits;
	struct dot_scanner scanner = { .most = (size_t)limits->message_size,
		.line_most = (size_t)limits->line_length,
		.normalize = listener->bare_newlines == CONFIG_BARE_NORMALIZE };
	size_t used;

	if (mail_bytes_new(envelope->len, &scanner.bytes) < 0)
		return NULL;
	dot_scanner_begin(&scanner);
	dot_scanner_feed(&scanner, pn_slice(envelope->message, envelope->len), &used);
	dot_scanner_end(&scanner);
	*ret_fault = dot_scanner_fault(&scanner);
	return scanner.bytes;
}

static int
try_message(struct ctl *ctl, const struct explain_envelope *envelope, struct arena *arena,
    struct trial *ret, struct pn_error *err)
{
	struct trial_ask ask = { .sender = envelope->from,
		.recipients = (const char *const *)envelope->to->pdata,
		.count = envelope->to->len };
	struct mail_bytes *bytes;
	int r = explain_facts(
	    ctl, envelope->listener, envelope->client, arena, &ask.listener, &ask.facts, err);

	if (r < 0)
		return r;
	ask.facts.user = envelope->user;
	add_parameters(envelope, &ask.facts);
	bytes = scan(ctl, ask.listener, envelope, &ask.fault);
	if (!bytes)
		return pn_error_set(err, -ENOMEM, "out of memory");
	ask.message = pn_slice(bytes->data, bytes->len);
	r = trial_run(ctl->generation, &ask, ret);
	mail_bytes_release(&bytes);
	return r < 0 ? pn_error_set(err, r, "%s", strerror(-r)) : 0;
}

/* While we may still be root: made where it is missing, and then the relay's user's, as we will be.
 */
static int
open_folder(struct ctl *ctl, const char *name, int *ret, struct pn_error *err)
{
	const struct config_relay *relay = &generation_core(ctl->generation)->relay;
	int r = privileges_folder(name, relay->user, 0700, err);

	if (r < 0)
		return r;
	*ret = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? pn_error_set(err, -errno, "%s: %s", name, strerror(errno)) : 0;
}

static int
explain(struct ctl *ctl, const struct explain_envelope *envelope, struct arena *arena,
    struct pn_error *err)
{
	struct trial trial = { 0 };
	int folder = -1, code = ctl_open_generation(ctl, err);

	ctl->trial = true;
	if (code == EXIT_OK && envelope->output &&
	    open_folder(ctl, envelope->output, &folder, err) < 0)
		code = EXIT_REFUSED;
	if (code == EXIT_OK)
		code = ctl_go_on_with_db(ctl, err);
	if (code == EXIT_OK && try_message(ctl, envelope, arena, &trial, err) < 0)
		code = EXIT_REFUSED;
	if (code == EXIT_OK && explain_show(ctl, &trial, folder, envelope->output, err) < 0)
		code = EXIT_REFUSED;
	if (folder >= 0)
		close(folder);
	trial_free(&trial);
	return code;
}

static int
run_explain(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct explain_envelope envelope = { .to = g_ptr_array_new_with_free_func(g_free) };
	struct arena arena = { 0 };
	int file = read_options(argc + 1, argv - 1, &envelope), code = EXIT_USAGE;

	if (file < 0)
		pn_error_set(err, -EINVAL, "one FILE is wanted, behind the options");
	else if (explain_read(argv[file - 1], &envelope, err) < 0 ||
		 explain_complete(&envelope, &arena, err) < 0)
		code = EXIT_REFUSED;
	else
		code = explain(ctl, &envelope, &arena, err);
	explain_free(&envelope);
	arena_free(&arena);
	return code;
}

/* ---- route ----------------------------------------------------------------------------------- */

struct route_question {
	const char *user, *listener, *client, *size;
	GPtrArray *tags; /* const char * of the command line */
};

static int
read_route_options(int argc, char **argv, struct route_question *ret)
{
	static const struct option options[] = { { "user", required_argument, NULL, 'u' },
		{ "listener", required_argument, NULL, 'l' },
		{ "client", required_argument, NULL, 'c' }, { "tag", required_argument, NULL, 't' },
		{ "size", required_argument, NULL, 's' }, { NULL, 0, NULL, 0 } };
	int option;

	optind = 0;
	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (option) {
		case 'u':
			ret->user = optarg;
			break;
		case 'l':
			ret->listener = optarg;
			break;
		case 'c':
			ret->client = optarg;
			break;
		case 't':
			g_ptr_array_add(ret->tags, optarg);
			break;
		case 's':
			ret->size = optarg;
			break;
		default:
			return -EINVAL;
		}
	}
	return optind == argc - 2 ? optind : -EINVAL;
}

static int
read_size(const char *text, int64_t *ret, struct pn_error *err)
{
	struct pn_option option = option_find(
	    config_when_options, sizeof(*config_when_options), "larger_than", NULL);
	struct pn_error why;
	int r = option_read(&option, text, ret, &why);

	return r < 0 ? pn_error_set(err, r, "--size: \"%s\" %s", text, why.text) : 0;
}

static int
fill_subject(struct ctl *ctl, const struct route_question *question, struct arena *arena,
    struct mail_facts *facts, struct config_subject *subject, struct pn_error *err)
{
	const struct config_listener *listener;
	int64_t size = 0;
	int r = explain_facts(
	    ctl, question->listener, question->client, arena, &listener, facts, err);

	if (r == 0 && question->user)
		r = explain_address(question->user, err);
	if (r == 0 && question->size)
		r = read_size(question->size, &size, err);
	facts->user = question->user;
	subject->facts = facts;
	subject->roster = generation_roster(ctl->generation);
	subject->tags = (const char *const *)question->tags->pdata;
	subject->tag_count = question->tags->len;
	subject->size = (size_t)size;
	return r;
}

static void
show_route(struct ctl *ctl, const struct route *route, size_t index, const char *verdict,
    const char *why, struct arena *arena)
{
	const struct settings *settings = &generation_core(ctl->generation)->routes_settings;
	struct config_mark mark = settings_mark(settings, arena_printf(arena, "[%zu]", index));

	pn_console_row(&ctl->console);
	pn_console_field(&ctl->console, "route", route ? route->name : NULL);
	pn_console_field(&ctl->console, "place",
	    route ? arena_printf(arena, "%s:%u", mark.file, mark.line) : NULL);
	pn_console_field(&ctl->console, "verdict", verdict);
	pn_console_field(&ctl->console, "why", why);
}

/* Every route up to the one that is taken, and where that goes as the DNS says. */
static int
show_routes(struct ctl *ctl, const struct routes *routes, const struct config_subject *subject,
    struct arena *arena, struct pn_error *err)
{
	const struct config_route *config = generation_core(ctl->generation)->routes.items;
	const char *refusal;
	const struct route *route, *taken = routes_find(routes, subject, &refusal);

	for (size_t i = 0; (route = routes_at(routes, i)); i++) {
		show_route(ctl, route, i, route == taken ? "taken" : "passed",
		    config_when_explain(&config[i].when, subject, arena), arena);
		if (route == taken)
			break;
	}
	if (taken && taken->kind == ROUTE_MX &&
	    explain_exchangers(ctl, routes, taken, subject->recipient, arena, err) < 0)
		return -EINVAL;
	if (taken) {
		explain_known(ctl, taken, subject->recipient, arena);
		return 0;
	}
	show_route(ctl, NULL, 0, "refused", "550 5.4.4: no route fits", arena);
	return 0;
}

static int
route(struct ctl *ctl, const struct route_question *question, char **addresses, struct arena *arena,
    struct pn_error *err)
{
	struct mail_facts facts = { 0 };
	struct config_subject subject = {
		.sender = addresses[0], .original_sender = addresses[0], .recipient = addresses[1]
	};
	struct capability *capability;
	struct routes *routes = NULL;
	int r, code;

	if ((*addresses[0] && explain_address(addresses[0], err) < 0) ||
	    explain_address(addresses[1], err) < 0)
		return EXIT_REFUSED;
	code = ctl_open_generation(ctl, err);
	if (code != EXIT_OK)
		return code;
	if (fill_subject(ctl, question, arena, &facts, &subject, err) < 0)
		return EXIT_REFUSED;
	capability = capability_new();
	r = routes_new(generation_core(ctl->generation), generation_roster(ctl->generation),
	    capability, &routes, err);
	capability_release(&capability);
	if (r < 0)
		return EXIT_REFUSED;
	r = show_routes(ctl, routes, &subject, arena, err);
	routes_release(&routes);
	return r < 0 ? EXIT_REFUSED : EXIT_OK;
}

static int
run_route(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct route_question question = { .tags = g_ptr_array_new() };
	struct arena arena = { 0 };
	int first = read_route_options(argc + 1, argv - 1, &question), code = EXIT_USAGE;

	if (first < 0)
		pn_error_set(err, -EINVAL, "SENDER and RECIPIENT are wanted, behind the options");
	else
		code = route(ctl, &question, argv + first - 1, &arena, err);
	g_ptr_array_free(question.tags, TRUE);
	arena_free(&arena);
	return code;
}

const struct ctl_command ctl_explain_commands[] = {
	{ "explain",
	    "[--from ADDRESS] [--to ADDRESS ...] [--user ADDRESS] [--listener NAME] [--client IP] "
	    "[--output FOLDER] FILE",
	    "Show what every entry would say of a message, how each recipient would be served, and "
	    "the reply; nothing is sent. With a folder, write the messages as they would leave. "
	    "Who may connect, log in and relay is not asked.",
	    1, 1000, run_explain },
	{ "route",
	    "[--user ADDRESS] [--listener NAME] [--client IP] [--tag TAG ...] [--size SIZE] "
	    "SENDER RECIPIENT",
	    "Show which route a recipient's mail would take, by which condition, and why those "
	    "before it were passed; of an mx route each mail exchanger, as the DNS has them now. "
	    "Where a relay runs, also how the hosts fare: what TLS the last session showed, and "
	    "who is left alone until when, since which reply.",
	    2, 1000, run_route },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
