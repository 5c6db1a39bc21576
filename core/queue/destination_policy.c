/* SPDX-License-Identifier: Apache-2.0 */
/*
 * destination_policy.c - what a domain demands of those who send to it (MTA-STS, RFC 8461).
 *
 * Asked for beside its mail exchangers by destination_search.c; looked at again before each letter,
 * so that a policy that is new or another one reaches connections that were kept. Must never let
 * mail go because something could not be asked where a policy is known, nor hold it up for long
 * where none is.
 */
#include <core/base/log.h>
#include <core/queue/destination.h>

#define WAIT_MS 5000

static struct sts *
policies(const struct destination *destination)
{
	return destination->domain ? destination->queue->parts.sts : NULL;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void
take(struct destination *destination, struct sts_answer *answer)
{
	sts_answer_clear(&destination->sts);
	destination->sts = *answer;
	if (answer->known == STS_KNOWN_POLICY && *sts_answer_text(answer))
		destination_note_policy(destination);
}

static void
on_answer(void *arg, struct sts_answer *answer)
{
	struct destination *destination = arg;

	destination->sts_request = NULL;
	take(destination, answer);
	destination_use_found(destination);
}

void
destination_ask_policy(struct destination *destination)
{
	struct sts *sts = policies(destination);
	int64_t wait = destination->queue->settings.sts_wait_ms;
	struct sts_answer answer;

	if (!sts || destination->sts_request)
		return;
	destination->sts_seen = sts_changes(sts);
	if (sts_look(sts, destination->domain, &answer)) {
		take(destination, &answer);
		return;
	}
	sts_answer_clear(&answer);
	destination->sts_request = sts_ask(sts, destination->queue->parts.loop, destination->domain,
	    wait > 0 ? wait : WAIT_MS, on_answer, destination);
}

void
destination_drop_policy(struct destination *destination)
{
	sts_cancel(&destination->sts_request);
	mx_list_free(&destination->found);
}

/* ---- changes --------------------------------------------------------------------------------- */

/* Its hosts are judged anew, and what is open now takes no further letter. */
static void
begin_anew(struct destination *destination)
{
	log_event(PN_LOG_INFO, "mta-sts-changed", "route", destination->name, NULL);
	for (guint i = 0; i < destination->connections->len; i++) {
		struct connection *connection = g_ptr_array_index(destination->connections, i);

		connection->outdated = true;
	}
	destination_forget_hops(destination);
}

void
destination_heed_policy(struct destination *destination)
{
	struct sts *sts = policies(destination);
	struct sts_answer answer;
	uint64_t changes;

	if (!sts || !destination->hops)
		return;
	changes = sts_changes(sts);
	if (changes == destination->sts_seen)
		return;
	destination->sts_seen = changes;
	if (sts_look(sts, destination->domain, &answer) &&
	    !sts_answer_equal(&answer, &destination->sts))
		begin_anew(destination);
	sts_answer_clear(&answer);
}

/* A sender who says TLS-Required: No, or a route without TLS. */
bool
destination_is_relaxed(const struct destination *destination)
{
	const struct courier_target *target = &destination->route->hosts->ways[destination->need]
						   .target;

	return destination->need == ROUTE_RELAXED || target->level == TLS_LEVEL_NONE;
}

/* ---- what follows from it -------------------------------------------------------------------- */

static bool
enforces(const struct destination *destination)
{
	return destination->sts.known == STS_KNOWN_POLICY && destination->sts.mode == STS_ENFORCE;
}

/*
 * An override may stand where no policy does: it is as strict, but whom the DNS names instead of
 * the domain's hosts is no safer for it.
 */
static bool
names_hosts(const struct destination *destination)
{
	const struct sts_policy *policy = sts_answer_policy(&destination->sts);

	return policy && policy->count > 0;
}

static void
defer(struct mx_list *list, const char *what, const char *why)
{
	g_snprintf(list->text, sizeof(list->text), "451 4.7.5 %s %s: %.160s", list->domain, what,
	    why && *why ? why : "no answer");
	list->refusal = list->text;
}

/* One that was not even connected to. */
static void
count_host(
    const struct destination *destination, const char *type, const char *host, const char *result)
{
	const struct tls_count count = { .domain = destination->domain,
		.type = type,
		.result = result,
		.host = host,
		.sent_by = "",
		.address = "" };

	if (policies(destination))
		counts_note(sts_counts(policies(destination)), &count);
}

/* "3 1 1 9f86..."; those that hold whole certificates are not repeated. */
static void
write_tlsa(GString *text, const struct tlsa *tlsa)
{
	if (tlsa->data.len > 64)
		return;
	g_string_append_printf(text, "%d %d %d ", tlsa->usage, tlsa->selector, tlsa->matching);
	for (size_t i = 0; i < tlsa->data.len; i++)
		g_string_append_printf(text, "%02x", (unsigned char)tlsa->data.data[i]);
	g_string_append_c(text, '\n');
}

/* What DANE has found, for the counts; hosts that it excludes are counted here. */
static void
note_dane(const struct destination *destination, const struct mx_list *list)
{
	GString *text = g_string_new(NULL), *hosts = g_string_new(NULL);

	for (size_t i = 0; i < list->count; i++) {
		const struct mx_host *host = &list->hosts[i];

		if (host->unsafe)
			count_host(destination, "tlsa", host->name, "dnssec-invalid");
		for (size_t k = 0; k < host->terms.tlsa_count; k++)
			write_tlsa(text, &host->terms.tlsa[k]);
		if (host->terms.tlsa_count > 0)
			g_string_append_printf(hosts, "%s\n", host->name);
	}
	if (hosts->len > 0 && policies(destination))
		counts_note_policy(sts_counts(policies(destination)), destination->domain, "tlsa",
		    text->str, hosts->str);
	g_string_free(text, TRUE);
	g_string_free(hosts, TRUE);
}

/* Where signed TLSA records speak for a host, the policy does not (RFC 8461 section 2). */
static void
apply_to_host(struct destination *destination, struct mx_host *host)
{
	if (host->unsafe || host->terms.tlsa_count > 0)
		return;
	if (sts_answer_allows(&destination->sts, host->name)) {
		host->terms.sts = true;
		host->terms.unnamed = !names_hosts(destination);
		return;
	}
	log_event(PN_LOG_NOTICE, "mta-sts-host", "route", destination->name, "host", host->name,
	    "reason", "the domain's policy does not name it", NULL);
	count_host(destination, "sts", host->name, "validation-failure");
	host->unsafe = true;
	g_strlcpy(host->why,
	    "the policy of the recipient's domain (MTA-STS) does not name this host",
	    sizeof(host->why));
}

void
destination_apply_policy(struct destination *destination, struct mx_list *list)
{
	enum sts_known known = destination->sts.known;

	if (list->refusal || destination_is_relaxed(destination))
		return;
	note_dane(destination, list);
	if (known == STS_KNOWN_LATER) {
		defer(list, "may demand TLS (MTA-STS), which cannot be looked up now",
		    destination->sts.why);
		return;
	}
	list->unsure |= known == STS_KNOWN_NOT;
	if (!enforces(destination))
		return;
	list->by_policy = names_hosts(destination);
	for (size_t i = 0; i < list->count; i++)
		apply_to_host(destination, &list->hosts[i]);
}

/* RFC 8689 section 4.2.1: who forges an answer of the DNS would be sent what has to be protected.
 */
void
destination_judge_policy(const struct destination *destination, struct mx_list *list)
{
	if (list->refusal || destination->need != ROUTE_REQUIRETLS || hops_list_is_validated(list))
		return;
	if (destination->sts.known == STS_KNOWN_NOT && policies(destination)) {
		defer(list, "is not signed by DNSSEC, and its policy (MTA-STS) cannot be had now",
		    destination->sts.why);
		return;
	}
	if (list->unsure) {
		defer(list, "has to be signed by DNSSEC (REQUIRETLS), which cannot be told now",
		    "signatures do not come from the name servers asked");
		return;
	}
	g_snprintf(list->text, sizeof(list->text),
	    "550 5.7.10 REQUIRETLS: the mail exchangers of %s are not signed by DNSSEC",
	    list->domain);
	list->refusal = list->text;
}

/* ---- counts (RFC 8460) ----------------------------------------------------------------------- */

/* By which policy sessions with a host are judged. */
static const char *
policy_type(const struct destination *destination, const struct hop *hop)
{
	if (hop && (hop->target.terms.tlsa_count > 0 || hop->target.terms.encrypted))
		return "tlsa";
	return destination->sts.known == STS_KNOWN_POLICY && destination->sts.mode != STS_NONE &&
		       destination->sts.policy
		   ? "sts"
		   : "no-policy-found";
}

void
destination_note_policy(struct destination *destination)
{
	const struct sts_policy *policy = sts_answer_policy(&destination->sts);
	GString *hosts = g_string_new(NULL);

	for (size_t i = 0; policy && i < policy->count; i++)
		g_string_append_printf(hosts, "%s\n", policy->patterns[i]);
	if (policy && policy->mode != STS_NONE)
		counts_note_policy(sts_counts(policies(destination)), destination->domain, "sts",
		    sts_answer_text(&destination->sts), hosts->str);
	g_string_free(hosts, TRUE);
}

void
destination_count_tls(const struct destination *destination, const struct hop *hop,
    const char *host, const struct courier *courier, const char *fault)
{
	struct sts *sts = policies(destination);
	char own[ADDRESS_TEXT] = "", peer[ADDRESS_TEXT] = "";
	struct tls_count count = { .domain = destination->domain,
		.type = policy_type(destination, hop),
		.result = fault ? fault : "",
		.host = host,
		.sent_by = own,
		.address = peer };

	if (!sts)
		return;
	if (courier)
		courier_ends(courier, own, peer);
	counts_note(sts_counts(sts), &count);
}

/* What the session shows, by the domain's policy where it has one that holds or is tested. */
void
destination_count_session(
    const struct destination *destination, const struct hop *hop, const struct courier *courier)
{
	const struct tls_facts *tls = courier_tls(courier);
	bool judged = strcmp(policy_type(destination, hop), "sts") == 0;
	const char *fault = NULL;

	if (!policies(destination) || hop->target.level == TLS_LEVEL_NONE)
		return;
	if (!tls->version)
		fault = courier_tls_fault(courier);
	else if (judged && !sts_answer_allows(&destination->sts, hop->target.host))
		fault = "validation-failure";
	else if (judged)
		fault = tls->fault;
	destination_count_tls(destination, hop, hop->target.host, courier,
	    fault          ? fault
	    : tls->version ? NULL
			   : "starttls-not-supported");
}
