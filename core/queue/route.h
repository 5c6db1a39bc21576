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
#include <core/queue/capability.h>
#include <core/queue/item.h>
#include <core/smtp/courier.h>

enum route_kind { ROUTE_SMARTHOST /* LMTP too */, ROUTE_MAILDIR, ROUTE_DISCARD };

struct route {
	enum route_kind kind;
	const char
	    *name; /* for logs: "smarthost:host:port", "lmtp:unix:/path", "maildir:/path" ... */
	const char *key;              /* routes of one key share a destination's connections */
	struct courier_target target; /* SMARTHOST */
	/*
	 * For letters that demand something of TLS: the same, but where `target` goes without TLS
	 * it is used where it is offered, on connections of their own.
	 */
	struct courier_target demanded;
	const char *demanded_key;
	int priority;                            /* SMARTHOST */
	const struct config_destination *limits; /* SMARTHOST; without its lists; NULL: none */
	const char *path;                        /* MAILDIR; with {user} and {domain} */
};

struct routes;
/* Everything is copied or held; `err` says which route is wrong and why. */
int routes_new(const struct config_core *config, struct capability *capability, struct routes **ret,
    struct pn_error *err);
/* By its place in the configuration; NULL behind the last. */
const struct route *routes_at(const struct routes *routes, size_t index);
struct capability *routes_capability(const struct routes *routes);
struct routes *routes_hold(struct routes *routes);
void routes_release(struct routes **routes);
/*
 * NULL where no route matches: the recipient fails with 5.4.4. The subject's directory is the
 * routes' own, whatever it says.
 */
const struct route *routes_find(const struct routes *routes, const struct config_subject *subject);

/*
 * Bits of TLS that the last session with the next hop of this subject's recipient showed; 0: it
 * offered none; -ENOENT: none yet, or no next hop (maildir). Any thread.
 */
int routes_tls_bits(const struct routes *routes, const struct config_subject *subject);

#endif
