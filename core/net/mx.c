/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mx.c - asks the DNS where the mail of a domain goes.
 *
 * Called by core/queue and by `posternctl route`. First the MX records, then both kinds of
 * addresses of every host at once. Must never take "no answer" for "there is nothing": the address
 * of the domain itself is asked for only where the DNS says that it has no MX record.
 */
#include <core/net/mx.h>
#include <errno.h>
#include <glib.h>
#include <stdio.h>

#define FAMILIES  2    /* AAAA, A */
#define NAME_MOST 255u /* RFC 1035 section 2.3.4: octets; as text two less */

struct mx_question {
	struct dns_request request; /* first */
	struct mx_search *search;
	bool open;
};

/* Where TLSA records of one host may stand, in that order: RFC 7672 section 2.2.2. */
struct mx_tlsa {
	struct mx_question question; /* first */
	struct mx_host *host;
	const char *names[2];
	size_t count, at;
	char canonical[DNS_NAME_SIZE];
};

struct mx_search {
	struct dns *dns;
	struct loop *loop;
	void (*done)(void *arg, struct mx_list *list); /* NULL: nobody waits any more */
	void *arg;
	struct mx_list *list;
	struct loop_timer timer; /* a literal's answer, in the next turn */
	unsigned open;           /* questions */
	struct mx_question records;
	struct mx_question *addresses; /* FAMILIES for each host */
	struct mx_tlsa *tlsa;          /* one for each host */
	uint16_t port;
};

/* ---- records --------------------------------------------------------------------------------- */

static bool
is_name_byte(unsigned char c)
{
	return g_ascii_isalnum(c) || c == '-' || c == '_';
}

bool
mx_read_record(struct pn_slice rdata, uint16_t *ret_preference, char ret_name[DNS_NAME_SIZE])
{
	const unsigned char *bytes = (const unsigned char *)rdata.data;
	size_t at = 2, len = 0;

	if (rdata.len < 3 || rdata.len > 2 + NAME_MOST)
		return false;
	*ret_preference = (uint16_t)(bytes[0] << 8 | bytes[1]);
	while (at < rdata.len && bytes[at] != 0) {
		size_t label = bytes[at++];

		/* Above 63 are pointers, which libunbound has followed. */
		if (label > 63 || label >= rdata.len - at)
			return false;
		if (len > 0)
			ret_name[len++] = '.';
		for (size_t i = 0; i < label; i++, at++, len++) {
			if (!is_name_byte(bytes[at]))
				return false;
			ret_name[len] = g_ascii_tolower((char)bytes[at]);
		}
	}
	ret_name[len] = '\0';
	return at + 1 == rdata.len;
}

static struct mx_host *
find_host(const struct mx_list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->hosts[i].name, name) == 0)
			return &list->hosts[i];
	return NULL;
}

static gint
by_preference(gconstpointer a, gconstpointer b)
{
	return ((const struct mx_host *)a)->preference - ((const struct mx_host *)b)->preference;
}

/* Twice the same host counts where it is best. */
static void
read_hosts(struct mx_list *list, const struct dns_request *answer)
{
	GArray *hosts = g_array_new(FALSE, TRUE, sizeof(struct mx_host));

	for (size_t i = 0; i < answer->count; i++) {
		struct mx_host host = { 0 }, *same;

		if (!mx_read_record(answer->records[i], &host.preference, host.name) || !*host.name)
			continue;
		list->hosts = (struct mx_host *)(void *)hosts->data;
		list->count = hosts->len;
		same = find_host(list, host.name);
		if (!same)
			g_array_append_val(hosts, host);
		else if (same->preference > host.preference)
			same->preference = host.preference;
	}
	g_array_sort(hosts, by_preference);
	list->count = MIN(hosts->len, MX_HOSTS_MOST);
	list->hosts = g_malloc0((list->count + 1) * sizeof(*list->hosts));
	if (list->count > 0)
		memcpy(list->hosts, hosts->data, list->count * sizeof(*list->hosts));
	g_array_free(hosts, TRUE);
}

static bool
has_root_only(const struct dns_request *answer)
{
	char name[DNS_NAME_SIZE];
	uint16_t preference;

	for (size_t i = 0; i < answer->count; i++)
		if (!mx_read_record(answer->records[i], &preference, name) || *name)
			return false;
	return answer->count > 0;
}

static void PN_PRINTF(2, 3) refuse(struct mx_list *list, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(list->text, sizeof(list->text), format, args);
	va_end(args);
	list->refusal = list->text;
}

/* ---- searching ------------------------------------------------------------------------------- */

static void
finish(struct mx_search *search)
{
	void (*done)(void *arg, struct mx_list *list) = search->done;
	struct mx_list *list = g_steal_pointer(&search->list);
	void *arg = search->arg;

	for (size_t i = 0; search->addresses && i < list->count * FAMILIES; i++)
		dns_request_clear(&search->addresses[i].request);
	for (size_t i = 0; search->tlsa && i < list->count; i++)
		dns_request_clear(&search->tlsa[i].question.request);
	g_free(search->tlsa);
	g_free(search->addresses);
	g_free(search);
	if (done)
		done(arg, list);
	else
		mx_list_free(&list);
}

static void
add_address(struct mx_host *host, const struct dns_request *answer, size_t i)
{
	struct pn_slice bytes = answer->records[i];
	struct address *address = &host->addresses[host->count];
	struct in6_addr ip6;
	struct in_addr ip4;

	if (host->count == MX_ADDRESSES_MOST)
		return;
	if (answer->type == DNS_TYPE_A && bytes.len == sizeof(ip4)) {
		memcpy(&ip4, bytes.data, sizeof(ip4));
		address_set_ip4(address, &ip4, 0);
		host->count++;
	} else if (answer->type == DNS_TYPE_AAAA && bytes.len == sizeof(ip6)) {
		memcpy(&ip6, bytes.data, sizeof(ip6));
		address_set_ip6(address, &ip6, 0);
		host->count++;
	}
}

/* Of what was answered all is; what was not answered says nothing. */
static bool
is_secure(const struct mx_question question[FAMILIES])
{
	bool secure = false;

	for (int family = 0; family < FAMILIES; family++) {
		const struct dns_request *answer = &question[family].request;

		if (answer->r == -EAGAIN || answer->r == -EBADMSG)
			continue;
		if (!answer->secure)
			return false;
		secure = true;
	}
	return secure;
}

/* By turns, so that of two attempts one goes by each family. */
static void
gather(struct mx_list *list, struct mx_host *host, struct mx_question question[FAMILIES])
{
	size_t most = MAX(question[0].request.count, question[1].request.count);

	host->secure = is_secure(question);
	for (int family = 0; family < FAMILIES; family++)
		list->unsure |= question[family].request.r != -EAGAIN &&
				!question[family].request.validating;
	for (size_t i = 0; i < most; i++)
		for (int family = 0; family < FAMILIES; family++)
			if (i < question[family].request.count)
				add_address(host, &question[family].request, i);
	for (int family = 0; family < FAMILIES; family++) {
		const struct dns_request *answer = &question[family].request;

		if (answer->r == -EAGAIN || answer->r == -EBADMSG)
			g_strlcpy(host->why, answer->why, sizeof(host->why));
		list->ttl = MIN(list->ttl, answer->ttl);
	}
}

/* ---- TLSA ------------------------------------------------------------------------------------ */

static void ask(struct mx_search *search, struct mx_question *question, const char *name,
    enum dns_type type, void (*done)(struct dns_request *request));

/* Nothing is known of what would be demanded there, and so nothing is sent there. */
static void PN_PRINTF(2, 3) leave_out(struct mx_host *host, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(host->why, sizeof(host->why), format, args);
	va_end(args);
	host->unsafe = true;
}

/* One allocation: records, then their data. */
static struct tlsa *
keep_records(const struct tlsa *found, size_t count)
{
	size_t size = count * sizeof(*found);
	struct tlsa *records;
	char *bytes;

	for (size_t i = 0; i < count; i++)
		size += found[i].data.len;
	records = g_malloc0(MAX(size, 1));
	bytes = (char *)&records[count];
	for (size_t i = 0; i < count; i++) {
		records[i] = found[i];
		memcpy(bytes, found[i].data.data, found[i].data.len);
		records[i].data = pn_slice(bytes, found[i].data.len);
		bytes += found[i].data.len;
	}
	return records;
}

static void
use_records(struct mx_host *host, const struct dns_request *answer)
{
	struct tlsa found[TLSA_RECORDS_MOST];
	size_t count = 0;

	for (size_t i = 0; i < answer->count && count < TLSA_RECORDS_MOST; i++)
		count += tlsa_read(answer->records[i], &found[count]);
	host->terms.encrypted = true;
	host->terms.base = host->base;
	host->terms.tlsa = keep_records(found, count);
	host->terms.tlsa_count = count;
}

static void ask_next_tlsa(struct mx_search *search, struct mx_tlsa *tlsa);

/* False: the next of its names may have some. */
static bool
read_tlsa(struct mx_search *search, struct mx_tlsa *tlsa, const struct dns_request *answer)
{
	int r = answer->r;

	if (r == -EAGAIN || r == -EBADMSG) {
		leave_out(tlsa->host, "its TLSA records cannot be found: %.100s", answer->why);
		return true;
	}
	search->list->ttl = MIN(search->list->ttl, answer->ttl);
	search->list->unsure |= !answer->validating;
	if (answer->type == DNS_TYPE_CNAME) {
		tlsa->count = r == 0 && answer->secure ? 1 : 0; /* signed is the alias itself */
	} else if (r == 0 && answer->secure) {
		g_strlcpy(tlsa->host->base, tlsa->names[tlsa->at - 1], sizeof(tlsa->host->base));
		use_records(tlsa->host, answer);
		return true;
	}
	return tlsa->at >= tlsa->count;
}

static void
on_tlsa(struct dns_request *request)
{
	struct mx_tlsa *tlsa = (struct mx_tlsa *)(void *)request;
	struct mx_search *search = tlsa->question.search;
	bool ended = !search->done || read_tlsa(search, tlsa, request);

	search->open--;
	tlsa->question.open = false;
	dns_request_clear(request);
	if (!ended)
		ask_next_tlsa(search, tlsa);
	if (search->open == 0)
		finish(search);
}

static void
ask_next_tlsa(struct mx_search *search, struct mx_tlsa *tlsa)
{
	const char *base = tlsa->names[tlsa->at++];
	char name[DNS_NAME_SIZE];

	if (g_snprintf(name, sizeof(name), "_%u._tcp.%s", (unsigned)search->port, base) <
	    (int)sizeof(name) - 2)
		ask(search, &tlsa->question, name, DNS_TYPE_TLSA, on_tlsa);
}

/* One of its addresses' names; "" where there is no alias. */
static const char *
canonical_of(const struct mx_question question[FAMILIES], const char *name)
{
	for (int family = 0; family < FAMILIES; family++)
		if (*question[family].request.canonical &&
		    strcmp(question[family].request.canonical, name) != 0)
			return question[family].request.canonical;
	return "";
}

static void
begin_tlsa(
    struct mx_search *search, struct mx_tlsa *tlsa, const struct mx_question addresses[FAMILIES])
{
	struct mx_host *host = tlsa->host;
	const char *canonical = canonical_of(addresses, host->name);

	if (host->count == 0)
		return;
	g_strlcpy(tlsa->canonical, canonical, sizeof(tlsa->canonical));
	if (host->secure && *canonical)
		tlsa->names[tlsa->count++] = tlsa->canonical;
	tlsa->names[host->secure ? tlsa->count++ : 0] = host->name;
	if (tlsa->count > 0)
		ask_next_tlsa(search, tlsa);
	else if (*canonical) /* its own zone may be signed though the alias leads out of it */
		ask(search, &tlsa->question, host->name, DNS_TYPE_CNAME, on_tlsa);
}

/* RFC 7672 section 2.2.1: where the list itself is not signed, what is behind it proves nothing. */
static void
ask_tlsa(struct mx_search *search)
{
	struct mx_list *list = search->list;

	if (!list->secure)
		return;
	search->tlsa = g_new0(struct mx_tlsa, list->count);
	for (size_t i = 0; i < list->count; i++) {
		search->tlsa[i].host = &list->hosts[i];
		begin_tlsa(search, &search->tlsa[i], &search->addresses[i * FAMILIES]);
	}
}

/* ---- addresses ------------------------------------------------------------------------------- */

static void
on_address(struct dns_request *request)
{
	struct mx_question *question = (struct mx_question *)(void *)request;
	struct mx_search *search = question->search;

	question->open = false;
	if (--search->open > 0)
		return;
	for (size_t i = 0; search->done && i < search->list->count; i++)
		gather(search->list, &search->list->hosts[i], &search->addresses[i * FAMILIES]);
	if (search->done)
		ask_tlsa(search);
	if (search->open == 0)
		finish(search);
}

static void
ask(struct mx_search *search, struct mx_question *question, const char *name, enum dns_type type,
    void (*done)(struct dns_request *request))
{
	search->open++;
	question->open = true;
	question->search = search;
	question->request.loop = search->loop;
	question->request.type = type;
	question->request.done = done;
	g_strlcpy(question->request.name, name, sizeof(question->request.name));
	dns_ask(search->dns, &question->request);
}

static void
ask_addresses(struct mx_search *search)
{
	static const enum dns_type types[FAMILIES] = { DNS_TYPE_AAAA, DNS_TYPE_A };

	search->addresses = g_new0(struct mx_question, search->list->count * FAMILIES);
	for (size_t i = 0; i < search->list->count; i++)
		for (int family = 0; family < FAMILIES; family++)
			ask(search, &search->addresses[i * FAMILIES + (size_t)family],
			    search->list->hosts[i].name, types[family], on_address);
}

static void
set_only_host(struct mx_list *list)
{
	list->count = 1;
	list->hosts = g_new0(struct mx_host, 2);
	g_strlcpy(list->hosts->name, list->domain, sizeof(list->hosts->name));
}

static void
read_answer(struct mx_list *list, const struct dns_request *answer)
{
	list->secure = answer->secure;
	list->unsure = !answer->validating;
	list->ttl = answer->ttl;
	switch (answer->r) {
	case 0:
		if (has_root_only(answer)) /* RFC 7505 section 4.2 */
			refuse(list, "556 5.1.10 %s takes no mail (null MX)", list->domain);
		else
			read_hosts(list, answer);
		break;
	case -ENODATA:
		list->implicit = true;
		set_only_host(list);
		break;
	case -ENOENT:
		refuse(list, "550 5.1.2 there is no domain %s", list->domain);
		break;
	default:
		refuse(list, "451 4.4.3 %s: %s", list->domain, answer->why);
	}
}

static void
on_records(struct dns_request *request)
{
	struct mx_search *search = ((struct mx_question *)(void *)request)->search;
	struct mx_list *list = search->list;

	search->open--;
	if (search->done)
		read_answer(list, request);
	dns_request_clear(request);
	if (list->refusal || list->count == 0 || !search->done)
		finish(search);
	else
		ask_addresses(search);
}

/* ---- literals -------------------------------------------------------------------------------- */

static void
answer_literal(struct loop_timer *timer)
{
	finish((struct mx_search *)(void *)((char *)timer - offsetof(struct mx_search, timer)));
}

/* "[192.0.2.1]", "[ipv6:2001:db8::1]" */
static void
read_literal(struct mx_list *list)
{
	size_t skip = g_ascii_strncasecmp(list->domain, "[ipv6:", 6) == 0 ? 6 : 1;
	size_t len = strlen(list->domain);
	char inner[DNS_NAME_SIZE];
	struct mx_host *host;

	list->literal = true;
	list->ttl = 3600;
	set_only_host(list);
	host = list->hosts;
	g_strlcpy(inner, list->domain + skip, MIN(sizeof(inner), len - skip));
	if (strchr(inner, '*') || address_parse(inner, 0, &host->addresses[0], NULL) < 0 ||
	    host->addresses[0].sa.ss_family == AF_UNIX)
		return;
	host->count = 1;
	g_strlcpy(host->name, inner, sizeof(host->name));
}

/* ---- for everyone ---------------------------------------------------------------------------- */

struct mx_search *
mx_search_start(struct dns *dns, struct loop *loop, const char *domain, uint16_t port,
    void (*done)(void *arg, struct mx_list *list), void *arg)
{
	struct mx_search *search = g_new0(struct mx_search, 1);

	search->dns = dns;
	search->loop = loop;
	search->done = done;
	search->arg = arg;
	search->port = port;
	search->list = g_new0(struct mx_list, 1);
	g_strlcpy(search->list->domain, domain, sizeof(search->list->domain));
	if (*domain == '[' && strlen(domain) > 2) {
		read_literal(search->list);
		search->timer.fire = answer_literal;
		loop_timer_set(loop, &search->timer, 0);
	} else {
		ask(search, &search->records, domain, DNS_TYPE_MX, on_records);
	}
	return search;
}

void
mx_search_cancel(struct mx_search **search_at)
{
	struct mx_search *search = *search_at;

	if (!search)
		return;
	*search_at = NULL;
	search->done = NULL;
	loop_timer_cancel(search->loop, &search->timer);
	if (!search->addresses && search->open > 0)
		search->open -= dns_cancel(search->dns, &search->records.request);
	for (size_t i = 0; search->addresses && i < search->list->count * FAMILIES; i++)
		if (search->addresses[i].open)
			search->open -= dns_cancel(search->dns, &search->addresses[i].request);
	for (size_t i = 0; search->tlsa && i < search->list->count; i++)
		if (search->tlsa[i].question.open)
			search->open -= dns_cancel(search->dns, &search->tlsa[i].question.request);
	if (search->open == 0)
		finish(search);
}

void
mx_list_free(struct mx_list **list)
{
	for (size_t i = 0; *list && i < (*list)->count; i++)
		g_free((*list)->hosts[i].terms.tlsa);
	if (*list)
		g_free((*list)->hosts);
	g_free(*list);
	*list = NULL;
}
