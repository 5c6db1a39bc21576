/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve.c - host names to addresses.
 *
 * Called by couriers on their loops; getaddrinfo() runs on threads of a pool. One cache for all
 * loops, under a lock that is never held while somebody waits for the network.
 */
#include <core/base/clock.h>
#include <core/base/text.h>
#include <core/net/resolve.h>
#include <errno.h>
#include <glib.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define GOOD_MS      30000
#define BAD_MS       5000
#define ENTRIES_MOST 4096

struct entry {
	int64_t expires;
	int r;
	size_t count;
	struct address addresses[]; /* without ports */
};

struct resolver {
	struct jobs *jobs;
	pthread_mutex_t lock;
	GHashTable *entries; /* host -> struct entry */
};

int
resolver_new(struct jobs *jobs, struct resolver **ret)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));

	if (!resolver)
		return -ENOMEM;
	resolver->jobs = jobs;
	pthread_mutex_init(&resolver->lock, NULL);
	resolver->entries = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	*ret = resolver;
	return 0;
}

void
resolver_free(struct resolver **ptr)
{
	struct resolver *resolver = *ptr;

	if (!resolver)
		return;
	g_hash_table_unref(resolver->entries);
	pthread_mutex_destroy(&resolver->lock);
	free(resolver);
	*ptr = NULL;
}

/* ---- without asking -------------------------------------------------------------------------- */

static void
add_address(struct resolve_request *request, const struct sockaddr *sa, socklen_t len)
{
	struct address *address;

	if (request->count == RESOLVE_MOST || len > sizeof(address->sa))
		return;
	address = &request->addresses[request->count++];
	*address = (struct address){ .len = len };
	memcpy(&address->sa, sa, len);
}

/* RFC 6761 section 6.3: the name is the loopback, whatever a server says. */
static void
add_loopback(struct resolve_request *request)
{
	struct sockaddr_in ip4 = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 ip6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };

	add_address(request, (const struct sockaddr *)&ip4, sizeof(ip4));
	add_address(request, (const struct sockaddr *)&ip6, sizeof(ip6));
}

/* "192.0.2.1", "2001:db8::1", "[2001:db8::1]", and with the tag of RFC 5321 "[IPv6:2001:db8::1]" */
static bool
parse_literal(struct resolve_request *request)
{
	char text[sizeof(request->host)];
	const char *host = request->host;
	struct address address;

	if (strncmp(host, "unix:", 5) == 0 || strchr(host, '*'))
		return false;
	if (strncasecmp(host, "[IPv6:", 6) == 0) {
		snprintf(text, sizeof(text), "[%s", host + 6);
		host = text;
	} else if (*host == '[' && !strchr(host, ':')) {
		snprintf(text, sizeof(text), "%.*s", (int)strcspn(host + 1, "]"), host + 1);
		host = text;
	}
	if (address_parse(host, request->port, &address, NULL) < 0)
		return false;
	add_address(request, (const struct sockaddr *)&address.sa, address.len);
	return true;
}

/* ---- the cache ------------------------------------------------------------------------------- */

static gboolean
is_old(void *host, void *ptr, void *now)
{
	return ((const struct entry *)ptr)->expires <= *(const int64_t *)now;
}

static bool
find(struct resolver *resolver, struct resolve_request *request, int *ret)
{
	struct entry *entry;
	bool found;

	pthread_mutex_lock(&resolver->lock);
	entry = g_hash_table_lookup(resolver->entries, request->host);
	found = entry && entry->expires > clock_monotonic_ms();
	if (found) {
		*ret = entry->r;
		request->count = entry->count;
		memcpy(request->addresses, entry->addresses, entry->count * sizeof(struct address));
	}
	pthread_mutex_unlock(&resolver->lock);
	return found;
}

static void
keep(struct resolver *resolver, const struct resolve_request *request, int r)
{
	size_t size = request->count * sizeof(struct address);
	struct entry *entry = g_malloc(sizeof(*entry) + size);
	int64_t now = clock_monotonic_ms();

	entry->r = r;
	entry->count = request->count;
	entry->expires = now + (r == 0 ? GOOD_MS : BAD_MS);
	memcpy(entry->addresses, request->addresses, size);
	pthread_mutex_lock(&resolver->lock);
	if (g_hash_table_size(resolver->entries) >= ENTRIES_MOST)
		g_hash_table_foreach_remove(resolver->entries, is_old, &now);
	if (g_hash_table_size(resolver->entries) >= ENTRIES_MOST)
		g_hash_table_remove_all(resolver->entries);
	g_hash_table_replace(resolver->entries, g_strdup(request->host), entry);
	pthread_mutex_unlock(&resolver->lock);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static int
translate(int error)
{
	switch (error) {
	case EAI_NONAME:
	case EAI_NODATA:
	case EAI_ADDRFAMILY:
		return -ENOENT;
	case EAI_SYSTEM:
		return errno ? -errno : -EIO;
	case EAI_MEMORY:
		return -ENOMEM;
	default:
		return -EAGAIN;
	}
}

static int
look_up(struct resolve_request *request)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	int error = getaddrinfo(request->host, NULL, &hints, &list);

	if (error != 0)
		return translate(error);
	for (const struct addrinfo *info = list; info; info = info->ai_next)
		if (info->ai_family == AF_INET || info->ai_family == AF_INET6)
			add_address(request, info->ai_addr, info->ai_addrlen);
	freeaddrinfo(list);
	return request->count > 0 ? 0 : -ENOENT;
}

/* On a thread of the pool. */
static void
work(struct job *job)
{
	struct resolve_request *request = (struct resolve_request *)(void *)job;

	/* Several may have asked for the same host at once. */
	if (find(request->resolver, request, &request->r))
		return;
	request->r = look_up(request);
	keep(request->resolver, request, request->r);
}

static void
finish(struct job *job)
{
	struct resolve_request *request = (struct resolve_request *)(void *)job;

	for (size_t i = 0; i < request->count; i++)
		address_set_port(&request->addresses[i], request->port);
	request->done(request, request->r);
}

void
resolve_start(struct resolver *resolver, struct loop *loop, struct resolve_request *request)
{
	_Static_assert(offsetof(struct resolve_request, job) == 0, "work() casts");

	request->job = (struct job){ .loop = loop, .work = work, .done = finish };
	request->resolver = resolver;
	request->count = 0;
	request->r = 0;
	text_lower(request->host, strlen(request->host));
	if (strcmp(request->host, "localhost") == 0)
		add_loopback(request);
	else if (!parse_literal(request) && !find(resolver, request, &request->r)) {
		jobs_submit(resolver->jobs, &request->job);
		return;
	}
	finish(&request->job);
}
