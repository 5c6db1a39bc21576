/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_probe.c - posternctl tls-probe: what TLS a partner's next hops show, and whether mail
 * would go there.
 *
 * By the configuration as it stands in the files: no relay need run, and none is asked. Connects as
 * the relay would, says EHLO, STARTTLS, EHLO and QUIT, and judges by the same code as the courier
 * does for each letter. Must never say MAIL, nor log in.
 */
#include <core/base/clock.h>
#include <core/ctl/explain.h>
#include <core/ctl/fault_sink.h>
#include <core/queue/hop_target.h>
#include <core/queue/route_try.h>
#include <errno.h>
#include <getopt.h>
#include <openssl/x509v3.h>

#define PROBE_MS   15000
#define NAMES_MOST 50
#define TEXT       "From: <%s>\r\n\r\n"

struct probe {
	struct ctl *ctl;
	struct arena *arena;
	const char *from, *recipient;
	bool simulates;
	enum fault fault;
	struct mail_demand demand;
	bool let_through; /* a simulated fault */
	size_t shown;
};

/* ---- what is demanded -------------------------------------------------------------------------
 */

/* By the chain, for that sender and a recipient in that domain. */
static int
find_demand(struct probe *probe, struct pn_error *err)
{
	const char *text = arena_printf(probe->arena, TEXT, probe->from);
	struct trial_ask ask = { .sender = probe->from,
		.recipients = &probe->recipient,
		.count = 1,
		.message = pn_slice_of(text) };
	struct trial trial = { 0 };
	int r = explain_facts(probe->ctl, NULL, NULL, probe->arena, &ask.listener, &ask.facts, err);

	if (r < 0)
		return r;
	r = trial_run(probe->ctl->generation, &ask, &trial);
	if (r < 0)
		pn_error_set(err, r, "%s", strerror(-r));
	else if (trial.item && trial.item->envelope.count > 0)
		probe->demand = mail_demand_copy(
		    &trial.item->recipients[0].plan.demand, probe->arena);
	else
		r = pn_error_set(err, -EACCES,
		    "mail from %s to %s would be refused here: %d %s; give another sender by "
		    "--from",
		    probe->from, probe->recipient, trial.reply.code,
		    trial.reply.text ? trial.reply.text : "");
	trial_free(&trial);
	return r;
}

/* ---- what is shown ----------------------------------------------------------------------------
 */

static const char *
name_text(const X509_NAME *name, struct arena *arena)
{
	BIO *bio = BIO_new(BIO_s_mem());
	const char *text = "";
	char *bytes;
	long len;

	if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
		len = BIO_get_mem_data(bio, &bytes);
		text = arena_slice(arena, pn_slice(bytes, len > 0 ? (size_t)len : 0));
	}
	BIO_free(bio);
	return text;
}

/* "CN=mx.example < CN=Some CA < CN=Some Root; until Dec  1 00:00:00 2026 GMT" */
static const char *
chain_text(const SSL *tls, struct arena *arena)
{
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(tls);
	const char *text = NULL;
	char until[64] = "";
	BIO *bio;

	for (int i = 0; i < sk_X509_num(chain) && i < 10; i++) {
		const char *name = name_text(X509_get_subject_name(sk_X509_value(chain, i)), arena);

		text = text ? arena_printf(arena, "%s < %s", text, name) : name;
	}
	if (!text)
		return NULL;
	bio = BIO_new(BIO_s_mem());
	if (bio && ASN1_TIME_print(bio, X509_get0_notAfter(sk_X509_value(chain, 0))) == 1)
		(void)BIO_gets(bio, until, sizeof(until));
	BIO_free(bio);
	return arena_printf(arena, "%s; until %s", text, until);
}

static const char *
names_text(X509 *certificate, struct arena *arena)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	const char *text = "";

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && i < NAMES_MOST; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS)
			text = arena_printf(arena, "%s%s%.*s", text, *text ? " " : "",
			    ASN1_STRING_length(name->d.dNSName),
			    (const char *)ASN1_STRING_get0_data(name->d.dNSName));
	}
	GENERAL_NAMES_free(names);
	return text;
}

static const char *
pin_text(const char *kind, const unsigned char *digest, struct arena *arena)
{
	char *text = g_base64_encode(digest, TLS_DIGEST_SIZE);
	const char *pin = arena_printf(arena, "%s/%s", kind, text);

	g_free(text);
	return pin;
}

/* Those that a demand could ask for, and get. */
static const char *
levels_text(int32_t level, struct arena *arena)
{
	static const char *const names[] = { "none", "encrypted", "trusted", "name", "mta-sts",
		"dane" };
	const char *text = names[0];

	for (int32_t i = PN_TLS_ENCRYPTED; i <= level && i <= PN_TLS_DANE; i++)
		text = i == PN_TLS_ENCRYPTED ? names[i]
					     : arena_printf(arena, "%s %s", text, names[i]);
	return text;
}

struct visit {
	struct probe *probe;
	const char *remote, *chain, *names;
	struct tls_facts tls;
	bool ready;
};

static void
on_ready(void *arg, const struct courier *courier)
{
	struct visit *visit = arg;
	const SSL *tls = courier_ssl(courier);
	struct arena *arena = visit->probe->arena;
	X509 *leaf = tls ? SSL_get0_peer_certificate(tls) : NULL;

	visit->ready = true;
	visit->remote = arena_text(arena, courier_remote(courier));
	visit->tls = *courier_tls(courier);
	visit->chain = tls ? chain_text(tls, arena) : NULL;
	visit->names = leaf ? names_text(leaf, arena) : NULL;
}

static void
show(struct visit *visit, const char *host, const char *reason)
{
	struct probe *probe = visit->probe;
	struct pn_console *console = &probe->ctl->console;
	const struct tls_facts *tls = &visit->tls;
	bool digests = tls->has_digests;

	pn_console_row(console);
	pn_console_field(console, "host", visit->remote ? visit->remote : host);
	pn_console_field(
	    console, "tls", visit->ready ? (tls->version ? tls->version : "none") : NULL);
	pn_console_field(console, "cipher", tls->cipher);
	pn_console_field(
	    console, "bits", visit->ready ? arena_printf(probe->arena, "%d", tls->bits) : NULL);
	pn_console_field(
	    console, "levels", visit->ready ? levels_text(courier_level(tls), probe->arena) : NULL);
	pn_console_field(console, "chain", visit->chain);
	pn_console_field(console, "names", visit->names);
	pn_console_field(
	    console, "key", digests ? pin_text("sha256", tls->key, probe->arena) : NULL);
	pn_console_field(console, "certificate",
	    digests ? pin_text("cert-sha256", tls->certificate, probe->arena) : NULL);
	pn_console_field(console, "demanded", mail_demand_text(&probe->demand, probe->arena));
	pn_console_field(console, "mail", reason ? reason : "would be sent");
}

/* ---- the next hops ----------------------------------------------------------------------------
 */

/* As it would be for a letter with demands, but nobody logs in. */
static int
visit(struct probe *probe, const struct courier_target *as, const char *name, struct pn_error *err)
{
	struct courier_target target = *as;
	struct visit visit = { .probe = probe };
	struct fault_sink *sink = NULL;
	struct address at;
	struct pn_error why = { 0 };
	const char *reason = NULL;
	int r;

	target.user = NULL;
	target.login = NULL;
	if (probe->simulates) {
		if (fault_sink_start(probe->fault, &sink, &at, err) < 0)
			return err->code;
		target.addresses = &at;
		target.address_count = 1;
		target.local = target.source4 = (struct address){ 0 };
		target.refused_count = 0;
		target.implicit_tls = false;
	}
	r = route_try_target(&target, generation_core(probe->ctl->generation)->relay.hostname,
	    PROBE_MS, on_ready, &visit, &why);
	if (sink)
		fault_sink_end(&sink);
	if (r < 0) {
		reason = arena_printf(probe->arena, "not sent: %s", why.text);
	} else {
		struct mail_shown shown = tls_shown(&visit.tls);
		const char *unmet = mail_demand_unmet(
		    &probe->demand, &shown, target.host, probe->arena);

		reason = unmet ? arena_printf(probe->arena, "not sent: %s", unmet) : NULL;
	}
	probe->let_through |= probe->simulates && !reason;
	probe->shown++;
	show(&visit, name, reason);
	return 0;
}

static int
visit_exchangers(struct probe *probe, const struct routes *routes, const struct route *route,
    struct pn_error *err)
{
	struct mx_policy policy = routes_mx_policy(routes, route);
	struct mx_list *list;
	int r = explain_search(probe->ctl, routes, route, probe->recipient, &list, err);

	if (r == 0)
		r = probe_policy(probe->ctl->db, list, probe->arena, err);
	if (r == 0)
		mx_judge(list, &policy);
	for (size_t i = 0; r == 0 && i < list->count && !(probe->simulates && probe->shown); i++) {
		const struct mx_host *found = &list->hosts[i];
		struct courier_target target;

		if (found->fate != MX_TRIED) {
			struct visit none = { .probe = probe };

			show(&none, found->name,
			    arena_printf(probe->arena, "not sent: %s%s%s",
				mx_fate_text(found->fate), *found->why ? ": " : "", found->why));
			continue;
		}
		r = hop_target_of_list(
		    routes, route, ROUTE_DEMANDED, list, found, probe->arena, &target);
		if (r == 0)
			r = visit(probe, &target, found->name, err);
	}
	if (r == 0 && list->refusal)
		r = pn_error_set(err, -ENOENT, "%s", list->refusal);
	if (list)
		mx_list_free(&list);
	return r;
}

static int
visit_hosts(struct probe *probe, const struct routes *routes, struct pn_error *err)
{
	struct mail_facts facts = { 0 };
	const struct config_listener *listener;
	struct config_subject subject = { .sender = probe->from,
		.original_sender = probe->from,
		.recipient = probe->recipient,
		.facts = &facts,
		.roster = generation_roster(probe->ctl->generation) };
	const struct route *route;
	const char *refusal;
	int r = explain_facts(probe->ctl, NULL, NULL, probe->arena, &listener, &facts, err);

	if (r < 0)
		return r;
	route = routes_find(routes, &subject, &refusal);
	if (!route || (route->kind != ROUTE_MX && route->kind != ROUTE_SMARTHOST))
		return pn_error_set(err, -ENOENT, "mail for %s goes to no next hop: %s",
		    probe->recipient, route ? route->name : "no route fits");
	if (route->kind == ROUTE_MX)
		return visit_exchangers(probe, routes, route, err);
	for (size_t i = 0; r == 0 && i < route->host_count && !(probe->simulates && i > 0); i++)
		r = visit(
		    probe, &route->hosts[i].ways[ROUTE_DEMANDED].target, route->hosts[i].name, err);
	return r;
}

/* ---- the command ------------------------------------------------------------------------------
 */

static int
probe_all(struct probe *probe, struct pn_error *err)
{
	struct generation *generation = probe->ctl->generation;
	struct capability *capability;
	struct routes *routes = NULL;
	int r;

	if (!probe->from)
		probe->from = arena_printf(
		    probe->arena, "postmaster@%s", generation_core(generation)->relay.hostname);
	r = find_demand(probe, err);
	if (r < 0)
		return r;
	capability = capability_new();
	r = routes_new(
	    generation_core(generation), generation_roster(generation), capability, &routes, err);
	capability_release(&capability);
	if (r == 0)
		r = visit_hosts(probe, routes, err);
	routes_release(&routes);
	if (r == 0 && probe->let_through)
		r = pn_error_set(err, -EPERM,
		    "nothing that is configured for %s catches this fault: mail would be sent",
		    probe->recipient);
	return r;
}

static int
read_options(int argc, char **argv, struct probe *ret, struct pn_error *err)
{
	static const struct option options[] = { { "from", required_argument, NULL, 'f' },
		{ "simulate", required_argument, NULL, 's' }, { NULL, 0, NULL, 0 } };
	int option;

	optind = 0;
	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		if (option == 'f') {
			ret->from = optarg;
		} else if (option == 's') {
			ret->simulates = true;
			if (fault_read(optarg, &ret->fault) < 0)
				return pn_error_set(err, -EINVAL,
				    "--simulate: \"%s\" is none of %s", optarg, fault_words);
		} else {
			return pn_error_set(err, -EINVAL, "an option is unknown");
		}
	}
	if (optind != argc - 1)
		return pn_error_set(
		    err, -EINVAL, "a domain or an address is wanted, behind the options");
	return optind;
}

static int
run_probe(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct arena arena = { 0 };
	struct probe probe = { .ctl = ctl, .arena = &arena };
	int at = read_options(argc + 1, argv - 1, &probe, err), code = EXIT_USAGE;

	if (at < 0)
		return EXIT_USAGE;
	probe.recipient = strchr(argv[at - 1], '@')
			      ? argv[at - 1]
			      : arena_printf(&arena, "postmaster@%s", argv[at - 1]);
	code = explain_address(probe.recipient, err) < 0 ||
		       (probe.from && explain_address(probe.from, err) < 0)
		   ? EXIT_REFUSED
		   : ctl_open_generation(ctl, err);
	ctl->trial = true;
	if (code == EXIT_OK)
		code = ctl_go_on_with_db(ctl, err);
	if (code == EXIT_OK && probe_all(&probe, err) < 0)
		code = EXIT_REFUSED;
	arena_free(&arena);
	return code;
}

const struct ctl_command ctl_probe_commands[] = {
	{ "tls-probe", "[--from ADDRESS] [--simulate FAULT] DOMAIN",
	    "Connect to each next hop of a domain or address as its mail would be sent, without "
	    "sending any: which TLS it shows, with which certificate (key and certificate are "
	    "written as pins want them), which levels that reaches, and whether mail by --from "
	    "would be sent or not; a policy of MTA-STS counts where the relay keeps it. With a "
	    "fault (no-starttls, bad-certificate, weak-bits) a next "
	    "hop on this machine that has it takes the first one's place: refused where nothing "
	    "that is configured catches it.",
	    1, 5, run_probe },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
