/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.h - posternctl explain by its parts: the message with its envelope, and what is shown of
 * its trial.
 */
#ifndef CORE_CTL_EXPLAIN_H
#define CORE_CTL_EXPLAIN_H

#include <core/ctl/commands.h>
#include <core/policy/trial.h>
#include <core/queue/route.h>
#include <glib.h>

struct explain_envelope {
	const char *from, *user, *listener, *client;
	const char *output; /* folder for the renderings, NULL: none */
	GPtrArray *to;      /* char *, owned */
	char *message;      /* CRLF line ends */
	size_t len;
};

/* The file; where no line of it ends with CRLF, LF is taken for that. */
int explain_read(const char *path, struct explain_envelope *envelope, struct pn_error *err);
/* What was not given is read out of the header, as sendmail -t does; then all is checked. */
int explain_complete(struct explain_envelope *envelope, struct arena *arena, struct pn_error *err);
void explain_free(struct explain_envelope *envelope);

/* As MAIL and RCPT would take it. */
int explain_address(const char *address, struct pn_error *err);
/* Checks listener and client, and says what a session from there would know; in `arena`. */
int explain_facts(const struct ctl *ctl, const char *listener, const char *client,
    struct arena *arena, const struct config_listener **ret_listener, struct mail_facts *ret,
    struct pn_error *err);

/* `folder`: descriptor of the one that renderings are written to, -1: none; `name` is its name. */
int explain_show(
    struct ctl *ctl, struct trial *trial, int folder, const char *name, struct pn_error *err);

/* What a kept policy of MTA-STS makes of the hosts of a list that is not judged yet. */
int probe_policy(struct db *db, struct mx_list *list, struct arena *arena, struct pn_error *err);
/* The mail exchangers of the recipient's domain, not judged; to be freed, also on failure. */
int explain_search(struct ctl *ctl, const struct routes *routes, const struct route *route,
    const char *recipient, struct mx_list **ret, struct pn_error *err);
/* A row for each mail exchanger of the recipient's domain, as `route` would go through them. */
int explain_exchangers(struct ctl *ctl, const struct routes *routes, const struct route *route,
    const char *recipient, struct arena *arena, struct pn_error *err);
/* What the running relay knows of the route's next hop, and of each of its hosts. */
void explain_known(
    struct ctl *ctl, const struct route *route, const char *recipient, struct arena *arena);

#endif
