/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route_user.h - the ways of mail that leaves by a server which its user has named.
 *
 * What holds for all of them is made with the configuration; a way is made when it is first asked
 * for and lives with the routes of one roster, so another roster has other ways. Name and password
 * stay sealed until the moment they are sent. For route.c; any thread.
 */
#ifndef CORE_QUEUE_ROUTE_USER_H
#define CORE_QUEUE_ROUTE_USER_H

#include <core/config/keyring.h>
#include <core/queue/route.h>

struct user_rules;
struct user_ways;

/* Of relay.user_relays. */
int user_rules_new(
    const struct config_user_relays *config, struct user_rules **ret, struct pn_error *err);
/* With these keys (held; NULL: none), whatever `config` says of them. */
int user_rules_new_with(const struct config_user_relays *config, struct keyring *keys,
    struct user_rules **ret, struct pn_error *err);
void user_rules_free(struct user_rules **rules);

/* Both are to live longer; `destinations` are the routes'. */
struct user_ways *user_ways_new(const struct user_rules *rules, const struct pn_list *destinations);
void user_ways_free(struct user_ways **ways);
/* NULL: it cannot be used, `ret_refusal` is a reply that says why. */
const struct route *user_ways_find(
    struct user_ways *ways, const struct roster_relay *relay, const char **ret_refusal);

#endif
