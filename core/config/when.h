/* SPDX-License-Identifier: Apache-2.0 */
/*
 * when.h - conditions on pipeline entries and routes: `when: { sender_domain: [clinic.example] }`.
 *
 * All keys that are given must match; within a key any item does. Domains are compared in canonical
 * form, exactly; "*.example.com" matches every subdomain, "." or "" the null sender's lack of one.
 * As a sender, "" is the null one.
 */
#ifndef CORE_CONFIG_WHEN_H
#define CORE_CONFIG_WHEN_H

#include <core/config/roster.h>
#include <core/mail/envelope.h>
#include <core/mail/facts.h>
#include <core/mail/message.h>
#include <core/net/address.h>
#include <postern/settings.h>

struct config_when {
	struct pn_strings sender, sender_domain, recipient, recipient_domain, user, listener;
	struct pn_strings network; /* CIDR */
	struct pn_strings tag;
	struct pn_strings group, account; /* the sender's */
	struct pn_strings header;         /* "Name" or "Name: value" */
	int64_t larger_than;              /* bytes; 0: not asked */
	/* From here on not in YAML: config_when_settle() fills it in. */
	bool given;                     /* any key is set */
	const struct network *networks; /* `network`, parsed */
};
extern const struct pn_option config_when_options[];
/* Complains about items that are no domains, networks ... */
void config_when_check(struct pn_check *check, const char *path, const struct config_when *when);

/* After filling: says if anything is given, and brings items into the form they are compared in. */
void config_when_settle(struct config_when *when, struct arena *arena);

/* What is known; NULL or 0 where it is not (yet). A key whose fact is unknown does not match. */
struct roster;
struct config_subject {
	const struct mail_facts *facts;
	const struct roster *roster; /* asked for groups and accounts only */
	const char *sender;          /* "" is the null sender, NULL unknown */
	const char *original_sender; /* the same as the client gave it: whose mail it is */
	const char *recipient;       /* one of them, NULL unknown */
	const char *user_relay; /* not asked here: whose server takes the mail; NULL: a route */
	const char *const *tags;
	size_t tag_count;
	size_t size;
	struct pn_slice bytes; /* of the message, with its fields; NULL unknown */
	const struct mail_header *header;
};
bool config_when_matches(const struct config_when *when, const struct config_subject *subject);
/* The first key that does not fit; NULL: all do. */
const char *config_when_misfit(
    const struct config_when *when, const struct config_subject *subject);
/*
 * For people, in `arena`: "recipient_domain is g.example; wanted: f.example, *.h.example" where
 * something does not fit, else what did: "recipient_domain is f.example, listener is smtp".
 */
const char *config_when_explain(
    const struct config_when *when, const struct config_subject *subject, struct arena *arena);

#endif
