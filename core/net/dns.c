/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns.c - the thread that asks the DNS, one libunbound context for each setting of it.
 *
 * Called by mx.c from any loop. libunbound works on a thread of its own, which this one waits for;
 * only setting a context up takes a while, and no loop waits for that. Must never let a question go
 * without an answer: each has a deadline.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/net/dns_inside.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define OPEN_MOST     500u /* questions that libunbound has at one time */
#define TICK_MS       200
#define RCODE_NO_NAME 3

enum dns_stage { DNS_WAITING, DNS_OPEN, DNS_ANSWERED };

/* What libunbound has been asked. The thread's, but for `request`. */
struct dns_question {
	struct dns_request *request; /* by the lock; NULL: nobody wants to know any more */
	struct dns_context *context;
	GList link; /* in dns->open */
	int id;
	int64_t deadline; /* monotonic, ms */
	enum dns_type type;
	char name[DNS_NAME_SIZE];
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

/* Without the last dot, in lower case. */
static void
copy_name(char ret[DNS_NAME_SIZE], const char *name)
{
	size_t len = strlen(name);

	if (len > 0 && name[len - 1] == '.')
		len--;
	for (size_t i = 0; i < len; i++)
		ret[i] = g_ascii_tolower(name[i]);
	ret[len] = '\0';
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
	if (result->canonname && strlen(result->canonname) < sizeof(request->canonical))
		copy_name(request->canonical, result->canonname);
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
free_question(struct dns_question *question)
{
	question->context->open--;
	g_queue_unlink(&question->context->dns->open, &question->link);
	g_free(question);
}

static void
on_answer(void *arg, int error, struct ub_result *result)
{
	struct dns_question *question = arg;
	struct dns *dns = question->context->dns;

	pthread_mutex_lock(&dns->lock);
	if (question->request) {
		read_result(question->request, error, result);
		question->request->validating = question->context->validates ||
						question->context->settings.unsigned_wanted;
		answer(question->request);
	}
	pthread_mutex_unlock(&dns->lock);
	ub_resolve_free(result);
	free_question(question);
}

static void
fail_question(struct dns_question *question, const char *why)
{
	struct dns *dns = question->context->dns;

	pthread_mutex_lock(&dns->lock);
	if (question->request)
		fail(question->request, -EAGAIN, why);
	pthread_mutex_unlock(&dns->lock);
	free_question(question);
}

/* Also what nobody wants to know any more. */
static void
give_up_late(struct dns *dns, int64_t now)
{
	GSList *late = NULL;

	pthread_mutex_lock(&dns->lock);
	for (GList *link = dns->open.head; link; link = link->next) {
		struct dns_question *question = link->data;

		if (!question->request || question->deadline <= now)
			late = g_slist_prepend(late, question);
	}
	pthread_mutex_unlock(&dns->lock);
	for (GSList *link = late; link; link = link->next) {
		struct dns_question *question = link->data;

		(void)ub_cancel(question->context->ub, question->id);
		fail_question(question, "no answer in time");
	}
	g_slist_free(late);
}

/* ---- contexts -------------------------------------------------------------------------------- */

static void
free_context(struct dns_context *context)
{
	ub_ctx_delete(context->ub);
	arena_free(&context->arena);
	g_free(context);
}

static struct dns_settings
copy_settings(struct arena *arena, const struct dns_settings *settings)
{
	struct dns_settings copy = *settings;
	const char **servers = arena_alloc(arena, (settings->servers.count + 1) * sizeof(*servers));

	for (size_t i = 0; i < settings->servers.count; i++)
		servers[i] = arena_text(arena, settings->servers.items[i]);
	copy.servers.items = servers;
	if (settings->trust_anchor)
		copy.trust_anchor = arena_text(arena, settings->trust_anchor);
	return copy;
}

struct dns_context *
dns_context_new(struct dns *dns, const struct dns_settings *settings, bool validates)
{
	struct dns_context *context = g_new0(struct dns_context, 1);

	context->dns = dns;
	context->link.data = context;
	context->settings = copy_settings(&context->arena, settings);
	context->timeout = settings->timeout;
	context->validates = validates;
	context->ub = dns_unbound_new(&context->settings, validates);
	if (!context->ub) {
		log_text(PN_LOG_ERROR, "out of memory");
		abort();
	}
	return context;
}

void
dns_context_add(struct dns *dns, struct dns_context *context)
{
	g_queue_push_tail_link(&dns->contexts, &context->link);
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* The first that waits, as it is asked now; NULL: none does. */
static struct dns_question *
take_question(struct dns *dns)
{
	struct dns_context *context = dns->current;
	struct dns_question *question = NULL;
	struct dns_request *request;

	pthread_mutex_lock(&dns->lock);
	request = g_queue_pop_head(&dns->waiting);
	if (request) {
		question = g_new0(struct dns_question, 1);
		question->request = request;
		question->type = request->type;
		g_strlcpy(question->name, request->name, sizeof(question->name));
		request->question = question;
		request->stage = DNS_OPEN;
	}
	pthread_mutex_unlock(&dns->lock);
	if (!question)
		return NULL;
	question->context = context;
	question->link.data = question;
	question->deadline = clock_monotonic_ms() + context->timeout;
	g_queue_push_tail_link(&dns->open, &question->link);
	context->open++;
	return question;
}

static void
ask(struct dns_question *question)
{
	int r = ub_resolve_async(question->context->ub, question->name, (int)question->type,
	    CLASS_IN, question, on_answer, &question->id);

	if (r != 0)
		fail_question(question, ub_strerror(r));
}

static void
ask_waiting(struct dns *dns)
{
	struct dns_question *question;

	while (dns->current && !dns_probe_holds(dns) && dns->open.length < OPEN_MOST &&
	       (question = take_question(dns)))
		ask(question);
}

/* False: it is to end. */
static bool
take_in(struct dns *dns)
{
	struct dns_context *fresh;
	bool ending;

	pthread_mutex_lock(&dns->lock);
	fresh = g_steal_pointer(&dns->fresh);
	ending = dns->ending;
	pthread_mutex_unlock(&dns->lock);
	if (fresh) {
		dns_context_add(dns, fresh);
		dns->current = fresh;
		dns_probe_begin(dns);
	}
	return !ending;
}

/* Those that nobody needs any more. */
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
	}
	fds[at] = (struct pollfd){ .fd = dns->wake, .events = POLLIN };
	free_all(old);
	(void)poll(fds, at + 1, busy ? TICK_MS : dns_probe_wait(dns, clock_monotonic_ms()));
	if (fds[at].revents)
		(void)!read(dns->wake, &ticks, sizeof(ticks));
	g_free(fds);
}

static void *
run(void *arg)
{
	struct dns *dns = arg;

	while (take_in(dns)) {
		ask_waiting(dns);
		wait_for_something(dns);
		/* An answer may add a context behind this one; never takes one away. */
		for (GList *link = dns->contexts.head; link; link = link->next)
			(void)ub_process(((struct dns_context *)link->data)->ub);
		give_up_late(dns, clock_monotonic_ms());
		dns_probe_go_on(dns, clock_monotonic_ms());
	}
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
	request->secure = request->validating = false;
	*request->canonical = '\0';
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
	if (request->stage == DNS_WAITING)
		g_queue_remove(&dns->waiting, request);
	else if (cancelled)
		request->question->request = NULL;
	pthread_mutex_unlock(&dns->lock);
	return cancelled;
}

enum dns_validation
dns_validation(struct dns *dns)
{
	enum dns_validation validation;

	pthread_mutex_lock(&dns->lock);
	validation = dns->validation;
	pthread_mutex_unlock(&dns->lock);
	return validation;
}

const char *
dns_validation_text(enum dns_validation validation)
{
	static const char *const texts[] = {
		[DNS_VALIDATION_OFF] = "off",
		[DNS_VALIDATION_UNKNOWN] = "not known yet",
		[DNS_VALIDATION_WORKS] = "works",
		[DNS_VALIDATION_FAILS] = "does not work from here: no DANE",
	};

	return texts[validation];
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
	    a->probe_again != b->probe_again || a->unsigned_wanted != b->unsigned_wanted ||
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
	same = dns->configured && is_same(&dns->settings, settings);
	pthread_mutex_unlock(&dns->lock);
	if (same)
		return;
	fresh = dns_context_new(dns, settings, settings->trust_anchor != NULL);
	pthread_mutex_lock(&dns->lock);
	arena_free(&dns->arena);
	dns->settings = copy_settings(&dns->arena, settings);
	dns->configured = true;
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
	while ((link = g_queue_pop_head_link(&dns->open)))
		g_free(link->data);
	arena_free(&dns->arena);
	pthread_mutex_destroy(&dns->lock);
	close(dns->wake);
	g_free(dns);
}
