/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mx_judge.c - which mail exchangers of a domain may be tried from here.
 *
 * Called with what a search found. Where this relay itself is among them, it and all that are no
 * better are left out (RFC 5321 section 5.1): mail would go round in a circle. "Itself" is its
 * name, or an address and port at which it listens.
 */
#include <core/net/mx.h>
#include <ifaddrs.h>
#include <stdio.h>

/* What is judged by, for as long as it takes. */
struct judge {
	const struct mx_policy *policy;
	struct ifaddrs *interfaces; /* NULL: only the loopback is known to be this machine */
};

static bool
is_local(const struct judge *judge, const struct address *address)
{
	char host[ADDRESS_TEXT], own[ADDRESS_TEXT];
	bool found = address_is_loopback(address);

	address_host(address, host);
	for (const struct ifaddrs *at = judge->interfaces; at && !found; at = at->ifa_next) {
		struct address one = { 0 };

		if (!at->ifa_addr ||
		    (at->ifa_addr->sa_family != AF_INET && at->ifa_addr->sa_family != AF_INET6))
			continue;
		one.len = at->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in)
							     : sizeof(struct sockaddr_in6);
		memcpy(&one.sa, at->ifa_addr, one.len);
		address_host(&one, own);
		found = strcmp(host, own) == 0;
	}
	return found;
}

/* As a destination 0.0.0.0 and :: are this machine, as a listener every address. */
static bool
is_wildcard(const struct address *address)
{
	char host[ADDRESS_TEXT];

	address_host(address, host);
	return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

/* Would a connection to it end at this listener? */
static bool
reaches(const struct judge *judge, const struct address *address, const struct address *listener)
{
	char host[ADDRESS_TEXT], own[ADDRESS_TEXT];

	if (is_wildcard(address))
		return true;
	if (is_wildcard(listener))
		return (address->sa.ss_family == AF_INET || listener->sa.ss_family == AF_INET6) &&
		       is_local(judge, address);
	address_host(address, host);
	address_host(listener, own);
	return strcmp(host, own) == 0;
}

static bool
is_ours(const struct judge *judge, const struct address *address)
{
	const struct mx_policy *policy = judge->policy;

	for (size_t i = 0; i < policy->listener_count; i++)
		if (policy->listeners[i].sa.ss_family != AF_UNIX &&
		    address_port(&policy->listeners[i]) == policy->port &&
		    reaches(judge, address, &policy->listeners[i]))
			return true;
	return false;
}

static bool
is_refused(const struct address *address, const struct mx_policy *policy)
{
	for (size_t i = 0; i < policy->refused_count; i++)
		if (network_contains(&policy->refused[i], address))
			return true;
	return false;
}

static enum mx_fate
judge_host(const struct judge *judge, struct mx_host *host)
{
	const struct mx_policy *policy = judge->policy;
	size_t found = host->count, kept = 0;

	if (policy->own_name && strcasecmp(host->name, policy->own_name) == 0)
		return MX_OURSELVES;
	if (found == 0)
		return *host->why ? MX_UNKNOWN : MX_NOWHERE;
	for (size_t i = 0; i < found; i++) {
		if (is_ours(judge, &host->addresses[i]))
			return MX_OURSELVES;
		if (!is_refused(&host->addresses[i], policy))
			host->addresses[kept++] = host->addresses[i];
	}
	host->count = kept;
	if (kept == 0)
		return MX_REFUSED;
	return host->unsafe && !policy->relaxed ? MX_UNSAFE : MX_TRIED;
}

static const struct mx_host *
first_of(const struct mx_list *list, enum mx_fate fate)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->hosts[i].fate == fate)
			return &list->hosts[i];
	return NULL;
}

static void
refuse(struct mx_list *list)
{
	const struct mx_host *unknown = first_of(list, MX_UNKNOWN);
	const struct mx_host *unsafe = first_of(list, MX_UNSAFE);
	size_t size = sizeof(list->text);

	if (unknown) /* before ourselves, or without us in the list */
		snprintf(list->text, size, "451 4.4.3 %s: %s", unknown->name, unknown->why);
	else if (unsafe)
		snprintf(list->text, size, "451 4.7.5 %s: %s", unsafe->name, unsafe->why);
	else if (first_of(list, MX_OURSELVES))
		snprintf(list->text, size, "554 5.4.6 mail for %s would come back to this relay",
		    list->domain);
	else if (list->implicit && first_of(list, MX_NOWHERE))
		snprintf(list->text, size, "550 5.1.2 %s has neither MX record nor address",
		    list->domain);
	else
		snprintf(list->text, size, "550 5.4.4 %s has no address that mail can be sent to",
		    list->domain);
	list->refusal = list->text;
}

void
mx_judge(struct mx_list *list, const struct mx_policy *policy)
{
	struct judge judge = { .policy = policy };
	const struct mx_host *own;

	if (policy->listener_count > 0 && getifaddrs(&judge.interfaces) != 0)
		judge.interfaces = NULL;
	for (size_t i = 0; i < list->count; i++)
		list->hosts[i].fate = judge_host(&judge, &list->hosts[i]);
	if (judge.interfaces)
		freeifaddrs(judge.interfaces);
	own = first_of(list, MX_OURSELVES);
	for (size_t i = 0; own && i < list->count; i++)
		if (list->hosts[i].preference >= own->preference &&
		    list->hosts[i].fate != MX_OURSELVES)
			list->hosts[i].fate = MX_WORSE;
	if (!list->refusal && !first_of(list, MX_TRIED))
		refuse(list);
}

const char *
mx_fate_text(enum mx_fate fate)
{
	static const char *const texts[] = {
		[MX_TRIED] = "tried",
		[MX_OURSELVES] = "this relay itself",
		[MX_WORSE] = "no better than this relay itself",
		[MX_NOWHERE] = "has no address",
		[MX_REFUSED] = "has no address that mail may be sent to",
		[MX_UNKNOWN] = "its addresses cannot be found for now",
		[MX_UNSAFE] = "not safe for now",
	};

	return texts[fate];
}
