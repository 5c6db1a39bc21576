/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns.c - the thread that asks the DNS, one libunbound context for each setting of it.
 *
 * Called by mx.c from any loop. libunbound works on a thread of its own, which this one waits for;
 * so nothing here is slow. Must never let a question go without an answer: each has a deadline.
 *
 * A context with a trust anchor asks for the anchor's own keys before its first question. Where
 * they do not come validated, everything signed would be bogus and no mail would move (a forwarder
 * that drops signatures does that): then it goes on without validation, says so loudly, and
 * `secure` is never set. Where no answer comes at all nothing is known, and validation stays on.
 */
#include <core/base/arena.h>
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/net/address.h>
#include <core/net/dns.h>
#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unbound.h>
#include <unistd.h>

#define OPEN_MOST     500u /* questions that libunbound has at one time */
#define TICK_MS       200
#define PROBE_MOST_MS 10000
#define TYPE_DNSKEY   48
#define CLASS_IN      1
#define RCODE_OK      0
#define RCODE_NO_NAME 3

/* libunbound under one setting. Lives until its last question is answered. */
struct dns_context {
	struct dns *dns;
	struct ub_ctx *ub;
	GList link; /* in dns->contexts */
	unsigned open;
	int64_t timeout;
	bool validates;
	/* The question for the anchor's keys. */
	bool probed, probing;
	int probe;
	int64_t probe_deadline;
	struct dns_settings settings;
	struct arena arena; /* of the settings */
};

enum dns_stage { DNS_WAITING, DNS_OPEN, DNS_ANSWERED };

struct dns {
	pthread_t thread;
	int wake; /* eventfd */
	/* Of all that follows; the thread lets go of it only to wait, and nothing under it is slow.
	 */
	pthread_mutex_t lock;
	struct dns_context *fresh; /* to be used from now on */
	bool ending;
	struct dns_context *current;
	GQueue contexts; /* all */
	GQueue waiting;  /* questions that are not asked yet */
	GQueue open;     /* that are, oldest first */
};

/* ---- answers --------------------------------------------------------------------------------- */

static void
run_done(struct loop_task *task)
{
	struct dns_request *request = (struct dns_request *)(void *)task;

	request->done(request);
}

static void
answer(struct dns_request *request)
{
	request->stage = DNS_ANSWERED;
	request->task.run = run_done;
	loop_post(request->loop, &request->task);
}

static void
fail(struct dns_request *request, int r, const char *why)
{
	request->r = r;
	snprintf(request->why, sizeof(request->why), "%s", why);
	answer(request);
}

static void
copy_records(struct dns_request *request, const struct ub_result *result)
{
	size_t count = 0, size = 0;
	char *bytes;

	while (result->data[count] && count < UINT16_MAX)
		size += (size_t)result->len[count++];
	request->records = g_malloc(count * sizeof(*request->records) + size);
	bytes = (char *)&request->records[count];
	for (size_t i = 0; i < count; i++) {
		size_t len = (size_t)result->len[i];

		memcpy(bytes, result->data[i], len);
		request->records[i] = pn_slice(bytes, len);
		bytes += len;
	}
	request->count = count;
}

static void
read_result(struct dns_request *request, int error, const struct ub_result *result)
{
	request->r = -EAGAIN;
	if (error != 0 || !result) {
		snprintf(request->why, sizeof(request->why), "%s", ub_strerror(error));
		return;
	}
	request->secure = result->secure;
	request->ttl = result->ttl;
	if (result->bogus) {
		request->r = -EBADMSG;
		snprintf(request->why, sizeof(request->why), "DNSSEC: %s",
		    result->why_bogus ? result->why_bogus : "bogus");
	} else if (result->rcode == RCODE_NO_NAME) {
		request->r = -ENOENT;
	} else if (result->rcode != RCODE_OK) {
		snprintf(
		    request->why, sizeof(request->why), "the server failed (%d)", result->rcode);
	} else if (!result->havedata) {
		request->r = -ENODATA;
	} else {
		request->r = 0;
		copy_records(request, result);
	}
}

static void
release_question(struct dns_request *request)
{
	request->context->open--;
	g_queue_remove(&request->context->dns->open, request);
}

static void
on_answer(void *arg, int error, struct ub_result *result)
{
	struct dns_request *request = arg;

	read_result(request, error, result);
	ub_resolve_free(result);
	release_question(request);
	answer(request);
}

static void
give_up_late(struct dns *dns, int64_t now)
{
	GList *next;

	for (GList *link = dns->open.head; link; link = next) {
		struct dns_request *request = link->data;

		next = link->next;
		if (request->deadline > now)
			continue;
		(void)ub_cancel(request->context->ub, request->id);
		release_question(request);
		fail(request, -EAGAIN, "no answer in time");
	}
}

/* ---- contexts -------------------------------------------------------------------------------- */

static void
free_context(struct dns_context *context)
{
	ub_ctx_delete(context->ub);
	arena_free(&context->arena);
	g_free(context);
}

static void
set_option(struct ub_ctx *ub, const char *name, const char *value)
{
	int r = ub_ctx_set_option(ub, name, value);

	if (r != 0)
		log_text(PN_LOG_ERROR, "libunbound: %s %s: %s", name, value, ub_strerror(r));
}

/* "192.0.2.1@53", as libunbound spells it. */
static void
add_server(struct ub_ctx *ub, const char *text)
{
	struct address address;
	char host[ADDRESS_TEXT], server[ADDRESS_TEXT + 8];
	int r;

	if (address_parse(text, 53, &address, NULL) < 0)
		return; /* the configuration's check said so */
	address_host(&address, host);
	snprintf(server, sizeof(server), "%s@%u", host, (unsigned)address_port(&address));
	r = ub_ctx_set_fwd(ub, server);
	if (r != 0)
		log_text(PN_LOG_ERROR, "libunbound: %s: %s", server, ub_strerror(r));
}

static void
choose_servers(struct ub_ctx *ub, const struct dns_settings *settings)
{
	if (settings->recursive)
		return;
	/* A server on this machine, systemd-resolved's for one, is as good as any. */
	set_option(ub, "do-not-query-localhost:", "no");
	for (size_t i = 0; i < settings->servers.count; i++)
		add_server(ub, settings->servers.items[i]);
	if (settings->servers.count == 0 && ub_ctx_resolvconf(ub, NULL) != 0)
		log_text(PN_LOG_ERROR, "/etc/resolv.conf could not be read");
}

/* libunbound's own defaults are for programs that look up a name or two. */
static struct ub_ctx *
new_unbound(const struct dns_settings *settings, bool validates)
{
	struct ub_ctx *ub = ub_ctx_create();

	if (!ub)
		return NULL;
	(void)ub_ctx_debugout(ub, NULL);
	(void)ub_ctx_async(ub, 1);
	set_option(ub, "num-queries-per-thread:", "1024");
	set_option(ub, "outgoing-range:", "256");
	set_option(ub, "outgoing-num-tcp:", "32");
	set_option(ub, "msg-cache-size:", "8m");
	set_option(ub, "rrset-cache-size:", "16m");
	set_option(ub, "infra-keep-probing:", "yes");
	choose_servers(ub, settings);
	if (validates && ub_ctx_add_ta_file(ub, settings->trust_anchor) != 0)
		log_event(PN_LOG_ERROR, "dns-not-validating", "reason", "cannot read it", "file",
		    settings->trust_anchor, NULL);
	return ub;
}

static struct dns_context *
new_context(struct dns *dns, const struct dns_settings *settings, bool validates)
{
	struct dns_context *context = g_new0(struct dns_context, 1);
	const char **servers = arena_alloc(
	    &context->arena, (settings->servers.count + 1) * sizeof(*servers));

	for (size_t i = 0; i < settings->servers.count; i++)
		servers[i] = arena_text(&context->arena, settings->servers.items[i]);
	context->dns = dns;
	context->link.data = context;
	context->settings = *settings;
	context->settings.servers.items = servers;
	if (settings->trust_anchor)
		context->settings.trust_anchor = arena_text(
		    &context->arena, settings->trust_anchor);
	context->timeout = settings->timeout;
	context->validates = validates;
	context->ub = new_unbound(&context->settings, validates);
	if (!context->ub) {
		log_text(PN_LOG_ERROR, "out of memory");
		abort();
	}
	return context;
}

/* ---- does validation work from here? ----------------------------------------------------------
 */

/* The owner of the file's first record, "." for most. */
static bool
read_owner(const char *path, char ret[DNS_NAME_SIZE])
{
	char line[4096];
	FILE *file = fopen(path, "re");
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file))
		found = *line != ';' && sscanf(line, "%255s", ret) == 1;
	if (file)
		fclose(file);
	return found;
}

static void
take_up(struct dns *dns, struct dns_context *context)
{
	dns->current = context;
	g_queue_push_tail_link(&dns->contexts, &context->link);
}

static void
on_probe(void *arg, int error, struct ub_result *result)
{
	struct dns_context *context = arg;
	bool answered = error == 0 && result && (result->bogus || result->rcode == RCODE_OK);
	bool works = answered && result->secure;

	context->probing = false;
	if (answered && !works) {
		log_event(PN_LOG_WARNING, "dns-not-validating", "reason",
		    result->why_bogus ? result->why_bogus : "no signatures come", "file",
		    context->settings.trust_anchor, NULL);
		if (context->dns->current == context)
			take_up(context->dns, new_context(context->dns, &context->settings, false));
	}
	ub_resolve_free(result);
}

static void
probe(struct dns_context *context)
{
	char owner[DNS_NAME_SIZE];

	if (!context->validates || context->probed)
		return;
	context->probed = true;
	if (!read_owner(context->settings.trust_anchor, owner))
		return;
	context->probe_deadline = clock_monotonic_ms() + MIN(PROBE_MOST_MS, context->timeout);
	context->probing = ub_resolve_async(context->ub, owner, TYPE_DNSKEY, CLASS_IN, context,
			       on_probe, &context->probe) == 0;
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void
ask(struct dns *dns, struct dns_request *request)
{
	struct dns_context *context = dns->current;
	int r;

	request->context = context;
	request->stage = DNS_OPEN;
	request->deadline = clock_monotonic_ms() + context->timeout;
	g_queue_push_tail(&dns->open, request);
	context->open++;
	r = ub_resolve_async(context->ub, request->name, (int)request->type, CLASS_IN, request,
	    on_answer, &request->id);
	if (r == 0)
		return;
	release_question(request);
	fail(request, -EAGAIN, ub_strerror(r));
}

static void
ask_waiting(struct dns *dns)
{
	if (dns->current && dns->waiting.length > 0)
		probe(dns->current);
	while (dns->current && !dns->current->probing && dns->open.length < OPEN_MOST &&
	       dns->waiting.length > 0)
		ask(dns, g_queue_pop_head(&dns->waiting));
}

static void
take_in(struct dns *dns)
{
	struct dns_context *fresh = g_steal_pointer(&dns->fresh);

	if (fresh)
		take_up(dns, fresh);
}

/* Those that nobody needs any more; to be freed without the lock, which takes a while. */
static GSList *
take_out(struct dns *dns)
{
	GSList *old = NULL;
	GList *next;

	for (GList *link = dns->contexts.head; link; link = next) {
		struct dns_context *context = link->data;

		next = link->next;
		if (context == dns->current || context->open > 0 || context->probing)
			continue;
		g_queue_unlink(&dns->contexts, link);
		old = g_slist_prepend(old, context);
	}
	return old;
}

static void
free_all(GSList *contexts)
{
	for (GSList *link = contexts; link; link = link->next)
		free_context(link->data);
	g_slist_free(contexts);
}

static void
end_late_probes(struct dns *dns, int64_t now)
{
	for (GList *link = dns->contexts.head; link; link = link->next) {
		struct dns_context *context = link->data;

		if (!context->probing || context->probe_deadline > now)
			continue;
		context->probing = false;
		(void)ub_cancel(context->ub, context->probe);
	}
}

/* With the lock, which it gives back while it waits. */
static void
wait_for_something(struct dns *dns)
{
	unsigned count = dns->contexts.length, at = 0;
	struct pollfd *fds = g_new0(struct pollfd, count + 1);
	bool busy = dns->open.length > 0;
	GSList *old = take_out(dns);
	uint64_t ticks;

	for (GList *link = dns->contexts.head; link; link = link->next) {
		struct dns_context *context = link->data;

		fds[at++] = (struct pollfd){ .fd = ub_fd(context->ub), .events = POLLIN };
		busy |= context->probing;
	}
	fds[at] = (struct pollfd){ .fd = dns->wake, .events = POLLIN };
	pthread_mutex_unlock(&dns->lock);
	free_all(old);
	(void)poll(fds, at + 1, busy ? TICK_MS : -1);
	if (fds[at].revents)
		(void)!read(dns->wake, &ticks, sizeof(ticks));
	g_free(fds);
	pthread_mutex_lock(&dns->lock);
}

static void *
run(void *arg)
{
	struct dns *dns = arg;

	pthread_mutex_lock(&dns->lock);
	while (!dns->ending) {
		take_in(dns);
		ask_waiting(dns);
		wait_for_something(dns);
		/* An answer may add a context behind this one; never takes one away. */
		for (GList *link = dns->contexts.head; link; link = link->next)
			(void)ub_process(((struct dns_context *)link->data)->ub);
		give_up_late(dns, clock_monotonic_ms());
		end_late_probes(dns, clock_monotonic_ms());
	}
	pthread_mutex_unlock(&dns->lock);
	return NULL;
}

static void
wake(struct dns *dns)
{
	uint64_t one = 1;

	(void)!write(dns->wake, &one, sizeof(one));
}

/* ---- for everyone ---------------------------------------------------------------------------- */

void
dns_ask(struct dns *dns, struct dns_request *request)
{
	bool first;

	request->stage = DNS_WAITING;
	request->r = 0;
	request->secure = false;
	request->ttl = 0;
	*request->why = '\0';
	request->count = 0;
	request->records = NULL;
	pthread_mutex_lock(&dns->lock);
	first = dns->waiting.length == 0;
	g_queue_push_tail(&dns->waiting, request);
	pthread_mutex_unlock(&dns->lock);
	if (first)
		wake(dns);
}

bool
dns_cancel(struct dns *dns, struct dns_request *request)
{
	bool cancelled;

	pthread_mutex_lock(&dns->lock);
	cancelled = request->stage != DNS_ANSWERED;
	if (request->stage == DNS_WAITING) {
		g_queue_remove(&dns->waiting, request);
	} else if (cancelled) {
		(void)ub_cancel(request->context->ub, request->id);
		release_question(request);
	}
	pthread_mutex_unlock(&dns->lock);
	return cancelled;
}

void
dns_request_clear(struct dns_request *request)
{
	g_free(request->records);
	request->records = NULL;
	request->count = 0;
}

static bool
is_same(const struct dns_settings *a, const struct dns_settings *b)
{
	if (a->recursive != b->recursive || a->timeout != b->timeout ||
	    g_strcmp0(a->trust_anchor, b->trust_anchor) != 0 ||
	    a->servers.count != b->servers.count)
		return false;
	for (size_t i = 0; i < a->servers.count; i++)
		if (strcmp(a->servers.items[i], b->servers.items[i]) != 0)
			return false;
	return a->servers.count > 0 && !a->trust_anchor; /* files may have changed */
}

void
dns_configure(struct dns *dns, const struct dns_settings *settings)
{
	struct dns_context *fresh, *old;
	bool same;

	pthread_mutex_lock(&dns->lock);
	old = dns->fresh ? dns->fresh : dns->current;
	same = old && is_same(&old->settings, settings);
	pthread_mutex_unlock(&dns->lock);
	if (same)
		return;
	fresh = new_context(dns, settings, settings->trust_anchor != NULL);
	pthread_mutex_lock(&dns->lock);
	old = dns->fresh; /* never taken up */
	dns->fresh = fresh;
	pthread_mutex_unlock(&dns->lock);
	if (old)
		free_context(old);
	wake(dns);
}

int
dns_new(struct dns **ret, struct pn_error *err)
{
	struct dns *dns = g_new0(struct dns, 1);
	int r;

	dns->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&dns->lock, NULL);
	r = dns->wake < 0 ? errno : pthread_create(&dns->thread, NULL, run, dns);
	if (r != 0) {
		if (dns->wake >= 0)
			close(dns->wake);
		pthread_mutex_destroy(&dns->lock);
		g_free(dns);
		return pn_error_set(err, -r, "DNS: %s", strerror(r));
	}
	*ret = dns;
	return 0;
}

void
dns_free(struct dns **dns_at)
{
	struct dns *dns = *dns_at;
	GList *link;

	if (!dns)
		return;
	*dns_at = NULL;
	pthread_mutex_lock(&dns->lock);
	dns->ending = true;
	pthread_mutex_unlock(&dns->lock);
	wake(dns);
	pthread_join(dns->thread, NULL);
	while ((link = g_queue_pop_head_link(&dns->contexts)))
		free_context(link->data);
	if (dns->fresh)
		free_context(dns->fresh);
	g_queue_clear(&dns->waiting);
	g_queue_clear(&dns->open);
	pthread_mutex_destroy(&dns->lock);
	close(dns->wake);
	g_free(dns);
}
