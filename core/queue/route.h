/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route.h - which way a recipient's mail leaves: first match in the order of YAML.
 *
 * Routes are counted by reference: a generation holds them, and so does each queue using them.
 * Read-only, any thread.
 */
#ifndef CORE_QUEUE_ROUTE_H
#define CORE_QUEUE_ROUTE_H

#include <core/config/relay.h>
#include <core/mail/address.h>
#include <core/net/mx.h>
#include <core/queue/capability.h>
#include <core/queue/item.h>
#include <core/smtp/courier.h>

enum route_kind { ROUTE_SMARTHOST /* LMTP too */, ROUTE_MAILDIR, ROUTE_DISCARD, ROUTE_MX };

/* What a letter asks of the connections that it goes by. */
enum route_need {
	ROUTE_AS_SET,
	/* Something of TLS: a route without it uses it where it is offered. */
	ROUTE_DEMANDED,
	/* RFC 8689: TLS that is verified, and a next hop that offers REQUIRETLS. */
	ROUTE_REQUIRETLS,
	/*
	 * RFC 8689 section 3: rather delivered than protected. What the recipient's domain demands
	 * by itself counts for nothing; what the route and the letter demand does.
	 */
	ROUTE_RELAXED,
	ROUTE_NEEDS
};

struct route_way {
	const char *key; /* connections of one key are the same to every destination */
	struct courier_target target;
};

/* A host that mail may be sent to; of an MX route, what all its hosts have in common. */
struct route_host {
	const char *name; /* "mx.example:25", "unix:/path": limits hold for all of one name */
	struct route_way ways[ROUTE_NEEDS];
	const struct config_destination *limits; /* without its lists; NULL: none */
};

struct route {
	enum route_kind kind;
	/* For logs: "mx", "smarthost:host:port", "lmtp:unix:/path", "maildir:/path" ... */
	const char *name;
	/* Routes of one key share a destination, with MX one for each domain. NULL: as the first.
	 */
	const char *keys[ROUTE_NEEDS];
	size_t host_count; /* SMARTHOST: in the order they are tried; MX: 1 */
	struct route_host *hosts;
	int priority;     /* SMARTHOST, MX */
	bool is_users;    /* SMARTHOST: a server that a user has named */
	const char *path; /* MAILDIR; with {user} and {domain} */
	size_t refused_count;
	const struct network *refused; /* MX: no mail goes there */
	const char *mark; /* MX: stands for these networks: where keys of hosts begin */
};

struct routes;
/* Everything is copied or held; `err` says which route is wrong and why. `roster` NULL: nobody's.
 */
int routes_new(const struct config_core *config, const struct roster *roster,
    struct capability *capability, struct routes **ret, struct pn_error *err);
/* The same routes with another roster: themselves, held, where it is theirs already. */
struct routes *routes_again(struct routes *routes, const struct roster *roster);
/* By its place in the configuration; NULL behind the last. */
const struct route *routes_at(const struct routes *routes, size_t index);
struct capability *routes_capability(const struct routes *routes);
struct routes *routes_hold(struct routes *routes);
void routes_release(struct routes **routes);
/*
 * NULL: none matches, or what the subject's user_relay names is not there (any more); the reply
 * `ret_refusal` says so, and by its first digit whether for good. The subject's roster is the
 * routes' own, whatever it says. What comes back lives as long as the routes.
 */
const struct route *routes_find(
    const struct routes *routes, const struct config_subject *subject, const char **ret_refusal);

/* MX: how what the DNS says is to be judged. Borrowed from the routes. */
struct mx_policy routes_mx_policy(const struct routes *routes, const struct route *route);
/* MX: a host that the DNS names. In `arena`, and borrowed from the routes. */
int routes_mx_host(const struct routes *routes, const struct route *route, const char *name,
    struct arena *arena, struct route_host *ret, struct pn_error *err);
/* Whose mail exchangers are asked for. -EINVAL: the address has none. */
int routes_domain(const char *recipient, char ret[MAIL_DOMAIN_MOST + 1]);

/*
 * By what queues and `capability` know the next hop for letters of that need, to be freed.
 * `domain`: with MX, whose; else NULL.
 */
char *routes_way_key(const struct route *route, enum route_need need, const char *domain);

/*
 * Bits of TLS that the last session with the next hop of this subject's recipient showed; 0: it
 * offered none; -ENOENT: none yet, or no next hop (maildir). Any thread.
 */
int routes_tls_bits(const struct routes *routes, const struct config_subject *subject);

#endif
