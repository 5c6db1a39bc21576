/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settled.c - makes what the relay needs out of an accepted generation.
 *
 * Called by the relay's main thread at start and reload; released by whichever lane lets go last.
 */
#include <core/master/settled.h>
#include <core/net/tls.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static void
set_identity(struct tls_identity *identity, const char *path, struct pn_slice pem,
    const struct pn_secret *key)
{
	identity->where = path;
	identity->certificate = pem;
	identity->key = pn_secret_bytes(key);
}

static int
make_tls(const struct config_relay *relay, SSL_CTX **ret, struct pn_error *err)
{
	const struct config_certificate *more = relay->tls.more.items;
	size_t count = 1 + relay->tls.more.count;
	struct tls_identity *identities;
	int r;

	*ret = NULL;
	if (!relay->tls.certificate)
		return 0; /* the configuration's check has seen that no listener wants one */
	identities = calloc(count, sizeof(*identities));
	if (!identities)
		return pn_error_set(err, -ENOMEM, "out of memory");
	set_identity(
	    &identities[0], relay->tls.certificate, relay->tls.certificate_pem, relay->tls.key);
	for (size_t i = 1; i < count; i++)
		set_identity(&identities[i], more[i - 1].certificate, more[i - 1].certificate_pem,
		    more[i - 1].key);
	r = tls_server_new(identities, count, (enum tls_version)relay->tls.minimum, ret, err);
	free(identities);
	return r;
}

/* A context of its own where clients are asked for certificates, the common one elsewhere. */
static int
make_all_tls(const struct config_relay *relay, struct tls_tickets *tickets, struct settled *settled,
    struct pn_error *err)
{
	const struct config_listener *listeners = relay->listeners.items;
	struct tls_clients clients;
	SSL_CTX *common = NULL;
	int r = make_tls(relay, &common, err);

	settled->tls = calloc(relay->listeners.count + 1, sizeof(*settled->tls));
	if (r == 0 && (!settled->tls || (common && tls_server_tickets(common, tickets) < 0)))
		r = pn_error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && common && i < relay->listeners.count; i++) {
		SSL_CTX **own = &settled->tls[settled->tls_count++];

		if (!config_listener_clients(&listeners[i], &clients)) {
			SSL_CTX_up_ref(common);
			*own = common;
			continue;
		}
		r = make_tls(relay, own, err);
		if (r == 0)
			r = tls_server_clients(*own, &clients, err);
	}
	settled->tls_count = relay->listeners.count;
	SSL_CTX_free(common);
	return r;
}

static void
set_queue(const struct config_relay *relay, struct queue_settings *ret)
{
	const struct config_queue *queue = &relay->queue;

	ret->relay_name = relay->hostname;
	ret->retry_first_ms = queue->retry_first;
	ret->retry_most_ms = queue->retry_most;
	ret->notice_after_ms = queue->notice_after;
	ret->sts_wait_ms = relay->mta_sts.wait;
	ret->give_up_ms = queue->give_up;
	ret->connections = (uint32_t)queue->connections;
	ret->connections_per_destination = (uint32_t)queue->connections_per_destination;
	ret->messages_per_connection = (uint32_t)queue->messages_per_connection;
	ret->idle_connection_ms = queue->idle_connection;
	ret->connection_age_ms = queue->connection_age;
}

int
settled_new(struct generation *generation, const struct settled_with *with,
    struct channel_frame *frame, struct settled **ret, struct pn_error *err)
{
	const struct config_core *core = generation_core(generation);
	size_t sockets = core->relay.listeners.count + (core->relay.metrics.listen != NULL);
	struct settled *settled = calloc(1, sizeof(*settled));
	int r;

	if (!settled) {
		generation_release(&generation);
		return pn_error_set(err, -ENOMEM, "out of memory");
	}
	settled->references = 1;
	settled->generation = generation;
	set_queue(&core->relay, &settled->queue);
	r = make_all_tls(&core->relay, with->tickets, settled, err);
	if (r == 0)
		r = routes_new(
		    core, generation_roster(generation), with->capability, &settled->routes, err);
	if (r == 0 && frame->fd_count != sockets)
		r = pn_error_set(
		    err, -EPROTO, "%zu sockets for %zu listeners", frame->fd_count, sockets);
	if (r < 0) {
		settled_release(&settled);
		return r;
	}
	generation_take_routes(generation, settled->routes);
	settled->fd_count = frame->fd_count;
	memcpy(settled->fds, frame->fds, sizeof(settled->fds));
	frame->fd_count = 0;
	*ret = settled;
	return 0;
}

struct settled *
settled_again(const struct settled *settled, struct generation *generation)
{
	struct settled *again = malloc(sizeof(*again));

	if (!again)
		abort(); /* as arena.h */
	*again = *settled;
	again->references = 1;
	again->generation = generation;
	again->sockets = settled_hold(
	    settled->sockets ? settled->sockets : (struct settled *)(uintptr_t)settled);
	again->routes = routes_again(again->routes, generation_roster(generation));
	generation_take_routes(generation, again->routes);
	again->tls = calloc(settled->tls_count + 1, sizeof(*again->tls));
	if (!again->tls)
		abort(); /* as arena.h */
	for (size_t i = 0; i < settled->tls_count; i++) {
		again->tls[i] = settled->tls[i];
		if (again->tls[i])
			SSL_CTX_up_ref(again->tls[i]);
	}
	return again;
}

int
settled_metrics_fd(const struct settled *settled)
{
	const struct config_relay *relay = &generation_core(settled->generation)->relay;

	return relay->metrics.listen ? settled->fds[relay->listeners.count] : -1;
}

struct settled *
settled_hold(struct settled *settled)
{
	__atomic_add_fetch(&settled->references, 1, __ATOMIC_RELAXED);
	return settled;
}

void
settled_release(struct settled **settled)
{
	struct settled *old = *settled;

	*settled = NULL;
	if (!old || __atomic_sub_fetch(&old->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (size_t i = 0; i < old->fd_count && !old->sockets; i++)
		close(old->fds[i]);
	if (old->sockets)
		settled_release(&old->sockets);
	for (size_t i = 0; old->tls && i < old->tls_count; i++)
		SSL_CTX_free(old->tls[i]);
	free(old->tls);
	routes_release(&old->routes);
	generation_release(&old->generation);
	free(old);
}
