/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_probe.c - can signatures be checked from here?
 *
 * Called by dns.c on its thread. A context with a trust anchor asks for the anchor's own keys
 * before its first question. Where they do not come validated, everything signed would be bogus and
 * no mail would move (a forwarder that drops signatures does that): then it goes on without
 * validation, says so loudly, and `secure` is never set; from time to time a context of its own
 * tries whether they come by now, and takes over. Where no answer comes at all nothing is known,
 * and validation stays on. Must never take silence for "there are no signatures".
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/net/dns_inside.h>

#define PROBE_MOST_MS 10000
#define TYPE_DNSKEY   48

static void
set_validation(struct dns *dns, enum dns_validation validation)
{
	pthread_mutex_lock(&dns->lock);
	dns->validation = validation;
	pthread_mutex_unlock(&dns->lock);
}

static void
again_later(struct dns *dns)
{
	dns->probe_again_ms = clock_monotonic_ms() + dns->current->settings.probe_again;
}

/* What asks from now on does so without validation. */
static void
switch_off(struct dns *dns, struct dns_context *context)
{
	struct dns_context *without = dns_context_new(dns, &context->settings, false);

	dns_context_add(dns, without);
	dns->current = without;
	set_validation(dns, DNS_VALIDATION_FAILS);
	again_later(dns);
}

static void
on_keys(struct dns *dns, struct dns_context *context, bool works, const char *why)
{
	if (context == dns->trial) {
		dns->trial = NULL;
		if (works)
			dns->current = context;
	}
	if (context != dns->current) { /* another configuration by now, or not yet */
		again_later(dns);
	} else if (works) {
		context->works = true;
		if (dns_validation(dns) == DNS_VALIDATION_FAILS)
			log_event(PN_LOG_NOTICE, "dns-validating", "file",
			    context->settings.trust_anchor, NULL);
		set_validation(dns, DNS_VALIDATION_WORKS);
	} else {
		log_event(PN_LOG_ERROR, "dns-not-validating", "reason", why, "file",
		    context->settings.trust_anchor, NULL);
		switch_off(dns, context);
	}
}

static void
on_probe(void *arg, int error, struct ub_result *result)
{
	struct dns_context *context = arg;
	bool answered = error == 0 && result && (result->bogus || result->rcode == RCODE_OK);

	context->probing = false;
	context->probed = true;
	if (answered)
		on_keys(context->dns, context, result->secure,
		    result->why_bogus ? result->why_bogus : "no signatures come");
	else if (context == context->dns->trial)
		context->dns->trial = NULL;
	if (!answered)
		again_later(context->dns);
	ub_resolve_free(result);
}

static void
probe(struct dns_context *context)
{
	char owner[DNS_NAME_SIZE];

	if (!dns_anchor_owner(context->settings.trust_anchor, owner))
		return;
	context->probe_deadline = clock_monotonic_ms() + MIN(PROBE_MOST_MS, context->timeout);
	context->probing = ub_resolve_async(context->ub, owner, TYPE_DNSKEY, CLASS_IN, context,
			       on_probe, &context->probe) == 0;
}

void
dns_probe_begin(struct dns *dns)
{
	struct dns_context *context = dns->current;

	set_validation(dns, context->validates ? DNS_VALIDATION_UNKNOWN : DNS_VALIDATION_OFF);
	dns->trial = NULL; /* by other settings: what it finds out is nothing now */
	again_later(dns);
	if (context->validates)
		probe(context);
}

bool
dns_probe_holds(const struct dns *dns)
{
	return dns->current->probing && !dns->current->probed;
}

/* The first time questions wait for it; behind that they do not. */
static void
end_late(struct dns *dns, int64_t now)
{
	for (GList *link = dns->contexts.head; link; link = link->next) {
		struct dns_context *context = link->data;

		if (!context->probing || context->probe_deadline > now)
			continue;
		context->probing = false;
		context->probed = true;
		(void)ub_cancel(context->ub, context->probe);
		if (context == dns->trial)
			dns->trial = NULL;
		again_later(dns);
	}
}

/* There is an anchor, and it is not known to serve. */
static bool
is_open(const struct dns *dns)
{
	return dns->current && dns->current->settings.trust_anchor && !dns->current->works &&
	       !dns->current->probing && !dns->trial;
}

void
dns_probe_go_on(struct dns *dns, int64_t now)
{
	end_late(dns, now);
	if (!is_open(dns) || dns->probe_again_ms > now)
		return;
	again_later(dns);
	if (dns->current->validates) {
		probe(dns->current);
		return;
	}
	dns->trial = dns_context_new(dns, &dns->current->settings, true);
	dns->trial->probed = true;
	dns_context_add(dns, dns->trial);
	probe(dns->trial);
	if (!dns->trial->probing)
		dns->trial = NULL;
}

int
dns_probe_wait(const struct dns *dns, int64_t now)
{
	for (GList *link = dns->contexts.head; link; link = link->next)
		if (((const struct dns_context *)link->data)->probing)
			return 200;
	return is_open(dns) ? (int)CLAMP(dns->probe_again_ms - now, 1, 60000) : -1;
}
