/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns.h - questions to the DNS, off the loop, by libunbound: its cache, its DNSSEC validation.
 *
 * One for the process. A thread of its own asks; answers are tasks of the loops that asked. What is
 * bogus is told apart from what fails, and what is validated from what is not. Names are taken as
 * they are: no search list, no hosts file.
 */
#ifndef CORE_NET_DNS_H
#define CORE_NET_DNS_H

#include <core/net/loop.h>
#include <postern/settings.h>

#define DNS_NAME_SIZE 256 /* of a name as text without the last dot, with its NUL */
#define DNS_WHY_SIZE  160

enum dns_type {
	DNS_TYPE_A = 1,
	DNS_TYPE_CNAME = 5,
	DNS_TYPE_MX = 15,
	DNS_TYPE_TXT = 16,
	DNS_TYPE_AAAA = 28,
	DNS_TYPE_TLSA = 52
};

struct dns;

/* Copied by those who take it. */
struct dns_settings {
	struct pn_strings servers; /* addresses; empty: those of /etc/resolv.conf */
	bool recursive;            /* asks from the root down instead */
	const char *trust_anchor;  /* file of DS or DNSKEY records; NULL: nothing is validated */
	int64_t timeout;           /* of one question, ms */
	int64_t probe_again;       /* ms between tries whether signatures can be checked */
	bool unsigned_wanted;      /* nobody wants signatures: what lacks them waits for nothing */
};

/* Where Debian's dns-root-data has the key of the root. */
#define DNS_ROOT_ANCHOR "/usr/share/dns/root.key"

/* One question. Belongs to the asker, who keeps it until `done`. */
struct dns_request {
	struct loop_task task; /* first; dns.c's own, as the next two are */
	struct dns_question *question;
	int stage;

	struct loop *loop;
	char name[DNS_NAME_SIZE];
	enum dns_type type;
	/* On the loop, never before dns_ask() returns. May free the request. */
	void (*done)(struct dns_request *request);
	void *arg; /* the asker's */

	/*
	 * 0 with records; -ENOENT: no such name; -ENODATA: nothing of that type; -EAGAIN: no answer
	 * for now; -EBADMSG: an answer that is not to be believed (DNSSEC). `why` says more.
	 */
	int r;
	bool secure; /* validated, also where it says that there is nothing */
	/* It would be, were it signed, or nobody wants that: false where nothing can be checked
	 * now, but perhaps later. */
	bool validating;
	char canonical[DNS_NAME_SIZE]; /* where it stands: behind aliases; "": at its name */
	int64_t ttl;                   /* seconds */
	char why[DNS_WHY_SIZE];
	size_t count;
	struct pn_slice *records; /* rdata; until dns_request_clear() */
};

int dns_new(struct dns **ret, struct pn_error *err);
/* Questions from now on go by these; answers to earlier ones still come. Any thread. */
void dns_configure(struct dns *dns, const struct dns_settings *settings);
/* Any thread. */
void dns_ask(struct dns *dns, struct dns_request *request);
/*
 * On the asker's loop. True: nobody has answered, and nobody will; `done` is not called. False: the
 * answer is on its way already.
 */
bool dns_cancel(struct dns *dns, struct dns_request *request);
/* Whether signatures can be checked from here: found out at the start, and again until they can. */
enum dns_validation {
	DNS_VALIDATION_OFF,     /* there is no trust anchor */
	DNS_VALIDATION_UNKNOWN, /* no answer so far: what is signed waits */
	DNS_VALIDATION_WORKS,
	DNS_VALIDATION_FAILS /* signatures do not come: nothing counts as validated, no DANE */
};
/* Any thread. */
enum dns_validation dns_validation(struct dns *dns);
/* For people. */
const char *dns_validation_text(enum dns_validation validation);
/* Drops the records. */
void dns_request_clear(struct dns_request *request);
/* Ends the thread. Open questions are never answered. */
void dns_free(struct dns **dns);

#endif
