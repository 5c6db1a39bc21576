/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mx.h - where the mail of a domain goes: its mail exchangers and their addresses (RFC 5321 section
 * 5.1, RFC 7505), and which of them may be tried from here.
 *
 * A search asks the DNS and belongs to one loop; what it finds is judged apart, so that the same
 * answers can be looked at under the settings of now.
 */
#ifndef CORE_NET_MX_H
#define CORE_NET_MX_H

#include <core/net/address.h>
#include <core/net/dns.h>
#include <core/net/hop_terms.h>

#define MX_HOSTS_MOST     20 /* the best of them; RFC 5321 wants at least two tried */
#define MX_ADDRESSES_MOST 16 /* of one host */

enum mx_fate {
	MX_TRIED,
	MX_OURSELVES, /* its name or one of its addresses is this relay's own */
	MX_WORSE,     /* not before ourselves (RFC 5321 section 5.1) */
	MX_NOWHERE,   /* it has no address */
	MX_REFUSED,   /* none that mail may be sent to */
	MX_UNKNOWN,   /* its addresses cannot be found for now */
	MX_UNSAFE,    /* what its domain demands is not known, or excludes it (RFC 7672, 8461) */
};

struct mx_host {
	char name[DNS_NAME_SIZE];
	uint16_t preference;
	enum mx_fate fate;
	bool secure; /* its addresses are validated */
	size_t count;
	struct address addresses[MX_ADDRESSES_MOST]; /* without ports */
	char why[DNS_WHY_SIZE];                      /* UNKNOWN, UNSAFE */
	bool
	    unsafe; /* not to be tried now, but for mail whose sender says that it may (RFC 8689) */
	struct hop_terms
	    terms; /* of the domain for this host; `base` and `domain` are the list's */
	char base[DNS_NAME_SIZE];
};

/* What was found; the hosts by preference. */
struct mx_list {
	char domain[DNS_NAME_SIZE];
	size_t count;
	struct mx_host *hosts;
	bool secure;   /* the list is validated, and so is that there is none */
	bool implicit; /* no MX record: the domain is its own host */
	bool literal;
	bool unsure; /* signatures could not be checked: what demands DANE waits */
	/* A policy that the domain enforces names the hosts that are left (MTA-STS). */
	bool by_policy;
	int64_t ttl; /* seconds, of the shortest-lived answer */
	/* NULL: there are hosts to try. Else a reply: "556 5.1.10 ...", "451 4.4.3 ...". */
	const char *refusal;
	char text[DNS_NAME_SIZE + DNS_WHY_SIZE + 80]; /* of the refusal */
};

struct mx_search;

/*
 * `domain`: canonical (core/mail/address.h), or an address literal. `port`: whose TLSA records are
 * asked for. `done` is called on `loop`,
 * never before this returns; the list is the caller's then.
 */
struct mx_search *mx_search_start(struct dns *dns, struct loop *loop, const char *domain,
    uint16_t port, void (*done)(void *arg, struct mx_list *list), void *arg);
/* On its loop: `done` will not be called. */
void mx_search_cancel(struct mx_search **search);
void mx_list_free(struct mx_list **list);

/* What is known of ourselves, and what is not for us. */
struct mx_policy {
	const char *own_name; /* canonical */
	uint16_t port;        /* that would be connected to */
	size_t listener_count;
	const struct address *listeners; /* where this relay itself would answer */
	size_t refused_count;
	const struct network *refused; /* no mail goes there */
	bool relaxed; /* the sender says that the domain's own demands need not be met */
};

/* Sets each host's fate, drops addresses that are refused, and sets the list's refusal. */
void mx_judge(struct mx_list *list, const struct mx_policy *policy);
/* For people: "tried", "this relay itself". */
const char *mx_fate_text(enum mx_fate fate);

/* One MX record. A root name gives "". False: malformed, or a name that no host has. */
bool mx_read_record(struct pn_slice rdata, uint16_t *ret_preference, char ret_name[DNS_NAME_SIZE]);

#endif
