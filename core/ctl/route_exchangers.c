/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route_exchangers.c - what the DNS says now of the domain that an MX route would be taken for.
 *
 * Called by posternctl route, with a loop and a DNS of its own: the relay need not run, and is not
 * asked. Shows each exchanger with its preference, its addresses, and whether it would be tried.
 */
#include <core/ctl/explain.h>
#include <errno.h>

struct inquiry {
	struct loop *loop;
	struct mx_list *list;
};

static void
on_found(void *arg, struct mx_list *list)
{
	struct inquiry *inquiry = arg;

	inquiry->list = list;
	loop_stop(inquiry->loop);
}

static int
ask(struct ctl *ctl, const char *domain, uint16_t port, struct inquiry *inquiry,
    struct pn_error *err)
{
	struct dns_settings settings = config_dns_settings(
	    &generation_core(ctl->generation)->relay.dns);
	struct dns *dns = NULL;
	int r = loop_new(&inquiry->loop, err);

	if (r == 0)
		r = dns_new(&dns, err);
	if (r == 0) {
		dns_configure(dns, &settings);
		mx_search_start(dns, inquiry->loop, domain, port, on_found, inquiry);
		loop_run(inquiry->loop);
		dns_free(&dns);
	}
	loop_free(&inquiry->loop);
	return r;
}

static const char *
addresses_of(const struct mx_host *host, struct arena *arena)
{
	char text[ADDRESS_TEXT];
	const char *all = "";

	for (size_t i = 0; i < host->count; i++) {
		address_host(&host->addresses[i], text);
		all = arena_printf(arena, "%s%s%s", all, i > 0 ? ", " : "", text);
	}
	return *all ? all : host->why;
}

/* Behind the addresses: "; DANE". */
static const char *
with_terms(const struct mx_host *host, struct arena *arena)
{
	const char *text = addresses_of(host, arena);

	if (host->unsafe)
		return arena_printf(arena, "%s; %s", text, host->why);
	if (host->terms.tlsa_count > 0)
		return arena_printf(arena, "%s; DANE", text);
	return host->terms.encrypted
		   ? arena_printf(arena, "%s; DANE without a usable record: encryption", text)
		   : text;
}

static void
show(struct ctl *ctl, const char *name, const char *place, const char *verdict, const char *why)
{
	pn_console_row(&ctl->console);
	pn_console_field(&ctl->console, "route", name);
	pn_console_field(&ctl->console, "place", place);
	pn_console_field(&ctl->console, "verdict", verdict);
	pn_console_field(&ctl->console, "why", why);
}

int
explain_search(struct ctl *ctl, const struct routes *routes, const struct route *route,
    const char *recipient, struct mx_list **ret, struct pn_error *err)
{
	struct mx_policy policy = routes_mx_policy(routes, route);
	char domain[MAIL_DOMAIN_MOST + 1];
	struct inquiry inquiry = { 0 };
	int r = routes_domain(recipient, domain);

	*ret = NULL;
	if (r < 0)
		return pn_error_set(err, r, "%s has no domain that mail can go to", recipient);
	r = ask(ctl, domain, policy.port, &inquiry, err);
	*ret = inquiry.list;
	return r;
}

int
explain_exchangers(struct ctl *ctl, const struct routes *routes, const struct route *route,
    const char *recipient, struct arena *arena, struct pn_error *err)
{
	struct inquiry inquiry = { 0 };
	struct mx_policy policy = routes_mx_policy(routes, route);
	int r = explain_search(ctl, routes, route, recipient, &inquiry.list, err);

	if (r < 0)
		return r;
	mx_judge(inquiry.list, &policy);
	for (size_t i = 0; i < inquiry.list->count; i++) {
		const struct mx_host *host = &inquiry.list->hosts[i];

		show(ctl, host->name,
		    inquiry.list->implicit || inquiry.list->literal
			? "no MX"
			: arena_printf(arena, "MX %u", (unsigned)host->preference),
		    mx_fate_text(host->fate), with_terms(host, arena));
	}
	if (inquiry.list->refusal)
		show(ctl, inquiry.list->domain, NULL, "refused",
		    arena_text(arena, inquiry.list->refusal));
	mx_list_free(&inquiry.list);
	return 0;
}
